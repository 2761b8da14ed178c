//! What a stream and its channels count (D-16).

use super::rtt::Rtt;

/// Packets and the bytes in them, headers not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many.
    pub packets: u64,
    /// Bytes of payload, as the application sees it.
    pub bytes: u64,
}

impl Count {
    /// One more.
    #[inline]
    pub(super) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// What a channel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelStatistics {
    /// DATA that was sent.
    pub sent: Count,
    /// DATA that came and was taken.
    pub received: Count,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that had been here, or came too late.
    pub replayed: u64,
    /// Packets that were not the peer's.
    pub forged: u64,
    /// Messages of which a piece is lost.
    pub torn: u64,
    /// Packets for which there was no room any more after they had been taken for lost.
    pub crowded: u64,
}

/// What a stream counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets of all types that were sent.
    pub sent: Count,
    /// Packets of all types that came and were taken.
    pub received: Count,
    /// Packets that never came, on all channels.
    pub lost: u64,
    /// Packets that had been here, or came too late.
    pub replayed: u64,
    /// Packets that were not the peer's.
    pub forged: u64,
    /// Datagrams that were no packets.
    pub malformed: u64,
    /// DATA of channels that are not open.
    pub unknown: u64,
    /// Messages of which a piece is lost.
    pub torn: u64,
    /// Packets for which there was no room any more after they had been taken for lost.
    pub crowded: u64,
    /// Channels that are open.
    pub channels: usize,
    /// Channels that ever were.
    pub opened: u64,
    /// Round trips.
    pub rtt: Rtt,
}
