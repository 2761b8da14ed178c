//! From a request's method and path to its handler, through the layers around it.

mod endpoint;
mod routed;
mod states;
mod table;

use std::rc::Rc;

pub(super) use endpoint::Endpoint;
pub use routed::Routed;
pub(super) use table::Params;

use super::ctx::Ctx;
use super::middleware::{Layer, Middleware, Next};
use super::response::Reply;
use super::service::Service;
use crate::handler::websocket::{self, WebSockets};
use crate::proto::http1::Method;

/// Routes to handlers, and layers around them. Each lcore has one of its own, so handlers need no locks.
///
/// ```
/// use ringway::handler::http::middleware::RequestId;
/// use ringway::handler::http::{Ctx, Failure, Json, Router};
///
/// let mut greeted = 0;
/// let router = Router::new()
///     .layer(RequestId::new())
///     .get("/", |_: &mut Ctx<'_>| "hello")
///     .get("/users/:id", move |ctx: &mut Ctx<'_>| {
///         greeted += 1;
///         format!("hello {}, you are number {greeted}\n", ctx.param("id").unwrap_or_default())
///     })
///     .post("/sum", |ctx: &mut Ctx<'_>| -> Result<_, Failure> {
///         let numbers: Vec<i64> = ctx.json()?;
///         Ok(Json(numbers.iter().sum::<i64>()))
///     })
///     .group("/admin", |admin| {
///         admin
///             .wrap(|ctx, next| match ctx.header("authorization") {
///                 Some(b"Bearer secret") => next.run(ctx),
///                 _ => Failure::new(401, "who are you?").into(),
///             })
///             .get("/", |_: &mut Ctx<'_>| "welcome")
///     });
/// # drop(router); // Builder::on_one_core()?.router(([0, 0, 0, 0], 8080), |_| router()).run()
/// ```
///
/// **Patterns.** `:name` is one segment, not empty; `*name` at the end is all that follows, and may be empty. A literal
/// goes before `:name`, and that before `*name`, segment by segment, whatever the order of the routes. A slash at the
/// end counts.
///
/// Segments are compared decoded: `/%75sers/7` is `/users/7` (RFC 3986 §6.2.2), so no spelling of a path leads round the
/// layers of a group. `%2F` is part of its segment, and parts none. A path that has `.` or `..` for a segment,
/// encoded or not, is answered with 400, whatever routes there are. Parameters are decoded when they are asked for; a
/// path that is looked at by hand ([`Ctx::path`], [`Request::path`](super::Request::path)) is as it was sent, and a layer that decides by it
/// has to decode it.
///
/// **For free.** HEAD is answered as GET without the body, OPTIONS with 204 and `Allow`, a method that the resource has
/// not with 405 and `Allow`, `OPTIONS *` with 204 and the methods of all routes, any other path with 404, unless there are routes for those.
///
/// **Handlers** are functions from a [`Ctx`] to whatever is a [`Reply`]: text, a
/// [`Response`](super::Response), [`Json`](super::Json), a status, a `Result` of those. One whose request has a body is
/// called once it is whole, after the layers have let its head pass. What streams a body or reads one as it comes is a
/// [`Service`] ([`mount`](Self::mount)). A handler that panics costs its request (500), or, once a WebSocket is open,
/// that connection.
#[derive(Default)]
pub struct Router {
    routes: Vec<Draft>,
    layers: Vec<Rc<Layer>>,
    fallback: Option<Endpoint>,
    has_websockets: bool,
}

/// A route before it is built.
struct Draft {
    /// `None`: all that have no route of their own.
    method: Option<Method>,
    pattern: String,
    endpoint: Endpoint,
    layers: Vec<Rc<Layer>>,
}

