//! A request as a service sees it: its head, lazily read.

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
        let start = self.head.iter().position(|&b| b == b' ').map_or(0, |at| at + 1);
        &self.head.bytes()[start..start + self.meta.target_bytes()]
    }

    /// The target up to its query.
    #[inline]
    pub fn path(&self) -> &'a [u8] {
        http1::path(self.target())
    }

    /// The header fields, in order.
    pub fn headers(&self) -> Headers<'a> {
        http1::headers(self.head.bytes())
    }

    /// The value of the first header field called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        http1::header(self.head.bytes(), name)
    }

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.meta.has_body()
    }

    /// Whether the peer asks for another protocol: the `Upgrade` field names it (RFC 9110 §7.8).
    pub fn wants_upgrade(&self) -> bool {
        self.meta.upgrade()
    }

    /// The connection that it came on.
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
