//! The attached process's end of one queue: messages in, messages out, on slots that the dataplane
//! lends.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Message;
use super::flow::{Flow, Flows, Verdict};
use super::http::Deferred;
use crate::limits::{BURST_MAX, CLASSES_MAX, LARGE_SLOT_BYTES, PORT_WINDOW_BUFS, TRAIN_SLOT_BYTES};
use crate::mem::{self, ConnId, Descriptor, Lent, PeerMemory, QueueEnds, Terms};
use crate::pipeline::chain::http1::HEAD;
use crate::port::{Inbox, Role, kind};
use crate::ring::doorbell::Doorbell;
use crate::ring::spsc::Producer;

/// One queue of a port: what one lcore and this process say to each other. No call blocks but
/// [`Attachment::wait`](super::Attachment::wait).
pub struct Queue {
    out: Producer<Descriptor>,
    into: Inbox,
    theirs: Doorbell,
    ours: Doorbell,
    memory: Rc<PeerMemory>,
    /// Empty slots, by class.
    stock: [Vec<Lent>; CLASSES_MAX],
    pub(super) flows: Flows,
    /// What found no room in the ring.
    overflow: VecDeque<Message>,
    /// Connections of which copies of parts wait for slots.
    starved: VecDeque<ConnId>,
    /// Responses that found no slot.
    pub(super) deferred: VecDeque<Deferred>,
    /// Descriptors sent since they were last shown.
    unshown: usize,
    /// What this process is to the dataplane.
    role: Role,
    /// Number of the last connection that was asked for.
    asked: u32,
}

impl Queue {
    pub(super) fn new(ends: QueueEnds, memory: PeerMemory, role: Role) -> Self {
        let QueueEnds { out, into, theirs, ours } = ends;
        Self {
            out,
            into: Inbox::new(into),
            theirs,
            ours,
            memory: Rc::new(memory),
            stock: Default::default(),
            flows: Flows::default(),
            overflow: VecDeque::new(),
            starved: VecDeque::new(),
            deferred: VecDeque::new(),
            unshown: 0,
            role,
            asked: 0,
        }
    }

    /// What this process is to the dataplane.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Asks for a connection, at a port whose process is a listener's peer; its number. What comes next
    /// with that [`number`](Message::number) is `OPEN`, and names the connection, or `CLOSED`: it was
    /// refused.
    ///
    /// # Panics
    /// At a port whose process handles the connections of others
    /// ([`Options::role`](super::Options::role) refuses such when attaching).
    pub fn connect(&mut self) -> u32 {
        assert!(self.role == Role::Peer, "a port of handlers has no connections to open");
        // 0 is the number of what has none.
        self.asked = self.asked.checked_add(1).unwrap_or(1);
        let mut word = Message::marker(ConnId::NONE, mem::kind::OPEN);
        word.number = self.asked;
        self.post(word);
        self.asked
    }

    /// The next message, if there is one.
    #[inline]
    pub fn receive(&mut self) -> Option<Message> {
        while let Some(descriptor) = self.into.next(|soon| self.memory.foresee(soon)) {
            let Descriptor { conn, message, tag, .. } = descriptor;
            let is_supply = tag as u8 == kind::SUPPLY;
            let lent = match Terms::of(&descriptor) {
                // Bytes that are not in our memory: the dataplane is broken, and what it says too.
                Some(terms) => Some(self.memory.lent(&terms, is_supply)?),
                None => None,
            };
            let (kind, meta) = (tag as u8, tag >> 8);
            match (lent, kind) {
                (Some(lent), kind::SUPPLY) => {
                    self.stock[lent.class()].push(lent);
                    self.on_supply();
                }
                (_, kind::CREDIT) => self.on_credit(conn, meta),
                (lent, _) => {
                    match kind {
                        // A message of a stream is of no request.
                        HEAD if message != 0 => self.on_request(conn, message),
                        mem::kind::FLUSHED => self.on_flushed(conn, meta),
                        mem::kind::CLOSED => self.on_closed(conn, message),
                        _ => {}
                    }
                    return Some(Message { conn, number: message, kind, meta, lent });
                }
            }
        }
        None
    }

