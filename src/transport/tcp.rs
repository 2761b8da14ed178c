//! Stream sockets, TCP and Unix-domain ones, over io_uring or epoll: accepts into slots
//! (multishot, unless the peers' addresses or users are wanted), multishot receive into slots of the
//! pool, one gathered send per connection and round.
//!
//! A connection's slot is its direct descriptor, or its place in the table of epoll's. The slot is closed
//! only when no operation on it is in flight, so a completion can never meet the slot's next owner.

mod accept;
mod close;
mod conn;
mod known;
mod recv;
mod send;

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use conn::{Conn, Flag, Phase};

use super::peers::Peers;
use super::{Engine, Epoll, Features, Io, TimerEvent, Token, Transport};
use crate::counters::Reason;
use crate::error::Result;
use crate::limits::{
    ADOPTED_MAX, CQ_ENTRIES, RX_QUEUE_HIGH, STALL_SWEEP_NS, STALL_SWEEPS_LIMIT, STALL_SWEEPS_MAX,
    TX_QUEUE_BUFS,
};
use crate::mem::{Buf, BufStore, Burst, ConnId, SlotCounts, UringIo, kind};
use crate::sys::listening::Listening;
use crate::sys::peer_credentials::AllowedPeers;
use crate::sys::socket::StreamListener;
use crate::sys::uring::Cqe;
use crate::time::TimerId;

/// Operations, as the first part of a [`Token`].
mod op {
    pub const ACCEPT: u8 = 1;
    pub const RECV: u8 = 2;
    pub const SEND: u8 = 3;
    pub const SHUTDOWN: u8 = 4;
    pub const CLOSE: u8 = 5;
    pub const CANCEL: u8 = 6;
    pub const LINGER_TIMER: u8 = 7;
    pub const ACCEPT_TIMER: u8 = 8;
    pub const SWEEP_TIMER: u8 = 9;
}

/// What the peers of a listener may ask of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// How long a peer may take nothing of what is sent to it. Rounded up to whole seconds, 1 to
    /// [`STALL_SWEEPS_LIMIT`]; looked at once a second.
    pub write_timeout: Duration,
    /// Connections that one address may have open on one lcore; an IPv6 address counts by its /64.
    pub connections_per_address: Option<u32>,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            write_timeout: Duration::from_secs(STALL_SWEEPS_MAX.into()),
            connections_per_address: None,
        }
    }
}

/// One listening socket on one lcore, with its connections.
pub struct Tcp<E: Engine = UringIo> {
    /// `None` once it accepts no more.
    listener: Option<StreamListener>,
    /// Further sockets of the same address: of a process before this one, which had more lcores.
    more: Vec<StreamListener>,
    /// It accepts when it is told to.
    waits: bool,
    lcore: u8,
    index: u8,
    conns: Box<[Conn]>,
    open: usize,
    /// Every connection is to be closed, also those that were accepted while we asked to stop.
    aborting: bool,
    /// Accepts in flight, a bit each: the first alone, which is multishot or, with `allowed`, waits
    /// for somebody to come, and one for each of `more`; with `peers` all, spread over the sockets.
    accepting: u8,
    /// Accepting pauses until the timer fires.
    accept_held: bool,
    /// The timer after which accepting is tried again is running.
    accept_timed: bool,
    /// Connections whose send is in flight.
    sends: usize,
    /// What tells our sweep timer from one that the index's last owner left behind.
    sweep_id: ConnId,
    sweep: Option<TimerId>,
    /// Times that a slot was wanted in vain, when the last sweep looked.
    misses_seen: u64,
    /// Received and not taken yet, with the markers, in order.
    rx: VecDeque<Buf>,
    /// Connections with something to send or to close, to be visited by `flush`.
    dirty: Vec<u32>,
    /// Connections whose receive ended for want of slots.
    starved: Vec<u32>,
    /// Connections that something came on, and whose receive was not made sure of since.
    unsure: Vec<u32>,
    /// Connections that do not receive because `rx` is long.
    paused: VecDeque<u32>,
    /// No connection receives: the listener's messages hold too much of the pool.
    held_back: bool,
    tx: BufStore,
    /// Sweeps that a send may last without progress.
    stall_sweeps_max: u8,
    /// Connections by address, where they are bounded.
    peers: Option<Peers>,
    /// Who may connect, on a Unix socket; nobody named: everybody.
    allowed: AllowedPeers,
    /// The inodes of this listener's adopted sockets, by slot.
    inodes: HashMap<u32, u64>,
    _engine: PhantomData<E>,
}

/// How many sweeps a send may last without progress that has so long.
fn sweeps(write_timeout: Duration) -> u8 {
    let sweeps = write_timeout.as_nanos().div_ceil(STALL_SWEEP_NS.into());
    sweeps.clamp(1, STALL_SWEEPS_LIMIT.into()) as u8
}

impl Tcp {
    /// The transport of `listener`, which is number `index` on its lcore, over the lcore's io_uring. `slots`
    /// is the size of the lcore's file table.
    pub fn new(listener: impl Into<StreamListener>, index: u8, slots: u32) -> Self {
        Self::of(listener.into(), index, slots)
    }
}

