//! An lcore that a test turns by hand, and a transport that is held to its contract meanwhile.
//! What is served on it, the tests say.
#![allow(dead_code)]

pub mod breathing;
pub mod witness;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use ringway::config::IdleMode;
use ringway::counters::{Counter, Counters};
use ringway::lcore::{Handle, Lcore, Listener, Parts};
use ringway::limits::ADOPTED_MAX;
use ringway::mailbox::Mailbox;
use ringway::mem::{Mempool, Share, UringIo};
use ringway::offload::Offload;
use ringway::pipeline::{Cx, Extensions, Handler, Pipeline};
use ringway::port::PortTable;
use ringway::time::{Clock, TimerWheel};
use ringway::transport::{Epoll, Io, Transport};

/// Connection slots of an lcore under test.
pub const SLOTS: u32 = 64 + ADOPTED_MAX;

/// One lcore and what a test looks at from outside.
pub struct Rig {
    pub lcore: Lcore,
    pub handle: Handle,
    pub pool: Mempool,
    pub counters: Counters,
}

impl Rig {
    pub fn new(pool: Mempool, clock: Clock, uring: Option<UringIo>) -> Self {
        Self::with_slots(pool, clock, uring, SLOTS)
    }

    /// The same with an epoll in place of an io_uring, or beside one.
    pub fn with_epoll(pool: Mempool, clock: Clock, uring: Option<UringIo>) -> Self {
        let epoll = Epoll::create(SLOTS, ADOPTED_MAX, &pool).unwrap();
        Self::build(pool, clock, uring, Some(epoll), SLOTS)
    }

    /// One for connections with slots below `slots`.
    pub fn with_slots(pool: Mempool, clock: Clock, uring: Option<UringIo>, slots: u32) -> Self {
        Self::build(pool, clock, uring, None, slots)
    }

    fn build(
        pool: Mempool,
        clock: Clock,
        uring: Option<UringIo>,
        epoll: Option<Epoll>,
        slots: u32,
    ) -> Self {
        let counters = Counters::default();
        let now = clock.now();
        let io = Io {
            lcore: 3,
            uring,
            epoll,
            pool: pool.clone(),
            now,
            timers: TimerWheel::new(slots as usize + 8),
            counters: counters.clone(),
            notices: Vec::new(),
            adoptable: (0..ADOPTED_MAX).rev().collect(),
            ports: PortTable::default(),
            peer_slots: (ADOPTED_MAX..slots).rev().collect(),
            datagram_slots: Vec::new(),
            generation: 0,
            connections: 0,
            connections_max: slots - ADOPTED_MAX,
        };
        let mailbox = Mailbox::new().unwrap();
        let handle = Handle::new(mailbox.sender());
        let cx = Cx {
            pool: pool.clone(),
            now,
            clock,
            unix_seconds: 0,
            draining: false,
            spares_idle: false,
            backlogged: false,
            extensions: Extensions::new(slots),
            ports: PortTable::default(),
            offload: Offload::none(),
            counters: counters.clone(),
            writes: handle.writes(3, Arc::default(), pool.clone(), slots, Share::WHOLE),
        };
        let lcore = Lcore::new(Parts { io, cx, mailbox, clock, idle: IdleMode::Busy });
        Self { lcore, handle, pool, counters }
    }

    /// Serves `transport`; returns the index it has.
    pub fn serve(
        &mut self,
        transport: Box<dyn Transport>,
        pipeline: Pipeline,
        handler: Box<dyn Handler>,
    ) -> u8 {
        let index = self.lcore.free_index().unwrap();
        let listener = Listener::new(transport, pipeline, handler);
        self.lcore.register(index, Box::new(listener)).unwrap();
        index
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }
}

/// Ends the process when what holds it is not dropped in time: for what would hang by itself.
pub fn watchdog(patience: Duration) -> mpsc::Sender<()> {
    let (guard, dropped) = mpsc::channel();
    std::thread::spawn(move || {
        if dropped.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("it hangs: nothing happened for {patience:?}");
            std::process::abort();
        }
    });
    guard
}
