//! A handler with its chain, driven by hand where an lcore would turn it. What moves bytes in and
//! out of a real one is not here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::End;
use super::beside::Beside;
use crate::counters::{Counters, Reason};
use crate::limits::{OFFLOAD_QUEUE, PROTOCOL_TICK_NS, SMALL_SLOT_BYTES};
use crate::mem::{Buf, Burst, ConnId, Mempool, kind};
use crate::offload::Pool;
use crate::pipeline::write::Writes;
use crate::pipeline::{Cx, Extensions, Handler, Pipeline, chain};
use crate::port::PortTable;
use crate::time::{Clock, ClockHand, Instant};

/// Connections that a [`Harness`] can have open at a time: what its chain has to have slots for.
pub const SLOTS: u32 = 64;

/// Small slots of its pool.
const POOL_SLOTS: u32 = 256;

/// Passes without rest after which it is certain that there will be none.
const PASSES_MAX: usize = 1024;

/// Tasks in a row after which it is certain that each brings about another.
const TASKS_MAX: usize = 16 * OFFLOAD_QUEUE as usize;

/// When a harness begins: Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7.
const UNIX_SECONDS: u64 = 784_111_777;

/// Drives a [`Handler`], and a [`Pipeline`] around it, as an lcore would: arrivals go through
/// ingress, handler and egress in bursts until nothing moves any more, and what comes out is kept
/// by connection. The clock stands still but for [`advance`](Self::advance).
///
/// What handles of its connections and groups are asked for ([`pipeline::write`](crate::pipeline::write)) is done too, as if
/// every peer kept up; [`run`](Self::run) looks for what came since the last call.
///
/// When it is dropped, it panics if a buf is missing: each has to have been passed on or dropped.
///
/// ```
/// use ringway::handler::Echo;
/// use ringway::testing::{End, Harness};
///
/// let mut harness = Harness::new(Echo);
/// let conn = harness.open();
/// harness.receive(conn, b"hello");
/// assert_eq!(harness.sent(conn), b"hello");
/// harness.eof(conn);
/// assert_eq!(harness.closed(conn), Some(End::Close));
/// ```
///
/// With a chain, and a value that it hangs on each connection:
///
/// ```
/// use ringway::mem::{Burst, kind};
/// use ringway::pipeline::{Cx, Handler, Key, Pipeline, chain};
/// use ringway::testing::{Harness, SLOTS};
///
/// /// Counts the bytes of each connection, and keeps them.
/// struct Tally(Key<usize>);
///
/// impl Handler for Tally {
///     fn process(&mut self, cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
///         while let Some(buf) = input.pop() {
///             let so_far = cx.extensions.get(buf.conn(), self.0, cx.now).copied().unwrap_or(0);
///             cx.extensions.set(buf.conn(), self.0, so_far + buf.len(), None);
///         }
///     }
/// }
///
/// let mut harness = Harness::build(|extensions| {
///     (Pipeline::Raw(chain::Raw::new(SLOTS)), Tally(extensions.register()))
/// });
/// let conn = harness.open();
/// harness.receive_cut(conn, b"byte by byte", 1);
/// let (key, now) = (harness.handler.0, harness.cx.now);
/// assert_eq!(harness.cx.extensions.get(conn, key, now), Some(&mut 12));
/// harness.finish();
/// ```
pub struct Harness<H> {
    /// The handler under test.
    pub handler: H,
    /// What it and its chain are lent.
    pub cx: Cx,
    pipeline: Pipeline,
    /// What handles of connections and groups ask for.
    beside: Beside,
    hand: ClockHand,
    /// In the order of their opening.
    conns: Vec<Conn>,
    /// Arrived, and not taken by the chain yet.
    arrivals: VecDeque<Buf>,
    /// `FLUSHED` that come when all else rests, once a call: nothing was sent before their `FLUSH`.
    late: Vec<Buf>,
    rx: Burst,
    messages: Burst,
    replies: Burst,
    tx: Burst,
    /// When the chain looks next for what has taken too long, whether it asks for that or not.
    second: Instant,
    starving: bool,
    hoard: Vec<Buf>,
    offload: Pool,
    /// Whose work is done, and who were not told yet.
    woken: Arc<Mutex<Vec<ConnId>>>,
    /// The last to be dropped.
    _balance: Balance,
}

