//! The pool: slots of a few sizes in one segment. Who may touch which slot is `slots`' business,
//! where the memory comes from `segment`'s.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use super::batch::Batch;
use super::buf::Buf;
use super::cache_index;
use super::prefetch::prefetch;
use super::segment::{Placement, Segment};
use super::slots::{SlotStats, SlotTable};
use super::span::Span;
use crate::error::{Error, Result};
use crate::limits::{
    BLOCK_BYTES, BURST_MAX, CLASS_BYTES_MAX, CLASS_SLOTS_MAX, CLASSES_MAX, DATAGRAM_HEAD_BYTES,
    POOL_AMPLE_SHARE, POOL_SHORT_SHARE, RX_RESERVE_SHARE, SLOT_BYTES_MAX, SLOT_BYTES_MIN,
    TRAIN_BYTES_MAX,
};
use crate::ring::mpmc;
use crate::sys::mapping::{Pages, Request};

/// How many slots of which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassSize {
    /// Bytes of one slot: a power of two.
    pub slot_bytes: u32,
    /// How many.
    pub slots: u32,
}

/// Slots of one size.
pub(super) struct Class {
    table: SlotTable,
    first: NonNull<u8>,
    slot_bytes: u32,
    /// Of a [`Span`] of this class, to its slot's number.
    slot_shift: u32,
    node: Option<u32>,
    /// Which of its pool's classes it is.
    index: u8,
}

impl Class {
    #[inline]
    pub(super) fn index(&self) -> usize {
        self.index.into()
    }

    #[inline]
    pub(super) fn table(&self) -> &SlotTable {
        &self.table
    }

    #[inline]
    pub(super) fn slot_bytes(&self) -> usize {
        self.slot_bytes as usize
    }

    /// How far a span of this class is shifted to be the number of its slot.
    #[inline]
    pub(super) fn slot_shift(&self) -> u32 {
        self.slot_shift
    }

    pub(super) fn numa_node(&self) -> Option<u32> {
        self.node
    }

    /// First byte of a span of this class.
    #[inline]
    pub(super) fn at(&self, span: Span) -> *mut u8 {
        debug_assert!(span.slot(self.slot_shift) < self.table.slot_count());
        // SAFETY: a span is made from a slot of this class and never leaves it, so it starts within
        // the segment.
        unsafe { self.first.as_ptr().add(span.position()) }
    }

    /// First byte of a slot of this class.
    #[inline]
    pub(super) fn slot_pointer(&self, slot: u32) -> *mut u8 {
        debug_assert!(slot < self.table.slot_count());
        // SAFETY: a buf or the receive ring owns the slot, so its number came from this class's
        // table and lies within the segment.
        unsafe { self.first.as_ptr().add(slot as usize * self.slot_bytes as usize) }
    }

    /// Takes one share of a slot away, and frees the slot with the last.
    #[inline]
    pub(super) fn release(&self, slot: u32) {
        if self.table.unshare(slot) {
            self.table.free(cache_index::current(), slot);
        }
    }
}

/// Everything a pool owns. The segment comes last, so that it is unmapped last.
struct Inner {
    classes: Box<[Class]>,
    node: Option<u32>,
    segment: Segment,
}

/// Unmaps the pool with its last handle, unless bufs are still out: their memory then stays mapped
/// until the process ends, since a mapping too many does no harm and one too few would.
struct Shared(ManuallyDrop<Inner>);

// SAFETY: the classes' tables are made for many threads and the segment is plain memory.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        let out: u32 = self.0.classes.iter().map(|class| class.table.missing()).sum();
        if out > 0 {
            tracing::error!(
                bufs = out,
                "a mempool was dropped while bufs were out; it stays mapped"
            );
            return;
        }
        // SAFETY: no slot is out, so nobody has a pointer into the classes or the segment; this is
        // the only place that drops `Inner`.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

