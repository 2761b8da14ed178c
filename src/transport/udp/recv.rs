//! Receiving: what comes from whom, and who is new.

use std::os::fd::AsFd;

use super::conn::Ends;
use super::{Arrival, Udp, op};
use crate::counters::{Counter, Reason};
use crate::limits::{PEER_HELD_DATAGRAMS, RX_DATAGRAMS_HIGH, RX_TRAINS_HIGH, TX_PUSHED_BUFS_MAX};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::sys::datagram::{self, Received};
use crate::sys::uring::Cqe;
use crate::transport::{Io, Token};

const _: () = assert!(PEER_HELD_DATAGRAMS as u32 <= TX_PUSHED_BUFS_MAX);

impl Udp {
    fn recv_token(&self, op: u8) -> u64 {
        Token::new(op, self.index, 0, self.id.generation()).user_data()
    }

    /// Gets the listener a turn, to tell what happened outside of one: the completion of a cancel brings it.
    pub(super) fn nudge(&self, io: &mut Io) {
        let (nothing, token) = (self.recv_token(op::NONE), self.recv_token(op::CANCEL));
        io.uring().ring().cancel(nothing, token);
    }

    /// Whether anybody is to be heard, and there is room for what is said.
    fn is_to_receive(&self) -> bool {
        let wanted = (self.accepting || self.open > 0) && !self.resting;
        wanted && self.waiting < RX_DATAGRAMS_HIGH && self.rx.len() < RX_TRAINS_HIGH
    }

    /// Whether a receive that should be in flight is not.
    #[inline]
    pub(super) fn lacks_receive(&self) -> bool {
        !self.receiving && self.is_to_receive()
    }

    /// Receives, or stops, as things stand. It follows from what is the case alone, whatever ended the last
    /// receive, and is asked in every turn: so no receive stays away that should be there.
    pub(super) fn steer(&mut self, io: &mut Io) {
        if self.open == 0 && !self.accepting {
            self.give_up_room(io);
        }
        let wanted = self.is_to_receive();
        if wanted && !self.receiving {
            self.arm(io);
        } else if !wanted && self.receiving && !self.cancelled {
            self.cancelled = true;
            io.count(Counter::RxPaused, u64::from(self.accepting || self.open > 0));
            let (target, token) = (self.recv_token(op::RECV), self.recv_token(op::CANCEL));
            io.uring().ring().cancel(target, token);
        }
    }

    fn arm(&mut self, io: &mut Io) {
        io.uring().replenish();
        if io.uring().trains_lent() == 0 {
            // Nothing to receive into: again in the next turn.
            return;
        }
        let token = self.recv_token(op::RECV);
        io.uring().recv_datagrams(self.socket.as_fd(), token);
        self.receiving = true;
    }

    pub(super) fn on_recv(&mut self, io: &mut Io, cqe: &Cqe) {
        if !cqe.more() {
            // Any end: no slots (ENOBUFS), an empty datagram, a cancel. The next turn begins anew.
            (self.receiving, self.cancelled) = (false, false);
            io.count(Counter::RxStarved, u64::from(cqe.result == -libc::ENOBUFS));
        }
        let Some(mut buf) = io.uring().take_datagrams(cqe) else { return };
        let Some(received) = datagram::parse(&buf) else {
            return io.counters.drop_one(Reason::Protocol);
        };
        buf.truncate(received.payload.end);
        buf.advance(received.payload.start.min(buf.len()));
        self.note_losses(io, &received);
        if received.is_cut {
            return io.counters.drop_one(Reason::Truncated);
        }
        if received.payload.is_empty() {
            // Bufs without bytes are markers.
            return io.counters.drop_one(Reason::EmptyDatagram);
        }
        self.arrive(io, buf, &received);
    }

    /// Datagrams that the kernel had no room for.
    fn note_losses(&mut self, io: &mut Io, received: &Received) {
        if let Some(lost) = received.lost {
            io.count(Counter::RxLost, lost.wrapping_sub(self.lost_seen).into());
            self.lost_seen = lost;
        }
    }

    fn arrive(&mut self, io: &mut Io, mut buf: Buf, received: &Received) {
        let ends = Ends { remote: received.source, local: received.local };
        let Some(place) = self.place_of(io, &ends) else { return };
        self.conns[place].heard_s = super::seconds(io.now);
        let segment = received.segment_bytes.map_or(buf.len(), usize::from);
        let datagrams = buf.len().div_ceil(segment);
        io.count(Counter::RxBufs, datagrams as u64);
        io.count(Counter::RxBytes, buf.len() as u64);
        buf.set_conn(self.id_of(io, place));
        buf.set_kind(kind::DATA, received.ecn.into());
        self.waiting += datagrams;
        self.rx.push_back(Arrival { buf, segment: segment as u32 });
    }