/// What is known of one connection.
struct Conn {
    id: ConnId,
    sent: Vec<u8>,
    end: Option<End>,
    /// Something was sent since the last `FLUSH`.
    moved: bool,
    /// The handler wants nothing more to be received.
    paused: bool,
}

/// Sees to it that no buf is missing at the end.
struct Balance(Mempool);

impl Drop for Balance {
    fn drop(&mut self) {
        let missing = self.0.missing();
        if !std::thread::panicking() {
            assert!(missing == 0, "{missing} slots are missing: somebody still holds their bufs");
        }
    }
}

impl<H: Handler> Harness<H> {
    /// A handler of bytes as they come: [`Pipeline::Raw`] is around it.
    pub fn new(handler: H) -> Self {
        Self::build(|_| (Pipeline::Raw(chain::Raw::new(SLOTS)), handler))
    }

    /// A handler and its chain, which has to have [`SLOTS`] slots. `make` can register its kinds of
    /// values, as at the start of an lcore.
    ///
    /// # Panics
    /// When the pool cannot be mapped, here and in no other method.
    pub fn build(make: impl FnOnce(&mut Extensions) -> (Pipeline, H)) -> Self {
        let pool = Mempool::small(POOL_SLOTS).expect("a small pool of 4 KiB pages");
        Self::build_on(pool, make)
    }

    /// The same over a pool of one's own, which has small slots for what arrives.
    pub fn build_on(pool: Mempool, make: impl FnOnce(&mut Extensions) -> (Pipeline, H)) -> Self {
        let mut extensions = Extensions::new(SLOTS);
        let (pipeline, handler) = make(&mut extensions);
        let (clock, hand) = Clock::by_hand();
        let (now, counters) = (clock.now(), Counters::default());
        let offload = Pool::by_hand(OFFLOAD_QUEUE);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let theirs = woken.clone();
        let wake = move |conn| {
            theirs.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            true
        };
        let beside = Beside::default();
        let cx = Cx {
            pool: pool.clone(),
            now,
            clock,
            unix_seconds: UNIX_SECONDS,
            draining: false,
            spares_idle: false,
            backlogged: false,
            extensions,
            ports: PortTable::default(),
            offload: offload.lcore(counters.clone(), wake),
            counters,
            writes: beside.writes(pool.clone(), SLOTS),
        };
        Self {
            handler,
            cx,
            pipeline,
            beside,
            hand,
            conns: Vec::new(),
            arrivals: VecDeque::new(),
            late: Vec::new(),
            rx: Burst::new(),
            messages: Burst::new(),
            replies: Burst::new(),
            tx: Burst::new(),
            second: now.after_ns(PROTOCOL_TICK_NS),
            starving: false,
            hoard: Vec::new(),
            offload,
            woken,
            _balance: Balance(pool),
        }
    }

    #[cfg(test)]
    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// A connection opens.
    ///
    /// # Panics
    /// When [`SLOTS`] are open.
    pub fn open(&mut self) -> ConnId {
        let taken = |slot| self.conns.iter().any(|c| c.end.is_none() && c.id.slot() == slot);
        let slot = (0..SLOTS).find(|slot| !taken(*slot)).expect("a free connection slot");
        let id = ConnId::new(0, slot, self.conns.len() as u32);
        self.conns.push(Conn { id, sent: Vec::new(), end: None, moved: false, paused: false });
        self.arrivals.push_back(Buf::marker(id, kind::OPEN));
        self.run();
        id
    }

    /// `bytes` arrive at once, in as many slots as they fill. On a connection that has ended they
    /// are dropped, as a transport would.
    pub fn receive(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(SMALL_SLOT_BYTES as usize) {
            self.arrive(conn, piece);
        }
        self.run();
    }

