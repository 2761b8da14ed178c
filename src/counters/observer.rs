//! Who looks: reads the segment of an instance, be it this one, another one, or one that has died. Nothing of what is
//! read is trusted; a segment of another version is refused.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::segment::{Header as Words, MAGIC, NAME_BYTES, VERSION};
use super::snapshot::{
    BURST_BUCKETS, LcoreSnapshot, ListenerSnapshot, PoolSnapshot, PortSnapshot, Slowest, Snapshot,
    StageSnapshot, State, Values,
};
use super::{Doing, segment};
use crate::error::{Error, Result};
use crate::sys::shared::{has_writer, read_at};

/// Times that a part is read again because it changed meanwhile.
const TRIES: usize = 100;

/// Bounds on what a segment says of itself: more is not believed.
const WORDS_MAX: u64 = 1 << 20;
const PLACE_MAX: u64 = 1 << 40;

/// Somebody who looks at an instance.
#[derive(Debug)]
pub struct Observer {
    file: File,
    path: Option<PathBuf>,
    /// It is this process's own, which lives.
    own: bool,
}

impl Observer {
    /// Of the instance `prefix` of this user.
    ///
    /// # Errors
    /// When there is none, and none has died.
    pub fn open(prefix: &str) -> Result<Self> {
        Self::open_file(&segment::path(nix::unistd::geteuid().as_raw(), prefix))
    }

