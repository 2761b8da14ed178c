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
mod consumer;
mod end;
mod producer;
#[cfg(all(test, not(loom)))]
mod tests;

use std::ptr::NonNull;

use bytemuck::Pod;

pub use self::chunk::{Chunk, Reserved};
pub use self::consumer::Consumer;
use self::end::End;
pub use self::producer::Producer;
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

/// Creates a ring of `capacity` slots on the heap. Elements left in it are dropped with the last
/// of its ends.
///
/// ```
/// let (mut producer, mut consumer) = ringway::ring::spsc::ring::<u32>(4);
/// assert_eq!(producer.enqueue_burst(&[1, 2, 3, 4, 5]), 4); // burst: as many as fit
/// assert!(!producer.enqueue_bulk(&[5, 6])); // bulk: all or nothing
/// let mut out = [0; 8];
/// assert_eq!(consumer.dequeue_burst(&mut out), 4);
/// assert_eq!(out[..4], [1, 2, 3, 4]);
/// assert_eq!(consumer.dequeue_burst(&mut out), 0); // empty is a count, not an error
/// ```
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
        Producer { end: End::new(ring, start, keep()) },
        Consumer { end: End::new(ring, start, keep()) },
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

/// `len`, or the capacity if no ring holds that many: the most one call can move.
#[inline(always)]
fn at_most(len: usize, capacity: u32) -> u32 {
    len.min(capacity as usize) as u32
}
