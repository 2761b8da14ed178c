//! The numbers as they lie in memory: of an lcore, of a listener on it, of a stage. An lcore alone writes its own, so
//! counting is a plain store, but for what the offload pool counts of its tasks; anyone may read.

use bytemuck::Zeroable;

use super::histogram::BUCKETS;
use super::snapshot::BURST_BUCKETS;
use crate::limits::LISTENERS_MAX;
use crate::sync::{Ordering, Tally};
use crate::sys::shared::Shared;

/// Room for counters, and for reasons: a counter more moves nothing.
pub const COUNTERS_MAX: usize = 64;
/// As above.
pub const REASONS_MAX: usize = 32;
/// Room for the verbs of a poll loop.
pub const VERBS_MAX: usize = 12;
/// Room for the stages of a listener.
pub const STAGES_MAX: usize = 8;

const _: () = assert!(super::Counter::ALL.len() <= COUNTERS_MAX);
const _: () = assert!(super::Reason::ALL.len() <= REASONS_MAX);
const _: () = assert!(Verb::ALL.len() <= VERBS_MAX && Stage::ALL.len() <= STAGES_MAX);

/// Adds to a cell that only the calling thread writes: nothing is locked.
#[inline]
pub(super) fn add(cell: &Tally, n: u64) {
    if cfg!(no_counters) {
        return;
    }
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

#[inline]
fn load(cell: &Tally) -> u64 {
    cell.load(Ordering::Relaxed)
}

/// A verb of the poll loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Verb {
    /// Entering the kernel, and handing completions to their listeners.
    Completions,
    /// Firing timers.
    Timers,
    /// Reading mail.
    Mail,
    /// Bringing messages to members of groups and to slow connections.
    Writes,
    /// Looking at what attached processes have sent.
    Ports,
    /// Moving bursts through the listeners: all of their stages.
    Turns,
    /// Telling authors what became of their writes.
    Notices,
    /// Asking connections to close.
    WindDown,
}

impl Verb {
    /// All of them with their names, in order of their index.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Completions, "completions"),
        (Self::Timers, "timers"),
        (Self::Mail, "mail"),
        (Self::Writes, "writes"),
        (Self::Ports, "ports"),
        (Self::Turns, "turns"),
        (Self::Notices, "notices"),
        (Self::WindDown, "wind_down"),
    ];
}

/// A step of a listener's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// The transport gives what arrived.
    Rx,
    /// The chain makes messages of it.
    Ingress,
    /// The handler answers.
    Handler,
    /// The chain makes bytes of the replies.
    Egress,
    /// The transport takes them.
    Tx,
    /// The transport starts its sends.
    Flush,
}

impl Stage {
    /// All of them with their names, in order of their index.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Rx, "rx"),
        (Self::Ingress, "ingress"),
        (Self::Handler, "handler"),
        (Self::Egress, "egress"),
        (Self::Tx, "tx"),
        (Self::Flush, "flush"),
    ];
}

/// Counters, and why bufs were dropped.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub struct Cells {
    pub(super) values: [Tally; COUNTERS_MAX],
    pub(super) dropped: [Tally; REASONS_MAX],
}

impl Cells {
    pub(super) fn value(&self, index: usize) -> u64 {
        load(&self.values[index])
    }

    pub(super) fn drops(&self, index: usize) -> u64 {
        load(&self.dropped[index])
    }

    /// Takes over what another has, and leaves that at 0.
    fn take(&self, other: &Self) {
        let ours = self.values.iter().chain(&self.dropped);
        for (ours, theirs) in ours.zip(other.values.iter().chain(&other.dropped)) {
            add(ours, load(theirs));
            theirs.store(0, Ordering::Relaxed);
        }
    }
}

/// What was measured of a stage or verb.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub struct StageCells {
    calls: Tally,
    bufs: Tally,
    cycles: Tally,
    bufs_per_call: [Tally; BURST_BUCKETS],
}

impl StageCells {
    /// Notes a call that had so many bufs and took so many cycles, and stands for `weight` of its kind.
    #[inline]
    pub fn record(&self, bufs: usize, cycles: u64, weight: u64) {
        add(&self.calls, weight);
        add(&self.bufs, bufs as u64 * weight);
        add(&self.cycles, cycles * weight);
        add(&self.bufs_per_call[burst_bucket(bufs)], weight);
    }

