//! A router at work.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::super::ctx::{Ctx, NEVER, Pending};
use super::super::fail;
use super::super::middleware::{Layer, Next};
use super::super::request::Request;
use super::super::response::{Pull, Ready, Reply, Response};
use super::super::service::Service;
use super::endpoint::Endpoint;
use super::states::{Asked, States};
use super::table::{Params, Routes, Table, has_dots};
use super::{Draft, Router};
use crate::counters::{Counter, Reason};
use crate::error::{Error, Result};
use crate::limits::HTTP_BODY_BYTES_MAX;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket;
use crate::proto::http1::{self, Method};
use crate::proto::websocket::CloseCode;
use crate::time::Instant;

/// The first of all routes: for paths that no other has.
const NOWHERE: u32 = 0;
/// The one behind it: for paths with dot segments.
const DOT_SEGMENTS: u32 = 1;
/// The third: for `OPTIONS *`, which asks about the server itself (RFC 9110 §9.3.7).
const SERVER: u32 = 2;

/// A [`Router`] that is whole: the service that answers.
pub struct Routed {
    table: Table,
    resources: Vec<Resource>,
    routes: Vec<Route>,
    states: States,
    /// What the answer to the request that is handled now is to come from: taken, or dropped, by the end of it.
    pending: Option<Box<dyn Pending>>,
    /// Routes whose services are polled.
    polled: Vec<u32>,
    /// Of the bodies that its services take, where they say so.
    body_bytes_max: Option<u64>,
    is_timed: bool,
}

/// What has one path.
struct Resource {
    methods: Vec<(Method, u32)>,
    /// The route of all other methods.
    others: u32,
    routes: Routes,
}

impl Resource {
    const EMPTY: Self =
        Self { methods: Vec::new(), others: NOWHERE, routes: [NOWHERE; Method::COUNT] };

    /// HEAD is answered as GET where it has no route.
    fn settle(&mut self) {
        let get = self.methods.iter().find(|(method, _)| *method == Method::Get);
        self.routes = [self.others; Method::COUNT];
        self.routes[Method::Head as usize] = get.map_or(self.others, |(_, route)| *route);
        for (method, route) in &self.methods {
            self.routes[*method as usize] = *route;
        }
    }
}

struct Route {
    endpoint: Endpoint,
    around: Around,
    /// Of its parameters.
    names: Box<[Box<str>]>,
}

/// The layers of a route. A number beside one is that of requests that have come as far: [`Ctx::entered`].
struct Around {
    /// All, the outermost first.
    layers: Box<[(usize, Rc<Layer>)]>,
    /// Those that requests pass on their way in.
    entered: Box<[Rc<Layer>]>,
    /// Those that look at responses, the innermost first.
    responders: Box<[(usize, Rc<Layer>)]>,
}

impl Around {
    fn new(layers: &[Rc<Layer>]) -> Self {
        let entered: Box<[_]> = layers.iter().filter(|layer| layer.enters()).cloned().collect();
        let mut number = 1;
        let layers: Box<[_]> = layers
            .iter()
            .map(|layer| {
                let own = number;
                number += usize::from(layer.enters());
                (own, Rc::clone(layer))
            })
            .collect();
        let responders = layers.iter().rev().filter(|(_, layer)| layer.responds()).cloned();
        Self { responders: responders.collect(), layers, entered }
    }
}

impl Router {
    /// Puts it together. An error: two routes have one method and path, or a pattern makes no sense.
    pub fn build(self) -> Result<Routed> {
        let Self { routes: drafts, layers, fallback, .. } = self;
        let mut routed = Routed {
            table: Table::new(),
            resources: Vec::new(),
            routes: Vec::new(),
            states: States::default(),
            pending: None,
            polled: Vec::new(),
            body_bytes_max: None,
            is_timed: false,
        };
        let fallback = fallback.unwrap_or_else(Endpoint::not_found);
        let server = Endpoint::other_methods(allow_of_all(&drafts));
        for endpoint in [fallback, Endpoint::dot_segments(), server] {
            routed.add_route(endpoint, Around::new(&layers), Vec::new());
        }
        for draft in drafts {
            routed.add(draft, &layers)?;
        }
        for index in 0..routed.resources.len() {
            routed.add_other_methods(index);
            let resource = &mut routed.resources[index];
            resource.settle();
            routed.table.set_routes(index as u32, &resource.routes);
        }
        let mut all = routed.routes.iter().flat_map(|route| route.around.layers.iter());
        routed.is_timed = all.any(|(_, layer)| layer.is_timed());
        Ok(routed)
    }
}

