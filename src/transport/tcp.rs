//! TCP over io_uring: multishot accept into direct descriptors, multishot receive into the lent
//! slots, one gathered send per connection and round.
//!
//! A connection's slot is its direct descriptor. The slot is closed only when no operation on it is
//! in flight, so a completion can never meet the slot's next owner.

mod conn;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use conn::{Conn, Flag, Phase};

use super::queue::BufStore;
use super::{Features, Io, Notice, TimerEvent, Token, Transport};
use crate::counters::{Counter, Reason};
use crate::error::{Error, Result};
use crate::limits::{
    ACCEPT_RETRY_NS, ADOPTED_MAX, CQ_ENTRIES, GATHER_MAX, LINGER_NS, RX_QUEUE_HIGH, TX_QUEUE_BUFS,
};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::sys::socket::{self, TcpListener};
use crate::sys::uring::Cqe;

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
}

/// The kind of a buf that asks to be told when all before it was sent; its meta is the ticket.
pub(crate) const NOTIFY: u8 = 6;

/// One listening socket on one lcore, with its connections.
pub struct Tcp {
    /// `None` once it accepts no more.
    listener: Option<TcpListener>,
    index: u8,
    conns: Box<[Conn]>,
    open: usize,
    /// A multishot accept is in flight.
    accepting: bool,
    /// Accepting pauses until a timer fires.
    accept_held: bool,
    /// Received and not taken yet, with the markers, in order.
    rx: VecDeque<Buf>,
    /// Connections with something to send or to close, to be visited by `flush`.
    dirty: Vec<u32>,
    /// Connections whose receive ended for want of slots.
    starved: Vec<u32>,
    /// Connections that do not receive because `rx` is long.
    paused: VecDeque<u32>,
    tx: BufStore,
    /// Adopted sockets by inode, to refuse a second adoption.
    adopted: HashMap<u64, u32>,
}

impl Tcp {
    /// The transport of `listener`, which is number `index` on its lcore. `slots` is the size of
    /// the lcore's file table.
    pub fn new(listener: TcpListener, index: u8, slots: u32) -> Self {
        Self {
            listener: Some(listener),
            index,
            conns: (0..slots).map(|_| Conn::FREE).collect(),
            open: 0,
            accepting: false,
            accept_held: false,
            rx: VecDeque::with_capacity(RX_QUEUE_HIGH + CQ_ENTRIES as usize),
            dirty: Vec::with_capacity(slots as usize),
            starved: Vec::with_capacity(slots as usize),
            paused: VecDeque::with_capacity(slots as usize),
            tx: BufStore::new(TX_QUEUE_BUFS),
            adopted: HashMap::with_capacity(ADOPTED_MAX as usize),
        }
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
        live.then_some(id.slot())
    }

    #[inline]
    fn mark_dirty(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if !conn.has(Flag::Dirty) {
            conn.set(Flag::Dirty);
            self.dirty.push(slot);
        }
    }

    // ---- accepting ----

    fn arm_accept(&mut self, io: &mut Io) {
        let Some(listener) = &self.listener else { return };
        if self.accepting || self.accept_held {
            return;
        }
        if io.connections >= io.connections_max {
            // Room may come from another listener, which does not tell us.
            return self.hold_accept(io);
        }
        let token = Token::new(op::ACCEPT, self.index, 0, 0).user_data();
        io.uring().ring().accept_multi(listener.as_fd(), token);
        self.accepting = true;
    }

    /// Tries to accept again a little later.
    fn hold_accept(&mut self, io: &mut Io) {
        let event = TimerEvent { listener: self.index, op: op::ACCEPT_TIMER, conn: ConnId::NONE };
        self.accept_held = io.timers.schedule(io.now, ACCEPT_RETRY_NS, event).is_some();
    }