    #[inline]
    fn on_supply(&mut self) {
        if !self.deferred.is_empty() {
            self.send_deferred();
        }
        if !self.starved.is_empty() {
            for _ in 0..self.starved.len() {
                let Some(conn) = self.starved.pop_front() else { break };
                if let Some(flow) = self.flows.get_mut(conn) {
                    flow.starved = false;
                    self.send_early(conn);
                }
            }
        }
    }

    fn on_request(&mut self, conn: ConnId, number: u32) {
        if let Some(flow) = self.flows.begin(conn) {
            flow.ask(number);
        }
    }

    /// A connection is gone, or, where it has requests, one of those.
    fn on_closed(&mut self, conn: ConnId, number: u32) {
        let Some(flow) = self.flows.get_mut(conn) else { return };
        if number == 0 || self.role == Role::Peer {
            return flow.clear();
        }
        flow.end(number);
        self.send_early(conn);
    }

    /// So many bufs of a connection are out: as many more may follow.
    fn on_credit(&mut self, conn: ConnId, bufs: u32) {
        let Some(flow) = self.flows.get_mut(conn) else { return };
        flow.credit(bufs);
        while let Some(message) = self.flows.get_mut(conn).and_then(Flow::next_off) {
            self.post(message);
        }
        self.send_early(conn);
        let resumes = self.flows.get_mut(conn).is_some_and(Flow::resumes);
        if resumes {
            self.post(Message::marker(conn, mem::kind::RESUME));
        }
    }

    /// Sends what waited for its turn, as far as that has come and there are slots.
    fn send_early(&mut self, conn: ConnId) {
        while let Some(bytes) = self.flows.get(conn).and_then(Flow::next_early) {
            let part = match bytes {
                0 => Some(Message::marker(conn, kind::BODY)),
                _ => self.alloc_any(conn, bytes),
            };
            let Some(flow) = self.flows.get_mut(conn) else { return };
            let Some(mut part) = part else {
                if !std::mem::replace(&mut flow.starved, true) {
                    self.starved.push_back(conn);
                }
                return;
            };
            flow.take_early(&mut part);
            self.post(part);
        }
    }

    /// An empty message with room for `bytes`, for `conn`. `None` when something that was sent on that
    /// connection still waits for its peer ([`room`](Self::room)), or the dataplane has lent no such
    /// slot: it does when it has time, and when those that are in use come home.
    #[inline]
    pub fn alloc(&mut self, conn: ConnId, bytes: usize) -> Option<Message> {
        if self.room(conn) == 0 {
            return None;
        }
        self.alloc_any(conn, bytes)
    }

    /// The same for a part of the response to `request`. While requests before it on its connection are not
    /// answered, parts are copied and wait; `None` also when enough of them do.
    pub fn alloc_for(&mut self, request: &Message, bytes: usize) -> Option<Message> {
        if self.room_for(request) == 0 {
            return None;
        }
        self.alloc_any(request.conn, bytes)
    }

    /// Parts of the response to `request` that may be sent before [`alloc_for`](Self::alloc_for) gives none.
    pub fn room_for(&self, request: &Message) -> usize {
        let flow = self.flows.get(request.conn);
        flow.map_or(PORT_WINDOW_BUFS as usize, |flow| flow.room_of(request.number))
    }

    /// Whether all requests before this one on its connection are answered.
    pub fn is_turn(&self, request: &Message) -> bool {
        self.flows.get(request.conn).is_none_or(|flow| flow.is_turn(request.number))
    }

    /// An empty message, however much waits on the connection.
    #[inline]
    pub(super) fn alloc_any(&mut self, conn: ConnId, bytes: usize) -> Option<Message> {
        // Of blocks there are few: no message that a smaller slot holds takes one.
        let large = LARGE_SLOT_BYTES as usize;
        let sizes = bytes..=if bytes <= large { large } else { usize::MAX };
        let fits = |class: &usize| {
            self.memory.slot_bytes(*class).is_some_and(|slot| sizes.contains(&slot))
        };
        let class = (0..CLASSES_MAX).filter(fits).find(|&class| !self.stock[class].is_empty())?;
        // The last that came is the one whose bytes are still in a cache.
        let lent = self.stock[class].pop();
        Some(Message { conn, number: 0, kind: mem::kind::DATA, meta: 0, lent })
    }

    /// Messages that may be sent on `conn` before one has to wait for the peer to take some.
    pub fn room(&self, conn: ConnId) -> usize {
        self.flows.get(conn).map_or(PORT_WINDOW_BUFS as usize, Flow::room)
    }

