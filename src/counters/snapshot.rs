//! What a dataplane counts, as somebody who looked at it once has it: plain values, of an instance that runs or of one
//! that has died. Everything that shows numbers (`ringway top`, `/metrics`, the dashboard, `ringway ctl`) reads this.

use serde::{Serialize, Serializer};

use super::histogram::Histogram;

/// Bounds of the bufs in one call of a stage, a power of two each: the first bucket holds 0 and 1, the last more than 32.
pub const BURST_BUCKETS: usize = 7;

/// All that is counted at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// The instance's name (`--file-prefix`).
    pub instance: String,
    /// Of the ringway that it runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How it is.
    pub state: State,
    /// When this was taken, in milliseconds of the calendar (Unix time).
    pub taken_unix_ms: u64,
    /// When it last said that it is alive, the same way: four times a second while it runs.
    pub seen_unix_ms: u64,
    /// Since it started, in nanoseconds; of one that has died: until it was last seen alive.
    pub uptime_ns: u64,
    /// Which configuration is in force: 1 from the start, one more with each change.
    pub generation: u64,
    /// How fast [`StageSnapshot::cycles`] count.
    pub cycles_per_second: u64,
    /// One in how many passes of the poll loop is measured stage by stage; 0: none.
    pub sampling: u32,
    /// Its lcores, in order.
    pub lcores: Vec<LcoreSnapshot>,
    /// Its listeners over all lcores, in the order of their indices. Those that drain are there until they are gone.
    pub listeners: Vec<ListenerSnapshot>,
    /// Sizes of slots of its pools.
    pub pools: Vec<PoolSnapshot>,
    /// Its ports.
    pub ports: Vec<PortSnapshot>,
}

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being built.
    #[default]
    Starting,
    /// It serves.
    Running,
    /// It accepts no more, and its connections have time to finish.
    Draining,
    /// It ended as it should.
    Ended,
    /// Its process is gone without having said so.
    Died,
}

/// What one lcore counts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LcoreSnapshot {
    /// The operator's number of it.
    pub lcore_id: u32,
    /// The cores it may run on, as `2` or `2-3`.
    pub cpus: String,
    /// Its process's thread; 0 where it is not known.
    pub thread_id: u32,
    /// Connections that are open.
    pub connections: u64,
    /// Nanoseconds since it last began a pass of its loop or went to sleep; more than a moment while it runs: it hangs.
    pub silent_ns: u64,
    /// What it is doing, where it has been silent for long: listener and stage.
    pub doing: Option<String>,
    /// Times that it was silent for longer than it may.
    pub stalls: u64,
    /// All counters by name, its listeners' included.
    pub counters: Values,
    /// Bufs dropped, by reason.
    pub dropped: Values,
    /// The verbs of its poll loop. The bufs of a verb are what it did: completions, mails, bufs moved.
    pub stages: Vec<StageSnapshot>,
}

/// What one listener counts, over all lcores.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListenerSnapshot {
    /// Its number on the lcores.
    pub index: u8,
    /// Where it listens.
    pub address: String,
    /// What carries its bytes: `tcp`, `udp`, `unix`, `shm`.
    pub transport: String,
    /// What they mean.
    pub protocol: String,
    /// It accepts no more, and is gone with its last connection.
    pub draining: bool,
    /// Connections that are open.
    pub connections: u64,
    /// All counters by name.
    pub counters: Values,
    /// Bufs dropped, by reason.
    pub dropped: Values,
    /// `rx`, `ingress`, `handler`, `egress`, `tx`, `flush`.
    pub stages: Vec<StageSnapshot>,
    /// From when something was received until something was handed to be sent to the same peer, in nanoseconds.
    pub latency: Histogram,
    /// The longest of the latencies that were measured in the last ten seconds or so.
    pub slowest: Option<Slowest>,
}

/// A latency, and whose it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Slowest {
    /// The connection, as `ringway ctl` writes it.
    pub conn: String,
    /// Nanoseconds.
    pub ns: u64,
    /// When, in nanoseconds since the start.
    pub at_ns: u64,
}

/// How a step of the work does: estimates from the passes that are measured ([`Snapshot::sampling`]).
#[derive(Debug, Clone, Default, Serialize)]
pub struct StageSnapshot {
    /// Its name.
    pub name: String,
    /// Times it was called.
    pub calls: u64,
    /// Bufs that went through it.
    pub bufs: u64,
    /// Cycles it took.
    pub cycles: u64,
    /// Calls by how many bufs they had: at most 1, 2, 4, 8, 16, 32, and more.
    pub bufs_per_call: [u64; BURST_BUCKETS],
}

/// One size of slots of one pool.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PoolSnapshot {
    /// NUMA node of the pool.
    pub numa_node: u32,
    /// The pages under it.
    pub pages: String,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Slots.
    pub slots: u32,
    /// Slots that are out.
    pub in_use: u64,
    /// Slots taken since the start.
    pub allocated: u64,
    /// Slots given back.
    pub freed: u64,
    /// Times that none was left.
    pub exhausted: u64,
}

/// A port and the process at it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PortSnapshot {
    /// Its name.
    pub name: String,
    /// `handler` or `peer`.
    pub role: String,
    /// The process that is attached.
    pub pid: Option<u32>,
    /// How it shares the bytes.
    pub trust: Option<String>,
    /// What lies for the process in its rings, over all lcores, empty slots among it; 0 of one that sleeps until there is
    /// something.
    pub waiting: u64,
    /// Nanoseconds for which it has taken nothing while something waits for it; 0: it keeps up.
    pub stalled_ns: u64,
}

/// Numbers by name, in the order of the counters. In JSON an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(pub Vec<(String, u64)>);

impl Values {
    /// The value of that name; 0 where there is none.
    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(there, _)| there == name).map_or(0, |(_, value)| *value)
    }

    /// Each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Adds the values of the same names of another; names that are new come behind.
    pub fn merge(&mut self, other: &Self) {
        for (name, value) in other.iter() {
            match self.0.iter_mut().find(|(there, _)| there == name) {
                Some((_, sum)) => *sum = sum.wrapping_add(value),
                None => self.0.push((name.to_owned(), value)),
            }
        }
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl StageSnapshot {
    /// Bufs of a call, on average.
    pub fn bufs_a_call(&self) -> f64 {
        self.bufs as f64 / self.calls.max(1) as f64
    }

    /// Cycles of a call, on average.
    pub fn cycles_a_call(&self) -> f64 {
        self.cycles as f64 / self.calls.max(1) as f64
    }

    /// Cycles of a buf, on average.
    pub fn cycles_a_buf(&self) -> f64 {
        self.cycles as f64 / self.bufs.max(1) as f64
    }
}

impl Snapshot {
    /// A counter over all lcores.
    pub fn sum(&self, counter: &str) -> u64 {
        self.lcores.iter().map(|lcore| lcore.counters.get(counter)).sum()
    }

    /// Bufs dropped over all lcores, by reason.
    pub fn dropped(&self) -> Values {
        let mut all = Values::default();
        self.lcores.iter().for_each(|lcore| all.merge(&lcore.dropped));
        all
    }
}
