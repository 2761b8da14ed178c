//! What the process is told: answers to what it wants, bytes, credit, and the end of connections.

use std::collections::VecDeque;

use super::conn::Phase;
use super::{CREDIT_BUFS, Shm};
use crate::counters::{Counter, Reason};
use crate::limits::{RX_QUEUE_HIGH, STALL_SWEEP_NS, STALL_SWEEPS_EMPTY_MAX, STALL_SWEEPS_LIMIT};
use crate::mem::{Buf, ConnId, kind};
use crate::port;
use crate::transport::{Io, Notice};

/// What came of sending.
#[derive(PartialEq, Eq)]
enum Sent {
    /// All that there was.
    All,
    /// The ring has no room, or no slot was to be had: tried again in the next turn.
    Full,
    /// The connection has as much lent as it may: tried again when the process gives something back.
    Enough,
    /// The process wants nothing more of the connection, or is gone.
    Later,
    /// Markers wait to be taken, and there is no room for another.
    Unheard,
}

impl Shm {
    /// Queues `buf`; gives it back when the store is full.
    #[inline]
    pub(super) fn queue_buf(&mut self, io: &mut Io, slot: u32, buf: Buf) -> Result<(), Buf> {
        let conn = &mut self.conns[slot as usize];
        if conn.phase != Phase::Open || conn.close_wanted {
            io.counters.drop_one(Reason::AfterClose);
            settle(io, &buf, false);
            return Ok(());
        }
        let bytes = buf.len() as u64;
        self.tx.push(&mut conn.tx, buf)?;
        conn.tx_bytes += bytes;
        conn.tx_bufs += 1;
        if conn.is_laden() && !conn.tx_paused {
            conn.tx_paused = true;
            io.count(Counter::RxPaused, 1);
        }
        self.soil(slot);
        Ok(())
    }

    /// Sends what there is room for.
    pub(super) fn flush_all(&mut self, io: &mut Io) {
        self.full = false;
        self.refuse(io);
        let before = io.counters.own(Counter::TxBufs);
        for _ in 0..self.dirty.len() {
            if self.full {
                break;
            }
            let Some(slot) = self.dirty.pop_front() else { break };
            self.conns[slot as usize].dirty = false;
            self.flush_one(io, slot);
        }
        self.catch_up(io);
        let sent = io.counters.own(Counter::TxBufs) != before;
        io.count(Counter::Sends, sent.into());
    }

    /// Sends what waits of connections that the process has given something back of, of a bounded
    /// number of them.
    fn catch_up(&mut self, io: &mut Io) {
        const VISITS: usize = 64;
        for _ in 0..self.revisit.min(VISITS) {
            if self.full {
                return;
            }
            self.revisit -= 1;
            let Some(slot) = self.behind.pop_front() else { return self.revisit = 0 };
            self.conns[slot as usize].behind = false;
            self.flush_one(io, slot);
        }
    }

    /// Tells the process which connections it does not get.
    fn refuse(&mut self, io: &mut Io) {
        while let Some(&number) = self.refused.front() {
            let mut word = Buf::marker(ConnId::NONE, kind::CLOSED);
            word.set_kind(kind::CLOSED, port::kind::CUT);
            match self.queue(&mut io.ports).map(|queue| queue.send(word, number)) {
                Some(Err(_)) => return self.full = true,
                _ => self.refused.pop_front(),
            };
        }
    }

    fn flush_one(&mut self, io: &mut Io, slot: u32) {
        match self.conns[slot as usize].phase {
            Phase::Free => return,
            Phase::Closing => return self.say_closed(io, slot),
            Phase::Open => {}
        }
        let sent = self.send(io, slot);
        let conn = &mut self.conns[slot as usize];
        if conn.tx_paused && conn.is_light() {
            conn.tx_paused = false;
            self.arrive(slot);
        }
        match sent {
            Sent::All if self.conns[slot as usize].close_wanted => self.close_now(io, slot, false),
            Sent::All | Sent::Later => {}
            Sent::Unheard => self.soil(slot),
            Sent::Full => self.wait_for_room(slot),
            Sent::Enough => {
                let conn = &mut self.conns[slot as usize];
                if !std::mem::replace(&mut conn.behind, true) {
                    self.behind.push_back(slot);
                }
            }
        }
    }

