//! A request as a service sees it: its head, lazily read.

use std::borrow::Cow;

use super::text::query_value;
use crate::mem::{Buf, ConnId, MessageId};
use crate::pipeline::chain::http1::HeadMeta;
use crate::proto::http1::{self, Headers, Method};

/// A request head, as the peer sent it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    head: &'a Buf,
    meta: HeadMeta,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Buf) -> Self {
        Self { head, meta: HeadMeta::of(head) }
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.meta.method()
    }

    /// The target, with its query.
    #[inline]
    pub fn target(&self) -> &'a [u8] {
        let bytes = self.head.bytes();
        let start = match bytes.first_chunk() {
            Some(start) if start == b"GET " => start.len(),
            _ => bytes.iter().position(|&b| b == b' ').map_or(0, |at| at + 1),
        };
        &bytes[start..start + self.meta.target_bytes()]
    }

    /// The target up to its query, as it was sent: escapes and all.
    #[inline]
    pub fn path(&self) -> &'a [u8] {
        http1::path(self.target())
    }

    /// The value of the first `name=value` of the query, decoded as forms are (`+` is a space). `None`: there is none,
    /// or it is no UTF-8.
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        let target = self.target();
        let query = target.iter().position(|byte| *byte == b'?').map(|at| &target[at + 1..])?;
        query_value(query, name)
    }

    /// The header fields, in order.
    pub fn headers(&self) -> Headers<'a> {
        http1::headers(self.head.bytes())
    }

    /// The value of the first header field called `name`, in any case.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&'a [u8]> {
        http1::header(self.head.bytes(), name.as_ref())
    }

    /// The method's name as it was sent.
    pub fn method_name(&self) -> &'a [u8] {
        let bytes = self.head.bytes();
        &bytes[..bytes.iter().position(|&b| b == b' ').unwrap_or(0)]
    }

    /// Its head in the words of the `http` crate, for libraries that speak it. It allocates. `None`: the target is
    /// none that crate knows.
    pub fn to_http(&self) -> Option<::http::Request<()>> {
        let version =
            if self.meta.http10() { ::http::Version::HTTP_10 } else { ::http::Version::HTTP_11 };
        let mut request = ::http::Request::builder()
            .method(self.method_name())
            .uri(self.target())
            .version(version);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        request.body(()).ok()
    }

    /// Whether a body follows.
    #[inline]
    pub fn has_body(&self) -> bool {
        self.meta.has_body()
    }

    /// Whether the peer asks for another protocol: the `Upgrade` field names it (RFC 9110 §7.8).
    pub fn wants_upgrade(&self) -> bool {
        self.meta.upgrade()
    }

    /// The connection that it came on.
    #[inline]
    pub fn conn(&self) -> ConnId {
        self.head.conn()
    }

    /// What values of this request hang on: see [`Extensions`](crate::pipeline::Extensions).
    pub fn message(&self) -> MessageId {
        self.head.message()
    }

    /// Bytes of the body that follows; `None` when its end alone will tell.
    pub fn content_length(&self) -> Option<u64> {
        if self.meta.is_chunked() {
            return None;
        }
        if !self.has_body() {
            return Some(0);
        }
        let digits = self.header("content-length").and_then(|v| std::str::from_utf8(v).ok());
        digits.and_then(|digits| digits.trim().parse().ok())
    }

    /// A share of the head as it lies in its slot, of the kind
    /// [`HEAD`](crate::pipeline::chain::http1::HEAD): to pass it on.
    #[inline]
    pub fn share(&self) -> Buf {
        self.head.slice(0, self.head.len())
    }

    pub(super) fn meta(&self) -> HeadMeta {
        self.meta
    }
}
