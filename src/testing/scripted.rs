//! A transport that does what a script says and notes what it is given. Networks that behave like
//! one are not here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::End;
use crate::counters::{Counter, Reason};
use crate::mem::kind::NOTIFY;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::transport::{Features, Io, Notice, Transport};

/// What happens next. Connections are numbered in the order of their opening.
enum Event {
    Open(usize),
    Bytes(usize, Vec<u8>),
    Eof(usize),
    Reset(usize),
    /// A pass in which nothing arrives.
    Pause,
}

/// One connection, as the script sees it.
#[derive(Default)]
struct Conn {
    /// `None` until the transport has told of it.
    id: Option<ConnId>,
    sent: Vec<u8>,
    bufs: usize,
    end: Option<End>,
}

struct State {
    features: Features,
    events: VecDeque<Event>,
    /// Bufs that each of the next calls to send takes; past them all are taken.
    takes: VecDeque<usize>,
    has_room: bool,
    accepting: bool,
    holds: usize,
    conns: Vec<Conn>,
}

/// The hand that writes the script of a [`Scripted`] transport and reads what came of it. Clones
/// write the same one.
#[derive(Clone)]
pub struct Script(Rc<RefCell<State>>);

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// An empty script: nothing arrives, all is taken.
    pub fn new() -> Self {
        let features = Features {
            zero_copy: false,
            batching: true,
            numa_aware: false,
            lock_free: true,
            shared_memory: false,
            os: "",
        };
        Self(Rc::new(RefCell::new(State {
            features,
            events: VecDeque::new(),
            takes: VecDeque::new(),
            has_room: true,
            accepting: false,
            holds: 0,
            conns: Vec::new(),
        })))
    }

    fn then(&self, event: Event) -> &Self {
        self.0.borrow_mut().events.push_back(event);
        self
    }

    /// Then a connection opens; returns its number.
    pub fn open(&self) -> usize {
        let number = self.0.borrow().conns.len();
        self.0.borrow_mut().conns.push(Conn::default());
        self.then(Event::Open(number));
        number
    }

    /// Then `bytes` arrive in one buf: at most as many as a small slot holds.
    pub fn bytes(&self, conn: usize, bytes: impl AsRef<[u8]>) -> &Self {
        self.then(Event::Bytes(conn, bytes.as_ref().to_vec()))
    }

    /// Then the peer sends no more.
    pub fn eof(&self, conn: usize) -> &Self {
        self.then(Event::Eof(conn))
    }

    /// Then the peer is gone.
    pub fn reset(&self, conn: usize) -> &Self {
        self.then(Event::Reset(conn))
    }

    /// Then nothing arrives until the next pass.
    pub fn pause(&self) -> &Self {
        self.then(Event::Pause)
    }

    /// The next call to send that brings something takes `most` bufs of it; calls of this queue up.
    pub fn take(&self, most: usize) -> &Self {
        self.0.borrow_mut().takes.push_back(most);
        self
    }

    /// Whether connections have room for what other threads write to them.
    pub fn set_room(&self, has_room: bool) {
        self.0.borrow_mut().has_room = has_room;
    }

    /// What the transport says that it does.
    pub fn set_features(&self, features: Features) {
        self.0.borrow_mut().features = features;
    }

    /// Events that have not come to pass yet.
    pub fn left(&self) -> usize {
        self.0.borrow().events.len()
    }

    /// The id of a connection that has opened.
    pub fn id(&self, conn: usize) -> Option<ConnId> {
        self.0.borrow().conns[conn].id
    }

    /// All bytes that were sent on a connection, in order.
    pub fn sent(&self, conn: usize) -> Vec<u8> {
        self.0.borrow().conns[conn].sent.clone()
    }

    /// Bufs that they came in.
    pub fn sent_bufs(&self, conn: usize) -> usize {
        self.0.borrow().conns[conn].bufs
    }

    /// How a connection ended; `None` while it is open.
    pub fn closed(&self, conn: usize) -> Option<End> {
        self.0.borrow().conns[conn].end
    }

    /// How often the transport was told to receive nothing more, or again.
    pub fn holds(&self) -> usize {
        self.0.borrow().holds
    }

    /// Whether the transport has been told to accept, and not to stop.
    pub fn is_accepting(&self) -> bool {
        self.0.borrow().accepting
    }
}

