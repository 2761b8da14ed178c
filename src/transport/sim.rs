//! A transport without a kernel: connections are queues in memory, moved by a test step by step,
//! with faults that follow a seed. What it promises is what [`Transport`] promises, and no more.

mod conn;
mod faults;
mod net;
mod wire;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use conn::{Conn, Phase};
pub use faults::{Faults, Rng, Split};
use net::Net;
pub use net::{Peer, SimNet};
use wire::{Arrival, End};

use super::{Features, Io, Notice, TimerEvent, Transport};
use crate::counters::{Counter, Reason};
use crate::limits::{LINGER_NS, TX_HIGH_BUFS, TX_HIGH_BYTES};
use crate::mem::{Buf, BufStore, Burst, ConnId, kind};

/// The listener of one [`SimNet`] on one lcore, with its connections.
pub struct Sim {
    net: Rc<RefCell<Net>>,
    index: u8,
    conns: Box<[Conn]>,
    open: usize,
    /// `OPEN`, `FLUSHED` and `CLOSED`, not taken yet, in order.
    markers: VecDeque<Buf>,
    tx: BufStore,
    /// Slots without a connection.
    free: Vec<u32>,
    /// Connections that something has arrived on, in turn.
    arriving: VecDeque<u32>,
    /// Connections that the next flush visits.
    dirty: VecDeque<u32>,
}

impl Sim {
    /// The transport of `net`, which is number `index` on its lcore, with connections in slots
    /// below `slots`.
    pub fn new(net: &SimNet, index: u8, slots: u32) -> Self {
        let tx = BufStore::new(net.0.borrow().faults.tx_bufs);
        Self {
            net: net.0.clone(),
            index,
            conns: (0..slots).map(|_| Conn::FREE).collect(),
            open: 0,
            markers: VecDeque::new(),
            tx,
            free: (0..slots).rev().collect(),
            arriving: VecDeque::new(),
            dirty: VecDeque::new(),
        }
    }

    fn id(&self, io: &Io, slot: usize) -> ConnId {
        ConnId::new(io.lcore, slot as u32, self.conns[slot].generation)
    }

    fn live(&self, id: ConnId) -> Option<usize> {
        let slot = id.slot() as usize;
        let conn = self.conns.get(slot)?;
        let live = conn.generation == id.generation() && conn.phase != Phase::Free;
        live.then_some(slot)
    }

    /// A slot for one more connection, unless the lcore has as many as it may.
    fn room_for_one(&mut self, io: &Io) -> Option<usize> {
        if io.connections >= io.connections_max {
            return None;
        }
        self.free.pop().map(|slot| slot as usize)
    }

    fn accept(&mut self, io: &mut Io, net: &mut Net) {
        while !net.waiting.is_empty()
            && let Some(slot) = self.room_for_one(io)
            && let Some(wire) = net.waiting.pop_front()
        {
            net.wires[wire].accepted = true;
            net.wires[wire].slot = Some(slot as u32);
            let generation = io.next_generation();
            self.conns[slot].reuse(generation, wire);
            self.open += 1;
            io.connections += 1;
            io.count(Counter::Accepted, 1);
            self.markers.push_back(Buf::marker(self.id(io, slot), kind::OPEN));
            self.arrive(net, slot);
            // It may have been reset while it waited.
            net.touch(wire);
        }
    }

    fn take_markers(&mut self, rx: &mut Burst) {
        let count = rx.room().min(self.markers.len());
        for marker in self.markers.drain(..count) {
            push(rx, marker);
        }
    }

    /// Sees to the connections that something happened to: gives up those whose peer is gone,
    /// whether or not there is room for anything, and has the others visited.
    fn look(&mut self, io: &mut Io, net: &mut Net) {
        while let Some(wire) = net.next_touched() {
            let Some(slot) = net.wires[wire].slot.map(|slot| slot as usize) else { continue };
            if net.wires[wire].up_end == End::Reset {
                self.close_now(io, net, slot);
                continue;
            }
            self.arrive(net, slot);
            if !self.conns[slot].tx.is_empty() {
                self.soil(slot);
            }
        }
    }

