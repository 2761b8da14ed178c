//! Where writes to the connections of one lcore come in, from any thread.

use std::sync::{Arc, OnceLock};

use super::group::Publish;
use super::{Group, SlowPolicy, WriteCallback};
use crate::limits::{GROUP_PUBLISHES_MAX, LCORES_MAX};
use crate::mem::{Buf, ConnId, Mempool};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What an lcore is asked to do for its connections, by mail.
pub enum Word {
    /// Write to the connection that the buf names.
    Write(Buf, Option<WriteCallback>),
    /// Write to the members that it has of a group.
    Publish(Publish),
    /// Have a connection join a group.
    Join(Group, ConnId),
    /// Have it leave one.
    Leave(Group, ConnId),
    /// What may wait for it from now on.
    Policy(ConnId, SlowPolicy),
}

/// Takes words to an lcore.
pub trait Letterbox: Send + Sync {
    /// Never waits; gives the word back when there is no room, or nobody who reads.
    fn post(&self, word: Word) -> Result<(), Word>;

    /// Whether the lcore has ended.
    fn is_closed(&self) -> bool;
}

/// Why something was not even taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As much waits for an lcore as may.
    #[error("too much waits for the lcore already: try again later")]
    Full,
    /// The pool has no slot for it.
    #[error("no slot of the pool is free: try again later")]
    NoSlot,
    /// No slot is as large.
    #[error(
        "it is longer than the largest slot: split it, or give the pool blocks ([mempool] blocks)"
    )]
    TooLong,
    /// The lcore has ended, or there never was one.
    #[error("the lcore has ended")]
    Ended,
}

/// Messages, and their bytes, that wait for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlogged {
    /// Messages.
    pub messages: u32,
    /// Bytes in them, headers of frames included.
    pub bytes: u64,
}

impl Backlogged {
    /// Messages are counted in 24 bits, bytes in 40, so that both are one word.
    const BYTES_BITS: u32 = 40;

    fn of_word(word: u64) -> Self {
        let bytes = word & ((1 << Self::BYTES_BITS) - 1);
        Self { messages: (word >> Self::BYTES_BITS) as u32, bytes }
    }

    fn of_one(bytes: usize) -> u64 {
        1 << Self::BYTES_BITS | bytes as u64
    }
}

/// One lcore as those see it who write to its connections.
pub struct Inlet {
    letterbox: Box<dyn Letterbox>,
    lane: OnceLock<Lane>,
    /// Publishes that it has not brought to all of its members.
    publishes: AtomicU32,
}

/// What is there once the lcore is built.
struct Lane {
    pool: Mempool,
    /// By connection slot, what was written to it and is not with its transport. Each word goes up with a
    /// write, and down with the end of that same write, whose connection may be gone by then.
    waiting: Box<[AtomicU64]>,
}

impl Inlet {
    /// That of the lcore which reads what `letterbox` takes.
    pub fn new(letterbox: Box<dyn Letterbox>) -> Self {
        Self { letterbox, lane: OnceLock::new(), publishes: AtomicU32::new(0) }
    }

    /// From here on copies go into slots of `pool`, and what waits for connections in slots below `slots` is
    /// counted. The first call counts.
    pub fn open(&self, pool: Mempool, slots: u32) {
        let waiting = (0..slots).map(|_| AtomicU64::new(0)).collect();
        let _ = self.lane.set(Lane { pool, waiting });
    }

    /// Where what is written to its connections is copied to.
    pub(super) fn pool(&self) -> Result<&Mempool, Refused> {
        self.lane.get().map(|lane| &lane.pool).ok_or(Refused::Ended)
    }

    pub(super) fn post(&self, word: Word) -> Result<(), Refused> {
        self.letterbox.post(word).map_err(|_| self.refusal())
    }

    /// Posts a write, which is counted from here on; gives it back where there is no room.
    pub(super) fn write(
        &self,
        buf: Buf,
        done: Option<WriteCallback>,
    ) -> Result<(), (Buf, Option<WriteCallback>)> {
        let (conn, bytes) = (buf.conn(), buf.len());
        self.begin(conn, bytes);
        self.letterbox.post(Word::Write(buf, done)).map_err(|word| {
            self.end(conn, bytes);
            match word {
                Word::Write(buf, done) => (buf, done),
                _ => unreachable!("a letterbox gives back what it was given"),
            }
        })
    }

    pub(super) fn refusal(&self) -> Refused {
        if self.letterbox.is_closed() { Refused::Ended } else { Refused::Full }
    }

    fn tally(&self, conn: ConnId) -> Option<&AtomicU64> {
        self.lane.get()?.waiting.get(conn.slot() as usize)
    }

    /// A write to `conn` begins to wait.
    pub(crate) fn begin(&self, conn: ConnId, bytes: usize) {
        if let Some(tally) = self.tally(conn) {
            tally.fetch_add(Backlogged::of_one(bytes), Ordering::Relaxed);
        }
    }

    /// It waits no longer.
    pub(crate) fn end(&self, conn: ConnId, bytes: usize) {
        if let Some(tally) = self.tally(conn) {
            tally.fetch_sub(Backlogged::of_one(bytes), Ordering::Relaxed);
        }
    }

    pub(super) fn waiting(&self, conn: ConnId) -> Backlogged {
        let word = self.tally(conn).map_or(0, |tally| tally.load(Ordering::Relaxed));
        Backlogged::of_word(word)
    }

    /// Whether one more publish may wait for the lcore; it counts from here on.
    pub(super) fn begin_publish(&self) -> bool {
        let before = self.publishes.fetch_add(1, Ordering::Relaxed);
        if before >= GROUP_PUBLISHES_MAX {
            self.end_publish();
        }
        before < GROUP_PUBLISHES_MAX
    }

    pub(crate) fn end_publish(&self) {
        self.publishes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The lcores of one dataplane, as far as they have begun, by index.
pub struct Inlets(Box<[OnceLock<Arc<Inlet>>]>);

impl Inlets {
    /// None yet.
    pub fn new() -> Self {
        Self((0..LCORES_MAX).map(|_| OnceLock::new()).collect())
    }

    /// There is one at `index`. The first call counts.
    pub fn set(&self, index: u8, inlet: Arc<Inlet>) {
        let _ = self.0[usize::from(index)].set(inlet);
    }

    pub(super) fn get(&self, index: u32) -> Option<&Arc<Inlet>> {
        self.0.get(index as usize)?.get()
    }
}

impl Default for Inlets {
    fn default() -> Self {
        Self::new()
    }
}
