//! Operations on sockets where there is no io_uring: begun and completed as over one ([`Engine`]), but made
//! here, of calls that never wait and of what epoll says is ready.
//!
//! A send or a close is made when it is begun, and its completion waits for the next pass of the lcore. A
//! receive or an accept is made when the lcore asks for the next completion, so that what is received never
//! waits: who has enough stops asking, or cancels.
//!
//! Sockets are watched from their first operation to their end, edge-triggered: what epoll has said of one
//! is kept with it until a call has found it to be so no more. No system call is made to begin or to stop
//! receiving.

mod datagrams;
mod door;
mod key;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use datagrams::{Datagrams, Which};
use door::{Door, Wanted};
use key::Key;
use stream::Stream;

use super::{Engine, Io, Token};
use crate::error::{Error, Result};
use crate::limits::{ACCEPTS_IN_FLIGHT, DATAGRAM_HEAD_BYTES, EPOLL_RX_BYTES, LISTENERS_MAX};
use crate::mem::{Buf, Mempool};
use crate::sys::epoll::{self, Interest};
use crate::sys::uring::Cqe;

/// The token of no operation.
const NONE: u64 = 0;

/// Operations in flight, per listener, beside those of its connections.
const LISTENER_OPS: usize = 2 * ACCEPTS_IN_FLIGHT + 1;

/// One lcore's sockets, what epoll says of them, and the operations on them.
pub struct Epoll {
    poller: epoll::Epoll,
    pool: Mempool,
    /// Which class of the pool datagrams are received into.
    train_class: usize,
    /// Connections, by slot.
    streams: Box<[Stream]>,
    /// Slots for those that are accepted.
    free: Vec<u32>,
    /// Slots below this are for [`install`](Engine::install).
    reserved: u32,
    /// Listening sockets, by listener.
    doors: Box<[Door]>,
    /// Sockets of datagrams: as many for each listener as accepts.
    datagrams: Box<[Datagrams]>,
    /// Sockets with an operation that may be made now.
    ready: VecDeque<Key>,
    /// Completions that nobody has seen.
    done: VecDeque<Cqe>,
    /// What came with the completion that was seen last.
    received: Option<Buf>,
    /// Bytes received since the last look.
    received_bytes: usize,
}

impl Epoll {
    /// For connections in `slots` slots, of which the low `reserved` are for sockets that are installed, and
    /// which receive into slots of `pool`'s two smallest classes.
    pub fn create(slots: u32, reserved: u32, pool: &Mempool) -> Result<Self> {
        if pool.sizes().len() < 2 {
            let remedy = "make it of small and large slots";
            return Err(Error::new("set up epoll", "its pool has one size of slots", remedy));
        }
        let listeners = LISTENERS_MAX;
        Ok(Self {
            poller: epoll::Epoll::create()?,
            pool: pool.clone(),
            train_class: pool.train_class(),
            streams: (0..slots).map(|_| Stream::free()).collect(),
            free: (reserved..slots).rev().collect(),
            reserved,
            doors: (0..listeners).map(|_| Door::default()).collect(),
            datagrams: (0..listeners * ACCEPTS_IN_FLIGHT).map(|_| Datagrams::default()).collect(),
            ready: VecDeque::with_capacity(slots as usize + 2 * ACCEPTS_IN_FLIGHT * listeners),
            done: VecDeque::with_capacity(4 * slots as usize + LISTENER_OPS * listeners),
            received: None,
            received_bytes: 0,
        })
    }

    /// The same, with slots of these alone for connections that are accepted: beside an io_uring, whose own
    /// are others. Before anything is accepted.
    pub fn accepting_into(mut self, slots: Range<u32>) -> Self {
        debug_assert!(slots.end as usize <= self.streams.len());
        self.free = slots.rev().collect();
        self
    }

    /// Calls of epoll_wait(2) so far.
    pub fn waits(&self) -> u64 {
        self.poller.waits()
    }

    /// Whether there is a completion without another look, or may be.
    #[inline]
    pub fn is_behind(&self) -> bool {
        !self.done.is_empty() || !self.ready.is_empty()
    }

    /// Looks at what has become ready; waits for it, and for bells, for at most `timeout` where nothing is.
    pub fn look(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = if self.is_behind() { Duration::ZERO } else { timeout };
        self.received_bytes = 0;
        let count = self.poller.wait(timeout)?;
        for index in 0..count {
            let found = self.poller.found(index);
            match Key::of_number(found.key) {
                Key::Stream { slot, epoch } => self.note_stream(slot, epoch, &found),
                Key::Door { listener, socket } => self.note_door(listener, socket),
                Key::Datagrams { listener, socket } => {
                    if let Some(which) = Which::new(listener, socket.into()) {
                        self.note_datagrams(which, &found);
                    }
                }
                Key::Bell => {}
            }
        }
        Ok(())
    }

