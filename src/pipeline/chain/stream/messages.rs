//! What passes between the chain of streams and its handler.

use crate::mem::{Buf, ConnId, kind};
use crate::pipeline::Cx;
use crate::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};

/// Both ways: a message, or, up, a piece of one. Meta: [`MessageMeta`]. Down it is a whole message in one buf;
/// [`alloc`] makes one that need not be copied.
pub const MESSAGE: u8 = kind::PROTOCOL;
/// Up: the session has begun. Its bytes are the public key of the peer's node, and the session's id.
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

/// In the meta of a [`MESSAGE`] that waits: it is compressed already.
pub(super) const PACKED: u32 = 1 << 18;

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
    const FIRST: u32 = 1 << 16;
    const LAST: u32 = 1 << 17;

    /// A whole message of a channel.
    pub fn whole(channel: u16) -> Self {
        Self { channel, first: true, last: true }
    }

    /// That of a buf of kind [`MESSAGE`].
    pub fn of(buf: &Buf) -> Self {
        let meta = buf.meta();
        let (first, last) = (meta & Self::FIRST != 0, meta & Self::LAST != 0);
        Self { channel: meta as u16, first, last }
    }

    /// As a buf's meta.
    pub fn to_meta(self) -> u32 {
        let flag = |wanted, bit| if wanted { bit } else { 0 };
        u32::from(self.channel) | flag(self.first, Self::FIRST) | flag(self.last, Self::LAST)
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
