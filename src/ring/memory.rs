//! The memory under a ring: its identification, its slots, and who frees it. Which index means
//! what, and every ordering between threads, is the business of the ring above.
//!
//! Layout: a control block `C` of whole 128-byte lines that starts with [`Ident`], then the slots.
//! Under loom a shadow cell per slot follows, so that the model sees each slot access although the
//! access itself is the same raw copy as in production.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::{align_of, size_of};
use std::ptr::{self, NonNull};

use crate::ring::{AttachError, CAPACITY_MAX, LINE_BYTES};
#[cfg(loom)]
use crate::sync::UnsafeCell;
use crate::sync::{AtomicU32, Ordering};

/// A value alone on its pair of cache lines.
#[repr(C, align(128))]
pub(super) struct Line<T>(pub T);

/// What a ring says about itself; written once at creation. Atomic because a peer that shares the
/// memory can write it at any time: each word is fetched once, at attach.
#[repr(C)]
pub(super) struct Ident {
    magic: AtomicU32,
    capacity: AtomicU32,
    element_bytes: AtomicU32,
}

impl Ident {
    fn new(magic: u32, capacity: u32, element_bytes: u32) -> Self {
        Self {
            magic: AtomicU32::new(magic),
            capacity: AtomicU32::new(capacity),
            element_bytes: AtomicU32::new(element_bytes),
        }
    }
}

/// A control block: what a kind of ring keeps in front of its slots.
pub(super) trait Control: Sized {
    /// Kind and layout version of the ring.
    const MAGIC: u32;
    /// The block of an empty ring whose indices all stand at `start`.
    fn new(ident: Ident, start: u32) -> Self;
    /// The identification at the start of the block.
    fn ident(&self) -> &Ident;
}

/// A view of a ring's memory: where it is mapped here, and a private copy of its mask that no
/// peer can change. Plain data; what keeps the memory alive travels beside it.
pub(super) struct RawRing<C, T> {
    control: NonNull<C>,
    slots: NonNull<T>,
    mask: u32,
    #[cfg(loom)]
    shadows: NonNull<UnsafeCell<()>>,
}

impl<C, T> Clone for RawRing<C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, T> Copy for RawRing<C, T> {}

impl<C: Control, T> RawRing<C, T> {
    const SLOTS_OFFSET: usize = size_of::<C>().next_multiple_of(LINE_BYTES);

    /// Bytes of memory for `capacity` slots, or `None` if no ring has that capacity.
    pub fn bytes_for(capacity: usize) -> Option<usize> {
        const { assert!(align_of::<T>() <= LINE_BYTES, "elements are aligned to a line at most") };
        if !capacity.is_power_of_two() || capacity > CAPACITY_MAX {
            return None;
        }
        let end = Self::SLOTS_OFFSET.checked_add(size_of::<T>().checked_mul(capacity)?)?;
        #[cfg(loom)]
        let end = end.next_multiple_of(LINE_BYTES) + capacity * size_of::<UnsafeCell<()>>();
        Some(end)
    }

    /// Writes an empty ring whose indices all stand at `start`; the slots are left as they are.
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `bytes` bytes, and nobody else uses it meanwhile.
    pub unsafe fn create(
        memory: NonNull<u8>,
        bytes: usize,
        capacity: usize,
        start: u32,
    ) -> Result<Self, AttachError> {
        let needed = Self::bytes_for(capacity).ok_or(AttachError::Capacity)?;
        let element_bytes = u32::try_from(size_of::<T>()).map_err(|_| AttachError::ElementBytes)?;
        check_place(memory, bytes, needed)?;
        // SAFETY: `bytes_for` accepted the capacity and `check_place` the memory's size.
        let ring = unsafe { Self::view(memory, capacity as u32) };
        let ident = Ident::new(C::MAGIC, capacity as u32, element_bytes);
        // SAFETY: the block lies in the caller's exclusive memory, and `check_place` saw it aligned.
        unsafe { ring.control.write(C::new(ident, start)) };
        #[cfg(loom)]
        for slot in 0..capacity {
            // SAFETY: `bytes_for` counted one shadow per slot.
            let shadow = unsafe { ring.shadows.add(slot) };
            // SAFETY: the shadow lies in the caller's exclusive memory, aligned to a line.
            unsafe { shadow.write(UnsafeCell::new(())) };
        }
        Ok(ring)
    }

