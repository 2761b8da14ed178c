//! HTTP/1.1 on bursts: finds request heads and bodies in what connections receive, and hands them
//! on as sub-bufs of the same slots. The rules of the protocol are in `proto::http1`.

use crate::counters::{Counter, Reason};
use crate::limits::{HTTP_HEAD_NS, SMALL_SLOT_BYTES};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::{Chain, Cx, SessionTable};
use crate::proto::http1::{
    Body, BodyLength, Head, Limits, Method, Version, decode_head, resume_head,
};
use crate::time::Instant;

/// A request head, validated and contiguous, from the method through the blank line. Its meta is a
/// [`HeadMeta`].
pub const HEAD: u8 = kind::PROTOCOL;
/// The next bytes of a request's body; meta 1 on the last of them. A body of `Content-Length: 0`
/// has none: its head says so.
pub const BODY: u8 = kind::PROTOCOL + 1;
/// A request that broke a rule: meta is the status of the answer, after which the connection is
/// closed. No bytes.
pub const FAULT: u8 = kind::PROTOCOL + 2;
/// The peer waits for `100 Continue` before it sends the body of the head that comes next: the word
/// has to be out before any part of the answer (RFC 9110 §15.2). No bytes.
pub const CONTINUE: u8 = kind::PROTOCOL + 3;

/// The status for a head that there is no room for.
const UNAVAILABLE: u16 = 503;
/// The status for a body that cannot be served.
const NOT_IMPLEMENTED: u16 = 501;

/// What a stage knows of a request head beside its bytes, in the 24 bits of a buf's meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadMeta(u32);

impl HeadMeta {
    const METHOD_BITS: u32 = 4;
    const TARGET_BITS: u32 = 13;
    const FLAGS: u32 = Self::METHOD_BITS + Self::TARGET_BITS;
    const KEEP_ALIVE: u32 = 1 << Self::FLAGS;
    const HTTP10: u32 = 2 << Self::FLAGS;
    const BODY: u32 = 4 << Self::FLAGS;

    fn new(head: &Head, keep_alive: bool, has_body: bool) -> Self {
        debug_assert!(head.target_len < 1 << Self::TARGET_BITS);
        let flag = |set, flag| if set { flag } else { 0 };
        Self(
            head.method as u32
                | head.target_len << Self::METHOD_BITS
                | flag(keep_alive, Self::KEEP_ALIVE)
                | flag(head.version == Version::Http10, Self::HTTP10)
                | flag(has_body, Self::BODY),
        )
    }

    /// The meta of a buf of kind [`HEAD`].
    #[inline]
    pub fn of(buf: &Buf) -> Self {
        debug_assert!(buf.kind() == HEAD);
        Self(buf.meta())
    }

    /// The method.
    #[inline]
    pub fn method(self) -> Method {
        const ALL: [Method; 10] = [
            Method::Get,
            Method::Head,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Connect,
            Method::Options,
            Method::Trace,
            Method::Patch,
            Method::Other,
        ];
        ALL[(self.0 & ((1 << Self::METHOD_BITS) - 1)) as usize]
    }

    /// Bytes of the request target.
    #[inline]
    pub fn target_bytes(self) -> usize {
        (self.0 >> Self::METHOD_BITS) as usize & ((1 << Self::TARGET_BITS) - 1)
    }

    /// Whether the connection goes on after the reply.
    #[inline]
    pub fn keep_alive(self) -> bool {
        self.0 & Self::KEEP_ALIVE != 0
    }

    /// Whether the request is HTTP/1.0, whose peers have to be told of a connection that goes on.
    #[inline]
    pub fn http10(self) -> bool {
        self.0 & Self::HTTP10 != 0
    }

    /// Whether bufs of kind [`BODY`] follow.
    #[inline]
    pub fn has_body(self) -> bool {
        self.0 & Self::BODY != 0
    }
}

/// What the next byte of a connection is.
#[derive(Debug)]
enum Expect {
    /// The first of a request head, or what follows the part of one in the stash.
    Head,
    /// Part of a body.
    Body(Body),
    /// Nothing that matters: the last request was answered or refused.
    Nothing,
}

/// One connection.
struct Session {
    expect: Expect,
    /// The beginning of a head whose end is still to come, and when it began.
    stash: Option<Stash>,
    /// The last request of the connection has been seen.
    last: bool,
}

/// Part of a head.
struct Stash {
    buf: Buf,
    since: Instant,
}

/// The chain. Messages to the handler are of the kinds [`HEAD`], [`BODY`], [`FAULT`] and
/// [`CONTINUE`], beside the markers; what the handler pushes is sent as it is.
pub struct Http1 {
    limits: Limits,
    stashes: Stashes,
    sessions: SessionTable<Session>,
    /// Slots below it have been asked to close.
    drained: u32,
}

