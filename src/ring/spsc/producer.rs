//! The filling end of an spsc ring. The layout, and how a ring comes to be, are in the parent.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::ring::AttachError;
use crate::ring::spsc::end::End;
use crate::ring::spsc::{Reserved, at_most};
use crate::sync::KeepAlive;

/// The end that fills the ring. Owned by one thread at a time; no call blocks.
pub struct Producer<T> {
    pub(super) end: End<T, true>,
}

// SAFETY: an end is the only one of its side, and the elements it moves are `Send`.
unsafe impl<T: Send> Send for Producer<T> {}

impl<T: Pod> Producer<T> {
    /// Attaches the filling end to the ring that [`create_in`] wrote into `memory`, going on where
    /// an earlier producer stopped. `keep` keeps the memory mapped.
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `bytes` initialised bytes until `keep` is dropped,
    /// and no other producer is attached to it on this side of the trust boundary. A peer beyond it
    /// may write what it likes, as long as zero-copy views ([`Producer::reserve`],
    /// [`Consumer::peek`]) are used only with peers that keep to the protocol: the copying calls
    /// fetch each element once, before the index store that gives the slot away.
    ///
    /// [`create_in`]: super::create_in
    /// [`Consumer::peek`]: super::Consumer::peek
    pub unsafe fn attach(
        memory: NonNull<u8>,
        bytes: usize,
        keep: KeepAlive,
    ) -> Result<Self, AttachError> {
        // SAFETY: passed on from the caller.
        unsafe { End::attach(memory, bytes, keep) }.map(|end| Self { end })
    }

    /// Moves `element` in, or gives it back when the ring is full. The consumer sees it after the next
    /// [`publish`](Self::publish), or the next call that moves others in: a burst that is made one by
    /// one costs one store to the line that both look at. What was staged and not published is lost
    /// with this end.
    #[inline]
    pub fn stage(&mut self, element: T) -> Result<(), T> {
        if self.end.slots(1) == 0 {
            return Err(element);
        }
        // SAFETY: `slots` found the slot free, and it is ours until it is published.
        unsafe { self.end.ring.write(self.end.index, element) };
        self.end.stage();
        Ok(())
    }

    /// Shows the consumer what was staged. Writes nothing when there is none.
    #[inline]
    pub fn publish(&mut self) {
        self.end.publish_staged();
    }
}

impl<T> Producer<T> {
    /// Slots in the ring, all of them usable.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.end.ring.capacity() as usize
    }

    /// Elements in the ring, as far as the consumer has published; never too few.
    pub fn len(&self) -> usize {
        self.capacity() - self.free()
    }

    /// Whether the consumer has taken everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots that the next call can fill; zero for ever after a peer fault.
    pub fn free(&self) -> usize {
        self.end.count()
    }

    /// Whether nothing more fits now, asking the consumer only when what was last seen of its index
    /// does not say.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.end.slots(1) == 0
    }

    /// Whether the consumer wrote an impossible index. The ring then stays full for ever.
    #[inline]
    pub fn peer_fault(&self) -> bool {
        self.end.faulted()
    }

    /// Moves `element` in, or gives it back when the ring is full.
    #[inline]
    pub fn enqueue(&mut self, element: T) -> Result<(), T> {
        if self.end.slots(1) == 0 {
            return Err(element);
        }
        // SAFETY: `slots` found the slot of `tail` free, and it is ours until `publish`.
        unsafe { self.end.ring.write(self.end.index, element) };
        self.end.publish(1);
        Ok(())
    }

    /// Moves elements from `source` in until the ring is full or the source is empty, and returns
    /// how many it took. What does not fit is not taken from the source.
    #[inline]
    pub fn enqueue_burst_from(&mut self, source: &mut impl ExactSizeIterator<Item = T>) -> usize {
        let room = self.end.slots(at_most(source.len(), self.end.ring.capacity()));
        if room == 0 {
            return 0;
        }
        let mut filled = Filled { producer: self, count: 0 };
        for element in source.take(room as usize) {
            filled.write(element);
        }
        filled.count as usize
    }

    /// Moves as many of `elements` in as fit, in order, and returns how many.
    ///
    /// # Safety
    /// All of `elements` are initialised. Those taken belong to the ring from then on: the caller
    /// neither uses nor drops them.
    #[inline]
    pub unsafe fn enqueue_burst_moving(&mut self, elements: &[MaybeUninit<T>]) -> usize {
        let count = self.end.slots(at_most(elements.len(), self.end.ring.capacity()));
        if count == 0 {
            return 0;
        }
        // SAFETY: `slots` found this many slots free, and the slice holds at least as many elements,
        // which the caller gives up.
        unsafe { self.end.ring.write_from(self.end.index, elements.as_ptr().cast(), count) };
        self.end.publish(count);
        count as usize
    }

    /// Lends up to `max` free slots to be filled in place; [`Reserved::commit`] hands them over.
    #[inline]
    pub fn reserve(&mut self, max: usize) -> Reserved<'_, T> {
        let count = self.end.slots(at_most(max, self.end.ring.capacity()));
        Reserved::new(self, count)
    }
}

impl<T: Copy> Producer<T> {
    /// Copies as many of `elements` in as fit, in order, and returns how many.
    #[inline]
    pub fn enqueue_burst(&mut self, elements: &[T]) -> usize {
        let count = self.end.slots(at_most(elements.len(), self.end.ring.capacity()));
        self.copy_in(elements, count)
    }

    /// Copies all of `elements` in and returns true, or none of them and returns false.
    #[inline]
    pub fn enqueue_bulk(&mut self, elements: &[T]) -> bool {
        let wanted = at_most(elements.len(), self.end.ring.capacity());
        let fits = wanted as usize == elements.len() && self.end.slots(wanted) == wanted;
        fits && self.copy_in(elements, wanted) == elements.len()
    }

    #[inline(always)]
    fn copy_in(&mut self, elements: &[T], count: u32) -> usize {
        if count > 0 {
            // SAFETY: `slots` found this many slots free, and `count` is at most the slice's length.
            unsafe { self.end.ring.write_from(self.end.index, elements.as_ptr(), count) };
            self.end.publish(count);
        }
        count as usize
    }
}

/// Slots filled one by one, published on drop: also when the source of the elements panics.
struct Filled<'a, T> {
    producer: &'a mut Producer<T>,
    count: u32,
}

impl<T> Filled<'_, T> {
    /// Called at most as often as `slots` promised.
    #[inline(always)]
    fn write(&mut self, element: T) {
        let index = self.producer.end.index.wrapping_add(self.count);
        // SAFETY: `slots` found the slot free, and it is ours until `publish`.
        unsafe { self.producer.end.ring.write(index, element) };
        self.count += 1;
    }
}

impl<T> Drop for Filled<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.producer.end.publish(self.count);
    }
}
