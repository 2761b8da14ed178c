//! From what a service says to the bytes of a response.

use super::exchange::{Answer, Close, Frame, Source, Wants};
use super::fields::Fields;
use super::output::{Stalled, add_meta, append, mark_end, push, tail};
use super::response::{Body, FAILED, Response};
use super::{Http, Service};
use crate::counters::Counter;
use crate::limits::{HTTP_REPLY_HEAD_BYTES_MAX, LARGE_SLOT_BYTES};
use crate::mem::{Buf, Burst, ConnId, MessageId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::{HeadMeta, UPGRADES};
use crate::pipeline::chain::websocket::BEGIN;
use crate::proto::http1::{BodyFrame, Connection, Encoder, Method, ResponseHead};

/// RFC 9110 §15.2.1.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Most bytes of a body that are written behind the head, into one slot with it.
const INLINE_BYTES_MAX: usize =
    LARGE_SLOT_BYTES as usize - HTTP_REPLY_HEAD_BYTES_MAX - CONTINUE.len();

/// Most bytes of a body in a slot that are copied behind the head rather than sent from there: small
/// responses that follow each other then leave as one piece. The bound is a guess.
const BUF_INLINE_BYTES_MAX: usize = 256;

/// What a response answers.
pub(super) struct Asked {
    pub conn: ConnId,
    pub message: MessageId,
    pub meta: HeadMeta,
    /// Bytes of the request's body, where they are known.
    pub length: Option<u64>,
    /// The request's body is still coming.
    pub body_open: bool,
    /// Nothing of it was given to the service.
    pub body_whole: bool,
}

/// How a response is sent.
struct Plan {
    frame: BodyFrame,
    connection: Connection<'static>,
    close: Close,
    wants: Wants,
    /// The head alone is sent.
    silent: bool,
    /// Most bytes of a body that find room behind the head.
    inline_max: usize,
}

impl Asked {
    fn closes(&self, wants: Wants) -> bool {
        // Whether the peer sends a body that it held back, after an answer that does not want it,
        // nobody can tell (RFC 9110 §10.1.1).
        let may_hold_back = self.meta.expects_continue() && self.body_whole;
        !self.meta.keep_alive() || may_hold_back && wants == Wants::Nobody
    }

    fn connection(&self, closes: bool) -> Connection<'static> {
        match (closes, self.meta.http10()) {
            (true, _) => Connection::Close,
            (false, true) => Connection::KeepAlive,
            (false, false) => Connection::Implicit,
        }
    }

    fn close(&self, closes: bool) -> Close {
        match (closes, self.body_open) {
            (false, _) => Close::No,
            (true, false) => Close::Plain,
            // A body that nobody wants is still on its way: do not reset the peer over it.
            (true, true) => Close::Linger,
        }
    }
}

impl Plan {
    /// `None`: the request does not allow this response.
    fn of(asked: &Asked, response: &Response) -> Option<Self> {
        if let Some(protocol) = response.body.protocol() {
            let allowed = response.status == 101 && asked.meta.upgrade();
            return allowed.then(|| Self::upgrade(protocol));
        }
        if !(200..=599).contains(&response.status) {
            return None;
        }
        let bodiless = matches!(response.status, 204 | 304);
        // RFC 9110 §9.3.2, §15.3.5, §15.4.5.
        let silent = bodiless || asked.meta.method() == Method::Head;
        let wants = match response.body {
            Body::OfRequest if !asked.body_whole => return None,
            Body::OfRequest if asked.body_open && !silent => Wants::Response,
            _ if response.reads && asked.body_open => Wants::Service,
            _ => Wants::Nobody,
        };
        let frame = match &response.body {
            _ if bodiless => BodyFrame::None,
            Body::Bytes(bytes) => BodyFrame::Length(bytes.len() as u64),
            Body::Buf(buf) => BodyFrame::Length(buf.len() as u64),
            Body::OfRequest => asked.length.map_or(BodyFrame::Chunked, BodyFrame::Length),
            Body::Stream(Some(bytes)) | Body::Parts(_, Some(bytes)) => BodyFrame::Length(*bytes),
            Body::Stream(None) | Body::Parts(_, None) if asked.meta.http10() => {
                BodyFrame::UntilClose
            }
            Body::Stream(None) | Body::Parts(_, None) => BodyFrame::Chunked,
            Body::Upgrade(_) | Body::WebSocket(_) => BodyFrame::None,
        };
        let closes = asked.closes(wants) || frame == BodyFrame::UntilClose;
        let (connection, close) = (asked.connection(closes), asked.close(closes));
        // Field lines that leave no room in a slot are too many.
        let inline_max = INLINE_BYTES_MAX.checked_sub(response.fields.lines().len())?;
        Some(Self { frame, connection, close, wants, silent, inline_max })
    }

    fn upgrade(protocol: &'static str) -> Self {
        let connection = Connection::Upgrade(protocol);
        let (frame, close, wants) = (BodyFrame::None, Close::No, Wants::Nobody);
        Self { frame, connection, close, wants, silent: true, inline_max: 0 }
    }

