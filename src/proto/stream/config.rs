//! What one end of a stream is told before it begins.

use super::rate::Rate;
use super::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Offer};
use super::secure::messages::SESSION_ID_BYTES;
use crate::limits::{
    STREAM_CHANNELS_LIMIT, STREAM_CHANNELS_MAX, STREAM_CLOSE_TIMEOUT_NS, STREAM_DATAGRAM_BYTES,
    STREAM_HANDSHAKE_TIMEOUT_NS, STREAM_KEEPALIVE_NS, STREAM_MESSAGE_BYTES_MAX,
    STREAM_PACKET_BYTES_MAX, STREAM_PACKET_BYTES_MIN, STREAM_REKEY_PACKETS, STREAM_WINDOW_PACKETS,
    STREAM_WINDOW_PACKETS_MAX,
};

/// The version of the wire that is spoken.
pub const VERSION: u16 = 1;

/// What the connection below does with packets (D-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Bytes, none of which is lost: packets lie one behind the other.
    Stream,
    /// One packet a datagram, which may be lost, doubled and overtaken; and anybody can send one.
    Datagram,
}

/// Which end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that connects.
    Initiator,
    /// The one that accepts.
    Responder {
        /// The session's name: fresh randomness.
        session_id: [u8; SESSION_ID_BYTES],
    },
}

/// Well-known channel types (D-5).
pub mod channel_type {
    /// Words about the application itself.
    pub const CONTROL: u8 = 0x00;
    /// Files.
    pub const FILE: u8 = 0x01;
    /// Calls of services.
    pub const SERVICE: u8 = 0x02;
    /// Keys and permissions.
    pub const SECURITY: u8 = 0x03;
    /// Sound and pictures.
    pub const MEDIA: u8 = 0x04;
    /// The first of those that an application defines.
    pub const CUSTOM: u8 = 0x10;

    /// What a type is called, if it is one of these.
    pub const fn name(channel_type: u8) -> Option<&'static str> {
        match channel_type {
            CONTROL => Some("control"),
            FILE => Some("file"),
            SERVICE => Some("service"),
            SECURITY => Some("security"),
            MEDIA => Some("media"),
            _ => None,
        }
    }
}

/// The channel types that a peer may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTypes([u64; 4]);

impl ChannelTypes {
    /// None.
    pub const NONE: Self = Self([0; 4]);

    /// Those that have a name here.
    pub const WELL_KNOWN: Self = Self([(1 << (channel_type::MEDIA + 1)) - 1, 0, 0, 0]);

    /// These and one more.
    #[must_use]
    pub const fn with(mut self, channel_type: u8) -> Self {
        self.0[channel_type as usize / 64] |= 1 << (channel_type % 64);
        self
    }

    /// Whether it is among them.
    pub const fn has(&self, channel_type: u8) -> bool {
        self.0[channel_type as usize / 64] >> (channel_type % 64) & 1 == 1
    }
}

/// The bounds and times of one end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What lies below.
    pub mode: Mode,
    /// Versions and features.
    pub offer: Offer,
    /// Largest packet that is sent, with its header.
    pub packet_bytes: usize,
    /// Largest message that is taken.
    pub message_bytes_max: u32,
    /// Channels that may be open at a time, whoever opened them.
    pub channels_max: usize,
    /// Packets that may be under way to us or wait for the application, on each channel.
    pub window_packets: u32,
    /// What the peer may send on one channel, over time.
    pub channel_rate: Rate,
    /// What it may send on all of them; words about channels and pings are packets too.
    pub session_rate: Rate,
    /// What it may open.
    pub types: ChannelTypes,
    /// Packets of a channel before its key is changed.
    pub rekey_packets: u64,
    /// Silence before the peer is asked, in nanoseconds; 0: never.
    pub keepalive_ns: u64,
    /// How long the handshake may take, in nanoseconds.
    pub handshake_timeout_ns: u64,
    /// How long the peer may go on after a CLOSE, in nanoseconds.
    pub close_timeout_ns: u64,
}

impl Config {
    /// The usual over a connection of that kind: encrypted, compressed where it pays, short messages several to a
    /// packet.
    pub const fn new(mode: Mode) -> Self {
        let packet_bytes = match mode {
            Mode::Stream => STREAM_PACKET_BYTES_MAX,
            Mode::Datagram => STREAM_DATAGRAM_BYTES,
        };
        let offers = ENCRYPT | COMPRESS | BATCH;
        Self {
            mode,
            offer: Offer { version_min: VERSION, version_max: VERSION, offers, requires: ENCRYPT },
            packet_bytes,
            message_bytes_max: STREAM_MESSAGE_BYTES_MAX,
            channels_max: STREAM_CHANNELS_MAX,
            window_packets: STREAM_WINDOW_PACKETS,
            channel_rate: Rate { packets: 0, bytes: 0 },
            session_rate: Rate { packets: 0, bytes: 0 },
            types: ChannelTypes::WELL_KNOWN,
            rekey_packets: STREAM_REKEY_PACKETS,
            keepalive_ns: STREAM_KEEPALIVE_NS,
            handshake_timeout_ns: STREAM_HANDSHAKE_TIMEOUT_NS,
            close_timeout_ns: STREAM_CLOSE_TIMEOUT_NS,
        }
    }

    /// Whether all of it is within the bounds that the code counts on.
    pub fn is_valid(&self) -> bool {
        let packet = STREAM_PACKET_BYTES_MIN..=STREAM_PACKET_BYTES_MAX;
        packet.contains(&self.packet_bytes)
            && (1..=STREAM_CHANNELS_LIMIT).contains(&self.channels_max)
            && (1..=STREAM_WINDOW_PACKETS_MAX).contains(&self.window_packets)
            && self.rekey_packets > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_types_are_the_five_of_the_wire() {
        let known: Vec<u8> = (0..=255).filter(|&t| ChannelTypes::WELL_KNOWN.has(t)).collect();
        assert_eq!(known, [0, 1, 2, 3, 4]);
        let more = ChannelTypes::NONE.with(0x10).with(255).with(64);
        assert_eq!((0..=255).filter(|&t| more.has(t)).collect::<Vec<u8>>(), [0x10, 64, 255]);
    }

    #[test]
    fn the_usual_is_valid_and_what_is_out_of_bounds_is_not() {
        for mode in [Mode::Stream, Mode::Datagram] {
            let usual = Config::new(mode);
            assert!(usual.is_valid());
            assert!(!Config { packet_bytes: 511, ..usual }.is_valid());
            assert!(!Config { packet_bytes: 16_385, ..usual }.is_valid());
            assert!(!Config { channels_max: 0, ..usual }.is_valid());
            assert!(!Config { channels_max: 32_769, ..usual }.is_valid());
            assert!(!Config { window_packets: 0, ..usual }.is_valid());
            assert!(!Config { window_packets: (1 << 20) + 1, ..usual }.is_valid());
            assert!(!Config { rekey_packets: 0, ..usual }.is_valid());
        }
    }
}