/// Slots of a few sizes in one shared segment, for the lcores of one NUMA node.
///
/// A handle: clones name the same pool. Allocation is a stack of the calling lcore
/// ([`CacheClaim`](super::CacheClaim)) in front of a lock-free ring; it never blocks and never asks
/// the heap. An empty pool is back-pressure, which the caller counts.
///
/// ```
/// use ringway::mem::{CacheClaim, Mempool};
///
/// # fn main() -> ringway::error::Result<()> {
/// let _claim = CacheClaim::register(); // a cache for this thread; pools work without, slower
/// let pool = Mempool::small(64)?; // 64 slots of 2 KiB and 8 of 16 KiB
/// let mut buf = pool.alloc(100).expect("a fresh pool has slots");
/// assert!(buf.append(b"head:body"));
/// let head = buf.split_to(5); // two owners of one slot; no byte moves
/// assert_eq!((&*head, &*buf), (&b"head:"[..], &b"body"[..]));
/// assert!(buf.bytes_mut().is_none(), "a shared slot cannot be written to");
/// drop((head, buf));
/// assert_eq!(pool.missing(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Mempool(Arc<Shared>);

impl Mempool {
    /// Maps a segment that holds all of `sizes` on the best pages that can be had,
    /// preferably of the node that `placement` names.
    pub fn create(
        request: &Request,
        sizes: &[ClassSize],
        placement: Option<Placement<'_>>,
    ) -> Result<Self> {
        check_sizes(sizes)?;
        let node = placement.map(|placement| placement.node);
        let segment = Segment::create(request, sizes, placement)?;
        let classes = (0..sizes.len()).map(|index| class(&segment, index, node)).collect();
        Ok(Self(Arc::new(Shared(ManuallyDrop::new(Inner { classes, node, segment })))))
    }

    /// A small pool of 4 KiB pages, for tests and tools: `slots` of 2 KiB and a few of 16 KiB.
    pub fn small(slots: u32) -> Result<Self> {
        let request = Request { no_huge: true, ..Request::new("ringway-small", 0) };
        let sizes =
            [ClassSize { slot_bytes: 2048, slots }, ClassSize { slot_bytes: 16384, slots: 8 }];
        Self::create(&request, &sizes, None)
    }

    fn inner(&self) -> &Inner {
        &self.0.0
    }

    /// The smallest class whose slots hold `bytes`, while the pool lives.
    #[inline]
    fn class_for(&self, bytes: usize) -> Option<&Class> {
        self.inner().classes.iter().find(|class| class.slot_bytes() >= bytes)
    }

    #[inline]
    pub(super) fn class(&self, index: usize) -> &Class {
        &self.inner().classes[index]
    }

    /// Which of the pool's classes this is; `None`: another pool's.
    #[inline]
    pub(super) fn class_index(&self, class: NonNull<Class>) -> Option<usize> {
        self.inner().classes.iter().position(|own| NonNull::from(own) == class)
    }

    /// Asks for the line at `start` of a slot, which is about to be read.
    #[inline]
    pub(super) fn foresee(&self, index: usize, slot: u32, start: u32) {
        prefetch(self.class(index).slot_pointer(slot).wrapping_add(start as usize));
    }

    /// Whether both handles name one pool.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The memory, for a process that may see all of it, and where the slots of each class lie.
    ///
    /// # Errors
    /// When this process runs out of descriptors.
    pub fn try_clone_fd(&self) -> std::io::Result<OwnedFd> {
        self.inner().segment.try_clone_fd()
    }

    /// An empty buf with room for at least `bytes`. `None` when no slot of that size is free, or
    /// none is that large.
    #[inline]
    pub fn alloc(&self, bytes: usize) -> Option<Buf> {
        let class = self.class_for(bytes)?;
        let slot = class.table.alloc(cache_index::current())?;
        Some(Buf::from_slot(class, slot, 0, 0))
    }

    /// An empty buf of the class at `index`, to receive into; `None` when what is left of it is for replies.
    /// If receiving took that, what was received could not be answered, and so never be freed.
    #[inline]
    pub fn alloc_to_receive(&self, index: usize) -> Option<Buf> {
        if self.left_to_receive(index) == 0 {
            return None;
        }
        let class = self.class(index);
        let slot = class.table.alloc(cache_index::current())?;
        Some(Buf::from_slot(class, slot, 0, 0))
    }

