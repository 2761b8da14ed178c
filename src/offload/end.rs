//! What the threads of a pool know of an lcore: what it counts, how it is woken, whether it is there.

use std::sync::Arc;

use crate::counters::{Counter, Counters};
use crate::mem::ConnId;
use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// Wakes a connection of the lcore; `false`: its mailbox is full, try again.
pub(super) type Wake = Box<dyn Fn(ConnId) -> bool + Send + Sync>;

/// One lcore as its tasks see it.
pub(super) struct End {
    counters: Counters,
    wake: Wake,
    /// Tasks that a thread has not done with. The lcore alone adds to it, so that it never passes the bound.
    open: AtomicU32,
    over: Arc<AtomicBool>,
}

impl End {
    pub fn new(counters: Counters, wake: Wake) -> Self {
        Self { counters, wake, open: AtomicU32::new(0), over: Arc::default() }
    }

    /// Takes one of `most` places for a task that is not done. To be called by the lcore.
    pub fn enter(&self, most: u32) -> bool {
        // Acquire: pairs with the release in `leave`, so that the task's ring has room again.
        let free = self.open.load(Ordering::Acquire) < most;
        if free {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        free
    }

    /// A task has left its ring and its thread.
    pub fn leave(&self) {
        // Release: see `enter`.
        self.open.fetch_sub(1, Ordering::Release);
    }

    /// Counts what the lcore's own thread does.
    pub fn add(&self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    /// Counts what any thread may: each of these counters is counted so alone.
    pub fn count(&self, counter: Counter) {
        self.counters.add_shared(counter, 1);
    }

    pub fn wake(&self, conn: ConnId) -> bool {
        (self.wake)(conn)
    }

    /// Says that the lcore has ended: its tasks are cancelled.
    pub fn finish(&self) {
        // Release: pairs with the acquire of who asks.
        self.over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        // Acquire: pairs with the release in `finish`.
        self.over.load(Ordering::Acquire)
    }

    pub fn over(&self) -> Arc<AtomicBool> {
        self.over.clone()
    }
}
