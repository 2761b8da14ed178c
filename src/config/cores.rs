//! Core maps: which lcores run, and on which CPUs, in DPDK's two notations. Whether the CPUs exist
//! is checked against lists the caller brings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::error::{Error, Result};
use crate::limits::{CPUS_MAX, LCORES_MAX};

/// One lcore and the CPUs its thread may run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LcoreSpec {
    /// The lcore's number, below [`LCORES_MAX`].
    pub lcore_id: u32,
    /// The CPUs, in order, none twice, at least one.
    pub cpus: Vec<u32>,
}

/// The lcores of an instance, ordered by their numbers; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMap {
    lcores: Vec<LcoreSpec>,
}

impl CoreMap {
    /// Parses a core list or map, as DPDK's `-l` and `--lcores` take it.
    ///
    /// Entries are separated by commas. `1-3` is three lcores, each on the CPU of its number;
    /// `5@7` is lcore 5 on CPU 7; `5@(6,7)` and `5@6-7` let it float over two CPUs; `(8-9)@(2,3)`
    /// is two lcores that each float over CPUs 2 and 3; `(8,9)` alone floats both over CPUs 8
    /// and 9. Blanks are ignored.
    pub fn parse_list(text: &str) -> Result<Self> {
        let refuse = |why| {
            Error::new(
                format!("read the core list {text:?}"),
                why,
                "write it as `1-3`, `0,2`, `5@7` or `(1-2)@(4,5)`",
            )
        };
        parse_entries(text).map(Self::from_entries).map_err(refuse)
    }

    /// Parses a core mask, as DPDK's `-c` takes it: hexadecimal, with or without `0x`; bit n is
    /// lcore n on CPU n.
    pub fn parse_mask(text: &str) -> Result<Self> {
        let refuse = |why| {
            Error::new(
                format!("read the core mask {text:?}"),
                why,
                "write hexadecimal digits, bit n for core n: `0x6` is cores 1 and 2",
            )
        };
        let entries = mask_bits(text).map_err(refuse)?.map(|bit| (bit, BTreeSet::from([bit])));
        Ok(Self::from_entries(entries.collect()))
    }

    /// One lcore, number 0, on one CPU.
    pub fn single(cpu: u32) -> Self {
        Self { lcores: vec![LcoreSpec { lcore_id: 0, cpus: vec![cpu] }] }
    }

    /// The lcores, ordered by their numbers.
    pub fn lcores(&self) -> &[LcoreSpec] {
        &self.lcores
    }

    /// The lcore of that number.
    pub fn get(&self, lcore_id: u32) -> Option<&LcoreSpec> {
        self.lcores.iter().find(|lcore| lcore.lcore_id == lcore_id)
    }

    /// Every CPU some lcore may run on, in order, none twice.
    pub fn cpus(&self) -> Vec<u32> {
        let all: BTreeSet<u32> = self.lcores.iter().flat_map(|l| l.cpus.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Refuses a map that names a CPU the machine lacks (`present`) or that this process may not
    /// use (`allowed`).
    pub fn check(&self, present: &[u32], allowed: &[u32]) -> Result<()> {
        for lcore in &self.lcores {
            let what = |cpu| format!("run lcore {} on core {cpu}", lcore.lcore_id);
            if let Some(&cpu) = lcore.cpus.iter().find(|cpu| !present.contains(cpu)) {
                return Err(Error::new(
                    what(cpu),
                    format!("this machine has {}", name_cores(present)),
                    format!(
                        "name cores among {}, such as `-l {}`",
                        format_cpus(allowed),
                        pick(allowed)
                    ),
                ));
            }
            if let Some(&cpu) = lcore.cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                return Err(Error::new(
                    what(cpu),
                    format!(
                        "this machine has {}, but this process may run on {} alone",
                        name_cores(present),
                        name_cores(allowed),
                    ),
                    "name one of those, or widen the process's CPU set (taskset, cpuset cgroup, \
                     container CPU set)",
                ));
            }
        }
        Ok(())
    }

    fn from_entries(entries: BTreeMap<u32, BTreeSet<u32>>) -> Self {
        let lcores = entries
            .into_iter()
            .map(|(lcore_id, cpus)| LcoreSpec { lcore_id, cpus: cpus.into_iter().collect() })
            .collect();
        Self { lcores }
    }
}

/// The map as a list that [`CoreMap::parse_list`] reads back.
impl fmt::Display for CoreMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, lcore) in self.lcores.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", lcore.lcore_id)?;
            match lcore.cpus[..] {
                [cpu] if cpu == lcore.lcore_id => {}
                [cpu] => write!(f, "@{cpu}")?,
                _ => write!(f, "@({})", format_cpus(&lcore.cpus))?,
            }
        }
        Ok(())
    }
}

