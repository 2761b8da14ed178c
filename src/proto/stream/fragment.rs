//! Messages in pieces: the fragment header, how a sender cuts, and whether what a receiver gets is the
//! next piece. The pieces' bytes are their owners'.

use super::Fault;

/// Bytes of a fragment header.
pub const FRAGMENT_BYTES: usize = 12;

/// What stands in front of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Bytes of the piece.
    pub frag_size: u32,
    /// Where it belongs in the message.
    pub offset: u32,
    /// Bytes of the message.
    pub full_size: u32,
}

impl Fragment {
    /// Reads the header of a payload with so many bytes behind it.
    #[inline]
    pub fn decode(bytes: &[u8; FRAGMENT_BYTES], len: usize) -> Result<Self, Fault> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let fragment = Self { frag_size: word(0), offset: word(4), full_size: word(8) };
        let fits = fragment.end() <= u64::from(fragment.full_size);
        // One without bytes would go on for ever.
        if fragment.frag_size == 0 || fragment.frag_size as usize != len || !fits {
            return Err(Fault::Fragment);
        }
        Ok(fragment)
    }

    /// As it goes over the wire.
    #[inline]
    pub fn encode(&self) -> [u8; FRAGMENT_BYTES] {
        let mut bytes = [0; FRAGMENT_BYTES];
        bytes[..4].copy_from_slice(&self.frag_size.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.full_size.to_le_bytes());
        bytes
    }

    /// Where the next piece belongs; in 64 bits, for the peer chose both.
    const fn end(&self) -> u64 {
        self.offset as u64 + self.frag_size as u64
    }
}

/// A part of a message that goes into one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the message.
    pub offset: u32,
    /// Bytes of it.
    pub len: u32,
    /// Bytes of the message.
    pub message: u32,
}

impl Piece {
    /// A message in one piece.
    pub const fn whole(len: u32) -> Self {
        Self { offset: 0, len, message: len }
    }

    /// Whether it is the message.
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.len == self.message
    }

    /// Whether the message ends with it.
    #[inline]
    pub const fn is_last(&self) -> bool {
        self.offset + self.len == self.message
    }
}

/// Cuts a message: each piece but the last as large as a packet takes.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    next: Option<u32>,
    message: u32,
    piece: u32,
}

impl Pieces {
    /// Pieces of a message of so many bytes, where so many fit one packet without and with a fragment
    /// header.
    pub const fn new(message: u32, whole: u32, piece: u32) -> Self {
        Self { next: Some(0), message, piece: if message <= whole { whole } else { piece } }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    #[inline]
    fn next(&mut self) -> Option<Piece> {
        let offset = self.next?;
        let len = self.piece.min(self.message - offset);
        let end = offset + len;
        self.next = (end < self.message).then_some(end);
        Some(Piece { offset, len, message: self.message })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.next.map_or(0, |next| (self.message - next).div_ceil(self.piece).max(1));
        (left as usize, Some(left as usize))
    }
}

impl ExactSizeIterator for Pieces {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let bytes = [3, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0x7b, 0x56, 0x34, 0x12];
        let fragment = Fragment { frag_size: 3, offset: 0x1234_5678, full_size: 0x1234_567b };
        assert_eq!(Fragment::decode(&bytes, 3), Ok(fragment));
        assert_eq!(fragment.encode(), bytes);
    }

    #[test]
    fn a_piece_that_is_empty_or_beyond_its_message_or_not_as_long_as_it_says_is_a_fault() {
        let decode = |frag_size, offset, full_size, len| {
            Fragment::decode(&Fragment { frag_size, offset, full_size }.encode(), len).map(|_| ())
        };
        assert_eq!(decode(3, 0, 3, 3), Ok(()));
        assert_eq!(decode(3, 1, 3, 3), Err(Fault::Fragment));
        assert_eq!(decode(3, 0, 3, 2), Err(Fault::Fragment));
        assert_eq!(decode(0, 0, 3, 0), Err(Fault::Fragment));
        assert_eq!(decode(16, u32::MAX - 15, u32::MAX, 16), Err(Fault::Fragment));
        assert_eq!(decode(2, u32::MAX, 1, 2), Err(Fault::Fragment), "the sum does not wrap");
    }

    proptest! {
        #[test]
        fn pieces_are_the_message_in_order_and_only_the_last_is_small(
            message in 0u32..5000, piece in 1u32..300,
        ) {
            let pieces = Pieces::new(message, piece + 12, piece);
            let mut end = 0;
            let count = pieces.len();
            prop_assert_eq!(pieces.count(), count);
            for found in pieces {
                prop_assert_eq!((found.offset, found.message), (end, message));
                end += found.len;
                prop_assert_eq!(found.is_last(), end == message);
                prop_assert_eq!(found.is_whole(), message <= piece + 12);
                prop_assert!(found.is_last() || found.len == piece);
            }
            prop_assert_eq!(end, message);
        }
    }
}