    fn on_accept(&mut self, io: &mut Io, cqe: &Cqe) {
        self.accepting = cqe.more();
        match u32::try_from(cqe.result) {
            Ok(slot) => {
                self.opened(io, slot);
                if self.listener.is_none() {
                    // Accepted by the kernel before it heard that we stop: nobody else would close
                    // it, since those who close everyone have been here.
                    self.abort(io, slot);
                }
            }
            Err(_) if self.listener.is_none() => {}
            Err(_) => self.on_accept_failure(io, -cqe.result),
        }
        if io.connections >= io.connections_max {
            self.cancel_accept(io);
        }
        self.arm_accept(io);
    }

    /// A connection that was reset before we took it is the peer's affair; want of descriptors or
    /// memory passes, so accepting pauses a little.
    fn on_accept_failure(&mut self, io: &mut Io, errno: i32) {
        if matches!(errno, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::ECANCELED) {
            return;
        }
        io.count(Counter::AcceptFailures, 1);
        self.hold_accept(io);
    }

    fn cancel_accept(&mut self, io: &mut Io) {
        if self.accepting {
            let target = Token::new(op::ACCEPT, self.index, 0, 0).user_data();
            let token = Token::new(op::CANCEL, self.index, 0, 0).user_data();
            io.uring().ring().cancel(target, token);
        }
    }

    fn opened(&mut self, io: &mut Io, slot: u32) {
        if self.conn(slot).phase == Phase::Closed {
            // The kernel gave the slot out again before we saw the completion of its close.
            self.on_closed(io, slot);
        }
        let conn = self.conn(slot);
        assert!(conn.phase == Phase::Free, "the kernel gives out free slots only");
        conn.generation = io.next_generation();
        conn.phase = Phase::Open;
        self.open += 1;
        io.connections += 1;
        io.count(Counter::Accepted, 1);
        self.rx.push_back(Buf::marker(self.id(io, slot), kind::OPEN));
        self.arm_recv(io, slot);
    }

    // ---- receiving ----

    fn arm_recv(&mut self, io: &mut Io, slot: u32) {
        let token = self.token(op::RECV, slot);
        io.uring().recv_multi(slot, token);
        let conn = self.conn(slot);
        conn.set(Flag::Receiving);
        conn.ops += 1;
    }

    fn on_recv(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        if cqe.result > 0 {
            self.received(io, slot, cqe);
        }
        if cqe.more() {
            return;
        }
        let conn = self.conn(slot);
        conn.clear(Flag::Receiving);
        conn.ops -= 1;
        if conn.phase == Phase::Closing {
            return self.close_when_quiet(io, slot);
        }
        match cqe.result {
            0 => self.on_eof(io, slot),
            result if result > 0 => self.resume_recv(io, slot),
            result => match -result {
                libc::ENOBUFS => {
                    io.count(Counter::RxStarved, 1);
                    self.starved.push(slot);
                }
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => self.resume_recv(io, slot),
                _ => self.abort(io, slot),
            },
        }
    }

    fn received(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        let id = self.id(io, slot);
        let wanted = self.conns[slot as usize].phase == Phase::Open;
        let (rx, mut bufs) = (&mut self.rx, 0);
        io.uring().take_received(cqe, |mut buf| {
            bufs += 1;
            if wanted {
                buf.set_conn(id);
                rx.push_back(buf);
            }
        });
        io.count(Counter::RxBufs, bufs);
        if !wanted {
            (0..bufs).for_each(|_| io.counters.drop_one(Reason::Lingering));
        }
        io.count(Counter::RxBytes, cqe.result as u64);
        if self.rx.len() >= RX_QUEUE_HIGH && wanted {
            self.pause_recv(io, slot, Flag::RxPaused);
        }
    }

    /// Stops receiving for the reason `flag`, until [`resume_recv`](Self::resume_recv) finds none.
    fn pause_recv(&mut self, io: &mut Io, slot: u32, flag: Flag) {
        let conn = self.conn(slot);
        if conn.has(flag) {
            return;
        }
        conn.set(flag);
        let receiving = conn.has(Flag::Receiving);
        if flag == Flag::RxPaused {
            self.paused.push_back(slot);
        }
        io.count(Counter::RxPaused, 1);
        if receiving {
            self.cancel_recv(io, slot);
        }
    }

