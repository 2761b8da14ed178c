//! Requests that an attached process answers: `handler = "port:NAME"` before protocol http. The head
//! and the body of a request pass to it as they lie in their slots; of its responses ringway writes
//! the heads.

mod answers;
mod asked;

use std::collections::VecDeque;

use super::{Body, Pull, Ready, Reply, Request, Response, Service};
use crate::counters::Counter;
use crate::mem::{Buf, ConnId, Share, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::{BODY, TRAILERS};
use crate::port::{self, Fault, PortIndex, Stall};
use crate::proto::http1::Method;
use crate::time::Instant;
use asked::{Answer, Asked, Requests};

/// Seconds after which a client may try again while no process is attached (RFC 9110 §10.2.3).
const RETRY_AFTER: &[(&str, &[u8])] = &[("Retry-After", b"1")];

/// What became of something that belongs to a request.
enum Passed {
    On,
    /// There is no room for it now.
    Busy,
    /// The process does not wait for it.
    ToNobody,
}

/// Passes requests to the process at a port. Those of one connection that may be done side by side are
/// with it at the same time; it answers them in any order, and the peer gets the answers in theirs.
pub struct PortService {
    port: PortIndex,
    requests: Requests,
    /// Number of the request that was sent last.
    number: u32,
    /// Requests whose answers are waited for, with the time from which on they are looked at; some
    /// have been answered since.
    awaited: VecDeque<(ConnId, u32, Instant)>,
    /// How long the process may take to begin an answer, or to go on with it.
    timeout_ns: u64,
    /// What there was no room in the ring to tell.
    unsaid: VecDeque<(Buf, u32)>,
    /// Connections that the process wanted cut off before their turn had come.
    lost: VecDeque<ConnId>,
    /// Which attachment the requests are with.
    attachment: Option<u32>,
    /// After a process went: requests of connections below it have been given up.
    given_up: Option<usize>,
    stall: Stall,
    /// How long the process may take nothing of what waits for it.
    stall_ns: u64,
    /// What may wait of its answers while the pool is short of slots.
    share: Share,
    /// Where the look for a connection that holds what is before its turn goes on.
    hoards_from: usize,
}

impl PortService {
    /// A service for connections with slots below `slots`, whose process may take `timeout_ns` to begin an
    /// answer, or to go on with it, and `stall_ns` to take what waits for it.
    pub fn new(slots: u32, port: PortIndex, timeout_ns: u64, stall_ns: u64) -> Self {
        Self {
            port,
            requests: Requests::new(slots),
            number: 0,
            awaited: VecDeque::with_capacity(2 * slots as usize),
            timeout_ns,
            unsaid: VecDeque::new(),
            lost: VecDeque::new(),
            attachment: None,
            given_up: None,
            stall: Stall::default(),
            stall_ns,
            share: Share::WHOLE,
            hoards_from: 0,
        }
    }

    /// The same, of whose process's answers no more than this waits while the pool is short of slots.
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        // Each of them may be answered ahead of its turn, in a small slot.
        self.requests.bound_ahead(share.most(0) as usize);
        self
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
        // Each request leaves a word to say in the end: no more of them while there is no room for those.
        if !self.unsaid.is_empty() {
            self.say_rest(cx);
        }
        if !self.unsaid.is_empty() {
            return Err(buf.len());
        }
        let Some(queue) = cx.ports.queue(self.port) else { return Err(buf.len()) };
        let Err(rest) = queue.send(buf, request) else {
            self.stall.clear();
            return Ok(());
        };
        if self.stall.look(queue, cx.now, self.stall_ns) {
            self.cut(cx, Fault::Stalled);
        }
        Err(rest.len())
    }

    /// Passes a share of what belongs to a request's body on.
    fn pass_on(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, kind: u8, meta: u32) -> Passed {
        self.look(cx);
        let attachment = self.attachment;
        let asked = self.requests.front(conn).filter(|asked| attachment == Some(asked.attachment));
        let Some(asked) = asked.filter(|asked| asked.is_open()) else { return Passed::ToNobody };
        let (number, begun) = (asked.number, asked.begun as usize);
        if !cx.ports.queue(self.port).is_some_and(|queue| queue.may_send(part)) {
            asked.is_behind = true;
            return Passed::Busy;
        }
        let mut share = part.slice(begun, part.len());
        share.set_kind(kind, meta);
        let left = self.send(cx, share, number).err();
        let sent = left.is_none();
        if let Some(asked) = self.requests.front(conn) {
            asked.is_behind = !sent;
            // What is left of it comes again with the whole.
            asked.begun = left.map_or(0, |left| (part.len() - left) as u32);
            if sent {
                asked.body_open = (kind, meta) != (BODY, 1);
                asked.since = cx.now;
            }
        }
        if sent { Passed::On } else { Passed::Busy }
    }

    /// Tells the process something about `conn`, now or when there is room.
    fn say(&mut self, cx: &mut Cx, conn: ConnId, kind: u8, request: u32) {
        self.unsaid.push_back((Buf::marker(conn, kind), request));
        self.say_rest(cx);
    }

    fn say_rest(&mut self, cx: &mut Cx) {
        while let Some((mut word, request)) = self.unsaid.pop_front() {
            let Some(queue) = cx.ports.queue(self.port) else { return self.unsaid.clear() };
            let conn = word.conn();
            let is_credit = word.kind() == port::kind::CREDIT;
            // More may have gone out since it was found due.
            let parts = if is_credit { self.requests.untold(conn) } else { 0 };
            word.set_kind(word.kind(), parts);
            if let Err(word) = queue.send(word, request) {
                let is_stalled = self.stall.look(queue, cx.now, self.stall_ns);
                self.unsaid.push_front((word, request));
                if is_stalled {
                    self.cut(cx, Fault::Stalled);
                }
                return;
            }
            if is_credit {
                self.requests.told(conn, parts);
            }
        }
    }

    /// Sends a request, which is `called` when its turn has come; `false`: there is no room for it now.
    fn ask(&mut self, cx: &mut Cx, request: &Request<'_>, attachment: u32, called: bool) -> bool {
        // 0 is no request's.
        let number = self.number.checked_add(1).unwrap_or(1);
        let share = request.share();
        // One that is ahead of its turn leaves enough to other connections.
        let queue = cx.ports.queue(self.port);
        let may_send = called || queue.is_some_and(|queue| queue.may_send(&share));
        if !may_send || self.send(cx, share, number).is_err() {
            return false;
        }
        self.number = number;
        let (method, body_open) = (request.method(), request.has_body());
        let mut asked = Asked::new(request.conn(), number, attachment, cx.now);
        asked.called = called;
        asked.is_head = method == Method::Head;
        asked.is_safe = !body_open && is_safe(method);
        asked.body_open = body_open;
        self.requests.push(asked);
        true
    }

    /// Looks at a request again when the process has had its time.
    fn await_answer(&mut self, cx: &Cx, conn: ConnId, number: u32) {
        if self.awaited.len() == self.awaited.capacity() {
            let requests = &mut self.requests;
            self.awaited.retain(|&(conn, number, _)| {
                requests.find(conn, number).is_some_and(|asked| asked.is_open())
            });
        }
        self.awaited.push_back((conn, number, cx.now));
    }

    /// A request whose turn has come and with which the process was asked before: what is there of
    /// its answer. `None`: there is no such request.
    fn turn(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Reply> {
        let attachment = self.attachment;
        let asked = self.requests.call_front(conn, cx.now)?;
        let (answer, number) = (asked.answer, asked.number);
        let gone = asked.is_open() && attachment != Some(asked.attachment);
        if gone {
            self.requests.pop(conn);
            return Some(unanswered().into());
        }
        if asked.is_open() {
            self.await_answer(cx, conn, number);
        }
        Some(match answer {
            Answer::Awaited => Reply::Later,
            Answer::Begun | Answer::Whole => match self.respond(cx, conn) {
                Some(response) => Reply::Response(response),
                None => self.lose_later(conn),
            },
            Answer::Lost => self.lose_later(conn),
        })
    }

    /// Has a connection cut off that is looked at right now.
    #[cold]
    fn lose_later(&mut self, conn: ConnId) -> Reply {
        self.lost.push_back(conn);
        Reply::Later
    }

    /// A connection that is to be cut off.
    #[cold]
    fn next_lost(&mut self) -> Option<Ready> {
        while let Some(conn) = self.lost.pop_front() {
            if self.requests.front(conn).is_some_and(|asked| asked.answer == Answer::Lost) {
                return Some(Ready::Lost(conn));
            }
        }
        None
    }

    /// The oldest request that the process takes too long to answer, or to go on answering.
    fn overdue(&mut self, cx: &mut Cx) -> Option<Ready> {
        while let Some(&(conn, number, at)) = self.awaited.front() {
            let asked = self.requests.find(conn, number).filter(|asked| asked.is_open());
            let Some(asked) = asked else {
                self.awaited.pop_front();
                continue;
            };
            if cx.now.ns_since(at) < self.timeout_ns {
                return None;
            }
            self.awaited.pop_front();
            // It may wait itself: for its parts to be sent, or for a body that is slow to come.
            let waits = !asked.parts.is_empty() || asked.body_open && !asked.is_behind;
            if waits || cx.now.ns_since(asked.since) < self.timeout_ns {
                self.await_answer(cx, conn, number);
                continue;
            }
            cx.counters.add(Counter::Timeouts, 1);
            if asked.answer == Answer::Begun {
                return Some(Ready::Lost(conn));
            }
            self.requests.pop(conn);
            self.say(cx, conn, kind::CLOSED, number);
            return Some(Ready::Response(conn, Response::text(504, "no answer in time\n")));
        }
        None
    }

    /// Forgets a request that is answered for a process that is gone, before `give_up` comes to it.
    #[cold]
    fn forget_gone(&mut self, conn: ConnId) {
        let attachment = self.attachment;
        let gone =
            |asked: &Asked| asked.answer == Answer::Awaited && attachment != Some(asked.attachment);
        if self.requests.front(conn).is_some_and(|asked| gone(asked)) {
            self.requests.pop(conn);
        }
    }

    #[cold]
    fn cut(&mut self, cx: &mut Cx, fault: Fault) {
        cx.counters.add(Counter::PortFaults, 1);
        cx.ports.cut(self.port, fault);
    }

    /// Gives the requests up that were with a process that is gone, one at a time. Those whose turn has
    /// not come are looked at then.
    #[cold]
    fn give_up(&mut self) -> Option<Ready> {
        while let Some(index) = self.given_up {
            let Ok(front) = self.requests.front_at(index) else {
                self.given_up = None;
                break;
            };
            self.given_up = Some(index + 1);
            let Some(asked) = front.filter(|asked| asked.called) else { continue };
            if self.attachment == Some(asked.attachment) {
                continue;
            }
            let (conn, answer) = (asked.conn, asked.answer);
            match answer {
                Answer::Awaited => {
                    self.requests.pop(conn);
                    return Some(Ready::Response(conn, unanswered()));
                }
                Answer::Begun => return Some(Ready::Lost(conn)),
                Answer::Whole | Answer::Lost => {}
            }
        }
        None
    }
}

/// No process has answered.
fn unanswered() -> Response {
    Response::text(502, "the application ended before it answered\n")
}

/// Whether requests of this method may be done side by side (RFC 9110 §9.2.1).
fn is_safe(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace)
}

