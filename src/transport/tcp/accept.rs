//! How connections begin: accepted by the kernel, or handed over by another thread.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::conn::{Flag, Phase};
use super::{Tcp, op};
use crate::counters::Counter;
use crate::error::{Error, Result};
use crate::limits::{
    ACCEPT_RETRY_NS, ACCEPTS_IN_FLIGHT, ADOPTED_MAX, RX_QUEUE_HIGH, STALL_SWEEP_NS,
};
use crate::mem::{Buf, ConnId, kind};
use crate::sys::socket;
use crate::sys::uring::Cqe;
use crate::time::TimerId;
use crate::transport::{Engine, Io, TimerEvent, Token};

/// The sockets that were handed over to any lcore of this process, by inode, to refuse a second
/// adoption. Touched when such a connection begins and ends, never in between.
static ADOPTED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn adopted() -> MutexGuard<'static, BTreeSet<u64>> {
    ADOPTED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Engine> Tcp<E> {
    pub(super) fn arm_accept(&mut self, io: &mut Io) {
        let sockets = 1 + self.more.len();
        let all =
            if self.peers.is_some() { u8::MAX } else { u8::MAX >> (ACCEPTS_IN_FLIGHT - sockets) };
        if self.accepting == all || self.accept_held || self.waits {
            return;
        }
        let Some(listener) = &self.listener else { return };
        if self.is_at_its_limit(io) {
            // The room may be taken by other listeners, whose connections close unseen by us.
            return self.retry_accept(io);
        }
        // No more than there is room for, or the surplus would be cancelled again and again.
        let room = match self.peers {
            Some(_) => io.connections_max - io.connections,
            None => u32::MAX,
        };
        for place in 0..ACCEPTS_IN_FLIGHT {
            let listener = match place % sockets {
                0 => listener,
                next => &self.more[next - 1],
            };
            if all & !self.accepting & 1 << place == 0 || self.accepting.count_ones() >= room {
                continue;
            }
            self.accepting |= 1 << place;
            let token = self.accept_token(op::ACCEPT, place);
            let (engine, listener) = (E::of(io), listener.as_fd());
            match self.peers {
                None if !self.allowed.is_empty() => engine.poll_readable(listener, token),
                None => engine.accept_multi(listener, token),
                Some(_) => engine.accept(listener, self.address_place(place), token),
            }
        }
    }

    pub(super) fn is_at_its_limit(&self, io: &Io) -> bool {
        io.connections >= io.connections_max
            || self.rx.len() >= RX_QUEUE_HIGH
            || !self.allowed.is_empty() && io.adoptable.is_empty()
    }

    fn accept_token(&self, op: u8, place: usize) -> u64 {
        Token::new(op, self.index, place as u32, 0).user_data()
    }

    /// Where the address of an accept lies.
    fn address_place(&self, place: usize) -> usize {
        usize::from(self.index) * ACCEPTS_IN_FLIGHT + place
    }

    pub(super) fn on_accept(&mut self, io: &mut Io, place: usize, cqe: &Cqe) {
        if !cqe.more() {
            self.accepting &= !(1 << place);
        }
        match u32::try_from(cqe.result) {
            Ok(_) if !self.allowed.is_empty() => self.accept_known(io),
            Ok(slot) => {
                self.accepted(io, place, slot);
                if self.is_at_its_limit(io) {
                    self.cancel_accept(io);
                }
            }
            Err(_) if self.listener.is_none() => {}
            Err(_) => self.on_accept_failure(io, -cqe.result),
        }
        self.arm_accept(io);
    }

    /// A connection that was reset before we took it is the peer's affair; want of descriptors or
    /// memory passes, so accepting pauses a little.
    pub(super) fn on_accept_failure(&mut self, io: &mut Io, errno: i32) {
        if matches!(errno, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::ECANCELED) {
            return;
        }
        io.count(Counter::AcceptFailures, 1);
        self.retry_accept(io);
        self.accept_held = true;
    }

    /// Tries again to accept after a while.
    pub(super) fn retry_accept(&mut self, io: &mut Io) {
        if !self.accept_timed {
            self.accept_timed = true;
            self.schedule(io, op::ACCEPT_TIMER, ConnId::NONE, ACCEPT_RETRY_NS);
        }
    }

    pub(super) fn schedule_sweep(&mut self, io: &mut Io) {
        self.sweep = Some(self.schedule(io, op::SWEEP_TIMER, self.sweep_id, STALL_SWEEP_NS));
    }

    fn schedule(&self, io: &mut Io, op: u8, conn: ConnId, delay_ns: u64) -> TimerId {
        let event = TimerEvent { listener: self.index, op, conn };
        let timer = io.timers.schedule(io.now, delay_ns, event);
        timer.expect("there are timers for each listener beside its connections")
    }

    pub(super) fn cancel_accept(&mut self, io: &mut Io) {
        for place in (0..ACCEPTS_IN_FLIGHT).filter(|place| self.accepting & 1 << place != 0) {
            let target = self.accept_token(op::ACCEPT, place);
            E::of(io).cancel(target, self.accept_token(op::CANCEL, place));
        }
    }

    fn accepted(&mut self, io: &mut Io, place: usize, slot: u32) {
        // Read before anything can arm an accept on the same place.
        let place = self.address_place(place);
        let address = self.peers.as_ref().and_then(|_| E::of(io).peer(place));
        self.take_slot(io, slot);
        if let Some(peers) = &mut self.peers
            && let Some(address) = address
            && !peers.admit(slot, address)
        {
            io.count(Counter::AddressFull, 1);
            // Nobody has heard of it, so nobody is told of its end.
            return self.close_descriptor(io, slot);
        }
        self.opened(io, slot);
    }

    /// A connection is in `slot` from here on.
    pub(super) fn take_slot(&mut self, io: &mut Io, slot: u32) {
        if self.conn(slot).phase == Phase::Closed {
            // The kernel gave the slot out again before we saw the completion of its close.
            self.on_closed(io, slot);
        }
        let conn = self.conn(slot);
        assert!(conn.phase == Phase::Free, "the kernel gives out free slots only");
        conn.generation = io.next_generation();
        conn.phase = Phase::Open;
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
    }

    /// Says that the connection is there, and receives from it.
    pub(super) fn opened(&mut self, io: &mut Io, slot: u32) {
        self.rx.push_back(Buf::marker(self.id(io, slot), kind::OPEN));
        if self.aborting {
            return self.abort(io, slot);
        }
        if self.held_back {
            return self.pause_recv(io, slot, Flag::RxPaused);
        }
        self.arm_recv(io, slot);
    }

    /// Takes over a connected socket: its descriptor is installed in a reserved slot.
    pub(super) fn adopt_socket(&mut self, io: &mut Io, fd: OwnedFd) -> Result<ConnId> {
        let refuse = |why: String, remedy: &str| Error::new("adopt a socket", why, remedy);
        if self.listener.is_none() {
            return Err(refuse("its listener stops".into(), "hand it to one that accepts"));
        }
        socket::check_stream(fd.as_fd())
            .map_err(|e| refuse(e.to_string(), "hand over a connected stream socket"))?;
        let inode = socket::identity(fd.as_fd())
            .map_err(|e| refuse(e.to_string(), "hand over an open descriptor"))?;
        let slot = io.adoptable.pop().ok_or_else(|| {
            refuse(format!("{ADOPTED_MAX} are adopted already"), "close some, or use another lcore")
        })?;
        if !adopted().insert(inode) {
            io.adoptable.push(slot);
            return Err(refuse("it is adopted already".into(), "hand each socket over once"));
        }
        if let Err(why) = E::of(io).install(slot, fd) {
            adopted().remove(&inode);
            io.adoptable.push(slot);
            return Err(refuse(why.to_string(), "see `ringway doctor`"));
        }
        self.inodes.insert(slot, inode);
        self.take_slot(io, slot);
        self.opened(io, slot);
        Ok(self.id(io, slot))
    }

    /// The reserved slot is free again, and so is its socket.
    pub(super) fn release_adopted(&mut self, io: &mut Io, slot: u32) {
        if let Some(inode) = self.inodes.remove(&slot) {
            adopted().remove(&inode);
        }
        io.adoptable.push(slot);
    }
}

impl<E: Engine> Drop for Tcp<E> {
    fn drop(&mut self) {
        // None, unless the lcore panicked.
        for inode in self.inodes.values() {
            adopted().remove(inode);
        }
    }
}