    /// Finds the ring that [`create`](Self::create) wrote, checking what it says about itself.
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `bytes` bytes for as long as the view is used.
    pub unsafe fn open(memory: NonNull<u8>, bytes: usize) -> Result<Self, AttachError> {
        check_place(memory, bytes, size_of::<C>())?;
        // SAFETY: the block fits and is aligned; it consists of atomics, so any bytes are valid.
        let control = unsafe { memory.cast::<C>().as_ref() };
        let ident = control.ident();
        // Relaxed: the ring was handed over by a channel that already orders its creation.
        if ident.magic.load(Ordering::Relaxed) != C::MAGIC {
            return Err(AttachError::NotARing);
        }
        if ident.element_bytes.load(Ordering::Relaxed) as usize != size_of::<T>() {
            return Err(AttachError::ElementBytes);
        }
        // Fetched once: a peer may change the word, but never our copy.
        let capacity = ident.capacity.load(Ordering::Relaxed);
        let needed = Self::bytes_for(capacity as usize).ok_or(AttachError::Capacity)?;
        check_place(memory, bytes, needed)?;
        // SAFETY: `bytes_for` accepted the capacity and `check_place` the memory's size.
        Ok(unsafe { Self::view(memory, capacity) })
    }

    /// # Safety
    /// `memory` holds [`bytes_for`](Self::bytes_for)`(capacity)` bytes, and `capacity` is valid.
    unsafe fn view(memory: NonNull<u8>, capacity: u32) -> Self {
        // SAFETY: the slots start inside the memory, after the control block.
        let slots = unsafe { memory.add(Self::SLOTS_OFFSET) };
        #[cfg(loom)]
        let shadows = {
            let end = Self::SLOTS_OFFSET + capacity as usize * size_of::<T>();
            // SAFETY: the shadows start inside the memory, after the slots.
            unsafe { memory.add(end.next_multiple_of(LINE_BYTES)) }.cast()
        };
        Self {
            control: memory.cast(),
            slots: slots.cast(),
            mask: capacity - 1,
            #[cfg(loom)]
            shadows,
        }
    }

    /// The shared indices.
    #[inline(always)]
    pub fn control(&self) -> &C {
        // SAFETY: every view comes from `create` or `open`, which saw a block here, and lives in a
        // ring end that keeps the memory alive.
        unsafe { self.control.as_ref() }
    }
}

impl<C, T> RawRing<C, T> {
    /// Slots in the ring.
    #[inline(always)]
    pub fn capacity(&self) -> u32 {
        // Never 2³²: `bytes_for` stops at 2³¹.
        self.mask + 1
    }

    /// The slot of `index`: in bounds for any index, because it is masked.
    #[inline(always)]
    fn slot(&self, index: u32) -> *mut T {
        // SAFETY: the masked index is below the capacity, and all slots lie in the memory.
        unsafe { self.slots.add((index & self.mask) as usize) }.as_ptr()
    }

    /// How many of `count` slots from `index` lie before the end of the memory, and how many after.
    #[inline(always)]
    fn split(&self, index: u32, count: u32) -> (usize, usize) {
        debug_assert!(count <= self.capacity());
        let first = count.min(self.capacity() - (index & self.mask));
        (first as usize, (count - first) as usize)
    }

    /// Moves one element in.
    ///
    /// # Safety
    /// The slot of `index` belongs to the caller and holds no element.
    #[inline(always)]
    pub unsafe fn write(&self, index: u32, element: T) {
        self.shadow_write(index, 1);
        // SAFETY: `slot` is in bounds and aligned; the caller owns it.
        unsafe { self.slot(index).write(element) };
    }

    /// Moves one element out.
    ///
    /// # Safety
    /// The slot of `index` belongs to the caller and holds an element, which is not read again.
    #[inline(always)]
    pub unsafe fn read(&self, index: u32) -> T {
        self.shadow_read(index, 1);
        // SAFETY: `slot` is in bounds and aligned; the caller owns it and the element in it.
        unsafe { self.slot(index).read() }
    }

    /// Moves `count` elements in from `from`: one copy, or two where the ring wraps.
    ///
    /// # Safety
    /// `from` holds `count` elements, which are not used again unless `T: Copy`; `count` is at most
    /// the capacity, and those slots from `index` on belong to the caller and hold no element.
    #[inline(always)]
    pub unsafe fn write_from(&self, index: u32, from: *const T, count: u32) {
        self.shadow_write(index, count);
        let (first, second) = self.split(index, count);
        // SAFETY: `first` slots follow within the memory; a caller's slice never overlaps them.
        unsafe { ptr::copy_nonoverlapping(from, self.slot(index), first) };
        if second > 0 {
            // SAFETY: `first < count`, and `from` holds `count`.
            let rest = unsafe { from.add(first) };
            // SAFETY: `second` is below the capacity, so it ends before the slot of `index`.
            unsafe { ptr::copy_nonoverlapping(rest, self.slots.as_ptr(), second) };
        }
    }

