//! Transports: what carries bytes between a connection and its lcore. They move bufs and tell of
//! connections that open and close; what the bytes mean, no transport knows.

mod engine;
pub mod epoll;
mod io;
mod peers;
pub mod shm;
pub mod sim;
pub mod tcp;
pub mod udp;

use std::os::fd::OwnedFd;
use std::time::Duration;

pub use engine::Engine;
pub use epoll::Epoll;
pub use io::{Io, Notice, TimerEvent};
pub use shm::Shm;
pub use sim::{Sim, SimNet};
pub use tcp::{Tcp, TcpLimits};
pub use udp::{Udp, UdpLimits};

use crate::error::Result;
use crate::limits::CLASSES_MAX;
use crate::mem::{Burst, ConnId, SlotCounts};
use crate::sys::listening::Listening;
use crate::sys::socket::StreamListener;
use crate::sys::uring::Cqe;

/// What a transport really does where it runs; the conformance suite holds each to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Received bytes reach the handler, and replies the system, without a copy of ours.
    pub zero_copy: bool,
    /// Several bufs move in one operation.
    pub batching: bool,
    /// Its memory lies on the NUMA node of its lcore.
    pub numa_aware: bool,
    /// No lock on its data path.
    pub lock_free: bool,
    /// Its bufs lie in memory that other processes can map.
    pub shared_memory: bool,
    /// The operating system's service under it; empty when there is none.
    pub os: &'static str,
}

/// Bytes in and out of connections, in bursts.
///
/// A transport reports in order with the data, through markers of the kinds of
/// [`mem::kind`](crate::mem::kind): `OPEN` before the first byte of a connection, `EOF` after the
/// last, `CLOSED` when it is gone, exactly once for each `OPEN`. It takes `CLOSE` and `ABORT` the
/// same way. All methods are called by the one lcore that owns it; none blocks or allocates.
pub trait Transport {
    /// What it does here.
    fn features(&self, io: &Io) -> Features;

    /// Moves what arrived into `rx`, in order for each connection, as much as fits; returns how
    /// many bufs that were.
    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize;

    /// Takes bufs from the front of `tx` to be sent, in order for each connection; returns how
    /// many. What it has no room for stays in `tx`. A buf for a connection that is gone is dropped
    /// and counted.
    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize;

    /// Starts what was gathered since the last call: one send per connection.
    fn flush(&mut self, io: &mut Io);

    /// Closes a connection at once; what was not sent is dropped. An id that is gone is no error.
    fn close(&mut self, io: &mut Io, conn: ConnId);

    /// Whether a call of [`rx_burst`](Self::rx_burst) or [`flush`](Self::flush) would do something.
    fn has_work(&self) -> bool;

    /// Whether it has to be looked at in every pass, since no completion and no timer tells the
    /// lcore that something arrived. `false` once nothing can arrive any more.
    fn is_polled(&self) -> bool {
        false
    }

    /// Whether `conn` is a connection of this transport that is still there.
    fn owns(&self, conn: ConnId) -> bool;

    /// Whether more may be queued for `conn` by those who are not answering it: so much that what it sends is not
    /// held up, and no more. What finds no room waits for a [`NOTIFY`](crate::mem::kind) behind what is queued.
    fn has_room(&self, conn: ConnId) -> bool;

    /// Whether it has no connection and no operation in flight, so that it can be taken away once
    /// it accepts no more.
    fn is_quiet(&self) -> bool {
        self.connections() == 0
    }

    /// Connections that are open.
    fn connections(&self) -> usize;

    /// One past the highest slot that its connections have.
    fn slots(&self) -> u32;

    /// Slots that what its peers are to get holds.
    fn unsent(&self) -> SlotCounts {
        [0; CLASSES_MAX]
    }

    /// From here on receives nothing, from no connection, or again. What was received already still
    /// comes, and so do markers.
    fn hold_back(&mut self, io: &mut Io, held: bool) {
        let _ = (io, held);
    }

    /// Begins to accept connections.
    fn start(&mut self, io: &mut Io);

