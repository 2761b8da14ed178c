//! A process at a port as a listener's peer: it opens connections and sends bytes over a queue in
//! shared memory, and gets what the handler answers. The port's queue is the lcore's; what is lent over
//! it is the queue's own affair.
//!
//! The process asks for a connection by a number of its own (`OPEN`), and is answered with its
//! [`ConnId`], by which both sides name it from there on.

mod conn;
mod down;
mod up;

use std::collections::VecDeque;
use std::time::Duration;

use conn::{Conn, Phase};
use down::settle;

use super::{Features, Io, TimerEvent, Transport};
use crate::counters::{Counter, Reason};
use crate::limits::{
    PORT_OPENS_WAITING_MAX, PORT_PARKED_BUFS, PORT_STALL_NS, PORT_WINDOW_BUFS, RX_QUEUE_HIGH,
    STALL_SWEEP_NS, TX_QUEUE_BUFS,
};
use crate::mem::{Buf, BufStore, Burst, ConnId, Share, SlotCounts, kind};
use crate::port::{Fault, PortIndex, PortTable, Queue, Stall};
use crate::time::TimerId;

/// Bufs of a connection that were handed on before the process is told.
const CREDIT_BUFS: u32 = 32;

const _: () = assert!(CREDIT_BUFS < PORT_WINDOW_BUFS);

/// Timers, as the second part of a [`TimerEvent`].
mod op {
    pub const SWEEP_TIMER: u8 = 1;
    pub const ACCEPT_TIMER: u8 = 2;
}

/// The connections of one port's process on one lcore.
pub struct Shm {
    port: PortIndex,
    index: u8,
    conns: Box<[Conn]>,
    open: usize,
    accepting: bool,
    /// Which attachment the connections are of.
    attachment: Option<u32>,
    /// `FLUSHED` and `CLOSED`, not taken yet, in order.
    markers: VecDeque<Buf>,
    /// What connections are still to get.
    tx: BufStore,
    /// What came on connections that are not received from.
    parked: BufStore,
    /// Connections that the next flush visits.
    dirty: VecDeque<u32>,
    /// Connections that wait until the process gives something back.
    behind: VecDeque<u32>,
    /// Those of them to be visited, since it may have.
    revisit: usize,
    /// Connections that something parked may be taken of, in turn.
    arriving: VecDeque<u32>,
    /// Numbers of connections that the process wants and that have to wait for a slot.
    waiting: VecDeque<u32>,
    /// Numbers of those that it does not get, and is to be told of.
    refused: VecDeque<u32>,
    /// There may be a slot for one that waits.
    accept_due: bool,
    /// The timer after which that is looked at, while it is running.
    accept_timer: Option<TimerId>,
    sweep_timer: Option<TimerId>,
    /// Nothing is received: the listener's messages hold too much of the pool.
    held_back: bool,
    /// What waits for the process is more than its share, and nothing is received.
    backlogged: bool,
    /// What waits here may hold so much of a pool that is short of slots.
    share: Share,
    /// The ring had no room, or no slot was to be had, when the last flush ended.
    full: bool,
    /// The process lacks slots that the pool did not have.
    starved: bool,
    stall: Stall,
    /// How long the process may take nothing while something waits for it, in all or on one connection.
    write_timeout_ns: u64,
    /// Times that a slot was wanted in vain, when the last sweep looked.
    misses_seen: u64,
    /// What tells our timers from those that the index's last owner left behind.
    timer_id: ConnId,
}

impl Shm {
    /// The transport of `port`, as number `index` of its lcore, with connections in slots below `slots`:
    /// those that the lcore has free for such.
    pub fn new(port: PortIndex, index: u8, slots: u32) -> Self {
        let list = || VecDeque::with_capacity(slots as usize);
        Self {
            port,
            index,
            conns: (0..slots).map(|_| Conn::FREE).collect(),
            open: 0,
            accepting: false,
            attachment: None,
            markers: VecDeque::with_capacity(slots as usize + RX_QUEUE_HIGH),
            tx: BufStore::new(TX_QUEUE_BUFS),
            parked: BufStore::new(PORT_PARKED_BUFS),
            dirty: list(),
            behind: list(),
            revisit: 0,
            arriving: list(),
            waiting: VecDeque::with_capacity(PORT_OPENS_WAITING_MAX),
            refused: VecDeque::with_capacity(2 * PORT_OPENS_WAITING_MAX),
            accept_due: false,
            accept_timer: None,
            sweep_timer: None,
            held_back: false,
            backlogged: false,
            share: Share::WHOLE,
            full: false,
            starved: false,
            stall: Stall::default(),
            write_timeout_ns: PORT_STALL_NS,
            misses_seen: 0,
            timer_id: ConnId::NONE,
        }
    }