    /// Sends what waits for one connection.
    fn send(&mut self, io: &mut Io, slot: u32) -> Sent {
        let id = self.id(io, slot);
        let conn = &mut self.conns[slot as usize];
        let attached = self.attachment == Some(io.ports.attachments(self.port));
        let Some(queue) = io.ports.queue(self.port).filter(|_| attached) else {
            return Sent::Later; // it is about to be closed
        };
        if let Some(number) = conn.greeting {
            if queue.send(Buf::marker(id, kind::OPEN), number).is_err() {
                return Sent::Full;
            }
            conn.greeting = None;
        }
        if conn.credit >= CREDIT_BUFS {
            let mut credit = Buf::marker(id, port::kind::CREDIT);
            credit.set_kind(port::kind::CREDIT, conn.credit);
            if queue.send(credit, 0).is_err() {
                return Sent::Full;
            }
            conn.window -= std::mem::take(&mut conn.credit);
        }
        while let Some(front) = self.tx.front(&conn.tx) {
            if front.is_empty() {
                // Beyond these there is room for the end of each connection.
                if front.kind() == kind::FLUSH && self.markers.len() >= RX_QUEUE_HIGH {
                    return Sent::Unheard;
                }
                let marker = self.tx.pop(&mut conn.tx).expect("it was just seen");
                conn.tx_bufs -= 1;
                answer(&mut self.markers, &mut io.notices, marker);
                continue;
            }
            if conn.deaf {
                return Sent::Later;
            }
            if !queue.may_send(front) {
                return Sent::Enough;
            }
            let mut buf = self.tx.pop(&mut conn.tx).expect("it was just seen");
            let bytes = buf.len() as u64;
            buf.set_kind(kind::DATA, 0);
            if let Err(buf) = queue.send(buf, 0) {
                // Of one that is larger than the process's slots some may have gone.
                let gone = bytes - buf.len() as u64;
                if gone > 0 {
                    conn.tx_bytes -= gone;
                    conn.stalled = 0;
                    io.counters.add(Counter::TxBytes, gone);
                }
                let back = self.tx.push_front(&mut conn.tx, buf);
                assert!(back.is_ok(), "it was just popped");
                return Sent::Full;
            }
            conn.tx_bytes -= bytes;
            conn.tx_bufs -= 1;
            conn.stalled = 0;
            io.counters.add(Counter::TxBufs, 1);
            io.counters.add(Counter::TxBytes, bytes);
        }
        Sent::All
    }

    /// Gives connections up of which the process has taken nothing for too long while something waits for
    /// it: that holds slots of the pool, which all others need. Sooner where a slot was wanted in vain.
    pub(super) fn sweep_conns(&mut self, io: &mut Io) {
        let misses = io.counters.get(Counter::PoolEmpty) + io.counters.get(Counter::RxStarved);
        let starving = misses > std::mem::replace(&mut self.misses_seen, misses);
        let most = self.write_timeout_ns.div_ceil(STALL_SWEEP_NS);
        let most = most.clamp(1, STALL_SWEEPS_LIMIT.into()) as u8;
        let most = if starving { most.min(STALL_SWEEPS_EMPTY_MAX) } else { most };
        for slot in 0..self.conns.len() as u32 {
            let conn = &mut self.conns[slot as usize];
            if conn.phase != Phase::Open || conn.tx.is_empty() {
                conn.stalled = 0;
                continue;
            }
            conn.stalled += 1;
            if conn.stalled > most {
                io.count(Counter::StalledPeers, 1);
                self.close_now(io, slot, true);
            }
        }
    }

    fn wait_for_room(&mut self, slot: u32) {
        self.full = true;
        let conn = &mut self.conns[slot as usize];
        if !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push_front(slot);
        }
    }

    /// Ends a connection: drops what is under way, and tells the process and then the handler. `cut`:
    /// not as the process or the handler wanted it.
    pub(super) fn close_now(&mut self, io: &mut Io, slot: u32, cut: bool) {
        let conn = &mut self.conns[slot as usize];
        if conn.phase != Phase::Open {
            return;
        }
        conn.phase = Phase::Closing;
        conn.cut = cut;
        // No completion gets us the turn in which that is told.
        io.ports.call(self.port);
        self.drop_bufs(io, slot);
        self.say_closed(io, slot);
    }

    /// Drops what waits on a connection, either way.
    pub(super) fn drop_bufs(&mut self, io: &mut Io, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        conn.cut |= !conn.tx.is_empty();
        while let Some(buf) = self.tx.pop(&mut conn.tx) {
            io.counters.drop_one(Reason::Unsent);
            settle(io, &buf, false);
        }
        while self.parked.pop(&mut conn.parked).is_some() {
            io.counters.drop_one(Reason::LateCompletion);
        }
        (conn.tx_bytes, conn.tx_bufs) = (0, 0);
    }

    /// Tells the process that a connection is gone, and gives the slot up once there is room for that.
    fn say_closed(&mut self, io: &mut Io, slot: u32) {
        let mut word = Buf::marker(self.id(io, slot), kind::CLOSED);
        let conn = &self.conns[slot as usize];
        word.set_kind(kind::CLOSED, if conn.cut { port::kind::CUT } else { 0 });
        // One that was never told of it knows it by its number.
        let number = conn.greeting.unwrap_or(0);
        match self.queue(&mut io.ports).map(|queue| queue.send(word, number)) {
            Some(Err(_)) => self.wait_for_room(slot),
            Some(Ok(())) | None => self.free(io, slot),
        }
    }

    /// Gives a slot up, and tells the handler.
    pub(super) fn free(&mut self, io: &mut Io, slot: u32) {
        self.conns[slot as usize].phase = Phase::Free;
        io.peer_slots.push(slot);
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
        self.accept_due = true;
        self.markers.push_back(Buf::marker(self.id(io, slot), kind::CLOSED));
    }
}

/// Answers a marker that all is out before.
fn answer(markers: &mut VecDeque<Buf>, notices: &mut Vec<Notice>, mut marker: Buf) {
    if marker.kind() == kind::FLUSH {
        marker.set_kind(kind::FLUSHED, marker.meta());
        markers.push_back(marker);
    } else {
        notices.push(Notice { ticket: marker.meta(), sent: true });
    }
}

/// Tells the author of a write that was lost.
pub(super) fn settle(io: &mut Io, buf: &Buf, sent: bool) {
    if buf.kind() == kind::NOTIFY {
        io.notices.push(Notice { ticket: buf.meta(), sent });
    }
}
