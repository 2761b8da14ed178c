//! HTTP/1.1 on bursts: finds request heads and bodies in what connections receive, and hands them
//! on as sub-bufs of the same slots. The rules of the protocol are in `proto::http1`.

mod messages;
mod session;

pub use super::stash::StashBounds;
use super::stash::Stashes;
pub use messages::{BODY, DRAIN, ENDS, FAULT, HEAD, HeadMeta, TRAILERS, UPGRADES};
use session::{Overdue, Session};

use crate::counters::{Counter, Reason};
use crate::limits::{
    HTTP_BODY_TIMEOUT_NS, HTTP_HEAD_TIMEOUT_NS, HTTP_KEEP_ALIVE_TIMEOUT_NS,
    HTTP_LARGE_STASHES_SHARE, HTTP_STASHES_SHARE, HTTP_WAITING_BUFS,
};
use crate::mem::{Buf, BufStore, Burst, ConnId, SlotCounts, kind};
use crate::pipeline::{Admission, Chain, Cx, SessionTable};
use crate::proto::http1::{HeadDecoder, Limits};

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
                large: large / HTTP_LARGE_STASHES_SHARE,
            },
        }
    }
}

/// The chain. Messages to the handler are of the kinds [`HEAD`], [`BODY`], [`TRAILERS`], [`FAULT`]
/// and [`DRAIN`], beside the markers; after an upgrade they are `DATA`. What the handler pushes is sent
/// as it is, and its meta says which responses end with it ([`ENDS`]). Of the markers, the handler
/// pushes `CLOSE`, `ABORT`, `FLUSH` and, unless it has paused the connection, `RESUME` on as they come:
/// they are the chain's words to the transport.
pub struct Http1 {
    settings: Settings,
    decoder: HeadDecoder,
    stashes: Stashes,
    sessions: SessionTable<Session>,
    /// What came on connections that the handler wants nothing more from, or that wait for a slot, as
    /// it came.
    waiting: BufStore,
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
    /// There is no slot for it now: it is to be looked at again later.
    Stalled(Buf),
}

/// Bufs that one look at a buf pushes at most.
const ROOM: usize = 3;

/// The meta of the `FLUSH` that the chain itself asks for: when it comes back, what waited is taken in,
/// as far as there are slots.
const RESUMED: u32 = 1;

/// The same of one whose coming back tells the handler that the dataplane stops.
const DRAINS: u32 = 2;

/// The status for what took too long.
const REQUEST_TIMEOUT: u16 = 408;

