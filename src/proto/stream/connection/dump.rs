//! How a stream and its channels stand, for whoever looks into it (D-16, D-17).

use super::{Connection, State};
use crate::proto::stream::channel::{Channel, Shut};
use crate::proto::stream::statistics::{ChannelStatistics, Statistics};
use crate::time::Instant;

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The handshake is not whole.
    Greeting,
    /// Connected.
    Open,
    /// One end has said that it closes.
    Closing,
    /// It has ended.
    Over,
}

impl Phase {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Over => "over",
        }
    }
}

/// How a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelDump {
    /// Its number.
    pub channel: u16,
    /// Which of the channels that had the number.
    pub incarnation: u32,
    /// What it is for.
    pub channel_type: u8,
    /// Whether its messages may be compressed.
    pub may_compress: bool,
    /// Whether the peer opened it.
    pub by_peer: bool,
    /// Whether both ends know that it is open.
    pub is_open: bool,
    /// Whether it was closed from here.
    pub is_shut: bool,
    /// Whether the peer has closed it.
    pub is_shut_by_peer: bool,
    /// The number of the next packet to be sent.
    pub send_next: u64,
    /// Packets that the peer still takes.
    pub send_credit: u64,
    /// How many keys have followed the first, of what is sent.
    pub send_epoch: u32,
    /// The number of the next packet to come.
    pub receive_next: u64,
    /// Packets that we still take.
    pub receive_credit: u64,
    /// How many keys have followed the first, of what comes.
    pub receive_epoch: u32,
    /// Packets that the application has and has not consumed.
    pub unconsumed: u32,
    /// What was counted.
    pub statistics: ChannelStatistics,
}

impl ChannelDump {
    fn of(channel: &Channel) -> Self {
        let epochs = channel.keys.as_ref();
        let (send_epoch, receive_epoch) =
            epochs.map_or((0, 0), |keys| (keys.send.epoch(), keys.receive.epoch()));
        let receive_next = channel.receive.next();
        Self {
            channel: channel.id,
            incarnation: channel.incarnation,
            channel_type: channel.channel_type,
            may_compress: channel.may_compress,
            by_peer: !channel.ours,
            is_open: !channel.opening,
            is_shut: channel.shut != Shut::No,
            is_shut_by_peer: channel.peer_last.is_some(),
            send_next: channel.send.next(),
            send_credit: channel.may_send(),
            send_epoch,
            receive_next,
            receive_credit: channel.window.limit() - receive_next,
            receive_epoch,
            unconsumed: channel.window.unconsumed(),
            statistics: channel.statistics,
        }
    }
}

impl Connection {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Greeting(_) => Phase::Greeting,
            State::Open(_) if self.ending.is_asked() || self.ending.is_heard() => Phase::Closing,
            State::Open(_) => Phase::Open,
            State::Over => Phase::Over,
        }
    }

    /// When the peer was heard last, and when it was said something last; before it is connected, when that
    /// began.
    pub fn last_activity(&self) -> (Instant, Instant) {
        (self.keepalive.received(), self.keepalive.sent())
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        let rtt = self.keepalive.rtt;
        Statistics { channels: self.table.len(), rtt, ..self.statistics }
    }

    /// How a channel stands.
    pub fn channel(&self, channel: u16) -> Option<ChannelDump> {
        self.table.get(channel).map(ChannelDump::of)
    }

    /// How all channels stand, in no order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelDump> {
        self.table.iter().map(ChannelDump::of)
    }

    /// Keys that have followed the first of channel 0: of what is sent, and of what comes.
    pub fn epochs(&self) -> (u32, u32) {
        self.keys.as_ref().map_or((0, 0), |keys| (keys.send.epoch(), keys.receive.epoch()))
    }
}
