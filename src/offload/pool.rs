//! The threads: how they start, what they do, how they end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Offload;
use super::end::End;
use super::queues::Queues;
use super::task::Job;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::limits::{LCORES_MAX, OFFLOAD_QUEUE, OFFLOAD_QUEUE_MAX, OFFLOAD_STOP_NS};
use crate::mem::ConnId;
use crate::ring::CAPACITY_MAX;
use crate::sys::affinity;

const _: () = assert!(OFFLOAD_QUEUE <= OFFLOAD_QUEUE_MAX);
const _: () = assert!(OFFLOAD_QUEUE_MAX as usize * LCORES_MAX <= CAPACITY_MAX);

/// One thread of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The thread's name.
    pub name: String,
    /// The CPUs that it may run on; none: wherever it is started.
    pub cpus: Vec<u32>,
}

/// What a pool is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A thread for each.
    pub threads: Vec<Place>,
    /// Tasks of one lcore that may wait or run.
    pub queue: u32,
    /// Lcores that it is for, at most.
    pub lcores: usize,
}

impl Default for Options {
    /// One thread that floats, for one lcore.
    fn default() -> Self {
        let place = Place { name: "offload-0".to_owned(), cpus: Vec::new() };
        Self { threads: vec![place], queue: OFFLOAD_QUEUE, lcores: 1 }
    }
}

/// The threads that work is offloaded to (G-9). They start with the first work, unless they are told to
/// [`start`](Self::start) before, and sleep while there is none. Dropping it stops it.
///
/// [`dataplane::Builder`](crate::dataplane::Builder) makes one, and lends its lcores' ends as
/// [`Cx::offload`](crate::pipeline::Cx::offload); a program on other threads may have its own:
///
/// ```
/// use std::sync::Arc;
///
/// use ringway::counters::Counters;
/// use ringway::mem::ConnId;
/// use ringway::offload::{Options, Order, Pool};
///
/// let pool = Pool::new(Options::default());
/// let offload = pool.lcore(Counters::default(), |_conn| true);
/// let conn = ConnId::new(0, 1, 1);
/// let mut task = offload.spawn(conn, Order::Any, |_cancel| 6 * 7).expect("the queue is empty");
/// let answer = loop {
///     match task.poll() {
///         Some(answer) => break answer,
///         None => std::thread::yield_now(), // a handler waits to be woken
///     }
/// };
/// assert_eq!(answer, Ok(42));
/// ```
pub struct Pool {
    inner: Arc<Inner>,
}

/// The pool as its lcores' ends see it.
pub(super) struct Inner {
    options: Options,
    by_hand: bool,
    /// `None` inside: it could not start, or was stopped before.
    running: OnceLock<Option<Running>>,
}

pub(super) type Jobs = Queues<Arc<dyn Job>>;