    /// The place of a peer, which is made where it is new; `None`, and counted: there is none for it.
    fn place_of(&mut self, io: &mut Io, ends: &Ends) -> Option<usize> {
        // Datagrams come in runs.
        if let Some((last, place)) = &self.last
            && last == ends
        {
            return Some(*place);
        }
        let place = match self.places.get(ends) {
            Some(place) => *place as usize,
            None => self.open(io, ends)?,
        };
        self.last = Some((*ends, place));
        Some(place)
    }

    fn open(&mut self, io: &mut Io, ends: &Ends) -> Option<usize> {
        let full = io.connections >= io.connections_max;
        let slot = if full || !self.accepting { None } else { io.datagram_slots.pop() };
        let Some(slot) = slot else {
            io.counters.drop_one(Reason::PeerRefused);
            return None;
        };
        let place = (slot - self.slots.start) as usize;
        if let Some(peers) = &mut self.peers
            && !peers.admit(place as u32, ends.remote.ip())
        {
            io.datagram_slots.push(slot);
            io.count(Counter::AddressFull, 1);
            io.counters.drop_one(Reason::PeerRefused);
            return None;
        }
        self.conns[place].begin(io.next_generation(), super::seconds(io.now));
        self.ends[place] = Some(*ends);
        self.places.insert(*ends, place as u32);
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
        self.tell(io, place, kind::OPEN);
        Some(place)
    }

    /// Says something of a peer, in order with what came from it.
    pub(super) fn tell(&mut self, io: &Io, place: usize, kind: u8) {
        let marker = Buf::marker(self.id_of(io, place), kind);
        self.rx.push_back(Arrival { buf: marker, segment: 0 });
    }

    /// Moves what arrived to `rx`, a buf for each datagram.
    pub(super) fn take_arrivals(&mut self, io: &mut Io, rx: &mut Burst) {
        while !rx.is_full()
            && let Some(first) = self.rx.front_mut()
        {
            let segment = first.segment as usize;
            let buf = if segment > 0 && first.buf.len() > segment {
                first.buf.split_to(segment)
            } else {
                let Some(last) = self.rx.pop_front() else { return };
                last.buf
            };
            self.waiting -= usize::from(segment > 0);
            if let Some(buf) = self.unless_held(io, buf) {
                let pushed = rx.push(buf);
                debug_assert!(pushed.is_ok(), "room was checked");
            }
        }
    }

    /// Keeps back the datagram of a peer that the handler does not hear; what is too much is dropped, as the
    /// kernel would do.
    #[inline]
    fn unless_held(&mut self, io: &mut Io, buf: Buf) -> Option<Buf> {
        if buf.is_empty() || self.holding == 0 {
            return Some(buf);
        }
        let Some(place) = self.live(buf.conn()) else { return Some(buf) };
        let conn = &mut self.conns[place];
        if !conn.held {
            return Some(buf);
        }
        let room = conn.held_bufs < PEER_HELD_DATAGRAMS;
        if room && self.held_back.push(&mut conn.held_back, buf).is_ok() {
            conn.held_bufs += 1;
        } else {
            io.counters.drop_one(Reason::PeerHeld);
        }
        None
    }

    /// The handler wants nothing more of a peer.
    pub(super) fn hold(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        if !conn.held && !conn.close_wanted {
            conn.held = true;
            self.holding += 1;
        }
    }

    /// It wants to hear it again, from what was kept back on: that comes before what has arrived since.
    pub(super) fn release(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        if !std::mem::take(&mut conn.held) {
            return;
        }
        self.holding -= 1;
        self.take_back(place);
    }

    fn take_back(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        conn.held_bufs = 0;
        let mut newest_first = [const { None }; PEER_HELD_DATAGRAMS as usize];
        for buf in &mut newest_first {
            *buf = self.held_back.pop(&mut conn.held_back);
        }
        for buf in newest_first.into_iter().rev().flatten() {
            self.waiting += 1;
            self.rx.push_front(Arrival { segment: buf.len() as u32, buf });
        }
    }

    /// Drops what was kept back of a peer.
    pub(super) fn drop_held(&mut self, io: &mut Io, place: usize) {
        let conn = &mut self.conns[place];
        self.holding -= usize::from(std::mem::take(&mut conn.held));
        conn.held_bufs = 0;
        while self.held_back.pop(&mut conn.held_back).is_some() {
            io.counters.drop_one(Reason::PeerHeld);
        }
    }

    /// The slot's place in our tables, of a peer that is there.
    #[inline]
    pub(super) fn live(&self, id: ConnId) -> Option<usize> {
        let place = id.slot().checked_sub(self.slots.start)? as usize;
        let conn = self.conns.get(place)?;
        let live = conn.is_open && conn.generation == id.generation();
        (live && id.lcore() == self.id.lcore()).then_some(place)
    }
}