    /// Slots of the class at `index` that may be received into.
    #[inline]
    pub fn left_to_receive(&self, index: usize) -> usize {
        let table = self.class(index).table();
        let reserve = table.slot_count() as usize / RX_RESERVE_SHARE;
        table.reachable(cache_index::current()).saturating_sub(reserve)
    }

    /// Bytes of a slot of the class at `index`.
    ///
    /// # Panics
    /// When there is no such class.
    #[inline]
    pub fn slot_bytes(&self, index: usize) -> usize {
        self.class(index).slot_bytes()
    }

    /// Which class datagrams are received into: the smallest whose slots hold as much as the kernel puts
    /// together at most, or, in a pool without such, the largest that are no blocks.
    pub fn train_class(&self) -> usize {
        let sizes = self.inner().classes.iter().map(Class::slot_bytes);
        let sizes = sizes.filter(|bytes| *bytes < BLOCK_BYTES as usize);
        let fitting =
            sizes.clone().position(|bytes| bytes >= DATAGRAM_HEAD_BYTES + TRAIN_BYTES_MAX);
        fitting.unwrap_or(sizes.count().saturating_sub(1))
    }

    /// Appends empty bufs with room for `bytes` each to `out`: `count`, or as many as there are
    /// slots and room in the burst; returns how many.
    pub fn alloc_burst(&self, bytes: usize, count: usize, out: &mut Batch<Buf>) -> usize {
        let Some(class) = self.class_for(bytes) else { return 0 };
        let count = count.min(out.room());
        class.table.alloc_burst(cache_index::current(), count, |slots| {
            out.extend_from(slots.iter().map(|&slot| Buf::from_slot(class, slot, 0, 0)));
        })
    }

    /// Drops all bufs of a burst, giving slots of one class back together. Bufs of other pools are
    /// dropped as well.
    pub fn free_burst(burst: &mut Batch<Buf>) {
        let cache = cache_index::current();
        let mut slots = [MaybeUninit::uninit(); BURST_MAX];
        if let Some((class, slots)) = all_unique(burst.as_slice(), &mut slots) {
            burst.drain_with(std::mem::forget);
            // SAFETY: the class stays in place while these slots are out.
            return unsafe { class.as_ref() }.table.free_burst(cache, slots);
        }
        burst.clear();
    }

    /// Largest slot, in bytes: the most that is ever contiguous.
    pub fn slot_bytes_max(&self) -> usize {
        self.inner().classes.last().map_or(0, Class::slot_bytes)
    }

    /// The sizes that it was made with.
    pub fn sizes(&self) -> Vec<ClassSize> {
        let size = |class: &Class| ClassSize {
            slot_bytes: class.slot_bytes,
            slots: class.table.slot_count(),
        };
        self.inner().classes.iter().map(size).collect()
    }

    /// The NUMA node that it prefers.
    pub fn numa_node(&self) -> Option<u32> {
        self.inner().node
    }

    /// The pages under it.
    pub fn pages(&self) -> Pages {
        self.inner().segment.pages()
    }

    /// Bytes mapped.
    pub fn bytes(&self) -> usize {
        self.inner().segment.bytes()
    }

    /// Counts of the class at `index`, smallest slots first.
    pub fn stats(&self, index: usize) -> Option<SlotStats> {
        self.inner().classes.get(index).map(|class| class.table.stats())
    }

    /// Whether few slots of the class at `index` are left: who lets others wait is to take no more
    /// than its share.
    pub fn is_short(&self, index: usize) -> bool {
        self.inner().classes.get(index).is_some_and(|class| {
            let (all, out) = (class.table.slot_count(), class.table.missing());
            (all - out) * POOL_SHORT_SHARE < all
        })
    }

    /// Whether it is not short of the class at `index`, nor will be with the next slot.
    pub fn is_ample(&self, index: usize) -> bool {
        self.inner().classes.get(index).is_none_or(|class| {
            let (all, out) = (class.table.slot_count(), class.table.missing());
            all - out >= all / POOL_SHORT_SHARE + all / POOL_AMPLE_SHARE
        })
    }

