//! What sockets ask of the kernel, by whichever of its interfaces: operations that are begun, and complete
//! later. Those of an io_uring are the kernel's own; over epoll they are made here (`epoll`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Io;
use crate::error::Result;
use crate::mem::{Buf, Mempool, UringIo};
use crate::sys::uring::Cqe;

/// Begins operations on sockets; each ends with a [`Cqe`] that has its token, which the lcore hands to the
/// transport that began it. A connection is named by its slot, and has at most one receive and one send in
/// flight. A listener has up to [`ACCEPTS_IN_FLIGHT`](crate::limits::ACCEPTS_IN_FLIGHT) sockets: in place of a slot
/// the token of an accept has its place, and that of a receive of datagrams the number of the socket.
pub trait Engine: Sized + 'static {
    /// What [`Features::os`](super::Features::os) says of streams over it.
    const STREAMS: &'static str;
    /// The same of datagrams.
    const DATAGRAMS: &'static str;

    /// The lcore's own.
    ///
    /// # Panics
    /// On an lcore without one.
    fn of(io: &mut Io) -> &mut Self;

    /// Accepts connections until it is cancelled or fails; each completion's result is a slot.
    fn accept_multi(&mut self, listener: BorrowedFd<'_>, token: u64);

    /// Accepts one connection, whose peer's address [`peer`](Self::peer) tells at its completion. No other
    /// accept may be in flight on `place`.
    fn accept(&mut self, listener: BorrowedFd<'_>, place: usize, token: u64);

    /// Of the connection that was accepted last on `place`.
    fn peer(&self, place: usize) -> Option<IpAddr>;

    /// Completes once, when there is a connection to accept.
    fn poll_readable(&mut self, listener: BorrowedFd<'_>, token: u64);

    /// Completes once, when a socket of datagrams takes something to send.
    fn poll_writable(&mut self, socket: BorrowedFd<'_>, token: u64);

    /// Ends what the operations know of a socket that its owner is about to close.
    fn let_go(&mut self, socket: BorrowedFd<'_>);

    /// Makes a socket the connection in `slot`, one of the reserved ones.
    fn install(&mut self, slot: u32, socket: OwnedFd) -> io::Result<()>;

    /// Receives into small or large slots of the pool until it is cancelled, fails, meets the peer's end
    /// (with the result 0), or finds no slot (`ENOBUFS`).
    fn recv_multi(&mut self, slot: u32, large: bool, token: u64);

    /// Receives datagrams until it is cancelled, fails or finds no slot.
    fn recv_datagrams(&mut self, socket: BorrowedFd<'_>, token: u64);

    /// Bytes of a slot of the pool that is received into.
    fn rx_slot_bytes(&self, large: bool) -> usize;

    /// Small slots of the pool that can be received into.
    fn rx_room(&mut self) -> usize;

    /// What came with a completion, in order; nothing where that was no receive.
    fn take_received(&mut self, cqe: &Cqe, each: impl FnMut(Buf));

    /// Makes ready to receive datagrams.
    fn lend_for_datagrams(&mut self, pool: &Mempool) -> Result<()>;

    /// Most bytes of datagrams that are received at a time.
    fn train_bytes(&self) -> usize;

    /// Slots of the pool that datagrams can be received into.
    fn trains_room(&mut self) -> usize;

    /// What came with a completion, as [`datagram::parse`](crate::sys::datagram::parse) reads it.
    fn take_datagrams(&mut self, cqe: &Cqe) -> Option<Buf>;

    /// Sends the bytes of `bufs`, at most [`GATHER_MAX`](crate::limits::GATHER_MAX), in one operation, whose
    /// result is how many went. The caller keeps the bufs until it completes. `false`: not now.
    fn send<'a>(&mut self, slot: u32, bufs: impl Iterator<Item = &'a Buf>, token: u64) -> bool;

    /// Says to the peer that nothing more will be sent.
    fn shutdown_write(&mut self, slot: u32, token: u64);

    /// Closes a connection on which no other operation is in flight.
    fn close(&mut self, slot: u32, token: u64);

    /// Asks for the end of the operation with the token `target`. If there is none, `token` completes.
    fn cancel(&mut self, target: u64, token: u64);
}

impl Engine for UringIo {
    const STREAMS: &'static str = "Linux io_uring";
    const DATAGRAMS: &'static str = "Linux io_uring and sendmmsg";

    #[inline]
    fn of(io: &mut Io) -> &mut Self {
        io.uring()
    }

    fn accept_multi(&mut self, listener: BorrowedFd<'_>, token: u64) {
        self.ring().accept_multi(listener, token);
    }

    fn accept(&mut self, listener: BorrowedFd<'_>, place: usize, token: u64) {
        self.ring().accept(listener, place, token);
    }

    fn peer(&self, place: usize) -> Option<IpAddr> {
        self.ring_ref().peer(place)
    }

    fn poll_readable(&mut self, listener: BorrowedFd<'_>, token: u64) {
        self.ring().poll_readable(listener, token);
    }

    fn poll_writable(&mut self, socket: BorrowedFd<'_>, token: u64) {
        self.ring().poll_writable(socket, token);
    }

    fn let_go(&mut self, _socket: BorrowedFd<'_>) {
        // What names the descriptor is submitted before the descriptor goes. A refusal passes; then
        // an accept fails for want of a descriptor, which is as good.
        let _ = self.ring().enter();
    }

    fn install(&mut self, slot: u32, socket: OwnedFd) -> io::Result<()> {
        self.ring().install_file(slot, socket.as_fd())
    }

    #[inline]
    fn recv_multi(&mut self, slot: u32, large: bool, token: u64) {
        UringIo::recv_multi(self, slot, large, token);
    }

    fn recv_datagrams(&mut self, socket: BorrowedFd<'_>, token: u64) {
        UringIo::recv_datagrams(self, socket, token);
    }

    #[inline]
    fn rx_slot_bytes(&self, large: bool) -> usize {
        UringIo::rx_slot_bytes(self, large)
    }

    fn rx_room(&mut self) -> usize {
        self.replenish();
        self.rx_lent()
    }

    #[inline]
    fn take_received(&mut self, cqe: &Cqe, each: impl FnMut(Buf)) {
        UringIo::take_received(self, cqe, each);
    }

    fn lend_for_datagrams(&mut self, pool: &Mempool) -> Result<()> {
        UringIo::lend_for_datagrams(self, pool)
    }

    fn train_bytes(&self) -> usize {
        UringIo::train_bytes(self)
    }

    #[inline]
    fn trains_room(&mut self) -> usize {
        self.replenish();
        self.trains_lent()
    }

    #[inline]
    fn take_datagrams(&mut self, cqe: &Cqe) -> Option<Buf> {
        UringIo::take_datagrams(self, cqe)
    }

    #[inline]
    fn send<'a>(&mut self, slot: u32, bufs: impl Iterator<Item = &'a Buf>, token: u64) -> bool {
        UringIo::send(self, slot, bufs, token) > 0
    }

    fn shutdown_write(&mut self, slot: u32, token: u64) {
        self.ring().shutdown_write(slot, token);
    }

    fn close(&mut self, slot: u32, token: u64) {
        self.ring().close(slot, token);
    }

    fn cancel(&mut self, target: u64, token: u64) {
        self.ring().cancel(target, token);
    }
}
