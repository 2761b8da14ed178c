//! The attached process's end of one queue: messages in, messages out, on slots that the dataplane
//! lends.

use std::collections::VecDeque;
use std::rc::Rc;

use super::http::{Deferred, Request};
use crate::limits::{CLASSES_MAX, PORT_WINDOW_BUFS};
use crate::mem::{self, ConnId, Descriptor, Lent, PeerMemory, QueueEnds, Terms};
use crate::pipeline::chain::http1::HEAD;
use crate::port::{ResponseMeta, kind};
use crate::ring::doorbell::Doorbell;
use crate::ring::spsc::{Consumer, Producer};

/// What passes through a port: something about a connection, with bytes or without. One that is
/// dropped gives its slot back at the next [`Queue::flush`].
#[derive(Debug)]
pub struct Message {
    /// The connection; a program passes it back as it came.
    pub conn: ConnId,
    /// Number of the request that it is of, to be repeated in what answers it.
    pub number: u32,
    /// What it is: see [`mem::kind`](crate::mem::kind), [`port::kind`](crate::port::kind) and, for
    /// HTTP, [`chain::http1`](crate::pipeline::chain::http1).
    pub kind: u8,
    /// 24 bits that the kind explains.
    pub meta: u32,
    lent: Option<Lent>,
}

impl Message {
    /// One without bytes.
    pub fn marker(conn: ConnId, kind: u8) -> Self {
        Self { conn, number: 0, kind, meta: 0, lent: None }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.lent.as_ref().map_or(&[], Lent::bytes)
    }

    /// Copies `bytes` behind those that are there; `false`, and nothing done, when they do not fit or
    /// the message did not come from [`Queue::alloc`].
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        self.lent.as_mut().is_some_and(|lent| lent.append(bytes))
    }

    /// The room behind the bytes, to fill before [`grow`](Self::grow).
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.lent.as_mut().map_or(&mut [], Lent::spare_mut)
    }

    /// Takes `bytes` of that room in.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn grow(&mut self, bytes: usize) {
        self.lent.as_mut().expect("a message with a slot").grow(bytes);
    }

    /// Drops `bytes` from the front.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        if bytes > 0 {
            self.lent.as_mut().expect("a message with a slot").advance(bytes);
        }
    }

    /// Shortens the bytes to the first `bytes` of them; longer is no change.
    pub fn truncate(&mut self, bytes: usize) {
        if let Some(lent) = &mut self.lent {
            lent.truncate(bytes);
        }
    }

    /// The request that it is the head of; `None`: it is something else.
    #[inline]
    pub fn request(&self) -> Option<Request<'_>> {
        (self.kind == HEAD).then(|| Request::new(self.bytes(), self.meta))
    }

    /// Makes it the response to `request`: its bytes are `fields_bytes` of field lines, and then the
    /// body, which is `whole` or goes on.
    ///
    /// # Panics
    /// When the message has fewer bytes than fields, or those are more than
    /// [`FIELDS_BYTES_MAX`](ResponseMeta::FIELDS_BYTES_MAX).
    pub fn respond(&mut self, request: &Message, status: u16, fields_bytes: usize, whole: bool) {
        let fits = fields_bytes <= self.bytes().len().min(ResponseMeta::FIELDS_BYTES_MAX.into());
        assert!(fits, "the fields are bytes of the message, and not too many");
        let fields_bytes = fields_bytes as u16;
        (self.conn, self.number) = (request.conn, request.number);
        self.kind = kind::RESPONSE;
        self.meta = ResponseMeta { status, whole, fields_bytes }.to_meta();
    }
}

/// What was sent on a connection and is not out yet.
struct Flow {
    conn: ConnId,
    /// Bufs that the dataplane has.
    in_flight: u32,
    /// Those that have to wait until it has fewer. Their slots bound them: what the dataplane has lent.
    backlog: VecDeque<Message>,
    /// It was asked to receive nothing more from the peer meanwhile.
    paused: bool,
}

impl Flow {
    const fn new(conn: ConnId) -> Self {
        Self { conn, in_flight: 0, backlog: VecDeque::new(), paused: false }
    }
}

