//! Functions of whole messages, with something of the program's own for each WebSocket.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::outgoing::{NotSent, Outgoing};
use super::{FRUGAL, Opening, Out, Request, Response, Service};
use crate::counters::Reason;
use crate::limits::WEBSOCKET_HELD_BYTES_MAX;
use crate::mem::{Buf, ConnId};
use crate::offload::{CancelToken, Failed, Order};
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket::MessageMeta;
use crate::pipeline::write::{ConnHandle, Group};
use crate::proto::websocket::handshake::{Server, is_same_origin};
use crate::proto::websocket::{CloseCode, Deflate, Kind};

/// A whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Any bytes.
    Binary(&'a [u8]),
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> Message<'a> {
    fn parts(self) -> (Kind, &'a [u8]) {
        match self {
            Self::Text(text) => (Kind::Text, text.as_bytes()),
            Self::Binary(bytes) => (Kind::Binary, bytes),
        }
    }

    /// Its text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }
}

/// An open WebSocket, as long as one of its functions is called.
pub struct Socket<'a, 'b, T> {
    /// What the lcore lends.
    pub cx: &'a mut Cx,
    /// What was made for it when it began.
    pub session: &'a mut T,
    conn: ConnId,
    outgoing: &'a mut Outgoing,
    out: &'a mut Out<'b>,
    tasks: &'a mut Vec<Pending<T>>,
    /// Bytes that may wait for peers, beside those that do.
    spare: usize,
}

impl<T> Socket<'_, '_, T> {
    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Sends a message of any length; in pieces, as the peer takes them, where it is longer than a slot. While something
    /// waits so, nothing is received from the peer.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), NotSent> {
        let (kind, bytes) = message.into().parts();
        let before = self.outgoing.bytes();
        self.outgoing.send(self.cx, self.conn, kind, bytes, self.spare, self.out)?;
        self.spare = (self.spare + before).saturating_sub(self.outgoing.bytes());
        Ok(())
    }

    /// Has it join a group: what is published there is sent to it too. `false`: it is a member.
    pub fn join(&mut self, group: &Group) -> bool {
        group.join(self.cx, self.conn)
    }

    /// Has it leave one, as it does when it closes; `false`: it is no member.
    pub fn leave(&mut self, group: &Group) -> bool {
        group.leave(self.cx, self.conn)
    }

    /// A handle of it, for other threads.
    pub fn handle(&self) -> ConnHandle {
        self.cx.conn_handle(self.conn)
    }

    /// Asks the peer whether it is there, behind all that was sent.
    pub fn ping(&mut self) {
        self.outgoing.ping(self.cx, self.conn, self.out);
    }

    /// Has `work` done by a thread of the [`offload`](crate::offload) pool, and `then` called with what came of it. What
    /// is done for one WebSocket is done in order, and cancelled when that is gone (A-9). `false`: too much is under way.
    pub fn offload<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&CancelToken) -> R + Send + 'static,
        then: impl FnOnce(&mut Socket<'_, '_, T>, Result<R, Failed>) + 'static,
    ) -> bool {
        let Ok(mut task) = self.cx.offload.spawn(self.conn, Order::Connection, work) else {
            return false;
        };
        let mut then = Some(then);
        self.tasks.push(Box::new(move |socket| match (task.poll(), then.take()) {
            (Some(outcome), Some(then)) => {
                then(socket, outcome);
                true
            }
            (_, untold) => {
                then = untold;
                false
            }
        }));
        true
    }

    /// Closes, once all that was sent is out. What its peer still sends is heard by nobody.
    pub fn close(&mut self, code: CloseCode) {
        self.close_with(code, "");
    }

    /// The same, and says why in words, of which the peer hears the first 123 bytes.
    pub fn close_with(&mut self, code: CloseCode, reason: &str) {
        self.outgoing.close(self.cx, self.conn, code, reason, self.out);
    }
}

