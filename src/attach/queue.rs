//! The attached process's end of one queue: messages in, messages out, on slots that the dataplane
//! lends.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Message;
use super::http::Deferred;
use crate::limits::{BURST_MAX, CLASSES_MAX, PORT_WINDOW_BUFS};
use crate::mem::{self, ConnId, Descriptor, Lent, PeerMemory, QueueEnds, Terms};
use crate::port::{Inbox, Role, kind};
use crate::ring::doorbell::Doorbell;
use crate::ring::spsc::Producer;

/// What was sent on a connection and is not out yet.
struct Flow {
    conn: ConnId,
    /// Bufs that the dataplane has.
    in_flight: u32,
    /// Those that have to wait until it has fewer. Their slots bound them: what the dataplane has lent.
    backlog: VecDeque<Message>,
    /// The peer is not received from meanwhile.
    paused: bool,
    /// The program has asked for that itself.
    held: bool,
    /// Number of the request whose response is being sent.
    number: u32,
}

impl Flow {
    const fn new(conn: ConnId) -> Self {
        Self { conn, in_flight: 0, backlog: VecDeque::new(), paused: false, held: false, number: 0 }
    }
}

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
    /// By connection slot; grows to the highest that was spoken to.
    flows: Vec<Flow>,
    /// What found no room in the ring.
    overflow: VecDeque<Message>,
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
            flows: Vec::new(),
            overflow: VecDeque::new(),
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
                    if !self.deferred.is_empty() {
                        self.send_deferred();
                    }
                }
                (_, kind::CREDIT) => self.on_credit(conn, meta),
                (lent, _) => {
                    if kind == mem::kind::CLOSED && conn != ConnId::NONE {
                        *self.flow(conn) = Flow::new(conn);
                    }
                    return Some(Message { conn, number: message, kind, meta, lent });
                }
            }
        }
        None
    }

    /// The flow of a connection, afresh if another had its slot.
    fn flow(&mut self, conn: ConnId) -> &mut Flow {
        let slot = conn.slot() as usize;
        if slot >= self.flows.len() {
            self.flows.resize_with(slot + 1, || Flow::new(ConnId::NONE));
        }
        let flow = &mut self.flows[slot];
        if flow.conn != conn {
            *flow = Flow::new(conn);
        }
        flow
    }

    /// So many bufs of a connection are out: as many more may follow.
    fn on_credit(&mut self, conn: ConnId, bufs: u32) {
        let flow = self.flow(conn);
        flow.in_flight = flow.in_flight.saturating_sub(bufs);
        while let flow = self.flow(conn)
            && flow.in_flight < PORT_WINDOW_BUFS
            && let Some(message) = flow.backlog.pop_front()
        {
            flow.in_flight += u32::from(is_counted(&message));
            self.post(message);
        }
        let flow = self.flow(conn);
        if flow.paused && flow.backlog.is_empty() {
            flow.paused = false;
            if flow.held {
                return;
            }
            self.post(Message::marker(conn, mem::kind::RESUME));
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

    /// The same, however much waits on the connection.
    #[inline]
    pub(super) fn alloc_any(&mut self, conn: ConnId, bytes: usize) -> Option<Message> {
        let fits = |class: &usize| self.memory.slot_bytes(*class).is_some_and(|slot| slot >= bytes);
        let class = (0..CLASSES_MAX).filter(fits).find(|&class| !self.stock[class].is_empty())?;
        // The last that came is the one whose bytes are still in a cache.
        let lent = self.stock[class].pop();
        Some(Message { conn, number: 0, kind: mem::kind::DATA, meta: 0, lent })
    }

    /// Messages that may be sent on `conn` before one has to wait for the peer to take some.
    pub fn room(&self, conn: ConnId) -> usize {
        match self.flows.get(conn.slot() as usize).filter(|flow| flow.conn == conn) {
            None => PORT_WINDOW_BUFS as usize,
            Some(flow) if !flow.backlog.is_empty() => 0,
            Some(flow) => PORT_WINDOW_BUFS.saturating_sub(flow.in_flight) as usize,
        }
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
        match message.kind {
            mem::kind::DATA | kind::BODY => {
                let flow = self.flow(conn);
                if flow.number != message.number {
                    return; // part of a response that has ended
                }
                if flow.in_flight >= PORT_WINDOW_BUFS || !flow.backlog.is_empty() {
                    return self.put_off(message);
                }
                flow.in_flight += 1;
            }
            kind::RESPONSE => {
                // Whatever is left of the response before it is for nobody.
                let flow = self.flow(conn);
                flow.backlog.clear();
                (flow.in_flight, flow.number) = (0, message.number);
            }
            mem::kind::ABORT => self.flow(conn).backlog.clear(),
            mem::kind::CLOSE | mem::kind::EOF if !self.flow(conn).backlog.is_empty() => {
                return self.put_off(message);
            }
            mem::kind::PAUSE | mem::kind::RESUME => {
                let flow = self.flow(conn);
                flow.held = message.kind == mem::kind::PAUSE;
                if flow.paused {
                    return; // it is not received from already, and will be when nothing waits
                }
            }
            _ => {}
        }
        self.post(message);
    }

    #[cold]
    fn put_off(&mut self, message: Message) {
        let conn = message.conn;
        // A peer reads while it writes, or both sides would wait for each other.
        let is_handler = self.role == Role::Handler;
        let pause = is_handler && message.kind == mem::kind::DATA && !self.flow(conn).paused;
        let flow = self.flow(conn);
        flow.backlog.push_back(message);
        if pause {
            flow.paused = true;
            self.post(Message::marker(conn, mem::kind::PAUSE));
        }
    }

    /// Puts a message into the ring, behind those that wait for room there.
    #[inline]
    fn post(&mut self, message: Message) {
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

    /// Bytes of the largest slot.
    pub fn slot_bytes_max(&self) -> usize {
        (0..CLASSES_MAX).filter_map(|class| self.memory.slot_bytes(class)).max().unwrap_or(0)
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

/// Whether the dataplane counts it until it is out.
#[inline]
fn is_counted(message: &Message) -> bool {
    matches!(message.kind, mem::kind::DATA | kind::BODY)
}
