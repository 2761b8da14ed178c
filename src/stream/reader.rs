//! Packets out of a link: found in a byte stream, or a datagram each.

use std::ops::Range;

use super::link::Link;
use crate::limits::STREAM_READ_BYTES;
use crate::proto::stream::{Fault, Framing, Mode, deframe};

/// What came and was not handled.
pub(super) struct Reader {
    mode: Mode,
    room: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What a look at the link gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Bytes(usize),
    Nothing,
    /// The peer sends no more.
    End,
}

impl Reader {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, room: vec![0; STREAM_READ_BYTES].into(), start: 0, end: 0 }
    }

    /// Takes more from the link, once no whole packet is left.
    pub(super) fn fill(&mut self, link: &mut Link) -> std::io::Result<Filled> {
        self.room.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        Ok(match (link.receive(&mut self.room[self.end..])?, self.mode) {
            (None, _) => Filled::Nothing,
            (Some(0), Mode::Stream) => Filled::End,
            (Some(count), _) => {
                self.end += count;
                Filled::Bytes(count)
            }
        })
    }

    /// Takes the next whole packet out.
    pub(super) fn next(&mut self) -> Result<Option<&mut [u8]>, Fault> {
        let packet = self.find()?;
        if let Some(packet) = &packet {
            self.start = packet.end;
        }
        Ok(packet.map(|packet| &mut self.room[packet]))
    }

    /// Whether there is one.
    pub(super) fn has_packet(&self) -> bool {
        !matches!(self.find(), Ok(None))
    }

    /// What there is, whole or not.
    pub(super) fn rest(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.end]
    }

    fn find(&self) -> Result<Option<Range<usize>>, Fault> {
        let there = &self.room[self.start..self.end];
        let len = match self.mode {
            Mode::Datagram => Some(there.len()).filter(|&len| len > 0),
            Mode::Stream => match deframe(there)? {
                Framing::Whole(len) => Some(len),
                Framing::Need(_) => None,
            },
        };
        Ok(len.map(|len| self.start..self.start + len))
    }

    /// Throws away what still comes; whether that was all.
    pub(super) fn discard(&mut self, link: &mut Link) -> bool {
        loop {
            match link.receive(&mut self.room) {
                Ok(Some(0)) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }
}
