//! Requests that an attached process answers: `handler = "port:NAME"` before protocol http. The head
//! and the body of a request pass to it as they lie in their slots; of its responses ringway writes
//! the heads.

use std::collections::VecDeque;

use super::{Body, Pull, Ready, Reply, Request, Response, Service};
use crate::counters::{Counter, Reason};
use crate::limits::{HTTP_HELD_BUFS, PORT_STALL_NS, PORT_WINDOW_BUFS};
use crate::mem::{Buf, BufList, BufStore, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::BODY;
use crate::port::{self, Fault, PortIndex, Received, ResponseMeta, Stall};
use crate::proto::http1::Method;
use crate::time::Instant;

/// Parts of a body that are told to the process together, once they are out.
const CREDIT_BUFS: u32 = 32;

const _: () = assert!(CREDIT_BUFS < PORT_WINDOW_BUFS);

/// Seconds after which a client may try again while no process is attached (RFC 9110 §10.2.3).
const RETRY_AFTER: &[(&str, &[u8])] = &[("Retry-After", b"1")];

/// How far the response of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// No request is with the process.
    None,
    /// One is, and nothing has come back.
    Awaited,
    /// Its head has, and more of the body is to come.
    Streaming,
    /// All of the body has.
    Whole,
}

struct Slot {
    conn: ConnId,
    /// Number of the request.
    request: u32,
    /// Which attachment it is with.
    attachment: u32,
    /// It is HEAD, whose response has no body.
    is_head: bool,
    answer: Answer,
    /// Parts of the body that have come, and are not sent yet.
    parts: BufList,
    waiting: u32,
    /// Parts that were sent since the process was told.
    untold: u32,
    /// The first part that waits came with the head, and is not counted.
    has_first: bool,
    /// Bytes of the part of the request's body that comes next which the process has: one that is
    /// larger than any slot of an isolated port goes in pieces.
    begun: usize,
}

impl Slot {
    const NONE: Self = Self {
        conn: ConnId::NONE,
        request: 0,
        attachment: 0,
        is_head: false,
        answer: Answer::None,
        parts: BufList::EMPTY,
        waiting: 0,
        untold: 0,
        has_first: false,
        begun: 0,
    };
}

/// Passes requests to the process at a port.
pub struct PortService {
    port: PortIndex,
    slots: Box<[Slot]>,
    parts: BufStore,
    requests: u32,
    /// Those that the process has not answered, oldest first, with the time they were sent at; some have
    /// been answered since.
    asked: VecDeque<(u32, u32, Instant)>,
    /// How long it may take to answer.
    timeout_ns: u64,
    /// What there was no room in the ring to tell.
    unsaid: VecDeque<(Buf, u32)>,
    /// Which attachment the requests are with.
    attachment: Option<u32>,
    /// After a process went: requests of connections below it have been given up.
    given_up: Option<usize>,
    stall: Stall,
}

impl PortService {
    /// A service for connections with slots below `slots`, whose process may take `timeout_ns` to begin an
    /// answer.
    pub fn new(slots: u32, port: PortIndex, timeout_ns: u64) -> Self {
        Self {
            port,
            slots: (0..slots).map(|_| Slot::NONE).collect(),
            parts: BufStore::new(HTTP_HELD_BUFS),
            requests: 0,
            asked: VecDeque::with_capacity(slots as usize),
            timeout_ns,
            unsaid: VecDeque::new(),
            attachment: None,
            given_up: None,
            stall: Stall::default(),
        }
    }

    /// Takes note of a process that came or went.
    fn look(&mut self, cx: &mut Cx) {
        let attached = cx.ports.queue(self.port).is_some();
        let attachment = attached.then(|| cx.ports.attachments(self.port));
        if attachment != self.attachment {
            self.attachment = attachment;
            self.stall.clear();
            self.unsaid.clear();
            self.given_up = Some(0);
        }
    }

    /// Sends `buf` of a request; or says how many bytes of it there is no room for now.
    fn send(&mut self, cx: &mut Cx, buf: Buf, request: u32) -> Result<(), usize> {
        let Some(queue) = cx.ports.queue(self.port) else { return Err(buf.len()) };
        let Err(rest) = queue.send(buf, request) else {
            self.stall.clear();
            return Ok(());
        };
        if self.stall.look(queue, cx.now, PORT_STALL_NS) {
            self.cut(cx, Fault::Stalled);
        }
        Err(rest.len())
    }

    /// Tells the process something about `conn`, now or when there is room.
    fn say(&mut self, cx: &mut Cx, conn: ConnId, kind: u8, meta: u32, request: u32) {
        let mut word = Buf::marker(conn, kind);
        word.set_kind(kind, meta);
        self.unsaid.push_back((word, request));
        self.say_rest(cx);
    }

