//! Receiving: what comes from whom, and who is new.

use std::os::fd::AsFd;

use super::places::Ends;
use super::{Arrival, SOCKETS_MAX, Udp, op};
use crate::counters::{Counter, Reason};
use crate::limits::{PEER_HELD_DATAGRAMS, RX_DATAGRAMS_HIGH, RX_TRAINS_HIGH, TX_PUSHED_BUFS_MAX};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::sys::datagram::{self, Received};
use crate::sys::uring::Cqe;
use crate::transport::{Engine, Io, Token};

const _: () = assert!(PEER_HELD_DATAGRAMS as u32 <= TX_PUSHED_BUFS_MAX);

impl<E: Engine> Udp<E> {
    fn recv_token(&self, op: u8, socket: u32) -> u64 {
        Token::new(op, self.index, socket, self.id.generation()).user_data()
    }

    /// Gets the listener a turn, to tell what happened outside of one: the completion of a cancel brings it.
    pub(super) fn nudge(&self, io: &mut Io) {
        let (nothing, token) = (self.recv_token(op::NONE, 0), self.recv_token(op::CANCEL, 0));
        E::of(io).cancel(nothing, token);
    }

    /// Whether anybody is to be heard, and there is room for what is said.
    fn is_to_receive(&self) -> bool {
        let wanted = (self.accepting || self.open > 0) && !self.resting && !self.deaf;
        wanted && self.waiting < RX_DATAGRAMS_HIGH && self.rx.len() < RX_TRAINS_HIGH
    }

    /// Whether a receive that should be in flight is not.
    #[inline]
    pub(super) fn lacks_receive(&self) -> bool {
        self.receiving != self.all() && self.is_to_receive()
    }

    /// A bit for each socket.
    #[inline]
    fn all(&self) -> u8 {
        u8::MAX >> (SOCKETS_MAX - 1 - self.more.len())
    }

    /// Receives, or stops, as things stand. It follows from what is the case alone, whatever ended the last
    /// receive, and is asked in every turn: so no receive stays away that should be there.
    pub(super) fn steer(&mut self, io: &mut Io) {
        if self.open == 0 && !self.accepting {
            self.give_up_room(io);
        }
        if self.lacks_receive() {
            return self.arm(io);
        }
        if self.is_to_receive() {
            return;
        }
        let cancels = self.receiving & !self.cancelled;
        if cancels == 0 {
            return;
        }
        self.cancelled |= cancels;
        io.count(Counter::RxPaused, u64::from(self.accepting || self.open > 0));
        for socket in (0..SOCKETS_MAX as u32).filter(|socket| cancels & 1 << socket != 0) {
            let target = self.recv_token(op::RECV, socket);
            E::of(io).cancel(target, self.recv_token(op::CANCEL, socket));
        }
    }

    fn arm(&mut self, io: &mut Io) {
        if E::of(io).trains_room() == 0 {
            // Nothing to receive into: again in the next turn.
            return;
        }
        for (number, socket) in self.sockets().enumerate() {
            if self.receiving & 1 << number == 0 {
                let token = self.recv_token(op::RECV, number as u32);
                io.count(Counter::RxRearmed, 1);
                E::of(io).recv_datagrams(socket.as_fd(), token);
            }
        }
        self.receiving = self.all();
    }

    pub(super) fn on_recv(&mut self, io: &mut Io, socket: u32, cqe: &Cqe) {
        if !cqe.more() {
            // Any end: no slots (ENOBUFS), an empty datagram, a cancel. The next turn begins anew.
            self.receiving &= !(1 << socket);
            self.cancelled &= !(1 << socket);
            io.count(Counter::RxStarved, u64::from(cqe.result == -libc::ENOBUFS));
        }
        let Some(mut buf) = E::of(io).take_datagrams(cqe) else { return };
        let Some(received) = datagram::parse(&buf) else {
            return io.counters.drop_one(Reason::Protocol);
        };
        buf.truncate(received.payload.end);
        buf.advance(received.payload.start.min(buf.len()));
        self.note_losses(io, socket, &received);
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
    fn note_losses(&mut self, io: &mut Io, socket: u32, received: &Received) {
        if let Some(lost) = received.lost {
            let seen = &mut self.lost_seen[socket as usize];
            io.count(Counter::RxLost, lost.wrapping_sub(*seen).into());
            *seen = lost;
        }
    }

    #[inline]
    fn arrive(&mut self, io: &mut Io, mut buf: Buf, received: &Received) {
        let ends = Ends { remote: received.source, local: received.local };
        let Some(place) = self.place_of(io, &ends) else { return };
        self.conns[place].heard_s = super::seconds(io.now);
        self.prove(place);
        let (segment, datagrams) = match received.segment_bytes.map(usize::from) {
            Some(segment) => (segment, buf.len().div_ceil(segment)),
            None => (buf.len(), 1),
        };
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
        if self.places.ends(self.last) == Some(ends) {
            return Some(self.last);
        }
        let place = match self.places.get(ends) {
            Some(place) => place,
            None => self.open(io, ends)?,
        };
        self.last = place;
        Some(place)
    }

    /// A place for a newcomer; `None`, and counted: there is none for it.
    #[cold]
    fn open(&mut self, io: &mut Io, ends: &Ends) -> Option<usize> {
        let address = ends.remote.ip();
        if self.peers.as_ref().is_some_and(|peers| peers.is_full(address)) {
            io.count(Counter::AddressFull, 1);
            io.counters.drop_one(Reason::PeerRefused);
            return None;
        }
        // Once another process hears them, what this one has taken is nobody else's to answer.
        let welcome = self.accepting || self.deaf;
        let slot = if welcome { self.free_slot(io) } else { None };
        let Some(slot) = slot else {
            io.counters.drop_one(Reason::PeerRefused);
            return None;
        };
        let place = (slot - self.slots.start) as usize;
        if let Some(peers) = &mut self.peers {
            let admitted = peers.admit(place as u32, address);
            debug_assert!(admitted, "its address has not as many as it may");
        }
        self.conns[place].begin(io.next_generation(), super::seconds(io.now));
        self.places.insert(place, ends);
        self.unproved.add(place);
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
        self.tell(io, place, kind::OPEN);
        Some(place)
    }

    /// A slot that is free, or else that of the peer which has gone longest without showing that it hears us.
    fn free_slot(&mut self, io: &mut Io) -> Option<u32> {
        let is_full = io.connections >= io.connections_max || io.datagram_slots.is_empty();
        if is_full && let Some(place) = self.unproved.oldest() {
            io.count(Counter::PeersDisplaced, 1);
            self.end(io, place);
        }
        // Connections of other listeners may have all there is.
        if io.connections < io.connections_max { io.datagram_slots.pop() } else { None }
    }

    /// What comes of a peer after it was sent something shows that it hears us, and it keeps its place.
    #[inline]
    fn prove(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        if conn.answered && !conn.proved {
            conn.proved = true;
            self.unproved.take_out(place);
        }
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
