//! One connection of the chain: what of it has been read, and since when it waits.

use super::messages::{BODY, ENDS, FAULT, HEAD, HeadMeta, TRAILERS, UPGRADES};
use super::{ROOM, Settings, Step, push};
use crate::counters::{Counter, Reason};
use crate::mem::{Buf, BufList, Burst, ConnId, MessageId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::stash::{NoRoom, StashId, Stashes, portion};
use crate::proto::http1::{
    Body, BodyLength, ChunkDecoder, Head, HeadDecoder, Inbound, Lifecycle, Seen, resume_head,
};
use crate::time::Instant;

/// The status for what there is no room for.
const UNAVAILABLE: u16 = 503;

/// A moment, in units of 2²⁰ ns (about a millisecond), that comes round in 52 days.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp(u32);

impl Stamp {
    pub fn of(now: Instant) -> Self {
        Self((now.as_ns() >> 20) as u32)
    }

    /// Whether `timeout_ns` have passed since.
    pub fn is_older(self, now: Instant, timeout_ns: u64) -> bool {
        u64::from(Self::of(now).0.wrapping_sub(self.0)) >= timeout_ns >> 20
    }
}

/// How the body that is coming is read.
pub(super) enum BodyReader {
    Length(Body),
    Chunks(ChunkDecoder),
}

/// One connection.
pub(super) struct Session {
    pub lifecycle: Lifecycle,
    /// The handler wants nothing more for now.
    pub paused: bool,
    /// What came nevertheless.
    pub waiting: BufList,
    /// Of the body that is coming, while one is.
    reader: BodyReader,
    /// The beginning of a head or of trailers whose end is still to come.
    pub stash: StashId,
    /// Requests seen.
    requests: u32,
    /// When what is waited for began to be.
    pub since: Stamp,
    /// The message that the body belongs to.
    message: MessageId,
}

const _: () = assert!(size_of::<Session>() <= 64, "one cache line a connection");

impl Session {
    pub fn new(now: Instant) -> Self {
        Self {
            lifecycle: Lifecycle::new(),
            paused: false,
            waiting: BufList::EMPTY,
            reader: BodyReader::Length(Body::new(0)),
            stash: StashId::NONE,
            requests: 0,
            since: Stamp::of(now),
            message: MessageId::NONE,
        }
    }

    /// Whether what comes has to wait as it comes.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.paused || self.lifecycle.inbound() == Inbound::Held
    }

    /// Whether something may be under way that goes on by itself.
    pub fn has_to_hear_of_drain(&self) -> bool {
        self.lifecycle.owed() > 0 || self.is_upgraded()
    }

    pub fn is_upgraded(&self) -> bool {
        self.lifecycle.inbound() == Inbound::Upgraded
    }

    /// Looks at the next bytes; pushes at most three bufs.
    #[inline]
    pub fn receive(
        &mut self,
        cx: &mut Cx,
        settings: &Settings,
        stashes: &mut Stashes,
        decoder: &mut HeadDecoder,
        buf: Buf,
        output: &mut Burst,
    ) -> Step {
        match self.lifecycle.inbound() {
            Inbound::First | Inbound::Next => {
                self.heads(cx, settings, stashes, decoder, buf, output)
            }
            Inbound::Head => self.more_head(cx, settings, stashes, buf, output),
            Inbound::Body => self.body(cx, stashes, buf, output),
            Inbound::Upgraded => {
                push(output, buf);
                Step::Done
            }
            // What it means, the answer to the request before it will tell.
            Inbound::Held => Step::Rest(buf),
            Inbound::Ignored => {
                cx.drop_buf(buf, Reason::Protocol);
                Step::Done
            }
        }
    }

    /// Looks for heads from the start of `buf` on.
    #[inline]
    fn heads(
        &mut self,
        cx: &mut Cx,
        settings: &Settings,
        stashes: &mut Stashes,
        decoder: &mut HeadDecoder,
        buf: Buf,
        output: &mut Burst,
    ) -> Step {
        let mut buf = buf;
        loop {
            let head = match decoder.decode(&buf) {
                Ok(Some(head)) => head,
                Ok(None) => return self.keep(cx, stashes, buf, output),
                Err(fault) => return self.refuse(cx, fault.status(), buf, output),
            };
            if !self.is_plain(cx, settings, &head) {
                return self.emit(cx, settings, &head, buf, false, output);
            }
            let head_bytes = head.head_len as usize;
            if buf.len() == head_bytes {
                self.hand_on_plain(cx, &head, buf, output);
                return Step::Done;
            }
            let message = buf.split_to(head_bytes);
            self.hand_on_plain(cx, &head, message, output);
            if output.room() < ROOM {
                return Step::Rest(buf);
            }
        }
    }

    /// Whether nothing but the next request follows a head.
    #[inline(always)]
    fn is_plain(&self, cx: &Cx, settings: &Settings, head: &Head) -> bool {
        head.plain && !cx.draining && self.requests < settings.requests_max - 1
    }

    #[inline(always)]
    fn hand_on_plain(&mut self, cx: &mut Cx, head: &Head, mut buf: Buf, output: &mut Burst) {
        self.requests += 1;
        self.lifecycle.parse().head(Seen { body: false, keep_alive: true, upgrade: false });
        let skipped = head.method_range().start;
        if skipped > 0 {
            buf.advance(skipped);
        }
        buf.set_kind(HEAD, HeadMeta::plain(head).0);
        buf.set_message(cx.extensions.begin_message());
        push(output, buf);
        cx.counters.add(Counter::Messages, 1);
    }

    /// Part of a head.
    fn keep(&mut self, cx: &mut Cx, stashes: &mut Stashes, buf: Buf, output: &mut Burst) -> Step {
        if !stashes.has_room() {
            return self.refuse(cx, UNAVAILABLE, buf, output);
        }
        // The first head has its time from the connection's beginning on.
        if self.lifecycle.inbound() != Inbound::First {
            self.since = Stamp::of(cx.now);
        }
        self.stash = stashes.put(cx, buf);
        self.lifecycle.parse().part();
        Step::Done
    }

    /// Puts `buf` behind the part of a head in the stash. Only a head is copied: what follows it
    /// in `buf` is handed on from there.
    #[cold]
    fn more_head(
        &mut self,
        cx: &mut Cx,
        settings: &Settings,
        stashes: &mut Stashes,
        buf: Buf,
        output: &mut Burst,
    ) -> Step {
        let limits = &settings.limits;
        let mut stash = stashes.take(&mut self.stash).expect("a head that goes on is stashed");
        let seen = stash.len();
        let wanted = portion(seen, buf.len(), limits.head_bytes as usize);
        match stashes.join(cx, &mut stash, &buf[..wanted]) {
            Ok(()) => {}
            Err(NoRoom::ForNow) => {
                self.stash = stashes.put(cx, stash);
                return Step::Stalled(buf);
            }
            Err(NoRoom::ForGood) => return self.refuse(cx, UNAVAILABLE, buf, output),
        }
        match resume_head(&stash, seen, limits) {
            Ok(Some(head)) => {
                let mut rest = buf;
                rest.advance(head.head_len as usize - seen);
                stash.truncate(head.head_len as usize);
                match self.emit(cx, settings, &head, stash, !rest.is_empty(), output) {
                    Step::Done if rest.is_empty() => Step::Done,
                    _ => Step::Rest(rest),
                }
            }
            Ok(None) => {
                self.stash = stashes.put(cx, stash);
                self.lifecycle.parse().part();
                let mut rest = buf;
                rest.advance(wanted);
                if rest.is_empty() { Step::Done } else { Step::Rest(rest) }
            }
            Err(fault) => self.refuse(cx, fault.status(), stash, output),
        }
    }

    /// Hands the head at the start of `buf` on, whatever it says; `more`: bytes behind it are elsewhere.
    fn emit(
        &mut self,
        cx: &mut Cx,
        settings: &Settings,
        head: &Head,
        mut buf: Buf,
        more: bool,
        output: &mut Burst,
    ) -> Step {
        self.requests = self.requests.saturating_add(1);
        let keep_alive = head.keep_alive && !cx.draining && self.requests < settings.requests_max;
        let head_bytes = head.head_len as usize;
        let rest = if buf.len() == head_bytes {
            None
        } else {
            let rest = buf.slice(head_bytes, buf.len());
            buf.truncate(head_bytes);
            Some(rest)
        };
        let meta = HeadMeta::new(head, keep_alive, rest.is_none() && !more);
        if meta.has_body() {
            self.expect_body(cx, settings, head);
        }
        let (body, upgrade) = (meta.has_body(), meta.upgrade());
        self.lifecycle.parse().head(Seen { body, keep_alive, upgrade });
        buf.advance(head.method_range().start);
        buf.set_kind(HEAD, meta.0);
        self.message = cx.extensions.begin_message();
        buf.set_message(self.message);
        push(output, buf);
        cx.counters.add(Counter::Messages, 1);
        rest.map_or(Step::Done, Step::Rest)
    }

    fn expect_body(&mut self, cx: &Cx, settings: &Settings, head: &Head) {
        self.since = Stamp::of(cx.now);
        self.reader = match head.body {
            BodyLength::Chunked => BodyReader::Chunks(ChunkDecoder::new(&settings.limits)),
            BodyLength::Length(bytes) => BodyReader::Length(Body::new(bytes)),
            BodyLength::None => BodyReader::Length(Body::new(0)),
        };
    }

    fn body(&mut self, cx: &mut Cx, stashes: &mut Stashes, buf: Buf, output: &mut Burst) -> Step {
        self.since = Stamp::of(cx.now);
        match &mut self.reader {
            BodyReader::Length(body) => {
                let taken = body.take(buf.len());
                let done = body.is_done();
                let (part, rest) = front(buf, 0, taken);
                let conn = part.conn();
                self.hand_on(part, BODY, u32::from(done), output);
                if done {
                    self.body_ended(cx, conn, output);
                }
                rest.map_or(Step::Done, Step::Rest)
            }
            BodyReader::Chunks(_) => self.chunks(cx, stashes, buf, output),
        }
    }

    /// The next piece of a chunked body.
    fn chunks(
        &mut self,
        cx: &mut Cx,
        stashes: &mut Stashes,
        mut buf: Buf,
        output: &mut Burst,
    ) -> Step {
        let BodyReader::Chunks(decoder) = &mut self.reader else { return Step::Done };
        let before = decoder.clone();
        let step = match decoder.decode(&buf) {
            Ok(step) => step,
            Err(fault) => return self.refuse(cx, fault.status(), buf, output),
        };
        if let Some(lines) = step.trailers.filter(|lines| !lines.is_empty()) {
            match self.keep_trailers(cx, stashes, buf.conn(), &buf[lines]) {
                Ok(()) => {}
                Err(NoRoom::ForNow) => {
                    self.reader = BodyReader::Chunks(before);
                    return Step::Stalled(buf);
                }
                Err(NoRoom::ForGood) => return self.refuse(cx, UNAVAILABLE, buf, output),
            }
        }
        let conn = buf.conn();
        if let Some(data) = step.data {
            let (part, rest) = front(buf, data.start, data.end);
            self.hand_on(part, BODY, 0, output);
            return rest.map_or(Step::Done, Step::Rest);
        }
        if step.done {
            if let Some(trailers) = stashes.take(&mut self.stash) {
                self.hand_on(trailers, TRAILERS, 0, output);
            }
            self.hand_on(Buf::marker(conn, BODY), BODY, 1, output);
            self.body_ended(cx, conn, output);
        }
        buf.advance(step.consumed);
        if buf.is_empty() { Step::Done } else { Step::Rest(buf) }
    }

    /// Puts `lines` behind those that came before.
    fn keep_trailers(
        &mut self,
        cx: &mut Cx,
        stashes: &mut Stashes,
        conn: ConnId,
        lines: &[u8],
    ) -> Result<(), NoRoom> {
        let mut stash = match stashes.take(&mut self.stash) {
            Some(stash) => stash,
            None if !stashes.has_room() => return Err(NoRoom::ForGood),
            None => cx.alloc(1, conn).ok_or(NoRoom::ForNow)?,
        };
        let joined = stashes.join(cx, &mut stash, lines);
        self.stash = stashes.put(cx, stash);
        joined
    }

    fn hand_on(&self, mut buf: Buf, kind: u8, meta: u32, output: &mut Burst) {
        buf.set_kind(kind, meta);
        buf.set_message(self.message);
        push(output, buf);
    }

    fn body_ended(&mut self, cx: &Cx, conn: ConnId, output: &mut Burst) {
        self.lifecycle.body_ended();
        if cx.draining && !cx.spares_idle && self.lifecycle.is_idle() {
            // Its head promised that the connection goes on; it does not.
            self.lifecycle.ignore();
            push(output, Buf::linger(conn));
        }
    }

    /// Lets the handler answer with `status`, and ignores the connection from here on.
    #[cold]
    fn refuse(&mut self, cx: &mut Cx, status: u16, buf: Buf, output: &mut Burst) -> Step {
        push(output, self.fault(buf.conn(), status));
        cx.drop_buf(buf, Reason::Protocol);
        Step::Done
    }

    /// The word to the handler that the peer is refused.
    pub fn fault(&mut self, conn: ConnId, status: u16) -> Buf {
        self.lifecycle.refuse();
        let mut marker = Buf::marker(conn, FAULT);
        marker.set_kind(FAULT, status.into());
        marker
    }

    /// What the session has waited for too long, if it has.
    pub fn overdue(&self, now: Instant, settings: &Settings) -> Option<Overdue> {
        let (timeout_ns, overdue) = match self.lifecycle.inbound() {
            Inbound::First => (settings.head_timeout_ns, Overdue::Request),
            // The rest may wait where we do not receive it.
            Inbound::Head | Inbound::Body if self.paused => return None,
            Inbound::Head => (settings.head_timeout_ns, Overdue::Rest),
            Inbound::Body => (settings.body_timeout_ns, Overdue::Rest),
            Inbound::Next if self.lifecycle.owed() == 0 => {
                (settings.keep_alive_timeout_ns, Overdue::Request)
            }
            _ => return None,
        };
        self.since.is_older(now, timeout_ns).then_some(overdue)
    }

    /// Takes note of what the handler says to the connection.
    #[inline]
    pub fn sent(&mut self, now: Instant, buf: &mut Buf) {
        match buf.kind() {
            kind::DATA if self.lifecycle.owed() > 0 => self.responded(now, buf),
            kind::CLOSE | kind::ABORT => self.lifecycle.ignore(),
            kind::PAUSE => self.paused = true,
            kind::RESUME => {
                self.paused = false;
                self.since = Stamp::of(now);
            }
            _ => {}
        }
    }

    #[inline]
    fn responded(&mut self, now: Instant, buf: &mut Buf) {
        let meta = buf.meta();
        let ends = meta & ENDS;
        if meta & UPGRADES != 0 {
            if ends > 0 {
                self.lifecycle.written(ends);
            }
            self.lifecycle.upgraded();
        } else {
            self.lifecycle.written(ends);
            if self.lifecycle.is_idle() {
                self.since = Stamp::of(now);
            }
        }
        buf.set_kind(kind::DATA, 0);
    }
}

/// What a peer is late with.
pub(super) enum Overdue {
    /// A request of which nothing has come.
    Request,
    /// The rest of one.
    Rest,
}

/// The bytes from `start` to `end` of `buf`, and what follows them, if anything does.
fn front(mut buf: Buf, start: usize, end: usize) -> (Buf, Option<Buf>) {
    buf.advance(start);
    if end - start == buf.len() {
        return (buf, None);
    }
    let part = buf.split_to(end - start);
    (part, Some(buf))
}