/// CPU numbers in order, as ranges: `0-3,8`.
pub fn format_cpus(cpus: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let written: Vec<String> = ranges
        .into_iter()
        .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
        .collect();
    written.join(",")
}

/// CPU numbers with their noun: `core 3`, `cores 0-3,8`.
pub fn name_cores(cpus: &[u32]) -> String {
    let plural = if cpus.len() == 1 { "core" } else { "cores" };
    format!("{plural} {}", format_cpus(cpus))
}

/// An example that works here: the last core, which the kernel's own work tends to leave alone.
fn pick(allowed: &[u32]) -> String {
    match allowed.last() {
        Some(&cpu) if (cpu as usize) < LCORES_MAX => cpu.to_string(),
        Some(cpu) => format!("0@{cpu}"),
        None => String::new(),
    }
}

type Parsed<T> = std::result::Result<T, String>;

fn mask_bits(text: &str) -> Parsed<impl Iterator<Item = u32>> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some(odd) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("{odd:?} is not a hexadecimal digit"));
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Err("it selects no core".to_owned());
    }
    let mask = u64::from_str_radix(digits, 16).ok().filter(|mask| mask >> (LCORES_MAX - 1) <= 1);
    let mask = mask.ok_or_else(|| {
        format!("lcore numbers end at {}; map higher cores with `-l 0@CORE`", LCORES_MAX - 1)
    })?;
    Ok((0..LCORES_MAX as u32).filter(move |bit| mask >> bit & 1 == 1))
}

fn parse_entries(text: &str) -> Parsed<BTreeMap<u32, BTreeSet<u32>>> {
    let mut cursor = Cursor { rest: text.trim() };
    let mut entries = BTreeMap::new();
    if cursor.rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    loop {
        entry(&mut cursor, &mut entries)?;
        if cursor.at_end() {
            return Ok(entries);
        }
        cursor.expect(',')?;
    }
}

/// One `lcores[@cpus]`, added to `entries`.
fn entry(cursor: &mut Cursor, entries: &mut BTreeMap<u32, BTreeSet<u32>>) -> Parsed<()> {
    let (lcores, grouped) = cursor.set(LCORES_MAX, "lcore")?;
    let cpus = if cursor.take('@') {
        if lcores.len() > 1 && !grouped {
            return Err("several lcores before `@` need parentheses, as `(1-3)@(4,5)`".to_owned());
        }
        Some(cursor.set(CPUS_MAX, "core")?.0)
    } else {
        grouped.then(|| lcores.clone())
    };
    for lcore in lcores {
        let cpus = cpus.clone().unwrap_or_else(|| BTreeSet::from([lcore]));
        if entries.insert(lcore, cpus).is_some() {
            return Err(format!("lcore {lcore} is named twice"));
        }
    }
    Ok(())
}

/// What is left to read of a core list.
struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Parsed<()> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(match self.rest.chars().next() {
            Some(found) => format!("{found:?} stands where `{wanted}` belongs"),
            None => format!("it ends where `{wanted}` belongs"),
        })
    }

    /// A number, a range, or a group of them in parentheses; and whether it was a group.
    fn set(&mut self, bound: usize, noun: &str) -> Parsed<(BTreeSet<u32>, bool)> {
        let mut set = BTreeSet::new();
        if !self.take('(') {
            self.range_into(&mut set, bound, noun)?;
            return Ok((set, false));
        }
        loop {
            self.range_into(&mut set, bound, noun)?;
            if self.take(')') {
                return Ok((set, true));
            }
            if !self.take(',') {
                self.expect(')')?;
            }
        }
    }

    fn range_into(&mut self, set: &mut BTreeSet<u32>, bound: usize, noun: &str) -> Parsed<()> {
        let first = self.number(bound, noun)?;
        let last = if self.take('-') { self.number(bound, noun)? } else { first };
        if last < first {
            return Err(format!("the range {first}-{last} is reversed"));
        }
        for n in first..=last {
            if !set.insert(n) {
                return Err(format!("{noun} {n} is named twice"));
            }
        }
        Ok(())
    }

    fn number(&mut self, bound: usize, noun: &str) -> Parsed<u32> {
        self.skip_blanks();
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Err(match rest.chars().next() {
                Some(found) => format!("{found:?} stands where a number belongs"),
                None => "it ends where a number belongs".to_owned(),
            });
        }
        self.rest = rest;
        match digits.parse::<u32>() {
            Ok(n) if (n as usize) < bound => Ok(n),
            _ => Err(format!("{noun} numbers end at {}, and this one is {digits}", bound - 1)),
        }
    }
}

#[cfg(test)]
mod tests;