    /// The same, where the process may take nothing for so long while something waits for it; looked at
    /// once a second. Before it starts.
    pub fn with_write_timeout(mut self, most: Duration) -> Self {
        self.set_write_timeout(most);
        self
    }

    fn set_write_timeout(&mut self, most: Duration) {
        self.write_timeout_ns = most.as_nanos().min(u64::MAX.into()) as u64;
    }

    /// The same, of which no more than this waits while the pool is short of slots. Before it starts.
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    #[inline]
    fn id(&self, io: &Io, slot: u32) -> ConnId {
        ConnId::new(io.lcore, slot, self.conns[slot as usize].generation)
    }

    /// The slot of a connection that has not ended, or whose process is still to be told.
    #[inline]
    fn live(&self, id: ConnId) -> Option<u32> {
        let conn = self.conns.get(id.slot() as usize)?;
        let live = conn.generation == id.generation() && conn.phase != Phase::Free;
        (live && id.lcore() == self.timer_id.lcore()).then_some(id.slot())
    }

    /// The queue of the process that the connections are of.
    #[inline]
    fn queue<'a>(&self, ports: &'a mut PortTable) -> Option<&'a mut Queue> {
        let is_current = self.attachment == Some(ports.attachments(self.port));
        ports.queue(self.port).filter(|_| is_current)
    }

    /// Has the next flush visit a connection.
    #[inline]
    fn soil(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push_back(slot);
        }
    }

    /// Takes note of a process that came or went: the connections of one that is gone have ended.
    fn look(&mut self, io: &mut Io) {
        let attached = io.ports.peek(self.port).map(|_| io.ports.attachments(self.port));
        if attached == self.attachment {
            return;
        }
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].phase != Phase::Free {
                self.drop_bufs(io, slot);
                self.free(io, slot);
            }
        }
        self.waiting.clear();
        self.refused.clear();
        self.stall.clear();
        self.full = false;
        self.starved = false;
        self.attachment = attached;
    }

    /// Cuts the process off.
    fn cut(&mut self, io: &mut Io, fault: Fault) {
        io.count(Counter::PortFaults, 1);
        io.ports.cut(self.port, fault);
        self.look(io);
    }

    fn schedule(&self, io: &mut Io, op: u8, after_ns: u64) -> Option<TimerId> {
        let event = TimerEvent { listener: self.index, op, conn: self.timer_id };
        io.timers.schedule(io.now, after_ns, event)
    }

    /// Gives a process up that has taken nothing for too long while something waits for it, and connections
    /// of one that takes what is there of others.
    fn sweep(&mut self, io: &mut Io) {
        let waits = self.full || !self.behind.is_empty();
        let attached = self.attachment == Some(io.ports.attachments(self.port));
        let most_ns = self.write_timeout_ns;
        match io.ports.peek(self.port).filter(|_| attached && waits) {
            Some(queue) if self.stall.look(queue, io.now, most_ns) => self.cut(io, Fault::Stalled),
            Some(_) => {}
            None => self.stall.clear(),
        }
        self.sweep_conns(io);
        self.weigh(io);
        self.sweep_timer = self.schedule(io, op::SWEEP_TIMER, STALL_SWEEP_NS);
    }

    fn take_markers(&mut self, rx: &mut Burst) {
        let count = rx.room().min(self.markers.len());
        self.markers.drain(..count).for_each(|marker| push(rx, marker));
    }
}