impl Routed {
    fn add_route(&mut self, mut endpoint: Endpoint, around: Around, names: Vec<Box<str>>) -> u32 {
        self.body_bytes_max = self.body_bytes_max.max(endpoint.service().body_bytes_max());
        if endpoint.service().is_polled() {
            self.polled.push(self.routes.len() as u32);
        }
        self.routes.push(Route { endpoint, around, names: names.into() });
        self.routes.len() as u32 - 1
    }

    fn add(&mut self, draft: Draft, outer: &[Rc<Layer>]) -> Result<()> {
        let fresh = self.resources.len() as u32;
        let (resource, names) = self.table.add(&draft.pattern, fresh)?;
        let layers: Vec<_> = outer.iter().chain(&draft.layers).cloned().collect();
        let route = self.add_route(draft.endpoint, Around::new(&layers), names);
        if resource == fresh {
            self.resources.push(Resource::EMPTY);
        }
        let resource = &mut self.resources[resource as usize];
        let is_taken = match draft.method {
            Some(method) => {
                let taken = resource.methods.iter().any(|(known, _)| *known == method);
                resource.methods.push((method, route));
                taken
            }
            None => std::mem::replace(&mut resource.others, route) != NOWHERE,
        };
        if !is_taken {
            return Ok(());
        }
        let method = draft.method.map_or("any method".to_owned(), |m| format!("{m:?}"));
        Err(Error::new(
            format!("add a route for {method} at `{}`", draft.pattern),
            "there is one",
            "give each method of a path one handler",
        ))
    }

    /// What is said to methods that a resource has not.
    fn add_other_methods(&mut self, index: usize) {
        let resource = &self.resources[index];
        let Some((_, first)) = resource.methods.first().copied() else { return };
        if resource.others != NOWHERE {
            return;
        }
        let allow = allow(|wanted| resource.methods.iter().any(|(known, _)| *known == wanted));
        let route = &self.routes[first as usize];
        let layers: Vec<_> = route.around.layers.iter().map(|(_, layer)| layer.clone()).collect();
        let names = route.names.to_vec();
        let others = self.add_route(Endpoint::other_methods(allow), Around::new(&layers), names);
        self.resources[index].others = others;
    }

