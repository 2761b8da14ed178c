//! The emptying end of an spsc ring. The layout, and how a ring comes to be, are in the parent.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::ring::AttachError;
use crate::ring::spsc::{Chunk, Keep, Raw, at_most, open};
use crate::sync::{KeepAlive, Ordering};

/// The end that empties the ring. Owned by one thread at a time; no call blocks.
pub struct Consumer<T> {
    pub(super) ring: Raw<T>,
    /// Our index: the truth of which the shared word is the published copy.
    pub(super) head: u32,
    /// The producer's index as last seen; `tail - head` never exceeds the capacity.
    pub(super) tail: u32,
    pub(super) faulted: bool,
    pub(super) _keep: Keep<T>,
}

// SAFETY: an end is the only one of its side, and the elements it moves are `Send`.
unsafe impl<T: Send> Send for Consumer<T> {}

impl<T: Pod> Consumer<T> {
    /// Attaches the emptying end to the ring that [`create_in`] wrote into `memory`, going on where
    /// an earlier consumer stopped. `keep` keeps the memory mapped.
    ///
    /// # Safety
    /// As for [`Producer::attach`], with no other consumer on this side.
    ///
    /// [`create_in`]: super::create_in
    /// [`Producer::attach`]: super::Producer::attach
    pub unsafe fn attach(
        memory: NonNull<u8>,
        bytes: usize,
        keep: KeepAlive,
    ) -> Result<Self, AttachError> {
        // SAFETY: passed on from the caller.
        let (ring, head, tail) = unsafe { open(memory, bytes) }?;
        Ok(Self { ring, head, tail, faulted: false, _keep: Keep::Outside { _owner: keep } })
    }
}

impl<T> Consumer<T> {
    /// Slots in the ring, all of them usable.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    /// Elements that the next call can take, as far as the producer has published; zero for ever
    /// after a peer fault.
    pub fn len(&self) -> usize {
        // Relaxed: a count only; whoever takes the elements acquires them in `refresh`.
        let tail = self.ring.control().tail.0.load(Ordering::Relaxed);
        let ready = tail.wrapping_sub(self.head);
        if self.faulted || ready > self.ring.capacity() { 0 } else { ready as usize }
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer wrote an impossible index. The ring then stays empty for ever.
    #[inline]
    pub fn peer_fault(&self) -> bool {
        self.faulted
    }

    /// Moves the oldest element out, or returns `None` when the ring is empty.
    #[inline]
    pub fn dequeue(&mut self) -> Option<T> {
        if self.ready(1) == 0 {
            return None;
        }
        // SAFETY: `ready` found an element at `head`; it is ours, and `publish` gives the slot away.
        let element = unsafe { self.ring.read(self.head) };
        self.publish(1);
        Some(element)
    }

    /// Moves up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. They belong to the caller, in `out[..n]`.
    #[inline]
    pub fn dequeue_burst_uninit(&mut self, out: &mut [MaybeUninit<T>]) -> usize {
        let count = self.ready(at_most(out.len(), self.ring.capacity()));
        self.move_out(out.as_mut_ptr().cast(), count)
    }

    /// Moves up to `max` elements out, oldest first, giving each to `take`; returns how many.
    #[inline]
    pub fn dequeue_burst_with(&mut self, max: usize, mut take: impl FnMut(T)) -> usize {
        let count = self.ready(at_most(max, self.ring.capacity()));
        if count == 0 {
            return 0;
        }
        let mut emptied = Emptied { consumer: self, count: 0 };
        while emptied.count < count {
            take(emptied.read());
        }
        count as usize
    }

    /// Lends up to `max` elements to be read in place; [`Chunk::release`] takes them out.
    #[inline]
    pub fn peek(&mut self, max: usize) -> Chunk<'_, T> {
        let count = self.ready(at_most(max, self.ring.capacity()));
        Chunk::new(self, count)
    }

    /// How many of `wanted` elements are there, asking the producer only when the cached index of
    /// it does not cover them.
    #[inline(always)]
    fn ready(&mut self, wanted: u32) -> u32 {
        let ready = self.tail.wrapping_sub(self.head);
        if ready >= wanted { wanted } else { self.refresh().min(wanted) }
    }

    #[inline]
    fn refresh(&mut self) -> u32 {
        let ready = self.tail.wrapping_sub(self.head);
        if !self.faulted {
            // Acquire: pairs with the release in `Producer::publish`; its writes of the slots happen
            // before our reads.
            let tail = self.ring.control().tail.0.load(Ordering::Acquire);
            // The producer can only have filled free slots: anything else is a distance beyond the
            // capacity or an index that ran backwards.
            self.faulted = tail.wrapping_sub(self.tail) > self.ring.capacity() - ready;
            self.tail = tail;
        }
        if self.faulted {
            self.tail = self.head;
        }
        self.tail.wrapping_sub(self.head)
    }

    #[inline(always)]
    fn move_out(&mut self, out: *mut T, count: u32) -> usize {
        if count > 0 {
            // SAFETY: `ready` found this many elements, and `count` is at most the length of the
            // slice that `out` points to.
            unsafe { self.ring.read_to(self.head, out, count) };
            self.publish(count);
        }
        count as usize
    }

    #[inline(always)]
    pub(super) fn publish(&mut self, count: u32) {
        self.head = self.head.wrapping_add(count);
        // Release: pairs with the acquire in `Producer::refresh`; our reads of the slots happen
        // before its writes.
        self.ring.control().head.0.store(self.head, Ordering::Release);
    }
}

impl<T: Copy> Consumer<T> {
    /// Copies up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. The rest of `out` is left as it was.
    #[inline]
    pub fn dequeue_burst(&mut self, out: &mut [T]) -> usize {
        let count = self.ready(at_most(out.len(), self.ring.capacity()));
        self.move_out(out.as_mut_ptr(), count)
    }

    /// Fills all of `out` with the oldest elements and returns true, or leaves it and the ring as
    /// they were and returns false.
    #[inline]
    pub fn dequeue_bulk(&mut self, out: &mut [T]) -> bool {
        let wanted = at_most(out.len(), self.ring.capacity());
        let there = wanted as usize == out.len() && self.ready(wanted) == wanted;
        there && self.move_out(out.as_mut_ptr(), wanted) == out.len()
    }
}

/// Slots emptied one by one, published on drop: also when the taker of the elements panics.
struct Emptied<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: u32,
}

impl<T> Emptied<'_, T> {
    /// Called at most as often as `ready` promised.
    #[inline(always)]
    fn read(&mut self) -> T {
        let index = self.consumer.head.wrapping_add(self.count);
        self.count += 1;
        // SAFETY: `ready` found an element there, and the count makes this its only read.
        unsafe { self.consumer.ring.read(index) }
    }
}

impl<T> Drop for Emptied<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.consumer.publish(self.count);
    }
}
