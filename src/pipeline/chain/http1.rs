//! HTTP/1.1 on bursts: finds request heads and bodies in what connections receive, and hands them
//! on as sub-bufs of the same slots. The rules of the protocol are in `proto::http1`.

mod messages;
mod session;

pub use super::stash::StashBounds;
use super::stash::Stashes;
pub use messages::{BODY, ENDS, FAULT, HEAD, HeadMeta, TRAILERS, UPGRADES};
use session::{Overdue, Session};

use crate::counters::{Counter, Reason};
use crate::limits::{
    HTTP_BODY_TIMEOUT_NS, HTTP_HEAD_TIMEOUT_NS, HTTP_KEEP_ALIVE_TIMEOUT_NS, HTTP_STASHES_SHARE,
};
use crate::mem::{Buf, Burst, kind};
use crate::pipeline::{Chain, Cx, SessionTable};
use crate::proto::http1::Limits;

/// What a listener allows its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long the parts of a request may be.
    pub limits: Limits,
    /// How long a head may take, from the connection's beginning or the head's first byte to its
    /// end, in nanoseconds: 408, or for a connection that has said nothing, a close.
    pub head_timeout_ns: u64,
    /// How long nothing of a body may come, in nanoseconds: 408.
    pub body_timeout_ns: u64,
    /// How long a connection may wait between two requests, in nanoseconds: it is closed.
    pub keep_alive_timeout_ns: u64,
    /// Requests that one connection may make: the last is answered with `Connection: close`.
    pub requests_max: u32,
    /// How many heads may be unfinished at a time.
    pub stashes: StashBounds,
}

impl Settings {
    /// The usual, on an lcore with so many slots of each size.
    pub fn for_slots(small: u32, large: u32) -> Self {
        Self {
            limits: Limits::default(),
            head_timeout_ns: HTTP_HEAD_TIMEOUT_NS,
            body_timeout_ns: HTTP_BODY_TIMEOUT_NS,
            keep_alive_timeout_ns: HTTP_KEEP_ALIVE_TIMEOUT_NS,
            requests_max: u32::MAX,
            stashes: StashBounds {
                all: small / HTTP_STASHES_SHARE,
                large: large / HTTP_STASHES_SHARE,
            },
        }
    }
}

/// The chain. Messages to the handler are of the kinds [`HEAD`], [`BODY`], [`TRAILERS`] and
/// [`FAULT`], beside the markers; after an upgrade they are `DATA`. What the handler pushes is sent
/// as it is, and its meta says which responses end with it ([`ENDS`]).
pub struct Http1 {
    settings: Settings,
    stashes: Stashes,
    sessions: SessionTable<Session>,
    /// Slots below it have been asked to close.
    drained: u32,
    /// Slots below it have been looked at in this tick.
    ticked: u32,
}

/// What became of a buf.
enum Step {
    /// Used up, or kept in the session.
    Done,
    /// These bytes are still to be looked at.
    Rest(Buf),
    /// There is no slot for it now: it must come back later.
    Stalled(Buf),
}

/// Bufs that one look at a buf pushes at most.
const ROOM: usize = 3;

/// The status for what took too long.
const REQUEST_TIMEOUT: u16 = 408;

impl Http1 {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, settings: Settings) -> Self {
        Self {
            stashes: Stashes::new(settings.stashes),
            settings,
            sessions: SessionTable::new(slots),
            drained: 0,
            ticked: 0,
        }
    }

    #[inline]
    fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Step {
        let Some(session) = self.sessions.get_mut(buf.conn()) else {
            cx.drop_buf(buf, Reason::StaleConnection);
            return Step::Done;
        };
        session.receive(cx, &self.settings, &mut self.stashes, buf, output)
    }

    /// Marks of a connection's life.
    fn on_marker(&mut self, cx: &mut Cx, marker: Buf, output: &mut Burst) {
        let conn = marker.conn();
        match marker.kind() {
            kind::OPEN => {
                let session = self.sessions.open(conn, Session::new(cx.now));
                push(output, marker);
                if cx.draining {
                    session.lifecycle.ignore();
                    push(output, Buf::linger(conn));
                }
            }
            kind::CLOSED => {
                if let Some(mut session) = self.sessions.close(conn) {
                    self.stashes.take(&mut session.stash);
                }
                push(output, marker);
            }
            // A request that is not whole by now never will be.
            kind::EOF => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.lifecycle.ignore();
                    self.stashes.take(&mut session.stash);
                }
                push(output, Buf::marker(conn, kind::CLOSE));
            }
            _ => push(output, marker),
        }
    }

    /// The same while the dataplane stops: a session closes with its last response.
    #[cold]
    fn egress_and_close(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= 2
            && let Some(mut buf) = input.pop()
        {
            let Some(session) = self.sessions.get_mut(buf.conn()) else {
                push(output, buf); // for the transport to account for
                continue;
            };
            session.sent(cx.now, &mut buf);
            let conn = buf.conn();
            push(output, buf);
            if session.lifecycle.is_idle() {
                session.lifecycle.ignore();
                push(output, Buf::linger(conn));
            }
        }
    }
}

/// Pushes where there is room, as was checked before.
#[inline]
fn push(output: &mut Burst, buf: Buf) {
    let pushed = output.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Chain for Http1 {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM
            && let Some(mut buf) = input.pop()
        {
            if buf.kind() != kind::DATA {
                self.on_marker(cx, buf, output);
                continue;
            }
            loop {
                match self.receive(cx, buf, output) {
                    Step::Done => break,
                    Step::Rest(rest) if output.room() >= ROOM => buf = rest,
                    Step::Rest(rest) | Step::Stalled(rest) => {
                        let back = input.unpop(rest);
                        assert!(back.is_ok(), "it was just popped");
                        return;
                    }
                }
            }
        }
    }

    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        if cx.draining {
            return self.egress_and_close(cx, input, output);
        }
        let before = output.len();
        output.take_from(input);
        for buf in &mut output.as_mut_slice()[before..] {
            if let Some(session) = self.sessions.get_mut(buf.conn()) {
                session.sent(cx.now, buf);
            }
        }
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, session)) = self.sessions.next_from(self.drained) {
            if session.lifecycle.is_idle() {
                if output.push(Buf::marker(conn, kind::CLOSE)).is_err() {
                    return;
                }
                session.lifecycle.ignore();
            }
            self.drained = conn.slot() + 1;
        }
    }

    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        while let Some((conn, session)) = self.sessions.next_from(self.ticked) {
            if let Some(overdue) = session.overdue(cx.now, &self.settings) {
                if messages.is_full() {
                    return true;
                }
                cx.counters.add(Counter::Timeouts, 1);
                self.stashes.take(&mut session.stash);
                let word = match overdue {
                    Overdue::Rest => session.fault(conn, REQUEST_TIMEOUT),
                    Overdue::Request => {
                        session.lifecycle.ignore();
                        Buf::marker(conn, kind::CLOSE)
                    }
                };
                push(messages, word);
            }
            self.ticked = conn.slot() + 1;
        }
        self.ticked = 0;
        false
    }
}