    /// What of the body goes into one slot with the head.
    fn inline<'a>(&self, body: &'a Body) -> &'a [u8] {
        match body {
            Body::Bytes(bytes) if !self.silent && bytes.len() <= self.inline_max => bytes,
            Body::Buf(buf) if !self.silent && buf.len() <= BUF_INLINE_BYTES_MAX => buf,
            _ => &[],
        }
    }

    /// Where what does not is to come from.
    fn source(&self, body: Body) -> Source {
        match body {
            Body::Bytes(bytes) if !self.silent && bytes.len() > self.inline_max => {
                Source::Bytes(bytes, 0)
            }
            Body::Buf(buf) if !self.silent && buf.len() > BUF_INLINE_BYTES_MAX => Source::Buf(buf),
            Body::Stream(_) if !self.silent => Source::Service,
            Body::Parts(parts, _) if !self.silent => Source::Parts(parts),
            _ => Source::None,
        }
    }
}

impl<S: Service> Http<S> {
    /// Sends a small response to a plain request. `false`, and nothing done: it takes more than that.
    #[inline(always)]
    pub(super) fn respond_plainly(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        response: &Response,
        out: &mut Burst,
    ) -> bool {
        let Some(bytes) = response.small_body() else { return false };
        let encoder = &mut self.encoder;
        let room = HTTP_REPLY_HEAD_BYTES_MAX + response.fields.line_bytes() + bytes.len();
        let Ok(tail) = tail(cx, out, conn, room) else { return false };
        let written = tail.fill(|room| {
            let head_end = encode_plain(encoder, room, response, bytes.len())?;
            let end = head_end + bytes.len();
            room.get_mut(head_end..end)?.copy_from_slice(bytes);
            Some(end)
        });
        if written.is_none() {
            return false;
        }
        add_meta(tail, 1);
        true
    }

    /// Sends `response`, or what of it can be sent now. When there is no slot for its head it is
    /// kept, and the message that it answers has to come again.
    pub(super) fn respond(
        &mut self,
        cx: &mut Cx,
        asked: &Asked,
        response: Response,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        let Some(plan) = Plan::of(asked, &response) else {
            let status = response.status;
            if status != FAILED {
                tracing::error!(status, "a service gave a response that its request forbids");
            }
            return self.refuse(cx, asked, &response, out);
        };
        if let Body::WebSocket(meta) = response.body {
            let mut begin = Buf::marker(asked.conn, BEGIN);
            begin.set_kind(BEGIN, meta);
            push(out, begin);
        }
        let inline = plan.inline(&response.body);
        // In front of the head where the peer waits for it, so that both are written or neither.
        let waits = plan.wants != Wants::Nobody && asked.body_whole;
        let before = if waits && asked.meta.expects_continue() { CONTINUE } else { &[] };
        let head = ResponseHead {
            status: response.status,
            content_type: response.content_type,
            body: plan.frame,
            connection: plan.connection,
            fields: response.fields.fixed(),
        };
        let encoder = &mut self.encoder;
        let write = |room: &mut [u8]| {
            room.get_mut(..before.len())?.copy_from_slice(before);
            let head_room = &mut room[before.len()..];
            let head_end = before.len() + encode(encoder, head_room, &head, &response.fields)?;
            let end = head_end + inline.len();
            room.get_mut(head_end..end)?.copy_from_slice(inline);
            Some(end)
        };
        let lines_bytes = response.fields.lines().len();
        let bytes = inline.len() + lines_bytes + HTTP_REPLY_HEAD_BYTES_MAX + before.len();
        match append(cx, out, asked.conn, bytes, write) {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(response.status, "a response has an illegal field, or too many");
                return self.refuse(cx, asked, &response, out);
            }
            Err(Stalled) => {
                self.keep(asked.conn, response);
                return Err(Stalled);
            }
        }
        if matches!(response.body, Body::Buf(_)) {
            cx.counters.add(Counter::CopiedBytes, inline.len() as u64);
        }
        let source = plan.source(response.body);
        self.head_is_out(cx, asked, &plan, source, out);
        Ok(())
    }

    /// The same for a response that cannot be sent: its service has no more part in it.
    #[cold]
    fn refuse(
        &mut self,
        cx: &mut Cx,
        asked: &Asked,
        response: &Response,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        if response.is_service() {
            self.service.closed(cx, asked.conn);
        }
        self.fail(cx, asked, out)
    }

    /// The head is written: what follows it?
    fn head_is_out(
        &mut self,
        cx: &mut Cx,
        asked: &Asked,
        plan: &Plan,
        source: Source,
        out: &mut Burst,
    ) {
        let conn = asked.conn;
        let source = match source {
            Source::Buf(mut body) => {
                body.set_conn(conn);
                body.set_kind(kind::DATA, 0);
                push(out, body);
                Source::None
            }
            other => other,
        };
        let whole = matches!(source, Source::None) && plan.wants != Wants::Response;
        if whole && !matches!(plan.connection, Connection::Upgrade(_)) {
            mark_end(out, conn);
            cx.extensions.end_message(asked.message);
            let exchange = &mut self.exchanges[conn.slot() as usize];
            if asked.meta.has_body() || exchange.answer == Answer::Owed {
                exchange.answer = Answer::Done;
                exchange.body_open = asked.body_open;
                exchange.wants = plan.wants;
            }
            return self.close(cx, conn, plan.close, out);
        }
        if let Connection::Upgrade(_) = plan.connection {
            cx.extensions.end_message(asked.message);
        }
        self.begin(asked, plan, source, out);
    }

    /// The head is written, and more follows.
    fn begin(&mut self, asked: &Asked, plan: &Plan, source: Source, out: &mut Burst) {
        let exchange = &mut self.exchanges[asked.conn.slot() as usize];
        exchange.answer = Answer::Streaming;
        if let Connection::Upgrade(_) = plan.connection {
            let last = out.last_mut().expect("the head was just written");
            add_meta(last, UPGRADES);
            exchange.answer = Answer::Upgraded;
        }
        exchange.wants = plan.wants;
        exchange.body_open = asked.body_open;
        exchange.close = plan.close;
        exchange.frame = match plan.frame {
            BodyFrame::Length(bytes) => Frame::Length(bytes),
            BodyFrame::Chunked => Frame::Chunked { open: false },
            BodyFrame::UntilClose | BodyFrame::None => Frame::UntilClose,
        };
        exchange.source = source;
        exchange.message = asked.message;
    }

    /// Tells the peer that its request failed for a reason of ours, and closes. When there is no slot
    /// the message that it answers has to come again, and fails again.
    #[cold]
    pub(super) fn fail(
        &mut self,
        cx: &mut Cx,
        asked: &Asked,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        if self.write_bare(cx, asked.conn, 500, out).is_err() {
            self.keep(asked.conn, Response::empty(FAILED));
            return Err(Stalled);
        }
        let exchange = &mut self.exchanges[asked.conn.slot() as usize];
        exchange.answer = Answer::Done;
        exchange.wants = Wants::Nobody;
        cx.extensions.end_message(asked.message);
        self.close(cx, asked.conn, asked.close(true), out);
        Ok(())
    }

    /// Does to the connection what follows a whole response. A service that reads on does so first.
    #[inline]
    pub(super) fn close(&mut self, cx: &mut Cx, conn: ConnId, close: Close, out: &mut Burst) {
        if close == Close::No {
            return;
        }
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if exchange.wants == Wants::Service && exchange.body_open {
            exchange.close = close;
            return;
        }
        let marker = match close {
            Close::Linger => Buf::linger(conn),
            _ => Buf::marker(conn, kind::CLOSE),
        };
        self.hang_up(cx, marker, out);
    }

    /// A response that says its status, and that the connection ends.
    pub(super) fn write_bare(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        status: u16,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        let text = crate::proto::http1::reason(status).as_bytes();
        let head = ResponseHead {
            status,
            content_type: Some("text/plain"),
            body: BodyFrame::Length(text.len() as u64),
            connection: Connection::Close,
            fields: &[],
        };
        let encoder = &mut self.encoder;
        append(cx, out, conn, HTTP_REPLY_HEAD_BYTES_MAX, |room| {
            let end = encoder.encode(room, &head)?;
            room.get_mut(end..end + text.len())?.copy_from_slice(text);
            Some(end + text.len())
        })?;
        mark_end(out, conn);
        Ok(())
    }
}