type Begin<T> = Box<dyn FnMut(&mut Cx, &Request<'_>) -> Result<T, Response>>;
type OnOpen<T> = Box<dyn FnMut(&mut Socket<'_, '_, T>)>;
type OnMessage<T> = Box<dyn FnMut(&mut Socket<'_, '_, T>, Message<'_>)>;
/// Tells what came of a task, if that is known, and whether it did.
type Pending<T> = Box<dyn FnMut(&mut Socket<'_, '_, T>) -> bool>;
type OnClose<T> = Box<dyn FnMut(&mut Cx, ConnId, T, Closed)>;

/// What a peer said when it closed; nothing where it went without a close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// Its code, if it gave any.
    pub code: Option<CloseCode>,
    /// Why, in words; mostly empty.
    pub reason: Box<str>,
}

/// Functions that are called for WebSockets, with a `T` for each.
///
/// ```
/// use ringway::handler::http::{Response, Router};
/// use ringway::handler::websocket::Sockets;
///
/// let sockets = Sockets::new(|_, request| match request.target().strip_prefix(b"/hall?") {
///     Some(name) => Ok(String::from_utf8_lossy(name).into_owned()),
///     None => Err(Response::text(400, "say who you are\n")),
/// })
/// .on_open(|socket| {
///     let hello = format!("hello, {}", socket.session);
///     let _ = socket.send(&hello);
/// })
/// .on_message(|socket, message| {
///     let _ = socket.send(message);
/// })
/// .on_close(|_, conn, name, closed| println!("{name} ({conn:?}) has left: {closed:?}"));
/// let router = Router::new().websocket("/hall", sockets);
/// ```
///
/// A message that comes in one piece is read where it lies; others are put together, up to the listener's
/// `max_message_bytes`. What is sent is copied once. A [`Service`] does both without a copy.
pub struct Sockets<T> {
    begin: Begin<T>,
    open: Option<OnOpen<T>>,
    message: Option<OnMessage<T>>,
    close: Option<OnClose<T>>,
    deflate: Option<Deflate>,
    protocols: &'static [&'static str],
    origins: &'static [&'static str],
    states: States<T>,
}

/// What belongs to each WebSocket.
struct States<T> {
    /// By connection slot, as far as the highest that ever had one.
    by_slot: Vec<Option<Box<State<T>>>>,
    /// Bytes that all of them hold: parts of messages, and what waits to be sent.
    held: usize,
}

struct State<T> {
    conn: ConnId,
    session: T,
    /// Its beginning was told, and so is its end to be.
    open: bool,
    /// What has come of a message that comes in pieces.
    incoming: Vec<u8>,
    outgoing: Outgoing,
    /// What is done for it elsewhere, in order.
    tasks: Vec<Pending<T>>,
    /// What the peer said, once it closes.
    closed: Closed,
}

