//! Every bound of the dataplane: its unit in its name, its reason beside it, and the relations
//! between bounds asserted at compile time.

/// Most bufs in one burst: large enough to spread the cost of a stage over its messages, small
/// enough that the four bursts of a listener stay in L1 (4 × 64 × 32 bytes = 8 KiB).
pub const BURST_MAX: usize = 64;

/// Most lcores in one process, and so the number of per-lcore caches a mempool carries.
pub const LCORES_MAX: usize = 64;

/// Most listeners on one lcore: their index is one byte of a completion's token and one bit of the
/// work mask.
pub const LISTENERS_MAX: usize = 32;

const _: () = assert!(LISTENERS_MAX <= u32::BITS as usize);

/// Longest HTTP/1 request target: the length RFC 9112 §3 asks every recipient to support for a
/// request line. Past it the answer is 414.
pub const HTTP_TARGET_BYTES_MAX: u32 = 8_000;

/// Longest HTTP/1 method: twice the longest registered one (`UPDATEREDIRECTREF`), rounded down to a
/// power of two. Past it the answer is 501, as for a method nobody implements.
pub const HTTP_METHOD_BYTES_MAX: u32 = 32;

/// Longest HTTP/1 head, from the request line through the blank line: one full target and as much
/// again for the fields, which is what common servers and proxies allow.
pub const HTTP_HEAD_BYTES_MAX: u32 = 16 * 1024;

/// Most header fields in one HTTP/1 head: browsers send 10 to 20, proxies add a handful. The
/// decoder's field table (32 bytes each) stays within 2 KiB of stack.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Largest HTTP/1 request body unless the configuration says otherwise.
pub const HTTP_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Most octets of chunk extensions in one chunked body. They are read past and carry nothing, so
/// what RFC 9112 §7.1.1 asks for is a bound on their sum.
pub const HTTP_CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// Most octets of trailer fields after a chunked body: they are validated and dropped, so they get
/// less room than a head.
pub const HTTP_TRAILER_BYTES_MAX: u32 = 4 * 1024;

const _: () = assert!(HTTP_TARGET_BYTES_MAX + HTTP_METHOD_BYTES_MAX < HTTP_HEAD_BYTES_MAX);
