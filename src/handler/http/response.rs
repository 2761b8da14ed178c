//! What a service answers.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::failure::Failure;
use super::fields::Fields;
use super::status::{Status, StatusCode};
use crate::counters::Counter;
use crate::limits::{HTTP_REPLY_HEAD_BYTES_MAX, SMALL_SLOT_BYTES};
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket::begin_meta;
use crate::proto::http1::{is_field, is_response_field_block};
use crate::proto::websocket::EXTENSION_BYTES_MAX;
use crate::proto::websocket::handshake::Accepted;

/// Most bytes of a body that are written into a small slot with the head.
const SMALL_BYTES_MAX: usize = SMALL_SLOT_BYTES as usize - HTTP_REPLY_HEAD_BYTES_MAX;

/// The status, which none has, of a response that failed: one with an illegal field, or what is kept
/// of one while there is no slot to say so in.
pub(super) const FAILED: u16 = 0;

/// What a response carries behind its head.
#[derive(Debug)]
pub enum Body {
    /// Bytes of any length; what one slot cannot hold is sent as room comes.
    Bytes(Cow<'static, [u8]>),
    /// Bytes in a slot, sent from there.
    Buf(Buf),
    /// The body of the request, as it arrives, from the slots it arrives in.
    OfRequest,
    /// Bytes that [`Service::pull`](super::Service::pull) gives as room comes: so many, or, with
    /// `None`, until it says so.
    Stream(Option<u64>),
    /// The same of a function's own: see [`Response::parts`].
    Parts(Parts, Option<u64>),
    /// None, and no HTTP after it: the protocol of this name takes the connection over.
    Upgrade(&'static str),
    /// The same, where that is a WebSocket and the listener's chain knows it: the meta of its beginning.
    WebSocket(u32),
}

/// A function that gives a body part by part.
pub struct Parts(PullParts);

type PullParts = Box<dyn FnMut(&mut Cx, ConnId) -> Pull + Send>;

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl Parts {
    /// The next part. What panics is lost.
    pub(super) fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        catch_unwind(AssertUnwindSafe(|| (self.0)(cx, conn))).unwrap_or_else(|_| {
            cx.counters.add(Counter::HandlerPanics, 1);
            Pull::Lost
        })
    }
}

impl Body {
    /// The protocol that takes the connection over.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        match self {
            Self::Upgrade(protocol) => Some(protocol),
            Self::WebSocket(_) => Some("websocket"),
            _ => None,
        }
    }
}

/// A response to one request. Date, Content-Length, Transfer-Encoding and Connection are ringway's
/// to write.
///
/// A name or value that is not legal on the wire turns the response into a 500.
#[derive(Debug)]
pub struct Response {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    pub(super) fields: Fields,
    /// The service goes on to read the request's body.
    pub(super) reads: bool,
    pub(super) body: Body,
}

impl Response {
    /// A response of this status (200 to 599) and body. One that has no body by its status (204,
    /// 304), or answers HEAD, is sent without.
    #[inline]
    pub fn new(status: impl Into<Status>, body: Body) -> Self {
        let status = status.into().0;
        Self { status, content_type: None, fields: Fields::NONE, reads: false, body }
    }