    /// The route for a request, and its path, with the places of parameters in it.
    #[inline(always)]
    fn find<'a>(&self, request: &Request<'a>, params: &mut Params) -> (u32, &'a [u8]) {
        let target = request.target();
        let method = request.method() as usize;
        if let Some(routes) = self.table.find_literal(target) {
            return (routes[method], target);
        }
        let path = http1::path(target);
        let route = match self.table.find(path, params) {
            Some(at) => self.resources[at as usize].routes[method],
            None if path == b"*" => SERVER,
            None if has_dots(path) => DOT_SEGMENTS,
            None => NOWHERE,
        };
        (route, path)
    }

    /// The route that has to do with a connection now.
    fn running(&mut self, conn: ConnId) -> Option<&mut dyn Service> {
        let route = self.states.route(conn)?;
        Some(self.routes[route as usize].endpoint.service())
    }

    /// A response that comes late goes out through the layers too.
    fn answer_late(&mut self, cx: &mut Cx, asked: &mut Asked, body: &[u8], late: Late) -> Reply {
        let request = Request::new(&asked.head);
        let Route { endpoint, around, names } = &mut self.routes[asked.route as usize];
        asked.pending = None;
        let mut ctx = Ctx {
            cx,
            path: request.path(),
            request,
            params: &asked.params,
            names,
            body,
            entered: asked.entered,
            endpoint: None,
            deadline: asked.deadline,
            id: asked.id,
            began: asked.began,
            pending: &mut asked.pending,
            has_begun: false,
        };
        let mut reply = match late {
            Late::Reply(reply) => reply,
            Late::Again => guard(&mut ctx, |ctx| endpoint.call(ctx)),
            Late::Whole => guard(&mut ctx, |ctx| endpoint.whole(ctx)),
        };
        let has_begun = matches!(&reply, Reply::Response(response) if response.is_service());
        settle(&mut ctx, &around.responders, &mut reply);
        asked.deadline = ctx.deadline;
        if has_begun && !reply.begins() {
            attempt(cx, |cx| endpoint.service().closed(cx, asked.conn));
        }
        self.states.note(asked.conn, asked.route, &reply);
        reply
    }

    /// A request that its service could not take is asked again behind the layers, which it has passed.
    #[cold]
    fn ask_again(&mut self, cx: &mut Cx, mut asked: Box<Asked>) -> Reply {
        let reply = self.answer_late(cx, &mut asked, &[], Late::Again);
        if !matches!(reply, Reply::Response(_)) {
            asked.waits = reply.waits();
            self.states.keep(asked);
        }
        reply
    }

    /// What has become ready of what services owe; their responses go out through the layers too.
    fn ready_of_services(&mut self, cx: &mut Cx) -> Option<Ready> {
        for at in 0..self.polled.len() {
            let endpoint = &mut self.routes[self.polled[at] as usize].endpoint;
            let Some(ready) = attempt(cx, |cx| endpoint.service().ready(cx)).flatten() else {
                continue;
            };
            let Ready::Response(conn, response) = ready else { return Some(ready) };
            let Some(mut asked) = self.states.take_asked(conn) else {
                return Some(Ready::Response(conn, response));
            };
            let late = Late::Reply(response.into());
            if let Reply::Response(response) = self.answer_late(cx, &mut asked, &[], late) {
                return Some(Ready::Response(conn, response));
            }
        }
        None
    }

    /// The next part of a body that its route wants whole.
    fn collect(&mut self, cx: &mut Cx, part: &Buf, last: bool, mut asked: Box<Asked>) -> Reply {
        let before = asked.body.len();
        // Where a service takes more than is usual, the chain lets more through.
        let is_large = (before + part.len()) as u64 > HTTP_BODY_BYTES_MAX;
        if is_large && self.body_bytes_max.is_some() {
            self.states.take_collected(&mut asked);
            let late = Late::Reply(Response::text(413, "the body is too large\n").into());
            return self.answer_late(cx, &mut asked, &[], late);
        }
        if (!last || before > 0) && !self.states.collect(&mut asked, part) {
            let late = Late::Reply(Response::text(503, "too many bodies at once\n").into());
            return self.answer_late(cx, &mut asked, &[], late);
        }
        if !last {
            self.states.keep(asked);
            return Reply::Body;
        }
        let mut collected = self.states.take_collected(&mut asked);
        let body = if collected.is_empty() { part.bytes() } else { &collected };
        let reply = self.answer_late(cx, &mut asked, body, Late::Whole);
        if reply.waits() {
            // The last part comes again.
            collected.truncate(before);
            self.states.give_back(&mut asked, collected);
        }
        if reply.waits() || matches!(reply, Reply::Later) {
            self.states.keep(asked);
        }
        reply
    }
}

/// How a late response comes about.
enum Late {
    Reply(Reply),
    Again,
    Whole,
}

/// What is to be done with a reply that is not all there is to it.
#[inline(never)]
fn finish(states: &mut States, ctx: &mut Ctx<'_>, around: &Around, route: u32, reply: &mut Reply) {
    let waits = match reply {
        Reply::Body | Reply::Later => false,
        // Only a layer that has not let it pass is asked again itself.
        Reply::Busy | Reply::Wait if ctx.endpoint.is_none() => true,
        _ => return settle(ctx, &around.responders, reply),
    };
    let entered = ctx.entered;
    for (_, layer) in around.layers.iter().filter(|(number, _)| *number <= entered) {
        if caught(|| layer.wait(ctx)).is_none() {
            ctx.cx.counters.add(Counter::HandlerPanics, 1);
        }
    }
    states.begin(ctx, route, waits);
}

/// What a handler or layer said, through the layers on its way out.
fn settle(ctx: &mut Ctx<'_>, responders: &[(usize, Rc<Layer>)], reply: &mut Reply) {
    if matches!(reply, Reply::Failure(_))
        && let Reply::Failure(failure) = std::mem::replace(reply, Reply::Busy)
    {
        // What is wrong with it, it says itself.
        *reply = guard(ctx, |ctx| fail(ctx.cx, failure).into());
    }
    let Reply::Response(response) = reply else { return };
    for (number, layer) in responders {
        if *number > ctx.entered {
            continue;
        }
        if caught(|| layer.respond(ctx, response)).is_none() {
            ctx.cx.counters.add(Counter::HandlerPanics, 1);
            *response = Response::failed();
        }
    }
}

