//! What passes between the chain of WebSockets and its handler, beside what the chain of HTTP/1.1 does.

use crate::mem::{Buf, ConnId, kind};
use crate::pipeline::Cx;
use crate::proto::websocket::{CloseCode, Deflate, HEADER_BYTES_MAX, Kind};

/// Both ways: a message, or a piece of one. Meta: [`MessageMeta`]. Down each is a frame; [`alloc`] makes one that
/// need not be copied.
pub const MESSAGE: u8 = kind::PROTOCOL + 16;
/// Both ways: a ping. Its bytes are the payload. Up: send it back as a [`PONG`].
pub const PING: u8 = kind::PROTOCOL + 17;
/// Both ways: a pong. Up without its payload.
pub const PONG: u8 = kind::PROTOCOL + 18;
/// Both ways: a close. Meta: the code, 0 for none; its bytes are the reason. Up: the peer sends nothing more, and the
/// answer follows what is said until the [`TRANSMIT`] behind it.
pub const CLOSE: u8 = kind::PROTOCOL + 19;
/// Up: the chain has something to say by itself: pass it on. Meta: 1 where that is its last, which answers to what
/// came before are said before.
pub const TRANSMIT: u8 = kind::PROTOCOL + 20;
/// Down, before the answer that ends HTTP: what follows that is a WebSocket. Meta: [`begin_meta`].
pub const BEGIN: u8 = kind::PROTOCOL + 21;
/// Up: the connection is a WebSocket. The first of it.
pub const OPENED: u8 = kind::PROTOCOL + 22;

/// What a [`MESSAGE`] says beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageMeta {
    /// What the message is.
    pub kind: Kind,
    /// The message begins with it.
    pub first: bool,
    /// It ends with it.
    pub last: bool,
    /// Up: a frame ends with it.
    pub frame_last: bool,
}

impl MessageMeta {
    /// A whole message.
    pub const fn whole(kind: Kind) -> Self {
        Self { kind, first: true, last: true, frame_last: true }
    }

    /// That of a buf of kind [`MESSAGE`].
    #[inline]
    pub fn of(buf: &Buf) -> Self {
        Self::of_meta(buf.meta())
    }

    /// From one: any is legal.
    #[inline]
    pub fn of_meta(meta: u32) -> Self {
        let bit = |bit: u32| meta >> bit & 1 == 1;
        let kind = if bit(0) { Kind::Text } else { Kind::Binary };
        Self { kind, first: bit(1), last: bit(2), frame_last: bit(3) }
    }

    /// As a buf's meta.
    #[inline]
    pub fn to_meta(self) -> u32 {
        u32::from(self.kind == Kind::Text)
            | u32::from(self.first) << 1
            | u32::from(self.last) << 2
            | u32::from(self.frame_last) << 3
    }
}

/// The meta of a [`TRANSMIT`] behind which nothing comes.
pub(super) const LAST: u32 = 1;

/// The last of those of a connection.
pub(super) fn end_word(conn: ConnId) -> Buf {
    let mut word = Buf::marker(conn, TRANSMIT);
    word.set_kind(TRANSMIT, LAST);
    word
}

/// The code of a [`CLOSE`].
pub fn close_code(meta: u32) -> Option<CloseCode> {
    CloseCode::new(meta as u16)
}

/// How messages are compressed, in the meta of a [`BEGIN`]; 0: they are not.
pub fn begin_meta(deflate: Option<Deflate>) -> u32 {
    let Some(deflate) = deflate else { return 0 };
    1 | u32::from(deflate.server_no_context_takeover) << 1
        | u32::from(deflate.client_no_context_takeover) << 2
        | u32::from(deflate.server_max_window_bits) << 4
        | u32::from(deflate.client_max_window_bits) << 8
}

/// The same the other way.
pub(super) fn deflate_of(meta: u32) -> Option<Deflate> {
    (meta & 1 == 1).then_some(Deflate {
        server_no_context_takeover: meta >> 1 & 1 == 1,
        client_no_context_takeover: meta >> 2 & 1 == 1,
        server_max_window_bits: (meta >> 4 & 15) as u8,
        client_max_window_bits: (meta >> 8 & 15) as u8,
    })
}

/// An empty message with room for `bytes`, which goes out from where it lies: there is room for a header before
/// it. `None`: the pool has no such slot.
pub fn alloc(cx: &Cx, conn: ConnId, kind: Kind, bytes: usize) -> Option<Buf> {
    let mut buf = cx.alloc(HEADER_BYTES_MAX + bytes.max(1), conn)?;
    buf.grow(HEADER_BYTES_MAX + 1);
    buf.advance(HEADER_BYTES_MAX);
    buf.truncate(0);
    buf.set_kind(MESSAGE, MessageMeta::whole(kind).to_meta());
    Some(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_fits_its_meta() {
        for bits in 0..16 {
            let mut buf = Buf::marker(ConnId::NONE, MESSAGE);
            buf.set_kind(MESSAGE, bits);
            assert_eq!(MessageMeta::of(&buf).to_meta(), bits);
        }
    }

    #[test]
    fn what_is_agreed_on_fits_the_meta_of_a_begin() {
        assert_eq!(deflate_of(begin_meta(None)), None);
        for (server, client) in [(true, false), (false, true), (true, true), (false, false)] {
            for bits in 8..=15 {
                let deflate = Deflate {
                    server_no_context_takeover: server,
                    client_no_context_takeover: client,
                    server_max_window_bits: bits,
                    client_max_window_bits: 23 - bits,
                };
                assert_eq!(deflate_of(begin_meta(Some(deflate))), Some(deflate));
            }
        }
    }
}