    /// Moves `count` elements out to `to`: one copy, or two where the ring wraps.
    ///
    /// # Safety
    /// `to` has room for `count` elements; `count` is at most the capacity, and those slots from
    /// `index` on belong to the caller and hold elements, which are not read again unless `T: Copy`.
    #[inline(always)]
    pub unsafe fn read_to(&self, index: u32, to: *mut T, count: u32) {
        self.shadow_read(index, count);
        let (first, second) = self.split(index, count);
        // SAFETY: `first` slots follow within the memory; a caller's slice never overlaps them.
        unsafe { ptr::copy_nonoverlapping(self.slot(index), to, first) };
        if second > 0 {
            // SAFETY: `first < count`, and `to` has room for `count`.
            let rest = unsafe { to.add(first) };
            // SAFETY: `second` is below the capacity, so it ends before the slot of `index`.
            unsafe { ptr::copy_nonoverlapping(self.slots.as_ptr(), rest, second) };
        }
    }

    /// The slots of `count` elements from `index` on, as up to two runs of memory. The runs are in
    /// bounds; whether they hold elements is for the caller to know.
    #[inline]
    pub fn runs(&self, index: u32, count: u32) -> (*mut [T], *mut [T]) {
        let (first, second) = self.split(index, count);
        (
            ptr::slice_from_raw_parts_mut(self.slot(index), first),
            ptr::slice_from_raw_parts_mut(self.slots.as_ptr(), second),
        )
    }

    /// Drops the elements of `[from, to)`.
    ///
    /// # Safety
    /// Those slots belong to the caller and hold elements, which are not used again.
    pub unsafe fn drop_range(&self, from: u32, to: u32) {
        let count = to.wrapping_sub(from);
        for offset in 0..if std::mem::needs_drop::<T>() { count } else { 0 } {
            // SAFETY: passed on from the caller.
            drop(unsafe { self.read(from.wrapping_add(offset)) });
        }
    }
}

#[cfg(not(loom))]
impl<C, T> RawRing<C, T> {
    /// Tells a loom model that the slots are written here.
    #[inline(always)]
    pub fn shadow_write(&self, _index: u32, _count: u32) {}

    /// Tells a loom model that the slots are read here.
    #[inline(always)]
    pub fn shadow_read(&self, _index: u32, _count: u32) {}
}

#[cfg(loom)]
impl<C, T> RawRing<C, T> {
    fn shadow(&self, index: u32) -> &UnsafeCell<()> {
        // SAFETY: the masked index is below the capacity, and there is a shadow for each slot.
        let shadow = unsafe { self.shadows.add((index & self.mask) as usize) };
        // SAFETY: `create` wrote it, and the memory is kept alive beside the view.
        unsafe { shadow.as_ref() }
    }

    /// Tells the model that the slots are written here: an access not ordered with this one fails.
    pub fn shadow_write(&self, index: u32, count: u32) {
        (0..count).for_each(|offset| self.shadow(index.wrapping_add(offset)).with_mut(|_| ()));
    }

    /// Tells the model that the slots are read here: a write not ordered with this one fails.
    pub fn shadow_read(&self, index: u32, count: u32) {
        (0..count).for_each(|offset| self.shadow(index.wrapping_add(offset)).with(|_| ()));
    }
}

fn check_place(memory: NonNull<u8>, bytes: usize, needed: usize) -> Result<(), AttachError> {
    if !memory.as_ptr().addr().is_multiple_of(LINE_BYTES) {
        return Err(AttachError::Misaligned);
    }
    if bytes < needed {
        return Err(AttachError::TooSmall);
    }
    Ok(())
}

/// Zeroed heap memory for one ring, freed on drop.
pub(super) struct HeapMemory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it is memory, owned by whoever owns the value.
unsafe impl Send for HeapMemory {}
// SAFETY: shared references give no access to the memory.
unsafe impl Sync for HeapMemory {}

impl HeapMemory {
    /// Allocates an empty ring of `capacity` slots whose indices stand at `start`.
    ///
    /// # Panics
    /// If `capacity` is not a power of two up to [`CAPACITY_MAX`].
    pub fn ring<C: Control, T>(capacity: usize, start: u32) -> (Self, RawRing<C, T>) {
        let bytes = RawRing::<C, T>::bytes_for(capacity);
        let bytes = bytes.expect("a ring's capacity is a power of two up to 2^31");
        let layout = Layout::from_size_align(bytes, LINE_BYTES).expect("a ring fits in memory");
        // SAFETY: a ring's layout holds at least its control block, so its size is not zero.
        let Some(memory) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        let memory = Self { start: memory, layout };
        // SAFETY: the allocation is ours alone and has the size that `bytes_for` asked for.
        let ring = unsafe { RawRing::create(memory.start, bytes, capacity, start) };
        (memory, ring.expect("the allocation suits the ring"))
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `ring` with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
