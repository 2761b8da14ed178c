//! WebSockets.

use super::HTTP_BODY_BYTES_MAX;

/// Largest frame and largest message of a WebSocket, fragments together or decompressed, unless the
/// configuration says otherwise: that of an HTTP body.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: u64 = HTTP_BODY_BYTES_MAX;

/// Bytes of a WebSocket message up to which it is copied behind others that go to the same peer: less than what a
/// buf of its own costs.
pub const WEBSOCKET_PACK_BYTES_MAX: usize = 256;

/// WebSockets that one turn looks at for what has taken too long.
pub const WEBSOCKET_SWEEP_SESSIONS: usize = 1024;

/// Most frames of one message unless the configuration says otherwise: a message of 4 MiB in pieces of 64
/// bytes. It bounds those without payload, which no bound on bytes does.
pub const WEBSOCKET_FRAGMENTS_MAX: u32 = 131_072;

/// How long a peer may be silent before it is pinged, in nanoseconds, unless the configuration says
/// otherwise: less than the minute after which routers and proxies forget a connection.
pub const WEBSOCKET_PING_INTERVAL_NS: u64 = 20_000_000_000;

/// How long nothing may come after a ping, in nanoseconds, unless the configuration says otherwise.
pub const WEBSOCKET_PONG_TIMEOUT_NS: u64 = 20_000_000_000;

/// How long the answer to a close may take, in nanoseconds, unless the configuration says otherwise.
pub const WEBSOCKET_CLOSE_TIMEOUT_NS: u64 = 5_000_000_000;

/// A compressed message may have one in so many bytes more on the wire than the largest message has
/// decompressed: what compressing the incompressible adds at most.
pub const WEBSOCKET_DEFLATE_EXCESS_SHARE: u64 = 8;

/// And so many bytes whatever the share: the empty blocks of a short message.
pub const WEBSOCKET_DEFLATE_EXCESS_BYTES: u64 = 1024;

/// Compressed messages of one listener and lcore that may be in the middle of their coming, where no window outlasts a
/// message: one for so many connections that there may be. One that is there as a whole does not count.
pub const WEBSOCKET_INFLATES_SHARE: usize = 8;

/// As many as that, however few the connections are.
pub const WEBSOCKET_INFLATES_MIN: usize = 64;

/// And no more, however many they are: each has 47 KiB, and all of them 47 MiB.
pub const WEBSOCKET_INFLATES_MAX: usize = 1024;

/// Shortest message that is compressed: a shorter one gains less than it costs.
pub const WEBSOCKET_DEFLATE_BYTES_MIN: usize = 64;

/// Messages that go as they are after one that compressing made no shorter, at most; it doubles from 1 each time.
pub const WEBSOCKET_DEFLATE_SKIPS_MAX: u8 = 64;

/// Bytes that wait for one peer of [`Sockets`](crate::handler::websocket::Sockets) to be sent: several of the largest
/// messages, since its next is not read before they are out.
pub const WEBSOCKET_OUTGOING_BYTES_MAX: usize = 8 * WEBSOCKET_MESSAGE_BYTES_MAX as usize;

/// Messages of those.
pub const WEBSOCKET_OUTGOING_MAX: usize = 1024;

/// Bytes that all peers of one [`Sockets`](crate::handler::websocket::Sockets) may make it hold: messages that are not
/// whole, and what waits to be sent. Past it, who sends in pieces is closed with 1013.
pub const WEBSOCKET_HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

const _: () = assert!(WEBSOCKET_HELD_BYTES_MAX >= 8 * WEBSOCKET_OUTGOING_BYTES_MAX);
/// Bytes that a client takes in ahead of being asked for them: what a server may have under way that sends back what
/// it is being sent.
pub const WEBSOCKET_CLIENT_AHEAD_BYTES: usize = 256 * 1024;

/// Payload that a client masks and sends at a time, and so what a frame takes of memory beside the message itself.
pub const WEBSOCKET_CLIENT_CHUNK_BYTES: usize = 64 * 1024;

/// Bytes that a client decompresses at a time.
pub const WEBSOCKET_CLIENT_PLAIN_BYTES: usize = 16 * 1024;

/// Largest message that a client takes, unless it says otherwise: it is put together in memory.
pub const WEBSOCKET_CLIENT_MESSAGE_BYTES_MAX: u64 = 64 << 20;

/// How long a call to a client may take, in nanoseconds, unless it says otherwise.
pub const WEBSOCKET_CLIENT_TIMEOUT_NS: u64 = 10_000_000_000;

/// What a client keeps of the body of an answer that refuses: enough to say why.
pub const WEBSOCKET_CLIENT_REFUSAL_BYTES_MAX: usize = 4096;
