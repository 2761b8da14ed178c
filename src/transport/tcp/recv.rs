//! Receiving: multishot into small or large slots, paused where the listener or the peer is behind.

use super::conn::{Flag, Phase};
use super::{Tcp, op};
use crate::counters::{Counter, Reason};
use crate::limits::{RX_FULL_MAX, RX_QUEUE_HIGH, RX_SPARSE_MAX};
use crate::mem::{Buf, kind};
use crate::sys::uring::Cqe;
use crate::transport::{Engine, Io};

impl<E: Engine> Tcp<E> {
    pub(super) fn arm_recv(&mut self, io: &mut Io, slot: u32) {
        let token = self.token(op::RECV, slot);
        let conn = self.conn(slot);
        let large = conn.has(Flag::Large);
        E::of(io).recv_multi(slot, large, token);
        conn.set(Flag::Receiving);
        conn.ops += 1;
    }

    pub(super) fn on_recv(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        if cqe.result > 0 {
            self.received(io, slot, cqe);
        }
        if cqe.more() {
            return;
        }
        let conn = self.conn(slot);
        conn.clear(Flag::Receiving);
        conn.ops -= 1;
        if conn.phase == Phase::Closing {
            return self.close_when_quiet(io, slot);
        }
        match cqe.result {
            0 => self.on_eof(io, slot),
            result if result > 0 => self.resume_recv(io, slot),
            result => match -result {
                libc::ENOBUFS => {
                    io.count(Counter::RxStarved, 1);
                    let conn = self.conn(slot);
                    conn.clear(Flag::Large);
                    if !conn.has(Flag::Starved) {
                        conn.set(Flag::Starved);
                        self.starved.push(slot);
                    }
                }
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => self.resume_recv(io, slot),
                _ => self.abort(io, slot),
            },
        }
    }

    pub(super) fn received(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        let id = self.id(io, slot);
        let wanted = self.conns[slot as usize].phase == Phase::Open;
        let (rx, mut bufs) = (&mut self.rx, 0);
        E::of(io).take_received(cqe, |mut buf| {
            bufs += 1;
            if wanted {
                buf.set_conn(id);
                rx.push_back(buf);
            }
        });
        io.count(Counter::RxBufs, bufs);
        if !wanted {
            (0..bufs).for_each(|_| io.counters.drop_one(Reason::Lingering));
        }
        io.count(Counter::RxBytes, cqe.result as u64);
        self.heard(slot);
        if (self.rx.len() >= RX_QUEUE_HIGH || self.held_back) && wanted {
            self.pause_recv(io, slot, Flag::RxPaused);
        }
        self.fit_slots(io, slot, cqe.result as usize);
    }

    #[inline]
    fn heard(&mut self, slot: u32) {
        let conn = self.conn(slot);
        conn.set(Flag::Heard);
        if !conn.has(Flag::Unsure) {
            conn.set(Flag::Unsure);
            self.unsure.push(slot);
        }
    }

    /// Receives anew on connections that have gone quiet, each once. Kernels up to 6.18 at least can
    /// lose the peer's end where it comes right behind bytes: both wake the one receive, which takes
    /// the bytes and waits for more (liburing issue 1549). A receive that begins sees the end.
    pub(super) fn make_sure(&mut self, io: &mut Io) {
        let mut unsure = std::mem::take(&mut self.unsure);
        unsure.retain(|&slot| {
            let conn = self.conn(slot);
            if conn.has(Flag::Heard) {
                conn.clear(Flag::Heard);
                return true;
            }
            conn.clear(Flag::Unsure);
            let receiving = conn.has(Flag::Receiving);
            if receiving && matches!(conn.phase, Phase::Open | Phase::Lingering) {
                self.cancel_recv(io, slot);
            }
            false
        });
        self.unsure = unsure;
    }

    /// Receives into large slots while the peer sends much at a time, and into small ones, which
    /// stay in the core's cache, while it does not.
    #[inline]
    pub(super) fn fit_slots(&mut self, io: &mut Io, slot: u32, received_bytes: usize) {
        let small_bytes = E::of(io).rx_slot_bytes(false);
        let conn = self.conn(slot);
        let large = conn.has(Flag::Large);
        if large == (received_bytes >= small_bytes) {
            conn.misfits = 0;
            return;
        }
        conn.misfits += 1;
        if conn.misfits < if large { RX_SPARSE_MAX } else { RX_FULL_MAX } {
            return;
        }
        conn.misfits = 0;
        if large {
            conn.clear(Flag::Large)
        } else {
            conn.set(Flag::Large)
        }
        if conn.has(Flag::Receiving) {
            self.cancel_recv(io, slot);
        }
    }

    /// Stops receiving for the reason `flag`, until [`resume_recv`](Self::resume_recv) finds none.
    pub(super) fn pause_recv(&mut self, io: &mut Io, slot: u32, flag: Flag) {
        let conn = self.conn(slot);
        if conn.has(flag) {
            return;
        }
        conn.set(flag);
        let receiving = conn.has(Flag::Receiving);
        if flag == Flag::RxPaused {
            self.paused.push_back(slot);
        }
        io.count(Counter::RxPaused, 1);
        if receiving {
            self.cancel_recv(io, slot);
        }
    }

    /// Receives again from connections that were paused because too much was received.
    pub(super) fn resume_paused(&mut self, io: &mut Io) {
        while self.rx.len() < RX_QUEUE_HIGH / 2
            && !self.held_back
            && let Some(slot) = self.paused.pop_front()
        {
            if self.conn(slot).has(Flag::RxPaused) {
                self.conn(slot).clear(Flag::RxPaused);
                self.resume_recv(io, slot);
            }
        }
    }

    /// Stops receiving until the handler asks for more. One that is being closed receives on, so
    /// that the peer's end is seen.
    pub(super) fn hold(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        if conn.phase != Phase::Open || conn.has(Flag::CloseWanted) || conn.has(Flag::Held) {
            return;
        }
        conn.set(Flag::Held);
        if conn.has(Flag::Receiving) {
            self.cancel_recv(io, slot);
        }
    }

    pub(super) fn cancel_recv(&mut self, io: &mut Io, slot: u32) {
        let (target, token) = (self.token(op::RECV, slot), self.token(op::CANCEL, slot));
        E::of(io).cancel(target, token);
    }

    /// Receives again, if nothing speaks against it.
    pub(super) fn resume_recv(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        let idle = !conn.has(Flag::Receiving) && !conn.has(Flag::Eof);
        let wanted = matches!(conn.phase, Phase::Open | Phase::Lingering);
        if idle && wanted && !conn.is_paused() {
            io.count(Counter::RxRearmed, 1);
            self.arm_recv(io, slot);
        }
    }

    pub(super) fn on_eof(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.set(Flag::Eof);
        if conn.phase == Phase::Lingering {
            self.begin_close(io, slot);
        } else {
            self.rx.push_back(Buf::marker(self.id(io, slot), kind::EOF));
        }
    }

    pub(super) fn revive_starved(&mut self, io: &mut Io) {
        if self.starved.is_empty() {
            return;
        }
        // No more than there are slots, oldest first: the others would starve again at once.
        let revived = self.starved.len().min(E::of(io).rx_room());
        for index in 0..revived {
            let slot = self.starved[index];
            self.conn(slot).clear(Flag::Starved);
            self.resume_recv(io, slot);
        }
        self.starved.drain(..revived);
    }
}
