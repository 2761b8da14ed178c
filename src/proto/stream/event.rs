//! What a connection tells its owner.

use std::ops::Range;

use super::batch::Messages;
use super::{Code, Fault};

/// What a packet was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The connection's own: [events](Event) may have come of it, and something to send.
    Consumed,
    /// A message, a piece of one, or a batch of them.
    Data(Data),
    /// The message that was coming in pieces on a channel never ends: what is there of it is to be thrown
    /// away. Over datagrams only.
    Torn {
        /// The channel.
        channel: u16,
    },
    /// It was dropped and counted.
    Dropped(Dropped),
}

/// A message, a piece of one, or a batch of short ones, where it lies in the packet it came in. However many it is,
/// it is one packet to [consume](super::Connection::consume).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The channel.
    pub channel: u16,
    /// The plaintext; of a batch all of the list, in which [`messages`](Self::messages) tells where each lies.
    pub range: Range<usize>,
    /// Messages of a batch, 2 or more; or else 1.
    pub count: u8,
    /// A message begins with it. One that had not ended before it on the channel never will.
    pub first: bool,
    /// The message ends with it.
    pub last: bool,
    /// The message is compressed.
    pub compressed: bool,
    /// Bytes of the message as it is sent, all pieces together; of a batch those of all messages.
    pub message_bytes: u32,
}

impl Data {
    /// Where each message, or the piece, lies in the packet that it came in.
    #[inline]
    pub fn messages<'a>(&self, packet: &'a [u8]) -> Messages<'a> {
        Messages::new(packet, self.range.clone(), self.count)
    }
}

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Its number has been, or it came too late.
    Replayed,
    /// It is no packet, or not one that the peer would send now. Over datagrams only.
    Malformed,
    /// The peer has not sealed it. Over datagrams only.
    Forged,
    /// Its channel is not open.
    Unknown,
    /// The beginning of its message is lost. Over datagrams only.
    Orphan,
    /// It had been taken for lost, and its room was given away. Over datagrams only.
    Crowded,
    /// The stream is over.
    Over,
}

/// Why nothing can be sent, or no channel opened, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The stream is not connected yet, or ends.
    NotConnected,
    /// The channel is not open, or was closed from here.
    NotOpen,
    /// The peer has given no credit: [`Event::ChannelWritable`] follows.
    NoCredit,
    /// There are as many channels as may be.
    TooMany,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The handshake is whole: who the peer is and what was agreed on is known.
    Connected,
    /// A channel is open.
    ChannelOpened {
        /// Its number.
        channel: u16,
        /// What it is for.
        channel_type: u8,
        /// Whether the peer asked for it.
        by_peer: bool,
    },
    /// The peer does not want a channel.
    ChannelRefused {
        /// Its number.
        channel: u16,
        /// Why.
        code: Code,
    },
    /// Somebody was [refused](Refused::NoCredit), and may send again.
    ChannelWritable {
        /// The channel.
        channel: u16,
    },
    /// No more messages come on a channel, but for those that this has overtaken over datagrams. It goes on
    /// until we close it as well.
    ChannelShut {
        /// The channel.
        channel: u16,
    },
    /// A channel has ended in both directions.
    ChannelClosed {
        /// The channel.
        channel: u16,
    },
    /// The peer complains of a channel.
    ChannelError {
        /// The channel.
        channel: u16,
        /// What is wrong.
        code: Code,
    },
    /// The peer closes: it sends no more messages, and waits for what we still have to say and our own
    /// close.
    Closing {
        /// Why.
        code: Code,
    },
    /// It is over. What there is to send is still to be sent, and the connection below to be closed.
    Closed(Cause),
}

/// Why a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Both ends have closed, the peer with this code.
    Closed(Code),
    /// Its owner gave it up before it was connected.
    Abandoned,
    /// The peer says that something is wrong.
    Peer(Code),
    /// The peer broke a rule.
    Fault(Fault),
}
