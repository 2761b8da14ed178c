//! The admin listener: metrics, health and the dashboard over HTTP.

/// Connections of the admin listener that are open at a time: some scrapers, some tabs, and room for
/// others that are slow.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Connections that it accepts in one turn, so that those that are open are looked at in between.
pub const ADMIN_ACCEPTS_MAX: usize = 16;

/// How long a connection has its place for sure, in nanoseconds, without anything being sent to it. Past it a newcomer may
/// have the place: a client that is in earnest has sent its request by then.
pub const ADMIN_GRACE_NS: u64 = 250_000_000;

/// How long a request may take to arrive, in nanoseconds: it is one packet, mostly.
pub const ADMIN_REQUEST_TIMEOUT_NS: u64 = 5_000_000_000;

/// How long a peer may take nothing of its answer, in nanoseconds.
pub const ADMIN_STALL_TIMEOUT_NS: u64 = 5_000_000_000;

/// How long a peer may take for its answer, in nanoseconds, even where it takes a little again and again.
pub const ADMIN_ANSWER_TIMEOUT_NS: u64 = 30_000_000_000;

/// How long the peer's close is waited for behind the answer, in nanoseconds: a close over what it still
/// sends would take the answer away from it.
pub const ADMIN_LINGER_NS: u64 = 1_000_000_000;

/// How long nothing is accepted once that has failed, in nanoseconds: descriptors come back when others close.
pub const ADMIN_ACCEPT_PAUSE_NS: u64 = 200_000_000;

/// Longest head of a request: those of browsers have 1 KiB, and cookies of other servers on the host.
pub const ADMIN_HEAD_BYTES_MAX: u32 = 16 * 1024;

/// Longest target of a request: a path, and a token.
pub const ADMIN_TARGET_BYTES_MAX: u32 = 1024;

/// Shortest token: 16 characters of base64 are 96 bits.
pub const ADMIN_TOKEN_CHARS_MIN: usize = 16;

/// Longest token.
pub const ADMIN_TOKEN_CHARS_MAX: usize = 256;

const _: () = assert!(ADMIN_TOKEN_CHARS_MAX * 3 < ADMIN_TARGET_BYTES_MAX as usize);
const _: () = assert!(ADMIN_TARGET_BYTES_MAX < ADMIN_HEAD_BYTES_MAX);
const _: () = assert!(ADMIN_GRACE_NS < ADMIN_LINGER_NS);
const _: () = assert!(ADMIN_ACCEPTS_MAX <= ADMIN_CONNECTIONS_MAX);
