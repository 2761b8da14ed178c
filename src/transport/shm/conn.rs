//! What an lcore keeps of one connection of a process at a port.

use crate::limits::{TX_HIGH_BUFS, TX_HIGH_BYTES};
use crate::mem::BufList;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No connection: the slot waits for one.
    Free,
    /// Sends and receives.
    Open,
    /// It has ended, and its process is still to be told.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// What tells the connection from those that had the slot before it.
    pub generation: u32,
    /// Where it stands.
    pub phase: Phase,
    /// The number by which the process wanted it, until it is told that it has it.
    pub greeting: Option<u32>,
    /// Bytes in `tx`.
    pub tx_bytes: u64,
    /// Bufs in `tx`.
    pub tx_bufs: u32,
    /// What the process is still to get, oldest first.
    pub tx: BufList,
    /// What it has sent while it was not received from.
    pub parked: BufList,
    /// Bufs that it has sent and that it has no credit for.
    pub window: u32,
    /// Of them, those that were handed on.
    pub credit: u32,
    /// The process has said its last.
    pub eof: bool,
    /// The handler wants nothing more of it for now.
    pub held: bool,
    /// The process wants nothing more of it for now.
    pub deaf: bool,
    /// Enough waits for the process: it is not received from until it took some.
    pub tx_paused: bool,
    /// To be closed once all is with the process.
    pub close_wanted: bool,
    /// It was cut off: what was under way is lost.
    pub cut: bool,
    /// Sweeps since the process took something, while something waits for it.
    pub stalled: u8,
    /// In the list of connections that the next flush visits.
    pub dirty: bool,
    /// In the list of connections that have as much lent as they may.
    pub behind: bool,
    /// In the list of connections of which something parked may be taken.
    pub arriving: bool,
}

const _: () = assert!(size_of::<Conn>() <= 64, "the state of a connection is one cache line");

impl Conn {
    /// A slot without a connection.
    pub const FREE: Self = Self {
        generation: 0,
        phase: Phase::Free,
        greeting: None,
        tx_bytes: 0,
        tx_bufs: 0,
        tx: BufList::EMPTY,
        parked: BufList::EMPTY,
        window: 0,
        credit: 0,
        eof: false,
        held: false,
        deaf: false,
        tx_paused: false,
        close_wanted: false,
        cut: false,
        stalled: 0,
        dirty: false,
        behind: false,
        arriving: false,
    };

    /// Begins a connection in a free slot, which keeps its places in the lists.
    pub fn begin(&mut self, generation: u32, number: u32) {
        let Self { dirty, behind, arriving, .. } = *self;
        *self = Self {
            generation,
            phase: Phase::Open,
            greeting: Some(number),
            dirty,
            behind,
            arriving,
            ..Self::FREE
        };
    }

    /// Whether what the process sends is heard now.
    #[inline]
    pub fn receives(&self) -> bool {
        self.phase == Phase::Open && !self.held && !self.tx_paused
    }

    /// Whether enough waits for the process to stop receiving from it.
    #[inline]
    pub fn is_laden(&self) -> bool {
        self.tx_bytes > TX_HIGH_BYTES.into() || self.tx_bufs > TX_HIGH_BUFS
    }

    /// Whether little enough waits to receive again, and to be written to by those who do not answer it.
    #[inline]
    pub fn is_light(&self) -> bool {
        self.tx_bytes <= u64::from(TX_HIGH_BYTES / 2) && self.tx_bufs <= TX_HIGH_BUFS / 2
    }
}
