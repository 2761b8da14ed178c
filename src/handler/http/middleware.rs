//! What stands around handlers: it sees a request on its way in, and the response on its way out.

mod auth;
mod compress;
mod cors;
mod log;
mod rate_limit;
mod request_id;
mod timeout;

pub use auth::Auth;
pub use compress::Compress;
pub use cors::Cors;
pub use log::{AccessLog, Log};
pub use rate_limit::RateLimit;
pub use request_id::RequestId;
pub use timeout::Timeout;

use std::rc::Rc;

use super::ctx::Ctx;
use super::response::{Reply, Response};

/// A layer around handlers (A-10). A function of the context and what comes next is one:
///
/// ```
/// use ringway::handler::http::{Ctx, Next, Reply, Response, Router};
///
/// let router = Router::new()
///     .wrap(|ctx, next| match ctx.header("x-key") {
///         Some(b"secret") => next.run(ctx),
///         _ => Response::text(401, "who are you?\n").into(),
///     })
///     .get("/", |_: &mut Ctx<'_>| "welcome");
/// ```
///
/// Many requests of an lcore are under way at a time, so a layer has cells for what it changes.
pub trait Middleware {
    /// A request on its way in: passed on, or answered here. What [`Next::run`] gives is the response only where the
    /// handler answers at once: one that reads the body first, or answers later, is heard of in
    /// [`respond`](Self::respond).
    fn call(&self, ctx: &mut Ctx<'_>, next: Next<'_>) -> Reply {
        next.run(ctx)
    }

    /// The response to a request that [`call`](Self::call) has seen, whenever it comes and wherever it comes from;
    /// the innermost layer sees it first. Not told of one that never comes, since its connection has gone, nor of the
    /// parts of a streamed body.
    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        let _ = (ctx, response);
    }

    /// Whether it has something to do in [`respond`](Self::respond); asked once.
    fn responds(&self) -> bool {
        true
    }

    /// Whether it calls [`Ctx::answer_by`]; asked once.
    fn is_timed(&self) -> bool {
        false
    }
}

/// A function as a layer.
pub(super) struct Wrap<F>(pub F);

impl<F: Fn(&mut Ctx<'_>, Next<'_>) -> Reply> Middleware for Wrap<F> {
    fn call(&self, ctx: &mut Ctx<'_>, next: Next<'_>) -> Reply {
        self.0(ctx, next)
    }

    fn responds(&self) -> bool {
        false
    }
}

/// The layers that a request has not passed yet, and its handler behind them.
pub struct Next<'a>(pub(super) &'a [Rc<dyn Middleware>]);

impl Next<'_> {
    /// Passes the request on. Where a layer ends with it, it costs a jump: replies are written where they are wanted.
    #[inline]
    pub fn run(self, ctx: &mut Ctx<'_>) -> Reply {
        let Some((layer, behind)) = self.0.split_first() else { return ctx.reach_handler() };
        ctx.entered += 1;
        layer.call(ctx, Next(behind))
    }
}
