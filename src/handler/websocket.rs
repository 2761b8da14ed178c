//! WebSockets. Functions of whole messages are [`Sockets`]:
//!
//! ```
//! use ringway::handler::http::Router;
//! use ringway::handler::websocket::on_message;
//!
//! let router = Router::new().websocket("/echo", on_message(|socket, message| {
//!     let _ = socket.send(message);
//! }));
//! ```
//!
//! Below them, without a copy, a [`Service`] says what is done with messages as they come, and [`WebSockets`] opens them
//! where requests of HTTP ask for one.
//!
//! ```
//! use ringway::dataplane::Builder;
//! use ringway::handler::http::Request;
//! use ringway::handler::websocket::{FRUGAL, Opening, Out, Service};
//! use ringway::mem::{Buf, ConnId};
//! use ringway::pipeline::Cx;
//! use ringway::pipeline::chain::websocket::MessageMeta;
//! use ringway::proto::websocket::handshake::Server;
//! use ringway::proto::websocket::{CloseCode, Kind};
//!
//! /// Greets, sends messages back, and closes when it hears `bye`.
//! struct Room;
//!
//! impl Service for Room {
//!     fn opening(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Opening<'_> {
//!         Opening::Offer(Server { protocols: &["chat"], deflate: Some(FRUGAL) })
//!     }
//!
//!     fn opened(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
//!         out.send_copy(cx, conn, Kind::Text, b"welcome");
//!     }
//!
//!     fn message(&mut self, _cx: &mut Cx, message: Buf, meta: MessageMeta, out: &mut Out<'_>) {
//!         let (conn, parts) = (message.conn(), meta.first && meta.last && *message == *b"bye");
//!         out.send(message);
//!         if parts {
//!             out.close(conn, CloseCode::NORMAL);
//!         }
//!     }
//! }
//!
//! # fn main() -> ringway::error::Result<()> {
//! let builder = Builder::on_one_core()?.websocket(([0, 0, 0, 0], 8080), || Room);
//! # drop(builder); // and builder.run() serves until a signal
//! # Ok(())
//! # }
//! ```
//!
//! **Pieces.** A message is told as it comes: whole where it lies in one receive, else piece by piece
//! ([`MessageMeta::first`], [`last`](MessageMeta::last)); so is a compressed one that is larger than a slot. Each piece
//! holds its slot until it is sent on or dropped. Those of one message have to be sent one after the other, no other
//! message of the connection between them: one that is out of turn is dropped.
//!
//! **What is not its business.** Pings are answered, closes too, faults told, messages compressed and decompressed, and
//! times watched by the chain. A service that sends `Buf::marker(conn, kind::PAUSE)` hears what was received, and then no
//! more until it sends `RESUME`; meanwhile its peer counts as heard.

mod echo;
mod outgoing;
mod sockets;

pub use echo::Echo;
pub use outgoing::NotSent;
pub use sockets::{Closed, Message, Socket, Sockets, on_message};

use super::http::{self, Reply, Request, Response};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket::{
    CLOSE, MESSAGE, MessageMeta, OPENED, PING, PONG, alloc, close_code,
};
use crate::proto::http1::Method;
use crate::proto::websocket::handshake::{Refusal, Server, is_same_origin};
use crate::proto::websocket::{CLOSE_REASON_BYTES_MAX, CloseCode, Deflate, Kind, WINDOW_BITS_MAX};

/// What a service has to say: to one thing that it hears, up to 8 of these, or as many as there is
/// [`room`](Out::room) for.
pub struct Out<'a>(&'a mut Burst);

