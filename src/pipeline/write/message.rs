//! What is written: bytes as they are, or a message that is framed once, for whoever gets it.

use super::Refused;
use crate::mem::{Buf, Mempool, kind};
use crate::proto::websocket::{HEADER_BYTES_MAX, Header, Opcode};

/// A whole message of a WebSocket as it goes over the wire, header and all, uncompressed: the chain passes it on
/// where a message may begin, and so may any number of connections share it (RFC 7692 §6 leaves each message
/// free to be compressed or not). No meta.
pub const FRAME: u8 = kind::PROTOCOL + 23;

/// Something to be written to a connection or to a group. It goes in one slot, and so is at most as long as the pool's
/// largest, less 14 bytes for the header of a WebSocket's message: 16,370 bytes, unless the pool has `blocks`
/// (`[mempool]`). What is longer is [`Refused::TooLong`], and nobody gets it: whoever passes on what peers say has to
/// tell them, or to split it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text, for WebSockets.
    Text(&'a str),
    /// Any other message, for WebSockets.
    Binary(&'a [u8]),
    /// Bytes as they are, for protocols whose framing is the handler's.
    Raw(&'a [u8]),
}

impl Message<'_> {
    /// Copies it into one slot, in the form in which it goes out.
    pub fn encode(&self, pool: &Mempool) -> Result<Buf, Refused> {
        let (opcode, payload) = match *self {
            Self::Text(text) => (Some(Opcode::Text), text.as_bytes()),
            Self::Binary(bytes) => (Some(Opcode::Binary), bytes),
            Self::Raw(bytes) => (None, bytes),
        };
        let room = payload.len() + if opcode.is_some() { HEADER_BYTES_MAX } else { 0 };
        if room > pool.slot_bytes_max() {
            return Err(Refused::TooLong);
        }
        let mut buf = pool.alloc(room.max(1)).ok_or(Refused::NoSlot)?;
        if let Some(opcode) = opcode {
            let payload_bytes = payload.len() as u64;
            let header = Header { fin: true, rsv: 0, opcode, mask: None, payload_bytes }.encode();
            let fits = buf.append(&header);
            debug_assert!(fits, "it was allocated for it");
            buf.set_kind(FRAME, 0);
        }
        let fits = buf.append(payload);
        debug_assert!(fits, "it was allocated for it");
        Ok(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LARGE_SLOT_BYTES;

    #[test]
    fn messages_are_framed_as_a_server_does_and_bytes_are_not_g_8() {
        let pool = Mempool::small(4).unwrap();
        let text = Message::Text("hi").encode(&pool).unwrap();
        assert_eq!((text.kind(), &*text), (FRAME, &b"\x81\x02hi"[..]));
        let binary = Message::Binary(&[7; 126]).encode(&pool).unwrap();
        assert_eq!(binary[..4], [0x82, 126, 0, 126]);
        let raw = Message::Raw(b"hi").encode(&pool).unwrap();
        assert_eq!((raw.kind(), &*raw), (kind::DATA, &b"hi"[..]));
        assert_eq!(Message::Text("").encode(&pool).unwrap()[..], [0x81, 0]);
    }

    #[test]
    fn one_past_the_largest_slot_is_too_long_and_none_free_is_said_g_8() {
        let pool = Mempool::small(1).unwrap();
        let most = pool.slot_bytes_max();
        assert!(most <= LARGE_SLOT_BYTES as usize);
        let bytes = vec![0; most + 1];
        assert_eq!(Message::Raw(&bytes).encode(&pool).unwrap_err(), Refused::TooLong);
        let framed = &bytes[..most - HEADER_BYTES_MAX + 1];
        assert_eq!(Message::Binary(framed).encode(&pool).unwrap_err(), Refused::TooLong);
        assert!(Message::Binary(&framed[1..]).encode(&pool).is_ok());
        let most = Message::Raw(&bytes[1..]);
        let hoard: Vec<_> = std::iter::from_fn(|| most.encode(&pool).ok()).collect();
        assert_eq!(most.encode(&pool).unwrap_err(), Refused::NoSlot);
        drop(hoard);
        assert!(most.encode(&pool).is_ok());
    }
}
