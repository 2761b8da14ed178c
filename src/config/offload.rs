//! The threads that work is offloaded to, and which cores they may have.

use std::collections::BTreeSet;

use super::{CoreMap, format_cpus, name_cores};
use crate::error::{Error, Result};
use crate::limits::OFFLOAD_QUEUE;

/// Who does the work that handlers offload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffloadConfig {
    /// A thread for each, on its cores; `None`: [`threads`](Self::threads) that float.
    pub lcores: Option<CoreMap>,
    /// Threads that float over the cores that are no lcore's, or where there are none over all. `None`: one, which
    /// starts with the first work.
    pub threads: Option<u32>,
    /// Tasks of one lcore that may wait or run.
    pub queue: u32,
}

impl Default for OffloadConfig {
    fn default() -> Self {
        Self { lcores: None, threads: None, queue: OFFLOAD_QUEUE }
    }
}

impl OffloadConfig {
    /// One thread for each of `lcores`, on its cores.
    pub fn on(lcores: CoreMap) -> Self {
        Self { lcores: Some(lcores), ..Self::default() }
    }

    /// Whether anything was said of the threads, so that they start with the dataplane and not with the first work.
    pub fn is_asked_for(&self) -> bool {
        self.lcores.is_some() || self.threads.is_some()
    }

    /// Refuses cores that the machine lacks (`present`), that this process may not use (`allowed`), or
    /// that one of `lcores` uses.
    pub fn check(&self, lcores: &CoreMap, present: &[u32], allowed: &[u32]) -> Result<()> {
        let Some(own) = &self.lcores else { return Ok(()) };
        let free: Vec<u32> =
            allowed.iter().copied().filter(|cpu| !lcores.cpus().contains(cpu)).collect();
        for thread in own.lcores() {
            let refuse = |cpu, why| {
                let what = format!("run offload thread {} on core {cpu}", thread.lcore_id);
                Err(Error::new(what, why, remedy(&free)))
            };
            for &cpu in &thread.cpus {
                let user = lcores.lcores().iter().find(|lcore| lcore.cpus.contains(&cpu));
                if !present.contains(&cpu) {
                    return refuse(cpu, format!("this machine has {}", name_cores(present)));
                } else if !allowed.contains(&cpu) {
                    let why = format!("this process may run on {} alone", name_cores(allowed));
                    return refuse(cpu, why);
                } else if let Some(user) = user {
                    return refuse(cpu, format!("lcore {} runs there", user.lcore_id));
                }
            }
        }
        Ok(())
    }

    /// The threads, as name and cores; `allowed` are those that this process may use.
    pub fn places(&self, lcores: &CoreMap, allowed: &[u32]) -> Vec<(String, Vec<u32>)> {
        if let Some(own) = &self.lcores {
            let place = |l: &super::LcoreSpec| (format!("offload-{}", l.lcore_id), l.cpus.clone());
            return own.lcores().iter().map(place).collect();
        }
        let taken: BTreeSet<u32> = lcores.cpus().into_iter().collect();
        let mut cpus: Vec<u32> =
            allowed.iter().copied().filter(|cpu| !taken.contains(cpu)).collect();
        if cpus.is_empty() {
            cpus = allowed.to_vec();
        }
        (0..self.threads.unwrap_or(1)).map(|n| (format!("offload-{n}"), cpus.clone())).collect()
    }
}

fn remedy(free: &[u32]) -> String {
    if free.is_empty() {
        return "leave cores to it by running fewer lcores, or let its threads float: \
                `threads = 1` in [offload]"
            .to_owned();
    }
    format!("name cores among {}, which no lcore uses", format_cpus(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(list: &str) -> String {
        let lcores = CoreMap::parse_list("1,5@2").unwrap();
        let offload = OffloadConfig::on(CoreMap::parse_list(list).unwrap());
        let checked = offload.check(&lcores, &[0, 1, 2, 3, 4], &[0, 1, 2, 3]);
        checked.err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn cores_that_lcores_use_that_are_not_allowed_or_not_there_are_refused_g_9() {
        assert_eq!(refusal("0,3"), "");
        assert_eq!(refusal("0@(0,3)"), "");
        let lcore = refusal("0@(0,2)");
        assert!(lcore.contains("offload thread 0 on core 2: lcore 5 runs there"), "{lcore}");
        assert!(lcore.contains("name cores among 0,3"), "{lcore}");
        assert!(refusal("4").contains("may run on cores 0-3 alone"), "{}", refusal("4"));
        assert!(refusal("7").contains("has cores 0-4"), "{}", refusal("7"));
    }

    #[test]
    fn threads_without_cores_float_over_those_that_no_lcore_uses() {
        let lcores = CoreMap::parse_list("1-2").unwrap();
        let offload = OffloadConfig { threads: Some(2), ..OffloadConfig::default() };
        let places = offload.places(&lcores, &[0, 1, 2, 3]);
        assert_eq!(places, [0, 1].map(|n| (format!("offload-{n}"), vec![0, 3])));
        let places = OffloadConfig::default().places(&lcores, &[1, 2]);
        assert_eq!(places, [("offload-0".to_owned(), vec![1, 2])], "where none are left");
        let own = OffloadConfig::on(CoreMap::parse_list("7@3,9@(0,3)").unwrap());
        let names = own.places(&lcores, &[0, 1, 2, 3]);
        assert_eq!(names, [("offload-7".into(), vec![3]), ("offload-9".into(), vec![0, 3])]);
    }
}
