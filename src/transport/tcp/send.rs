//! Sending: queues by connection, one gathered send in flight each, and a limit to patience.

use super::conn::{Flag, Phase};
use super::{Tcp, op};
use crate::counters::{Counter, Reason};
use crate::limits::{GATHER_MAX, STALL_SWEEPS_EMPTY_MAX};
use crate::mem::{Buf, kind};
use crate::sys::uring::Cqe;
use crate::transport::{Engine, Io, Notice};

impl<E: Engine> Tcp<E> {
    /// Queues `buf`; gives it back when the store is full.
    #[inline]
    pub(super) fn queue(&mut self, io: &mut Io, slot: u32, buf: Buf) -> Result<(), Buf> {
        let conn = &mut self.conns[slot as usize];
        if conn.phase != Phase::Open || conn.has(Flag::CloseWanted) {
            io.counters.drop_one(Reason::AfterClose);
            self.settle(io, &buf, false);
            return Ok(());
        }
        let bytes = buf.len() as u64;
        self.tx.push(&mut conn.tx, buf)?;
        conn.tx_bytes += bytes;
        conn.tx_bufs += 1;
        let too_much = conn.is_laden();
        self.mark_dirty(slot);
        if too_much {
            self.pause_recv(io, slot, Flag::TxPaused);
        }
        Ok(())
    }

    pub(super) fn flush_one(&mut self, io: &mut Io, slot: u32) {
        if self.conns[slot as usize].sending > 0 || !self.settle_front(io, slot) {
            return;
        }
        let conn = &self.conns[slot as usize];
        if !conn.tx.is_empty() {
            self.start_send(io, slot);
        } else if conn.has(Flag::CloseWanted) && conn.phase == Phase::Open {
            if conn.has(Flag::Linger) && !conn.has(Flag::Eof) {
                self.linger(io, slot);
            } else {
                self.begin_close(io, slot);
            }
        }
    }

    pub(super) fn start_send(&mut self, io: &mut Io, slot: u32) {
        let token = self.token(op::SEND, slot);
        let conn = &mut self.conns[slot as usize];
        let mut count = 0;
        let bufs = self.tx.iter(&conn.tx).take_while(|buf| !buf.is_empty()).take(GATHER_MAX);
        let bufs = bufs.inspect(|_| count += 1);
        if !E::of(io).send(slot, bufs, token) {
            return self.mark_dirty(slot);
        }
        conn.sending = count;
        conn.stalled = 0;
        conn.ops += 1;
        self.sends += 1;
        io.count(Counter::Sends, 1);
        io.count(Counter::TxBufs, count.into());
    }

    pub(super) fn on_send(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        let conn = self.conn(slot);
        conn.sending = 0;
        conn.ops -= 1;
        let phase = conn.phase;
        self.sends -= 1;
        if phase == Phase::Closing {
            self.drop_unsent(io, slot);
            return self.close_when_quiet(io, slot);
        }
        match cqe.result {
            sent if sent > 0 => self.sent(io, slot, sent as u32),
            result if matches!(-result, libc::EINTR | libc::EAGAIN) => self.mark_dirty(slot),
            _ => self.abort(io, slot),
        }
    }

    pub(super) fn sent(&mut self, io: &mut Io, slot: u32, sent: u32) {
        io.count(Counter::TxBytes, sent.into());
        let conn = &mut self.conns[slot as usize];
        conn.tx_bytes -= u64::from(sent);
        let mut left = sent as usize;
        while left > 0 {
            let front = self.tx.front_mut(&conn.tx).expect("no more was sent than was queued");
            if front.len() > left {
                front.advance(left);
                io.counters.add(Counter::ShortSends, 1);
                break;
            }
            left -= front.len();
            conn.tx_bufs -= 1;
            self.tx.pop(&mut conn.tx);
        }
        if !conn.tx.is_empty() || conn.has(Flag::CloseWanted) {
            self.mark_dirty(slot);
        }
        self.lighten(io, slot);
    }

    /// Receives again from a peer that has taken enough of what it is owed.
    #[inline]
    pub(super) fn lighten(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        if conn.has(Flag::TxPaused) && conn.is_light() {
            conn.clear(Flag::TxPaused);
            self.resume_recv(io, slot);
        }
    }

    /// Answers the markers at the front of the queue, the only bufs in it without bytes: all before
    /// them is sent. `false`: the rx queue has no room for an answer, so the next flush goes on. That
    /// it is long is no reason to wait: what is in it may wait for the slots behind the marker.
    #[inline]
    pub(super) fn settle_front(&mut self, io: &mut Io, slot: u32) -> bool {
        let conn = &mut self.conns[slot as usize];
        let mut settled = false;
        while let Some(front) = self.tx.front_mut(&conn.tx)
            && front.is_empty()
        {
            let flush = front.kind() == kind::FLUSH;
            if flush && self.rx.len() == self.rx.capacity() {
                self.mark_dirty(slot);
                return false;
            }
            let mut marker = self.tx.pop(&mut conn.tx).expect("it was just seen");
            conn.tx_bufs -= 1;
            settled = true;
            if flush {
                marker.set_kind(kind::FLUSHED, marker.meta());
                self.rx.push_back(marker);
            } else {
                io.notices.push(Notice { ticket: marker.meta(), sent: true });
            }
        }
        if settled {
            // Behind markers alone there is no send whose end would do it.
            self.lighten(io, slot);
        }
        true
    }

    pub(super) fn settle(&self, io: &mut Io, buf: &Buf, sent: bool) {
        if buf.kind() == kind::NOTIFY {
            io.notices.push(Notice { ticket: buf.meta(), sent });
        }
    }

    pub(super) fn drop_unsent(&mut self, io: &mut Io, slot: u32) {
        while let Some(buf) = self.tx.pop(&mut self.conns[slot as usize].tx) {
            io.counters.drop_one(Reason::Unsent);
            self.settle(io, &buf, false);
        }
        let conn = self.conn(slot);
        (conn.tx_bytes, conn.tx_bufs) = (0, 0);
    }

    /// Gives up connections whose peer has taken nothing for too long: the bufs that wait for it
    /// are everyone's. A look at all connections, only while a send is in flight.
    pub(super) fn sweep(&mut self, io: &mut Io) {
        let misses = io.counters.get(Counter::PoolEmpty) + io.counters.get(Counter::RxStarved);
        let starving = misses > std::mem::replace(&mut self.misses_seen, misses);
        let most = self.stall_sweeps_max;
        let most = if starving { most.min(STALL_SWEEPS_EMPTY_MAX) } else { most };
        if self.sends > 0 {
            for slot in 0..self.conns.len() as u32 {
                let conn = self.conn(slot);
                if conn.sending == 0 || conn.phase == Phase::Closing {
                    continue;
                }
                conn.stalled += 1;
                if conn.stalled > most {
                    io.count(Counter::StalledPeers, 1);
                    self.abort(io, slot);
                }
            }
        }
        self.make_sure(io);
        self.schedule_sweep(io);
    }
}
