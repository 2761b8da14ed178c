//! What the simulated transport keeps of one connection.

use crate::mem::BufList;
use crate::time::TimerId;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection.
    Free,
    /// Sends and receives.
    Open,
    /// We said our last; what comes in is dropped until the peer's end.
    Lingering,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub phase: Phase,
    pub generation: u32,
    /// Index of its wire.
    pub wire: usize,
    /// Bufs to send, oldest first.
    pub tx: BufList,
    /// Bytes in `tx`.
    pub tx_bytes: u64,
    /// Bufs in `tx` that have bytes.
    pub tx_bufs: u32,
    pub linger: Option<TimerId>,
    /// The peer will send no more.
    pub eof: bool,
    /// To be closed once all is sent.
    pub close_wanted: bool,
    /// Receives nothing until the peer took what is queued for it.
    pub tx_paused: bool,
    /// Receives nothing until the handler asks for more.
    pub held: bool,
    /// In the list of connections that something has arrived on.
    pub arriving: bool,
    /// In the list of connections that the next flush visits.
    pub dirty: bool,
}

impl Conn {
    pub const FREE: Self = Self {
        phase: Phase::Free,
        generation: 0,
        wire: 0,
        tx: BufList::EMPTY,
        tx_bytes: 0,
        tx_bufs: 0,
        linger: None,
        eof: false,
        close_wanted: false,
        tx_paused: false,
        held: false,
        arriving: false,
        dirty: false,
    };

    /// Begins the next connection of the slot, which keeps its place in the lists.
    pub fn reuse(&mut self, generation: u32, wire: usize) {
        let Self { arriving, dirty, .. } = *self;
        *self = Self { phase: Phase::Open, generation, wire, arriving, dirty, ..Self::FREE };
    }

    /// Whether what arrives is taken.
    pub fn receives(&self) -> bool {
        match self.phase {
            Phase::Free => false,
            Phase::Open => !self.eof && !self.tx_paused && !self.held,
            Phase::Lingering => true,
        }
    }
}
