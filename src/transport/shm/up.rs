//! What the process says: connections that it opens, and the bytes on them.

use super::conn::{Conn, Phase};
use super::{CREDIT_BUFS, Shm, push};
use crate::counters::{Counter, Reason};
use crate::limits::{ACCEPT_RETRY_NS, PORT_OPENS_WAITING_MAX, PORT_WINDOW_BUFS};
use crate::mem::{Buf, Burst, kind};
use crate::port::Received;
use crate::transport::Io;

impl Shm {
    /// Takes one word of the process; `false`: there is none, or no room for what it would make.
    pub(super) fn receive(&mut self, io: &mut Io, rx: &mut Burst) -> bool {
        if self.refused.len() >= PORT_OPENS_WAITING_MAX {
            return false; // a process that hears no refusals may ask for no more
        }
        let Some(queue) = self.queue(&mut io.ports) else { return false };
        match queue.receive() {
            Received::Nothing => return false,
            Received::Fault(fault) => self.cut(io, fault),
            Received::Message(word, number) if word.kind() == kind::OPEN => {
                self.on_open(io, number, rx);
            }
            Received::Message(word, _) => self.on_word(io, word, rx),
        }
        true
    }

    /// Looks whether what waits for the process is more than its share. It is heard all the same, since
    /// it gives slots back by the same ring; what it sends is parked.
    pub(super) fn weigh(&mut self, io: &Io) {
        let backlogged = self.share.is_exceeded(&io.pool, self.tx.slots());
        if std::mem::replace(&mut self.backlogged, backlogged) && !backlogged {
            self.arrive_all();
        }
    }

    /// Has all that is parked taken, where nothing speaks against it any more.
    pub(super) fn arrive_all(&mut self) {
        (0..self.conns.len() as u32).for_each(|slot| self.arrive(slot));
    }

    /// Whether what is sent on a connection is handed on now.
    fn receives(&self, slot: u32) -> bool {
        !self.held_back && !self.backlogged && self.conns[slot as usize].receives()
    }

    fn on_open(&mut self, io: &mut Io, number: u32, rx: &mut Burst) {
        if !self.accepting || self.waiting.len() == PORT_OPENS_WAITING_MAX {
            self.refused.push_back(number);
        } else if !self.waiting.is_empty() || !self.accept(io, number, rx) {
            self.waiting.push_back(number);
        }
    }

    /// Begins a connection; `false` when the lcore has as many as it may.
    fn accept(&mut self, io: &mut Io, number: u32, rx: &mut Burst) -> bool {
        if io.connections >= io.connections_max {
            return false;
        }
        let Some(slot) = io.peer_slots.pop() else { return false };
        let generation = io.next_generation();
        self.conns[slot as usize].begin(generation, number);
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
        push(rx, Buf::marker(self.id(io, slot), kind::OPEN));
        self.soil(slot);
        true
    }

    /// Begins one of the connections that have waited for a slot; `false`: none, or not yet.
    pub(super) fn accept_waiting(&mut self, io: &mut Io, rx: &mut Burst) -> bool {
        let Some(&number) = self.waiting.front().filter(|_| self.accept_due) else { return false };
        if self.accept(io, number, rx) {
            self.waiting.pop_front();
            return true;
        }
        self.accept_due = false;
        false
    }

    /// Another listener's connection may be the one that goes: nobody tells.
    pub(super) fn retry_accept(&mut self, io: &mut Io) {
        if !self.waiting.is_empty() && self.accept_timer.is_none() {
            self.accept_timer = self.schedule(io, super::op::ACCEPT_TIMER, ACCEPT_RETRY_NS);
        }
    }

    fn on_word(&mut self, io: &mut Io, word: Buf, rx: &mut Burst) {
        let Some(slot) = self.live(word.conn()) else {
            // It may have ended while the word was under way.
            return io.counters.drop_one(Reason::StaleConnection);
        };
        let conn = &mut self.conns[slot as usize];
        match word.kind() {
            _ if conn.phase == Phase::Closing => io.counters.drop_one(Reason::Lingering),
            kind::DATA => self.on_data(io, slot, word, rx),
            kind::EOF if conn.eof => {}
            kind::EOF | kind::CLOSE => {
                conn.eof = true;
                self.hear(io, slot, Buf::marker(word.conn(), word.kind()), rx);
            }
            kind::ABORT => self.close_now(io, slot, false),
            kind::PAUSE => conn.deaf = true,
            kind::RESUME => {
                conn.deaf = false;
                self.soil(slot);
            }
            other => unreachable!("the queue lets no kind {other} of a peer pass"),
        }
    }

    fn on_data(&mut self, io: &mut Io, slot: u32, word: Buf, rx: &mut Burst) {
        let conn = &mut self.conns[slot as usize];
        if conn.eof || conn.window >= PORT_WINDOW_BUFS {
            io.counters.drop_one(Reason::Protocol);
            return self.close_now(io, slot, true);
        }
        conn.window += 1;
        self.hear(io, slot, word, rx);
    }

    /// Hands a word on, or keeps it while its connection is not received from.
    fn hear(&mut self, io: &mut Io, slot: u32, word: Buf, rx: &mut Burst) {
        let receives = self.receives(slot);
        let conn = &mut self.conns[slot as usize];
        // Behind nothing that waits, an end is no more than that.
        let is_end = word.kind() == kind::CLOSE;
        if conn.parked.is_empty() && (receives || is_end) {
            self.hand_on(io, slot, word, rx);
        } else if self.share.is_exceeded(&io.pool, self.parked.slots())
            || self.parked.push(&mut conn.parked, word).is_err()
        {
            io.counters.drop_one(Reason::Protocol);
            self.close_now(io, slot, true);
        }
    }

    fn hand_on(&mut self, io: &mut Io, slot: u32, word: Buf, rx: &mut Burst) {
        match word.kind() {
            kind::CLOSE => return self.close_now(io, slot, false),
            kind::EOF => return push(rx, word),
            _ => {}
        }
        let conn = &mut self.conns[slot as usize];
        conn.credit += 1;
        if conn.credit >= CREDIT_BUFS {
            self.soil(slot);
        }
        if !word.is_empty() {
            io.count(Counter::RxBufs, 1);
            io.count(Counter::RxBytes, word.len() as u64);
            let mut word = word;
            word.set_kind(kind::DATA, 0);
            push(rx, word);
        }
    }

    /// Has what a connection has parked taken in its turn, if it is received from.
    pub(super) fn arrive(&mut self, slot: u32) {
        let receives = self.receives(slot);
        let conn = &mut self.conns[slot as usize];
        if receives && !conn.parked.is_empty() && !conn.arriving {
            conn.arriving = true;
            self.arriving.push_back(slot);
        }
    }

    /// Takes what one connection has parked, as far as there is room; `false`: there is none.
    pub(super) fn take_parked(&mut self, io: &mut Io, rx: &mut Burst) -> bool {
        let Some(slot) = self.arriving.pop_front() else { return false };
        self.conns[slot as usize].arriving = false;
        while !rx.is_full()
            && let Some(word) = self.next_parked(slot)
        {
            self.hand_on(io, slot, word, rx);
        }
        self.arrive(slot);
        true
    }

    fn next_parked(&mut self, slot: u32) -> Option<Buf> {
        let receives = self.receives(slot);
        let conn: &mut Conn = &mut self.conns[slot as usize];
        if receives { self.parked.pop(&mut conn.parked) } else { None }
    }
}
