//! A bounded lock-free ring between one producer and one consumer, on the heap or in a segment.
//! Waiting, waking and the meaning of the elements live elsewhere.
//!
//! Each end keeps its own index and the last seen index of its peer in private memory. The shared
//! lines carry one word each: `tail`, written by the producer alone, and `head`, written by the
//! consumer alone. A burst costs one release store, and one acquire load when the cached peer
//! index does not cover it.
//!
//! **A peer is never trusted.** An index that moved further than the ring allows marks the end as
//! faulted ([`Producer::peer_fault`]): from then on it is full, or empty, for ever. Whatever a peer
//! writes, nothing outside the ring is read or written.

mod chunk;
#[cfg(all(test, not(loom)))]
mod tests;

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytemuck::Pod;

pub use self::chunk::{Chunk, Reserved};
use crate::ring::memory::{Control, HeapMemory, Ident, Line, RawRing};
use crate::ring::{AttachError, LINE_BYTES};
use crate::sync::{Arc, AtomicU32, KeepAlive, Ordering};

/// Where the producer's index lies in a ring's memory, in bytes.
pub const TAIL_OFFSET: usize = LINE_BYTES;

/// Where the consumer's index lies in a ring's memory, in bytes.
pub const HEAD_OFFSET: usize = 2 * LINE_BYTES;

#[repr(C)]
struct Indices {
    ident: Line<Ident>,
    /// Next slot to fill. Written by the producer, read by the consumer.
    tail: Line<AtomicU32>,
    /// Next slot to empty. Written by the consumer, read by the producer.
    head: Line<AtomicU32>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::offset_of!(Indices, tail) == TAIL_OFFSET);
    assert!(std::mem::offset_of!(Indices, head) == HEAD_OFFSET);
    assert!(size_of::<Indices>() == 3 * LINE_BYTES);
};

impl Control for Indices {
    const MAGIC: u32 = u32::from_le_bytes(*b"rws1");

    fn new(ident: Ident, start: u32) -> Self {
        Self {
            ident: Line(ident),
            tail: Line(AtomicU32::new(start)),
            head: Line(AtomicU32::new(start)),
        }
    }

    fn ident(&self) -> &Ident {
        &self.ident.0
    }
}

type Raw<T> = RawRing<Indices, T>;

/// What keeps a ring's memory alive.
enum Keep<T> {
    Heap { _ring: Arc<HeapRing<T>> },
    Outside { _owner: KeepAlive },
}

/// A ring on the heap; whichever end goes last drops it.
struct HeapRing<T> {
    ring: Raw<T>,
    _memory: HeapMemory,
}

// SAFETY: only the ends use it, and moving an end to a thread moves elements there: `T: Send`.
unsafe impl<T: Send> Send for HeapRing<T> {}
// SAFETY: a shared reference gives access to no element.
unsafe impl<T: Send> Sync for HeapRing<T> {}

impl<T> Drop for HeapRing<T> {
    fn drop(&mut self) {
        let control = self.ring.control();
        // Relaxed: the count of the `Arc` orders both ends' last stores before this.
        let head = control.head.0.load(Ordering::Relaxed);
        let tail = control.tail.0.load(Ordering::Relaxed);
        // SAFETY: both ends are gone and have published their indices, so what lies between is ours.
        unsafe { self.ring.drop_range(head, tail) };
    }
}

/// The end that fills the ring. Owned by one thread at a time; no call blocks.
pub struct Producer<T> {
    ring: Raw<T>,
    /// Our index: the truth of which the shared word is the published copy.
    tail: u32,
    /// The consumer's index as last seen; `tail - head` never exceeds the capacity.
    head: u32,
    faulted: bool,
    _keep: Keep<T>,
}

/// The end that empties the ring. Owned by one thread at a time; no call blocks.
pub struct Consumer<T> {
    ring: Raw<T>,
    /// Our index: the truth of which the shared word is the published copy.
    head: u32,
    /// The producer's index as last seen; `tail - head` never exceeds the capacity.
    tail: u32,
    faulted: bool,
    _keep: Keep<T>,
}

// SAFETY: an end is the only one of its side, and the elements it moves are `Send`.
unsafe impl<T: Send> Send for Producer<T> {}
// SAFETY: an end is the only one of its side, and the elements it moves are `Send`.
unsafe impl<T: Send> Send for Consumer<T> {}