    /// Slots of all classes that are out. Exact while no thread allocates or frees; after a
    /// shutdown it is 0, or something was lost.
    pub fn missing(&self) -> u32 {
        self.inner().classes.iter().map(|class| class.table.missing()).sum()
    }
}

impl std::fmt::Debug for Mempool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mempool")
            .field("sizes", &self.sizes())
            .field("pages", &self.pages())
            .field("node", &self.numa_node())
            .finish()
    }
}

/// The slots of `bufs`, if they are of one class and each has one owner: the common case, decided
/// without a branch per buf.
#[inline]
fn all_unique<'a>(
    bufs: &[Buf],
    slots: &'a mut [MaybeUninit<u32>; BURST_MAX],
) -> Option<(NonNull<Class>, &'a [u32])> {
    let class = bufs.first()?.owner()?;
    // SAFETY: the class stays in place while the first buf's slot is out.
    let owner = unsafe { class.as_ref() };
    let (table, slot_shift) = (owner.table(), owner.slot_shift());
    let mut same = true;
    for (buf, out) in bufs.iter().zip(slots.iter_mut()) {
        same &= buf.owner() == Some(class);
        out.write(buf.span().slot(slot_shift));
    }
    let slots = &slots[..bufs.len()];
    // SAFETY: the loop wrote one slot for each buf, and a batch holds at most BURST_MAX.
    let slots = unsafe { slots.assume_init_ref() };
    (same && table.all_unique(slots)).then_some((class, slots))
}

fn class(segment: &Segment, index: usize, node: Option<u32>) -> Class {
    let layout = segment.class(index);
    let (memory, bytes) = (layout.free_ring, layout.free_ring_bytes);
    let capacity = free_ring_capacity(layout.slot_count);
    // SAFETY: the segment laid this range out for a free ring of that capacity; it is fresh and
    // nobody else knows it.
    let created = unsafe { mpmc::create_in::<u32>(memory, bytes, capacity) };
    // SAFETY: as above; `Inner` drops the class, and the ring with it, before the segment.
    let free = created.and_then(|()| unsafe { mpmc::Ring::attach(memory, bytes, Arc::new(())) });
    let free = free.expect("the segment has room for its free rings");
    // SAFETY: the segment laid out `slot_count` counts there, for this table alone, and outlives it.
    let table = unsafe { SlotTable::new(layout.counts.cast(), layout.slot_count, free) };
    let (slot_bytes, slot_shift) = (layout.slot_bytes, Span::slot_shift(layout.slot_bytes));
    Class { table, first: layout.slots, slot_bytes, slot_shift, node, index: index as u8 }
}

/// Entries of the free ring: it must be able to hold every slot.
pub(super) fn free_ring_capacity(slot_count: u32) -> usize {
    slot_count.next_power_of_two() as usize
}

pub(super) fn check_sizes(sizes: &[ClassSize]) -> Result<()> {
    let fail = |why: String| {
        Err(Error::new("lay out a mempool", why, "correct [mempool] in the configuration"))
    };
    if sizes.is_empty() || sizes.len() > CLASSES_MAX {
        return fail(format!("it has {} size classes, not 1 to {CLASSES_MAX}", sizes.len()));
    }
    for size in sizes {
        let bytes = size.slot_bytes as usize;
        if !bytes.is_power_of_two() || !(SLOT_BYTES_MIN..=SLOT_BYTES_MAX).contains(&bytes) {
            return fail(format!(
                "a slot of {bytes} bytes is no power of two from {SLOT_BYTES_MIN} to {SLOT_BYTES_MAX}"
            ));
        }
        let most = (CLASS_BYTES_MAX / u64::from(size.slot_bytes)).min(CLASS_SLOTS_MAX.into());
        if size.slots == 0 || u64::from(size.slots) > most {
            return fail(format!("a class of {} slots of {bytes} bytes", size.slots));
        }
    }
    if !sizes.is_sorted_by(|a, b| a.slot_bytes < b.slot_bytes) {
        return fail("its size classes are not in ascending order".to_string());
    }
    Ok(())
}
