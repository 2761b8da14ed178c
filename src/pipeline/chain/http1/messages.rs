//! What passes between the chain of HTTP/1.1 and its handler: the kinds of bufs, and what their
//! meta says.

use crate::mem::{Buf, kind};
use crate::proto::http1::{BodyLength, Head, Method, Version};

/// A request head, validated and contiguous, from the method through the blank line. Its meta is a
/// [`HeadMeta`].
pub const HEAD: u8 = kind::PROTOCOL;
/// The next bytes of a request's body; meta 1 on the last of them, which may have none. A body of
/// `Content-Length: 0` has no such buf: its head says so.
pub const BODY: u8 = kind::PROTOCOL + 1;
/// The peer broke a rule or took too long: meta is the status of the answer, after which the
/// connection is closed. It ends a body that was coming. No bytes.
pub const FAULT: u8 = kind::PROTOCOL + 2;
/// The trailer fields of a chunked body, before the last of its [`BODY`] bufs: whole field lines, to
/// be read with [`field_lines`](crate::proto::http1::field_lines).
pub const TRAILERS: u8 = kind::PROTOCOL + 3;

/// The dataplane has begun to stop, and something is under way on this connection that may have no end
/// of its own: another protocol, or a response. Comes when all before it is out, and again where a
/// response may have become an upgrade since. No bytes.
pub const DRAIN: u8 = kind::PROTOCOL + 4;

/// Part of the meta of a `DATA` buf that goes down: how many responses end with it. The chain counts
/// on it; a handler that forgets leaves connections that never count as idle.
pub const ENDS: u32 = (1 << 23) - 1;
/// Part of the meta of a `DATA` buf that goes down: it is the response that ends HTTP on this
/// connection (101). What the peer sends from here on comes up as `DATA`.
pub const UPGRADES: u32 = 1 << 23;

/// What a stage knows of a request head beside its bytes, in the 24 bits of a buf's meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadMeta(pub(super) u32);

impl HeadMeta {
    const METHOD_BITS: u32 = 4;
    const TARGET_BITS: u32 = 13;
    const FLAGS: u32 = Self::METHOD_BITS + Self::TARGET_BITS;
    const KEEP_ALIVE: u32 = 1 << Self::FLAGS;
    const HTTP10: u32 = 2 << Self::FLAGS;
    const BODY: u32 = 4 << Self::FLAGS;
    const CHUNKED: u32 = 8 << Self::FLAGS;
    const UPGRADE: u32 = 16 << Self::FLAGS;
    const EXPECT: u32 = 32 << Self::FLAGS;

    /// Of no head.
    pub const NOTHING: Self = Self(0);

    /// `keep_alive` is what the chain makes of the head's own; `waits`: nothing of the body is here.
    #[inline]
    pub(super) fn new(head: &Head, keep_alive: bool, waits: bool) -> Self {
        debug_assert!(head.target_len < 1 << Self::TARGET_BITS);
        let flag = |set, flag| if set { flag } else { 0 };
        let has_body = !matches!(head.body, BodyLength::None | BodyLength::Length(0));
        Self(
            head.method as u32
                | head.target_len << Self::METHOD_BITS
                | flag(keep_alive, Self::KEEP_ALIVE)
                | flag(head.version == Version::Http10, Self::HTTP10)
                | flag(has_body, Self::BODY)
                | flag(head.body == BodyLength::Chunked, Self::CHUNKED)
                | flag(head.upgrade && !has_body, Self::UPGRADE)
                | flag(head.expect_continue && waits, Self::EXPECT),
        )
    }

    /// That of a head of HTTP/1.1 without a body on a connection that goes on.
    #[inline(always)]
    pub(super) fn plain(head: &Head) -> Self {
        Self(head.method as u32 | head.target_len << Self::METHOD_BITS | Self::KEEP_ALIVE)
    }

    /// From the meta of a buf or message of kind [`HEAD`].
    #[inline]
    pub fn of_meta(meta: u32) -> Self {
        Self(meta)
    }

    /// The meta of a buf of kind [`HEAD`].
    #[inline]
    pub fn of(buf: &Buf) -> Self {
        debug_assert!(buf.kind() == HEAD);
        Self(buf.meta())
    }

    /// The method.
    #[inline]
    pub fn method(self) -> Method {
        const ALL: [Method; 10] = [
            Method::Get,
            Method::Head,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Connect,
            Method::Options,
            Method::Trace,
            Method::Patch,
            Method::Other,
        ];
        ALL[(self.0 & ((1 << Self::METHOD_BITS) - 1)) as usize]
    }

    /// Whether the request is of the kind that most are: without a body, on a connection that goes on,
    /// and nothing special about its response.
    #[inline]
    pub fn is_plain(self) -> bool {
        const METHOD: u32 = (1 << HeadMeta::METHOD_BITS) - 1;
        self.0 >> Self::FLAGS == 1 && self.0 & METHOD != Method::Head as u32
    }

    /// Bytes of the request target.
    #[inline]
    pub fn target_bytes(self) -> usize {
        (self.0 >> Self::METHOD_BITS) as usize & ((1 << Self::TARGET_BITS) - 1)
    }

    /// Whether the connection goes on after the reply.
    #[inline]
    pub fn keep_alive(self) -> bool {
        self.0 & Self::KEEP_ALIVE != 0
    }

    /// Whether the request is HTTP/1.0, whose peers have to be told of a connection that goes on,
    /// and know no chunks.
    #[inline]
    pub fn http10(self) -> bool {
        self.0 & Self::HTTP10 != 0
    }

    /// Whether bufs of kind [`BODY`] follow.
    #[inline]
    pub fn has_body(self) -> bool {
        self.0 & Self::BODY != 0
    }

    /// Whether the length of that body is known only at its end.
    #[inline]
    pub fn is_chunked(self) -> bool {
        self.0 & Self::CHUNKED != 0
    }

    /// Whether the peer asks for another protocol (RFC 9110 §7.8).
    #[inline]
    pub fn upgrade(self) -> bool {
        self.0 & Self::UPGRADE != 0
    }

    /// Whether the peer holds the body back until it reads `100 Continue` (RFC 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(self) -> bool {
        self.0 & Self::EXPECT != 0
    }
}