    fn say_rest(&mut self, cx: &mut Cx) {
        while let Some((word, request)) = self.unsaid.pop_front() {
            let Some(queue) = cx.ports.queue(self.port) else { return self.unsaid.clear() };
            if let Err(word) = queue.send(word, request) {
                return self.unsaid.push_front((word, request));
            }
        }
    }

    /// The oldest request that the process takes too long to answer.
    fn overdue(&mut self, cx: &mut Cx) -> Option<Ready> {
        while let Some(&(index, request, since)) = self.asked.front() {
            let slot = &self.slots[index as usize];
            let awaited = slot.request == request && slot.answer == Answer::Awaited;
            if awaited && cx.now.ns_since(since) < self.timeout_ns {
                return None;
            }
            self.asked.pop_front();
            if awaited {
                let conn = slot.conn;
                cx.counters.add(Counter::Timeouts, 1);
                self.closed(cx, conn);
                return Some(Ready::Response(conn, Response::text(504, "no answer in time\n")));
            }
        }
        None
    }

    #[cold]
    fn cut(&mut self, cx: &mut Cx, fault: Fault) {
        cx.counters.add(Counter::PortFaults, 1);
        cx.ports.cut(self.port, fault);
    }

    /// Gives the requests up that were with a process that is gone, one at a time.
    #[cold]
    fn give_up(&mut self) -> Option<Ready> {
        while let Some(index) = self.given_up {
            let Some(slot) = self.slots.get_mut(index) else {
                self.given_up = None;
                break;
            };
            self.given_up = Some(index + 1);
            let (conn, answer) = (slot.conn, slot.answer);
            if self.attachment == Some(slot.attachment) {
                continue;
            }
            match answer {
                Answer::Awaited => {
                    self.forget(index);
                    return Some(Ready::Response(conn, unanswered()));
                }
                Answer::Streaming => {
                    self.forget(index);
                    return Some(Ready::Lost(conn));
                }
                Answer::None | Answer::Whole => {}
            }
        }
        None
    }

    fn forget(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        while self.parts.pop(&mut slot.parts).is_some() {}
        *slot = Slot::NONE;
    }

    /// What the process says of a request.
    fn on_word(&mut self, cx: &mut Cx, word: Buf, request: u32) -> Result<Option<Ready>, Fault> {
        let conn = word.conn();
        let slot = self.slots.get_mut(conn.slot() as usize);
        let Some(slot) = slot.filter(|slot| slot.conn == conn && slot.request == request) else {
            // It may have ended while the word was under way.
            cx.drop_buf(word, Reason::StaleConnection);
            return Ok(None);
        };
        match (word.kind(), slot.answer) {
            (port::kind::RESPONSE, Answer::Awaited) => Ok(Some(self.on_response(cx, word))),
            (BODY, Answer::Streaming) => Ok(Some(self.on_part(cx, word))),
            (kind::ABORT | kind::CLOSE, Answer::Awaited | Answer::Streaming) => {
                self.forget(conn.slot() as usize);
                Ok(Some(Ready::Lost(conn)))
            }
            (port::kind::RESPONSE | BODY | kind::ABORT | kind::CLOSE, _) => {
                cx.drop_buf(word, Reason::StaleConnection);
                Ok(None)
            }
            _ => Err(Fault::Kind),
        }
    }

    fn on_response(&mut self, cx: &mut Cx, mut word: Buf) -> Ready {
        let (conn, meta) = (word.conn(), ResponseMeta::of_meta(word.meta()));
        let slot = &mut self.slots[conn.slot() as usize];
        word.set_kind(kind::DATA, 0);
        let fields_bytes = usize::from(meta.fields_bytes).min(word.len());
        let lines = (fields_bytes > 0).then(|| word.split_to(fields_bytes));
        let body = if meta.whole {
            *slot = Slot::NONE;
            if word.is_empty() { Body::Bytes([].as_slice().into()) } else { Body::Buf(word) }
        } else if slot.is_head || matches!(meta.status, 204 | 304) {
            // What the process goes on to say is for nobody.
            self.closed(cx, conn);
            Body::Stream(None)
        } else {
            slot.answer = Answer::Streaming;
            slot.has_first = !word.is_empty();
            if !word.is_empty() && self.parts.push(&mut slot.parts, word).is_err() {
                cx.counters.drop_one(Reason::Protocol);
                self.forget(conn.slot() as usize);
                return Ready::Lost(conn);
            }
            Body::Stream(None)
        };
        let response = Response::new(meta.status, body);
        let response = match lines {
            Some(lines) => response.field_lines(lines),
            None => response,
        };
        Ready::Response(conn, response)
    }