    /// Of the instance whose segment lies at `path`.
    pub fn open_file(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| {
            let remedy = match e.kind() {
                io::ErrorKind::NotFound => "start it, or name one that runs with --file-prefix",
                _ => "run this as the instance's user, or give the file other permissions ([stats] mode)",
            };
            Error::new(format!("read the statistics in {}", path.display()), e, remedy)
        })?;
        Ok(Self { file, path: Some(path.to_owned()), own: false })
    }

    /// Of a segment of this process.
    pub fn of(fd: OwnedFd) -> Self {
        Self { file: File::from(fd), path: None, own: true }
    }

    /// Whether another segment lies in the place of this one by now: the instance was started again.
    pub fn is_replaced(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Some(path) = &self.path else { return false };
        match (self.file.metadata(), std::fs::metadata(path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) != (there.dev(), there.ino()),
            _ => false,
        }
    }

    /// What it counts now.
    ///
    /// # Errors
    /// When it is no segment of a version that is known here, or is broken.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.read().map_err(|why| {
            let place =
                self.path.as_ref().map_or("memory".to_owned(), |path| path.display().to_string());
            Error::new(
                format!("read the statistics in {place}"),
                why,
                "use the ringway that the instance runs",
            )
        })
    }

    fn read(&self) -> Result<Snapshot, String> {
        let mut taken = Err("it changes all the time".to_owned());
        for _ in 0..TRIES {
            taken = self.try_read()?;
            if taken.is_ok() {
                break;
            }
            std::thread::yield_now();
        }
        taken
    }

    /// The inner error: what was read is in the middle of a change.
    fn try_read(&self) -> Result<Result<Snapshot, String>, String> {
        let header = Header::read(&self.file)?;
        if header.word(offset_of!(Words, epoch)) % 2 == 1 {
            return Ok(Err("it is in the middle of a change".to_owned()));
        }
        let names = Names::read(&self.file, &header)?;
        let mut snapshot = Snapshot {
            instance: header.text(offset_of!(Words, instance)),
            version: header.text(offset_of!(Words, release)),
            pid: header.word(offset_of!(Words, pid)) as u32,
            state: self.state(header.word(offset_of!(Words, state))),
            taken_unix_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis() as u64,
            seen_unix_ms: header.word(offset_of!(Words, seen_unix_ms)),
            uptime_ns: header.word(offset_of!(Words, uptime_ns)),
            generation: header.word(offset_of!(Words, generation)),
            cycles_per_second: header.word(offset_of!(Words, cycles_per_second)),
            sampling: header.word(offset_of!(Words, sampling)) as u32,
            ..Snapshot::default()
        };
        if snapshot.state != State::Died && snapshot.state != State::Ended {
            let since = snapshot
                .taken_unix_ms
                .saturating_sub(header.word(offset_of!(Words, started_unix_ms)));
            snapshot.uptime_ns = snapshot.uptime_ns.max(since.saturating_mul(1_000_000));
        }
        for index in 0..header.count(offset_of!(Words, lcores), 256)? {
            let Some(lcore) = self.lcore(&header, &names, index, &mut snapshot.listeners)? else {
                return Ok(Err("a listener ends all the time".to_owned()));
            };
            snapshot.lcores.push(lcore);
        }
        snapshot.listeners.sort_by_key(|listener| listener.index);
        self.describe_listeners(&header, &mut snapshot.listeners)?;
        snapshot.pools = self.pools(&header)?;
        snapshot.ports = self.ports(&header)?;
        // What lcores count changes all the time; what the numbers belong to has not meanwhile.
        let again = Header::read(&self.file)?;
        let same = again.word(offset_of!(Words, epoch)) == header.word(offset_of!(Words, epoch));
        Ok(if same { Ok(snapshot) } else { Err("it changes all the time".to_owned()) })
    }

    fn state(&self, word: u64) -> State {
        let said = [State::Starting, State::Running, State::Draining, State::Ended];
        let said = said.get(word as usize).copied().unwrap_or_default();
        if said != State::Ended && !self.own && !has_writer(&self.file) {
            State::Died
        } else {
            said
        }
    }

    /// `None`: a listener's numbers moved all the time.
    fn lcore(
        &self,
        header: &Header,
        names: &Names,
        index: u64,
        listeners: &mut Vec<ListenerSnapshot>,
    ) -> Result<Option<LcoreSnapshot>, String> {
        let at = header.word(offset_of!(Words, lcores_at))
            + index * header.word(offset_of!(Words, lcore_bytes));
        for _ in 0..TRIES {
            let epoch = words(&self.file, at, 1)?[0];
            if epoch % 2 == 0 {
                let mut seen = listeners.clone();
                let lcore = self.lcore_block(header, names, at, &mut seen)?;
                if words(&self.file, at, 1)?[0] == epoch {
                    *listeners = seen;
                    return Ok(Some(lcore));
                }
            }
            std::thread::yield_now();
        }
        Ok(None)
    }

    fn lcore_block(
        &self,
        header: &Header,
        names: &Names,
        at: u64,
        listeners: &mut Vec<ListenerSnapshot>,
    ) -> Result<LcoreSnapshot, String> {
        let head = words(&self.file, at, 19)?;
        let (mut counters, mut dropped) =
            self.cells(header, names, at + header.word(offset_of!(Words, lcore_cells_at)))?;
        let stages =
            self.stages(header, &names.verbs, at + header.word(offset_of!(Words, lcore_verbs_at)))?;
        for index in 0..header.count(offset_of!(Words, listeners), 256)? {
            let at = at
                + header.word(offset_of!(Words, lcore_listeners_at))
                + index * header.word(offset_of!(Words, lcore_listener_bytes));
            let [state, slowest_ns, slowest_conn, slowest_at] =
                words(&self.file, at, 4)?.try_into().expect("four were read");
            let (own_counters, own_dropped) =
                self.cells(header, names, at + header.word(offset_of!(Words, cells_at)))?;
            counters.merge(&own_counters);
            dropped.merge(&own_dropped);
            if state == 0 {
                continue;
            }
            let listener = listener_at(listeners, index as u8);
            listener.draining |= state == 2;
            listener.counters.merge(&own_counters);
            listener.dropped.merge(&own_dropped);
            listener.connections = open(&listener.counters);
            add_stages(
                &mut listener.stages,
                self.stages(header, &names.stages, at + header.word(offset_of!(Words, stages_at)))?,
            );
            let latency = words(
                &self.file,
                at + header.word(offset_of!(Words, latency_at)),
                header.count(offset_of!(Words, latency_buckets), 1 << 16)?,
            )?;
            latency.iter().enumerate().for_each(|(bucket, n)| listener.latency.add_to(bucket, *n));
            let slowest = Slowest { conn: conn(slowest_conn), ns: slowest_ns, at_ns: slowest_at };
            if slowest_ns > listener.slowest.as_ref().map_or(0, |one| one.ns) {
                listener.slowest = Some(slowest);
            }
        }
        let silent_ns = head[8];
        Ok(LcoreSnapshot {
            lcore_id: head[1] as u32,
            thread_id: head[2] as u32,
            cpus: text(&head[11..19]),
            connections: open(&counters),
            silent_ns,
            doing: (silent_ns > 0)
                .then(|| Doing::from_words(head[5], head[6], head[7]).to_string()),
            stalls: head[9],
            counters,
            dropped,
            stages,
        })
    }

    fn cells(&self, header: &Header, names: &Names, at: u64) -> Result<(Values, Values), String> {
        let named = |names: &[String], values: Vec<u64>| {
            Values(names.iter().cloned().zip(values).collect())
        };
        let counters = words(&self.file, at, names.counters.len() as u64)?;
        let dropped = words(
            &self.file,
            at + header.word(offset_of!(Words, reasons_at)),
            names.reasons.len() as u64,
        )?;
        Ok((named(&names.counters, counters), named(&names.reasons, dropped)))
    }

    fn stages(
        &self,
        header: &Header,
        names: &[String],
        at: u64,
    ) -> Result<Vec<StageSnapshot>, String> {
        let bytes = header.word(offset_of!(Words, stage_bytes));
        let of = |(index, name): (usize, &String)| {
            let words = words(&self.file, at + index as u64 * bytes, 3 + BURST_BUCKETS as u64)?;
            let mut bufs_per_call = [0; BURST_BUCKETS];
            bufs_per_call.copy_from_slice(&words[3..]);
            let [calls, bufs, cycles] = [words[0], words[1], words[2]];
            Ok(StageSnapshot { name: name.clone(), calls, bufs, cycles, bufs_per_call })
        };
        names.iter().enumerate().map(of).collect()
    }

    fn describe_listeners(
        &self,
        header: &Header,
        listeners: &mut [ListenerSnapshot],
    ) -> Result<(), String> {
        for listener in listeners {
            let at = header.word(offset_of!(Words, listeners_at))
                + u64::from(listener.index) * header.word(offset_of!(Words, listener_bytes));
            let record = words(&self.file, at, 26)?;
            listener.address = text(&record[..16]);
            listener.transport = text(&record[16..18]);
            listener.protocol = text(&record[18..26]);
        }
        Ok(())
    }

    fn pools(&self, header: &Header) -> Result<Vec<PoolSnapshot>, String> {
        let of = |index| {
            let record = words(
                &self.file,
                header.word(offset_of!(Words, pools_at))
                    + index * header.word(offset_of!(Words, pool_bytes)),
                10,
            )?;
            Ok(PoolSnapshot {
                numa_node: record[0] as u32,
                slot_bytes: record[1] as u32,
                slots: record[2] as u32,
                in_use: record[3].saturating_sub(record[4]),
                allocated: record[3],
                freed: record[4],
                exhausted: record[5],
                pages: text(&record[6..]),
            })
        };
        (0..header.count(offset_of!(Words, pools), 4096)?).map(of).collect()
    }

    fn ports(&self, header: &Header) -> Result<Vec<PortSnapshot>, String> {
        let of = |index| {
            let record = words(
                &self.file,
                header.word(offset_of!(Words, ports_at))
                    + index * header.word(offset_of!(Words, port_bytes)),
                11,
            )?;
            Ok(PortSnapshot {
                pid: Some(record[0] as u32).filter(|pid| *pid > 0),
                waiting: record[1],
                stalled_ns: record[2],
                role: text(&record[3..5]),
                trust: Some(text(&record[5..7])).filter(|trust| !trust.is_empty()),
                name: text(&record[7..]),
            })
        };
        (0..header.count(offset_of!(Words, ports), 4096)?).map(of).collect()
    }
}

