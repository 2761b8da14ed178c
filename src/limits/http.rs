//! HTTP/1: what a peer may send, how long it may take, and what of it may wait.

use super::{LARGE_SLOTS, RX_RESERVE_SHARE, SMALL_SLOTS, TX_HIGH_BYTES};

/// Longest HTTP/1 request target: the length RFC 9112 §3 asks every recipient to support for a
/// request line. Past it the answer is 414.
pub const HTTP_TARGET_BYTES_MAX: u32 = 8_000;

/// Longest HTTP/1 method: twice the longest registered one (`UPDATEREDIRECTREF`), rounded down to a
/// power of two. Past it the answer is 501, as for a method nobody implements.
pub const HTTP_METHOD_BYTES_MAX: u32 = 32;

/// Longest HTTP/1 head, from the request line through the blank line: one full target and as much
/// again for the fields, which is what common servers and proxies allow.
pub const HTTP_HEAD_BYTES_MAX: u32 = 16 * 1024;

/// Most header fields in one HTTP/1 head: browsers send 10 to 20, proxies add a handful. Each costs
/// whoever looks one up a walk past it.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Largest HTTP/1 request body unless the configuration says otherwise.
pub const HTTP_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Most octets of chunk extensions in one chunked body. They are read past and carry nothing, so
/// what RFC 9112 §7.1.1 asks for is a bound on their sum.
pub const HTTP_CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// Most octets of trailer fields after a chunked body: whoever wants them joins their pieces in one
/// buffer, so they get less room than a head.
pub const HTTP_TRAILER_BYTES_MAX: u32 = 4 * 1024;

const _: () = assert!(HTTP_TARGET_BYTES_MAX + HTTP_METHOD_BYTES_MAX < HTTP_HEAD_BYTES_MAX);

/// How long the head of a request may take to arrive, in nanoseconds, unless the configuration says
/// otherwise: ten times what a bad line needs.
pub const HTTP_HEAD_TIMEOUT_NS: u64 = 20_000_000_000;

/// How long nothing of a body may arrive, in nanoseconds: what common servers allow. A peer that
/// reads its response slowly while it sends is held up by us for as long as that.
pub const HTTP_BODY_TIMEOUT_NS: u64 = 60_000_000_000;

/// How long a connection may wait for its next request, in nanoseconds: what common servers allow.
pub const HTTP_KEEP_ALIVE_TIMEOUT_NS: u64 = 75_000_000_000;

/// Longest such timeout that a configuration may ask for, in milliseconds: a day, far below the 52
/// days that a session can tell apart.
pub const HTTP_TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Messages of one listener that wait behind responses that are not whole, or for a slot; the
/// connection that one more comes from is closed.
pub const HTTP_HELD_BUFS: usize = 16 * 1024;

/// What came on connections that the handler wants nothing more from, or is part of something that
/// waits for a slot, per listener: each holds a slot of its own, and there are fewer of those.
pub const HTTP_WAITING_BUFS: usize = 8192;

const _: () = assert!(HTTP_WAITING_BUFS >= (SMALL_SLOTS + LARGE_SLOTS) as usize);

/// The same of one connection past which it is not received from.
pub const HTTP_HELD_BUFS_MAX: u32 = 16;

/// Bytes of a streamed body that are made at a time; as many again may be under way.
pub const HTTP_PULL_BYTES: usize = 64 * 1024;

/// Parts of a streamed body that are made at a time.
pub const HTTP_PULL_PARTS_MAX: usize = 16;

const _: () = assert!(2 * HTTP_PULL_BYTES <= TX_HIGH_BYTES as usize);

/// Part of an lcore's slots that unfinished heads may hold: one in so many.
pub const HTTP_STASHES_SHARE: u32 = 4;

/// The same of its large slots: half of those that are never lent, so that long replies find some.
pub const HTTP_LARGE_STASHES_SHARE: u32 = 2 * RX_RESERVE_SHARE as u32;

/// Largest head of a response: status line, fixed fields, and the handler's own, without lines that
/// were put together at run time: a slot is found for those.
pub const HTTP_REPLY_HEAD_BYTES_MAX: usize = 512;

/// Blocks of header fields of responses that a thread keeps for those to come: as many as are ever under way at a
/// time, most often. One that waits for a slot holds its own.
pub const HTTP_SPARE_FIELDS: usize = 8;

/// Bytes of lines that such a block is kept with.
pub const HTTP_SPARE_FIELDS_BYTES_MAX: usize = 2 * 1024;

/// Most parameters of a route: each takes 4 bytes of every request's context.
pub const HTTP_ROUTE_PARAMS_MAX: usize = 8;

/// Most segments of a route: a path is walked as deep as the deepest one.
pub const HTTP_ROUTE_SEGMENTS_MAX: usize = 32;

/// Longest name of a request that is taken over from its `X-Request-Id`: four times a UUID's 36 would be odd.
pub const HTTP_REQUEST_ID_BYTES_MAX: usize = 64;

/// Counts of requests by the value of a header field: 16 bytes each.
pub const HTTP_RATE_BUCKETS: usize = 4096;

/// Shortest body that is compressed: below a packet there is nothing to gain.
pub const HTTP_COMPRESS_BYTES_MIN: usize = 1024;

/// Longest body that is compressed on an lcore: some 20 ms.
pub const HTTP_COMPRESS_BYTES_MAX: usize = 1024 * 1024;

/// Lines of an access log that wait for their writer: some 10 ms at 400,000 requests a second.
pub const HTTP_LOG_LINES: usize = 4096;

/// Bytes of a request target that an access log shows.
pub const HTTP_LOG_TARGET_BYTES: usize = 120;

/// Bytes of bodies that one router collects at a time, until they are whole: past it, 503. The largest body that a
/// listener takes unless told otherwise fits 256 times.
pub const HTTP_COLLECTED_BYTES_MAX: usize = 256 * HTTP_BODY_BYTES_MAX as usize;