/// One queue of a port: what one lcore and this process say to each other. No call blocks but
/// [`Attachment::wait`](super::Attachment::wait).
pub struct Queue {
    out: Producer<Descriptor>,
    into: Consumer<Descriptor>,
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
    /// Something was sent since the bell was rung.
    unrung: bool,
}

impl Queue {
    pub(super) fn new(ends: QueueEnds, memory: PeerMemory) -> Self {
        let QueueEnds { out, into, theirs, ours } = ends;
        Self {
            out,
            into,
            theirs,
            ours,
            memory: Rc::new(memory),
            stock: Default::default(),
            flows: Vec::new(),
            overflow: VecDeque::new(),
            deferred: VecDeque::new(),
            unrung: false,
        }
    }

    /// The next message, if there is one.
    #[inline]
    pub fn receive(&mut self) -> Option<Message> {
        while let Some(descriptor) = self.into.dequeue() {
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
                    if kind == mem::kind::CLOSED {
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
            self.post(Message::marker(conn, mem::kind::RESUME));
        }
    }

    /// An empty message with room for `bytes`, for `conn`. `None` when the dataplane has lent no such
    /// slot: it does when it has time, and when those that are in use come home.
    #[inline]
    pub fn alloc(&mut self, conn: ConnId, bytes: usize) -> Option<Message> {
        let fits = |class: &usize| self.memory.slot_bytes(*class).is_some_and(|slot| slot >= bytes);
        let class = (0..CLASSES_MAX).filter(fits).find(|&class| !self.stock[class].is_empty())?;
        // The last that came is the one whose bytes are still in a cache.
        let lent = self.stock[class].pop();
        Some(Message { conn, number: 0, kind: mem::kind::DATA, meta: 0, lent })
    }

    /// Sends a message, in order with those before it on its connection. What has no room yet, because
    /// the peer is slow or the ring full, waits here on its slot; while something of a connection does,
    /// its peer is not received from. The dataplane hears of it at the next [`flush`](Self::flush), or
    /// before.
    #[inline]
    pub fn send(&mut self, message: Message) {
        let conn = message.conn;
        if message.kind == mem::kind::ABORT {
            self.flow(conn).backlog.clear();
        } else if is_counted(&message) {
            let flow = self.flow(conn);
            if flow.in_flight >= PORT_WINDOW_BUFS || !flow.backlog.is_empty() {
                return self.put_off(message);
            }
            flow.in_flight += 1;
        } else if message.kind == kind::RESPONSE {
            // Its body begins afresh: all of the response before it is out.
            self.flow(conn).in_flight = 0;
        } else if message.kind == mem::kind::CLOSE && !self.flow(conn).backlog.is_empty() {
            return self.put_off(message);
        }
        self.post(message);
    }

    #[cold]
    fn put_off(&mut self, message: Message) {
        let conn = message.conn;
        let pause = message.kind == mem::kind::DATA && !self.flow(conn).paused;
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
        let terms = lent.map_or(Terms::NONE, Lent::into_terms);
        self.push(conn, number, terms, meta << 8 | u32::from(kind));
    }

    #[inline]
    fn push(&mut self, conn: ConnId, message: u32, terms: Terms, tag: u32) {
        let Terms { loan, slot, start, len } = terms;
        let descriptor = Descriptor { conn, message, slot, start, len, loan, tag };
        let sent = self.out.enqueue(descriptor);
        assert!(sent.is_ok(), "room was checked");
        self.unrung = true;
    }

    /// Sends what waits for room in the ring, gives the slots of dropped messages back, and wakes the lcore if it sleeps and something was
    /// sent.
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
        if self.unrung {
            self.unrung = false;
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
        !self.into.has_moved()
    }

    /// Whether the dataplane's end wrote an index that cannot be.
    pub fn is_broken(&self) -> bool {
        self.into.peer_fault() || self.out.peer_fault()
    }

    /// With something in hand for which the ring has no room, there is no sleep: nobody would tell of
    /// the room.
    pub(super) fn sleep_unless_input(&self) -> bool {
        self.ours.sleep_unless(|| self.into.has_moved() || !self.overflow.is_empty())
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