/// The words of the header, checked as far as all readers need them.
struct Header(Vec<u64>);

impl Header {
    fn read(file: &File) -> Result<Self, String> {
        let header = Self(words(file, 0, size_of::<Words>() as u64 / 8)?);
        if header.word(offset_of!(Words, magic)) != MAGIC {
            return Err("it is no segment of statistics, or not yet".to_owned());
        }
        if header.word(offset_of!(Words, version)) != VERSION {
            return Err(format!(
                "it has version {}, and this is version {VERSION}",
                header.word(offset_of!(Words, version))
            ));
        }
        let places = offset_of!(Words, names_at)..offset_of!(Words, free);
        if let Some(at) = places.step_by(8).find(|at| header.word(*at) > PLACE_MAX) {
            return Err(format!("the word at {at} leads far behind its end"));
        }
        if header.word(offset_of!(Words, burst_buckets)) != BURST_BUCKETS as u64 {
            return Err(format!(
                "it has {} buckets of bursts, and not {BURST_BUCKETS}",
                header.word(offset_of!(Words, burst_buckets))
            ));
        }
        Ok(header)
    }

    /// The word at an offset.
    fn word(&self, at: usize) -> u64 {
        self.0[at / 8]
    }

    fn count(&self, at: usize, most: u64) -> Result<u64, String> {
        let count = self.word(at);
        if count > most {
            Err(format!("the word at {at} says {count}, more than {most}"))
        } else {
            Ok(count)
        }
    }