    /// Its body, if it is of the kind that most are: bytes that fit a small slot.
    #[inline]
    pub(super) fn small_body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) if bytes.len() <= SMALL_BYTES_MAX => Some(bytes),
            _ => None,
        }
    }

    /// Whether it has a head like most, and nothing special about what follows it.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.status, 200..=203 | 205..=299)
    }

    /// Whether one with a [`small_body`](Self::small_body) is of 200 and says nothing but its content type.
    #[inline]
    pub(super) fn is_usual(&self) -> bool {
        self.status == 200 && self.fields.is_none()
    }

    /// Whether the service has a part in it after its head.
    #[inline]
    pub(super) fn is_service(&self) -> bool {
        let goes_on = matches!(self.body, Body::Stream(_) | Body::Upgrade(_) | Body::WebSocket(_));
        self.reads || goes_on
    }

    /// A response of this status and text.
    #[inline]
    pub fn text(status: impl Into<Status>, text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::new(status, Body::Bytes(bytes)).content_type("text/plain")
    }

    /// A response of this status alone.
    #[inline]
    pub fn empty(status: impl Into<Status>) -> Self {
        Self::new(status, Body::Bytes(Cow::Borrowed(&[])))
    }

    /// A body that `parts` gives part by part, as [`Service::pull`](super::Service::pull) does: of so many bytes, or,
    /// with `None`, until it says so. It is dropped when the response is out, or its connection gone. Parts that come from other
    /// threads are waited for with [`Pull::Wait`], and announced with [`Handle::wake`](crate::lcore::Handle::wake).
    ///
    /// ```
    /// use ringway::handler::http::{Pull, Response, Router};
    ///
    /// let router = Router::new().get("/count/:to", |ctx| {
    ///     let to: u32 = ctx.param("to").and_then(|to| to.parse().ok()).unwrap_or(10);
    ///     let mut numbers = 1..=to;
    ///     Response::parts(None, move |cx, conn| {
    ///         let Some(mut part) = cx.alloc(16, conn) else { return Pull::Busy };
    ///         let Some(number) = numbers.next() else { return Pull::End };
    ///         part.append(format!("{number}\n").as_bytes());
    ///         Pull::Part(part)
    ///     })
    /// });
    /// # let mut app = ringway::testing::App::new(|_| router);
    /// # assert_eq!(app.get("/count/3").text(), "1\n2\n3\n");
    /// ```
    pub fn parts(
        bytes: Option<u64>,
        parts: impl FnMut(&mut Cx, ConnId) -> Pull + Send + 'static,
    ) -> Self {
        Self::new(200, Body::Parts(Parts(Box::new(parts)), bytes))
    }

    /// The body of the request, sent back.
    pub fn echo() -> Self {
        Self::new(200, Body::OfRequest).content_type("application/octet-stream")
    }

    /// The answer to a request that [`wants_upgrade`](super::Request::wants_upgrade): from here on
    /// the connection speaks `protocol`, and [`Service::upgraded`](super::Service::upgraded) gets
    /// its bytes.
    pub fn upgrade(protocol: &'static str) -> Self {
        Self::new(101, Body::Upgrade(protocol))
    }

    /// The answer to a request for a WebSocket, on a listener whose chain is
    /// [`WebSocket`](crate::pipeline::chain::WebSocket): from here on
    /// [`Service::upgraded`](super::Service::upgraded) gets its messages.
    pub fn websocket(accepted: &Accepted<'_>) -> Self {
        let body = Body::WebSocket(begin_meta(accepted.deflate));
        let mut response = Self::new(101, body).header("Sec-WebSocket-Accept", accepted.accept);
        if let Some(protocol) = accepted.protocol {
            response = response.header("Sec-WebSocket-Protocol", protocol);
        }
        if let Some(deflate) = accepted.deflate {
            let mut value = [0; EXTENSION_BYTES_MAX];
            response =
                response.header("Sec-WebSocket-Extensions", deflate.write_answer(&mut value));
        }
        response
    }

    /// The same, and what of the request's body is still to come goes on to
    /// [`Service::body`](super::Service::body), whose word then only matters when it is
    /// [`Reply::Busy`] or [`Reply::Wait`]: the part comes again, and meanwhile the peer is not received from.
    pub fn reading_on(self) -> Self {
        Self { reads: true, ..self }
    }

    /// The same with a Content-Type field.
    #[inline]
    pub fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type: Some(content_type), ..self }
    }

    /// The same with these fields first.
    pub fn static_fields(mut self, fields: &'static [(&'static str, &'static [u8])]) -> Self {
        self.fields.set_fixed(fields);
        self
    }

    /// The same with these fields: whole lines, each with its CRLF, in place of those of
    /// [`header`](Self::header).
    pub fn field_lines(mut self, lines: Buf) -> Self {
        if is_response_field_block(&lines) {
            self.fields.share(lines);
        } else {
            tracing::error!(self.status, "a service gave a response an illegal field");
            self.status = FAILED;
        }
        self
    }

    /// The same with one more field.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        self.add_header(name, value);
        self
    }

    /// Adds a field. Fields lie in memory that is used again: it allocates only where a thread has more such responses
    /// than [`HTTP_SPARE_FIELDS`](crate::limits::HTTP_SPARE_FIELDS) at a time, or lines of more than
    /// [`HTTP_SPARE_FIELDS_BYTES_MAX`](crate::limits::HTTP_SPARE_FIELDS_BYTES_MAX).
    pub fn add_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref());
        if is_field(name, value) {
            self.fields.push(name, value);
        } else {
            tracing::error!(self.status, "a service gave a response an illegal field");
            self.status = FAILED;
        }
    }

    /// Its status; 500 where it has an illegal field.
    pub fn status(&self) -> u16 {
        if self.status == FAILED { 500 } else { self.status }
    }

    /// What it carries behind its head.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The same, to be changed: whatever it becomes, its length follows.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// What its Content-Type field says.
    pub fn media_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// The value of the first field called `name`, in any case, beside those that ringway writes itself.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name)
    }

    /// One that failed and was written so.
    pub(super) fn failed() -> Self {
        Self::text(500, "internal server error\n")
    }
}