/// Creates a ring of `capacity` slots on the heap. Elements left in it are dropped with the last
/// of its ends.
///
/// # Panics
/// If `capacity` is not a power of two up to [`CAPACITY_MAX`](crate::ring::CAPACITY_MAX).
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    ring_from(capacity, 0)
}

/// [`ring`] with indices that start at `start`, so that a model can cross 2³² in a few steps.
#[cfg(any(test, loom))]
pub fn ring_at<T: Send>(capacity: usize, start: u32) -> (Producer<T>, Consumer<T>) {
    ring_from(capacity, start)
}

fn ring_from<T: Send>(capacity: usize, start: u32) -> (Producer<T>, Consumer<T>) {
    let (memory, ring) = HeapMemory::ring(capacity, start);
    let heap = Arc::new(HeapRing { ring, _memory: memory });
    let keep = || Keep::Heap { _ring: heap.clone() };
    (
        Producer { ring, tail: start, head: start, faulted: false, _keep: keep() },
        Consumer { ring, head: start, tail: start, faulted: false, _keep: keep() },
    )
}

/// Bytes of memory that a ring of `capacity` elements takes, or `None` if no ring has that
/// capacity (a power of two up to [`CAPACITY_MAX`](crate::ring::CAPACITY_MAX)).
pub fn bytes_for<T>(capacity: usize) -> Option<usize> {
    Raw::<T>::bytes_for(capacity)
}

/// Writes an empty ring of `capacity` slots into `memory`, for both ends to attach to.
///
/// # Safety
/// `memory` is valid for reads and writes of `bytes` initialised bytes (fresh pages are), and
/// nobody else uses it until this returns.
pub unsafe fn create_in<T: Pod>(
    memory: NonNull<u8>,
    bytes: usize,
    capacity: usize,
) -> Result<(), AttachError> {
    // SAFETY: passed on from the caller.
    unsafe { Raw::<T>::create(memory, bytes, capacity, 0) }.map(drop)
}

/// Opens the ring in `memory` and fetches `(head, tail)`, once each.
///
/// # Safety
/// As for [`Producer::attach`].
unsafe fn open<T: Pod>(
    memory: NonNull<u8>,
    bytes: usize,
) -> Result<(Raw<T>, u32, u32), AttachError> {
    // SAFETY: passed on from the caller.
    let ring = unsafe { Raw::<T>::open(memory, bytes) }?;
    // Acquire, both: an end takes over slots that its peer, or its own predecessor, released with
    // the stores in `Producer::publish` and `Consumer::publish`.
    let head = ring.control().head.0.load(Ordering::Acquire);
    let tail = ring.control().tail.0.load(Ordering::Acquire);
    if tail.wrapping_sub(head) > ring.capacity() {
        return Err(AttachError::Indices);
    }
    Ok((ring, head, tail))
}

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
    pub unsafe fn attach(
        memory: NonNull<u8>,
        bytes: usize,
        keep: KeepAlive,
    ) -> Result<Self, AttachError> {
        // SAFETY: passed on from the caller.
        let (ring, head, tail) = unsafe { open(memory, bytes) }?;
        Ok(Self { ring, tail, head, faulted: false, _keep: Keep::Outside { _owner: keep } })
    }
}

impl<T: Pod> Consumer<T> {
    /// Attaches the emptying end to the ring that [`create_in`] wrote into `memory`, going on where
    /// an earlier consumer stopped. `keep` keeps the memory mapped.
    ///
    /// # Safety
    /// As for [`Producer::attach`], with no other consumer on this side.
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

/// `len`, or the capacity if no ring holds that many: the most one call can move.
#[inline(always)]
fn at_most(len: usize, capacity: u32) -> u32 {
    len.min(capacity as usize) as u32
}

impl<T> Producer<T> {
    /// Slots in the ring, all of them usable.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
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
        // Relaxed: a count only; whoever fills the slots acquires them in `refresh`.
        let head = self.ring.control().head.0.load(Ordering::Relaxed);
        let used = self.tail.wrapping_sub(head);
        if self.faulted { 0 } else { self.ring.capacity().saturating_sub(used) as usize }
    }

    /// Whether the consumer wrote an impossible index. The ring then stays full for ever.
    #[inline]
    pub fn peer_fault(&self) -> bool {
        self.faulted
    }

