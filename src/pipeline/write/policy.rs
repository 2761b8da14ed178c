//! What may wait for a peer that takes less than is written to it, and what happens beyond.

use crate::limits::{WRITE_BACKLOG_BYTES_MAX, WRITE_BACKLOG_MESSAGES_MAX};

/// What happens when one more would be too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is dropped.
    DropNewest,
    /// Those that wait longest are dropped until there is room.
    DropOldest,
    /// The connection is closed at once, and what waits for it dropped.
    Disconnect,
}

/// How much may wait for one slow connection, beside the [`TX_HIGH_BYTES`](crate::limits::TX_HIGH_BYTES) and
/// less that its transport has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowPolicy {
    /// Bytes.
    pub bytes_max: u32,
    /// Messages.
    pub messages_max: u32,
    /// What happens to one more.
    pub when_full: WhenFull,
}

impl SlowPolicy {
    /// That of connections for which none was set.
    pub const DEFAULT: Self = Self {
        bytes_max: WRITE_BACKLOG_BYTES_MAX,
        messages_max: WRITE_BACKLOG_MESSAGES_MAX,
        when_full: WhenFull::DropNewest,
    };

    /// Whether so many messages with so many bytes are too much.
    pub(super) fn is_exceeded(&self, messages: u32, bytes: u64) -> bool {
        messages > self.messages_max || bytes > u64::from(self.bytes_max)
    }
}

impl Default for SlowPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
