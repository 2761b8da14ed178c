//! Datagrams over io_uring: a multishot receive into lent slots, each of which takes what the kernel has put
//! together of one peer, and one system call for what all peers get in a turn.
//!
//! One buf is one datagram, both ways. A peer is whoever sends from one address to one address of ours: its
//! first datagram opens a connection, which ends when the handler says so or when nothing has passed for
//! long enough. Nobody is told of it, and what the peer sends next opens another.

mod conn;
mod recv;
mod send;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use conn::{Conn, Ends};
use send::settle;

use super::peers::Peers;
use super::{Features, Io, TimerEvent, Token, Transport};
use crate::counters::{Counter, Reason};
use crate::limits::{
    DATAGRAM_SENDS_MAX, PEER_EXPIRIES_MAX, PEER_IDLE_TIMEOUT_NS, PEERS_HELD_DATAGRAMS,
    RX_DATAGRAMS_HIGH, STALL_SWEEP_NS, TRAIN_BYTES_MAX, TX_QUEUE_BUFS,
};
use crate::mem::{Buf, BufStore, Burst, ConnId, Outbox, SlotCounts, kind};
use crate::sys::udp_socket::UdpSocket;
use crate::sys::uring::Cqe;
use crate::time::{Instant, TICK_NS};

/// Operations, as the first part of a [`Token`].
mod op {
    pub const NONE: u8 = 0;
    pub const RECV: u8 = 1;
    pub const CANCEL: u8 = 2;
    pub const ROOM: u8 = 3;
    pub const SWEEP_TIMER: u8 = 4;
}

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
pub struct Udp {
    socket: UdpSocket,
    index: u8,
    /// Of connections; a peer's place in the tables is counted from its start.
    slots: Range<u32>,
    /// Our lcore, and the generation that our operations and timers have.
    id: ConnId,
    conns: Box<[Conn]>,
    /// Who has each place.
    ends: Box<[Option<Ends>]>,
    /// Places by who has them. The hash is keyed: an attacker chooses his port, and maybe his address.
    places: HashMap<Ends, u32>,
    /// Who sent last, and its place.
    last: Option<(Ends, usize)>,
    open: usize,
    /// Strangers are welcome.
    accepting: bool,
    /// A receive is in flight.
    receiving: bool,
    /// It was cancelled.
    cancelled: bool,
    /// Nothing is received: the listener's messages hold too much of the pool.
    resting: bool,
    /// Received and not taken yet, with the markers, in order.
    rx: VecDeque<Arrival>,
    /// Datagrams in it.
    waiting: usize,
    /// Datagrams that the kernel has lost for want of room, as it said last.
    lost_seen: u32,
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
    idle_s: u32,
    /// The place from which on the next sweep looks.
    swept: usize,
    /// Peers by address, where they are bounded.
    peers: Option<Peers>,
}

/// Seconds of the lcore's clock, which go round after a lifetime.
#[inline]
fn seconds(now: Instant) -> u32 {
    (now.ns_since(Instant::from_ns(0)) / 1_000_000_000) as u32
}

impl Udp {
    /// The transport of `socket`, which is number `index` on its lcore, for peers in `slots`: those that the
    /// lcore has free for such ([`Io::datagram_slots`]).
    pub fn new(socket: UdpSocket, index: u8, slots: Range<u32>) -> Self {
        let count = slots.len();
        let sends_trains = socket.sends_trains();
        Self {
            socket,
            index,
            id: ConnId::NONE,
            conns: slots.clone().map(|_| Conn::FREE).collect(),
            ends: slots.clone().map(|_| None).collect(),
            slots,
            // Twice as much as ever lies in it: then what was taken out is cleared away in place.
            places: HashMap::with_capacity(2 * count),
            last: None,
            open: 0,
            accepting: false,
            receiving: false,
            cancelled: false,
            resting: false,
            // As small as it may be, since its places are used in turn. Only what ends all peers at once makes
            // it longer.
            rx: VecDeque::with_capacity(2 * RX_DATAGRAMS_HIGH),
            waiting: 0,
            lost_seen: 0,
            held_back: BufStore::new(PEERS_HELD_DATAGRAMS),
            holding: 0,
            tx: BufStore::new(TX_QUEUE_BUFS),
            dirty: VecDeque::with_capacity(count),
            outbox: Outbox::new(),
            posts: Vec::with_capacity(DATAGRAM_SENDS_MAX),
            blocked: false,
            sends_trains,
            idle_s: 0,
            swept: 0,
            peers: None,
        }
        .with_limits(UdpLimits::default())
    }

    /// The same, with these limits. Before it starts.
    pub fn with_limits(mut self, limits: UdpLimits) -> Self {
        let seconds = limits.idle_timeout.as_nanos().div_ceil(1_000_000_000);
        self.idle_s = seconds.clamp(1, u32::MAX.into()) as u32;
        let count = self.conns.len() as u32;
        self.peers = limits.connections_per_address.map(|most| Peers::new(most, count));
        self
    }

    #[inline]
    fn id_of(&self, io: &Io, place: usize) -> ConnId {
        let slot = self.slots.start + place as u32;
        ConnId::new(io.lcore, slot, self.conns[place].generation)
    }

    /// The end of a peer, as far as we know it; what is unsent is dropped.
    fn forget(&mut self, io: &mut Io, place: usize) {
        self.drop_unsent(io, place);
        self.drop_held(io, place);
        if self.rx.is_empty() {
            self.nudge(io);
        }
        self.tell(io, place, kind::CLOSED);
        self.conns[place].is_open = false;
        if let Some(ends) = self.ends[place].take() {
            self.places.remove(&ends);
        }
        self.last = None;
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

    fn schedule_sweep(&self, io: &mut Io, after_ns: u64) {
        let event = TimerEvent { listener: self.index, op: op::SWEEP_TIMER, conn: self.id };
        let timer = io.timers.schedule(io.now, after_ns, event);
        assert!(timer.is_some(), "there are timers for each listener beside its connections");
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

impl Transport for Udp {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: true,
            batching: self.sends_trains,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: "Linux io_uring and sendmmsg",
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
        nobody && !self.receiving && !self.blocked && self.rx.is_empty()
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
        if let Err(error) = io.uring().lend_for_datagrams(&pool) {
            // Only of a listener that joins a running lcore: the others' slots were lent before the start.
            return tracing::error!("{} is not served: {error}", self.socket.address());
        }
        // What the kernel puts together has to fit a slot.
        let fits = io.uring().train_bytes() >= TRAIN_BYTES_MAX;
        self.socket.receive_trains(fits);
        self.schedule_sweep(io, STALL_SWEEP_NS);
        self.accepting = true;
        self.steer(io);
    }

    fn stop_accepting(&mut self, io: &mut Io) {
        self.accepting = false;
        self.steer(io);
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
            return io.uring().take_received(cqe, drop);
        }
        match token.op() {
            op::RECV => self.on_recv(io, cqe),
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
