//! Datagrams over io_uring or epoll: a multishot receive into slots of the pool, each of which takes what the
//! kernel has put together of one peer, and one system call for what all peers get in a turn.
//!
//! One buf is one datagram, both ways. A peer is whoever sends from one address to one address of ours: its
//! first datagram opens a connection, which ends when the handler says so or when nothing has passed for
//! long enough. Nobody is told of it, and what the peer sends next opens another.

mod conn;
mod places;
mod recv;
mod send;
mod unproved;

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use conn::Conn;
use places::Places;
use send::settle;
use unproved::Unproved;

use super::peers::Peers;
use super::{Engine, Epoll, Features, Io, TimerEvent, Token, Transport};
use crate::counters::{Counter, Reason};
use crate::limits::{
    ACCEPTS_IN_FLIGHT, DATAGRAM_SENDS_MAX, PEER_EXPIRIES_MAX, PEER_IDLE_TIMEOUT_NS,
    PEERS_HELD_DATAGRAMS, RX_DATAGRAMS_HIGH, STALL_SWEEP_NS, TRAIN_BYTES_MAX, TX_QUEUE_BUFS,
};
use crate::mem::{Buf, BufStore, Burst, ConnId, Outbox, SlotCounts, UringIo, kind};
use crate::sys::listening::Listening;
use crate::sys::udp_socket::UdpSocket;
use crate::sys::uring::Cqe;
use crate::time::{Instant, TICK_NS, TimerId};

/// Operations, as the first part of a [`Token`].
mod op {
    pub const NONE: u8 = 0;
    pub const RECV: u8 = 1;
    pub const CANCEL: u8 = 2;
    pub const ROOM: u8 = 3;
    pub const SWEEP_TIMER: u8 = 4;
}

/// Sockets of one listener on one lcore: the width of a set.
const SOCKETS_MAX: usize = u8::BITS as usize;

const _: () = assert!(SOCKETS_MAX == ACCEPTS_IN_FLIGHT, "as many as of TCP");

/// What the peers of a listener may ask of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpLimits {
    /// How long nothing may pass before a peer is forgotten. Rounded up to whole seconds; looked at once a
    /// second.
    pub idle_timeout: Duration,
    /// Peers that one address may have on one lcore; an IPv6 address counts by its /64.
    pub connections_per_address: Option<u32>,
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_nanos(PEER_IDLE_TIMEOUT_NS),
            connections_per_address: None,
        }
    }
}

/// What was received and not taken yet: datagrams of one peer, or a marker.
struct Arrival {
    buf: Buf,
    /// Bytes of each datagram but the last; 0: a marker.
    segment: u32,
}

/// A message in the outbox.
#[derive(Clone, Copy)]
struct Post {
    place: u32,
    bufs: u32,
    bytes: u32,
    /// Of a train.
    segment: Option<u16>,
}

/// One UDP socket on one lcore, with its peers.
pub struct Udp<E: Engine = UringIo> {
    socket: Arc<UdpSocket>,
    /// Further sockets of the same address: of a process before this one, which had more lcores. They are received
    /// from alone.
    more: Vec<Arc<UdpSocket>>,
    index: u8,
    /// Of connections; a peer's place in the tables is counted from its start.
    slots: Range<u32>,
    /// Our lcore, and the generation that our operations and timers have.
    id: ConnId,
    conns: Box<[Conn]>,
    /// Who has each place.
    places: Places,
    /// The place of who sent last.
    last: usize,
    /// Who makes room for newcomers when there is none: whoever has not shown that he hears us. Who fakes his
    /// address does not, unless he guesses when.
    unproved: Unproved,
    open: usize,
    /// Strangers are welcome.
    accepting: bool,
    /// It hears its peers when it is told to.
    waits: bool,
    /// Another process hears them from here on.
    deaf: bool,
    /// Receives in flight, a bit for each socket.
    receiving: u8,
    /// Those that were cancelled.
    cancelled: u8,
    /// Nothing is received: the listener's messages hold too much of the pool.
    resting: bool,
    sweep: Option<TimerId>,
    /// Received and not taken yet, with the markers, in order.
    rx: VecDeque<Arrival>,
    /// Datagrams in it.
    waiting: usize,
    /// Datagrams that the kernel has lost for want of room on each socket, as it said last.
    lost_seen: [u32; SOCKETS_MAX],
    /// Of peers that the handler does not hear.
    held_back: BufStore,
    /// How many such peers there are.
    holding: usize,
    tx: BufStore,
    /// Peers with something to send or to be forgotten, to be visited by `flush`.
    dirty: VecDeque<u32>,
    outbox: Outbox,
    /// What is in it.
    posts: Vec<Post>,
    /// The socket takes no more until its poll completes.
    blocked: bool,
    sends_trains: bool,
    /// The handler wants to know what each datagram met.
    ecn: bool,
    idle_s: u32,
    /// The place from which on the next sweep looks.
    swept: usize,
    /// Peers by address, where they are bounded.
    peers: Option<Peers>,
    _engine: PhantomData<E>,
}

