//! How often somebody may ask.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use super::Middleware;
use crate::handler::http::{Ctx, Reply, Response};
use crate::limits::HTTP_RATE_BUCKETS;
use crate::mem::ConnId;

/// Answers requests with 429 and `Retry-After` past a rate: so many a second, and a burst of so many at once. Each lcore
/// counts its own.
pub struct RateLimit {
    /// Nanoseconds that one request takes.
    interval_ns: u64,
    /// How far ahead of the clock requests may be.
    burst_ns: u64,
    of: Of,
    buckets: RefCell<Vec<Bucket>>,
}

/// Whose requests are counted together.
enum Of {
    Connection,
    Header(&'static str, RandomState),
    All,
}

/// The generic cell rate algorithm: when the next request would be due if all came evenly.
#[derive(Clone, Copy)]
struct Bucket {
    conn: ConnId,
    due_ns: u64,
}

impl Bucket {
    const FRESH: Self = Self { conn: ConnId::NONE, due_ns: 0 };
}

impl RateLimit {
    /// Of each connection.
    ///
    /// # Panics
    /// Where `per_second` or `burst` is 0, and in all that follow.
    pub fn per_connection(per_second: u32, burst: u32) -> Self {
        Self::new(per_second, burst, Of::Connection, 0)
    }

    /// Of all that have one value of a header field, such as a key or what a proxy says of the peer; those without it
    /// are counted together. There are [`HTTP_RATE_BUCKETS`] counts, so that some values, by chance, share one.
    pub fn per_header(name: &'static str, per_second: u32, burst: u32) -> Self {
        Self::new(per_second, burst, Of::Header(name, RandomState::new()), HTTP_RATE_BUCKETS)
    }

    /// Of all together.
    pub fn overall(per_second: u32, burst: u32) -> Self {
        Self::new(per_second, burst, Of::All, 1)
    }

    fn new(per_second: u32, burst: u32, of: Of, buckets: usize) -> Self {
        assert!(per_second > 0 && burst > 0, "a rate limit of 0 lets nothing pass");
        let interval_ns = 1_000_000_000 / u64::from(per_second);
        let burst_ns = interval_ns * u64::from(burst - 1);
        Self { interval_ns, burst_ns, of, buckets: RefCell::new(vec![Bucket::FRESH; buckets]) }
    }

    /// Where a request is counted, and whose count that is.
    fn place(&self, ctx: &Ctx<'_>) -> (usize, ConnId) {
        match &self.of {
            Of::Connection => (ctx.conn().slot() as usize, ctx.conn()),
            Of::Header(name, hasher) => {
                let hash = hasher.hash_one(ctx.header(name).unwrap_or_default());
                (hash as usize % HTTP_RATE_BUCKETS, ConnId::NONE)
            }
            Of::All => (0, ConnId::NONE),
        }
    }

    /// Counts a request in its bucket. `Err`: it is too much, for so many nanoseconds.
    #[inline(always)]
    fn count(&self, bucket: &mut Bucket, conn: ConnId, now_ns: u64) -> Result<(), u64> {
        let due_ns = if bucket.conn == conn { bucket.due_ns.max(now_ns) } else { now_ns };
        if due_ns - now_ns > self.burst_ns {
            return Err(due_ns - now_ns - self.burst_ns);
        }
        *bucket = Bucket { conn, due_ns: due_ns + self.interval_ns };
        Ok(())
    }

    /// Any request.
    #[inline(never)]
    fn enter_any(&self, ctx: &Ctx<'_>) -> Option<Reply> {
        let (place, conn) = self.place(ctx);
        let mut buckets = self.buckets.borrow_mut();
        if place >= buckets.len() {
            buckets.resize(place + 1, Bucket::FRESH);
        }
        let counted = self.count(&mut buckets[place], conn, ctx.cx.now.as_ns());
        counted.err().map(Self::refuse)
    }

    #[cold]
    fn refuse(wait_ns: u64) -> Reply {
        let seconds = wait_ns.div_ceil(1_000_000_000);
        let response = Response::text(429, "too many requests\n");
        response.header("Retry-After", seconds.to_string()).into()
    }
}

impl Middleware for RateLimit {
    fn responds(&self) -> bool {
        false
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        // Most are counted by connection, have a bucket by now and pass.
        if let Of::Connection = self.of {
            let (conn, now_ns) = (ctx.conn(), ctx.cx.now.as_ns());
            if let Ok(mut buckets) = self.buckets.try_borrow_mut()
                && let Some(bucket) = buckets.get_mut(conn.slot() as usize)
                && self.count(bucket, conn, now_ns).is_ok()
            {
                return None;
            }
        }
        self.enter_any(ctx)
    }
}
