//! One lcore's thread: pins itself, builds its io_uring or epoll and its listeners, says that it is ready,
//! and runs.

use std::sync::{Arc, mpsc};
use std::thread;

use super::Running;
use super::making::{Maker, Order};
use super::sockets::Socket;
use crate::config::{IdleMode, LcoreSpec};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::lcore::{Handle, Lcore, Mail, Parts};
use crate::limits::{
    ADOPTED_MAX, CQ_ENTRIES, LISTENERS_MAX, PENDING_WRITES_MAX, RX_LARGE_SLOTS, RX_SLOTS,
    SQ_ENTRIES, WRITE_BACKLOG_SHARE,
};
use crate::mailbox::Mailbox;
use crate::mem::{CacheClaim, ConnId, Mempool, RxOptions, Share, UringIo};
use crate::offload::Pool;
use crate::pipeline::write::Inlets;
use crate::pipeline::{Cx, Extensions};
use crate::port::PortTable;
use crate::sync::Ordering;
use crate::sys::affinity;
use crate::sys::uring::{Mode, Options};
use crate::time::{Clock, TimerWheel};
use crate::transport::{Epoll, Io};

/// How the lcores use io_uring. The default is what measured best.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How completions arrive.
    pub mode: Mode,
    /// How bytes are received.
    pub rx: RxOptions,
    /// Submission entries, a power of two.
    pub sq_entries: u32,
    /// Completion entries, a power of two and no fewer than those for submission. More completions
    /// at a time overflow into a list of the kernel's, which is slower and loses nothing.
    pub cq_entries: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            mode: Mode::Defer,
            rx: RxOptions {
                slots: RX_SLOTS,
                large_slots: RX_LARGE_SLOTS,
                incremental: false,
                bundle: false,
            },
            sq_entries: SQ_ENTRIES,
            cq_entries: CQ_ENTRIES,
        }
    }
}

/// What all workers share.
pub(super) struct Job {
    pub maker: Arc<Maker>,
    /// The listeners of the configuration, in order.
    pub orders: Arc<[Order]>,
    pub offload: Arc<Pool>,
    pub clock: Clock,
    pub idle: IdleMode,
    pub tuning: Tuning,
    pub connections_max: u32,
    /// How its lcores reach each other's connections.
    pub inlets: Arc<Inlets>,
}

/// One lcore before it runs.
pub(super) struct Worker {
    pub index: u8,
    pub spec: LcoreSpec,
    pub pool: Mempool,
    pub counters: Counters,
    /// One socket for each listener of the configuration, in order; none where its peer attaches.
    pub sockets: Vec<Socket>,
    pub job: Arc<Job>,
}

impl Worker {
    /// Starts the thread, which reports to `ready` once.
    pub fn spawn(self, ready: mpsc::Sender<Result<String>>) -> Result<Running> {
        let mailbox = Mailbox::new()?;
        let handle = Handle::new(mailbox.sender());
        let lcore_id = self.spec.lcore_id;
        let theirs = handle.clone();
        let alive = Arc::new(());
        let life = Arc::downgrade(&alive);
        let thread = thread::Builder::new()
            .name(format!("lcore-{}", self.spec.lcore_id))
            .spawn(move || {
                let _alive = alive;
                self.run(mailbox, &theirs, ready);
            })
            .map_err(|e| Error::new("start an lcore's thread", e, "raise the limit `ulimit -u`"))?;
        Ok(Running { lcore_id, handle, life, thread: Some(thread) })
    }

    fn run(self, mailbox: Mailbox<Mail>, handle: &Handle, ready: mpsc::Sender<Result<String>>) {
        let claim = CacheClaim::register();
        let (mut lcore, report) = match self.build(mailbox, handle) {
            Ok((lcore, flags)) => (Some(lcore), Ok(flags)),
            Err(error) => (None, Err(error)),
        };
        // The starter waits for it, unless it has given up because another lcore failed.
        let _ = ready.send(report);
        // Or the starter would wait for ever for another lcore that panicked.
        drop(ready);
        if let Some(lcore) = &mut lcore {
            lcore.run();
        }
        drop((lcore, claim));
    }

