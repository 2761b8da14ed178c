//! Our rings and their peers behind one shape, so that every benchmark treats them alike. All carry
//! `u64`; a call moves a block and returns how many elements it moved.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use ringway::ring::{mpmc, spsc};

/// Elements that every ring in a benchmark holds: 8 KiB, inside L1.
pub const CAPACITY: usize = 1024;

/// The filling end.
pub trait Fill: Send {
    /// Moves elements in.
    fn put(&mut self, elements: &[u64]) -> usize;
}

/// The emptying end.
pub trait Take: Send {
    /// Moves elements out.
    fn take(&mut self, out: &mut [u64]) -> usize;
}

/// As many as fit.
pub struct Burst<T>(pub T);

/// All or nothing.
pub struct Bulk<T>(pub T);

impl Fill for Burst<spsc::Producer<u64>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        self.0.enqueue_burst(elements)
    }
}

impl Take for Burst<spsc::Consumer<u64>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        self.0.dequeue_burst(out)
    }
}

impl Fill for Bulk<spsc::Producer<u64>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        self.0.enqueue_bulk(elements) as usize * elements.len()
    }
}

impl Take for Bulk<spsc::Consumer<u64>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        self.0.dequeue_bulk(out) as usize * out.len()
    }
}

impl Fill for Burst<rtrb::Producer<u64>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        self.0.push_partial_slice(elements).0.len()
    }
}

impl Take for Burst<rtrb::Consumer<u64>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        self.0.pop_partial_slice(out).0.len()
    }
}

impl Fill for Bulk<rtrb::Producer<u64>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        self.0.push_entire_slice(elements).is_ok() as usize * elements.len()
    }
}

impl Take for Bulk<rtrb::Consumer<u64>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        self.0.pop_entire_slice(out).is_ok() as usize * out.len()
    }
}

impl Fill for Burst<Arc<mpmc::Ring<u64>>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        self.0.enqueue_burst(elements)
    }
}

impl Take for Burst<Arc<mpmc::Ring<u64>>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        self.0.dequeue_burst(out)
    }
}

impl Fill for Arc<ArrayQueue<u64>> {
    #[inline]
    fn put(&mut self, elements: &[u64]) -> usize {
        elements.iter().take_while(|element| self.push(**element).is_ok()).count()
    }
}

impl Take for Arc<ArrayQueue<u64>> {
    #[inline]
    fn take(&mut self, out: &mut [u64]) -> usize {
        let mut taken = 0;
        while let Some(slot) = out.get_mut(taken) {
            let Some(element) = self.pop() else { break };
            *slot = element;
            taken += 1;
        }
        taken
    }
}

/// Ours, one producer and one consumer, as many as fit.
pub fn spsc_burst() -> (impl Fill, impl Take) {
    let (producer, consumer) = spsc::ring(CAPACITY);
    (Burst(producer), Burst(consumer))
}

/// Ours, one producer and one consumer, all or nothing.
pub fn spsc_bulk() -> (impl Fill, impl Take) {
    let (producer, consumer) = spsc::ring(CAPACITY);
    (Bulk(producer), Bulk(consumer))
}

/// rtrb's slices, as many as fit.
pub fn rtrb_burst() -> (impl Fill, impl Take) {
    let (producer, consumer) = rtrb::RingBuffer::new(CAPACITY);
    (Burst(producer), Burst(consumer))
}

/// rtrb's chunks, all or nothing.
pub fn rtrb_bulk() -> (impl Fill, impl Take) {
    let (producer, consumer) = rtrb::RingBuffer::new(CAPACITY);
    (Bulk(producer), Bulk(consumer))
}

/// Ours for many threads.
pub fn mpmc_burst() -> (impl Fill, impl Take) {
    let ring = Arc::new(mpmc::Ring::new(CAPACITY));
    (Burst(ring.clone()), Burst(ring))
}

/// crossbeam's queue for many threads, which knows no bursts.
pub fn array_queue() -> (impl Fill, impl Take) {
    let queue = Arc::new(ArrayQueue::new(CAPACITY));
    (queue.clone(), queue)
}
