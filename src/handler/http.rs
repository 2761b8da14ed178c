//! From a function of a request to a handler of bursts: a [`Service`], and the [`Http`] that calls it
//! and sends its responses. Which bytes make a head, `proto::http1` knows.

mod ctx;
mod exchange;
mod failure;
mod fields;
mod files;
mod held;
mod json;
mod kept;
pub mod middleware;
mod output;
mod port;
mod request;
mod respond;
mod response;
mod router;
mod service;
mod status;
mod stream;
mod text;
mod upload;

pub use ::http::{HeaderName, HeaderValue, header};
pub use ctx::{Ctx, Scope};
pub use failure::Failure;
pub use json::Json;
pub use middleware::{Middleware, Next};
pub use router::{Routed, Router};
pub use status::{Status, StatusCode};

use exchange::{Answer, Exchange, Until, Wants};
pub use files::Files;
use held::Ahead;
use kept::KeptResponses;
use output::mark_end;
pub use port::PortService;
pub use request::Request;
use respond::Asked;
pub use response::{Body, Parts, Pull, Ready, Reply, Response};
pub use service::Service;
pub use upload::Upload;

use crate::counters::{Counter, Reason};
use crate::limits::HTTP_HELD_BUFS;
use crate::mem::{Buf, BufStore, Burst, ConnId, SlotCounts, kind};
use crate::pipeline::chain::http1::{BODY, DRAIN, FAULT, HEAD, TRAILERS};
use crate::pipeline::chain::websocket::{MESSAGE, TRANSMIT};
use crate::pipeline::{Cx, Handler};
use crate::proto::http1::Encoder;

/// Calls a [`Service`] for each request and sends its responses: behind each other into one slot
/// where they follow each other on one connection, so that they leave in one send.
pub struct Http<S> {
    service: S,
    encoder: Encoder,
    /// By connection slot; what is not [`Exchange::NONE`] outlasts a message.
    exchanges: Box<[Exchange]>,
    /// Requests behind responses that are not whole, and what waits for a slot.
    held: BufStore,
    /// By connection slot: which of what is held the service has begun with.
    ahead: Box<[Ahead]>,
    /// Responses that wait: a service is asked once.
    kept: KeptResponses,
}

/// Bufs that one message makes at most.
const ROOM: usize = 8;

impl<S: Service> Http<S> {
    /// A handler for connections with slots below `slots`.
    pub fn new(slots: u32, service: S) -> Self {
        Self {
            service,
            encoder: Encoder::new(),
            exchanges: (0..slots).map(|_| Exchange::NONE).collect(),
            held: BufStore::new(HTTP_HELD_BUFS),
            ahead: (0..slots).map(|_| Ahead::NONE).collect(),
            kept: KeptResponses::with_capacity(64),
        }
    }

    /// Answers a request that nothing is before with a response that is whole at once, as nearly all
    /// are; any other message goes the long way. What finds no slot for what it makes is held: others
    /// go on, and those among them that give slots back.
    #[inline(always)]
    fn on_message(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let exchange = &self.exchanges[message.conn().slot() as usize];
        if message.kind() != HEAD || !exchange.is_idle() {
            // Messages of WebSockets may be many.
            if message.kind() == MESSAGE && exchange.passes_on() {
                return self.service.upgraded(cx, message, out);
            }
            return self.on_any_message(cx, message, out);
        }
        let request = Request::new(&message);
        let reply = self.service.call(cx, &request);
        if let Reply::Response(response) = &reply
            && request.meta().is_plain()
            && self.respond_plainly(cx, message.conn(), response, out)
        {
            cx.extensions.end_message(message.message());
            return;
        }
        self.on_reply(cx, message, reply, out);
    }

    /// Puts a message to its place: to be handled, or held behind those before it.
    #[inline(never)]
    fn on_any_message(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        let over = self.exchanges[conn.slot() as usize].answer == Answer::Over;
        if over && message.kind() != kind::CLOSED {
            cx.extensions.end_message(message.message());
            return cx.drop_buf(message, Reason::NotWanted);
        }
        if self.must_wait(&message) {
            return self.hold(cx, message, out);
        }
        if let Err(message) = self.handle(cx, message, out) {
            self.hold_first(cx, message, out);
        }
        self.go_on(cx, conn, out);
    }

    /// The same for a reply that is at hand.
    #[inline(never)]
    fn on_reply(&mut self, cx: &mut Cx, message: Buf, reply: Reply, out: &mut Burst) {
        let conn = message.conn();
        if let Err(message) = self.answer(cx, message, reply, out) {
            self.hold_first(cx, message, out);
        }
        self.go_on(cx, conn, out);
    }

    fn go_on(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) {
        let exchange = &self.exchanges[conn.slot() as usize];
        // An upgraded connection has only its receiving to go on, and its service may fill `out`.
        if !exchange.is_idle() && (!exchange.is_upgraded() || exchange.paused && out.room() >= ROOM)
        {
            self.advance(cx, conn, out);
        }
    }