    /// Lets a connection receive in its turn, if something has arrived that it takes.
    fn arrive(&mut self, net: &Net, slot: usize) {
        let conn = &mut self.conns[slot];
        let due = conn.receives() && net.wires[conn.wire].arrival(net.step).is_some();
        if due && !conn.arriving {
            conn.arriving = true;
            self.arriving.push_back(slot as u32);
        }
    }

    /// Has the next flush visit a connection.
    fn soil(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.conns[slot].dirty, true) {
            self.dirty.push_back(slot as u32);
        }
    }

    /// Whose turn it is to receive, of those that something has arrived on.
    fn next_in_turn(&mut self, net: &mut Net) -> Option<usize> {
        if net.faults.shuffle && self.arriving.len() > 1 {
            let lucky = net.rng.below(self.arriving.len());
            self.arriving.swap(0, lucky);
        }
        let slot = self.arriving.pop_front()? as usize;
        self.conns[slot].arriving = false;
        Some(slot)
    }

    /// Moves what arrived on one connection, up to `budget` bufs.
    fn receive(
        &mut self,
        io: &mut Io,
        net: &mut Net,
        slot: usize,
        rx: &mut Burst,
        mut budget: usize,
    ) {
        while budget > 0 && self.conns[slot].receives() {
            let Conn { wire, phase, .. } = self.conns[slot];
            match net.wires[wire].arrival(net.step) {
                Some(Arrival::Finished) => self.on_finish(io, net, slot, rx),
                Some(Arrival::Bytes(bytes)) if phase == Phase::Lingering => {
                    net.wires[wire].take(&mut vec![0; bytes]);
                    io.counters.drop_one(Reason::Lingering);
                }
                Some(Arrival::Bytes(_)) => match self.take_bytes(io, net, slot) {
                    Some(buf) => push(rx, buf),
                    None => return,
                },
                Some(Arrival::Reset) | None => return,
            }
            net.step_bufs_left -= 1;
            budget -= 1;
        }
    }

    /// The next piece in a slot of the pool. `None`: there is no slot, so the bytes wait.
    fn take_bytes(&self, io: &mut Io, net: &mut Net, slot: usize) -> Option<Buf> {
        let Some(mut buf) = io.pool.alloc(1) else {
            io.count(Counter::RxStarved, 1);
            return None;
        };
        let room = buf.spare_mut().expect("a fresh buf is nobody else's");
        let bytes = net.wires[self.conns[slot].wire].take(room);
        buf.grow(bytes);
        buf.set_conn(self.id(io, slot));
        io.count(Counter::RxBufs, 1);
        io.count(Counter::RxBytes, bytes as u64);
        Some(buf)
    }

    fn on_finish(&mut self, io: &mut Io, net: &mut Net, slot: usize, rx: &mut Burst) {
        let id = self.id(io, slot);
        let conn = &mut self.conns[slot];
        net.wires[conn.wire].take_end();
        conn.eof = true;
        if conn.phase == Phase::Lingering {
            self.close_now(io, net, slot);
        } else {
            push(rx, Buf::marker(id, kind::EOF));
        }
    }

    /// Queues `buf`; gives it back when the store is full.
    fn queue(&mut self, io: &mut Io, slot: usize, buf: Buf) -> Result<(), Buf> {
        let conn = &mut self.conns[slot];
        if conn.phase != Phase::Open || conn.close_wanted {
            io.counters.drop_one(Reason::AfterClose);
            settle(io, &buf, false);
            return Ok(());
        }
        let bytes = buf.len() as u64;
        self.tx.push(&mut conn.tx, buf)?;
        conn.tx_bytes += bytes;
        conn.tx_bufs += u32::from(bytes > 0);
        let too_much = conn.tx_bytes > TX_HIGH_BYTES.into() || conn.tx_bufs > TX_HIGH_BUFS;
        if too_much && !conn.tx_paused {
            conn.tx_paused = true;
            io.count(Counter::RxPaused, 1);
        }
        self.soil(slot);
        Ok(())
    }

    /// Sends what the peer takes, and closes behind the last of it where that is wanted.
    fn flush_one(&mut self, io: &mut Io, net: &mut Net, slot: usize) {
        let conn = &mut self.conns[slot];
        if conn.phase != Phase::Open {
            return;
        }
        let wire = &mut net.wires[conn.wire];
        if wire.up_end == End::Reset {
            return;
        }
        let mut budget = net.faults.part(&mut net.rng, wire.room());
        while let Some(front) = self.tx.front_mut(&conn.tx) {
            let count = front.len().min(budget);
            wire.down.extend(&front[..count]);
            budget -= count;
            conn.tx_bytes -= count as u64;
            io.counters.add(Counter::TxBytes, count as u64);
            if count < front.len() {
                front.advance(count);
                io.counters.add(Counter::ShortSends, u64::from(count > 0));
                break;
            }
            let mut sent = self.tx.pop(&mut conn.tx).expect("it was just seen");
            conn.tx_bufs -= u32::from(!sent.is_empty());
            settle(io, &sent, true);
            io.counters.add(Counter::TxBufs, 1);
            if sent.is_empty() && sent.kind() == kind::FLUSH {
                sent.set_kind(kind::FLUSHED, sent.meta());
                self.markers.push_back(sent);
            }
        }
        if conn.tx_bytes <= u64::from(TX_HIGH_BYTES / 2) && conn.tx_bufs <= TX_HIGH_BUFS / 2 {
            conn.tx_paused = false;
        }
        let (all_sent, may_go_on) = (conn.tx.is_empty(), net.wires[conn.wire].room() > 0);
        if all_sent && conn.close_wanted {
            self.close_gracefully(io, net, slot);
        } else if !all_sent && may_go_on {
            self.soil(slot);
        }
        self.arrive(net, slot);
    }

    /// All is sent: says so to the peer and waits for it to close.
    fn close_gracefully(&mut self, io: &mut Io, net: &mut Net, slot: usize) {
        let conn = self.id(io, slot);
        net.wires[self.conns[slot].wire].down_end = End::Finished;
        let event = TimerEvent { listener: self.index, op: 0, conn };
        let timer = io.timers.schedule(io.now, LINGER_NS, event);
        self.conns[slot].phase = Phase::Lingering;
        self.conns[slot].linger = timer;
        if self.conns[slot].eof || timer.is_none() {
            self.close_now(io, net, slot);
        }
    }

    /// Drops what is unsent and gives the slot up.
    fn close_now(&mut self, io: &mut Io, net: &mut Net, slot: usize) {
        let id = self.id(io, slot);
        let conn = &mut self.conns[slot];
        while let Some(buf) = self.tx.pop(&mut conn.tx) {
            io.counters.drop_one(Reason::Unsent);
            settle(io, &buf, false);
        }
        if let Some(timer) = conn.linger.take() {
            io.timers.cancel(timer);
        }
        let wire = &mut net.wires[conn.wire];
        wire.gone = true;
        wire.slot = None;
        if wire.down_end == End::Not {
            wire.down_end = End::Reset;
        }
        conn.phase = Phase::Free;
        self.free.push(slot as u32);
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
        self.markers.push_back(Buf::marker(id, kind::CLOSED));
    }
}

