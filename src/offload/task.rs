//! One piece of work and its result, as both sides hold it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::CancelToken;
use super::end::End;
use crate::counters::Counter;
use crate::limits::OFFLOAD_WAKE_RETRY_NS;
use crate::mem::ConnId;
use crate::ring::handoff::Handoff;

/// Why work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It panicked; what it said is on standard error.
    #[error("the work panicked")]
    Panicked,
    /// It was cancelled before it was done.
    #[error("the work was cancelled")]
    Cancelled,
    /// The pool stopped, or the lcore ended, before it was done.
    #[error("the pool stopped before the work was done")]
    Stopped,
}

/// Work on its way: what [`Offload::spawn`](super::Offload::spawn) gives for it, to be kept until the
/// connection is woken. May go to another thread.
///
/// **Dropping it cancels the work**: what has not begun never begins, what has sees it through its
/// [`CancelToken`], and no one is woken. So who keeps the tasks of a connection drops them when it hears that
/// the connection is gone.
#[must_use = "dropping a task cancels it"]
pub struct Task<T> {
    packet: Arc<dyn Outcome<T>>,
}

impl<T> Task<T> {
    /// The result, given once; `None` before the work is done and after that.
    pub fn poll(&mut self) -> Option<Result<T, Failed>> {
        self.packet.result().take()
    }

    /// Whether the work is done, failed or cancelled.
    pub fn is_done(&self) -> bool {
        self.packet.result().is_put()
    }

    /// Says that nobody wants the result any more. Work that has not begun is dropped here and now, with all it
    /// holds, and [`poll`](Self::poll) says so at once. Work in progress ends when it likes, and then the
    /// connection is woken. Unless it was done before, what comes of it is [`Failed::Cancelled`].
    pub fn cancel(&self) {
        self.packet.cancel();
    }

    /// What the work looks at, for others who may cancel it. Work that has not begun when it is cancelled
    /// so is dropped in its turn.
    pub fn token(&self) -> CancelToken {
        self.packet.token().clone()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.packet.cancel();
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_done", &self.is_done()).finish_non_exhaustive()
    }
}

/// The side of a task that a thread of the pool has.
pub(super) trait Job: Send + Sync {
    /// Does the work, if it is wanted.
    fn run(self: Arc<Self>);

    /// Drops the work without having begun it: the pool stops.
    fn stop(self: Arc<Self>);
}

/// The side that who asked for it has.
trait Outcome<T>: Send + Sync {
    fn result(&self) -> &Handoff<Result<T, Failed>>;
    fn token(&self) -> &CancelToken;
    fn cancel(&self);
}

/// Both sides of a task. Who takes the work out of its place decides what becomes of it, and puts the result
/// in its place, once.
pub(super) struct Packet<T, F> {
    work: Handoff<F>,
    result: Handoff<Result<T, Failed>>,
    token: CancelToken,
    conn: ConnId,
    end: Arc<End>,
}

impl<T, F> Packet<T, F>
where
    T: Send + 'static,
    F: FnOnce(&CancelToken) -> T + Send + 'static,
{
    pub fn new(conn: ConnId, end: Arc<End>, work: F) -> Self {
        let token = CancelToken::below(end.over());
        Self { work: Handoff::full(work), result: Handoff::empty(), token, conn, end }
    }

    pub fn task(self: Arc<Self>) -> Task<T> {
        Task { packet: self }
    }

    /// The work back, unless a thread of the pool or who asked for it has taken it.
    pub fn take_back(&self) -> Option<F> {
        self.work.take()
    }

    fn settle(&self, result: Result<T, Failed>) {
        self.end.count(match result {
            Ok(_) => Counter::OffloadDone,
            Err(Failed::Panicked) => Counter::OffloadPanicked,
            Err(Failed::Cancelled | Failed::Stopped) => Counter::OffloadCancelled,
        });
        let put = self.result.put(result);
        debug_assert!(put.is_ok(), "who took the work says once what became of it");
    }

    /// Work that nobody wants, whose parts are dropped first: they are gone when the result is there.
    fn drop_work(&self, work: F, why: Failed) {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        self.settle(Err(if dropped.is_ok() { why } else { Failed::Panicked }));
    }

    fn do_work(&self, work: F) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            let value = work(&self.token);
            // What nobody wants is dropped where a panic is caught.
            (!self.token.is_cancelled()).then_some(value)
        }));
        self.settle(match done {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.why_unwanted()),
            Err(_) => Err(Failed::Panicked),
        });
    }

    fn why_unwanted(&self) -> Failed {
        if self.end.is_over() { Failed::Stopped } else { Failed::Cancelled }
    }

    /// Lets the lcore know, unless nobody there has the task any more.
    fn wake(self: &Arc<Self>) {
        let retry = Duration::from_nanos(OFFLOAD_WAKE_RETRY_NS);
        while Arc::strong_count(self) > 1 && !self.end.is_over() && !self.end.wake(self.conn) {
            std::thread::sleep(retry);
        }
    }
}

impl<T, F> Job for Packet<T, F>
where
    T: Send + 'static,
    F: FnOnce(&CancelToken) -> T + Send + 'static,
{
    fn run(self: Arc<Self>) {
        let work = self.work.take();
        let was_there = work.is_some();
        match work {
            Some(work) if self.token.is_cancelled() => self.drop_work(work, self.why_unwanted()),
            Some(work) => self.do_work(work),
            None => {}
        }
        self.end.leave();
        if was_there {
            self.wake();
        }
    }

    fn stop(self: Arc<Self>) {
        let work = self.work.take();
        let was_there = work.is_some();
        if let Some(work) = work {
            self.drop_work(work, Failed::Stopped);
        }
        self.end.leave();
        if was_there {
            self.wake();
        }
    }
}

impl<T, F> Outcome<T> for Packet<T, F>
where
    T: Send + 'static,
    F: FnOnce(&CancelToken) -> T + Send + 'static,
{
    fn result(&self) -> &Handoff<Result<T, Failed>> {
        &self.result
    }

    fn token(&self) -> &CancelToken {
        &self.token
    }

    fn cancel(&self) {
        if self.result.is_put() {
            return;
        }
        self.token.cancel();
        if let Some(work) = self.work.take() {
            self.drop_work(work, Failed::Cancelled);
        }
    }
}