    /// Whether something before it on its connection is not done.
    fn must_wait(&self, message: &Buf) -> bool {
        let exchange = &self.exchanges[message.conn().slot() as usize];
        match message.kind() {
            HEAD => exchange.is_busy(),
            BODY | TRAILERS => !exchange.held.is_empty() || exchange.holds_body(),
            FAULT if exchange.is_at_fault() => false,
            // They end a body that is coming, but not a response that is going.
            FAULT | kind::CLOSE => {
                !exchange.held.is_empty() || exchange.is_busy() && !exchange.may_be_cut()
            }
            _ => false,
        }
    }

    fn handle(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) -> Result<(), Buf> {
        let conn = message.conn();
        match message.kind() {
            HEAD => return self.on_head(cx, message, out),
            BODY | TRAILERS => return self.on_body(cx, message, out),
            FAULT => return self.on_fault(cx, message, out),
            kind::CLOSE | kind::ABORT => self.hang_up(cx, message, out),
            kind::CLOSED => self.abandon(cx, conn),
            kind::FLUSHED => {
                let exchange = &mut self.exchanges[conn.slot() as usize];
                exchange.flushes = exchange.flushes.saturating_sub(1);
                if exchange.until == Until::Flushed {
                    exchange.until = Until::Now;
                }
                if exchange.is_upgraded() {
                    self.service.upgraded(cx, message, out);
                }
            }
            kind::FLUSH => output::push(out, message),
            kind::RESUME if !self.exchanges[conn.slot() as usize].paused => {
                output::push(out, message);
            }
            DRAIN => self.on_drain(cx, conn, out),
            kind::WAKE => self.on_wake(cx, message, out),
            TRANSMIT => output::push(out, message),
            kind::DATA | MESSAGE.. => self.service.upgraded(cx, message, out),
            _ => {}
        }
        Ok(())
    }

    /// It comes twice where an upgrade was answered while the first was on its way.
    #[cold]
    fn on_drain(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if exchange.answer == Answer::Upgraded {
            exchange.answer = Answer::Leaving;
            self.service.drain(cx, conn, out);
        }
    }

    fn on_wake(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        let exchange = &self.exchanges[conn.slot() as usize];
        if exchange.is_upgraded() {
            self.service.upgraded(cx, message, out);
        } else if exchange.owes_service()
            && let Some(response) = self.service.woken(cx, conn)
        {
            self.respond_now(cx, conn, response, out);
        }
    }

    fn on_head(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) -> Result<(), Buf> {
        self.exchanges[message.conn().slot() as usize].until = Until::Now;
        let reply = match self.take_kept(message.conn()) {
            Some(response) => Reply::Response(response),
            None => self.service.call(cx, &Request::new(&message)),
        };
        self.answer(cx, message, reply, out)
    }

    /// Does what the service says to the request whose head is `message`.
    fn answer(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        reply: Reply,
        out: &mut Burst,
    ) -> Result<(), Buf> {
        let request = Request::new(&message);
        let (conn, meta) = (message.conn(), request.meta());
        let asked = |length| Asked {
            conn,
            message: message.message(),
            meta,
            length,
            body_open: meta.has_body(),
            body_whole: true,
        };
        let done = match reply {
            Reply::Busy => {
                self.exchanges[conn.slot() as usize].until = Until::Again;
                return Err(message);
            }
            Reply::Failure(failure) => {
                let response = fail(cx, failure).into();
                return self.answer(cx, message, response, out);
            }
            Reply::Wait => {
                self.exchanges[conn.slot() as usize].until = Until::Woken;
                return Err(message);
            }
            Reply::Response(response) => {
                let length = if meta.has_body() { request.content_length() } else { Some(0) };
                if meta.is_chunked() && !meta.expects_continue() && !response.reads {
                    self.defer(&asked(length), response, out);
                    return Ok(());
                }
                self.respond(cx, &asked(length), response, out)
            }
            Reply::Body | Reply::Later => {
                let exchange = &mut self.exchanges[conn.slot() as usize];
                exchange.answer = Answer::Owed;
                exchange.wants = Wants::Service;
                exchange.body_open = meta.has_body();
                exchange.continue_due = meta.expects_continue();
                exchange.meta = meta;
                exchange.message = message.message();
                if matches!(reply, Reply::Body) && !meta.has_body() {
                    return self.on_body(cx, no_body(&message), out);
                }
                Ok(())
            }
        };
        done.map_err(|_| message)
    }

