//! What a service answers.

use std::borrow::Cow;
use std::ops::Deref;

use crate::limits::{HTTP_REPLY_HEAD_BYTES_MAX, SMALL_SLOT_BYTES};
use crate::mem::{Buf, ConnId};
use crate::proto::http1::{is_field, is_response_field_block};

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
    /// None, and no HTTP after it: the protocol of this name takes the connection over.
    Upgrade(&'static str),
}

/// The fields of a response beside those that ringway writes itself.
#[derive(Debug)]
pub(super) struct Fields {
    pub fixed: &'static [(&'static str, &'static [u8])],
    /// Whole lines.
    pub lines: Lines,
}

/// Field lines that are known to be legal.
#[derive(Debug)]
pub(super) enum Lines {
    None,
    Owned(Vec<u8>),
    Buf(Buf),
}

impl Deref for Lines {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Owned(lines) => lines,
            Self::Buf(lines) => lines,
        }
    }
}

impl Fields {
    const NONE: Self = Self { fixed: &[], lines: Lines::None };
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
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, content_type: None, fields: Fields::NONE, reads: false, body }
    }

    /// Its body, if it is of the kind that most are: a few bytes, behind a head whose fields were known
    /// beforehand.
    #[inline]
    pub(super) fn small_body(&self) -> Option<&[u8]> {
        match (&self.body, &self.fields.lines) {
            (Body::Bytes(bytes), Lines::None) if bytes.len() <= SMALL_BYTES_MAX => Some(bytes),
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
        self.status == 200 && self.fields.fixed.is_empty()
    }

    /// Whether the service has a part in it after its head.
    pub(super) fn is_service(&self) -> bool {
        self.reads || matches!(self.body, Body::Stream(_))
    }

    /// A response of this status and text.
    pub fn text(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::new(status, Body::Bytes(bytes)).content_type("text/plain")
    }

    /// A response of this status alone.
    pub fn empty(status: u16) -> Self {
        Self::new(status, Body::Bytes(Cow::Borrowed(&[])))
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

    /// The same, and what of the request's body is still to come goes on to
    /// [`Service::body`](super::Service::body), whose word then only matters when it is
    /// [`Reply::Busy`]: the part comes again, and meanwhile the peer is not received from.
    pub fn reading_on(self) -> Self {
        Self { reads: true, ..self }
    }

    /// The same with a Content-Type field.
    pub fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type: Some(content_type), ..self }
    }

    /// The same with these fields first.
    pub fn static_fields(mut self, fields: &'static [(&'static str, &'static [u8])]) -> Self {
        self.fields.fixed = fields;
        self
    }

    /// The same with these fields: whole lines, each with its CRLF, in place of those of
    /// [`header`](Self::header).
    pub fn field_lines(mut self, lines: Buf) -> Self {
        if is_response_field_block(&lines) {
            self.fields.lines = Lines::Buf(lines);
        } else {
            tracing::error!(self.status, "a service gave a response an illegal field");
            self.status = FAILED;
        }
        self
    }

    /// The same with one more field. It allocates.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_bytes(), value.as_ref());
        if is_field(name, value) {
            let mut lines = match std::mem::replace(&mut self.fields.lines, Lines::None) {
                Lines::None => Vec::new(),
                Lines::Owned(lines) => lines,
                Lines::Buf(lines) => lines.to_vec(),
            };
            lines.extend([name, b": ", value, b"\r\n"].iter().copied().flatten());
            self.fields.lines = Lines::Owned(lines);
        } else {
            tracing::error!(self.status, "a service gave a response an illegal field");
            self.status = FAILED;
        }
        self
    }
}

/// What a service says to a request, or to part of its body.
#[derive(Debug)]
pub enum Reply {
    /// The answer. What of the body is still to come is dropped, unless it is the answer's body.
    Response(Response),
    /// None yet: the rest of the body first, part by part.
    Body,
    /// None yet, for want of a slot: ask again.
    Busy,
    /// None yet: [`Service::ready`](super::Service::ready) will give it. The body, if there is one,
    /// goes to [`Service::body`](super::Service::body).
    Later,
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

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// `None` says that there was no slot.
impl From<Option<Response>> for Reply {
    fn from(response: Option<Response>) -> Self {
        response.map_or(Self::Busy, Self::Response)
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
}