/// What a service says to a request, or to part of its body.
#[derive(Debug)]
pub enum Reply {
    /// The answer. What of the body is still to come is dropped, unless it is the answer's body.
    Response(Response),
    /// None yet: the rest of the body first, part by part.
    Body,
    /// None yet, for want of a slot: ask again, in the next pass.
    Busy,
    /// None yet: ask again when another thread wakes the connection, or now and then without a reason. Until then it
    /// costs nothing, and the peer is not received from for long.
    Wait,
    /// None yet: [`Service::ready`](super::Service::ready) will give it. The body, if there is one,
    /// goes to [`Service::body`](super::Service::body).
    Later,
    /// It failed.
    Failure(Failure),
}

/// What has become ready of what a service owes: see [`Service::ready`](super::Service::ready).
#[derive(Debug)]
pub enum Ready {
    /// The response to the request of this connection that was answered with [`Reply::Later`].
    Response(ConnId, Response),
    /// More of the response's body on this connection, to be pulled.
    More(ConnId),
    /// The rest of it never comes: the connection is cut off.
    Lost(ConnId),
}

impl Reply {
    /// Whether the service goes on with the request after it.
    #[inline]
    pub(super) fn begins(&self) -> bool {
        match self {
            Self::Response(response) => response.is_service(),
            Self::Body | Self::Later => true,
            Self::Busy | Self::Wait | Self::Failure(_) => false,
        }
    }

    /// Whether the same is to be asked again.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Busy | Self::Wait)
    }
}

impl From<Response> for Reply {
    #[inline]
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// `None` says that there was no slot.
impl From<Option<Response>> for Reply {
    #[inline]
    fn from(response: Option<Response>) -> Self {
        response.map_or(Self::Busy, Self::Response)
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// 200, as plain text.
impl From<&'static str> for Reply {
    #[inline]
    fn from(text: &'static str) -> Self {
        Response::text(200, text).into()
    }
}

/// 200, as plain text.
impl From<String> for Reply {
    fn from(text: String) -> Self {
        Response::text(200, text).into()
    }
}

/// The status alone.
impl From<StatusCode> for Reply {
    fn from(status: StatusCode) -> Self {
        Response::empty(status).into()
    }
}

impl<T: Into<Reply>, E: Into<Failure>> From<Result<T, E>> for Reply {
    fn from(outcome: Result<T, E>) -> Self {
        outcome.map_or_else(|error| Self::Failure(error.into()), Into::into)
    }
}

/// What a response of the `http` crate says, but for the fields that ringway writes itself.
impl<B: Into<Cow<'static, [u8]>>> From<::http::Response<B>> for Response {
    fn from(other: ::http::Response<B>) -> Self {
        const OURS: [&str; 4] = ["date", "content-length", "transfer-encoding", "connection"];
        let (head, body) = other.into_parts();
        let response = Self::new(head.status, Body::Bytes(body.into()));
        let fields = head.headers.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
        fields.fold(response, |response, (name, value)| response.header(name, value))
    }
}

impl<B: Into<Cow<'static, [u8]>>> From<::http::Response<B>> for Reply {
    fn from(other: ::http::Response<B>) -> Self {
        Response::from(other).into()
    }
}

/// What a service gives when there is room for more of a response's body.
#[derive(Debug)]
pub enum Pull {
    /// The next bytes.
    Part(Buf),
    /// Nothing now. It is asked again when another thread wakes the connection
    /// ([`Handle::wake`](crate::lcore::Handle::wake)), when more of the request's body comes, and when
    /// the dataplane begins to stop ([`Cx::draining`](crate::pipeline::Cx::draining)); now and then it
    /// is asked without a reason. Until then it costs nothing.
    Wait,
    /// Nothing now, for want of a slot: ask again, in the next pass.
    Busy,
    /// No more.
    End,
    /// No more but trailer fields: whole lines, `name: value` CRLF. They are sent behind a body
    /// whose length was not known, and dropped behind another. Illegal ones are dropped as well, and
    /// more than [`HTTP_TRAILER_BYTES_MAX`](crate::limits::HTTP_TRAILER_BYTES_MAX).
    Trailers(Buf),
    /// The rest of it never comes: the connection is cut off, so that the peer does not take what it has for all.
    Lost,
}