    /// `bytes` arrive in pieces of `most` (at most a small slot) and each is dealt with before the
    /// next comes.
    pub fn receive_cut(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>, most: usize) {
        for piece in bytes.as_ref().chunks(most.min(SMALL_SLOT_BYTES as usize)) {
            self.receive(conn, piece);
        }
    }

    /// The bytes of `buf` arrive where they lie, in whatever pool and size of slot that is.
    pub fn receive_buf(&mut self, conn: ConnId, mut buf: Buf) {
        buf.set_conn(conn);
        if self.conn(conn).end.is_none() {
            self.arrivals.push_back(buf);
        }
        self.run();
    }

    fn arrive(&mut self, conn: ConnId, piece: &[u8]) {
        if self.conn(conn).end.is_some() {
            return;
        }
        self.hoard.clear();
        let buf = self.cx.pool.alloc(1).or_else(|| {
            self.run();
            self.cx.pool.alloc(1)
        });
        let mut buf = buf.expect("the handler or its chain holds every slot");
        buf.set_conn(conn);
        assert!(buf.append(piece), "a piece fits a small slot");
        self.arrivals.push_back(buf);
        self.starve(self.starving);
    }

    /// The peer says that it will send no more.
    pub fn eof(&mut self, conn: ConnId) {
        if self.conn(conn).end.is_none() {
            self.arrivals.push_back(Buf::marker(conn, kind::EOF));
        }
        self.run();
    }

    /// Another thread wakes the connection.
    pub fn wake(&mut self, conn: ConnId) {
        if self.conn(conn).end.is_none() {
            self.arrivals.push_back(Buf::marker(conn, kind::WAKE));
        }
        self.run();
    }

    /// Does all work that was offloaded ([`Cx::offload`]), on this thread and in the order in which it was asked
    /// for, and wakes the connections that it was for. Returns how many tasks it took off the queue, those that were
    /// cancelled among them.
    ///
    /// ```
    /// use ringway::mem::{Burst, ConnId, kind};
    /// use ringway::offload::{Order, Task};
    /// use ringway::pipeline::{Cx, Handler};
    /// use ringway::testing::{End, Harness};
    ///
    /// /// Hangs up when its work is done.
    /// struct Worker(Option<(ConnId, Task<u32>)>);
    ///
    /// impl Handler for Worker {
    ///     fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
    ///         while let Some(buf) = input.pop() {
    ///             let conn = buf.conn();
    ///             if buf.kind() == kind::OPEN {
    ///                 let task = cx.offload.spawn(conn, Order::Any, |_| 42).expect("an idle pool");
    ///                 self.0 = Some((conn, task));
    ///             } else if let Some((conn, task)) = &mut self.0
    ///                 && let Some(Ok(42)) = task.poll()
    ///             {
    ///                 let _ = output.push(ringway::mem::Buf::marker(*conn, kind::CLOSE));
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// let mut harness = Harness::new(Worker(None));
    /// let conn = harness.open();
    /// assert_eq!(harness.closed(conn), None);
    /// assert_eq!(harness.run_offloaded(), 1);
    /// assert_eq!(harness.closed(conn), Some(End::Close));
    /// ```
    ///
    /// # Panics
    /// When there is no end to it: each task brings about another.
    pub fn run_offloaded(&mut self) -> usize {
        let ran = (0..TASKS_MAX).find(|_| !self.run_one_offloaded());
        ran.expect("an end to what is offloaded")
    }

    /// The same with the task that is next in turn; `false`: there is none.
    pub fn run_one_offloaded(&mut self) -> bool {
        let ran = self.offload.run_one();
        let woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(|conn| self.wake(conn));
        ran
    }

    /// The peer is gone.
    pub fn reset(&mut self, conn: ConnId) {
        self.end(conn, End::Reset);
        self.run();
    }