    fn build(self, mailbox: Mailbox<Mail>, handle: &Handle) -> Result<(Lcore, String)> {
        affinity::pin(&self.spec.cpus)?;
        let job = &self.job;
        let thread = nix::unistd::gettid().as_raw() as u64;
        self.counters.block().thread_id.store(thread, Ordering::Relaxed);
        let datagrams = &job.maker.datagrams;
        let reserved = ADOPTED_MAX + job.maker.peers_max;
        let files = job.connections_max + reserved;
        let engines = job.maker.engines;
        let uring = engines.uring.then(|| self.uring(files, reserved)).transpose()?;
        // Beside a ring, behind its table: no two connections of an lcore have one slot.
        let first = if engines.uring { files } else { reserved };
        let (streams, slots) = (datagrams.start, datagrams.end);
        let epoll = || Epoll::create(streams, reserved, &self.pool);
        let epoll = engines.epoll.then(epoll).transpose()?;
        let epoll = epoll.map(|epoll| epoll.accepting_into(first..streams));
        let flags = uring.as_ref().map_or_else(String::new, |uring| uring.ring_ref().flags());
        let now = job.clock.now();
        let mut io = Io {
            lcore: self.index,
            uring,
            epoll,
            pool: self.pool.clone(),
            now,
            timers: TimerWheel::new(streams as usize + 2 * LISTENERS_MAX),
            counters: self.counters.clone(),
            notices: Vec::with_capacity(PENDING_WRITES_MAX),
            adoptable: (0..ADOPTED_MAX).rev().collect(),
            ports: PortTable::default(),
            peer_slots: (ADOPTED_MAX..reserved).rev().collect(),
            datagram_slots: datagrams.clone().rev().collect(),
            generation: 0,
            connections: 0,
            connections_max: job.connections_max,
        };
        let share = Share::one_in(WRITE_BACKLOG_SHARE, job.maker.slots_share);
        let inlets = job.inlets.clone();
        let mut cx = Cx {
            pool: self.pool.clone(),
            now,
            clock: job.clock,
            unix_seconds: 0,
            draining: false,
            spares_idle: false,
            backlogged: false,
            extensions: Extensions::new(slots),
            ports: PortTable::default(),
            offload: job.offload.lcore(self.counters.clone(), waker(&mailbox)),
            counters: self.counters.clone(),
            writes: handle.writes(self.index, inlets, self.pool.clone(), slots, share),
        };
        let (clock, idle) = (job.clock, job.idle);
        let mut listeners = Vec::new();
        for (order, socket) in job.orders.iter().zip(self.sockets) {
            cx.extensions.register_for(order.index);
            listeners.push(job.maker.make(order, socket, &mut cx, &mut io)?);
        }
        let parts = Parts { io, cx, mailbox, clock, idle };
        let mut lcore = Lcore::new(parts);
        for (order, listener) in job.orders.iter().zip(listeners) {
            lcore.register(order.index, listener)?;
        }
        Ok((lcore, flags))
    }

    fn uring(&self, files: u32, reserved: u32) -> Result<UringIo> {
        let job = &self.job;
        let options = Options {
            sq_entries: job.tuning.sq_entries,
            cq_entries: job.tuning.cq_entries,
            files,
            files_reserved: reserved,
            mode: job.tuning.mode,
        };
        let mut uring = UringIo::create(&options, self.rx_options(), &self.pool)?;
        if !job.maker.datagrams.is_empty() {
            uring.lend_for_datagrams(&self.pool)?;
        }
        Ok(uring)
    }

    /// As tuned, but never so much that a small pool has nothing left to reply with.
    fn rx_options(&self) -> RxOptions {
        let tuned = self.job.tuning.rx;
        let quarter = |slots: u32| 1 << (slots / 4).clamp(1, 1 << 14).ilog2();
        let [small, large, ..] = self.job.maker.slots_share.map(quarter);
        let (slots, large_slots) = (tuned.slots.min(small), tuned.large_slots.min(large));
        RxOptions { slots, large_slots, ..tuned }
    }
}

/// Wakes a connection of the lcore that reads `mailbox`; `false`: the box is full. There is nobody to wake once
/// it is closed.
fn waker(mailbox: &Mailbox<Mail>) -> impl Fn(ConnId) -> bool + Send + Sync + use<> {
    let handle = Handle::new(mailbox.sender());
    move |conn| handle.wake(conn).is_ok() || handle.is_closed()
}
