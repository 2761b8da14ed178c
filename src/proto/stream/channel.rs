//! One channel: its numbers, credit, keys and the piece that is due next (D-4).

use super::control::Word;
use super::credit::{Allowance, Window};
use super::epoch::{Incarnations, Keys};
use super::fragment::Piece;
use super::rate::Pace;
use super::reassembly::Reassembly;
use super::sequence::{ReceiveSequence, SendSequence};
use super::statistics::ChannelStatistics;
use crate::limits::{STREAM_REPEAT_DOUBLINGS_MAX, STREAM_REPEAT_NS};
use crate::time::Instant;

/// Both directions of a channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: u16,
    /// That of its opener, which names it.
    pub(super) incarnation: u32,
    /// That of whoever accepted it; 0 until it has.
    pub(super) accepted_as: u32,
    pub(super) channel_type: u8,
    pub(super) may_compress: bool,
    /// Whether we opened it.
    pub(super) ours: bool,
    /// The peer has yet to agree.
    pub(super) opening: bool,
    /// None on a stream in the clear, and until the peer has agreed.
    pub(super) keys: Option<Keys>,

    pub(super) send: SendSequence,
    pub(super) allowance: Allowance,
    /// Where the piece that is sent next belongs in its message, 0 between messages.
    sending: u32,
    pub(super) shut: Shut,

    pub(super) receive: ReceiveSequence,
    pub(super) window: Window,
    pub(super) pace: Pace,
    pub(super) reassembly: Reassembly,
    /// The peer has shut: the number after its last packet.
    pub(super) peer_last: Option<u64>,

    pub(super) wants: Wants,
    /// Credit is due and waits for the buckets.
    pub(super) paced: bool,
    pub(super) repeat: Repeat,
    pub(super) statistics: ChannelStatistics,
}

/// Whether we have said that we send no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    No,
    /// The application has, and the peer is to be told.
    Wanted,
    Sent,
}

/// What is to be said to the peer about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wants {
    /// OPEN, or OPENED where the peer asked.
    pub(super) open: bool,
    pub(super) credit: bool,
    pub(super) blocked: bool,
    pub(super) shut: bool,
}

/// What is said until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Repeat {
    pub(super) at: Option<Instant>,
    times: u32,
}

impl Repeat {
    /// When to say again what is said now: the wait doubles each time.
    pub(super) fn back_off(&mut self, now: Instant) -> Instant {
        let doublings = self.times.min(STREAM_REPEAT_DOUBLINGS_MAX);
        self.times += 1;
        now.after_ns(STREAM_REPEAT_NS << doublings)
    }
}

/// What a channel begins with.
pub(super) struct Beginning {
    pub(super) id: u16,
    pub(super) incarnation: u32,
    pub(super) accepted_as: u32,
    pub(super) channel_type: u8,
    pub(super) may_compress: bool,
    pub(super) ours: bool,
}

impl Channel {
    pub(super) fn new(beginning: Beginning, window: Window, pace: Pace) -> Self {
        let Beginning { id, incarnation, accepted_as, channel_type, may_compress, ours } =
            beginning;
        Self {
            id,
            incarnation,
            accepted_as,
            channel_type,
            may_compress,
            ours,
            opening: ours,
            keys: None,
            send: SendSequence::default(),
            allowance: Allowance::default(),
            sending: 0,
            shut: Shut::No,
            receive: ReceiveSequence::default(),
            window,
            pace,
            reassembly: Reassembly::default(),
            peer_last: None,
            wants: Wants { open: true, ..Wants::default() },
            paced: false,
            repeat: Repeat::default(),
            statistics: ChannelStatistics::default(),
        }
    }

    /// Packets that may be sent now.
    #[inline]
    pub(super) fn may_send(&self) -> u64 {
        self.allowance.left(self.send.next())
    }

    /// Whether messages may be sent if there is credit.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        !self.opening && self.shut == Shut::No
    }

    /// What each end seals it under; whole once it is accepted.
    pub(super) fn incarnations(&self) -> Incarnations {
        match self.ours {
            true => Incarnations { ours: self.incarnation, theirs: self.accepted_as },
            false => Incarnations { ours: self.accepted_as, theirs: self.incarnation },
        }
    }

    /// A piece is sent.
    ///
    /// # Panics
    /// When it is not the one that is due.
    #[inline]
    pub(super) fn send_piece(&mut self, piece: Piece) {
        assert!(piece.offset == self.sending, "pieces of a message are sent in order: {piece:?}");
        self.sending = if piece.is_last() { 0 } else { piece.offset + piece.len };
    }

    /// Takes the next word to say, if there is one.
    pub(super) fn next_word(&mut self) -> Option<Word> {
        let wants = &mut self.wants;
        if std::mem::take(&mut wants.open) {
            let credit = self.window.limit() as u32;
            let (channel_type, may_compress) = (self.channel_type, self.may_compress);
            return Some(match self.ours {
                true => Word::Open { channel_type, may_compress, credit },
                false => Word::Opened { own: self.accepted_as, credit },
            });
        }
        if std::mem::take(&mut wants.credit) {
            let epoch = self.keys.as_ref().map_or(0, |keys| keys.receive.epoch());
            // What waits for the buckets is not told with the rest.
            let limit = if self.paced { self.window.limit() } else { self.window.grant() };
            return Some(Word::Credit { limit: limit as u32, epoch });
        }
        if std::mem::take(&mut wants.blocked) {
            return Some(Word::Blocked { limit: self.allowance.limit() as u32 });
        }
        if std::mem::take(&mut wants.shut) {
            return Some(Word::Shut { last: self.send.next() as u32 });
        }
        None
    }

    /// Whether there is more to say.
    pub(super) fn has_words(&self) -> bool {
        self.wants != Wants::default()
    }
}
