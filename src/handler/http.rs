//! From a function of a request to a handler of bursts: [`Service`], and the [`Http`] that calls it
//! and writes its responses. Which bytes make a head, `proto::http1` knows.

use crate::counters::Reason;
use crate::limits::{HTTP_REPLY_HEAD_BYTES_MAX, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::chain::http1::{BODY, CONTINUE, FAULT, HEAD, HeadMeta};
use crate::pipeline::{Cx, Handler};
use crate::proto::http1::{self, Connection, Headers, Method};

/// A request head, as the peer sent it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    head: &'a [u8],
    meta: HeadMeta,
}

impl<'a> Request<'a> {
    fn new(head: &'a Buf) -> Self {
        Self { head: head.bytes(), meta: HeadMeta::of(head) }
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.meta.method()
    }

    /// The target, with its query.
    #[inline]
    pub fn target(&self) -> &'a [u8] {
        let start = self.head.iter().position(|&b| b == b' ').map_or(0, |at| at + 1);
        &self.head[start..start + self.meta.target_bytes()]
    }

    /// The target up to its query.
    #[inline]
    pub fn path(&self) -> &'a [u8] {
        http1::path(self.target())
    }

    /// The header fields, in order.
    pub fn headers(&self) -> Headers<'a> {
        http1::headers(self.head)
    }

    /// The value of the first header field called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        http1::header(self.head, name)
    }

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.meta.has_body()
    }

    /// Bytes of the body that follows.
    fn content_length(&self) -> u64 {
        let digits = self.header("content-length").and_then(|v| std::str::from_utf8(v).ok());
        digits.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
    }
}

/// What a response carries behind its head.
#[derive(Debug)]
pub enum Body {
    /// Bytes of the program itself; at most 15 KiB.
    Static(&'static [u8]),
    /// Bytes in a slot, sent from there.
    Buf(Buf),
    /// The body of the request, as it arrives, from the slots it arrives in.
    OfRequest,
}

/// A response to one request.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The Content-Type field, where there is one.
    pub content_type: Option<&'static str>,
    /// More fields. Names and values that are not legal turn the response into a 500.
    pub fields: &'static [(&'static str, &'static [u8])],
    /// What follows the head.
    pub body: Body,
}

impl Response {
    /// A response of this status and text.
    pub fn text(status: u16, text: &'static str) -> Self {
        Self {
            status,
            content_type: Some("text/plain"),
            fields: &[],
            body: Body::Static(text.as_bytes()),
        }
    }
}

/// What answers requests. Any `FnMut(&mut Cx, &Request) -> Option<Response>` is one.
///
/// Served in place of the built-in endpoints, on listeners of protocol `http`:
///
/// ```no_run
/// use ringway::config::{Config, CoreMap};
/// use ringway::dataplane::{Builder, Protocol};
/// use ringway::handler::Http;
/// use ringway::handler::http::{Request, Response};
/// use ringway::pipeline::chain::http1::StashBounds;
/// use ringway::pipeline::{Cx, Pipeline, chain};
/// use ringway::proto::http1::Limits;
///
/// fn answer(_cx: &mut Cx, request: &Request<'_>) -> Option<Response> {
///     Some(match request.path() {
///         b"/hello" => Response::text(200, "hello\n"),
///         _ => Response::text(404, "not found\n"),
///     })
/// }
///
/// # fn main() -> ringway::error::Result<()> {
/// let dataplane = Builder::new(Config::default_embedded(), CoreMap::single(0))
///     .protocol("http", |context| {
///         // Of the lcore's slots, so many for request heads that are not whole yet.
///         let heads = StashBounds { all: context.small_slots / 4, large: context.large_slots / 4 };
///         let chain = chain::Http1::new(context.slots, Limits::default(), heads);
///         let handler = Http::new(context.slots, answer);
///         Ok(Protocol { pipeline: Pipeline::Http1(Box::new(chain)), handler: Box::new(handler) })
///     })
///     .start()?;
/// # std::thread::park();
/// # drop(dataplane);
/// # Ok(())
/// # }
/// ```
pub trait Service {
    /// Answers a request, whose body, if any, is still to come. Asked once per request, or again
    /// after each `None`, which says that the pool was empty.
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Option<Response>;
}

impl<F: FnMut(&mut Cx, &Request<'_>) -> Option<Response>> Service for F {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Option<Response> {
        self(cx, request)
    }
}

/// What is done with the body of the request that a connection is sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    /// Dropped: the response is out.
    Drop,
    /// Sent back; `close` after its end.
    Echo { close: bool },
}

/// Calls a [`Service`] for each request and writes its responses: behind each other into one slot
/// where they follow each other on one connection, so that they leave in one send.
pub struct Http<S> {
    service: S,
    /// By connection slot; means something while a body arrives.
    exchanges: Box<[Exchange]>,
    /// A response that the pool had no slot for, and whose it is: the service is asked once.
    pending: Option<(ConnId, Response)>,
    date: [u8; 29],
    date_second: u64,
}

