//! What stands at the end of a route.

use super::super::ctx::Ctx;
use super::super::request::Request;
use super::super::response::{Reply, Response};
use super::super::service::Service;
use crate::pipeline::Cx;
use crate::proto::http1::Method;

/// A handler behind layers: one virtual call for each request.
pub(in super::super) enum Endpoint {
    /// A function of whole requests; what else a service hears is nothing to it.
    Function(Box<dyn FnMut(&mut Ctx<'_>) -> Reply>, Deaf),
    /// A service of its own.
    Service(Box<dyn Service>),
}

impl Endpoint {
    /// A function.
    pub fn function<R: Into<Reply>>(mut function: impl FnMut(&mut Ctx<'_>) -> R + 'static) -> Self {
        Self::Function(Box::new(move |ctx| function(ctx).into()), Deaf)
    }

    /// A service.
    pub fn mounted(service: impl Service + 'static) -> Self {
        Self::Service(Box::new(service))
    }

    /// What a path says that no route has.
    pub fn not_found() -> Self {
        Self::mounted(|_: &mut Cx, _: &Request<'_>| Response::text(404, "not found\n"))
    }

    /// What a path says that is another once it is resolved.
    pub fn dot_segments() -> Self {
        Self::mounted(|_: &mut Cx, _: &Request<'_>| {
            Response::text(400, "the path has dots for a name in it\n")
        })
    }

    /// What a resource says to methods that it has not: OPTIONS are answered, others refused (RFC 9110 §9.3.7, §15.5.6).
    pub fn other_methods(allow: String) -> Self {
        Self::mounted(move |_: &mut Cx, request: &Request<'_>| {
            let response = match request.method() {
                Method::Options => Response::empty(204),
                _ => Response::text(405, "method not allowed\n"),
            };
            response.header("Allow", &allow)
        })
    }

    /// A request, whose body, if any, is still to come.
    #[inline]
    pub fn call(&mut self, ctx: &mut Ctx<'_>) -> Reply {
        match self {
            Self::Function(..) if ctx.has_body() => Reply::Body,
            Self::Function(function, _) => function(ctx),
            Self::Service(service) => {
                ctx.has_begun = true; // should it panic
                let reply = service.call(ctx.cx, &ctx.request);
                ctx.has_begun = reply.begins();
                reply
            }
        }
    }

    /// Whether it wants bodies whole: [`whole`](Self::whole) comes in place of [`Service::body`].
    pub fn takes_whole(&self) -> bool {
        matches!(self, Self::Function(..))
    }

    /// The request is whole.
    pub fn whole(&mut self, ctx: &mut Ctx<'_>) -> Reply {
        match self {
            Self::Function(function, _) => function(ctx),
            Self::Service(_) => Reply::Body,
        }
    }

    /// Who hears of all that follows.
    pub fn service(&mut self) -> &mut dyn Service {
        match self {
            Self::Function(_, deaf) => deaf,
            Self::Service(service) => &mut **service,
        }
    }
}

/// Hears of nothing.
pub(in super::super) struct Deaf;

impl Service for Deaf {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        Reply::Body
    }
}