/// A [`Transport`] whose arrivals, refusals and ends are in a [`Script`], for tests of what stands
/// above one: listeners, chains, lcores.
///
/// ```
///
/// use ringway::counters::Counters;
/// use ringway::mem::{Burst, Mempool, kind};
/// use ringway::port::PortTable;
/// use ringway::testing::{End, Script, Scripted};
/// use ringway::time::{Instant, TimerWheel};
/// use ringway::transport::{Io, Transport};
///
/// # fn main() -> ringway::error::Result<()> {
/// # let mut io = Io {
/// #     lcore: 0,
/// #     uring: None,
/// #     epoll: None,
/// #     pool: Mempool::small(16)?,
/// #     now: Instant::from_ns(0),
/// #     timers: TimerWheel::new(8),
/// #     counters: Counters::default(),
/// #     notices: Vec::new(),
/// #     adoptable: Vec::new(),
/// #     ports: PortTable::default(),
/// #     peer_slots: Vec::new(),
/// #     datagram_slots: Vec::new(),
/// #     generation: 0,
/// #     connections: 0,
/// #     connections_max: 8,
/// # };
/// let script = Script::new();
/// let conn = script.open();
/// script.bytes(conn, b"cut ").pause().bytes(conn, b"here").eof(conn);
/// script.take(0); // the first call to send takes nothing
///
/// let (mut transport, mut burst) = (Scripted::new(&script, 8), Burst::new());
/// transport.start(&mut io);
/// assert_eq!(transport.rx_burst(&mut io, &mut burst), 2); // OPEN and the first bytes
/// assert_eq!(transport.tx_burst(&mut io, &mut burst), 0); // refused
/// assert_eq!(transport.tx_burst(&mut io, &mut burst), 2);
/// assert_eq!(script.sent(conn), b"cut ");
/// # Ok(())
/// # }
/// ```
pub struct Scripted {
    script: Rc<RefCell<State>>,
    /// The number of the connection in each slot.
    slots: Box<[Option<usize>]>,
    /// `CLOSED`, not taken yet.
    markers: VecDeque<Buf>,
    open: usize,
}

impl Scripted {
    /// The transport of `script`, with connections in slots below `slots`.
    pub fn new(script: &Script, slots: u32) -> Self {
        let slots = vec![None; slots as usize].into();
        Self { script: script.0.clone(), slots, markers: VecDeque::new(), open: 0 }
    }

    /// The number of `id`, if that connection is still there.
    fn live(&self, id: ConnId) -> Option<usize> {
        let number = (*self.slots.get(id.slot() as usize)?)?;
        (self.script.borrow().conns[number].id == Some(id)).then_some(number)
    }

    /// Whether the event came to pass; else it has to wait.
    fn happen(&mut self, io: &mut Io, event: &Event, rx: &mut Burst) -> bool {
        match *event {
            Event::Open(number) => return self.accept(io, number, rx),
            Event::Bytes(number, ref bytes) => match self.open_id(number) {
                Some(id) => return receive(io, id, bytes, rx),
                None => io.counters.drop_one(Reason::Lingering),
            },
            Event::Eof(number) => {
                if let Some(id) = self.open_id(number) {
                    push(rx, Buf::marker(id, kind::EOF));
                }
            }
            Event::Reset(number) => self.end(io, number, End::Reset),
            Event::Pause => {}
        }
        true
    }

    fn open_id(&self, number: usize) -> Option<ConnId> {
        let state = self.script.borrow();
        let conn = &state.conns[number];
        conn.id.filter(|_| conn.end.is_none())
    }

    fn accept(&mut self, io: &mut Io, number: usize, rx: &mut Burst) -> bool {
        if !self.script.borrow().accepting {
            self.script.borrow_mut().conns[number].end = Some(End::Refused);
            return true;
        }
        let free = self.slots.iter().position(Option::is_none);
        let Some(slot) = free.filter(|_| io.connections < io.connections_max) else { return false };
        let id = ConnId::new(io.lcore, slot as u32, io.next_generation());
        self.slots[slot] = Some(number);
        self.script.borrow_mut().conns[number].id = Some(id);
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
        push(rx, Buf::marker(id, kind::OPEN));
        true
    }

