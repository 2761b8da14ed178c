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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::{ConnId, Terms};
    use crate::ring::spsc;

    fn numbered(number: u32) -> Descriptor {
        Terms::NONE.describe(ConnId::NONE, number, 0)
    }

    #[test]
    fn all_of_a_burst_is_foreseen_before_the_first_of_it_is_handed_out_and_none_twice() {
        let (mut producer, consumer) = spsc::ring(2 * PORT_FETCH);
        let mut inbox = Inbox::new(consumer);
        let sent = PORT_FETCH as u32 + 1;
        (0..sent).for_each(|number| producer.enqueue(numbered(number)).unwrap());
        let mut foreseen = Vec::new();
        for number in 0..sent {
            assert_eq!(inbox.len(), (sent - number) as usize);
            let next = inbox.next(|descriptor| foreseen.push(descriptor.message));
            assert_eq!(next.map(|descriptor| descriptor.message), Some(number));
            let bursts = (number as usize / PORT_FETCH + 1) * PORT_FETCH;
            assert!(foreseen.iter().copied().eq(0..sent.min(bursts as u32)));
        }
        assert!(!inbox.has_some() && inbox.next(|_| ()).is_none());
    }

    #[test]
    fn what_was_put_back_comes_next_and_counts_as_there() {
        let (mut producer, consumer) = spsc::ring(4);
        let mut inbox = Inbox::new(consumer);
        producer.enqueue_burst(&[numbered(1), numbered(2)]);
        assert_eq!(inbox.next(|_| ()).unwrap().message, 1);
        inbox.put_back();
        assert_eq!((inbox.len(), inbox.has_some()), (2, true));
        assert_eq!(inbox.next(|_| ()).unwrap().message, 1);
        assert_eq!(inbox.next(|_| ()).unwrap().message, 2);
        inbox.put_back();
        assert!(inbox.has_some() && !inbox.peer_fault());
    }
}