    fn clear(&self) {
        let cells = [&self.calls, &self.bufs, &self.cycles];
        cells
            .into_iter()
            .chain(&self.bufs_per_call)
            .for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
}

/// 0 and 1, up to 2, 4, 8, 16, 32, and more.
#[inline]
fn burst_bucket(bufs: usize) -> usize {
    (bufs.max(1).next_power_of_two().trailing_zeros() as usize).min(BURST_BUCKETS - 1)
}

/// What a listener counts on an lcore.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub struct ListenerBlock {
    /// Whether there is such a listener on the lcore: 0 none, 1 serving, 2 it accepts no more.
    pub state: Tally,
    /// The longest of the latencies that were measured lately, in nanoseconds.
    pub slowest_ns: Tally,
    /// Of which connection: its id's bits.
    pub slowest_conn: Tally,
    /// When, on the clock of the dataplane.
    pub slowest_at_ns: Tally,
    pub(super) cells: Cells,
    pub(super) stages: [StageCells; STAGES_MAX],
    pub(super) latency: [Tally; BUCKETS],
}

/// What an lcore counts and says about itself.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub struct LcoreBlock {
    /// Odd while a listener's numbers move to the lcore's own.
    pub epoch: Tally,
    /// The operator's number.
    pub lcore_id: Tally,
    /// Its thread.
    pub thread_id: Tally,
    /// When it last read the clock, on the clock of the dataplane.
    pub alive_ns: Tally,
    /// 1 while it sleeps in the kernel.
    pub rests: Tally,
    /// What it does: see [`Doing`](super::Doing).
    pub doing: Tally,
    /// The listener whose turn it is.
    pub doing_listener: Tally,
    /// To the first connection of what it does it with: its id's bits.
    pub doing_conn: Tally,
    /// For how long it had been silent when somebody last looked.
    pub silent_ns: Tally,
    /// Times that this was longer than it may be.
    pub stalls: Tally,
    /// One in how many passes it measures; 0: none.
    pub sampling: Tally,
    /// Its cores, as text.
    pub cpus: [Tally; 8],
    pub(super) cells: Cells,
    pub(super) verbs: [StageCells; VERBS_MAX],
    pub(super) listeners: [ListenerBlock; LISTENERS_MAX],
}

impl LcoreBlock {
    /// A counter, its listeners' included.
    pub(super) fn value(&self, index: usize) -> u64 {
        self.all().map(|cells| cells.value(index)).fold(0, u64::wrapping_add)
    }

    /// Bufs dropped for a reason, the same way.
    pub(super) fn drops(&self, index: usize) -> u64 {
        self.all().map(|cells| cells.drops(index)).fold(0, u64::wrapping_add)
    }

    fn all(&self) -> impl Iterator<Item = &Cells> {
        std::iter::once(&self.cells).chain(self.listeners.iter().map(|listener| &listener.cells))
    }

