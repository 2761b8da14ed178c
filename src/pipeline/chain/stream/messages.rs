//! What passes between the chain of streams and its handler.

use crate::mem::{Buf, ConnId, kind};
use crate::pipeline::Cx;
use crate::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};

/// Both ways: a message, or, up, a piece of one. Meta: [`MessageMeta`]. Down it is a whole message in one buf;
/// [`alloc`] makes one that need not be copied.
pub const MESSAGE: u8 = kind::PROTOCOL;
/// Up: the session has begun. Its bytes are the public key of the peer's node, the session's id, and, little-endian,
/// the packets that the peer may send on a channel before it gets more credit. Meta: what was agreed on, as
/// [`Agreed`] has it.
pub const CONNECTED: u8 = kind::PROTOCOL + 1;
/// Up: a channel is open. Meta: the channel, and above it its type.
pub const OPENED: u8 = kind::PROTOCOL + 2;
/// Up: the peer does not want a channel. Meta: the channel, and above it the code why.
pub const REFUSED: u8 = kind::PROTOCOL + 3;
/// Up: a channel on which messages had to wait takes more. Meta: the channel.
pub const WRITABLE: u8 = kind::PROTOCOL + 4;
/// Up: the peer says no more on a channel. Meta: the channel. Close it too once all is said.
pub const SHUT: u8 = kind::PROTOCOL + 5;
/// Up: a channel has ended in both directions. Meta: the channel.
pub const ENDED: u8 = kind::PROTOCOL + 6;
/// Up: the message that was coming in pieces on a channel never ends. Meta: the channel.
pub const TORN: u8 = kind::PROTOCOL + 7;
/// Up: the peer closes the session, and hears what is still to be said. Meta: its code. Answer with
/// [`GOODBYE`].
pub const CLOSING: u8 = kind::PROTOCOL + 8;
/// Up: the chain has something to say by itself: pass it on.
pub const TRANSMIT: u8 = kind::PROTOCOL + 9;
/// Down: open a channel. Meta: its type, and above it 1 where its messages may be compressed. What comes of it is
/// [`OPENED`].
pub const OPEN_CHANNEL: u8 = kind::PROTOCOL + 10;
/// Down: say no more on a channel. Meta: the channel.
pub const SHUT_CHANNEL: u8 = kind::PROTOCOL + 11;
/// Down: close the session once all before it is said. Meta: the code.
pub const GOODBYE: u8 = kind::PROTOCOL + 12;

/// Up: the channel that the oldest [`OPEN_CHANNEL`] not answered so is for. Meta: its number, by which [`OPENED`] or
/// [`REFUSED`] name it later; 0: there will be none.
pub const OPENING: u8 = kind::PROTOCOL + 13;
/// Down, where the handler gives credit ([`Settings::handler_consumes`](super::Settings::handler_consumes)): so
/// many packets, bufs of kind [`MESSAGE`] without [`GOES_ON`](MessageMeta::GOES_ON), were taken off a channel for good.
/// Meta: the channel, and above it how many.
pub const CONSUMED: u8 = kind::PROTOCOL + 14;
/// Down: take new keys for all channels as soon as may be.
pub const REKEY: u8 = kind::PROTOCOL + 15;

/// In the meta of a [`MESSAGE`] that waits: it is compressed already.
pub(super) const PACKED: u32 = 1 << 19;

/// What a [`MESSAGE`] says beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageMeta {
    /// The channel.
    pub channel: u16,
    /// The message begins with it.
    pub first: bool,
    /// It ends with it.
    pub last: bool,
}

impl MessageMeta {
    /// The bit for `first`.
    pub const FIRST: u32 = 1 << 16;
    /// The bit for `last`.
    pub const LAST: u32 = 1 << 17;
    /// Beside them, up: the next one came in the same packet, and counts for it with whoever gives credit.
    pub const GOES_ON: u32 = 1 << 18;

    /// A whole message of a channel.
    pub fn whole(channel: u16) -> Self {
        Self { channel, first: true, last: true }
    }

    /// That of a buf of kind [`MESSAGE`].
    pub fn of(buf: &Buf) -> Self {
        Self::of_meta(buf.meta())
    }

    /// From one: any is legal.
    pub fn of_meta(meta: u32) -> Self {
        let (first, last) = (meta & Self::FIRST != 0, meta & Self::LAST != 0);
        Self { channel: meta as u16, first, last }
    }

    /// As a buf's meta.
    pub fn to_meta(self) -> u32 {
        let flag = |wanted, bit| if wanted { bit } else { 0 };
        u32::from(self.channel) | flag(self.first, Self::FIRST) | flag(self.last, Self::LAST)
    }
}

/// What the ends of a session have agreed on, in the meta of a [`CONNECTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// Packets are encrypted.
    pub encrypted: bool,
    /// Messages may be compressed.
    pub compressed: bool,
    /// Packets are datagrams: some may be lost.
    pub datagrams: bool,
}

impl Agreed {
    /// As a buf's meta.
    pub fn to_meta(self) -> u32 {
        u32::from(self.encrypted) | u32::from(self.compressed) << 1 | u32::from(self.datagrams) << 2
    }

    /// From one: any is legal.
    pub fn of_meta(meta: u32) -> Self {
        let bit = |bit: u32| meta >> bit & 1 == 1;
        Self { encrypted: bit(0), compressed: bit(1), datagrams: bit(2) }
    }
}

/// An empty message of a channel with room for `bytes`, which goes out from where it lies: there is room for
/// headers before it and for a tag behind. `None`: the pool has no such slot.
pub fn alloc(cx: &Cx, conn: ConnId, channel: u16, bytes: usize) -> Option<Buf> {
    let mut buf = cx.alloc(HEADROOM_BYTES + bytes + TAILROOM_BYTES, conn)?;
    make_headroom(&mut buf);
    buf.set_kind(MESSAGE, MessageMeta::whole(channel).to_meta());
    Some(buf)
}

/// Leaves room for headers before what will be in an empty buf.
pub(super) fn make_headroom(buf: &mut Buf) {
    buf.grow(HEADROOM_BYTES + 1);
    buf.advance(HEADROOM_BYTES);
    buf.truncate(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_fits_its_meta() {
        for channel in [0, 1, u16::MAX] {
            for (first, last) in [(false, false), (false, true), (true, false), (true, true)] {
                let meta = MessageMeta { channel, first, last };
                let mut buf = Buf::marker(ConnId::NONE, MESSAGE);
                buf.set_kind(MESSAGE, meta.to_meta());
                assert_eq!(MessageMeta::of(&buf), meta);
            }
        }
    }
}