    fn cancel_recv(&mut self, io: &mut Io, slot: u32) {
        let (target, token) = (self.token(op::RECV, slot), self.token(op::CANCEL, slot));
        io.uring().ring().cancel(target, token);
    }

    /// Receives again, if nothing speaks against it.
    fn resume_recv(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        let idle = !conn.has(Flag::Receiving) && !conn.has(Flag::Eof);
        let wanted = matches!(conn.phase, Phase::Open | Phase::Lingering);
        if idle && wanted && !conn.has(Flag::RxPaused) && !conn.has(Flag::TxPaused) {
            self.arm_recv(io, slot);
        }
    }

    fn on_eof(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.set(Flag::Eof);
        if conn.phase == Phase::Lingering {
            self.begin_close(io, slot);
        } else {
            self.rx.push_back(Buf::marker(self.id(io, slot), kind::EOF));
        }
    }

    fn revive_starved(&mut self, io: &mut Io) {
        // While nothing is submitted the loop does not enter the kernel, and lends it nothing either.
        if self.starved.is_empty() || !io.uring().replenish() {
            return;
        }
        // No more than there are slots: the others would starve again at once.
        for _ in 0..self.starved.len().min(io.uring().rx_lent()) {
            let slot = self.starved.swap_remove(0);
            self.resume_recv(io, slot);
        }
    }

    // ---- sending ----

    /// Queues `buf`; gives it back when the store is full.
    #[inline]
    fn queue(&mut self, io: &mut Io, slot: u32, buf: Buf) -> Result<(), Buf> {
        let conn = &mut self.conns[slot as usize];
        if conn.phase != Phase::Open || conn.has(Flag::CloseWanted) {
            io.counters.drop_one(Reason::AfterClose);
            self.settle(io, &buf, false);
            return Ok(());
        }
        let bytes = buf.len() as u32;
        self.tx.push(&mut conn.tx, buf)?;
        conn.tx_bytes += bytes;
        conn.tx_bufs += u32::from(bytes > 0);
        let too_much = conn.owes_too_much();
        self.mark_dirty(slot);
        if too_much {
            self.pause_recv(io, slot, Flag::TxPaused);
        }
        Ok(())
    }

    fn flush_one(&mut self, io: &mut Io, slot: u32) {
        self.settle_front(io, slot);
        let conn = &self.conns[slot as usize];
        if conn.sending > 0 {
            return;
        }
        if !conn.tx.is_empty() {
            self.start_send(io, slot);
        } else if conn.has(Flag::CloseWanted) && conn.phase == Phase::Open {
            self.close_gracefully(io, slot);
        }
    }

    fn start_send(&mut self, io: &mut Io, slot: u32) {
        let token = self.token(op::SEND, slot);
        let conn = &mut self.conns[slot as usize];
        let mut count = 0;
        let bufs = self.tx.iter(&conn.tx).take_while(|buf| buf.kind() != NOTIFY).take(GATHER_MAX);
        let bufs = bufs.inspect(|_| count += 1);
        if io.uring().send(slot, bufs, token) == 0 {
            return self.mark_dirty(slot);
        }
        conn.sending = count;
        conn.ops += 1;
        io.count(Counter::Sends, 1);
        io.count(Counter::TxBufs, count.into());
    }

    fn on_send(&mut self, io: &mut Io, slot: u32, cqe: &Cqe) {
        let conn = self.conn(slot);
        conn.sending = 0;
        conn.ops -= 1;
        if conn.phase == Phase::Closing {
            self.drop_unsent(io, slot);
            return self.close_when_quiet(io, slot);
        }
        match cqe.result {
            sent if sent > 0 => self.sent(io, slot, sent as u32),
            result if matches!(-result, libc::EINTR | libc::EAGAIN) => self.mark_dirty(slot),
            _ => self.abort(io, slot),
        }
    }

