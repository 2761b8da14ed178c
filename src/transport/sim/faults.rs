//! What goes wrong on a simulated network, and the one source of chance that decides when.

use crate::limits::TX_QUEUE_BUFS;

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < per_million as usize
    }
}

/// In what pieces the bytes of a peer arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// As they were sent.
    Never,
    /// In pieces of 1 to so many bytes.
    UpTo(usize),
    /// Each by itself.
    EveryByte,
}

/// What goes wrong. The default is nothing.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// How bytes are split on their way in.
    pub split: Split,
    /// Steps that a piece is under way, at most; in order for each peer all the same.
    pub delay_steps: u64,
    /// How often in a million a peer's connection is reset, in each step.
    pub reset_per_million: u32,
    /// Sends take a random part of the bytes, and bursts a random part of the bufs.
    pub short: bool,
    /// Bytes that a peer holds unread before it takes no more.
    pub window_bytes: usize,
    /// Bufs that all connections together queue to send.
    pub tx_bufs: usize,
    /// Bufs that all connections together receive in one step; what is more waits for the next, as
    /// behind a completion queue that is full.
    pub step_bufs: usize,
    /// Whose bytes are received next is left to chance, instead of to turns.
    pub shuffle: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            split: Split::Never,
            delay_steps: 0,
            reset_per_million: 0,
            short: false,
            window_bytes: 64 * 1024,
            tx_bufs: TX_QUEUE_BUFS,
            step_bufs: usize::MAX,
            shuffle: false,
        }
    }
}

impl Faults {
    /// Bytes of the next piece out of `left`.
    pub(super) fn piece(&self, rng: &mut Rng, left: usize) -> usize {
        match self.split {
            Split::Never => left,
            Split::UpTo(most) => left.min(1 + rng.below(most)),
            Split::EveryByte => left.min(1),
        }
    }

    /// How much of `most` is done this time: at least 1 of what is not 0.
    pub(super) fn part(&self, rng: &mut Rng, most: usize) -> usize {
        if self.short && most > 0 { 1 + rng.below(most) } else { most }
    }
}