impl Out<'_> {
    /// Sends a message, made by [`alloc`], or one that came, or a piece of
    /// one, each a frame.
    pub fn send(&mut self, message: Buf) {
        self.push(message);
    }

    /// Sends a copy of a message. `false`: there is no slot for it.
    pub fn send_copy(&mut self, cx: &Cx, conn: ConnId, kind: Kind, bytes: &[u8]) -> bool {
        let Some(mut message) = alloc(cx, conn, kind, bytes.len()) else { return false };
        let fits = message.append(bytes);
        self.push(message);
        fits
    }

    /// Asks the peer whether it is there.
    pub fn ping(&mut self, conn: ConnId) {
        self.push(Buf::marker(conn, PING));
    }

    /// Closes, once all before it is said.
    pub fn close(&mut self, conn: ConnId, code: CloseCode) {
        let mut word = Buf::marker(conn, CLOSE);
        word.set_kind(CLOSE, code.number().into());
        self.push(word);
    }

    /// The same, and says why in words, of which the peer hears the first 123 bytes (RFC 6455 §7.1.6); none where there
    /// is no slot for them.
    pub fn close_with(&mut self, cx: &Cx, conn: ConnId, code: CloseCode, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
        let slot = if reason.is_empty() { None } else { cx.alloc(reason.len(), conn) };
        let mut word = slot.unwrap_or_else(|| Buf::marker(conn, CLOSE));
        word.append(reason.as_bytes());
        word.set_kind(CLOSE, code.number().into());
        self.push(word);
    }

    /// Has [`Service::flushed`] called when all that was said before is out.
    pub fn flush(&mut self, conn: ConnId) {
        self.push(Buf::marker(conn, kind::FLUSH));
    }

    /// Receives nothing more from the peer, but for what was received; or, with `false`, again.
    pub fn pause(&mut self, conn: ConnId, paused: bool) {
        self.push(Buf::marker(conn, if paused { kind::PAUSE } else { kind::RESUME }));
    }

    /// How much more may be said now: 8 at least when something is heard.
    pub fn room(&self) -> usize {
        self.0.room()
    }

    fn push(&mut self, buf: Buf) {
        let pushed = self.0.push(buf);
        assert!(pushed.is_ok(), "a service says no more than there is room for");
    }
}

/// What a service says to a request for a WebSocket.
pub enum Opening<'a> {
    /// It may be had, under these conditions.
    Offer(Server<'a>),
    /// It may not.
    Refuse(Response),
}

/// Compression that costs an idle connection no memory: no window outlasts a message.
pub const FRUGAL: Deflate = Deflate {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: WINDOW_BITS_MAX,
    client_max_window_bits: WINDOW_BITS_MAX,
};

/// What is done with WebSockets. All but [`message`](Self::message) may be left out.
pub trait Service {
    /// Somebody asks for a WebSocket, in due form and from where they are [welcome](Self::is_welcome). Where it is offered,
    /// [`closed`](Self::closed) follows, though the connection may be gone before [`opened`](Self::opened).
    fn opening(&mut self, cx: &mut Cx, request: &Request<'_>) -> Opening<'_> {
        let _ = (cx, request);
        Opening::Offer(Server { deflate: Some(FRUGAL), ..Server::default() })
    }

    /// Whether a page of this origin may talk to this host (RFC 6455 §10.2). Unless this is left out, the host's own
    /// pages may, and whoever is no browser.
    fn is_welcome(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        is_same_origin(origin, host)
    }

    /// A request that asks for something else.
    fn request(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let _ = (cx, request);
        refusal(Refusal::NoUpgrade).into()
    }

    /// A WebSocket is open.
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        let _ = (cx, conn, out);
    }