/// Seconds of the lcore's clock, which go round after a lifetime.
#[inline]
fn seconds(now: Instant) -> u32 {
    (now.ns_since(Instant::from_ns(0)) / 1_000_000_000) as u32
}

fn whole_seconds(timeout: Duration) -> u32 {
    timeout.as_nanos().div_ceil(1_000_000_000).clamp(1, u32::MAX.into()) as u32
}

impl Udp {
    /// The transport of `socket`, which is number `index` on its lcore, over the lcore's io_uring, for peers in
    /// `slots`: those that the lcore has free for such ([`Io::datagram_slots`]).
    pub fn new(socket: impl Into<Arc<UdpSocket>>, index: u8, slots: Range<u32>) -> Self {
        Self::of(socket.into(), index, slots)
    }
}

impl Udp<Epoll> {
    /// The same over the lcore's epoll.
    pub fn over_epoll(socket: impl Into<Arc<UdpSocket>>, index: u8, slots: Range<u32>) -> Self {
        Self::of(socket.into(), index, slots)
    }
}

impl<E: Engine> Udp<E> {
    fn of(socket: Arc<UdpSocket>, index: u8, slots: Range<u32>) -> Self {
        let count = slots.len();
        let sends_trains = socket.sends_trains();
        Self {
            socket,
            more: Vec::new(),
            index,
            id: ConnId::NONE,
            conns: slots.clone().map(|_| Conn::FREE).collect(),
            slots,
            places: Places::new(count),
            last: 0,
            unproved: Unproved::new(count),
            open: 0,
            accepting: false,
            waits: false,
            deaf: false,
            receiving: 0,
            cancelled: 0,
            resting: false,
            sweep: None,
            // As small as it may be, since its places are used in turn. Only what ends all peers at once makes
            // it longer.
            rx: VecDeque::with_capacity(2 * RX_DATAGRAMS_HIGH),
            waiting: 0,
            lost_seen: [0; SOCKETS_MAX],
            held_back: BufStore::new(PEERS_HELD_DATAGRAMS),
            holding: 0,
            tx: BufStore::new(TX_QUEUE_BUFS),
            dirty: VecDeque::with_capacity(count),
            outbox: Outbox::new(),
            posts: Vec::with_capacity(DATAGRAM_SENDS_MAX),
            blocked: false,
            sends_trains,
            ecn: true,
            idle_s: 0,
            swept: 0,
            peers: None,
            _engine: PhantomData,
        }
        .with_limits(UdpLimits::default())
    }

    /// The same, with these limits. Before it starts.
    pub fn with_limits(mut self, limits: UdpLimits) -> Self {
        self.idle_s = whole_seconds(limits.idle_timeout);
        let count = self.conns.len() as u32;
        self.peers = limits.connections_per_address.map(|most| Peers::new(most, count));
        self
    }

    /// The same; the kernel says of each datagram what it met, or is not asked. Before it starts.
    pub fn with_ecn(mut self, wanted: bool) -> Self {
        self.ecn = wanted;
        self
    }

