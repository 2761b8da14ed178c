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

/// A layer around handlers (A-10): it sees requests on their way in, and responses on their way out, wherever they come
/// from. Many requests of an lcore are under way at a time, so a layer has cells for what it changes.
///
/// ```
/// use ringway::handler::http::{Ctx, Middleware, Reply, Response, Router};
///
/// struct Key(&'static str);
///
/// impl Middleware for Key {
///     fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
///         let knows = ctx.header("x-key") == Some(self.0.as_bytes());
///         (!knows).then(|| Response::text(401, "who are you?\n").into())
///     }
///
///     fn respond(&self, _ctx: &mut Ctx<'_>, response: &mut Response) {
///         response.add_header("Cache-Control", "private");
///     }
/// }
///
/// let router = Router::new().layer(Key("secret")).get("/", |_| "welcome");
/// # let mut app = ringway::testing::App::new(|_| router);
/// # assert_eq!(app.get("/").status, 401);
/// ```
///
/// A function of the context and what comes next is one too: see [`Router::wrap`](super::Router::wrap).
pub trait Middleware {
    /// A request on its way in: `None` lets it pass, and anything else answers it here.
    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        let _ = ctx;
        None
    }

    /// A request that has come this far and is not answered at once: its body is to be read first, or its answer comes
    /// later, or it has to be asked again. Most never are.
    fn wait(&self, ctx: &mut Ctx<'_>) {
        let _ = ctx;
    }

    /// The response to a request that has come this far, whenever it comes and wherever it comes from;
    /// the innermost layer sees it first. Not told of one that never comes, since its connection has gone, nor of the
    /// parts of a streamed body.
    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        let _ = (ctx, response);
    }

    /// Whether it has something to do in [`enter`](Self::enter); asked once.
    fn enters(&self) -> bool {
        true
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

/// A layer of a router.
pub(super) enum Layer {
    Middleware(Box<dyn Middleware>),
    /// A function around what comes next.
    Wrap(Box<Wrap>),
}

type Wrap = dyn Fn(&mut Ctx<'_>, Next<'_>) -> Reply;

impl Layer {
    /// Whether a request has to pass it on its way in.
    pub fn enters(&self) -> bool {
        match self {
            Self::Middleware(layer) => layer.enters(),
            Self::Wrap(_) => true,
        }
    }

    pub fn responds(&self) -> bool {
        matches!(self, Self::Middleware(layer) if layer.responds())
    }

    pub fn is_timed(&self) -> bool {
        matches!(self, Self::Middleware(layer) if layer.is_timed())
    }

    pub fn wait(&self, ctx: &mut Ctx<'_>) {
        if let Self::Middleware(layer) = self {
            layer.wait(ctx);
        }
    }

    pub fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        if let Self::Middleware(layer) = self {
            layer.respond(ctx, response);
        }
    }
}

/// The layers that a request has not passed yet, and its handler behind them.
pub struct Next<'a>(pub(super) &'a [Rc<Layer>]);

impl Next<'_> {
    /// Passes the request on. What it gives is the response only where the handler answers at once: one that reads the
    /// body first, or answers later, is heard of in [`Middleware::respond`].
    #[inline]
    pub fn run(self, ctx: &mut Ctx<'_>) -> Reply {
        let mut layers = self.0;
        while let [layer, behind @ ..] = layers {
            ctx.entered += 1;
            layers = behind;
            match &**layer {
                Layer::Middleware(layer) => {
                    if let Some(reply) = layer.enter(ctx) {
                        return reply;
                    }
                }
                Layer::Wrap(wrap) => return wrap(ctx, Next(behind)),
            }
        }
        ctx.entered += 1;
        ctx.reach_handler()
    }
}