    /// The next completion, if there is one; what came with it is to be taken before the next is asked for.
    /// Once much was received, nothing more is before the next look: what is received has to be handled while
    /// it is in the core's cache, and who has enough has to get a turn to say so.
    #[inline]
    pub fn complete_one(&mut self) -> Option<Cqe> {
        if let Some(cqe) = self.done.pop_front() {
            return Some(cqe);
        }
        while self.received_bytes < EPOLL_RX_BYTES
            && let Some(key) = self.ready.pop_front()
        {
            let completion = match key {
                Key::Stream { slot, .. } => self.receive(slot),
                Key::Door { listener, socket } => self.answer_door(listener, socket),
                Key::Datagrams { listener, socket } => Which::new(listener, socket.into())
                    .and_then(|which| self.receive_datagrams(which)),
                Key::Bell => None,
            };
            if completion.is_some() {
                return completion;
            }
        }
        None
    }

    /// Ends waiting each time that `bell` is rung.
    pub fn watch_bell(&self, bell: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.watch(bell, Interest::Read, Key::Bell.number())
    }

    /// No more, since it is about to go.
    pub fn forget_bell(&self, bell: BorrowedFd<'_>) {
        self.poller.forget(bell);
    }
}

impl AsFd for Epoll {
    /// Readable when a look would find something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// As a completion tells it.
fn errno(why: &io::Error) -> i32 {
    -why.raw_os_error().unwrap_or(libc::EIO)
}

impl Engine for Epoll {
    const STREAMS: &'static str = "Linux epoll";
    const DATAGRAMS: &'static str = "Linux epoll and sendmmsg";

    #[inline]
    fn of(io: &mut Io) -> &mut Self {
        io.epoll.as_mut().expect("a transport over epoll runs on an lcore with one")
    }

    fn accept_multi(&mut self, listener: BorrowedFd<'_>, token: u64) {
        self.open_door(listener, token, Wanted::All);
    }

    fn accept(&mut self, listener: BorrowedFd<'_>, _place: usize, token: u64) {
        self.open_door(listener, token, Wanted::One);
    }

    fn peer(&self, place: usize) -> Option<IpAddr> {
        self.doors[place / ACCEPTS_IN_FLIGHT].peer(place % ACCEPTS_IN_FLIGHT)
    }

    fn poll_readable(&mut self, listener: BorrowedFd<'_>, token: u64) {
        self.open_door(listener, token, Wanted::Word);
    }

    fn poll_writable(&mut self, socket: BorrowedFd<'_>, token: u64) {
        self.wait_for_room(socket, token);
    }

    fn let_go(&mut self, socket: BorrowedFd<'_>) {
        self.forget_door(socket);
    }

    fn install(&mut self, slot: u32, socket: OwnedFd) -> io::Result<()> {
        self.put(slot, socket)
    }

    #[inline]
    fn recv_multi(&mut self, slot: u32, large: bool, token: u64) {
        self.begin_receive(slot, large, token);
    }

    fn recv_datagrams(&mut self, socket: BorrowedFd<'_>, token: u64) {
        self.begin_datagrams(socket, token);
    }

    #[inline]
    fn rx_slot_bytes(&self, large: bool) -> usize {
        self.pool.slot_bytes(large.into())
    }

    fn rx_room(&mut self) -> usize {
        self.pool.left_to_receive(0)
    }

    #[inline]
    fn take_received(&mut self, _cqe: &Cqe, each: impl FnMut(Buf)) {
        self.received.take().into_iter().for_each(each);
    }

    fn lend_for_datagrams(&mut self, _pool: &Mempool) -> Result<()> {
        Ok(())
    }

    fn train_bytes(&self) -> usize {
        self.pool.slot_bytes(self.train_class).saturating_sub(DATAGRAM_HEAD_BYTES)
    }

    fn trains_room(&mut self) -> usize {
        self.pool.left_to_receive(self.train_class)
    }

    #[inline]
    fn take_datagrams(&mut self, _cqe: &Cqe) -> Option<Buf> {
        self.received.take()
    }

    #[inline]
    fn send<'a>(&mut self, slot: u32, bufs: impl Iterator<Item = &'a Buf>, token: u64) -> bool {
        self.begin_send(slot, bufs, token);
        true
    }

    fn shutdown_write(&mut self, slot: u32, token: u64) {
        self.shut(slot, token);
    }

    fn close(&mut self, slot: u32, token: u64) {
        self.close_stream(slot, token);
    }

    fn cancel(&mut self, target: u64, token: u64) {
        let whose = Token::from_user_data(target);
        let listener = usize::from(whose.listener());
        let was_there = target != NONE
            && (self.cancel_stream(whose.slot(), target)
                || self.doors.get_mut(listener).is_some_and(|door| door.cancel(target))
                || Which::new(whose.listener(), whose.slot())
                    .is_some_and(|which| self.cancel_datagrams(which, target)));
        let ended = Cqe::last(target, -libc::ECANCELED);
        self.done.push_back(if was_there { ended } else { Cqe::last(token, -libc::ENOENT) });
    }
}