fn push(rx: &mut Burst, buf: Buf) {
    let pushed = rx.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

fn settle(io: &mut Io, buf: &Buf, sent: bool) {
    if buf.kind() == kind::NOTIFY {
        io.notices.push(Notice { ticket: buf.meta(), sent });
    }
}

impl Transport for Sim {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: false,
            batching: true,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: "",
        }
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let shared = self.net.clone();
        let net = &mut *shared.borrow_mut();
        let before = rx.len();
        self.look(io, net);
        self.accept(io, net);
        self.take_markers(rx);
        for _ in 0..self.arriving.len() {
            let most = rx.room().min(net.step_bufs_left);
            let budget = net.faults.part(&mut net.rng, most);
            if budget == 0 {
                break;
            }
            let Some(slot) = self.next_in_turn(net) else { break };
            self.receive(io, net, slot, rx, budget);
            net.await_next(self.conns[slot].wire);
            self.arrive(net, slot);
        }
        rx.len() - before
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        let shared = self.net.clone();
        let net = &mut *shared.borrow_mut();
        let most = net.faults.part(&mut net.rng, tx.len());
        let mut taken = 0;
        while taken < most
            && let Some(buf) = tx.pop()
        {
            taken += 1;
            let Some(slot) = self.live(buf.conn()) else {
                io.counters.drop_one(Reason::StaleConnection);
                settle(io, &buf, false);
                continue;
            };
            match buf.kind() {
                kind::CLOSE => {
                    self.conns[slot].close_wanted = true;
                    self.soil(slot);
                }
                kind::ABORT => self.close_now(io, net, slot),
                kind::PAUSE => self.conns[slot].held = true,
                kind::RESUME => {
                    self.conns[slot].held = false;
                    self.arrive(net, slot);
                }
                other if buf.is_empty() && !matches!(other, kind::NOTIFY | kind::FLUSH) => {}
                _ => {
                    if let Err(buf) = self.queue(io, slot, buf) {
                        let back = tx.unpop(buf);
                        assert!(back.is_ok(), "it was just popped");
                        return taken - 1;
                    }
                }
            }
        }
        taken
    }

    fn flush(&mut self, io: &mut Io) {
        let shared = self.net.clone();
        let net = &mut *shared.borrow_mut();
        self.look(io, net);
        for _ in 0..self.dirty.len() {
            let Some(slot) = self.dirty.pop_front() else { break };
            self.conns[slot as usize].dirty = false;
            self.flush_one(io, net, slot as usize);
        }
    }

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        let shared = self.net.clone();
        if let Some(slot) = self.live(conn) {
            self.close_now(io, &mut shared.borrow_mut(), slot);
        }
    }

    fn has_work(&self) -> bool {
        let net = self.net.borrow();
        !self.markers.is_empty()
            || !net.waiting.is_empty()
            || net.is_touched()
            || !self.arriving.is_empty() && net.step_bufs_left > 0
            || !self.dirty.is_empty()
    }

    fn is_polled(&self) -> bool {
        self.open > 0 || self.net.borrow().accepting
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.live(conn).is_some()
    }

    fn has_room(&self, conn: ConnId) -> bool {
        let is_crowded = self.tx.is_more_than_half_full();
        let light = |conn: &Conn| match is_crowded {
            true => conn.tx.is_empty(),
            false => {
                conn.tx_bytes <= u64::from(TX_HIGH_BYTES / 2) && conn.tx_bufs <= TX_HIGH_BUFS / 2
            }
        };
        self.live(conn).is_some_and(|slot| light(&self.conns[slot]))
    }

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.conns.len() as u32
    }

    fn start(&mut self, _io: &mut Io) {
        self.net.borrow_mut().accepting = true;
    }

    fn stop_accepting(&mut self, _io: &mut Io) {
        let net = &mut *self.net.borrow_mut();
        net.accepting = false;
        while let Some(wire) = net.waiting.pop_front() {
            net.refuse(wire);
        }
    }

    fn abort_all(&mut self, io: &mut Io) {
        let shared = self.net.clone();
        for slot in 0..self.conns.len() {
            if self.conns[slot].phase != Phase::Free {
                io.counters.drop_one(Reason::Shutdown);
                self.close_now(io, &mut shared.borrow_mut(), slot);
            }
        }
    }

    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        let shared = self.net.clone();
        if let Some(slot) = self.live(event.conn) {
            self.conns[slot].linger = None;
            self.close_now(io, &mut shared.borrow_mut(), slot);
        }
    }
}