struct Running {
    jobs: Arc<Jobs>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Closed when all threads have ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Pool {
    /// A pool whose threads start with the first work.
    pub fn new(options: Options) -> Self {
        Self { inner: Arc::new(Inner { options, by_hand: false, running: OnceLock::new() }) }
    }

    /// A pool without threads, for one lcore: its work is done where [`run_one`](Self::run_one) is called, in
    /// the order in which it came.
    pub fn by_hand(queue: u32) -> Self {
        let options = Options { queue, ..Options::default() };
        Self { inner: Arc::new(Inner { options, by_hand: true, running: OnceLock::new() }) }
    }

    /// Starts the threads now, so that what keeps them from starting is told here. Otherwise it is logged when the
    /// first work comes, and all work is refused.
    pub fn start(&self) -> Result<()> {
        if self.inner.running.get().is_some() {
            return Ok(());
        }
        let (running, readiness) = self.inner.begin()?;
        for _ in &self.inner.options.threads {
            let died = || Error::new("start an offload thread", "it panicked", "report this bug");
            if let Err(error) = readiness.recv().unwrap_or_else(|_| Err(died())) {
                running.give_up();
                return Err(error);
            }
        }
        if let Err(Some(second)) = self.inner.running.set(Some(running)) {
            second.give_up();
        }
        Ok(())
    }

    /// An lcore's end. `wake` wakes a connection of it when its work is done; it is called by the pool's threads,
    /// has to return at once, and says `false` where it is to be called again.
    pub fn lcore(
        &self,
        counters: Counters,
        wake: impl Fn(ConnId) -> bool + Send + Sync + 'static,
    ) -> Offload {
        Offload::new(Arc::new(End::new(counters, Box::new(wake))), self.inner.clone())
    }

    /// Does the work that is next in turn of a pool that is driven by hand; `false`: there was none.
    pub fn run_one(&self) -> bool {
        let jobs = self.inner.running.get().and_then(Option::as_ref).map(|running| &running.jobs);
        let job = jobs.filter(|_| self.inner.by_hand).and_then(|jobs| jobs.take_any());
        job.map(Job::run).is_some()
    }

    /// Begins no more work, drops what waits ([`Failed::Stopped`](super::Failed::Stopped)), and waits for the
    /// threads for [`OFFLOAD_STOP_NS`] at most. Returns how many threads are left behind in work that did not
    /// end; they hold nothing of the pool but that.
    pub fn stop(&self) -> usize {
        self.stop_within(Duration::from_nanos(OFFLOAD_STOP_NS))
    }

    pub(super) fn stop_within(&self, patience: Duration) -> usize {
        let running = self.inner.running.get_or_init(|| None);
        running.as_ref().map_or(0, |running| running.stop(patience))
    }

    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        self.inner.running.get().is_some()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    pub fn queue(&self) -> u32 {
        self.options.queue
    }

    /// Its queues, where it runs or can be started.
    #[inline]
    pub fn jobs(&self) -> Option<&Jobs> {
        let running = match self.running.get() {
            Some(running) => running,
            None => self.running.get_or_init(|| self.begin_late()),
        };
        running.as_ref().map(|running| &*running.jobs)
    }

    #[cold]
    fn begin_late(&self) -> Option<Running> {
        match self.begin() {
            Ok((running, _)) => Some(running),
            Err(error) => {
                tracing::error!("{error}; all work that is offloaded is refused");
                None
            }
        }
    }

    /// Starts the threads, of which each reports once.
    fn begin(&self) -> Result<(Running, mpsc::Receiver<Result<()>>)> {
        let Options { threads, queue, lcores } = &self.options;
        let queues = Queues::new(threads.len(), *queue as usize * lcores);
        let jobs: Arc<Jobs> = Arc::new(queues.map_err(|error| {
            let remedy = "raise the limit on open files (`ulimit -n`)";
            Error::new("make a doorbell (eventfd) for an offload thread", error, remedy)
        })?);
        let (ready, readiness) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let running = Running { jobs, threads: Mutex::new(Vec::new()), ended: Mutex::new(ended) };
        if self.by_hand {
            return Ok((running, readiness));
        }
        match running.spawn_all(threads, ready, alive) {
            Ok(()) => Ok((running, readiness)),
            Err(error) => {
                running.give_up();
                let remedy = "raise the limit `ulimit -u`, or ask for fewer threads";
                Err(Error::new("start an offload thread", error, remedy))
            }
        }
    }
}

fn say_ready(place: &Place, ready: &mpsc::Sender<Result<()>>) {
    let pinned = if place.cpus.is_empty() { Ok(()) } else { affinity::pin(&place.cpus) };
    if let Err(mpsc::SendError(Err(error))) = ready.send(pinned) {
        tracing::warn!("{error}; {} runs where it was started", place.name);
    }
}

/// What a thread does until the pool stops.
fn work(jobs: &Jobs, lane: usize) {
    let mut own_first = true;
    while !jobs.is_stopped() {
        own_first = !own_first;
        match jobs.take(lane, own_first) {
            Some(job) => run(job),
            None => jobs.wait(lane),
        }
    }
    clear(jobs);
}

/// A panic of the work is caught where it is done. One of what it leaves behind (the drop of its result)
/// costs no thread either.
fn run(job: Arc<dyn Job>) {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run()));
    if done.is_err() {
        tracing::error!("dropping the result of offloaded work panicked");
    }
}

/// Drops what waits when the pool stops.
fn clear(jobs: &Jobs) {
    while let Some(job) = jobs.take_any() {
        job.stop();
    }
}

impl Running {
    fn spawn_all(
        &self,
        places: &[Place],
        ready: mpsc::Sender<Result<()>>,
        alive: mpsc::Sender<()>,
    ) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, place) in places.iter().cloned().enumerate() {
            let (jobs, ready, alive) = (self.jobs.clone(), ready.clone(), alive.clone());
            let body = move || {
                say_ready(&place, &ready);
                drop(ready);
                work(&jobs, lane);
                drop(alive);
            };
            threads.push(thread::Builder::new().name(places[lane].name.clone()).spawn(body)?);
        }
        Ok(())
    }

    /// Returns how many threads are left behind when `patience` is over.
    fn stop(&self, patience: Duration) -> usize {
        self.jobs.stop();
        clear(&self.jobs);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = |error| error == mpsc::RecvTimeoutError::Disconnected;
        let all = threads.is_empty() || ended.recv_timeout(patience).is_err_and(closed);
        let mut left = 0;
        for thread in threads.drain(..) {
            // One that has ended may still be on its last steps.
            if all || thread.is_finished() {
                let _ = thread.join();
            } else {
                left += 1;
            }
        }
        left
    }

    /// What has just begun and has no work yet ends at once.
    fn give_up(&self) {
        self.stop(Duration::MAX);
    }
}