    /// Time passes, and the chain looks for what has taken too long: once a second, and when it asks for it.
    pub fn advance(&mut self, time: Duration) {
        let until = self.cx.now.after_ns(time.as_nanos() as u64);
        while self.cx.now < until {
            let asked = self.pipeline.next_tick().unwrap_or(self.second);
            let at = self.second.min(asked).max(self.cx.now);
            let now = until.min(at);
            self.hand.advance_ns(now.ns_since(self.cx.clock.now()));
            self.cx.now = now;
            self.cx.unix_seconds = UNIX_SECONDS + self.cx.now.as_ns() / 1_000_000_000;
            if self.cx.now >= at {
                self.tick();
            }
            self.run();
        }
    }

    fn tick(&mut self) {
        if self.cx.now >= self.second {
            self.second = self.cx.now.after_ns(PROTOCOL_TICK_NS);
        }
        for _ in 0..PASSES_MAX {
            if !self.pipeline.tick(&mut self.cx, &mut self.messages) {
                return;
            }
            self.run();
        }
        panic!("{PASSES_MAX} ticks, and there is more to look at");
    }

    /// The dataplane begins to stop: idle sessions are asked to close.
    pub fn drain(&mut self) {
        self.cx.draining = true;
        self.pipeline.drain(&mut self.cx, &mut self.tx);
        self.run();
    }

    /// From here on no slot is free but those that arrivals come in and that come back meanwhile;
    /// with `false` that is over.
    pub fn starve(&mut self, starving: bool) {
        self.starving = starving;
        self.hoard.clear();
        if starving {
            let most = self.cx.pool.slot_bytes_max();
            let pool = &self.cx.pool;
            self.hoard.extend(
                [1, most].iter().flat_map(|bytes| std::iter::from_fn(|| pool.alloc(*bytes))),
            );
        }
    }

    /// Turns until nothing moves any more. Every method that changes something ends with it.
    ///
    /// # Panics
    /// When there is no end to it.
    pub fn run(&mut self) {
        let mut late = false;
        for _ in 0..PASSES_MAX {
            if self.pass() {
                continue;
            }
            if late || self.late.is_empty() {
                return;
            }
            late = true;
            self.arrivals.extend(self.late.drain(..));
        }
        panic!("{PASSES_MAX} passes, and something moves in each");
    }

    /// One turn of a listener; whether something moved.
    fn pass(&mut self) -> bool {
        let mut moved = false;
        while !self.rx.is_full()
            && let Some(buf) = self.arrivals.pop_front()
        {
            moved |= self.rx.push(buf).is_ok();
        }
        let lens = (self.rx.len(), self.messages.len());
        self.pipeline.ingress(&mut self.cx, &mut self.rx, &mut self.messages);
        moved |= lens != (self.rx.len(), self.messages.len());
        let lens = (self.messages.len(), self.replies.len());
        let (endings, count) = (Writes::endings(&self.messages), self.messages.len());
        self.handler.process(&mut self.cx, &mut self.messages, &mut self.replies);
        self.cx.writes.end(endings, count.saturating_sub(self.messages.len()));
        if self.handler.is_polled() {
            moved |= self.handler.poll(&mut self.cx, &mut self.replies);
        }
        moved |= lens != (self.messages.len(), self.replies.len());
        self.pipeline.egress(&mut self.cx, &mut self.replies, &mut self.tx);
        if self.replies.is_empty() {
            let conns = &self.conns;
            let is_open = |id| conns.iter().any(|conn| conn.id == id && conn.end.is_none());
            let (cx, replies) = (&mut self.cx, &mut self.replies);
            moved |= self.beside.deliver(cx, &mut self.pipeline, replies, is_open);
        }
        while let Some(buf) = self.tx.pop() {
            self.send(buf);
            moved = true;
        }
        moved
    }

