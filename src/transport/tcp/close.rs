//! How connections end: at once or with time for the peer, and never with an operation in flight.

use super::conn::{Flag, Phase};
use super::{Tcp, op};
use crate::counters::Counter;
use crate::limits::{ADOPTED_MAX, LINGER_NS};
use crate::mem::{Buf, kind};
use crate::transport::{Engine, Io, TimerEvent};

impl<E: Engine> Tcp<E> {
    /// All is sent: says so to the peer and waits for it to close, so that what it still sends does
    /// not turn into a reset that destroys our last reply (RFC 9112 §9.6).
    pub(super) fn linger(&mut self, io: &mut Io, slot: u32) {
        let event =
            TimerEvent { listener: self.index, op: op::LINGER_TIMER, conn: self.id(io, slot) };
        let timer = io.timers.schedule(io.now, LINGER_NS, event);
        let token = self.token(op::SHUTDOWN, slot);
        E::of(io).shutdown_write(slot, token);
        let conn = self.conn(slot);
        conn.ops += 1;
        conn.phase = Phase::Lingering;
        conn.linger = timer;
        conn.clear(Flag::RxPaused);
        conn.clear(Flag::TxPaused);
        conn.clear(Flag::Held);
        if timer.is_none() {
            return self.begin_close(io, slot);
        }
        self.resume_recv(io, slot);
    }

    pub(super) fn on_shutdown(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.ops -= 1;
        if conn.phase == Phase::Closing {
            self.close_when_quiet(io, slot);
        }
    }

    /// Drops what is unsent and closes.
    pub(super) fn abort(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        if matches!(conn.phase, Phase::Open | Phase::Lingering) {
            self.begin_close(io, slot);
        }
    }

    /// Ends what is in flight; the descriptor is closed when nothing is.
    pub(super) fn begin_close(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.phase = Phase::Closing;
        let (receiving, sending) = (conn.has(Flag::Receiving), conn.sending > 0);
        if let Some(timer) = conn.linger.take() {
            io.timers.cancel(timer);
        }
        if receiving {
            self.cancel_recv(io, slot);
        }
        if sending {
            let (target, token) = (self.token(op::SEND, slot), self.token(op::CANCEL, slot));
            E::of(io).cancel(target, token);
        } else {
            self.drop_unsent(io, slot);
        }
        self.close_when_quiet(io, slot);
    }

    pub(super) fn close_when_quiet(&mut self, io: &mut Io, slot: u32) {
        if self.conns[slot as usize].ops > 0 {
            return;
        }
        self.rx.push_back(Buf::marker(self.id(io, slot), kind::CLOSED));
        self.close_descriptor(io, slot);
    }

    pub(super) fn close_descriptor(&mut self, io: &mut Io, slot: u32) {
        let token = self.token(op::CLOSE, slot);
        E::of(io).close(slot, token);
        self.conn(slot).phase = Phase::Closed;
    }

    pub(super) fn on_closed(&mut self, io: &mut Io, slot: u32) {
        self.conn(slot).reuse();
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
        if let Some(peers) = &mut self.peers {
            peers.release(slot);
        }
        if slot < ADOPTED_MAX {
            self.release_adopted(io, slot);
        }
        self.arm_accept(io);
    }
}
