//! An lcore's end of the pool: where work goes in.

use std::fmt;
use std::sync::Arc;

use super::CancelToken;
use super::end::End;
use super::pool::Inner;
use super::task::{Packet, Task};
use crate::counters::{Counter, Counters};
use crate::mem::ConnId;

/// Which work waits for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// None: each is done by the first thread that is free.
    Any,
    /// The work of one connection that asks for it is done one after the other, as it was asked for: by one of
    /// the threads, which others whose slots lead to it may have to wait for as well.
    Connection,
}

/// Work that is given back: too much of this lcore waits already
/// ([`OFFLOAD_QUEUE`](crate::limits::OFFLOAD_QUEUE) unless set otherwise), or the pool has stopped. Say that
/// you are busy, or keep it and try again when a task is done.
pub struct Full<F>(pub F);

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the offload queue of this lcore is full")
    }
}

impl<F> std::error::Error for Full<F> {}

/// An lcore's end of the [`Pool`](super::Pool), lent as [`Cx::offload`](crate::pipeline::Cx::offload). When it is
/// dropped, as the lcore ends, its tasks are cancelled.
pub struct Offload {
    end: Arc<End>,
    /// Nobody does its work: all of it is refused.
    pool: Option<Arc<Inner>>,
}

impl Offload {
    pub(super) fn new(end: Arc<End>, pool: Arc<Inner>) -> Self {
        Self { end, pool: Some(pool) }
    }

    /// An end without a pool, for a `Cx` that is made by hand: all work is refused, and not counted.
    pub fn none() -> Self {
        Self { end: Arc::new(End::new(Counters::default(), Box::new(|_| true))), pool: None }
    }

    /// Has `work` done by a thread of the pool, and `conn` woken when it is done. Never waits; costs some
    /// allocations, and a system call where a thread has to be woken. The first work of all starts
    /// the threads, unless the configuration had them started.
    ///
    /// `work` is given what tells it that it is not wanted any more. What it holds, and what it gives, is dropped on
    /// whichever thread has it last.
    ///
    /// ```
    /// use ringway::mem::ConnId;
    /// use ringway::offload::{Order, Task};
    /// use ringway::pipeline::Cx;
    ///
    /// fn factor(cx: &Cx, conn: ConnId, number: u64) -> Option<Task<Option<u64>>> {
    ///     let work = move |cancel: &ringway::offload::CancelToken| {
    ///         (2..number).take_while(|_| !cancel.is_cancelled()).find(|n| number % n == 0)
    ///     };
    ///     cx.offload.spawn(conn, Order::Any, work).ok()
    /// }
    /// ```
    pub fn spawn<T, F>(&self, conn: ConnId, order: Order, work: F) -> Result<Task<T>, Full<F>>
    where
        T: Send + 'static,
        F: FnOnce(&CancelToken) -> T + Send + 'static,
    {
        let refused = |work| {
            self.end.add(Counter::OffloadRefused);
            Err(Full(work))
        };
        let pool = self.pool.as_ref();
        let Some((jobs, most)) = pool.and_then(|pool| Some((pool.jobs()?, pool.queue()))) else {
            return refused(work);
        };
        if jobs.is_stopped() || !self.end.enter(most) {
            return refused(work);
        }
        let packet = Arc::new(Packet::new(conn, self.end.clone(), work));
        if let Err(job) = jobs.push(packet.clone(), lane_of(conn, order, jobs.threads())) {
            drop(job);
            self.end.leave();
        } else if !jobs.is_stopped() {
            self.end.add(Counter::Offloaded);
            return Ok(packet.task());
        }
        // The rings have room for what all lcores may have under way, so that it stopped just now.
        match packet.take_back() {
            Some(work) => refused(work),
            None => {
                self.end.add(Counter::Offloaded);
                Ok(packet.task())
            }
        }
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        self.end.finish();
    }
}

/// The thread whose own ring work goes to; of one thread, all goes there, so that it keeps its order.
fn lane_of(conn: ConnId, order: Order, threads: usize) -> Option<usize> {
    let lane = (conn.slot() as usize).wrapping_add(conn.lcore().into()) % threads;
    (order == Order::Connection || threads == 1).then_some(lane)
}