/// How many sessions may hold part of a head at a time: each holds a slot of the pool, which no
/// reply can then have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StashBounds {
    /// In slots of any size.
    pub all: u32,
    /// In slots that are larger than a small one.
    pub large: u32,
}

/// How many sessions hold part of a head.
struct Stashes {
    held: u32,
    held_large: u32,
    bounds: StashBounds,
}

impl Stashes {
    fn count(&mut self, stash: &Stash) {
        self.held += 1;
        self.held_large += u32::from(stash.is_large());
    }

    fn forget(&mut self, stash: &Stash) {
        self.held -= 1;
        self.held_large -= u32::from(stash.is_large());
    }
}

impl Stash {
    fn is_large(&self) -> bool {
        self.buf.capacity() > SMALL_SLOT_BYTES as usize
    }
}

/// What became of a buf.
enum Step {
    /// Used up, or kept in the session.
    Done,
    /// These bytes are still to be looked at.
    Rest(Buf),
    /// The pool has no slot for it now: it must come back later.
    Stalled(Buf),
}

impl Http1 {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, limits: Limits, bounds: StashBounds) -> Self {
        let stashes = Stashes { held: 0, held_large: 0, bounds };
        Self { limits, stashes, sessions: SessionTable::new(slots), drained: 0 }
    }

    fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Step {
        let Some(session) = self.sessions.get_mut(buf.conn()) else {
            cx.drop_buf(buf, Reason::StaleConnection);
            return Step::Done;
        };
        match &mut session.expect {
            Expect::Head if session.stash.is_some() => {
                session.more_head(cx, &self.limits, &mut self.stashes, buf, output)
            }
            Expect::Head => session.head(cx, &self.limits, &mut self.stashes, buf, output),
            Expect::Body(body) => {
                let mut rest = buf;
                let mut part = match body.take(rest.len()) {
                    all if all == rest.len() => {
                        std::mem::replace(&mut rest, Buf::marker(ConnId::NONE, kind::DATA))
                    }
                    some => rest.split_to(some),
                };
                let done = body.is_done();
                part.set_kind(BODY, u32::from(done));
                let conn = part.conn();
                push(output, part);
                if done {
                    session.expect = session.after_message();
                    if cx.draining && !session.last {
                        // Its head promised that the connection goes on; it does not.
                        session.expect = Expect::Nothing;
                        push(output, Buf::linger(conn));
                    }
                }
                if rest.is_empty() { Step::Done } else { Step::Rest(rest) }
            }
            Expect::Nothing => {
                cx.drop_buf(buf, Reason::Protocol);
                Step::Done
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

impl Session {
    fn new() -> Self {
        Self { expect: Expect::Head, stash: None, last: false }
    }

    fn is_idle(&self) -> bool {
        matches!(self.expect, Expect::Head) && self.stash.is_none()
    }

    fn after_message(&self) -> Expect {
        if self.last { Expect::Nothing } else { Expect::Head }
    }

    /// Looks for a head at the start of `buf`.
    #[inline]
    fn head(
        &mut self,
        cx: &mut Cx,
        limits: &Limits,
        stashes: &mut Stashes,
        buf: Buf,
        output: &mut Burst,
    ) -> Step {
        match decode_head(&buf, limits) {
            Ok(Some(head)) => self.emit(cx, &head, buf, output),
            Ok(None) if stashes.held < stashes.bounds.all => {
                stashes.count(self.stash.insert(Stash { buf, since: cx.now }));
                Step::Done
            }
            Ok(None) => self.refuse(cx, UNAVAILABLE, buf, output),
            Err(fault) => self.refuse(cx, fault.status(), buf, output),
        }
    }

    /// Puts `buf` behind the part of a head in the stash. Only a head is copied: what follows it
    /// in `buf` is handed on from there.
    #[cold]
    fn more_head(
        &mut self,
        cx: &mut Cx,
        limits: &Limits,
        stashes: &mut Stashes,
        buf: Buf,
        output: &mut Burst,
    ) -> Step {
        let mut stash = self.stash.take().expect("the caller saw it");
        stashes.forget(&stash);
        let (seen, since) = (stash.buf.len(), stash.since);
        let wanted = buf.len().min((limits.head_bytes as usize).saturating_sub(seen));
        if !join(cx, &mut stash.buf, &buf[..wanted]) {
            if stashes.held_large >= stashes.bounds.large {
                // No use to wait: other stashes have the slots, and may keep them.
                return self.refuse(cx, UNAVAILABLE, buf, output);
            }
            stashes.count(self.stash.insert(stash));
            return Step::Stalled(buf);
        }
        let mut joined = stash.buf;
        match resume_head(&joined, seen, limits) {
            Ok(Some(head)) => {
                let mut rest = buf;
                rest.advance(head.head_len as usize - seen);
                joined.truncate(head.head_len as usize);
                match self.emit(cx, &head, joined, output) {
                    Step::Done if rest.is_empty() => Step::Done,
                    _ => Step::Rest(rest),
                }
            }
            Ok(None) => {
                stashes.count(self.stash.insert(Stash { buf: joined, since }));
                Step::Done
            }
            Err(fault) => self.refuse(cx, fault.status(), joined, output),
        }
    }

    /// Hands the head at the start of `buf` on.
    #[inline]
    fn emit(&mut self, cx: &mut Cx, head: &Head, mut buf: Buf, output: &mut Burst) -> Step {
        let body = match head.body {
            BodyLength::None | BodyLength::Length(0) => None,
            BodyLength::Length(bytes) => Some(Body::new(bytes)),
            // Chunked bodies are not served yet; the peer is told so.
            BodyLength::Chunked => {
                return self.refuse(cx, NOT_IMPLEMENTED, buf, output);
            }
        };
        let keep_alive = head.keep_alive && !cx.draining;
        self.last = !keep_alive;
        let meta = HeadMeta::new(head, keep_alive, body.is_some());
        let head_bytes = head.head_len as usize;
        let rest = if buf.len() == head_bytes {
            None
        } else {
            let rest = buf.slice(head_bytes, buf.len());
            buf.truncate(head_bytes);
            Some(rest)
        };
        buf.advance(head.method_range().start);
        buf.set_kind(HEAD, meta.0);
        let conn = buf.conn();
        if body.is_some() && head.expect_continue && rest.is_none() {
            // Before the head: its answer may begin at once.
            push(output, Buf::marker(conn, CONTINUE));
        }
        push(output, buf);
        cx.counters.add(Counter::Messages, 1);
        self.expect = body.map_or_else(|| self.after_message(), Expect::Body);
        rest.map_or(Step::Done, Step::Rest)
    }

    /// Lets the handler answer with `status`, and ignores the connection from here on.
    #[cold]
    fn refuse(&mut self, cx: &mut Cx, status: u16, buf: Buf, output: &mut Burst) -> Step {
        let mut marker = Buf::marker(buf.conn(), FAULT);
        marker.set_kind(FAULT, status.into());
        push(output, marker);
        cx.drop_buf(buf, Reason::Protocol);
        self.expect = Expect::Nothing;
        self.last = true;
        Step::Done
    }
}

/// Appends `bytes` to the stash, in a larger slot where its own is too small or shared. `false`, and
/// nothing done: no slot is free.
fn join(cx: &mut Cx, stash: &mut Buf, bytes: &[u8]) -> bool {
    if !stash.append(bytes) {
        let Some(mut joined) = cx.alloc(stash.len() + bytes.len(), stash.conn()) else {
            return false;
        };
        let fits = joined.append(stash) && joined.append(bytes);
        assert!(fits, "the slot was allocated for both");
        *stash = joined;
    }
    cx.counters.add(Counter::HeadBytesCopied, bytes.len() as u64);
    true
}

impl Chain for Http1 {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= 2
            && let Some(mut buf) = input.pop()
        {
            let conn = buf.conn();
            match buf.kind() {
                kind::OPEN => {
                    let session = self.sessions.open(conn, Session::new());
                    push(output, buf);
                    if cx.draining {
                        session.expect = Expect::Nothing;
                        push(output, Buf::linger(conn));
                    }
                }
                kind::CLOSED => {
                    let session = self.sessions.close(conn);
                    if let Some(stash) = session.and_then(|session| session.stash) {
                        self.stashes.forget(&stash);
                    }
                    push(output, buf);
                }
                // A request that is not whole by now never will be.
                kind::EOF => push(output, Buf::marker(conn, kind::CLOSE)),
                _ => loop {
                    match self.receive(cx, buf, output) {
                        Step::Done => break,
                        Step::Rest(rest) if output.room() >= 2 => buf = rest,
                        Step::Rest(rest) | Step::Stalled(rest) => {
                            let back = input.unpop(rest);
                            assert!(back.is_ok(), "it was just popped");
                            return;
                        }
                    }
                },
            }
        }
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, session)) = self.sessions.next_from(self.drained) {
            if session.is_idle() {
                if output.push(Buf::marker(conn, kind::CLOSE)).is_err() {
                    return;
                }
                session.expect = Expect::Nothing;
            }
            self.drained = conn.slot() + 1;
        }
    }

    fn tick(&mut self, cx: &mut Cx, output: &mut Burst) {
        let mut from = 0;
        while self.stashes.held > 0
            && let Some((conn, session)) = self.sessions.next_from(from)
        {
            from = conn.slot() + 1;
            let Some(stash) = &session.stash else { continue };
            if cx.now.ns_since(stash.since) < HTTP_HEAD_NS {
                continue;
            }
            if output.push(Buf::linger(conn)).is_err() {
                return;
            }
            self.stashes.forget(stash);
            session.stash = None;
            session.expect = Expect::Nothing;
        }
    }
}