    /// The listener at `index` is gone: what it counted is the lcore's from here on, and its place is free.
    pub fn fold(&self, index: u8) {
        let listener = &self.listeners[usize::from(index)];
        // Release on both: who reads an even epoch before and the same after has read nothing in between.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.cells.take(&listener.cells);
        listener.stages.iter().for_each(StageCells::clear);
        let rest = [
            &listener.state,
            &listener.slowest_ns,
            &listener.slowest_conn,
            &listener.slowest_at_ns,
        ];
        rest.into_iter().chain(&listener.latency).for_each(|cell| cell.store(0, Ordering::Relaxed));
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

/// Where an lcore counts, or a listener on it. Clones count in the same place; it is to be counted by the lcore that
/// it belongs to, but for [`add_shared`](Self::add_shared).
#[derive(Debug, Clone)]
pub struct Counters {
    cells: Shared<Cells>,
    lcore: Shared<LcoreBlock>,
}

impl Default for Counters {
    /// Of an lcore that nobody outside of the process looks at.
    fn default() -> Self {
        Self::of(Shared::on_heap())
    }
}

impl Counters {
    /// Those of an lcore, beside its listeners'.
    pub fn of(lcore: Shared<LcoreBlock>) -> Self {
        Self { cells: lcore.part(|block| &block.cells), lcore }
    }

    /// Those of the lcore's listener at `index`.
    pub fn listener(&self, index: u8) -> Self {
        let cells = self.lcore.part(|block| &block.listeners[usize::from(index)].cells);
        Self { cells, lcore: self.lcore.clone() }
    }

    /// All that its lcore says.
    #[inline]
    pub fn block(&self) -> &LcoreBlock {
        &self.lcore
    }

    /// What is measured of a verb of its lcore.
    #[inline]
    pub fn verb(&self, verb: Verb) -> &StageCells {
        &self.lcore.verbs[verb as usize]
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, counter: super::Counter, n: u64) {
        add(&self.cells.values[counter as usize], n);
    }

    /// Adds `n` to a counter that several threads count, and that nobody adds to in another way.
    pub fn add_shared(&self, counter: super::Counter, n: u64) {
        self.cells.values[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a counter that is kept elsewhere.
    #[inline]
    pub fn set(&self, counter: super::Counter, value: u64) {
        self.cells.values[counter as usize].store(value, Ordering::Relaxed);
    }

    /// Counts one dropped buf.
    #[inline]
    pub fn drop_one(&self, reason: super::Reason) {
        add(&self.cells.dropped[reason as usize], 1);
    }

    /// Counts `n` of them.
    pub fn drop_many(&self, reason: super::Reason, n: u64) {
        add(&self.cells.dropped[reason as usize], n);
    }

    /// Reads a counter of its lcore, over all its listeners.
    pub fn get(&self, counter: super::Counter) -> u64 {
        self.lcore.value(counter as usize)
    }

    /// Bufs that its lcore dropped for `reason`.
    pub fn dropped(&self, reason: super::Reason) -> u64 {
        self.lcore.drops(reason as usize)
    }

    /// Bufs dropped for `reason` in its own place alone.
    pub fn own_dropped(&self, reason: super::Reason) -> u64 {
        self.cells.drops(reason as usize)
    }

    /// A counter of its own place alone.
    #[inline]
    pub fn own(&self, counter: super::Counter) -> u64 {
        self.cells.value(counter as usize)
    }
}

impl ListenerBlock {
    /// What is measured of a stage.
    #[inline]
    pub fn stage(&self, stage: Stage) -> &StageCells {
        &self.stages[stage as usize]
    }

    /// Notes a latency that stands for `weight` of its kind.
    #[inline]
    pub fn record_latency(&self, ns: u64, weight: u64) {
        add(&self.latency[super::histogram::bucket_of(ns)], weight);
    }
}

impl LcoreBlock {
    /// What the listener at `index` counts.
    #[inline]
    pub fn listener(&self, index: u8) -> &ListenerBlock {
        &self.listeners[usize::from(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counter, Reason};
    use super::*;

    #[test]
    fn what_a_listener_counts_is_its_lcores_and_stays_so_when_it_is_gone() {
        let lcore = Counters::default();
        let (one, other) = (lcore.listener(0), lcore.listener(31));
        lcore.add(Counter::Accepted, 1);
        one.add(Counter::Accepted, 10);
        other.add(Counter::Accepted, 100);
        other.drop_many(Reason::Unsent, 5);
        let seen = || {
            (
                lcore.get(Counter::Accepted),
                one.get(Counter::Accepted),
                lcore.dropped(Reason::Unsent),
            )
        };
        assert_eq!(seen(), (111, 111, 5));
        assert_eq!((lcore.own(Counter::Accepted), other.own(Counter::Accepted)), (1, 100));
        lcore.block().listener(31).record_latency(77, 1);
        lcore.block().fold(31);
        assert_eq!(seen(), (111, 111, 5));
        assert_eq!((lcore.own(Counter::Accepted), other.own(Counter::Accepted)), (101, 0));
        assert_eq!(load(&lcore.block().epoch), 2);
    }

    #[test]
    fn bursts_fall_into_the_buckets_of_their_powers_of_two() {
        let buckets = [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64].map(burst_bucket);
        assert_eq!(buckets, [0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
    }
}
