//! What a handler behind a [`Router`](super::Router), and the middleware around it, see of one request.

use std::borrow::Cow;
use std::ops::Deref;

use super::failure::Failure;
use super::request::Request;
use super::response::{Reply, Response};
use super::router::{Endpoint, Params};
use super::text::decode;
use crate::limits::HTTP_ROUTE_PARAMS_MAX;
use crate::mem::{ConnId, MessageId};
use crate::offload::{CancelToken, Order, Task};
use crate::pipeline::{Cx, Key};
use crate::time::Instant;

/// One request on its way through middleware to its handler, and what it brings along. It is a [`Request`] too.
pub struct Ctx<'a> {
    /// What the lcore lends.
    pub cx: &'a mut Cx,
    pub(super) request: Request<'a>,
    pub(super) path: &'a [u8],
    pub(super) params: &'a Params,
    /// Names of the route's parameters, in their order.
    pub(super) names: &'a [Box<str>],
    pub(super) body: &'a [u8],
    /// How many layers it has passed so far.
    pub(super) entered: usize,
    /// What is behind them all, until that is reached.
    pub(super) endpoint: Option<&'a mut Endpoint>,
    /// When it is answered with 503 if it is not by then; [`NEVER`] unless somebody said so.
    pub(super) deadline: Instant,
    /// What [`RequestId`](super::middleware::RequestId) made up for it; 0: nothing.
    pub(super) id: u64,
    /// When [`Log`](super::middleware::Log) saw it.
    pub(super) began: Instant,
    /// What its answer comes from, later.
    pub(super) pending: &'a mut Option<Box<dyn Pending>>,
    /// What is behind its layers has begun with what goes on after its reply, and is to hear when it does not.
    pub(super) has_begun: bool,
}

/// The deadline of a request that has none.
pub(super) const NEVER: Instant = Instant::from_ns(u64::MAX);

/// An answer that comes later.
pub(super) trait Pending {
    /// It, if it is there.
    fn poll(&mut self) -> Option<Reply>;
}

impl<T: Into<Reply>> Pending for Task<T> {
    fn poll(&mut self) -> Option<Reply> {
        Some(match Task::poll(self)? {
            Ok(reply) => reply.into(),
            Err(why) => Failure::from(why).into(),
        })
    }
}

impl<'a> Deref for Ctx<'a> {
    type Target = Request<'a>;

    fn deref(&self) -> &Request<'a> {
        &self.request
    }
}

impl<'a> Ctx<'a> {
    /// The target up to its query, as it was sent: escapes and all, which the router sees through.
    #[inline]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// Behind the last layer.
    #[inline]
    pub(super) fn reach_handler(&mut self) -> Reply {
        match self.endpoint.take() {
            Some(endpoint) => endpoint.call(self),
            // Each layer has one `Next`, so nobody passes it on twice.
            None => unreachable!("the handler was reached already"),
        }
    }

    /// What stands in the path for `:name`, or `*name`, of the route, percent-decoded. `None`: the route has none of
    /// this name, or it is no UTF-8.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        decode(self.raw_param(name)?, false)
    }

    /// The same as it was sent.
    pub fn raw_param(&self, name: &str) -> Option<&'a [u8]> {
        let index = self.names.iter().position(|known| **known == *name)?;
        let (start, end) = self.params.range(index);
        Some(&self.path[start..end])
    }

    /// The body of the request: all of it, in a handler for whole requests; nothing in one that has not come that far,
    /// as middleware has not on the way in.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Hangs a value on the request or its connection, whichever `key` was registered for: whoever comes later on
    /// its way finds it. `false`: the request has no name (see [`Extensions`](crate::pipeline::Extensions)).
    pub fn set<T: 'static, O: Scope>(&mut self, key: Key<T, O>, value: T) -> bool {
        O::set(self, key, value)
    }

    /// The value that hangs there.
    pub fn get<T: 'static, O: Scope>(&mut self, key: Key<T, O>) -> Option<&mut T> {
        O::get(self, key)
    }

    /// Has the request answered by what `work` gives, which runs on a thread of the
    /// [`offload`](crate::offload) pool: to be returned by the handler. Where too much is under way there, the answer is
    /// 503. When the peer goes away, or a [`Timeout`](super::middleware::Timeout) passes, the work is cancelled (A-9).
    ///
    /// ```
    /// use ringway::handler::http::Router;
    ///
    /// let router = Router::new().get("/sum/:n", |ctx| {
    ///     let n: u64 = ctx.param("n").and_then(|n| n.parse().ok()).unwrap_or_default();
    ///     ctx.offload(move |cancel| {
    ///         let sum: u64 = (0..n).take_while(|_| !cancel.is_cancelled()).sum();
    ///         sum.to_string()
    ///     })
    /// });
    /// ```
    pub fn offload<T: Into<Reply> + Send + 'static>(
        &mut self,
        work: impl FnOnce(&CancelToken) -> T + Send + 'static,
    ) -> Reply {
        match self.cx.offload.spawn(self.request.conn(), Order::Any, work) {
            Ok(task) => {
                *self.pending = Some(Box::new(task));
                Reply::Later
            }
            Err(_) => {
                let response = Response::text(503, "too much is under way\n");
                response.header("Retry-After", "1").into()
            }
        }
    }

    /// Has the request answered with 503 if it is not at `at`, or sooner where somebody said so already. Looked at
    /// once a second, in a router that has a [`Timeout`](super::middleware::Timeout) or another layer that
    /// [`is_timed`](super::Middleware::is_timed).
    pub fn answer_by(&mut self, at: Instant) {
        self.deadline = self.deadline.min(at);
    }
}

/// What values hang on: [`ConnId`] or [`MessageId`].
pub trait Scope: Sized {
    #[doc(hidden)]
    fn set<T: 'static>(ctx: &mut Ctx<'_>, key: Key<T, Self>, value: T) -> bool;
    #[doc(hidden)]
    fn get<'c, T: 'static>(ctx: &'c mut Ctx<'_>, key: Key<T, Self>) -> Option<&'c mut T>;
}

impl Scope for ConnId {
    fn set<T: 'static>(ctx: &mut Ctx<'_>, key: Key<T, Self>, value: T) -> bool {
        ctx.cx.extensions.set(ctx.request.conn(), key, value, None)
    }

    fn get<'c, T: 'static>(ctx: &'c mut Ctx<'_>, key: Key<T, Self>) -> Option<&'c mut T> {
        ctx.cx.extensions.get(ctx.request.conn(), key, ctx.cx.now)
    }
}

impl Scope for MessageId {
    fn set<T: 'static>(ctx: &mut Ctx<'_>, key: Key<T, Self>, value: T) -> bool {
        ctx.cx.extensions.set(ctx.request.message(), key, value, None)
    }

    fn get<'c, T: 'static>(ctx: &'c mut Ctx<'_>, key: Key<T, Self>) -> Option<&'c mut T> {
        ctx.cx.extensions.get(ctx.request.message(), key, ctx.cx.now)
    }
}

const _: () = assert!(HTTP_ROUTE_PARAMS_MAX <= u8::MAX as usize);
