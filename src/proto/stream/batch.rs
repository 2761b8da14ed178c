//! Several short messages in one packet: a list that is made behind a header's room, and one that came.

use std::ops::Range;

use super::Fault;
use super::header::HEADER_BYTES;
use crate::limits::{STREAM_BATCH_MESSAGES_MAX, STREAM_PACK_BYTES_MAX};

/// Bytes before each message of a list: how long it is.
pub const LENGTH_BYTES: usize = 2;

const _: () = assert!(STREAM_PACK_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(STREAM_BATCH_MESSAGES_MAX <= u8::MAX as usize);

/// What a list is that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// How many messages, 2 or more.
    pub messages: u8,
    /// Their bytes, lengths not counted.
    pub bytes: u32,
}

impl List {
    /// Looks at all of a payload before anything of it counts.
    #[inline]
    pub fn decode(payload: &[u8], message_bytes_max: u32) -> Result<Self, Fault> {
        let (mut rest, mut messages, mut bytes) = (payload, 0, 0);
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(Fault::Batch)?;
            let len = u16::from_le_bytes(*len);
            rest = behind.get(usize::from(len)..).ok_or(Fault::Batch)?;
            if u32::from(len) > message_bytes_max {
                return Err(Fault::MessageTooLarge);
            }
            messages += 1;
            bytes += u32::from(len);
            if messages > STREAM_BATCH_MESSAGES_MAX as u8 {
                return Err(Fault::Batch);
            }
        }
        if messages < 2 { Err(Fault::Batch) } else { Ok(Self { messages, bytes }) }
    }
}

/// Where the messages lie in a packet that [`Data`](super::Data) is about: one, or those of a list.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    /// Up to the end of what there is.
    packet: &'a [u8],
    at: usize,
    left: u8,
    is_list: bool,
}

impl<'a> Messages<'a> {
    pub(super) fn new(packet: &'a [u8], range: Range<usize>, messages: u8) -> Self {
        let packet = &packet[..range.end];
        Self { packet, at: range.start, left: messages, is_list: messages > 1 }
    }
}

impl Iterator for Messages<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        self.left = self.left.checked_sub(1)?;
        if !self.is_list {
            return Some(self.at..self.packet.len());
        }
        // It was looked at when it came.
        let len = self.packet[self.at..].first_chunk().copied().map(u16::from_le_bytes)?;
        let start = self.at + LENGTH_BYTES;
        self.at = start + usize::from(len);
        Some(start..self.at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Messages<'_> {}

/// A list that is being made: short messages of one channel, which have yet to be
/// [sealed](super::Connection::seal_batch). It lies behind [`HEADER_BYTES`] of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    messages: u8,
    bytes: usize,
}

impl Batch {
    /// An empty one.
    pub const fn new() -> Self {
        Self { messages: 0, bytes: 0 }
    }

    /// How many messages it has.
    pub const fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Bytes of the list.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the messages.
    pub const fn message_bytes(&self) -> usize {
        self.bytes - LENGTH_BYTES * self.messages()
    }

    /// Whether a message of so many bytes may go into it, and the list then has no more than `bytes_max`.
    #[inline]
    pub const fn takes(&self, message_bytes: usize, bytes_max: usize) -> bool {
        message_bytes <= STREAM_PACK_BYTES_MAX
            && self.messages() < STREAM_BATCH_MESSAGES_MAX
            && self.bytes + LENGTH_BYTES + message_bytes <= bytes_max
    }