    fn on_part(&mut self, cx: &mut Cx, word: Buf) -> Ready {
        let conn = word.conn();
        let slot = &mut self.slots[conn.slot() as usize];
        let last = word.meta() != 0;
        slot.waiting += 1;
        let fits = slot.waiting <= PORT_WINDOW_BUFS;
        if !fits || self.parts.push(&mut slot.parts, word).is_err() {
            cx.counters.drop_one(Reason::Protocol);
            self.forget(conn.slot() as usize);
            return Ready::Lost(conn);
        }
        if last {
            slot.answer = Answer::Whole;
        }
        Ready::More(conn)
    }

    fn receive(&mut self, cx: &mut Cx) -> Option<Ready> {
        loop {
            let word = cx.ports.queue(self.port)?.receive();
            let outcome = match word {
                Received::Nothing => return None,
                Received::Message(word, request) => self.on_word(cx, word, request),
                Received::Fault(fault) => Err(fault),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(ready)) => return Some(ready),
                Err(fault) => {
                    self.cut(cx, fault);
                    self.look(cx);
                    return self.give_up();
                }
            }
        }
    }
}

/// No process has answered.
fn unanswered() -> Response {
    Response::text(502, "the application ended before it answered\n")
}

impl Service for PortService {
    #[inline]
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        self.look(cx);
        let Some(attachment) = self.attachment else {
            cx.counters.add(Counter::PortUnattended, 1);
            let refusal = Response::text(503, "no application is attached\n");
            return refusal.static_fields(RETRY_AFTER).into();
        };
        let (conn, number) = (request.conn(), self.requests);
        if self.send(cx, request.share(), number).is_err() {
            return Reply::Busy;
        }
        self.requests = number.wrapping_add(1);
        self.forget(conn.slot() as usize);
        if self.asked.len() == self.asked.capacity() {
            let slots = &self.slots;
            self.asked.retain(|&(index, request, _)| {
                let slot = &slots[index as usize];
                slot.request == request && slot.answer == Answer::Awaited
            });
        }
        self.asked.push_back((conn.slot(), number, cx.now));
        let (is_head, answer) = (request.method() == Method::Head, Answer::Awaited);
        self.slots[conn.slot() as usize] =
            Slot { conn, request: number, attachment, is_head, answer, ..Slot::NONE };
        Reply::Later
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        self.look(cx);
        let slot = &self.slots[conn.slot() as usize];
        let request = slot.request;
        if slot.conn != conn || self.attachment != Some(slot.attachment) {
            return if last { unanswered().into() } else { Reply::Body };
        }
        if !cx.ports.queue(self.port).is_some_and(|queue| queue.may_send(part)) {
            return Reply::Busy;
        }
        let mut share = part.slice(slot.begun, part.len());
        share.set_kind(BODY, u32::from(last));
        let sent = self.send(cx, share, request);
        // What is left of it comes again with the whole.
        self.slots[conn.slot() as usize].begun = sent.err().map_or(0, |left| part.len() - left);
        if sent.is_ok() { Reply::Later } else { Reply::Busy }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let slot = &mut self.slots[conn.slot() as usize];
        if slot.conn != conn {
            return Pull::End;
        }
        let Some(part) = self.parts.pop(&mut slot.parts) else {
            if slot.answer != Answer::Whole {
                return Pull::Wait;
            }
            *slot = Slot::NONE;
            return Pull::End;
        };
        if std::mem::replace(&mut slot.has_first, false) {
            return Pull::Part(part);
        }
        slot.waiting -= 1;
        slot.untold += 1;
        if slot.untold >= CREDIT_BUFS && self.attachment == Some(slot.attachment) {
            let (untold, request) = (slot.untold, slot.request);
            slot.untold = 0;
            self.say(cx, conn, port::kind::CREDIT, untold, request);
        }
        Pull::Part(part)
    }

    fn ready(&mut self, cx: &mut Cx) -> Option<Ready> {
        self.look(cx);
        if self.given_up.is_some()
            && let Some(ready) = self.give_up()
        {
            return Some(ready);
        }
        if !self.unsaid.is_empty() {
            self.say_rest(cx);
        }
        self.overdue(cx).or_else(|| self.receive(cx))
    }

    fn flush(&mut self, cx: &mut Cx) {
        if let Some(queue) = cx.ports.queue(self.port) {
            cx.counters.add(Counter::CopiedBytes, queue.flush());
        }
    }

    fn is_polled(&self) -> bool {
        true
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let slot = &self.slots[conn.slot() as usize];
        if slot.conn != conn {
            return;
        }
        let (request, attachment) = (slot.request, slot.attachment);
        self.forget(conn.slot() as usize);
        if self.attachment == Some(attachment) {
            self.say(cx, conn, kind::CLOSED, 0, request);
        }
    }
}

const _: () = assert!(BODY == port::kind::BODY, "a port's kinds are the chain's");
