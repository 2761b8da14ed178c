//! Requests that are not answered in time.

use std::time::Duration;

use super::{Middleware, Next};
use crate::handler::http::{Ctx, Reply};

/// Answers requests with 503 that have no answer after some time: those whose bodies do not come, or whose handlers
/// answer later. Looked at once a second. One that answers at once is not interrupted: it runs on the lcore.
pub struct Timeout(u64);

impl Timeout {
    /// After so long.
    pub fn after(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Middleware for Timeout {
    fn responds(&self) -> bool {
        false
    }

    fn call(&self, ctx: &mut Ctx<'_>, next: Next<'_>) -> Reply {
        let at = ctx.cx.now.after_ns(self.0);
        ctx.answer_by(at);
        next.run(ctx)
    }

    fn is_timed(&self) -> bool {
        true
    }
}
