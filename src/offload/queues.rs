//! What waits for the threads of a pool: one ring for all of them, and for each a ring of its own and
//! a bell. What a job is, is decided elsewhere.

#[cfg(not(loom))]
use std::os::fd::AsFd;

use crate::ring::doorbell::Doorbell;
use crate::ring::mpmc;
use crate::sync::{AtomicBool, Ordering, fence, yield_now};

/// Jobs on their way to the threads of a pool. Shared by reference; nothing but
/// [`wait`](Self::wait) blocks.
pub struct Queues<J> {
    /// For whoever is free.
    shared: mpmc::Ring<J>,
    lanes: Box<[Lane<J>]>,
    stopped: AtomicBool,
}

/// One thread's own: its jobs are done one after the other.
struct Lane<J> {
    ring: mpmc::Ring<J>,
    bell: Doorbell,
}

impl<J: Send> Queues<J> {
    /// Empty queues for `threads` threads, each with room for `capacity` jobs at least.
    ///
    /// # Errors
    /// If the kernel gives no eventfd.
    pub fn new(threads: usize, capacity: usize) -> std::io::Result<Self> {
        let capacity = capacity.next_power_of_two();
        let lane = |_| {
            let bell = Doorbell::new().map_err(std::io::Error::other)?;
            Ok(Lane { ring: mpmc::Ring::new(capacity), bell })
        };
        let lanes = (0..threads).map(lane).collect::<std::io::Result<_>>()?;
        Ok(Self { shared: mpmc::Ring::new(capacity), lanes, stopped: AtomicBool::new(false) })
    }

    /// Threads that they are for.
    pub fn threads(&self) -> usize {
        self.lanes.len()
    }

    /// Queues `job` for the thread at index `lane`, or for any, and wakes one that sleeps. Gives the job back
    /// where there is no room.
    pub fn push(&self, job: J, lane: Option<usize>) -> Result<(), J> {
        let Some(lane) = lane else {
            self.shared.enqueue(job)?;
            self.wake_one();
            return Ok(());
        };
        let lane = &self.lanes[lane];
        lane.ring.enqueue(job)?;
        lane.bell.ring();
        Ok(())
    }

    /// Wakes the first that sleeps, for a job that any can do. Where none does, each looks at the shared ring
    /// before it sleeps.
    fn wake_one(&self) {
        let _ = self.lanes.iter().any(|lane| lane.bell.ring());
    }

    /// The next job of the thread at index `lane`: of its own ring and of the shared one by turns, as `own_first`
    /// has it.
    pub fn take(&self, lane: usize, own_first: bool) -> Option<J> {
        let own = &self.lanes[lane].ring;
        let [first, second] = if own_first { [own, &self.shared] } else { [&self.shared, own] };
        let job = first.dequeue().or_else(|| second.dequeue())?;
        // It may have been woken for what another now has to take: a job of its own came meanwhile.
        if self.lanes.len() > 1 && !self.shared.is_empty() {
            self.wake_one();
        }
        Some(job)
    }

    /// Any job that is left, of whatever ring.
    pub fn take_any(&self) -> Option<J> {
        self.shared.dequeue().or_else(|| self.lanes.iter().find_map(|lane| lane.ring.dequeue()))
    }

    /// Lets no thread begin anything more, and wakes them all. What is left is for
    /// [`take_any`](Self::take_any).
    pub fn stop(&self) {
        // Relaxed: ordered by the fence in `ring`.
        self.stopped.store(true, Ordering::Relaxed);
        for lane in &self.lanes {
            lane.bell.ring();
        }
    }

    /// Whether they were stopped. Called after a push, it tells whether threads that look once more after they
    /// heard of the stop may have missed the job; called before such a look, that look misses no job of one who
    /// did not hear.
    pub fn is_stopped(&self) -> bool {
        // SeqCst: of a pusher and a stopped thread, the one whose fence comes later sees what the other wrote
        // or read before its own.
        fence(Ordering::SeqCst);
        let stopped = self.stopped.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        stopped
    }

    /// Waits until there may be something to do for the thread at index `lane`.
    pub fn wait(&self, lane: usize) {
        let Lane { ring, bell } = &self.lanes[lane];
        // Relaxed: ordered by the fence in `sleep_unless`.
        let stopped = || self.stopped.load(Ordering::Relaxed);
        if bell.sleep_unless(|| !ring.is_empty() || !self.shared.is_empty() || stopped()) {
            wait_for(bell);
            bell.awake();
        } else {
            // What is there may be a job that another thread is about to have taken.
            yield_now();
        }
    }
}

#[cfg(loom)]
fn wait_for(bell: &Doorbell) {
    bell.wait();
}

#[cfg(not(loom))]
fn wait_for(bell: &Doorbell) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait is a short one.
    let _ = poll(&mut fds, PollTimeout::NONE);
}
