//! A bounded ring that any number of threads fill and empty, on the heap or in a segment. What is
//! done with an empty or full ring is the caller's business; a hop between two threads alone wants
//! the much cheaper [`spsc`](crate::ring::spsc).
//!
//! Each side has a *head* and a *tail*. A thread claims slots by moving the head with a
//! compare-exchange, copies, then publishes by moving the tail; tails move in the order of the
//! claims, so a thread may have to wait for one that claimed before it and has not copied yet. It
//! spins, then yields. That wait is the one place where a thread depends on another: it is as long
//! as a copy of one burst, unless the other thread is descheduled in its middle. A *process* that
//! is killed there leaves the ring stuck, so only threads of one process, or processes that live
//! and die together, may share one; a peer that may vanish gets an spsc ring.
//!
//! Memory safety needs no trust: indices are masked, counts bounded by a private capacity.

#[cfg(all(test, not(loom)))]
mod tests;

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::ring::memory::{Control, HeapMemory, Ident, Line, RawRing};
use crate::ring::{AttachError, LINE_BYTES};
use crate::sync::{AtomicU32, KeepAlive, Ordering, spin_loop, yield_now};

/// Spins on a predecessor's tail before the core is offered to it: longer than any burst's copy.
const SPINS_BEFORE_YIELD: u32 = 256;

/// One side's indices. On one line: whoever moves the tail has just moved the head.
#[repr(C)]
struct Side {
    /// Next slot to claim. Moved by compare-exchange by the threads of this side.
    head: AtomicU32,
    /// All slots before it are done with. Stored by the threads of this side in claim order, read
    /// by the other side.
    tail: AtomicU32,
}

impl Side {
    fn new(start: u32) -> Self {
        Self { head: AtomicU32::new(start), tail: AtomicU32::new(start) }
    }

    /// Claims up to `wanted` slots, or exactly as many if `exact`; returns the first index and the
    /// count, zero when there are too few. `bias` is the capacity for the filling side and zero for
    /// the emptying one: `bias + other.tail - head` slots can be claimed.
    #[inline(always)]
    fn claim(
        &self,
        other: &Side,
        bias: u32,
        capacity: u32,
        wanted: u32,
        exact: bool,
    ) -> (u32, u32) {
        // Acquire: pairs with the release of the exchange below. Whoever sees a head also sees the
        // other side's tail that allowed it, so `there` exceeds the capacity only if `head` is old.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            // Acquire: pairs with the release in `publish` by the other side's threads; their use
            // of the slots happens before ours.
            let limit = other.tail.load(Ordering::Acquire);
            let there = bias.wrapping_add(limit).wrapping_sub(head);
            if there > capacity {
                // The head moved on between the loads, and now a newer one is visible: a publisher
                // of `limit` had acquired it. If there is none, a peer wrote garbage.
                let newer = self.head.load(Ordering::Acquire);
                if newer == head {
                    return (head, 0);
                }
                head = newer;
                continue;
            }
            let count = if exact && there < wanted { 0 } else { wanted.min(there) };
            if count == 0 {
                return (head, 0);
            }
            // Release on success and acquire on failure: see the load above.
            match self.head.compare_exchange_weak(
                head,
                head.wrapping_add(count),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return (head, count),
                Err(newer) => head = newer,
            }
        }
    }

    /// Publishes the claim `[from, from + count)` once all earlier claims are published.
    #[inline(always)]
    fn publish(&self, from: u32, count: u32) {
        // Acquire: pairs with the release below by the thread that claimed before us; our store
        // then also publishes what that thread did.
        if self.tail.load(Ordering::Acquire) != from {
            self.wait_for(from);
        }
        // Release: pairs with the other side's acquire in `claim`; our use of the slots happens
        // before theirs.
        self.tail.store(from.wrapping_add(count), Ordering::Release);
    }

    #[cold]
    fn wait_for(&self, from: u32) {
        let mut spins = 0;
        // Acquire: as in `publish`.
        while self.tail.load(Ordering::Acquire) != from {
            if cfg!(loom) || spins >= SPINS_BEFORE_YIELD {
                yield_now();
            } else {
                spins += 1;
                spin_loop();
            }
        }
    }
}

#[repr(C)]
struct Indices {
    ident: Line<Ident>,
    producers: Line<Side>,
    consumers: Line<Side>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::offset_of!(Indices, producers) == PRODUCERS_OFFSET);
    assert!(std::mem::offset_of!(Indices, consumers) == CONSUMERS_OFFSET);
    assert!(size_of::<Indices>() == 3 * LINE_BYTES);
};

/// Where the producers' head and tail lie in a ring's memory, in bytes.
pub const PRODUCERS_OFFSET: usize = LINE_BYTES;