/// Does something of the program's for a request; a panic becomes 500.
#[inline]
fn guard(ctx: &mut Ctx<'_>, call: impl FnOnce(&mut Ctx<'_>) -> Reply) -> Reply {
    caught(|| call(ctx)).unwrap_or_else(|| panicked(ctx.cx))
}

#[cold]
fn panicked(cx: &Cx) -> Reply {
    cx.counters.add(Counter::HandlerPanics, 1);
    Response::failed().into()
}

/// The same for what has no request at hand: `None` is a panic.
fn attempt<T>(cx: &mut Cx, call: impl FnOnce(&mut Cx) -> T) -> Option<T> {
    let done = caught(|| call(cx));
    if done.is_none() {
        cx.counters.add(Counter::HandlerPanics, 1);
    }
    done
}

/// `None`: it panicked.
#[inline(always)]
fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(drop_panic).ok()
}

/// What somebody panicked with may panic as well, when it is dropped.
#[cold]
fn drop_panic(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// The answer of a service that panicked, which is to forget what it has begun.
#[cold]
fn give_up(cx: &mut Cx, endpoint: &mut Endpoint, conn: ConnId) -> Reply {
    attempt(cx, |cx| endpoint.service().closed(cx, conn));
    Response::failed().into()
}

/// The `Allow` field of the server itself: the methods of all routes. One that takes any may take all those that are
/// about a resource.
fn allow_of_all(drafts: &[Draft]) -> String {
    allow(|wanted| match wanted {
        Method::Connect | Method::Trace => drafts.iter().any(|d| d.method == Some(wanted)),
        _ => drafts.iter().any(|d| d.method.is_none_or(|method| method == wanted)),
    })
}

/// The `Allow` field of what has these methods.
fn allow(has: impl Fn(Method) -> bool) -> String {
    let names = [
        (Method::Get, "GET"),
        (Method::Head, "HEAD"),
        (Method::Post, "POST"),
        (Method::Put, "PUT"),
        (Method::Patch, "PATCH"),
        (Method::Delete, "DELETE"),
        (Method::Connect, "CONNECT"),
        (Method::Trace, "TRACE"),
        (Method::Options, "OPTIONS"),
    ];
    let is_allowed = |method| match method {
        Method::Options => true,
        Method::Head => has(Method::Head) || has(Method::Get),
        method => has(method),
    };
    let allowed = names.into_iter().filter(|(method, _)| is_allowed(*method));
    allowed.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

impl Service for Routed {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        if let Some(asked) = self.states.turn(request.conn()) {
            return self.ask_again(cx, asked);
        }
        let mut params = Params::NONE;
        let (index, path) = self.find(request, &mut params);
        let Route { endpoint, around, names } = &mut self.routes[index as usize];
        let mut ctx = Ctx {
            cx: &mut *cx,
            request: *request,
            path,
            params: &params,
            names,
            body: &[],
            entered: 0,
            endpoint: Some(endpoint),
            deadline: NEVER,
            id: 0,
            began: Instant::from_ns(0),
            pending: &mut self.pending,
            has_begun: false,
        };
        // Put over what has nothing to drop: a response is moved as seldom as can be.
        let mut reply = ManuallyDrop::new(Reply::Busy);
        let passed = caught(|| reply = ManuallyDrop::new(Next(&around.entered).run(&mut ctx)));
        let mut reply = match passed {
            Some(()) => ManuallyDrop::into_inner(reply),
            None => panicked(ctx.cx),
        };
        let is_over = matches!(&reply, Reply::Response(response) if !response.is_service())
            && around.responders.is_empty()
            && ctx.pending.is_none()
            && !ctx.has_begun;
        if is_over {
            return reply;
        }
        let has_begun = ctx.has_begun;
        finish(&mut self.states, &mut ctx, around, index, &mut reply);
        if has_begun && !reply.begins() {
            attempt(cx, |cx| endpoint.service().closed(cx, request.conn()));
        }
        self.pending = None;
        self.states.note(request.conn(), index, &reply);
        reply
    }

    fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        let Some(mut asked) = self.states.take_asked(conn) else {
            // A response is out, and its service reads on.
            let Some(endpoint) = self.running(conn) else { return Reply::Body };
            return attempt(cx, |cx| endpoint.body(cx, conn, part, last)).unwrap_or(Reply::Body);
        };
        if asked.pending.is_some() {
            // A layer has it answered elsewhere: its handler is not to see it.
            self.states.keep(asked);
            return Reply::Later;
        }
        let endpoint = &mut self.routes[asked.route as usize].endpoint;
        if endpoint.takes_whole() {
            return self.collect(cx, part, last, asked);
        }
        let reply = attempt(cx, |cx| endpoint.service().body(cx, conn, part, last))
            .unwrap_or_else(|| give_up(cx, endpoint, conn));
        if matches!(reply, Reply::Body | Reply::Later | Reply::Busy | Reply::Wait) {
            self.states.keep(asked);
            return reply;
        }
        self.answer_late(cx, &mut asked, &[], Late::Reply(reply))
    }

    fn trailer_lines(&mut self, cx: &mut Cx, conn: ConnId, lines: &Buf) -> bool {
        let Some(endpoint) = self.running(conn) else { return true };
        attempt(cx, |cx| endpoint.trailer_lines(cx, conn, lines)).unwrap_or(true)
    }

    fn woken(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let mut asked = self.states.take_asked(conn)?;
        let endpoint = &mut self.routes[asked.route as usize].endpoint;
        let reply = match &mut asked.pending {
            Some(pending) => attempt(cx, |_| pending.poll()),
            None => attempt(cx, |cx| endpoint.service().woken(cx, conn).map(Reply::from))
                .or_else(|| Some(Some(give_up(cx, endpoint, conn)))),
        };
        let reply = match reply {
            Some(None) => {
                self.states.keep(asked);
                return None;
            }
            Some(Some(reply @ (Reply::Response(_) | Reply::Failure(_)))) => reply,
            // It panicked, or what cannot be asked again wants to be.
            _ => Response::failed().into(),
        };
        match self.answer_late(cx, &mut asked, &[], Late::Reply(reply)) {
            Reply::Response(response) => Some(response),
            _ => unreachable!("a response stays one"),
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let Some(endpoint) = self.running(conn) else { return Pull::End };
        attempt(cx, |cx| endpoint.pull(cx, conn)).unwrap_or(Pull::Lost)
    }

    fn upgraded(&mut self, cx: &mut Cx, bytes: Buf, output: &mut Burst) {
        let conn = bytes.conn();
        let Some(endpoint) = self.running(conn) else {
            return cx.drop_buf(bytes, Reason::NotWanted);
        };
        if attempt(cx, |cx| endpoint.upgraded(cx, bytes, output)).is_some() {
            return;
        }
        let mut word = Buf::marker(conn, kind::ABORT);
        if self.states.is_websocket(conn) {
            word.set_kind(websocket::CLOSE, CloseCode::INTERNAL.number().into());
        }
        // Where the handler has filled the burst, the last that it said before it panicked makes room.
        if let Err(word) = output.push(word)
            && let Some(last) = output.last_mut()
        {
            *last = word;
        }
    }

    fn drain(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) {
        let Some(endpoint) = self.running(conn) else { return };
        if attempt(cx, |cx| endpoint.drain(cx, conn, output)).is_none() {
            let _ = output.push(Buf::marker(conn, kind::ABORT));
        }
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        if let Some(endpoint) = self.running(conn) {
            attempt(cx, |cx| endpoint.closed(cx, conn));
            self.states.end(conn);
        }
    }

    fn ready(&mut self, cx: &mut Cx) -> Option<Ready> {
        while let Some(mut asked) = self.states.take_late(cx.now) {
            self.states.take_collected(&mut asked);
            let conn = asked.conn;
            let endpoint = &mut self.routes[asked.route as usize].endpoint;
            attempt(cx, |cx| endpoint.service().closed(cx, conn));
            cx.counters.add(Counter::Timeouts, 1);
            let late = Late::Reply(Response::text(503, "it took too long\n").into());
            if let Reply::Response(response) = self.answer_late(cx, &mut asked, &[], late) {
                return Some(Ready::Response(conn, response));
            }
        }
        if self.polled.is_empty() { None } else { self.ready_of_services(cx) }
    }

    fn flush(&mut self, cx: &mut Cx) {
        for route in &self.polled {
            let endpoint = &mut self.routes[*route as usize].endpoint;
            attempt(cx, |cx| endpoint.service().flush(cx));
        }
    }

    fn is_polled(&self) -> bool {
        self.is_timed || !self.polled.is_empty()
    }
}