/// Writes the head of a response with a body of so many bytes on a connection that goes on, if it is
/// a plain one.
#[inline(always)]
fn encode_plain(
    encoder: &mut Encoder,
    room: &mut [u8],
    response: &Response,
    body_bytes: usize,
) -> Option<usize> {
    if response.is_usual()
        && let Some(content_type) = response.content_type
        && let Some((ready, head_bytes)) = encoder.ready(content_type, body_bytes as u64)
        && let Some(start) = room.first_chunk_mut()
    {
        *start = *ready;
        return Some(head_bytes);
    }
    encode_unusual(encoder, room, response, body_bytes)
}

#[inline(never)]
fn encode_unusual(
    encoder: &mut Encoder,
    room: &mut [u8],
    response: &Response,
    body_bytes: usize,
) -> Option<usize> {
    if !response.is_plain() {
        return None;
    }
    let head = ResponseHead {
        status: response.status,
        content_type: response.content_type,
        body: BodyFrame::Length(body_bytes as u64),
        connection: Connection::Implicit,
        fields: response.fields.fixed(),
    };
    encode(encoder, room, &head, &response.fields)
}

/// Writes `head`, with the lines of `fields` behind what it says itself.
#[inline(never)]
fn encode(
    encoder: &mut Encoder,
    room: &mut [u8],
    head: &ResponseHead,
    fields: &Fields,
) -> Option<usize> {
    let end = encoder.encode(room, head)?;
    match fields.lines() {
        [] => Some(end),
        lines => {
            let blank = end - 2 + lines.len();
            room.get_mut(end - 2..blank)?.copy_from_slice(lines);
            room.get_mut(blank..blank + 2)?.copy_from_slice(b"\r\n");
            Some(blank + 2)
        }
    }
}

const _: () = assert!(HTTP_REPLY_HEAD_BYTES_MAX < crate::limits::SMALL_SLOT_BYTES as usize);