impl Tcp<Epoll> {
    /// The same over the lcore's epoll.
    pub fn over_epoll(listener: impl Into<StreamListener>, index: u8, slots: u32) -> Self {
        Self::of(listener.into(), index, slots)
    }
}

impl<E: Engine> Tcp<E> {
    fn of(listener: StreamListener, index: u8, slots: u32) -> Self {
        Self {
            listener: Some(listener),
            more: Vec::new(),
            waits: false,
            lcore: 0,
            index,
            conns: (0..slots).map(|_| Conn::FREE).collect(),
            open: 0,
            aborting: false,
            accepting: 0,
            accept_held: false,
            accept_timed: false,
            sends: 0,
            sweep_id: ConnId::NONE,
            sweep: None,
            misses_seen: 0,
            rx: VecDeque::with_capacity(RX_QUEUE_HIGH + CQ_ENTRIES as usize),
            dirty: Vec::with_capacity(slots as usize),
            starved: Vec::with_capacity(slots as usize),
            unsure: Vec::with_capacity(slots as usize),
            paused: VecDeque::with_capacity(slots as usize),
            held_back: false,
            tx: BufStore::new(TX_QUEUE_BUFS),
            stall_sweeps_max: STALL_SWEEPS_MAX,
            peers: None,
            allowed: AllowedPeers::default(),
            inodes: HashMap::with_capacity(ADOPTED_MAX as usize),
            _engine: PhantomData,
        }
    }

    /// The same, with these limits. Before it starts.
    pub fn with_limits(mut self, limits: TcpLimits) -> Self {
        self.stall_sweeps_max = sweeps(limits.write_timeout);
        let slots = self.conns.len() as u32;
        self.peers = limits.connections_per_address.map(|most| Peers::new(most, slots));
        self
    }

    /// The same, which accepts from these sockets too: fewer than 8. Before it starts.
    pub fn with_more(mut self, more: Vec<StreamListener>) -> Self {
        self.more = more;
        self
    }