#[inline]
fn push(rx: &mut Burst, buf: Buf) {
    let pushed = rx.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Transport for Shm {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: io.ports.peek(self.port).is_none_or(Queue::is_shared),
            batching: true,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: "Linux memfd and eventfd",
        }
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let before = rx.len();
        io.ports.hang_up(self.port);
        self.look(io);
        self.weigh(io);
        if !self.behind.is_empty() && io.ports.peek(self.port).is_some_and(Queue::has_input) {
            self.revisit = self.behind.len();
        }
        loop {
            // Before anything else is taken, so that the end of a connection is told before its slot's
            // next one begins.
            self.take_markers(rx);
            if rx.is_full() {
                break;
            }
            let moved = self.accept_waiting(io, rx)
                || self.take_parked(io, rx)
                || self.receive(io, rx)
                || !self.markers.is_empty();
            if !moved {
                break;
            }
        }
        self.retry_accept(io);
        rx.len() - before
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        let mut taken = 0;
        while let Some(buf) = tx.pop() {
            taken += 1;
            let Some(slot) = self.live(buf.conn()) else {
                io.counters.drop_one(Reason::StaleConnection);
                settle(io, &buf, false);
                continue;
            };
            let conn = &mut self.conns[slot as usize];
            match buf.kind() {
                kind::CLOSE => {
                    // What the process says is in the ring, whoever is gone: nothing makes it a reset.
                    conn.close_wanted = true;
                    self.soil(slot);
                }
                kind::ABORT => self.close_now(io, slot, true),
                kind::PAUSE => conn.held = true,
                kind::RESUME => {
                    conn.held = false;
                    self.arrive(slot);
                }
                other if buf.is_empty() && !matches!(other, kind::NOTIFY | kind::FLUSH) => {}
                _ => {
                    if let Err(buf) = self.queue_buf(io, slot, buf) {
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
        self.flush_all(io);
        if let Some(queue) = self.queue(&mut io.ports) {
            let copied = queue.flush();
            self.starved = queue.is_starved();
            io.count(Counter::CopiedBytes, copied);
            io.count(Counter::RxStarved, self.starved.into());
        }
    }

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(slot) = self.live(conn) {
            self.close_now(io, slot, true);
        }
    }

    fn has_work(&self) -> bool {
        !self.markers.is_empty()
            || !self.dirty.is_empty()
            || !self.arriving.is_empty()
            || !self.refused.is_empty()
            || self.full
            || self.starved
            || self.revisit > 0
            || self.accept_due && !self.waiting.is_empty()
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.live(conn).is_some_and(|slot| self.conns[slot as usize].phase == Phase::Open)
    }

    fn has_room(&self, conn: ConnId) -> bool {
        let is_crowded = self.tx.is_more_than_half_full();
        let takes = |conn: &Conn| if is_crowded { conn.tx.is_empty() } else { conn.is_light() };
        self.live(conn).is_some_and(|slot| takes(&self.conns[slot as usize]))
    }

    /// Nor has it anybody's end to tell.
    fn is_quiet(&self) -> bool {
        self.open == 0 && self.markers.is_empty()
    }

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.conns.len() as u32
    }

    fn unsent(&self) -> SlotCounts {
        *self.tx.slots()
    }

    fn hold_back(&mut self, io: &mut Io, held: bool) {
        self.held_back = held;
        if !held {
            self.arrive_all();
            io.ports.call(self.port); // to be taken in a turn
        }
    }

    fn start(&mut self, io: &mut Io) {
        self.timer_id = ConnId::new(io.lcore, 0, io.next_generation());
        self.sweep_timer = self.schedule(io, op::SWEEP_TIMER, STALL_SWEEP_NS);
        self.accepting = true;
    }

    fn stop_accepting(&mut self, _io: &mut Io) {
        self.accepting = false;
        self.refused.extend(self.waiting.drain(..));
    }

    fn set_timeouts(&mut self, write: Duration, _idle: Duration) {
        self.set_write_timeout(write);
    }

    fn leave(&mut self, io: &mut Io) {
        for timer in [self.sweep_timer.take(), self.accept_timer.take()].into_iter().flatten() {
            io.timers.cancel(timer);
        }
    }

    fn abort_all(&mut self, io: &mut Io) {
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].phase == Phase::Open {
                io.counters.drop_one(Reason::Shutdown);
                self.close_now(io, slot, true);
            }
            // One that is not told for want of room hears of it by the end of its port.
            if self.conns[slot as usize].phase == Phase::Closing {
                self.free(io, slot);
            }
        }
    }

    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        if event.conn != self.timer_id {
            return;
        }
        match event.op {
            op::SWEEP_TIMER => self.sweep(io),
            _ => (self.accept_timer, self.accept_due) = (None, true),
        }
    }
}