    /// The same, which receives from these sockets too: fewer than 8. Before it starts.
    pub fn with_more(mut self, more: Vec<Arc<UdpSocket>>) -> Self {
        self.more = more;
        self
    }

    /// The same, which hears nobody before it is told to ([`Transport::accept_again`]). Before it starts.
    pub fn waiting(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.socket).chain(&self.more).map(|one| &**one)
    }

    #[inline]
    fn id_of(&self, io: &Io, place: usize) -> ConnId {
        let slot = self.slots.start + place as u32;
        ConnId::new(io.lcore, slot, self.conns[place].generation)
    }

    /// The end of a peer, as far as we know it; what is unsent is dropped. The listener gets a turn to tell it.
    fn forget(&mut self, io: &mut Io, place: usize) {
        if self.rx.is_empty() {
            self.nudge(io);
        }
        self.end(io, place);
    }

    /// The same, in a pass that gives the listener a turn anyway.
    fn end(&mut self, io: &mut Io, place: usize) {
        self.drop_unsent(io, place);
        self.drop_held(io, place);
        self.tell(io, place, kind::CLOSED);
        self.conns[place].is_open = false;
        self.places.remove(place);
        if !self.conns[place].proved {
            self.unproved.take_out(place);
        }
        if let Some(peers) = &mut self.peers {
            peers.release(place as u32);
        }
        io.datagram_slots.push(self.slots.start + place as u32);
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
    }

    /// Forgets peers that nothing has passed with for too long: some, and further ones soon.
    fn sweep(&mut self, io: &mut Io) {
        let (now_s, mut left) = (seconds(io.now), PEER_EXPIRIES_MAX);
        let end = if self.open > 0 { self.conns.len() } else { 0 };
        while self.swept < end && left > 0 {
            let (place, conn) = (self.swept, &self.conns[self.swept]);
            self.swept += 1;
            let idle = conn.is_open && conn.tx.is_empty() && !conn.held;
            if idle && now_s.wrapping_sub(conn.heard_s) >= self.idle_s {
                left -= 1;
                io.count(Counter::PeersExpired, 1);
                self.forget(io, place);
            }
        }
        if self.swept >= end {
            self.swept = 0;
            self.schedule_sweep(io, STALL_SWEEP_NS);
        } else {
            self.schedule_sweep(io, TICK_NS);
        }
    }

    fn schedule_sweep(&mut self, io: &mut Io, after_ns: u64) {
        let event = TimerEvent { listener: self.index, op: op::SWEEP_TIMER, conn: self.id };
        let timer = io.timers.schedule(io.now, after_ns, event);
        assert!(timer.is_some(), "there are timers for each listener beside its connections");
        self.sweep = timer;
    }

    /// Hears strangers from here on, and not sooner says to the kernel what it wants of each datagram: another process may
    /// have the sockets, and want something else.
    fn welcome(&mut self, io: &mut Io) {
        // What the kernel puts together has to fit a slot.
        let fits = E::of(io).train_bytes() >= TRAIN_BYTES_MAX;
        for socket in self.sockets() {
            socket.receive_trains(fits);
            if let Err(error) = socket.receive_ecn(self.ecn) {
                tracing::warn!("{} is served without ECN: {error}", socket.address());
            }
        }
        self.accepting = true;
    }

    fn take_one(&mut self, io: &mut Io, buf: Buf) -> Result<(), Buf> {
        let Some(place) = self.live(buf.conn()) else {
            io.counters.drop_one(Reason::StaleConnection);
            settle(io, &buf, false);
            return Ok(());
        };
        match buf.kind() {
            // Nobody is told, so there is nothing to linger for.
            kind::CLOSE => {
                self.conns[place].close_wanted = true;
                self.soil(place);
            }
            kind::ABORT => self.forget(io, place),
            kind::PAUSE => self.hold(place),
            kind::RESUME => self.release(place),
            other if buf.is_empty() && !matches!(other, kind::NOTIFY | kind::FLUSH) => {}
            _ => return self.queue(io, place, buf),
        }
        Ok(())
    }
}