    /// Sends a message, in order with those before it on its connection. What has no room yet, because
    /// the other side is slow or the ring full, waits here on its slot; while something of a connection
    /// does, a handler's peer is not received from. The dataplane sees it after the next
    /// [`flush`](Self::flush), or, of many, before.
    #[inline]
    pub fn send(&mut self, message: Message) {
        let conn = message.conn;
        if conn == ConnId::NONE {
            return self.post(message); // about nobody that could be slow
        }
        let Some(flow) = self.flows.begin(conn) else { return };
        match flow.look_at(&message) {
            Verdict::Goes => self.post(message),
            Verdict::EndsTurn => {
                self.post(message);
                self.send_early(conn);
            }
            Verdict::Waits => self.put_off(message),
            Verdict::Early => flow.put_early(&message),
            Verdict::Over => {}
        }
    }

    #[cold]
    pub(super) fn put_off(&mut self, message: Message) {
        let conn = message.conn;
        // A peer reads while it writes, or both sides would wait for each other.
        let pauses = self.role == Role::Handler;
        if self.flows.get_mut(conn).is_some_and(|flow| flow.put_off(message, pauses)) {
            self.post(Message::marker(conn, mem::kind::PAUSE));
        }
    }

    /// Puts a message into the ring, behind those that wait for room there.
    #[inline]
    pub(super) fn post(&mut self, message: Message) {
        if !self.overflow.is_empty() || self.out.is_full() {
            return self.overflow.push_back(message);
        }
        self.write(message);
    }

    #[inline]
    fn write(&mut self, message: Message) {
        let Message { conn, number, kind, meta, lent } = message;
        let ours = lent.as_ref().is_none_or(|lent| lent.is_of(&self.memory));
        assert!(ours, "a message goes back by the queue that it came from");
        let terms = lent.map_or(Terms::NONE, Lent::into_terms);
        self.push(conn, number, terms, meta << 8 | u32::from(kind));
    }

    #[inline]
    fn push(&mut self, conn: ConnId, message: u32, terms: Terms, tag: u32) {
        let sent = self.out.stage(terms.describe(conn, message, tag));
        assert!(sent.is_ok(), "room was checked");
        self.unshown += 1;
        if self.unshown.is_multiple_of(BURST_MAX) {
            self.out.publish();
        }
    }

    /// Sends what waits for room in the ring, gives the slots of dropped messages back, shows the lcore
    /// all of it, and wakes it if it sleeps.
    #[inline]
    pub fn flush(&mut self) {
        while !self.overflow.is_empty() && !self.out.is_full() {
            let message = self.overflow.pop_front().expect("it was just seen");
            self.write(message);
        }
        while !self.out.is_full()
            && let Some(terms) = self.memory.next_dropped()
        {
            self.push(ConnId::NONE, 0, terms, u32::from(kind::RETURN));
        }
        if self.unshown > 0 {
            self.unshown = 0;
            self.out.publish();
            self.theirs.ring();
        }
    }

    /// Bytes of the largest slot that the dataplane lends empty. Those that it receives datagrams into are larger,
    /// and its own.
    pub fn slot_bytes_max(&self) -> usize {
        let sizes = (0..CLASSES_MAX).filter_map(|class| self.memory.slot_bytes(class));
        sizes.filter(|&bytes| bytes != TRAIN_SLOT_BYTES as usize).max().unwrap_or(0)
    }

    /// Messages that are there, supplies of slots among them.
    pub fn len(&self) -> usize {
        self.into.len()
    }

    /// Whether nothing is there.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.into.has_some()
    }

    /// Whether the dataplane's end wrote an index that cannot be.
    pub fn is_broken(&self) -> bool {
        self.into.peer_fault() || self.out.peer_fault()
    }

    /// Whether there is something in hand that the dataplane was not shown.
    pub(super) fn has_unsent(&self) -> bool {
        self.unshown > 0 || !self.overflow.is_empty() || self.memory.has_dropped()
    }

    /// With something in hand there is no sleep: where the ring has no room for it, nobody would tell of
    /// the room.
    pub(super) fn sleep_unless_input(&self) -> bool {
        self.ours.sleep_unless(|| self.into.has_some() || self.has_unsent())
    }

    pub(super) fn awake(&self) {
        self.ours.awake();
    }
}