/// What a request says of the frame of its response.
struct Frame {
    connection: Connection<'static>,
    /// Bytes of the request's own body.
    length: u64,
    /// The answer to HEAD: a head as if, and nothing behind it.
    bodiless: bool,
}

/// The pool or the output has no room; the message stays where it is.
struct Stalled;

/// Bufs that the answer to one message takes at most: head, body and close.
const ROOM: usize = 3;

impl<S: Service> Http<S> {
    /// A handler for connections with slots below `slots`.
    pub fn new(slots: u32, service: S) -> Self {
        Self {
            service,
            exchanges: vec![Exchange::Drop; slots as usize].into(),
            pending: None,
            date: http1::http_date(0),
            date_second: 0,
        }
    }

    #[inline]
    fn on_head(&mut self, cx: &mut Cx, message: &Buf, out: &mut Burst) -> Result<(), Stalled> {
        let request = Request::new(message);
        let conn = message.conn();
        let response = match self.pending.take() {
            Some((owner, response)) if owner == conn => response,
            _ => self.service.call(cx, &request).ok_or(Stalled)?,
        };
        let meta = HeadMeta::of(message);
        let echoes = matches!(response.body, Body::OfRequest);
        let frame = Frame {
            connection: match (meta.keep_alive(), meta.http10()) {
                (false, _) => Connection::Close,
                (true, true) => Connection::KeepAlive,
                (true, false) => Connection::Implicit,
            },
            length: if echoes { request.content_length() } else { 0 },
            bodiless: request.method() == Method::Head,
        };
        let Ok(written) = self.write(cx, out, conn, &response, &frame) else {
            self.pending = Some((conn, response));
            return Err(Stalled);
        };
        if let Body::Buf(mut body) = response.body
            && written
            && !frame.bodiless
        {
            body.set_conn(conn);
            body.set_kind(kind::DATA, 0);
            push(out, body);
        }
        let close = !meta.keep_alive() || !written;
        let streams = echoes && meta.has_body() && written;
        self.exchanges[conn.slot() as usize] =
            if streams { Exchange::Echo { close } } else { Exchange::Drop };
        if close && !streams {
            // A body that nobody wants is still on its way: do not reset the peer over it.
            let close = if meta.has_body() { Buf::linger } else { plain_close };
            push(out, close(conn));
        }
        Ok(())
    }

