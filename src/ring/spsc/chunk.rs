//! Views into the slots of a ring, to fill or read elements where they lie: two runs of memory at
//! most, because the ring may wrap once. Indices are moved by the ends alone.

use std::mem::MaybeUninit;

use bytemuck::Pod;

use crate::ring::spsc::{Consumer, Producer};

/// Free slots lent by [`Producer::reserve`]. Dropped without a commit, it changes nothing.
pub struct Reserved<'a, T> {
    producer: &'a mut Producer<T>,
    count: u32,
}

impl<'a, T> Reserved<'a, T> {
    /// The caller found `count` slots free from the producer's tail on.
    #[inline(always)]
    pub(super) fn new(producer: &'a mut Producer<T>, count: u32) -> Self {
        Self { producer, count }
    }

    /// Slots lent: fewer than asked for when fewer were free.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the ring was full.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The slots in order: those of the first run, then those of the second.
    #[inline]
    pub fn as_uninit_slices(&mut self) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        let ring = &self.producer.end.ring;
        ring.shadow_write(self.producer.end.index, self.count);
        let (first, second) = ring.runs(self.producer.end.index, self.count);
        // SAFETY: the slots are in bounds, free, and ours while `self` borrows the producer.
        let first = unsafe { &mut *(first as *mut [MaybeUninit<T>]) };
        // SAFETY: as above, and the runs do not overlap.
        let second = unsafe { &mut *(second as *mut [MaybeUninit<T>]) };
        (first, second)
    }

    /// Hands the first `count` slots over to the consumer.
    ///
    /// # Safety
    /// The first `count` slots have been filled.
    ///
    /// # Panics
    /// If `count` exceeds [`len`](Self::len).
    #[inline]
    pub unsafe fn commit_init(self, count: usize) {
        assert!(count <= self.len(), "a commit is no larger than its reservation");
        self.producer.end.ring.shadow_write(self.producer.end.index, count as u32);
        self.producer.end.publish(count as u32);
    }
}

impl<T: Pod> Reserved<'_, T> {
    /// The slots in order, holding whatever was in them before.
    #[inline]
    pub fn as_mut_slices(&mut self) -> (&mut [T], &mut [T]) {
        let ring = &self.producer.end.ring;
        ring.shadow_write(self.producer.end.index, self.count);
        let (first, second) = ring.runs(self.producer.end.index, self.count);
        // SAFETY: the slots are ours while `self` borrows the producer. Ring memory starts
        // initialised, only whole `Pod` elements enter it, and any bytes are a `Pod` element.
        let first = unsafe { &mut *first };
        // SAFETY: as above, and the runs do not overlap.
        let second = unsafe { &mut *second };
        (first, second)
    }

    /// Hands the first `count` slots over to the consumer, filled or not.
    ///
    /// # Panics
    /// If `count` exceeds [`len`](Self::len).
    #[inline]
    pub fn commit(self, count: usize) {
        // SAFETY: a slot of a `Pod` ring always holds some element.
        unsafe { self.commit_init(count) };
    }
}

/// Elements lent by [`Consumer::peek`]. Dropped without a release, it changes nothing.
pub struct Chunk<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: u32,
}

impl<'a, T> Chunk<'a, T> {
    /// The caller found `count` elements from the consumer's head on.
    #[inline(always)]
    pub(super) fn new(consumer: &'a mut Consumer<T>, count: u32) -> Self {
        Self { consumer, count }
    }

    /// Elements lent: fewer than asked for when the ring holds fewer.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the ring was empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements in order: those of the first run, then those of the second.
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let ring = &self.consumer.end.ring;
        ring.shadow_read(self.consumer.end.index, self.count);
        let (first, second) = ring.runs(self.consumer.end.index, self.count);
        // SAFETY: the slots are in bounds, hold elements, and stay ours until a release.
        let first = unsafe { &*first };
        // SAFETY: as above.
        let second = unsafe { &*second };
        (first, second)
    }

    /// Drops the first `count` elements and gives their slots back to the producer.
    ///
    /// # Panics
    /// If `count` exceeds [`len`](Self::len).
    #[inline]
    pub fn release(self, count: usize) {
        assert!(count <= self.len(), "a release is no larger than its chunk");
        let consumer = self.consumer;
        consumer.end.ring.shadow_read(consumer.end.index, count as u32);
        if std::mem::needs_drop::<T>() {
            consumer.dequeue_burst_with(count, drop);
        } else {
            consumer.end.publish(count as u32);
        }
    }
}