    /// The peer broke a rule or took too long.
    #[cold]
    fn on_fault(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) -> Result<(), Buf> {
        let conn = message.conn();
        let exchange = &self.exchanges[conn.slot() as usize];
        // A response that has begun can only be cut short, and one that is out was the answer.
        let answer = exchange.answer;
        let unanswered = match answer {
            Answer::Owed => true,
            Answer::Done => !exchange.body_open,
            _ => false,
        };
        if unanswered && self.write_bare(cx, conn, message.meta() as u16, out).is_err() {
            return Err(message);
        }
        if answer == Answer::Owed {
            mark_end(out, conn); // it is the response to the request as well
        }
        self.hang_up(cx, Buf::linger(conn), out);
        Ok(())
    }

    /// What a service has made ready.
    fn on_ready(&mut self, cx: &mut Cx, ready: Ready, out: &mut Burst) {
        let conn = match ready {
            Ready::Response(conn, response) => {
                self.respond_now(cx, conn, response, out);
                conn
            }
            Ready::More(conn) => conn,
            Ready::Lost(conn) => return self.hang_up(cx, Buf::marker(conn, kind::ABORT), out),
        };
        self.go_on(cx, conn, out);
    }

    /// The response that waits on a connection, if one does.
    fn take_kept(&mut self, conn: ConnId) -> Option<Response> {
        self.kept.take(&mut self.exchanges[conn.slot() as usize].response)
    }

    /// Keeps a response for later.
    fn keep(&mut self, conn: ConnId, response: Response) {
        self.exchanges[conn.slot() as usize].response = self.kept.put(response);
    }
}

impl<S: Service> Handler for Http<S> {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.encoder.set_second(cx.unix_seconds);
        while output.room() >= ROOM
            && let Some(message) = input.pop()
        {
            self.on_message(cx, message, output);
        }
    }

    fn poll(&mut self, cx: &mut Cx, output: &mut Burst) -> bool {
        self.encoder.set_second(cx.unix_seconds);
        let mut more = true;
        while more && output.room() >= ROOM {
            match self.service.ready(cx) {
                Some(ready) => self.on_ready(cx, ready, output),
                None => more = false,
            }
        }
        self.service.flush(cx);
        more
    }

    fn waiting(&self) -> SlotCounts {
        *self.held.slots()
    }

    fn is_polled(&self) -> bool {
        self.service.is_polled()
    }
}

/// The response to a request that failed.
#[cold]
fn fail(cx: &Cx, failure: Failure) -> Response {
    if failure.is_ours() {
        cx.counters.add(Counter::HandlerErrors, 1);
        tracing::error!("a request failed: {failure}");
    }
    failure.into_response()
}

/// The body of a request that has none: one part, the last, without bytes.
#[cold]
fn no_body(head: &Buf) -> Buf {
    let mut part = Buf::marker(head.conn(), BODY);
    part.set_kind(BODY, 1);
    part.set_message(head.message());
    part
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::counters::Counters;
    use crate::mem::Mempool;
    use crate::pipeline::chain::http1::{Http1, Settings};
    use crate::pipeline::{Chain, Extensions};
    use crate::time::Clock;

    #[test]
    fn a_service_is_asked_once_though_its_response_waits_for_a_slot() {
        let pool = Mempool::small(2).unwrap();
        let mut cx = Cx {
            pool: pool.clone(),
            now: Clock::start().now(),
            clock: Clock::start(),
            unix_seconds: 0,
            draining: false,
            spares_idle: false,
            backlogged: false,
            extensions: Extensions::new(1),
            ports: crate::port::PortTable::default(),
            offload: crate::offload::Offload::none(),
            counters: Counters::default(),
            writes: crate::pipeline::write::Writes::detached(),
        };
        let mut asked = 0;
        let service = |_: &mut Cx, _: &Request<'_>| {
            asked += 1;
            Some(Response::text(200, "once"))
        };
        let mut handler = Http::new(1, service);
        let mut chain = Http1::new(1, Settings::for_slots(8, 8));
        let conn = ConnId::new(0, 0, 0);
        let mut request = pool.alloc(1).unwrap();
        request.set_conn(conn);
        assert!(request.append(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (mut rx, mut messages, mut out) = (Burst::new(), Burst::new(), Burst::new());
        rx.push(Buf::marker(conn, kind::OPEN)).unwrap();
        rx.push(request).unwrap();
        chain.ingress(&mut cx, &mut rx, &mut messages);
        let hoard: Vec<Buf> = std::iter::from_fn(|| pool.alloc(1)).collect();
        handler.process(&mut cx, &mut messages, &mut out);
        let flush = out.pop().unwrap();
        assert!(flush.kind() == kind::FLUSH && out.is_empty(), "it waits to be called again");
        drop(hoard);
        messages.push(Buf::marker(conn, kind::FLUSHED)).unwrap();
        handler.process(&mut cx, &mut messages, &mut out);
        assert!(out.get(0).unwrap().ends_with(b"\r\n\r\nonce"));
        drop(handler);
        assert_eq!(asked, 1);
    }
}