impl Http1 {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, settings: Settings) -> Self {
        Self {
            decoder: HeadDecoder::new(settings.limits),
            stashes: Stashes::new(settings.stashes),
            settings,
            sessions: SessionTable::new(slots),
            waiting: BufStore::new(HTTP_WAITING_BUFS),
            drained: 0,
            ticked: 0,
        }
    }

    /// Whether the end of a connection has not come by yet.
    pub(super) fn is_open(&mut self, conn: ConnId) -> bool {
        self.sessions.get_mut(conn).is_some()
    }

    #[inline]
    fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Step {
        let Some(session) = self.sessions.get_mut(buf.conn()) else {
            cx.drop_buf(buf, Reason::StaleConnection);
            return Step::Done;
        };
        let (stashes, decoder) = (&mut self.stashes, &mut self.decoder);
        session.receive(cx, &self.settings, stashes, decoder, buf, output)
    }

    /// Marks of a connection's life.
    fn on_marker(&mut self, cx: &mut Cx, marker: Buf, output: &mut Burst) {
        let conn = marker.conn();
        match marker.kind() {
            kind::OPEN => {
                let session = self.sessions.open(conn, Session::new(cx.now));
                push(output, marker);
                if cx.draining && !cx.spares_idle {
                    session.lifecycle.ignore();
                    push(output, Buf::linger(conn));
                }
            }
            kind::FLUSHED if marker.meta() == DRAINS => push(output, Buf::marker(conn, DRAIN)),
            kind::CLOSED => {
                if let Some(mut session) = self.sessions.close(conn) {
                    self.stashes.take(&mut session.stash);
                    while self.waiting.pop(&mut session.waiting).is_some() {}
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

    /// Takes a buf in, or keeps it for later. What of it there is no room for now comes back.
    #[inline]
    fn take(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Option<Buf> {
        if self.has_to_wait(&buf) {
            self.hold_back(cx, buf, output);
            return None;
        }
        match self.take_now(cx, buf, output) {
            Step::Done => None,
            Step::Rest(rest) if self.has_to_wait(&rest) => {
                self.hold_back(cx, rest, output);
                None
            }
            Step::Rest(rest) => Some(rest),
            // Others go on, and those among them that give slots back.
            Step::Stalled(rest) => {
                push(output, flush(rest.conn(), RESUMED));
                self.hold_back(cx, rest, output);
                None
            }
        }
    }

    #[inline]
    fn take_now(&mut self, cx: &mut Cx, mut buf: Buf, output: &mut Burst) -> Step {
        if buf.kind() != kind::DATA {
            self.on_marker(cx, buf, output);
            return Step::Done;
        }
        loop {
            match self.receive(cx, buf, output) {
                Step::Rest(rest) if output.room() >= ROOM && !self.is_held(&rest) => buf = rest,
                step => return step,
            }
        }
    }

    /// Whether the handler wants nothing more from a connection, or has not had all that came.
    #[inline]
    fn has_to_wait(&mut self, buf: &Buf) -> bool {
        if !matches!(buf.kind(), kind::DATA | kind::EOF) {
            return false;
        }
        let session = self.sessions.get_mut(buf.conn());
        session.is_some_and(|session| session.is_held() || !session.waiting.is_empty())
    }

    fn is_held(&mut self, buf: &Buf) -> bool {
        self.sessions.get_mut(buf.conn()).is_some_and(|session| session.is_held())
    }

    /// Keeps what has to wait as it came. What nobody has room for costs its connection.
    #[cold]
    fn hold_back(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) {
        let Some(session) = self.sessions.get_mut(buf.conn()) else { return };
        if let Err(buf) = self.waiting.push(&mut session.waiting, buf) {
            session.lifecycle.ignore();
            push(output, Buf::marker(buf.conn(), kind::ABORT));
            cx.drop_buf(buf, Reason::Protocol);
        }
    }

    /// Takes in what has waited, as far as the handler wants it. Gives `marker` back, which says that
    /// it does, where there is no room for more.
    #[cold]
    fn take_waiting(&mut self, cx: &mut Cx, marker: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = marker.conn();
        while let Some(session) = self.sessions.get_mut(conn)
            && !session.is_held()
        {
            if output.room() < ROOM {
                return Err(marker);
            }
            let Some(buf) = self.waiting.pop(&mut session.waiting) else {
                push(output, Buf::marker(conn, kind::RESUME));
                break;
            };
            let (left, stalled) = match self.take_now(cx, buf, output) {
                Step::Done => continue,
                Step::Rest(left) => (left, false),
                Step::Stalled(left) => (left, true),
            };
            let Some(session) = self.sessions.get_mut(conn) else { break };
            let back = self.waiting.push_front(&mut session.waiting, left);
            assert!(back.is_ok(), "it was just popped");
            if stalled {
                push(output, flush(conn, RESUMED));
                break;
            }
        }
        Ok(())
    }

    /// What a handler says while the dataplane stops, when a session closes with its last response, or
    /// while something waits to be taken in.
    #[cold]
    fn egress_one_by_one(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= 2
            && let Some(mut buf) = input.pop()
        {
            let Some(session) = self.sessions.get_mut(buf.conn()) else {
                push(output, buf); // for the transport to account for
                continue;
            };
            let (held, upgraded) = (session.is_held(), session.is_upgraded());
            session.sent(cx.now, &mut buf);
            let conn = buf.conn();
            let drains = cx.draining && !upgraded && session.is_upgraded();
            let waits = !session.waiting.is_empty();
            let resumes = held && !session.is_held() && waits;
            // What waits is taken in first: or with each pause, more would come to wait.
            if !(waits && buf.kind() == kind::RESUME) {
                push(output, buf);
            }
            if resumes {
                push(output, flush(conn, RESUMED));
            } else if drains {
                push(output, flush(conn, DRAINS));
            } else if cx.draining
                && !cx.spares_idle
                && session.lifecycle.is_idle()
                && session.waiting.is_empty()
            {
                session.lifecycle.ignore();
                push(output, Buf::linger(conn));
            }
        }
    }
}

/// A `FLUSH` of the chain's own.
fn flush(conn: ConnId, meaning: u32) -> Buf {
    let mut flush = Buf::marker(conn, kind::FLUSH);
    flush.set_kind(kind::FLUSH, meaning);
    flush
}

/// Pushes where there is room, as was checked before.
#[inline(always)]
fn push(output: &mut Burst, buf: Buf) {
    let pushed = output.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Chain for Http1 {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM
            && let Some(mut buf) = input.pop()
        {
            if buf.kind() == kind::FLUSHED && buf.meta() == RESUMED {
                match self.take_waiting(cx, buf, output) {
                    Ok(()) => continue,
                    Err(marker) => buf = marker,
                }
            } else if let Some(rest) = self.take(cx, buf, output) {
                buf = rest;
            } else {
                continue;
            }
            let back = input.unpop(buf);
            assert!(back.is_ok(), "it was just popped");
            return;
        }
    }

    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        // Where something may have to be added to what the handler says, it is looked at one by one.
        if cx.draining || !self.waiting.is_empty() {
            return self.egress_one_by_one(cx, input, output);
        }
        let before = output.len();
        output.take_from(input);
        for buf in &mut output.as_mut_slice()[before..] {
            if let Some(session) = self.sessions.get_mut(buf.conn()) {
                session.sent(cx.now, buf);
            }
        }
    }

    fn waiting(&self) -> SlotCounts {
        *self.waiting.slots()
    }

    /// Bytes alone, and where another protocol has taken over from HTTP.
    fn admits(&mut self, conn: ConnId, kind: u8) -> Admission {
        let session = self.sessions.get_mut(conn);
        let raw = kind == kind::DATA && session.is_some_and(|session| session.is_upgraded());
        if raw { Admission::Now } else { Admission::Never }
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, session)) = self.sessions.next_from(self.drained) {
            if output.is_full() {
                return;
            }
            if session.lifecycle.is_idle() && session.waiting.is_empty() {
                push(output, Buf::marker(conn, kind::CLOSE));
                session.lifecycle.ignore();
            } else if session.has_to_hear_of_drain() {
                push(output, flush(conn, DRAINS));
            }
            self.drained = conn.slot() + 1;
        }
    }

    /// Each response from here on is the last of its connection, and says so.
    fn retire(&mut self) {
        self.settings.requests_max = 1;
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
