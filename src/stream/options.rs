//! How streams are to be: what is agreed with the peer, bounds and times.

use std::path::PathBuf;
use std::time::Duration;

use crate::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT};
use crate::proto::stream::{ChannelTypes, Config, Mode, Rate};

/// How a stream is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether packets are encrypted. Both ends have to say the same.
    pub encrypt: bool,
    /// Whether messages may be compressed where that pays. Where one end says no, none is.
    pub compress: bool,
    /// How long connecting may take, the handshake included.
    pub connect_timeout: Duration,
    /// Silence before the peer is asked whether it is there; it is given up after three such times
    /// without an answer. Zero: never.
    pub keepalive: Duration,
    /// Close a stream on which no message has moved for so long (D-3).
    pub idle_timeout: Option<Duration>,
    /// How long closing waits for what is still under way.
    pub close_timeout: Duration,
    /// Channel types that the peer may open (D-5). Custom ones, from 0x10, are added to those that have
    /// a name with [`ChannelTypes::with`].
    pub types: ChannelTypes,
    /// Largest message either way, in bytes. A peer that sends a larger one breaks a rule.
    pub message_bytes_max: u32,
    /// Channels that may be open at a time.
    pub channels_max: usize,
    /// Packets of a channel that may be under way or wait for the program.
    pub window_packets: u32,
    /// What the peer may send on each channel, over time (D-21). Past it the peer gets no credit, and waits; nothing is
    /// dropped.
    pub channel_rate: Rate,
    /// What it may send on all channels.
    pub session_rate: Rate,
    /// Largest datagram, over UDP.
    pub datagram_bytes: usize,
    /// The control socket of the dataplane, for an [`Address::Port`](super::Address::Port).
    pub control_socket: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let usual = Config::new(Mode::Stream);
        Self {
            encrypt: true,
            compress: true,
            connect_timeout: Duration::from_nanos(usual.handshake_timeout_ns),
            keepalive: Duration::from_nanos(usual.keepalive_ns),
            idle_timeout: None,
            close_timeout: Duration::from_nanos(usual.close_timeout_ns),
            types: usual.types,
            message_bytes_max: usual.message_bytes_max,
            channels_max: usual.channels_max,
            window_packets: usual.window_packets,
            channel_rate: usual.channel_rate,
            session_rate: usual.session_rate,
            datagram_bytes: Config::new(Mode::Datagram).packet_bytes,
            control_socket: None,
        }
    }
}

impl Options {
    pub(super) fn config(&self, mode: Mode) -> Config {
        let mut config = Config::new(mode);
        let bit = |wanted: bool, bit: u32| if wanted { bit } else { 0 };
        config.offer.offers = bit(self.encrypt, ENCRYPT) | bit(self.compress, COMPRESS) | BATCH;
        config.offer.requires = bit(self.encrypt, ENCRYPT);
        if mode == Mode::Datagram {
            config.packet_bytes = self.datagram_bytes;
        }
        config.keepalive_ns = ns(self.keepalive);
        config.handshake_timeout_ns = ns(self.connect_timeout);
        config.close_timeout_ns = ns(self.close_timeout);
        config.types = self.types;
        config.message_bytes_max = self.message_bytes_max;
        config.channels_max = self.channels_max;
        config.window_packets = self.window_packets;
        (config.channel_rate, config.session_rate) = (self.channel_rate, self.session_rate);
        config
    }

    /// Refuses what the wire does not bear.
    pub(super) fn check(&self) -> crate::error::Result<()> {
        if self.config(Mode::Datagram).is_valid() {
            return Ok(());
        }
        Err(crate::error::Error::new(
            "use these stream options",
            format!(
                "channels_max {}, window_packets {} or datagram_bytes {} is out of bounds",
                self.channels_max, self.window_packets, self.datagram_bytes
            ),
            "see the bounds in ringway::limits, STREAM_*",
        ))
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
