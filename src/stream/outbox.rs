//! Packets on their way to the connection below, as far as it has not taken them.

use std::collections::VecDeque;
use std::io;

use crate::limits::STREAM_OUTBOX_BYTES;
use crate::proto::stream::{FRAGMENT_BYTES, HEADER_BYTES, Mode, Piece, TAILROOM_BYTES};

/// Packets in the order in which they go out: bytes behind each other, and for datagrams where each
/// ends.
pub(super) struct Outbox {
    mode: Mode,
    bytes: Vec<u8>,
    /// What has gone already of `bytes`.
    sent: usize,
    /// Bytes of each packet that has not gone. For datagrams only.
    packets: VecDeque<usize>,
}

impl Outbox {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, bytes: Vec::new(), sent: 0, packets: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Whether no more is to be made until some has gone.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() - self.sent >= STREAM_OUTBOX_BYTES
    }

    /// Lets a packet of at most so many bytes be written, which says how many it has.
    pub(super) fn write(
        &mut self,
        bytes_max: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let start = self.bytes.len();
        self.bytes.resize(start + bytes_max, 0);
        let written = write(&mut self.bytes[start..]);
        self.bytes.truncate(start + written.unwrap_or(0));
        self.note(written)
    }

    /// Puts a piece in with exactly the room that its headers and its tag take, and lets it be sealed.
    pub(super) fn seal(
        &mut self,
        piece: Piece,
        bytes: &[u8],
        seal: impl FnOnce(&mut [u8], std::ops::Range<usize>) -> Option<std::ops::Range<usize>>,
    ) -> bool {
        let head = HEADER_BYTES + if piece.is_whole() { 0 } else { FRAGMENT_BYTES };
        let start = self.bytes.len();
        self.bytes.resize(start + head, 0);
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(start + head + bytes.len() + TAILROOM_BYTES, 0);
        let packet = seal(&mut self.bytes[start..], head..head + bytes.len());
        debug_assert!(packet.as_ref().is_none_or(|packet| packet.start == 0));
        let written = packet.map(|packet| packet.end);
        self.bytes.truncate(start + written.unwrap_or(0));
        self.note(written)
    }

    fn note(&mut self, written: Option<usize>) -> bool {
        if let (Some(bytes), Mode::Datagram) = (written, self.mode) {
            self.packets.push_back(bytes);
        }
        written.is_some()
    }

    /// Hands over as much as `send` takes; it says how much that was, `None` when it takes no more now.
    pub(super) fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<()> {
        while !self.is_empty() {
            let end = match self.packets.front() {
                Some(packet) => self.sent + packet,
                None => self.bytes.len(),
            };
            let Some(count) = send(&self.bytes[self.sent..end])? else { break };
            // Of a datagram all goes, or what did not is lost.
            self.sent = if self.packets.pop_front().is_some() { end } else { self.sent + count };
        }
        self.tidy();
        Ok(())
    }

    /// Moves what is left to the front once that costs less than it gains.
    fn tidy(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &mut Outbox, bytes: &[u8]) {
        outbox.write(100, |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            Some(bytes.len())
        });
    }

    #[test]
    fn bytes_go_as_far_as_they_are_taken_and_on_from_there() {
        let mut outbox = Outbox::new(Mode::Stream);
        put(&mut outbox, b"abc");
        put(&mut outbox, b"defgh");
        let (mut taken, mut turns) = (Vec::new(), [2, 3].into_iter());
        let take = |bytes: &[u8]| {
            let Some(count) = turns.next() else { return Ok(None) };
            taken.extend_from_slice(&bytes[..count]);
            Ok(Some(count))
        };
        outbox.flush(take).unwrap();
        assert_eq!(taken, b"abcde");
        assert!(!outbox.is_empty());
        outbox.flush(|bytes| Ok(Some(bytes.len()))).unwrap();
        assert!(outbox.is_empty() && outbox.bytes.is_empty());
    }

    #[test]
    fn datagrams_go_one_at_a_time() {
        let mut outbox = Outbox::new(Mode::Datagram);
        put(&mut outbox, b"abc");
        put(&mut outbox, b"de");
        assert!(!outbox.write(10, |_| None), "nothing was to be said");
        let mut sent = Vec::new();
        let take = |bytes: &[u8]| {
            sent.push(bytes.to_vec());
            Ok(Some(bytes.len()))
        };
        outbox.flush(take).unwrap();
        assert_eq!(sent, [b"abc".to_vec(), b"de".to_vec()]);
        assert!(outbox.is_empty());
    }
}