    /// From here on accepts from `listener`, in place of the socket it had; nothing, once it accepts
    /// no more. Connections go on. What listens on no socket drops it.
    fn listen_on(&mut self, io: &mut Io, listener: StreamListener) {
        let _ = (io, listener);
    }

    /// The sockets that peers come to, for a process that is to listen on them as well.
    fn listening(&self) -> std::io::Result<Vec<Listening>> {
        Ok(Vec::new())
    }

    /// Accepts, where it was made to wait for this, and in any case what waits on its sockets now: another process
    /// that listens on them may have been woken for it, and have ended. Unless it is `alone`, that one may still have to
    /// go on by itself: a socket that is to share their address does not get a part of what comes yet.
    fn accept_again(&mut self, io: &mut Io, alone: bool) {
        let _ = (io, alone);
    }

    /// Accepts no more connections: another process listens on its sockets, and they stay as they are. Whether
    /// those that are open are still heard: where all peers share a socket, they are not.
    fn hand_over(&mut self, io: &mut Io) -> bool {
        self.stop_accepting(io);
        true
    }

    /// Accepts no more connections. Those that are open go on.
    fn stop_accepting(&mut self, io: &mut Io);

    /// From here on gives peers so long: to take something, and, where they send datagrams, to say something.
    fn set_timeouts(&mut self, write: Duration, idle: Duration) {
        let _ = (write, idle);
    }

    /// Is taken away, now that it is quiet: leaves no timer behind.
    fn leave(&mut self, io: &mut Io) {
        let _ = io;
    }

    /// Closes every connection at once.
    fn abort_all(&mut self, io: &mut Io);

    /// A completion of an operation that it submitted.
    fn complete(&mut self, io: &mut Io, token: Token, cqe: &Cqe) {
        let _ = (io, token, cqe);
    }

    /// A timer that it set.
    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        let _ = (io, event);
    }

    /// Takes over a connected socket (W-2). One that it has already is refused.
    fn adopt(&mut self, io: &mut Io, socket: OwnedFd) -> Result<ConnId> {
        let _ = (io, socket);
        Err(crate::error::Error::new(
            "adopt a socket",
            "this transport carries none",
            "hand it to a TCP listener",
        ))
    }
}

/// What a completion belongs to: operation, listener, connection slot and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    const SLOT_BITS: u32 = 22;
    /// Listener index of tokens that belong to the lcore itself.
    pub const LCORE: u8 = 63;

    /// An operation (below 16) of the listener (below 64) on a connection slot (below 2²²).
    #[inline]
    pub fn new(op: u8, listener: u8, slot: u32, generation: u32) -> Self {
        debug_assert!(op < 16 && listener < 64 && slot < 1 << Self::SLOT_BITS);
        Self(
            u64::from(op) << 60
                | u64::from(listener) << 54
                | u64::from(slot) << 32
                | u64::from(generation),
        )
    }

    /// The token that a completion carries.
    #[inline]
    pub fn from_user_data(user_data: u64) -> Self {
        Self(user_data)
    }

    /// What to submit an operation with.
    #[inline]
    pub fn user_data(self) -> u64 {
        self.0
    }

    /// Which operation.
    #[inline]
    pub fn op(self) -> u8 {
        (self.0 >> 60) as u8
    }

    /// Which listener of the lcore.
    #[inline]
    pub fn listener(self) -> u8 {
        (self.0 >> 54) as u8 & 63
    }

    /// Which connection slot.
    #[inline]
    pub fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & ((1 << Self::SLOT_BITS) - 1)
    }

    /// Of which generation.
    #[inline]
    pub fn generation(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_parts_apart() {
        let token = Token::new(15, 63, (1 << 22) - 1, u32::MAX);
        let parts = (token.op(), token.listener(), token.slot(), token.generation());
        assert_eq!(parts, (15, 63, (1 << 22) - 1, u32::MAX));
        let token = Token::new(2, 5, 77, 9);
        let parts = (token.op(), token.listener(), token.slot(), token.generation());
        assert_eq!(parts, (2, 5, 77, 9));
        assert_eq!(Token::from_user_data(token.user_data()), token);
    }
}