impl<E: Engine> Transport for Udp<E> {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: true,
            batching: self.sends_trains,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: E::DATAGRAMS,
        }
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let before = rx.len();
        self.take_arrivals(io, rx);
        self.steer(io);
        rx.len() - before
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        let mut taken = 0;
        while let Some(buf) = tx.pop() {
            if let Err(buf) = self.take_one(io, buf) {
                let back = tx.unpop(buf);
                debug_assert!(back.is_ok(), "it was just popped");
                break;
            }
            taken += 1;
        }
        taken
    }

    fn flush(&mut self, io: &mut Io) {
        self.send_all(io);
        self.steer(io);
    }

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(place) = self.live(conn) {
            self.forget(io, place);
        }
    }

    fn has_work(&self) -> bool {
        !self.rx.is_empty() || !self.dirty.is_empty() && !self.blocked || self.lacks_receive()
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.live(conn).is_some()
    }

    fn has_room(&self, conn: ConnId) -> bool {
        self.live(conn).is_some_and(|place| !self.conns[place].is_full())
    }

    /// Nor has it a receive in flight, or anybody's end to tell.
    fn is_quiet(&self) -> bool {
        let nobody = self.open == 0 && !self.accepting;
        nobody && self.receiving == 0 && !self.blocked && self.rx.is_empty()
    }

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.slots.end
    }

    fn unsent(&self) -> SlotCounts {
        *self.tx.slots()
    }

    fn hold_back(&mut self, io: &mut Io, held: bool) {
        self.resting = held;
        self.steer(io);
    }

    fn start(&mut self, io: &mut Io) {
        self.id = ConnId::new(io.lcore, 0, io.next_generation());
        let pool = io.pool.clone();
        if let Err(error) = E::of(io).lend_for_datagrams(&pool) {
            // Only of a listener that joins a running lcore: the others' slots were lent before the start.
            return tracing::error!("{} is not served: {error}", self.socket.address());
        }
        self.schedule_sweep(io, STALL_SWEEP_NS);
        if !self.waits {
            self.welcome(io);
        }
        self.steer(io);
    }

    fn listening(&self) -> std::io::Result<Vec<Listening>> {
        if !self.accepting {
            return Ok(Vec::new());
        }
        self.sockets().map(|socket| Ok(Listening::Udp(socket.try_clone()?))).collect()
    }

    fn accept_again(&mut self, io: &mut Io, alone: bool) {
        if self.waits && (alone || self.socket.is_bound()) {
            self.waits = false;
            if let Err(error) = self.socket.bind_now() {
                tracing::error!("an lcore hears nobody at {}: {error}", self.socket.address());
            }
            self.welcome(io);
        }
        self.steer(io);
    }

    fn hand_over(&mut self, io: &mut Io) -> bool {
        self.deaf = true;
        // What its peers send opens connections of the successor. Answers that are under way have time until
        // the sweep after next.
        self.idle_s = self.idle_s.min(1);
        self.stop_accepting(io);
        false
    }

    fn stop_accepting(&mut self, io: &mut Io) {
        self.accepting = false;
        self.steer(io);
    }

    fn set_timeouts(&mut self, _write: Duration, idle: Duration) {
        self.idle_s = whole_seconds(idle);
    }

    fn leave(&mut self, io: &mut Io) {
        self.sweep.take().map(|sweep| io.timers.cancel(sweep));
    }

    fn abort_all(&mut self, io: &mut Io) {
        for place in 0..self.conns.len() {
            if self.conns[place].is_open {
                io.counters.drop_one(Reason::Shutdown);
                self.forget(io, place);
            }
        }
        self.steer(io);
    }

    fn complete(&mut self, io: &mut Io, token: Token, cqe: &Cqe) {
        if token.generation() != self.id.generation() {
            // Of a listener that had our index before.
            return E::of(io).take_received(cqe, drop);
        }
        match token.op() {
            op::RECV => self.on_recv(io, token.slot(), cqe),
            op::ROOM => self.on_room(),
            _ => {}
        }
    }

    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        if event.conn == self.id {
            self.sweep(io);
        }
    }
}