/// WebSockets that are alike, whose messages go to `function`.
pub fn on_message(
    function: impl FnMut(&mut Socket<'_, '_, ()>, Message<'_>) + 'static,
) -> Sockets<()> {
    Sockets::new(|_, _| Ok(())).on_message(function)
}

impl<T> Sockets<T> {
    /// `begin` makes the `T` of a WebSocket from the request for it, or refuses it.
    pub fn new(begin: impl FnMut(&mut Cx, &Request<'_>) -> Result<T, Response> + 'static) -> Self {
        Self {
            begin: Box::new(begin),
            open: None,
            message: None,
            close: None,
            deflate: Some(FRUGAL),
            protocols: &[],
            origins: &[],
            states: States { by_slot: Vec::new(), held: 0 },
        }
    }

    /// Called once it is open.
    pub fn on_open(mut self, function: impl FnMut(&mut Socket<'_, '_, T>) + 'static) -> Self {
        self.open = Some(Box::new(function));
        self
    }

    /// Called for each message.
    pub fn on_message(
        mut self,
        function: impl FnMut(&mut Socket<'_, '_, T>, Message<'_>) + 'static,
    ) -> Self {
        self.message = Some(Box::new(function));
        self
    }

    /// Called once one that was open is gone, with what the peer said when it closed.
    pub fn on_close(mut self, function: impl FnMut(&mut Cx, ConnId, T, Closed) + 'static) -> Self {
        self.close = Some(Box::new(function));
        self
    }

    /// Subprotocols to choose from, the most wanted first (RFC 6455 §1.9).
    pub fn protocols(self, protocols: &'static [&'static str]) -> Self {
        Self { protocols, ..self }
    }

    /// Lets pages of these origins in too, such as `https://example.org`, beside the host's own and whoever is no browser
    /// (RFC 6455 §10.2).
    pub fn origins(self, origins: &'static [&'static str]) -> Self {
        Self { origins, ..self }
    }

    /// How messages are compressed where the peer wants that; unless said otherwise
    /// [`FRUGAL`], and with `None` never.
    pub fn deflate(self, deflate: Option<Deflate>) -> Self {
        Self { deflate, ..self }
    }
}

impl<T> States<T> {
    fn insert(&mut self, conn: ConnId, session: T) {
        let slot = conn.slot() as usize;
        if slot >= self.by_slot.len() {
            self.by_slot.resize_with(slot + 1, || None);
        }
        let (incoming, outgoing) = (Vec::new(), Outgoing::default());
        let tasks = Vec::new();
        let (open, closed) = (false, Closed::default());
        let state = State { conn, session, open, incoming, outgoing, tasks, closed };
        self.by_slot[slot] = Some(Box::new(state));
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut State<T>> {
        let state = self.by_slot.get_mut(conn.slot() as usize)?.as_deref_mut()?;
        (state.conn == conn).then_some(state)
    }

    fn remove(&mut self, conn: ConnId) -> Option<Box<State<T>>> {
        let place = self.by_slot.get_mut(conn.slot() as usize)?;
        let state = place.take_if(|state| state.conn == conn)?;
        self.held -= state.held();
        Some(state)
    }

    /// Does something with a WebSocket that is open, and keeps account of what it holds.
    fn with(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        out: &mut Out<'_>,
        call: impl FnOnce(&mut Socket<'_, '_, T>, &mut Vec<u8>),
    ) {
        let spare = WEBSOCKET_HELD_BYTES_MAX.saturating_sub(self.held);
        let Some(state) = self.get_mut(conn) else { return };
        let before = state.held();
        let State { session, incoming, outgoing, tasks, .. } = state;
        // Booked whatever becomes of the call: a panic is the caller's to catch.
        let mut socket = Socket { cx, session, conn, outgoing, out, tasks, spare };
        let done = catch_unwind(AssertUnwindSafe(|| call(&mut socket, incoming)));
        if done.is_err() {
            // Nobody knows what its session is worth now.
            state.outgoing.end();
        }
        let after = state.held();
        self.held = self.held + after - before;
        if let Err(panic) = done {
            resume_unwind(panic);
        }
    }
}

impl<T> State<T> {
    fn held(&self) -> usize {
        self.incoming.len() + self.outgoing.bytes()
    }
}

/// A whole message, for the function that is to have it.
fn hand_on<T>(
    function: &mut Option<OnMessage<T>>,
    socket: &mut Socket<'_, '_, T>,
    kind: Kind,
    bytes: &[u8],
) {
    let Some(function) = function else { return };
    let message = match kind {
        Kind::Text => match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Message::Text(text),
            Err(_) => unreachable!("the chain lets no other text pass"),
        },
        Kind::Binary => Message::Binary(bytes),
    };
    function(socket, message);
}

impl<T> Service for Sockets<T> {
    fn is_welcome(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let named = origin.is_some_and(|o| self.origins.iter().any(|known| known.as_bytes() == o));
        named || is_same_origin(origin, host)
    }

    fn opening(&mut self, cx: &mut Cx, request: &Request<'_>) -> Opening<'_> {
        let session = match (self.begin)(cx, request) {
            Ok(session) => session,
            Err(response) => return Opening::Refuse(response),
        };
        self.states.insert(request.conn(), session);
        Opening::Offer(Server { protocols: self.protocols, deflate: self.deflate })
    }

    fn opened(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        if let Some(state) = self.states.get_mut(conn) {
            state.open = true;
        }
        let Some(function) = &mut self.open else { return };
        self.states.with(cx, conn, out, |socket, _| function(socket));
    }

    fn message(&mut self, cx: &mut Cx, message: Buf, meta: MessageMeta, out: &mut Out<'_>) {
        let function = &mut self.message;
        self.states.with(cx, message.conn(), out, |socket, incoming| {
            if socket.outgoing.is_closing() {
                return socket.cx.drop_buf(message, Reason::AfterClose);
            }
            if meta.first && meta.last {
                return hand_on(function, socket, meta.kind, &message);
            }
            if message.len() > socket.spare {
                incoming.clear();
                return socket.close(CloseCode::TRY_LATER);
            }
            incoming.extend_from_slice(&message);
            drop(message);
            if meta.last {
                let whole = std::mem::take(incoming);
                hand_on(function, socket, meta.kind, &whole);
            }
        });
    }

    fn flushed(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        self.states.with(cx, conn, out, |socket, _| {
            socket.outgoing.flushed(socket.cx, conn, socket.out);
        });
    }

    fn woken(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        self.states.with(cx, conn, out, |socket, _| {
            // What one of them has done anew stands behind those that were there.
            let mut tasks = std::mem::take(socket.tasks);
            let mut done = 0;
            while done < tasks.len() && tasks[done](socket) {
                done += 1;
            }
            tasks.drain(..done);
            tasks.append(socket.tasks);
            *socket.tasks = tasks;
        });
    }

    fn closing(&mut self, _cx: &mut Cx, reason: &Buf, code: Option<CloseCode>, _out: &mut Out<'_>) {
        if let Some(state) = self.states.get_mut(reason.conn()) {
            // It is UTF-8, or would have been a fault.
            let reason = std::str::from_utf8(reason).unwrap_or_default().into();
            state.closed = Closed { code, reason };
        }
    }

    fn drain(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        self.states.with(cx, conn, out, |socket, _| socket.close(CloseCode::AWAY));
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let Some(state) = self.states.remove(conn) else { return };
        if let Some(function) = self.close.as_mut().filter(|_| state.open) {
            function(cx, conn, state.session, state.closed);
        }
    }
}