impl Service for PortService {
    #[inline]
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        self.look(cx);
        let conn = request.conn();
        if let Some(reply) = self.turn(cx, conn) {
            return reply;
        }
        let Some(attachment) = self.attachment else {
            cx.counters.add(Counter::PortUnattended, 1);
            let refusal = Response::text(503, "no application is attached\n");
            return refusal.static_fields(RETRY_AFTER).into();
        };
        if !self.ask(cx, request, attachment, true) {
            return Reply::Busy;
        }
        self.await_answer(cx, conn, self.number);
        Reply::Later
    }

    fn ahead(&mut self, cx: &mut Cx, request: &Request<'_>) -> bool {
        self.look(cx);
        let Some(attachment) = self.attachment else { return false };
        is_safe(request.method())
            && self.requests.may_go_ahead(request.conn())
            && self.ask(cx, request, attachment, false)
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        match self.pass_on(cx, conn, part, BODY, u32::from(last)) {
            Passed::On => Reply::Later,
            Passed::Busy => Reply::Busy,
            Passed::ToNobody if last => {
                self.forget_gone(conn);
                unanswered().into()
            }
            Passed::ToNobody => Reply::Body,
        }
    }

    fn trailer_lines(&mut self, cx: &mut Cx, conn: ConnId, lines: &Buf) -> bool {
        !matches!(self.pass_on(cx, conn, lines, TRAILERS, 0), Passed::Busy)
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let Some((part, counted)) = self.requests.pop_part(conn) else {
            return match self.requests.front(conn) {
                Some(asked) if asked.is_open() => Pull::Wait,
                _ => {
                    self.requests.pop(conn);
                    Pull::End
                }
            };
        };
        if let Some(asked) = self.requests.front(conn) {
            asked.since = cx.now;
            let number = asked.number;
            if counted {
                self.credit(cx, conn, number, 1);
            }
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
        if !self.lost.is_empty()
            && let Some(ready) = self.next_lost()
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
        while let Some(asked) = self.requests.front(conn) {
            let (number, open) = (asked.number, asked.is_open());
            let tells = open && self.attachment == Some(asked.attachment);
            self.requests.pop(conn);
            if tells {
                self.say(cx, conn, kind::CLOSED, number);
            }
        }
        self.requests.forget(conn);
    }
}

const _: () = assert!(BODY == port::kind::BODY, "a port's kinds are the chain's");
