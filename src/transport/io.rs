//! What an lcore lends to its transports for the length of a call.

use crate::counters::{Counter, Counters};
use crate::mem::{ConnId, Mempool, UringIo};
use crate::port::PortTable;
use crate::time::{Instant, TimerWheel};
use crate::transport::Epoll;

/// A timer of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerEvent {
    /// Index of the listener that set it.
    pub listener: u8,
    /// Which of the transport's timers.
    pub op: u8,
    /// The connection it is about, or [`ConnId::NONE`].
    pub conn: ConnId,
}

/// The fate of a write that asked to be told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// The number that the write was marked with.
    pub ticket: u32,
    /// Whether all its bytes were handed to the system; else its connection was lost first.
    pub sent: bool,
}

/// An lcore's io_uring or epoll, pool, clock, timers and counters.
pub struct Io {
    /// Index of the lcore, which is part of its connections' ids.
    pub lcore: u8,
    /// `None` on an lcore whose transports need none.
    pub uring: Option<UringIo>,
    /// The same; an lcore may have both.
    pub epoll: Option<Epoll>,
    /// Where bufs come from.
    pub pool: Mempool,
    /// The start of this pass of the loop.
    pub now: Instant,
    /// The lcore's timers.
    pub timers: TimerWheel<TimerEvent>,
    /// The lcore's counters.
    pub counters: Counters,
    /// Writes that are settled, for the lcore to tell their authors.
    pub notices: Vec<Notice>,
    /// Free slots at the start of the file table, for adopted sockets.
    pub adoptable: Vec<u32>,
    /// The ports whose processes are the peers of its listeners.
    pub ports: PortTable,
    /// Free slots of the file table that no descriptor gets, for the connections of such peers.
    pub peer_slots: Vec<u32>,
    /// Free slots behind the file table, for peers that send datagrams.
    pub datagram_slots: Vec<u32>,
    /// The generation that the next connection gets.
    pub generation: u32,
    /// Connections that the lcore has, over all its transports.
    pub connections: u32,
    /// Connections that the lcore may have.
    pub connections_max: u32,
}

impl Io {
    /// The io_uring.
    ///
    /// # Panics
    /// On an lcore without one. Only transports over io_uring call this.
    #[inline]
    pub fn uring(&mut self) -> &mut UringIo {
        self.uring.as_mut().expect("a transport over io_uring runs on an lcore with one")
    }

    /// A generation for a connection that opens. All transports of the lcore count on one number:
    /// a slot that goes from one listener to another, or to the successor of one that is gone, must
    /// not bring back an id that somebody still writes to (G-7).
    #[inline]
    pub fn next_generation(&mut self) -> u32 {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        generation
    }

    /// Counts.
    #[inline]
    pub fn count(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
    }
}