    fn end(&mut self, io: &mut Io, number: usize, end: End) {
        let Some(id) = self.open_id(number) else { return };
        self.script.borrow_mut().conns[number].end = Some(end);
        self.slots[id.slot() as usize] = None;
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
        self.markers.push_back(Buf::marker(id, kind::CLOSED));
    }

    fn send(&mut self, io: &mut Io, buf: Buf) {
        let Some(number) = self.live(buf.conn()) else {
            io.counters.drop_one(Reason::StaleConnection);
            return settle(io, &buf, false);
        };
        settle(io, &buf, true);
        if let Some(end) = End::asked_for(&buf) {
            self.end(io, number, end);
        } else if !buf.is_empty() {
            let conn = &mut self.script.borrow_mut().conns[number];
            conn.sent.extend_from_slice(&buf);
            conn.bufs += 1;
            io.count(Counter::TxBufs, 1);
            io.count(Counter::TxBytes, buf.len() as u64);
        }
    }
}

/// `bytes` in a slot of the pool; `false` when there is none, so they wait.
fn receive(io: &mut Io, id: ConnId, bytes: &[u8], rx: &mut Burst) -> bool {
    let Some(mut buf) = io.pool.alloc(1) else {
        io.count(Counter::RxStarved, 1);
        return false;
    };
    assert!(buf.append(bytes), "the bytes of one event fit a small slot");
    buf.set_conn(id);
    io.count(Counter::RxBufs, 1);
    io.count(Counter::RxBytes, bytes.len() as u64);
    push(rx, buf);
    true
}

fn settle(io: &mut Io, buf: &Buf, sent: bool) {
    if buf.kind() == NOTIFY {
        io.notices.push(Notice { ticket: buf.meta(), sent });
    }
}

fn push(rx: &mut Burst, buf: Buf) {
    let pushed = rx.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Transport for Scripted {
    fn hold_back(&mut self, _io: &mut Io, _held: bool) {
        self.script.borrow_mut().holds += 1;
    }

    fn features(&self, _io: &Io) -> Features {
        self.script.borrow().features
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let before = rx.len();
        while !rx.is_full() {
            if let Some(marker) = self.markers.pop_front() {
                push(rx, marker);
                continue;
            }
            let next = self.script.borrow_mut().events.pop_front();
            let Some(event) = next else { break };
            if !self.happen(io, &event, rx) {
                self.script.borrow_mut().events.push_front(event);
                break;
            }
            if matches!(event, Event::Pause) {
                break;
            }
        }
        rx.len() - before
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        if tx.is_empty() {
            return 0;
        }
        let most = self.script.borrow_mut().takes.pop_front().unwrap_or(usize::MAX).min(tx.len());
        for _ in 0..most {
            let buf = tx.pop().expect("it holds at least `most`");
            self.send(io, buf);
        }
        most
    }

    fn flush(&mut self, _io: &mut Io) {}

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(number) = self.live(conn) {
            self.end(io, number, End::Abort);
        }
    }

    fn has_work(&self) -> bool {
        !self.markers.is_empty() || !self.script.borrow().events.is_empty()
    }

    fn is_polled(&self) -> bool {
        self.open > 0 || self.script.borrow().accepting
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.live(conn).is_some()
    }

    fn has_room(&self, conn: ConnId) -> bool {
        self.owns(conn) && self.script.borrow().has_room
    }

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    fn start(&mut self, _io: &mut Io) {
        self.script.borrow_mut().accepting = true;
    }

    fn stop_accepting(&mut self, _io: &mut Io) {
        self.script.borrow_mut().accepting = false;
    }

    fn abort_all(&mut self, io: &mut Io) {
        for slot in 0..self.slots.len() {
            if let Some(number) = self.slots[slot] {
                io.counters.drop_one(Reason::Shutdown);
                self.end(io, number, End::Abort);
            }
        }
    }
}
