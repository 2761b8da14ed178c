//! The receiving end of a ring of descriptors: they are fetched once, a burst at a time, so that the
//! index that both sides look at moves once for all of them.

use crate::limits::PORT_FETCH;
use crate::mem::Descriptor;
use crate::ring::spsc::Consumer;

/// The descriptors that were fetched and not handed out, and the ring behind them.
pub struct Inbox {
    ring: Consumer<Descriptor>,
    fetched: [Descriptor; PORT_FETCH],
    /// The next of them, and one past the last.
    next: usize,
    end: usize,
}

impl Inbox {
    /// What comes out of `ring`.
    pub fn new(ring: Consumer<Descriptor>) -> Self {
        Self { ring, fetched: [bytemuck::Zeroable::zeroed(); PORT_FETCH], next: 0, end: 0 }
    }

    /// The next descriptor. When a burst was fetched for it, `foresee` is shown all of that first: the
    /// bytes of many come sooner when they are asked for together.
    #[inline]
    pub fn next(&mut self, foresee: impl FnMut(&Descriptor)) -> Option<Descriptor> {
        if self.next == self.end && !self.fetch(foresee) {
            return None;
        }
        let descriptor = self.fetched[self.next];
        self.next += 1;
        Some(descriptor)
    }

    #[inline]
    fn fetch(&mut self, foresee: impl FnMut(&Descriptor)) -> bool {
        (self.next, self.end) = (0, self.ring.dequeue_burst(&mut self.fetched));
        self.fetched[..self.end].iter().for_each(foresee);
        self.end > 0
    }

    /// Takes the last one that was handed out back: the next call hands it out again.
    pub fn put_back(&mut self) {
        assert!(self.next > 0, "one was handed out");
        self.next -= 1;
    }

    /// Descriptors that are there.
    pub fn len(&self) -> usize {
        self.end - self.next + self.ring.len()
    }

    /// Whether there is something to hand out, or a fault of the peer to be found.
    #[inline]
    pub fn has_some(&self) -> bool {
        self.next < self.end || self.ring.has_moved()
    }

    /// Whether the peer wrote an impossible index.
    #[inline]
    pub fn peer_fault(&self) -> bool {
        self.ring.peer_fault()
    }
}