    /// The same, which accepts nobody before it is told to ([`Transport::accept_again`]). Before it starts.
    pub fn waiting(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    /// The same, open to these peers alone, of whom [`ADOPTED_MAX`] can be connected to one lcore at
    /// a time. Before it starts.
    ///
    /// # Panics
    /// When it listens on something other than a Unix socket: who a peer is, no other one knows.
    pub fn with_allowed_peers(mut self, allowed: AllowedPeers) -> Self {
        let unix = matches!(self.listener, Some(StreamListener::Unix(_)));
        assert!(unix || allowed.is_empty(), "peers are known on Unix sockets alone");
        self.allowed = allowed;
        self
    }

    #[inline]
    fn id(&self, io: &Io, slot: u32) -> ConnId {
        ConnId::new(io.lcore, slot, self.conns[slot as usize].generation)
    }

    #[inline]
    fn token(&self, op: u8, slot: u32) -> u64 {
        Token::new(op, self.index, slot, self.conns[slot as usize].generation).user_data()
    }

    #[inline]
    fn conn(&mut self, slot: u32) -> &mut Conn {
        &mut self.conns[slot as usize]
    }

    /// The slot of a connection that still lives.
    #[inline]
    fn live(&self, id: ConnId) -> Option<u32> {
        let conn = self.conns.get(id.slot() as usize)?;
        let live = conn.generation == id.generation() && conn.phase != Phase::Free;
        (live && id.lcore() == self.lcore).then_some(id.slot())
    }

    #[inline]
    fn mark_dirty(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if !conn.has(Flag::Dirty) {
            conn.set(Flag::Dirty);
            self.dirty.push(slot);
        }
    }
}

impl<E: Engine> Transport for Tcp<E> {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: true,
            batching: true,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: E::STREAMS,
        }
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let count = rx.room().min(self.rx.len());
        for buf in self.rx.drain(..count) {
            let pushed = rx.push(buf);
            debug_assert!(pushed.is_ok(), "no more was drained than there is room");
        }
        self.resume_paused(io);
        count
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        let mut taken = 0;
        while let Some(buf) = tx.pop() {
            taken += 1;
            let Some(slot) = self.live(buf.conn()) else {
                io.counters.drop_one(Reason::StaleConnection);
                self.settle(io, &buf, false);
                continue;
            };
            match buf.kind() {
                kind::CLOSE => {
                    let conn = self.conn(slot);
                    conn.set(Flag::CloseWanted);
                    if buf.meta() == kind::LINGER {
                        conn.set(Flag::Linger);
                    }
                    self.mark_dirty(slot);
                }
                kind::ABORT => self.abort(io, slot),
                kind::PAUSE => self.hold(io, slot),
                kind::RESUME => {
                    self.conn(slot).clear(Flag::Held);
                    self.resume_recv(io, slot);
                }
                other if buf.is_empty() && !matches!(other, kind::NOTIFY | kind::FLUSH) => {}
                _ => {
                    if let Err(buf) = self.queue(io, slot, buf) {
                        let back = tx.unpop(buf);
                        debug_assert!(back.is_ok(), "it was just popped");
                        return taken - 1;
                    }
                }
            }
        }
        taken
    }

    fn flush(&mut self, io: &mut Io) {
        self.revive_starved(io);
        // A connection that has to wait marks itself again, for the next flush.
        let visited = self.dirty.len();
        for index in 0..visited {
            let slot = self.dirty[index];
            self.conn(slot).clear(Flag::Dirty);
            self.flush_one(io, slot);
        }
        self.dirty.drain(..visited);
    }

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(slot) = self.live(conn) {
            self.abort(io, slot);
        }
    }

    fn has_work(&self) -> bool {
        !self.rx.is_empty() || !self.dirty.is_empty() || !self.starved.is_empty()
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.live(conn).is_some()
    }

    fn has_room(&self, conn: ConnId) -> bool {
        // So that those who take nothing do not hold up the listener.
        let is_crowded = self.tx.is_more_than_half_full();
        let takes = |conn: &Conn| if is_crowded { conn.tx.is_empty() } else { conn.is_light() };
        self.live(conn).is_some_and(|slot| takes(&self.conns[slot as usize]))
    }

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.conns.len() as u32
    }

    fn start(&mut self, io: &mut Io) {
        self.lcore = io.lcore;
        self.sweep_id = ConnId::new(io.lcore, 0, io.next_generation());
        self.schedule_sweep(io);
        self.arm_accept(io);
    }

    fn stop_accepting(&mut self, io: &mut Io) {
        self.cancel_accept(io);
        for listener in self.listener.take().into_iter().chain(self.more.drain(..)) {
            E::of(io).let_go(listener.as_fd());
        }
    }

    fn listening(&self) -> std::io::Result<Vec<Listening>> {
        self.listener.iter().chain(&self.more).map(StreamListener::share).collect()
    }

    fn accept_again(&mut self, io: &mut Io, alone: bool) {
        if !alone && self.listener.as_ref().is_some_and(|listener| !listener.listens()) {
            return;
        }
        self.waits = false;
        for listener in self.listener.iter().chain(&self.more) {
            if let Err(error) = listener.listen() {
                tracing::error!("a socket of {listener:?} does not listen: {error}");
            }
        }
        // The end of each accept arms the next, which looks first.
        self.cancel_accept(io);
        self.arm_accept(io);
    }

    fn set_timeouts(&mut self, write: Duration, _idle: Duration) {
        self.stall_sweeps_max = sweeps(write);
    }

    fn leave(&mut self, io: &mut Io) {
        self.sweep.take().map(|sweep| io.timers.cancel(sweep));
    }

    fn is_quiet(&self) -> bool {
        self.open == 0 && self.accepting == 0 && !self.accept_timed
    }

    fn abort_all(&mut self, io: &mut Io) {
        self.aborting = true;
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].phase != Phase::Free {
                io.counters.drop_one(Reason::Shutdown);
                self.abort(io, slot);
            }
        }
    }

    fn complete(&mut self, io: &mut Io, token: Token, cqe: &Cqe) {
        let slot = token.slot();
        match token.op() {
            op::ACCEPT => return self.on_accept(io, slot as usize, cqe),
            op::CANCEL => return,
            _ => {}
        }
        let conn = &self.conns[slot as usize];
        if conn.generation != token.generation() || conn.phase == Phase::Free {
            // Only the completion of a close whose slot was given out again in the meantime.
            io.counters.drop_one(Reason::LateCompletion);
            return E::of(io).take_received(cqe, drop);
        }
        match token.op() {
            op::RECV => self.on_recv(io, slot, cqe),
            op::SEND => self.on_send(io, slot, cqe),
            op::SHUTDOWN => self.on_shutdown(io, slot),
            op::CLOSE => self.on_closed(io, slot),
            other => unreachable!("no operation {other} was submitted"),
        }
    }

    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        match event.op {
            op::ACCEPT_TIMER => {
                self.accept_held = false;
                self.accept_timed = false;
                self.arm_accept(io);
            }
            op::SWEEP_TIMER if event.conn == self.sweep_id => self.sweep(io),
            op::SWEEP_TIMER => {}
            _ => {
                if let Some(slot) = self.live(event.conn) {
                    self.conn(slot).linger = None;
                    self.abort(io, slot);
                }
            }
        }
    }

    fn unsent(&self) -> SlotCounts {
        *self.tx.slots()
    }

    fn hold_back(&mut self, io: &mut Io, held: bool) {
        self.held_back = held;
        if !held {
            return self.resume_paused(io);
        }
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].phase == Phase::Open {
                self.pause_recv(io, slot, Flag::RxPaused);
            }
        }
    }

    fn listen_on(&mut self, io: &mut Io, listener: StreamListener) {
        if let Some(old) = self.listener.take() {
            self.cancel_accept(io);
            E::of(io).let_go(old.as_fd());
            // The end of the accept arms the next, on the new socket.
            self.listener = Some(listener);
            self.arm_accept(io);
        }
    }

    fn adopt(&mut self, io: &mut Io, fd: OwnedFd) -> Result<ConnId> {
        self.adopt_socket(io, fd)
    }
}
