//! What one end is told before it begins, and what is the same for all connections of a listener.

use crate::limits::{
    WEBSOCKET_CLOSE_TIMEOUT_NS, WEBSOCKET_DEFLATE_EXCESS_BYTES, WEBSOCKET_DEFLATE_EXCESS_SHARE,
    WEBSOCKET_FRAGMENTS_MAX, WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_PING_INTERVAL_NS,
    WEBSOCKET_PONG_TIMEOUT_NS,
};

/// Which end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The one that connects, and masks what it sends.
    Client,
    /// The one that accepts.
    Server,
}

/// What a peer may send. Each bound holds from the header on that says more, not only once the bytes are
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of a frame as it is sent; past it, 1009.
    pub frame_bytes: u64,
    /// Largest message, fragments together and decompressed; past it, 1009.
    pub message_bytes: u64,
    /// Most frames of a message; past it, 1008.
    pub fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: WEBSOCKET_MESSAGE_BYTES_MAX,
            message_bytes: WEBSOCKET_MESSAGE_BYTES_MAX,
            fragments: WEBSOCKET_FRAGMENTS_MAX,
        }
    }
}

impl Limits {
    /// Most bytes of a message on the wire. A compressed one may have somewhat more than it is long.
    pub(super) fn wire_bytes(&self, compressed: bool) -> u64 {
        if !compressed {
            return self.message_bytes;
        }
        let excess = self.message_bytes / WEBSOCKET_DEFLATE_EXCESS_SHARE;
        self.message_bytes.saturating_add(excess + WEBSOCKET_DEFLATE_EXCESS_BYTES)
    }
}

/// XORs `bytes` with `key`, of which the byte numbered `phase` (from 0, modulo 4) comes first.
pub type Mask = fn(bytes: &mut [u8], key: [u8; 4], phase: usize);

/// What is the same for all connections of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// What a peer may send.
    pub limits: Limits,
    /// How long a peer may be silent before it is pinged, in nanoseconds; 0: for ever.
    pub ping_interval_ns: u64,
    /// How long nothing may come after a ping, in nanoseconds.
    pub pong_timeout_ns: u64,
    /// How long a peer may take to answer a close, and a server to end the connection below, in nanoseconds.
    pub close_timeout_ns: u64,
    /// What masks, as fast as the machine can.
    pub mask: Mask,
}

impl Config {
    /// The usual.
    pub fn new(mask: Mask) -> Self {
        Self {
            limits: Limits::default(),
            ping_interval_ns: WEBSOCKET_PING_INTERVAL_NS,
            pong_timeout_ns: WEBSOCKET_PONG_TIMEOUT_NS,
            close_timeout_ns: WEBSOCKET_CLOSE_TIMEOUT_NS,
            mask,
        }
    }
}