    /// A message has come, or a piece of one: its connection is the buf's.
    fn message(&mut self, cx: &mut Cx, message: Buf, meta: MessageMeta, out: &mut Out<'_>);

    /// A pong has come.
    fn pong(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        let _ = (cx, conn, out);
    }

    /// The peer closes, and hears what is said now: its reason are the bytes.
    fn closing(&mut self, cx: &mut Cx, reason: &Buf, code: Option<CloseCode>, out: &mut Out<'_>) {
        let _ = (cx, reason, code, out);
    }

    /// Another thread has woken the connection ([`Handle::wake`](crate::lcore::Handle::wake)).
    fn woken(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        let _ = (cx, conn, out);
    }

    /// All that was said before a [`flush`](Out::flush) is out: as many may be said again. It may come without a reason.
    fn flushed(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        let _ = (cx, conn, out);
    }

    /// The dataplane stops: unless this is left out, the peer is told that it goes away.
    fn drain(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        let _ = cx;
        out.close(conn, CloseCode::AWAY);
    }

    /// The connection is gone.
    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let _ = (cx, conn);
    }
}

/// Opens WebSockets for a [`Service`]: what an [`Http`](super::Http) before a
/// [`chain::WebSocket`](crate::pipeline::chain::WebSocket) calls.
pub struct WebSockets<S> {
    service: S,
    compresses: bool,
}

impl<S: Service> WebSockets<S> {
    /// Those of `service`.
    pub fn new(service: S) -> Self {
        Self { service, compresses: true }
    }

    /// The same, on which messages may be compressed where the service offers it, or never are.
    pub fn compressing(self, compresses: bool) -> Self {
        Self { compresses, ..self }
    }

    fn open(&mut self, cx: &mut Cx, request: &Request<'_>) -> Response {
        let is_welcome =
            |origin: Option<&[u8]>, host: Option<&[u8]>| self.service.is_welcome(origin, host);
        // First, so that the service begins with nothing that is refused then.
        if let Err(why) = Server::default().accept_fields(request.headers(), is_welcome) {
            return refusal(why);
        }
        let compresses = self.compresses;
        match self.service.opening(cx, request) {
            Opening::Offer(mut server) => {
                server.deflate = server.deflate.filter(|_| compresses);
                let accepted = server.accept_fields(request.headers(), |_, _| true);
                accepted.map_or_else(refusal, |accepted| Response::websocket(&accepted))
            }
            Opening::Refuse(response) => response,
        }
    }
}

fn refusal(why: Refusal) -> Response {
    const VERSION: &[(&str, &[u8])] =
        &[("Sec-WebSocket-Version", b"13"), ("Upgrade", b"websocket")];
    const UPGRADE: &[(&str, &[u8])] = &[("Upgrade", b"websocket")];
    const ALLOW: &[(&str, &[u8])] = &[("Allow", b"GET")];
    let response = Response::empty(why.status());
    match why {
        Refusal::Version => response.static_fields(VERSION),
        Refusal::NoUpgrade => response.static_fields(UPGRADE),
        Refusal::Method => response.static_fields(ALLOW),
        _ => response,
    }
}

impl<S: Service> http::Service for WebSockets<S> {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        if !request.wants_upgrade() {
            return self.service.request(cx, request);
        }
        if request.method() != Method::Get {
            return refusal(Refusal::Method).into();
        }
        self.open(cx, request).into()
    }

    fn upgraded(&mut self, cx: &mut Cx, mut bytes: Buf, output: &mut Burst) {
        let (conn, mut out) = (bytes.conn(), Out(output));
        match bytes.kind() {
            MESSAGE => {
                let meta = MessageMeta::of(&bytes);
                self.service.message(cx, bytes, meta, &mut out);
            }
            PING => {
                bytes.set_kind(PONG, 0);
                out.push(bytes);
            }
            PONG => self.service.pong(cx, conn, &mut out),
            CLOSE => self.service.closing(cx, &bytes, close_code(bytes.meta()), &mut out),
            OPENED => self.service.opened(cx, conn, &mut out),
            kind::WAKE => self.service.woken(cx, conn, &mut out),
            kind::FLUSHED => self.service.flushed(cx, conn, &mut out),
            _ => {}
        }
    }

    fn drain(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) {
        self.service.drain(cx, conn, &mut Out(output));
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        self.service.closed(cx, conn);
    }
}