impl Router {
    /// No routes: 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handler for GET, and HEAD.
    pub fn get<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.route(Method::Get, pattern, handler)
    }

    /// A handler for POST.
    pub fn post<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.route(Method::Post, pattern, handler)
    }

    /// A handler for PUT.
    pub fn put<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.route(Method::Put, pattern, handler)
    }

    /// A handler for PATCH.
    pub fn patch<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.route(Method::Patch, pattern, handler)
    }

    /// A handler for DELETE.
    pub fn delete<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.route(Method::Delete, pattern, handler)
    }

    /// A handler for `method`; [`Method::Other`] stands for all that have no name here.
    pub fn route<R: Into<Reply> + 'static>(
        self,
        method: Method,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.add(Some(method), pattern, Endpoint::function(handler))
    }

    /// A handler for all methods that have none of their own at this path.
    pub fn any<R: Into<Reply> + 'static>(
        self,
        pattern: &str,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.add(None, pattern, Endpoint::function(handler))
    }

    /// A service for all methods at this path: it sees requests before their bodies, with their whole path, and may
    /// stream both ways. Where one takes larger bodies than is usual
    /// ([`body_bytes_max`](Service::body_bytes_max)), functions beside it still get no more than
    /// [`HTTP_BODY_BYTES_MAX`](crate::limits::HTTP_BODY_BYTES_MAX).
    ///
    /// ```no_run
    /// use ringway::handler::http::{Files, Router, Upload};
    ///
    /// # fn main() -> ringway::error::Result<()> {
    /// let router = Router::new()
    ///     .get("/", |_| "see /static/")
    ///     .mount("/static/*path", Files::new("/srv/www")?.at_prefix("/static"))
    ///     .mount("/up/*path", Upload::new("/srv/incoming")?.at_prefix("/up"));
    /// # drop(router);
    /// # Ok(())
    /// # }
    /// ```
    pub fn mount(self, pattern: &str, service: impl Service + 'static) -> Self {
        self.add(None, pattern, Endpoint::mounted(service))
    }

    /// WebSockets at this path. Only where the router is served by
    /// [`Builder::router`](crate::dataplane::Builder::router), or another chain that knows WebSockets.
    pub fn websocket(mut self, pattern: &str, service: impl websocket::Service + 'static) -> Self {
        self.has_websockets = true;
        self.add(Some(Method::Get), pattern, Endpoint::mounted(WebSockets::new(service)))
    }

    /// Routes below a prefix, with layers of their own inside those of this router. A path below the prefix that none
    /// of them has may still be one of a wildcard outside; a [`fallback`](Self::fallback) of the group keeps it in.
    pub fn group(mut self, prefix: &str, routes: impl FnOnce(Self) -> Self) -> Self {
        let group = routes(Self::new());
        let Self { routes, layers, fallback, has_websockets } = group;
        let prefix = prefix.trim_end_matches('/');
        self.has_websockets |= has_websockets;
        let fallback = fallback.map(|endpoint| Draft {
            method: None,
            pattern: "/*rest".to_owned(),
            endpoint,
            layers: Vec::new(),
        });
        for mut draft in routes.into_iter().chain(fallback) {
            // What does not begin with a slash is refused, here as elsewhere.
            if draft.pattern.is_empty() || draft.pattern.starts_with('/') {
                draft.pattern.insert_str(0, prefix);
            }
            draft.layers.splice(0..0, layers.iter().cloned());
            self.routes.push(draft);
        }
        self
    }

    /// A layer around all routes of this router or group, its 404s too. The first that is added is the outermost.
    pub fn layer(mut self, layer: impl Middleware + 'static) -> Self {
        self.layers.push(Rc::new(Layer::Middleware(Box::new(layer))));
        self
    }

    /// A function as such a layer, of the context and what comes next.
    ///
    /// ```
    /// use ringway::handler::http::{Response, Router};
    ///
    /// let router = Router::new()
    ///     .wrap(|ctx, next| match ctx.header("x-key") {
    ///         Some(b"secret") => next.run(ctx),
    ///         _ => Response::text(401, "who are you?\n").into(),
    ///     })
    ///     .get("/", |_| "welcome");
    /// # let mut app = ringway::testing::App::new(|_| router);
    /// # assert_eq!(app.get("/").status, 401);
    /// ```
    pub fn wrap(mut self, layer: impl Fn(&mut Ctx<'_>, Next<'_>) -> Reply + 'static) -> Self {
        self.layers.push(Rc::new(Layer::Wrap(Box::new(layer))));
        self
    }

    /// A handler for paths without a route, in place of 404.
    pub fn fallback<R: Into<Reply> + 'static>(
        mut self,
        handler: impl FnMut(&mut Ctx<'_>) -> R + 'static,
    ) -> Self {
        self.fallback = Some(Endpoint::function(handler));
        self
    }

    /// Whether there are WebSockets among its routes.
    pub fn has_websockets(&self) -> bool {
        self.has_websockets
    }

    fn add(mut self, method: Option<Method>, pattern: &str, endpoint: Endpoint) -> Self {
        let pattern = pattern.to_owned();
        self.routes.push(Draft { method, pattern, endpoint, layers: Vec::new() });
        self
    }
}