/// Where the consumers' head and tail lie in a ring's memory, in bytes.
pub const CONSUMERS_OFFSET: usize = 2 * LINE_BYTES;

impl Control for Indices {
    const MAGIC: u32 = u32::from_le_bytes(*b"rwm1");

    fn new(ident: Ident, start: u32) -> Self {
        Self {
            ident: Line(ident),
            producers: Line(Side::new(start)),
            consumers: Line(Side::new(start)),
        }
    }

    fn ident(&self) -> &Ident {
        &self.ident.0
    }
}

/// Who frees the memory: this ring, which then also drops what is left in it, or someone outside.
enum Memory {
    Heap { _memory: HeapMemory },
    Outside { _owner: KeepAlive },
}

/// A ring that any number of threads share by reference.
pub struct Ring<T> {
    raw: RawRing<Indices, T>,
    memory: Memory,
}

// SAFETY: the ring owns its elements, which are `Send`.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: elements only move through a shared ring, from one thread to another: `T: Send`.
unsafe impl<T: Send> Sync for Ring<T> {}

/// Bytes of memory that a ring of `capacity` elements takes, or `None` if no ring has that
/// capacity (a power of two up to [`CAPACITY_MAX`](crate::ring::CAPACITY_MAX)).
pub fn bytes_for<T>(capacity: usize) -> Option<usize> {
    RawRing::<Indices, T>::bytes_for(capacity)
}

/// Writes an empty ring of `capacity` slots into `memory`, to be attached to.
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
    unsafe { RawRing::<Indices, T>::create(memory, bytes, capacity, 0) }.map(drop)
}

impl<T: Pod> Ring<T> {
    /// Attaches to the ring that [`create_in`] wrote into `memory`. `keep` keeps it mapped. Any
    /// number of threads and mappings may be attached at once.
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `bytes` initialised bytes until `keep` is dropped,
    /// and whoever shares it uses it as a ring of `T`.
    pub unsafe fn attach(
        memory: NonNull<u8>,
        bytes: usize,
        keep: KeepAlive,
    ) -> Result<Self, AttachError> {
        // SAFETY: passed on from the caller.
        let raw = unsafe { RawRing::open(memory, bytes) }?;
        Ok(Self { raw, memory: Memory::Outside { _owner: keep } })
    }
}

impl<T: Send> Ring<T> {
    /// Creates a ring of `capacity` slots on the heap. Elements left in it are dropped with it.
    ///
    /// # Panics
    /// If `capacity` is not a power of two up to [`CAPACITY_MAX`](crate::ring::CAPACITY_MAX).
    pub fn new(capacity: usize) -> Self {
        Self::starting_at(capacity, 0)
    }

    /// [`new`](Self::new) with indices that start at `start`, so that a model can cross 2³² in a
    /// few steps.
    #[cfg(any(test, loom))]
    pub fn new_at(capacity: usize, start: u32) -> Self {
        Self::starting_at(capacity, start)
    }

    fn starting_at(capacity: usize, start: u32) -> Self {
        let (memory, raw) = HeapMemory::ring(capacity, start);
        Self { raw, memory: Memory::Heap { _memory: memory } }
    }
}