    /// Puts a message behind the others.
    ///
    /// # Panics
    /// When it does not [take](Self::takes) it, or `room` is too small.
    #[inline]
    pub fn put(&mut self, room: &mut [u8], message: &[u8]) {
        assert!(self.takes(message.len(), room.len() - HEADER_BYTES), "{self:?}");
        let start = HEADER_BYTES + self.bytes;
        let (length, place) = room[start..].split_at_mut(LENGTH_BYTES);
        length.copy_from_slice(&(message.len() as u16).to_le_bytes());
        place[..message.len()].copy_from_slice(message);
        self.messages += 1;
        self.bytes += LENGTH_BYTES + message.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(messages: &[&[u8]]) -> Vec<u8> {
        let entry = |m: &&[u8]| [&(m.len() as u16).to_le_bytes()[..], m].concat();
        messages.iter().flat_map(entry).collect()
    }

    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let golden = [3, 0, b'o', b'n', b'e', 0, 0, 1, 0, b'2'];
        let (mut batch, mut room) = (Batch::new(), [0xee; HEADER_BYTES + 10]);
        for message in [&b"one"[..], b"", b"2"] {
            batch.put(&mut room, message);
        }
        assert_eq!(room[HEADER_BYTES..], golden);
        assert_eq!((batch.messages(), batch.bytes(), batch.message_bytes()), (3, 10, 4));
        assert_eq!(List::decode(&golden, 100), Ok(List { messages: 3, bytes: 4 }));
        let at: Vec<_> = Messages::new(&room, HEADER_BYTES..room.len(), 3).collect();
        assert_eq!(at, [14..17, 19..19, 21..22]);
        let mut alone = Messages::new(&room, HEADER_BYTES..room.len(), 1);
        assert_eq!((alone.next(), alone.next()), (Some(HEADER_BYTES..room.len()), None));
    }

    #[test]
    fn what_is_no_list_of_2_to_16_whole_messages_is_a_fault() {
        let decode = |bytes: &[u8]| List::decode(bytes, 100).map(|list| list.messages);
        let of = |count: usize| list(&vec![&b"x"[..]; count]);
        assert_eq!(decode(&[]), Err(Fault::Batch), "none");
        assert_eq!(decode(&of(1)), Err(Fault::Batch), "one is no list");
        assert_eq!(decode(&of(2)), Ok(2));
        assert_eq!(decode(&of(STREAM_BATCH_MESSAGES_MAX)), Ok(16));
        assert_eq!(decode(&of(STREAM_BATCH_MESSAGES_MAX + 1)), Err(Fault::Batch));
        assert_eq!(decode(&of(300)), Err(Fault::Batch), "the count does not wrap");
        assert_eq!(decode(&list(&[b"", b""])), Ok(2), "empty ones are messages");
        assert_eq!(decode(&[0; 32]), Ok(16));
        let two = of(2);
        for cut in 1..two.len() {
            let expected = if cut == 3 { "one message" } else { "a part of the second" };
            assert_eq!(decode(&two[..cut]), Err(Fault::Batch), "{expected}");
        }
        assert_eq!(decode(&[&two[..], &[0]].concat()), Err(Fault::Batch), "a byte is left behind");
        assert_eq!(decode(&[1, 0, b'x', 0xff, 0xff, b'y']), Err(Fault::Batch), "past the end");
        assert_eq!(List::decode(&of(2), 0), Err(Fault::MessageTooLarge));
        assert!(List::decode(&list(&[&[0; 100], b""]), 100).is_ok());
        assert_eq!(List::decode(&list(&[b"", &[0; 101]]), 100), Err(Fault::MessageTooLarge));
    }

    #[test]
    fn a_batch_takes_16_messages_of_256_bytes_and_none_past_either_or_its_room() {
        let mut batch = Batch::new();
        let mut room = vec![0; HEADER_BYTES + 16 * (LENGTH_BYTES + STREAM_PACK_BYTES_MAX)];
        assert!(!batch.takes(STREAM_PACK_BYTES_MAX + 1, usize::MAX));
        assert!(batch.takes(10, 12) && !batch.takes(10, 11));
        for _ in 0..STREAM_BATCH_MESSAGES_MAX {
            assert!(batch.takes(STREAM_PACK_BYTES_MAX, room.len() - HEADER_BYTES));
            batch.put(&mut room, &[7; STREAM_PACK_BYTES_MAX]);
        }
        assert!(!batch.takes(0, usize::MAX));
    }

    proptest! {
        #[test]
        fn a_list_that_is_taken_is_that_of_its_messages(
            bytes in prop::collection::vec(prop_oneof![3 => 0u8..3, 1 => any::<u8>()], 0..60),
        ) {
            let Ok(found) = List::decode(&bytes, 1000) else { return Ok(()) };
            let messages = Messages::new(&bytes, 0..bytes.len(), found.messages);
            let messages: Vec<&[u8]> = messages.map(|at| &bytes[at]).collect();
            prop_assert_eq!(messages.len(), usize::from(found.messages));
            prop_assert_eq!(messages.concat().len(), found.bytes as usize);
            prop_assert_eq!(list(&messages), bytes);
        }
    }
}
