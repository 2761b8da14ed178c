//! What a service answers.

use std::borrow::Cow;

use crate::limits::{HTTP_REPLY_HEAD_BYTES_MAX, SMALL_SLOT_BYTES};
use crate::mem::Buf;

/// Most bytes of a body that are written into a small slot with the head.
const SMALL_BYTES_MAX: usize = SMALL_SLOT_BYTES as usize - HTTP_REPLY_HEAD_BYTES_MAX;

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
pub(super) enum Fields {
    Static(&'static [(&'static str, &'static [u8])]),
    Owned(Vec<(Cow<'static, str>, Cow<'static, [u8]>)>),
}

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let (fixed, owned): (&[_], &[_]) = match self {
            Self::Static(fields) => (fields, &[]),
            Self::Owned(fields) => (&[], fields),
        };
        let owned = owned.iter().map(|(name, value)| (&**name, &**value));
        fixed.iter().map(|&(name, value)| (name, value)).chain(owned)
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
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, content_type: None, fields: Fields::Static(&[]), reads: false, body }
    }

    /// Whether it is of the kind that most are: what nothing but its head and a few bytes make up.
    #[inline]
    pub(super) fn is_small(&self) -> bool {
        matches!(&self.body, Body::Bytes(bytes) if bytes.len() <= SMALL_BYTES_MAX)
            && (200..=299).contains(&self.status)
            && self.status != 204
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
    /// [`Reply::Busy`].
    pub fn reading_on(self) -> Self {
        Self { reads: true, ..self }
    }

    /// The same with a Content-Type field.
    pub fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type: Some(content_type), ..self }
    }

    /// The same with these fields and no others.
    pub fn static_fields(self, fields: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { fields: Fields::Static(fields), ..self }
    }

    /// The same with one more field. It allocates.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        if let Fields::Static(fields) = self.fields {
            let owned = |&(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value));
            self.fields = Fields::Owned(fields.iter().map(owned).collect());
        }
        if let Fields::Owned(fields) = &mut self.fields {
            fields.push((name.into(), value.into()));
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
    /// Nothing now; ask again.
    Wait,
    /// No more.
    End,
    /// No more but trailer fields: whole lines, `name: value` CRLF. They are sent behind a body
    /// whose length was not known, and dropped behind another.
    Trailers(Buf),
}