impl<T> Ring<T> {
    /// Slots in the ring, all of them usable.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.raw.capacity() as usize
    }

    /// Elements in the ring at some moment during the call; other threads may change it at once.
    pub fn len(&self) -> usize {
        let control = self.raw.control();
        // Acquire: the producers' tail is loaded after this, so it is not the older of the two.
        let head = control.consumers.0.tail.load(Ordering::Acquire);
        // Acquire: pairs with the release in `publish`. Who counts an element in the ring also sees
        // what its producer did before; a pool that is whole may then be unmapped.
        let tail = control.producers.0.tail.load(Ordering::Acquire);
        (tail.wrapping_sub(head) as usize).min(self.capacity())
    }

    /// Whether there was nothing to take at some moment during the call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves `element` in, or gives it back when the ring is full.
    #[inline]
    pub fn enqueue(&self, element: T) -> Result<(), T> {
        let (from, count) = self.claim_free(1, true);
        if count == 0 {
            return Err(element);
        }
        // SAFETY: the slot is claimed by this thread and free.
        unsafe { self.raw.write(from, element) };
        self.raw.control().producers.0.publish(from, count);
        Ok(())
    }

    /// Moves the oldest element out, or returns `None` when the ring is empty.
    #[inline]
    pub fn dequeue(&self) -> Option<T> {
        let (from, count) = self.claim_filled(1, true);
        if count == 0 {
            return None;
        }
        // SAFETY: the slot is claimed by this thread and holds an element.
        let element = unsafe { self.raw.read(from) };
        self.raw.control().consumers.0.publish(from, count);
        Some(element)
    }

    /// Moves as many of `elements` in as fit, in order and next to each other; returns how many.
    ///
    /// # Safety
    /// All of `elements` are initialised. Those taken belong to the ring from then on: the caller
    /// neither uses nor drops them.
    #[inline]
    pub unsafe fn enqueue_burst_moving(&self, elements: &[MaybeUninit<T>]) -> usize {
        // SAFETY: passed on from the caller.
        unsafe { self.move_in(elements.as_ptr().cast(), elements.len(), false) }
    }

    /// Moves up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. They belong to the caller, in `out[..n]`.
    #[inline]
    pub fn dequeue_burst_uninit(&self, out: &mut [MaybeUninit<T>]) -> usize {
        // SAFETY: `out` has room for its length.
        unsafe { self.move_out(out.as_mut_ptr().cast(), out.len(), false) }
    }

    #[inline(always)]
    fn claim_free(&self, wanted: u32, exact: bool) -> (u32, u32) {
        let Indices { producers, consumers, .. } = self.raw.control();
        let capacity = self.raw.capacity();
        producers.0.claim(&consumers.0, capacity, capacity, wanted, exact)
    }

    #[inline(always)]
    fn claim_filled(&self, wanted: u32, exact: bool) -> (u32, u32) {
        let Indices { producers, consumers, .. } = self.raw.control();
        consumers.0.claim(&producers.0, 0, self.raw.capacity(), wanted, exact)
    }

    /// # Safety
    /// `from` holds `len` elements, and those moved are not used again unless `T: Copy`.
    #[inline(always)]
    unsafe fn move_in(&self, from: *const T, len: usize, exact: bool) -> usize {
        if exact && len > self.capacity() {
            return 0;
        }
        let (index, count) = self.claim_free(len.min(self.capacity()) as u32, exact);
        if count > 0 {
            // SAFETY: the slots are claimed by this thread and free, and `count` is at most `len`.
            unsafe { self.raw.write_from(index, from, count) };
            self.raw.control().producers.0.publish(index, count);
        }
        count as usize
    }

    /// # Safety
    /// `to` has room for `len` elements.
    #[inline(always)]
    unsafe fn move_out(&self, to: *mut T, len: usize, exact: bool) -> usize {
        if exact && len > self.capacity() {
            return 0;
        }
        let (index, count) = self.claim_filled(len.min(self.capacity()) as u32, exact);
        if count > 0 {
            // SAFETY: the slots are claimed by this thread and filled, and `count` is at most `len`.
            unsafe { self.raw.read_to(index, to, count) };
            self.raw.control().consumers.0.publish(index, count);
        }
        count as usize
    }
}

impl<T: Copy> Ring<T> {
    /// Copies as many of `elements` in as fit, in order and next to each other; returns how many.
    #[inline]
    pub fn enqueue_burst(&self, elements: &[T]) -> usize {
        // SAFETY: a slice holds its length, and copies leave it intact.
        unsafe { self.move_in(elements.as_ptr(), elements.len(), false) }
    }

    /// Copies all of `elements` in and returns true, or none of them and returns false.
    #[inline]
    pub fn enqueue_bulk(&self, elements: &[T]) -> bool {
        // SAFETY: a slice holds its length, and copies leave it intact.
        unsafe { self.move_in(elements.as_ptr(), elements.len(), true) == elements.len() }
    }

    /// Copies up to `out.len()` elements out, oldest first, and returns how many: fewer when the
    /// ring holds fewer. The rest of `out` is left as it was.
    #[inline]
    pub fn dequeue_burst(&self, out: &mut [T]) -> usize {
        // SAFETY: `out` has room for its length.
        unsafe { self.move_out(out.as_mut_ptr(), out.len(), false) }
    }

    /// Fills all of `out` with the oldest elements and returns true, or leaves it and the ring as
    /// they were and returns false.
    #[inline]
    pub fn dequeue_bulk(&self, out: &mut [T]) -> bool {
        // SAFETY: `out` has room for its length.
        unsafe { self.move_out(out.as_mut_ptr(), out.len(), true) == out.len() }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        if let Memory::Heap { .. } = self.memory {
            let control = self.raw.control();
            // Relaxed: `&mut self` orders every other thread's use before this.
            let head = control.consumers.0.tail.load(Ordering::Relaxed);
            let tail = control.producers.0.tail.load(Ordering::Relaxed);
            // SAFETY: nobody else reaches the ring any more, and what lies between was published.
            unsafe { self.raw.drop_range(head, tail) };
        }
    }
}
