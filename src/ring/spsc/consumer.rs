//! The emptying end of an spsc ring. The layout, and how a ring comes to be, are in the parent.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::ring::AttachError;
use crate::ring::spsc::end::End;
use crate::ring::spsc::{Chunk, at_most};
use crate::sync::KeepAlive;

/// The end that empties the ring. Owned by one thread at a time; no call blocks.
pub struct Consumer<T> {
    pub(super) end: End<T, false>,
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
        unsafe { End::attach(memory, bytes, keep) }.map(|end| Self { end })
    }
}

impl<T> Consumer<T> {
    /// Slots in the ring, all of them usable.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.end.ring.capacity() as usize
    }

    /// Elements that the next call can take, as far as the producer has published; zero for ever
    /// after a peer fault.
    pub fn len(&self) -> usize {
        self.end.count()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer's index has moved: there is something to take, or a peer fault to be found
    /// by the next call that takes. One load.
    #[inline]
    pub fn has_moved(&self) -> bool {
        self.end.peer_moved()
    }

    /// Whether the producer wrote an impossible index. The ring then stays empty for ever.
    #[inline]
    pub fn peer_fault(&self) -> bool {
        self.end.faulted()
    }

    /// Moves the oldest element out, or returns `None` when the ring is empty.
    #[inline]
    pub fn dequeue(&mut self) -> Option<T> {
        if self.end.slots(1) == 0 {
            return None;
        }
        // SAFETY: `slots` found an element at `head`; it is ours, and `publish` gives the slot away.
        let element = unsafe { self.end.ring.read(self.end.index) };
        self.end.publish(1);
        Some(element)
    }

    /// Moves up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. They belong to the caller, in `out[..n]`.
    #[inline]
    pub fn dequeue_burst_uninit(&mut self, out: &mut [MaybeUninit<T>]) -> usize {
        let count = self.end.slots(at_most(out.len(), self.end.ring.capacity()));
        self.move_out(out.as_mut_ptr().cast(), count)
    }

    /// Moves up to `max` elements out, oldest first, giving each to `take`; returns how many.
    #[inline]
    pub fn dequeue_burst_with(&mut self, max: usize, mut take: impl FnMut(T)) -> usize {
        let count = self.end.slots(at_most(max, self.end.ring.capacity()));
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
        let count = self.end.slots(at_most(max, self.end.ring.capacity()));
        Chunk::new(self, count)
    }

    #[inline(always)]
    fn move_out(&mut self, out: *mut T, count: u32) -> usize {
        if count > 0 {
            // SAFETY: `slots` found this many elements, and `count` is at most the length of the
            // slice that `out` points to.
            unsafe { self.end.ring.read_to(self.end.index, out, count) };
            self.end.publish(count);
        }
        count as usize
    }
}

impl<T: Copy> Consumer<T> {
    /// Copies up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. The rest of `out` is left as it was.
    #[inline]
    pub fn dequeue_burst(&mut self, out: &mut [T]) -> usize {
        let count = self.end.slots(at_most(out.len(), self.end.ring.capacity()));
        self.move_out(out.as_mut_ptr(), count)
    }

    /// Fills all of `out` with the oldest elements and returns true, or leaves it and the ring as
    /// they were and returns false.
    #[inline]
    pub fn dequeue_bulk(&mut self, out: &mut [T]) -> bool {
        let wanted = at_most(out.len(), self.end.ring.capacity());
        let there = wanted as usize == out.len() && self.end.slots(wanted) == wanted;
        there && self.move_out(out.as_mut_ptr(), wanted) == out.len()
    }
}

/// Slots emptied one by one, published on drop: also when the taker of the elements panics.
struct Emptied<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: u32,
}

impl<T> Emptied<'_, T> {
    /// Called at most as often as `slots` promised.
    #[inline(always)]
    fn read(&mut self) -> T {
        let index = self.consumer.end.index.wrapping_add(self.count);
        self.count += 1;
        // SAFETY: `slots` found an element there, and the count makes this its only read.
        unsafe { self.consumer.end.ring.read(index) }
    }
}

impl<T> Drop for Emptied<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.consumer.end.publish(self.count);
    }
}