    fn sent(&mut self, io: &mut Io, slot: u32, sent: u32) {
        io.count(Counter::TxBytes, sent.into());
        let conn = &mut self.conns[slot as usize];
        conn.tx_bytes -= sent;
        let mut left = sent as usize;
        while left > 0 {
            let front = self.tx.front_mut(&conn.tx).expect("no more was sent than was queued");
            if front.len() > left {
                front.advance(left);
                io.counters.add(Counter::ShortSends, 1);
                break;
            }
            left -= front.len();
            self.tx.pop(&mut conn.tx);
            conn.tx_bufs -= 1;
        }
        let resumes = conn.has(Flag::TxPaused) && conn.owes_little();
        if !conn.tx.is_empty() || conn.has(Flag::CloseWanted) {
            self.mark_dirty(slot);
        }
        if resumes {
            self.conn(slot).clear(Flag::TxPaused);
            self.resume_recv(io, slot);
        }
    }

    /// Tells the authors of writes that stand at the front of the queue: all before them is sent.
    fn settle_front(&mut self, io: &mut Io, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        while conn.sending == 0
            && self.tx.front_mut(&conn.tx).is_some_and(|buf| buf.kind() == NOTIFY)
        {
            let marker = self.tx.pop(&mut conn.tx).expect("it was just seen");
            io.notices.push(Notice { ticket: marker.meta(), sent: true });
        }
    }

    fn settle(&self, io: &mut Io, buf: &Buf, sent: bool) {
        if buf.kind() == NOTIFY {
            io.notices.push(Notice { ticket: buf.meta(), sent });
        }
    }

    fn drop_unsent(&mut self, io: &mut Io, slot: u32) {
        while let Some(buf) = self.tx.pop(&mut self.conns[slot as usize].tx) {
            io.counters.drop_one(Reason::Unsent);
            self.settle(io, &buf, false);
        }
        self.conn(slot).tx_bytes = 0;
        self.conn(slot).tx_bufs = 0;
    }

    // ---- closing ----

    /// All is sent: says so to the peer and waits for it to close, so that what it still sends does
    /// not turn into a reset that destroys our last reply (RFC 9112 §9.6).
    fn close_gracefully(&mut self, io: &mut Io, slot: u32) {
        if self.conn(slot).has(Flag::Eof) {
            return self.begin_close(io, slot);
        }
        let event =
            TimerEvent { listener: self.index, op: op::LINGER_TIMER, conn: self.id(io, slot) };
        let timer = io.timers.schedule(io.now, LINGER_NS, event);
        let token = self.token(op::SHUTDOWN, slot);
        io.uring().ring().shutdown_write(slot, token);
        let conn = self.conn(slot);
        conn.ops += 1;
        conn.phase = Phase::Lingering;
        conn.linger = timer;
        conn.clear(Flag::RxPaused);
        conn.clear(Flag::TxPaused);
        if timer.is_none() {
            return self.begin_close(io, slot);
        }
        self.resume_recv(io, slot);
    }

    fn on_shutdown(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.ops -= 1;
        if conn.phase == Phase::Closing {
            self.close_when_quiet(io, slot);
        }
    }

    /// Drops what is unsent and closes.
    fn abort(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        if matches!(conn.phase, Phase::Open | Phase::Lingering) {
            self.begin_close(io, slot);
        }
    }

    /// Ends what is in flight; the descriptor is closed when nothing is.
    fn begin_close(&mut self, io: &mut Io, slot: u32) {
        let conn = self.conn(slot);
        conn.phase = Phase::Closing;
        let (receiving, sending) = (conn.has(Flag::Receiving), conn.sending > 0);
        if let Some(timer) = conn.linger.take() {
            io.timers.cancel(timer);
        }
        if receiving {
            self.cancel_recv(io, slot);
        }
        if sending {
            let (target, token) = (self.token(op::SEND, slot), self.token(op::CANCEL, slot));
            io.uring().ring().cancel(target, token);
        } else {
            self.drop_unsent(io, slot);
        }
        self.close_when_quiet(io, slot);
    }