    fn text(&self, at: usize) -> String {
        text(&self.0[at / 8..][..NAME_BYTES / 8])
    }
}

/// What the numbers are called.
struct Names {
    counters: Vec<String>,
    reasons: Vec<String>,
    verbs: Vec<String>,
    stages: Vec<String>,
}

impl Names {
    fn read(file: &File, header: &Header) -> Result<Self, String> {
        let counts = [
            offset_of!(Words, counters),
            offset_of!(Words, reasons),
            offset_of!(Words, verbs),
            offset_of!(Words, stages),
        ]
        .map(|index| header.count(index, 256));
        let mut at = header.word(offset_of!(Words, names_at));
        let mut lists = Vec::new();
        for count in counts {
            let count = count?;
            let list = words(file, at, count * (NAME_BYTES as u64 / 8))?;
            lists.push(list.chunks(NAME_BYTES / 8).map(text).collect());
            at += count * NAME_BYTES as u64;
        }
        let mut lists = lists.into_iter();
        let mut next = || lists.next().expect("there are four");
        Ok(Self { counters: next(), reasons: next(), verbs: next(), stages: next() })
    }
}

fn words(file: &File, at: u64, count: u64) -> Result<Vec<u64>, String> {
    if count > WORDS_MAX {
        return Err(format!("{count} words at {at} are too many"));
    }
    let bytes = read_at(file, at, count as usize * 8).map_err(|e| e.to_string())?;
    let word = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("chunks of eight"));
    Ok(bytes.chunks_exact(8).map(word).collect())
}

fn text(words: &[u64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let plain = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(&bytes[..end]).chars().map(plain).collect()
}

/// A connection's id as it is written everywhere: lcore, slot, generation.
pub(super) fn conn(bits: u64) -> String {
    let (generation, place) = (bits as u32, (bits >> 32) as u32);
    format!("{}:{}.{generation}", place >> 24, place & 0x00ff_ffff)
}

fn open(counters: &Values) -> u64 {
    counters.get("accepted").saturating_sub(counters.get("closed"))
}

fn listener_at(listeners: &mut Vec<ListenerSnapshot>, index: u8) -> &mut ListenerSnapshot {
    let place =
        listeners.iter().position(|listener| listener.index == index).unwrap_or_else(|| {
            listeners.push(ListenerSnapshot { index, ..ListenerSnapshot::default() });
            listeners.len() - 1
        });
    &mut listeners[place]
}

fn add_stages(sum: &mut Vec<StageSnapshot>, more: Vec<StageSnapshot>) {
    if sum.is_empty() {
        *sum = more;
        return;
    }
    for (ours, theirs) in sum.iter_mut().zip(more) {
        ours.calls = ours.calls.wrapping_add(theirs.calls);
        ours.bufs = ours.bufs.wrapping_add(theirs.bufs);
        ours.cycles = ours.cycles.wrapping_add(theirs.cycles);
        let buckets = ours.bufs_per_call.iter_mut().zip(theirs.bufs_per_call);
        buckets.for_each(|(ours, theirs)| *ours = ours.wrapping_add(theirs));
    }
}

#[cfg(test)]
mod tests;