    /// Writes the head, and the body where it is static. `false`: what the service answered cannot
    /// be written, and the peer was told of an error instead.
    fn write(
        &mut self,
        cx: &mut Cx,
        out: &mut Burst,
        conn: ConnId,
        response: &Response,
        frame: &Frame,
    ) -> Result<bool, Stalled> {
        let inline: &[u8] = if let Body::Static(bytes) = response.body { bytes } else { &[] };
        let length = match &response.body {
            Body::Static(bytes) => bytes.len() as u64,
            Body::Buf(buf) => buf.len() as u64,
            Body::OfRequest => frame.length,
        };
        let date = self.date(cx.unix_seconds);
        let encode = |room: &mut [u8]| {
            let (status, fields) = (response.status, response.fields);
            let head = http1::encode_head(
                room,
                status,
                response.content_type,
                length,
                frame.connection,
                fields,
                Some(&date),
            )?;
            let body = if frame.bodiless { &[] } else { inline };
            room.get_mut(head..head + body.len())?.copy_from_slice(body);
            Some(head + body.len())
        };
        let bytes = inline.len() + HTTP_REPLY_HEAD_BYTES_MAX;
        if bytes > cx.pool.slot_bytes_max() || !append(cx, out, conn, bytes, encode)? {
            tracing::error!(response.status, "a response has an illegal field, or is too large");
            let error = |room: &mut [u8]| {
                http1::encode_head(room, 500, None, 0, Connection::Close, &[], Some(&date))
            };
            append(cx, out, conn, HTTP_REPLY_HEAD_BYTES_MAX, error)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// The date of this second (RFC 9110 §6.6.1), formatted once a second.
    #[inline]
    fn date(&mut self, unix_seconds: u64) -> [u8; 29] {
        if unix_seconds != self.date_second {
            self.date_second = unix_seconds;
            self.date = http1::http_date(unix_seconds);
        }
        self.date
    }

    fn on_body(&mut self, cx: &mut Cx, mut body: Buf, out: &mut Burst) {
        let conn = body.conn();
        match self.exchanges[conn.slot() as usize] {
            Exchange::Drop => cx.drop_buf(body, Reason::NotWanted),
            Exchange::Echo { close } => {
                let last = body.meta() != 0;
                body.set_kind(kind::DATA, 0);
                push(out, body);
                if last && close {
                    push(out, Buf::marker(conn, kind::CLOSE));
                }
            }
        }
    }

    #[cold]
    fn on_fault(&mut self, cx: &mut Cx, message: &Buf, out: &mut Burst) -> Result<(), Stalled> {
        let (conn, status) = (message.conn(), message.meta() as u16);
        let response = Response::text(status, http1::reason(status));
        let frame = Frame { connection: Connection::Close, length: 0, bodiless: false };
        self.write(cx, out, conn, &response, &frame)?;
        push(out, Buf::linger(conn));
        Ok(())
    }
}

fn plain_close(conn: ConnId) -> Buf {
    Buf::marker(conn, kind::CLOSE)
}

/// Writes up to `bytes` with `encode` behind the last buf of `out`, if that is the connection's and
/// has room, or else into a fresh one. `false`: `encode` gave up.
#[inline]
fn append(
    cx: &mut Cx,
    out: &mut Burst,
    conn: ConnId,
    bytes: usize,
    encode: impl Fn(&mut [u8]) -> Option<usize>,
) -> Result<bool, Stalled> {
    if let Some(last) = out.last_mut()
        && last.conn() == conn
        && last.kind() == kind::DATA
        && last.tailroom() >= bytes
        && let Some(room) = last.spare_mut()
    {
        let Some(written) = encode(room) else { return Ok(false) };
        last.grow(written);
        return Ok(true);
    }
    let mut buf = cx.alloc(bytes.max(SMALL_SLOT_BYTES as usize), conn).ok_or(Stalled)?;
    let room = buf.spare_mut().expect("a fresh buf is nobody else's");
    let Some(written) = encode(room) else { return Ok(false) };
    buf.grow(written);
    push(out, buf);
    Ok(true)
}

#[inline]
fn push(out: &mut Burst, buf: Buf) {
    let pushed = out.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl<S: Service> Handler for Http<S> {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM
            && let Some(message) = input.pop()
        {
            let done = match message.kind() {
                HEAD => self.on_head(cx, &message, output),
                BODY => {
                    self.on_body(cx, message, output);
                    continue;
                }
                FAULT => self.on_fault(cx, &message, output),
                CONTINUE => {
                    let answer = b"HTTP/1.1 100 Continue\r\n\r\n";
                    append(cx, output, message.conn(), answer.len(), |room| {
                        room.get_mut(..answer.len())?.copy_from_slice(answer);
                        Some(answer.len())
                    })
                    .map(drop)
                }
                kind::CLOSE | kind::ABORT => {
                    push(output, message);
                    continue;
                }
                _ => continue,
            };
            if done.is_err() {
                let back = input.unpop(message);
                assert!(back.is_ok(), "it was just popped");
                return;
            }
        }
    }
}

const _: () = assert!(HTTP_REPLY_HEAD_BYTES_MAX < SMALL_SLOT_BYTES as usize);
const _: () = assert!(15 * 1024 + HTTP_REPLY_HEAD_BYTES_MAX <= LARGE_SLOT_BYTES as usize);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::counters::LcoreCounters;
    use crate::mem::Mempool;
    use crate::pipeline::chain::http1::{Http1, StashBounds};
    use crate::pipeline::{Chain, Extensions};
    use crate::time::Clock;

    #[test]
    fn a_service_is_asked_once_though_its_response_waits_for_a_slot() {
        let pool = Mempool::small(2).unwrap();
        let mut cx = Cx {
            pool: pool.clone(),
            now: Clock::start().now(),
            unix_seconds: 0,
            draining: false,
            extensions: Extensions::new(1),
            counters: Arc::new(LcoreCounters::default()),
        };
        let mut asked = 0;
        let service = |_: &mut Cx, _: &Request<'_>| {
            asked += 1;
            Some(Response::text(200, "once"))
        };
        let mut handler = Http::new(1, service);
        let bounds = StashBounds { all: 1, large: 1 };
        let mut chain = Http1::new(1, http1::Limits::default(), bounds);
        let conn = ConnId::new(0, 0, 0);
        let mut request = pool.alloc(1).unwrap();
        request.set_conn(conn);
        assert!(request.append(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (mut rx, mut messages, mut out) = (Burst::new(), Burst::new(), Burst::new());
        rx.push(Buf::marker(conn, kind::OPEN)).unwrap();
        rx.push(request).unwrap();
        chain.ingress(&mut cx, &mut rx, &mut messages);
        let hoard: Vec<Buf> = std::iter::from_fn(|| pool.alloc(1)).collect();
        handler.process(&mut cx, &mut messages, &mut out);
        assert!(out.is_empty() && messages.len() == 1, "the message waits");
        drop(hoard);
        handler.process(&mut cx, &mut messages, &mut out);
        assert!(out.get(0).unwrap().ends_with(b"\r\n\r\nonce"));
        drop(handler);
        assert_eq!(asked, 1);
    }
}
