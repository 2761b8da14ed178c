//! Requests that are not answered in time.

use std::time::Duration;

use super::Middleware;
use crate::handler::http::Ctx;

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
    fn enters(&self) -> bool {
        false
    }

    fn wait(&self, ctx: &mut Ctx<'_>) {
        ctx.answer_by(ctx.cx.now.after_ns(self.0));
    }

    fn responds(&self) -> bool {
        false
    }

    fn is_timed(&self) -> bool {
        true
    }
}