    fn close_when_quiet(&mut self, io: &mut Io, slot: u32) {
        if self.conns[slot as usize].ops > 0 {
            return;
        }
        self.rx.push_back(Buf::marker(self.id(io, slot), kind::CLOSED));
        let token = self.token(op::CLOSE, slot);
        io.uring().ring().close(slot, token);
        self.conn(slot).phase = Phase::Closed;
    }

    fn on_closed(&mut self, io: &mut Io, slot: u32) {
        self.conn(slot).reuse();
        self.open -= 1;
        io.connections -= 1;
        io.count(Counter::Closed, 1);
        if slot < ADOPTED_MAX {
            self.adopted.retain(|_, adopted| *adopted != slot);
            io.adoptable.push(slot);
        }
        self.arm_accept(io);
    }
}

impl Transport for Tcp {
    fn features(&self, io: &Io) -> Features {
        Features {
            zero_copy: true,
            batching: true,
            numa_aware: io.pool.numa_node().is_some(),
            lock_free: true,
            shared_memory: true,
            os: "Linux io_uring",
        }
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let count = rx.room().min(self.rx.len());
        for buf in self.rx.drain(..count) {
            let pushed = rx.push(buf);
            debug_assert!(pushed.is_ok(), "no more was drained than there is room");
        }
        while self.rx.len() < RX_QUEUE_HIGH / 2
            && let Some(slot) = self.paused.pop_front()
        {
            if self.conn(slot).has(Flag::RxPaused) {
                self.conn(slot).clear(Flag::RxPaused);
                self.resume_recv(io, slot);
            }
        }
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
                    self.conn(slot).set(Flag::CloseWanted);
                    self.mark_dirty(slot);
                }
                kind::ABORT => self.abort(io, slot),
                other if buf.is_empty() && other != NOTIFY => {}
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

    fn connections(&self) -> usize {
        self.open
    }

    fn slots(&self) -> u32 {
        self.conns.len() as u32
    }

    fn start(&mut self, io: &mut Io) {
        self.arm_accept(io);
    }

    fn stop_accepting(&mut self, io: &mut Io) {
        self.cancel_accept(io);
        self.listener = None;
    }

    fn abort_all(&mut self, io: &mut Io) {
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
            op::ACCEPT => return self.on_accept(io, cqe),
            op::CANCEL => return,
            _ => {}
        }
        if self.conns[slot as usize].generation != token.generation() {
            // Only the completion of a close whose slot was given out again in the meantime.
            return io.uring().take_received(cqe, drop);
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
                self.arm_accept(io);
            }
            _ => {
                if let Some(slot) = self.live(event.conn) {
                    self.conn(slot).linger = None;
                    self.abort(io, slot);
                }
            }
        }
    }

    fn adopt(&mut self, io: &mut Io, fd: OwnedFd) -> Result<ConnId> {
        let refuse = |why: String, remedy: &str| Error::new("adopt a socket", why, remedy);
        socket::check_stream(fd.as_fd())
            .map_err(|e| refuse(e.to_string(), "hand over a connected stream socket"))?;
        let inode = socket::identity(fd.as_fd())
            .map_err(|e| refuse(e.to_string(), "hand over an open descriptor"))?;
        if self.adopted.contains_key(&inode) {
            return Err(refuse("it is adopted already".into(), "hand each socket over once"));
        }
        let slot = io.adoptable.pop().ok_or_else(|| {
            refuse(format!("{ADOPTED_MAX} are adopted already"), "close some, or use another lcore")
        })?;
        if let Err(why) = io.uring().ring().install_file(slot, fd.as_fd()) {
            io.adoptable.push(slot);
            return Err(refuse(why.to_string(), "see `ringway doctor`"));
        }
        self.adopted.insert(inode, slot);
        self.opened(io, slot);
        Ok(self.id(io, slot))
    }
}
