//! One channel as the driver sees it: messages on their way out, and one that comes in pieces.

use std::collections::VecDeque;

use super::callbacks::Callbacks;
use crate::proto::stream::compress::{Compressor, decompress, original_bytes};
use crate::proto::stream::{Piece, Pieces};

pub(super) struct Lane {
    pub(super) number: u16,
    /// `None`: its messages go as they are.
    pub(super) compressor: Option<Compressor>,
    pub(super) is_open: bool,
    /// It has its turn among those that send.
    pub(super) is_in_turn: bool,
    /// Messages that wait.
    pub(super) queue: VecDeque<Vec<u8>>,
    /// The one of which pieces have gone.
    pub(super) current: Option<Outgoing>,
    /// The program sends no more; and the peer was told.
    pub(super) wants_close: bool,
    pub(super) is_closed: bool,
    pub(super) partial: Assembly,
    /// Messages that the program has not taken.
    pub(super) unread: usize,
    /// Packets that it has.
    pub(super) to_consume: u32,
    /// What it was told about credit that waits.
    pub(super) is_withheld: bool,
    pub(super) is_dropped: bool,
    pub(super) callbacks: Callbacks,
}

/// A message on its way out.
pub(super) struct Outgoing {
    /// As it goes, compressed where that was worth it.
    pub(super) bytes: Vec<u8>,
    pub(super) compressed: bool,
    pub(super) pieces: Pieces,
    pub(super) piece: Piece,
    /// Bytes of it as the program sent it; `None`: a callback did, and nobody waits.
    pub(super) sent_bytes: Option<usize>,
}

/// A message that has come. It stays compressed until somebody takes it: what a peer sends takes no more
/// memory here than it took on its way.
pub(super) struct Arrived {
    pub(super) bytes: Vec<u8>,
    pub(super) compressed: bool,
    /// Packets that are consumed with it.
    pub(super) packets: u32,
}

/// A message that comes in pieces. Memory grows with what came, not with what the peer says will.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    /// Packets that are not consumed.
    pub(super) packets: u32,
}

/// A message that has come, or a piece of one.
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) first: bool,
    pub(super) last: bool,
    pub(super) compressed: bool,
    /// Packets that it is.
    pub(super) packets: u32,
}

/// What a program is told by callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Readable,
    Writable,
}

impl Lane {
    pub(super) fn new(number: u16, may_compress: bool) -> Self {
        Self {
            number,
            compressor: may_compress.then(Compressor::default),
            is_open: false,
            is_in_turn: false,
            queue: VecDeque::new(),
            current: None,
            wants_close: false,
            is_closed: false,
            partial: Assembly::default(),
            unread: 0,
            to_consume: 0,
            is_withheld: false,
            is_dropped: false,
            callbacks: Callbacks::default(),
        }
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.queue.is_empty() || self.current.is_some()
    }

    /// Whether there is anything to do for it among those that send.
    pub(super) fn has_wishes(&self) -> bool {
        let closes = self.wants_close && !self.is_closed;
        let asks = !self.is_closed && self.callbacks.on_packet_out.is_some();
        self.is_open && (self.has_messages() || closes || asks)
    }

    /// Adds a piece to what there is; the message, once it is whole and somebody wants it.
    pub(super) fn add(&mut self, piece: &Part<'_>) -> Option<Arrived> {
        if self.is_dropped {
            self.to_consume += piece.packets + self.partial.tear();
            return None;
        }
        if piece.first {
            // One that had begun before it never ends.
            self.to_consume += self.partial.tear();
        }
        self.partial.add(piece)
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        let callback = match notice {
            Notice::Readable => &mut self.callbacks.on_readable,
            Notice::Writable => &mut self.callbacks.on_writable,
        };
        if let Some(call) = callback {
            call();
        }
    }

    /// Packets that the peer may be given credit for: those that the program has done with, and, while it
    /// waits for a message, those of the part that is there.
    pub(super) fn take_consumed(&mut self) -> u32 {
        let partial = if self.unread == 0 { std::mem::take(&mut self.partial.packets) } else { 0 };
        std::mem::take(&mut self.to_consume) + partial
    }
}

impl Arrived {
    /// Bytes of the message, at most `cap`; `None`: it is no message.
    pub(super) fn original_bytes(&self, cap: usize) -> Option<usize> {
        match self.compressed {
            true => original_bytes(&self.bytes, cap).ok(),
            false => Some(self.bytes.len()),
        }
    }

    /// The message as it was sent; `None`: it does not decompress.
    pub(super) fn open(self, cap: usize) -> Option<Vec<u8>> {
        if !self.compressed {
            return Some(self.bytes);
        }
        let mut original = vec![0; original_bytes(&self.bytes, cap).ok()?];
        decompress(&self.bytes, cap, &mut original).ok()?;
        Some(original)
    }
}

impl Assembly {
    /// Adds a piece; the message, if that was its last.
    fn add(&mut self, piece: &Part<'_>) -> Option<Arrived> {
        if piece.first {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(piece.bytes);
        self.packets += piece.packets;
        piece.last.then(|| Arrived {
            bytes: std::mem::take(&mut self.bytes),
            compressed: piece.compressed,
            packets: std::mem::take(&mut self.packets),
        })
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message never ends; packets that are done with.
    pub(super) fn tear(&mut self) -> u32 {
        self.bytes = Vec::new();
        std::mem::take(&mut self.packets)
    }
}
