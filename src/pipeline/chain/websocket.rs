//! WebSockets (RFC 6455) over HTTP/1.1: requests and responses as the chain of HTTP/1.1 has them, and from an
//! answer on that begins one, messages in place of bytes. What frames mean, `proto::websocket` knows; what is here
//! finds them in bufs and puts them before some.
//!
//! Steps up: HTTP, unmask and check where it lies, cut into messages. Down: frame, HTTP.

mod codec;
mod egress;
mod ingress;
mod messages;

pub use messages::{
    BEGIN, CLOSE, MESSAGE, MessageMeta, OPENED, PING, PONG, TRANSMIT, alloc, begin_meta, close_code,
};

use std::collections::VecDeque;

use codec::{Codec, Shared};
use ingress::Cut;
use messages::end_word;

use super::pack::Pack;
use super::{Http1, http1};
use crate::counters::Counter;
use crate::limits::WEBSOCKET_SWEEP_SESSIONS;
use crate::mem::{Buf, Burst, ConnId, SlotCounts, kind};
use crate::pipeline::write::FRAME;
use crate::pipeline::{Admission, Chain, Cx, SessionTable};
use crate::proto::websocket::{Config, Connection, Deflate, Role};
use crate::time::Instant;

/// Bufs that one thing makes for the handler, or for the transport, at most.
const ROOM: usize = 4;

/// What a listener allows its peers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Until a WebSocket begins.
    pub http: http1::Settings,
    /// From then on. Times are looked at about once a second.
    pub websocket: Config,
}

/// One connection that is a WebSocket.
struct Session {
    connection: Connection,
    /// How messages are compressed, if they may be.
    codec: Option<Codec>,
    /// The answer that begins it is on its way.
    answered: bool,
    /// The handler wants nothing to be received: a peer cannot be late then.
    paused: bool,
    /// A `TRANSMIT` that is not the last is on its way through the handler.
    transmitting: bool,
    /// The transport was told to close.
    closed: bool,
    /// Somebody waits for the end of the message that is being sent.
    awaited: bool,
}

/// With what the allocator takes beside it, it is below 256.
const _: () = assert!(size_of::<Session>() <= 232);

impl Session {
    fn is_due(&self, config: &Config, now: Instant) -> bool {
        // Its own close has its time, whatever is received.
        let waits = self.answered && !self.closed;
        let is_watched = !self.paused || !self.connection.is_writable();
        waits && is_watched && self.connection.poll_timeout(config).is_some_and(|at| at <= now)
    }

    /// Takes note of what the handler says that is HTTP's to pass on.
    fn hear_what_is_said(&mut self, cx: &Cx, said: &Buf, opened: &mut VecDeque<ConnId>) {
        match said.kind() {
            kind::DATA if said.meta() & http1::UPGRADES != 0 => {
                self.answered = true;
                self.connection.hear(cx.now);
                opened.push_back(said.conn());
            }
            kind::PAUSE => self.paused = true,
            kind::RESUME => {
                self.paused = false;
                self.connection.hear(cx.now);
            }
            _ => {}
        }
    }
}

/// The chain. Its messages are those of [`Http1`], and of connections that have become WebSockets [`MESSAGE`],
/// [`PING`], [`PONG`], [`CLOSE`] and [`TRANSMIT`] in place of `DATA`.
pub struct WebSocket {
    http: Http1,
    config: Config,
    sessions: SessionTable<Box<Session>>,
    /// What HTTP has let through, and is to be looked at.
    through: Burst,
    /// A buf whose frames are found, and are being handed on.
    cut: Cut,
    codecs: Shared,
    pack: Pack,
    /// Connections whose handler has not heard that they are WebSockets.
    opened: VecDeque<ConnId>,
    /// Connections whose message that somebody waited for has ended.
    admitted: VecDeque<ConnId>,
    /// Slots below it have been looked at in this tick.
    ticked: u32,
}