    /// Moves `element` in, or gives it back when the ring is full.
    #[inline]
    pub fn enqueue(&mut self, element: T) -> Result<(), T> {
        if self.room(1) == 0 {
            return Err(element);
        }
        // SAFETY: `room` found the slot of `tail` free, and it is ours until `publish`.
        unsafe { self.ring.write(self.tail, element) };
        self.publish(1);
        Ok(())
    }

    /// Moves elements from `source` in until the ring is full or the source is empty, and returns
    /// how many it took. What does not fit is not taken from the source.
    #[inline]
    pub fn enqueue_burst_from(&mut self, source: &mut impl ExactSizeIterator<Item = T>) -> usize {
        let room = self.room(at_most(source.len(), self.ring.capacity()));
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
        let count = self.room(at_most(elements.len(), self.ring.capacity()));
        if count == 0 {
            return 0;
        }
        // SAFETY: `room` found this many slots free, and the slice holds at least as many elements,
        // which the caller gives up.
        unsafe { self.ring.write_from(self.tail, elements.as_ptr().cast(), count) };
        self.publish(count);
        count as usize
    }

    /// Lends up to `max` free slots to be filled in place; [`Reserved::commit`] hands them over.
    #[inline]
    pub fn reserve(&mut self, max: usize) -> Reserved<'_, T> {
        let count = self.room(at_most(max, self.ring.capacity()));
        Reserved::new(self, count)
    }

    /// How many of `wanted` slots are free, asking the consumer only when the cached index of it
    /// does not cover them.
    #[inline(always)]
    fn room(&mut self, wanted: u32) -> u32 {
        let free = self.ring.capacity() - self.tail.wrapping_sub(self.head);
        if free >= wanted { wanted } else { self.refresh().min(wanted) }
    }

    #[inline]
    fn refresh(&mut self) -> u32 {
        let used = self.tail.wrapping_sub(self.head);
        if !self.faulted {
            // Acquire: pairs with the release in `Consumer::publish`; its reads of the slots happen
            // before our writes.
            let head = self.ring.control().head.0.load(Ordering::Acquire);
            // The consumer can only have emptied slots: anything else is a distance beyond the
            // capacity or an index that ran backwards.
            self.faulted = self.tail.wrapping_sub(head) > used;
            self.head = head;
        }
        if self.faulted {
            self.head = self.tail.wrapping_sub(self.ring.capacity());
        }
        self.ring.capacity() - self.tail.wrapping_sub(self.head)
    }

    #[inline(always)]
    fn publish(&mut self, count: u32) {
        self.tail = self.tail.wrapping_add(count);
        // Release: pairs with the acquire in `Consumer::refresh`; our writes of the slots happen
        // before its reads.
        self.ring.control().tail.0.store(self.tail, Ordering::Release);
    }
}

impl<T: Copy> Producer<T> {
    /// Copies as many of `elements` in as fit, in order, and returns how many.
    #[inline]
    pub fn enqueue_burst(&mut self, elements: &[T]) -> usize {
        let count = self.room(at_most(elements.len(), self.ring.capacity()));
        self.copy_in(elements, count)
    }

    /// Copies all of `elements` in and returns true, or none of them and returns false.
    #[inline]
    pub fn enqueue_bulk(&mut self, elements: &[T]) -> bool {
        let wanted = at_most(elements.len(), self.ring.capacity());
        let fits = wanted as usize == elements.len() && self.room(wanted) == wanted;
        fits && self.copy_in(elements, wanted) == elements.len()
    }

    #[inline(always)]
    fn copy_in(&mut self, elements: &[T], count: u32) -> usize {
        if count > 0 {
            // SAFETY: `room` found this many slots free, and `count` is at most the slice's length.
            unsafe { self.ring.write_from(self.tail, elements.as_ptr(), count) };
            self.publish(count);
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
    /// Called at most as often as `room` promised.
    #[inline(always)]
    fn write(&mut self, element: T) {
        let index = self.producer.tail.wrapping_add(self.count);
        // SAFETY: `room` found the slot free, and it is ours until `publish`.
        unsafe { self.producer.ring.write(index, element) };
        self.count += 1;
    }
}

impl<T> Drop for Filled<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.producer.publish(self.count);
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
    fn publish(&mut self, count: u32) {
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