    fn send(&mut self, buf: Buf) {
        let Some(conn) = self.conns.iter_mut().find(|conn| conn.id == buf.conn()) else {
            return self.cx.drop_buf(buf, Reason::StaleConnection);
        };
        if conn.end.is_some() {
            self.cx.drop_buf(buf, Reason::AfterClose);
        } else if let Some(end) = End::asked_for(&buf) {
            self.end(buf.conn(), end);
        } else {
            match buf.kind() {
                kind::FLUSH => self.flushed(&buf),
                kind::PAUSE | kind::RESUME => conn.paused = buf.kind() == kind::PAUSE,
                _ => {
                    conn.moved |= !buf.is_empty();
                    conn.sent.extend_from_slice(&buf);
                }
            }
        }
    }

    /// All is out at once; who asks again without having sent anything hears of it later.
    fn flushed(&mut self, flush: &Buf) {
        let mut answer = Buf::marker(flush.conn(), kind::FLUSHED);
        answer.set_kind(kind::FLUSHED, flush.meta());
        if std::mem::take(&mut self.conn_mut(flush.conn()).moved) {
            self.arrivals.push_back(answer);
        } else {
            self.late.push(answer);
        }
    }

    /// Whether the handler has asked to receive nothing more on `conn`, and not taken it back.
    pub fn paused(&self, conn: ConnId) -> bool {
        self.conn(conn).paused
    }

    fn end(&mut self, id: ConnId, end: End) {
        let conn = self.conn_mut(id);
        if conn.end.is_none() {
            conn.end = Some(end);
            self.arrivals.push_back(Buf::marker(id, kind::CLOSED));
        }
    }

    /// All that was sent on `conn`, in order.
    pub fn sent(&self, conn: ConnId) -> &[u8] {
        &self.conn(conn).sent
    }

    /// The same, and forgets it: what the next call gives was sent after this one.
    pub fn take_sent(&mut self, conn: ConnId) -> Vec<u8> {
        std::mem::take(&mut self.conn_mut(conn).sent)
    }

    /// What was taken too much: it was sent before all that was sent since.
    pub(super) fn unsend(&mut self, conn: ConnId, bytes: &[u8]) {
        self.conn_mut(conn).sent.splice(0..0, bytes.iter().copied());
    }

    /// How `conn` ended; `None` while it is open.
    pub fn closed(&self, conn: ConnId) -> Option<End> {
        self.conn(conn).end
    }

    /// Bufs that wait in front of the chain and the handler: for a free slot, or for good.
    pub fn waiting(&self) -> usize {
        self.arrivals.len() + self.rx.len() + self.messages.len() + self.replies.len()
    }

    /// The handler hears `message` before what arrives next.
    #[cfg(test)]
    pub(crate) fn tell(&mut self, message: Buf) {
        assert!(self.messages.push(message).is_ok(), "all rests");
    }

    /// What the chain makes of `replies`.
    #[cfg(test)]
    pub(crate) fn egress(&mut self, replies: &mut Burst, out: &mut Burst) {
        self.pipeline.egress(&mut self.cx, replies, out);
    }

    /// The handler says `reply`.
    #[cfg(test)]
    pub(crate) fn reply(&mut self, reply: Buf) {
        assert!(self.replies.push(reply).is_ok(), "all rests");
        self.run();
    }

    /// Resets the connections that are open, and panics unless all bufs then are back: the handler
    /// and the chain may hold none for connections that are gone. What a drop alone looks at is
    /// whether a buf was lost for good.
    pub fn finish(mut self) {
        let open: Vec<ConnId> =
            self.conns.iter().filter(|conn| conn.end.is_none()).map(|conn| conn.id).collect();
        open.into_iter().for_each(|conn| self.reset(conn));
        self.starve(false);
        self.run();
        let missing = self.cx.pool.missing();
        assert!(missing == 0, "{missing} slots are held although no connection is left");
    }

    fn conn(&self, id: ConnId) -> &Conn {
        self.conns.iter().find(|conn| conn.id == id).expect("a connection of this harness")
    }

    fn conn_mut(&mut self, id: ConnId) -> &mut Conn {
        self.conns.iter_mut().find(|conn| conn.id == id).expect("a connection of this harness")
    }
}