impl WebSocket {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, settings: Settings) -> Self {
        Self {
            http: Http1::new(slots, settings.http),
            config: settings.websocket,
            sessions: SessionTable::new(slots),
            through: Burst::new(),
            cut: Cut::new(),
            codecs: Shared::new(slots),
            pack: Pack::default(),
            opened: VecDeque::new(),
            admitted: VecDeque::new(),
            ticked: 0,
        }
    }

    /// From here on a connection is a WebSocket. It may be said again, where the answer behind it found no slot, and
    /// of one whose end has come by since it asked: nothing would ever end that session.
    fn begin(&mut self, cx: &Cx, conn: ConnId, deflate: Option<Deflate>) {
        if self.http.is_open(conn) && self.sessions.get_mut(conn).is_none() {
            self.open(cx, conn, deflate);
        }
    }

    fn open(&mut self, cx: &Cx, conn: ConnId, deflate: Option<Deflate>) {
        let connection = Connection::new(Role::Server, deflate.is_some(), cx.now);
        let codec = deflate.map(Codec::new);
        let session = Session {
            connection,
            codec,
            answered: false,
            paused: false,
            transmitting: false,
            closed: false,
            awaited: false,
        };
        self.sessions.open(conn, Box::new(session));
    }

    /// Forgets a connection.
    fn end(&mut self, conn: ConnId) {
        if let Some(mut session) = self.sessions.close(conn)
            && let Some(codec) = &mut session.codec
        {
            codec.release(&mut self.codecs);
        }
        if self.sessions.is_empty() {
            self.pack.rest();
        }
    }

    /// Has a session say what it has to say beside its last, by way of the handler.
    fn ask_to_transmit(session: &mut Session, conn: ConnId, output: &mut Burst) {
        if !std::mem::replace(&mut session.transmitting, true) {
            push(output, Buf::marker(conn, TRANSMIT));
        }
    }
}

#[inline(always)]
fn push(burst: &mut Burst, buf: Buf) {
    let pushed = burst.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Chain for WebSocket {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        if self.sessions.is_empty() && self.through.is_empty() {
            return self.http.ingress(cx, input, output);
        }
        if !self.sessions.is_empty() {
            self.pack.prepare(cx);
        }
        while output.room() >= ROOM
            && let Some(conn) = self.opened.pop_front()
        {
            if self.sessions.get_mut(conn).is_some() {
                push(output, Buf::marker(conn, OPENED));
            }
        }
        loop {
            let left = input.len();
            if !self.look_through(cx, output) {
                return;
            }
            self.http.ingress(cx, input, &mut self.through);
            if self.through.is_empty() && input.len() == left {
                return;
            }
        }
    }

    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        let mut http = Burst::new();
        while output.room() >= ROOM
            && let Some(buf) = input.pop()
        {
            if let Err(left) = self.send(cx, buf, &mut http, output) {
                let back = input.unpop(left);
                assert!(back.is_ok(), "it was just popped");
                break;
            }
        }
        self.pack.flush(output);
    }

    fn drain(&mut self, cx: &mut Cx, output: &mut Burst) {
        self.http.drain(cx, output);
    }

    fn retire(&mut self) {
        self.http.retire();
    }

    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        if self.ticked == 0 && self.http.tick(cx, messages) {
            return true;
        }
        for _ in 0..WEBSOCKET_SWEEP_SESSIONS {
            let Some((conn, session)) = self.sessions.next_from(self.ticked) else {
                self.ticked = 0;
                return false;
            };
            if messages.room() < ROOM {
                return true;
            }
            self.ticked = conn.slot() + 1;
            if !session.is_due(&self.config, cx.now) {
                continue;
            }
            match session.connection.handle_timeout(&self.config, cx.now) {
                Ok(()) => Self::ask_to_transmit(session, conn, messages),
                Err(_) => {
                    cx.counters.add(Counter::Timeouts, 1);
                    push(messages, end_word(conn));
                }
            }
        }
        true
    }

    fn has_news(&self) -> bool {
        !self.through.is_empty() || !self.cut.is_empty() || !self.opened.is_empty()
    }

    fn waiting(&self) -> SlotCounts {
        self.http.waiting()
    }

    /// Whole messages, where one may begin.
    fn admits(&mut self, conn: ConnId, kind: u8) -> Admission {
        let Some(session) = self.sessions.get_mut(conn) else {
            return self.http.admits(conn, kind);
        };
        let is_open = session.answered && !session.closed && session.connection.is_writable();
        if kind != FRAME || !is_open {
            return Admission::Never;
        }
        session.awaited = session.connection.is_sending();
        if session.awaited { Admission::Later } else { Admission::Now }
    }

    #[inline]
    fn next_admitted(&mut self) -> Option<ConnId> {
        self.admitted.pop_front()
    }
}

#[cfg(test)]
mod tests;
