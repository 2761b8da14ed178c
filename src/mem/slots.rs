//! Which slots of a pool are free, and how many share each that is not: the reference counts, the
//! free ring, and the per-lcore caches in front of it. It knows slot numbers only, no bytes, so
//! that the same code runs under loom.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::limits::{CACHE_PART, CACHE_REFILL, CACHE_SLOTS, LCORES_MAX};
use crate::ring::mpmc;
use crate::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// Index of a cache that the calling thread alone uses; `None` for threads without one.
pub type CacheIndex = Option<usize>;

/// What a pool counts, summed over its caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotStats {
    /// Slots handed out since the start.
    pub allocated: u64,
    /// Slots that came back since the start.
    pub freed: u64,
    /// Allocations that found no slot.
    pub exhausted: u64,
}

/// One lcore's stock of free slots, last in first out, so that the slot used next is the one whose
/// bytes are still in the core's own cache (DPDK's rte_mempool_cache).
struct Cache {
    /// Written by the owner alone; others read it to count.
    len: AtomicU32,
    allocated: AtomicU64,
    freed: AtomicU64,
    exhausted: AtomicU64,
    /// `slots[..len]` are free. Touched by the owner alone.
    slots: UnsafeCell<[u32; CACHE_SLOTS]>,
}

impl Cache {
    fn new() -> Self {
        Self {
            len: AtomicU32::new(0),
            allocated: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            slots: UnsafeCell::new([0; CACHE_SLOTS]),
        }
    }
}

/// Adds to a counter that only the calling thread writes: no locked instruction.
#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

/// The slots of one pool.
pub struct SlotTable {
    /// One count per slot: how many bufs share it. 1 also while the slot is free, so that a slot
    /// with one owner moves between pool and owner without a write here (as rte_mbuf does).
    counts: NonNull<AtomicU32>,
    slot_count: u32,
    free: mpmc::Ring<u32>,
    /// Most slots that one cache keeps: a small part of the pool.
    cache_limit: usize,
    caches: Box<[CachePadded<Cache>]>,
    /// Counters of the threads without a cache.
    shared: CachePadded<(AtomicU64, AtomicU64, AtomicU64)>,
}

// SAFETY: the counts are atomic, the free ring is made for many threads, and each cache is touched
// by the one thread that owns its index.
unsafe impl Send for SlotTable {}
// SAFETY: as above.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    /// A table of `slot_count` slots, all free, whose counts lie at `counts` and whose free ring
    /// is `free`.
    ///
    /// # Safety
    ///
    /// `counts` is good for `slot_count` counts for as long as the table lives, nobody else touches
    /// them, and `free` is empty.
    pub unsafe fn new(counts: NonNull<AtomicU32>, slot_count: u32, free: mpmc::Ring<u32>) -> Self {
        for slot in 0..slot_count {
            // SAFETY: `slot` is below `slot_count`.
            let count = unsafe { counts.add(slot as usize) };
            // SAFETY: the memory is the table's alone by this function's contract.
            unsafe { count.write(AtomicU32::new(1)) };
        }
        for slot in 0..slot_count {
            assert!(free.enqueue(slot).is_ok(), "the free ring holds every slot");
        }
        let caches = (0..LCORES_MAX).map(|_| CachePadded::new(Cache::new())).collect();
        let cache_limit = (slot_count as usize / CACHE_PART).clamp(1, CACHE_SLOTS);
        Self { counts, slot_count, free, cache_limit, caches, shared: Default::default() }
    }

    #[inline]
    fn count(&self, slot: u32) -> &AtomicU32 {
        debug_assert!(slot < self.slot_count);
        // SAFETY: slots reach bufs that passed `check` alone, so it is in range; the memory lives as
        // long as the table.
        let count = unsafe { self.counts.add(slot as usize) };
        // SAFETY: it was initialised by `new`.
        unsafe { count.as_ref() }
    }

    /// Whether the slot has one owner, who may then write to it.
    #[inline]
    pub fn is_unique(&self, slot: u32) -> bool {
        // Pairs with the release in `unshare`: what other owners read, they have read.
        self.count(slot).load(Ordering::Acquire) == 1
    }

    /// Whether each of `slots` has one owner: decided without a branch per slot.
    #[inline]
    pub fn all_unique(&self, slots: &[u32]) -> bool {
        slots.iter().fold(true, |all, &slot| all & self.is_unique(slot))
    }

    /// Adds an owner. The caller is one already.
    #[inline]
    pub fn share(&self, slot: u32) {
        // Relaxed: the new share reaches other threads through what passes it on.
        let owners = self.count(slot).fetch_add(1, Ordering::Relaxed);
        assert!(owners < u32::MAX / 2, "a slot is shared too often");
    }

    /// Takes an owner away; `true` when it was the last, who must then [`free`](Self::free) it.
    #[inline]
    #[must_use]
    pub fn unshare(&self, slot: u32) -> bool {
        let count = self.count(slot);
        // Acquire: pairs with the release of the owners that left before.
        if count.load(Ordering::Acquire) == 1 {
            return true;
        }
        // Release: our use of the bytes comes before the next owner's. Acquire: as above.
        if count.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        count.store(1, Ordering::Relaxed);
        true
    }

    /// Takes a free slot; `None` when there is none.
    #[inline]
    pub fn alloc(&self, cache: CacheIndex) -> Option<u32> {
        let Some(cache) = cache else { return self.alloc_uncached() };
        let cache = &self.caches[cache];
        let len = match cache.len.load(Ordering::Relaxed) {
            0 => self.refill(cache)?,
            len => len,
        };
        // SAFETY: this thread alone owns the cache, and `len - 1` is in its filled part.
        let slot = cache.slots.with(|slots| unsafe { (*slots)[len as usize - 1] });
        add(&cache.allocated, 1);
        // Relaxed: a slot that left is not home before someone frees it.
        cache.len.store(len - 1, Ordering::Relaxed);
        Some(slot)
    }

    /// Takes `count` free slots, or as many as there are; lends them to `each` in pieces, which are
    /// the caller's from then on, and returns how many that were.
    #[inline]
    pub fn alloc_burst(
        &self,
        cache: CacheIndex,
        count: usize,
        mut each: impl FnMut(&[u32]),
    ) -> usize {
        let Some(index) = cache else {
            return (0..count)
                .map_while(|_| self.alloc(None))
                .inspect(|&slot| each(&[slot]))
                .count();
        };
        let cache = &self.caches[index];
        let mut taken = 0;
        while taken < count {
            let len = match cache.len.load(Ordering::Relaxed) {
                0 => match self.refill(cache) {
                    Some(len) => len,
                    None => break,
                },
                len => len,
            } as usize;
            let piece = len.min(count - taken);
            cache.slots.with(|slots| {
                // SAFETY: this thread alone owns the cache; the range is in its filled part.
                let slots = unsafe { &*slots };
                each(&slots[len - piece..len]);
            });
            // Relaxed: as in `alloc`.
            cache.len.store((len - piece) as u32, Ordering::Relaxed);
            taken += piece;
        }
        add(&cache.allocated, taken as u64);
        taken
    }

    /// Gives a slot back whose last owner the caller was.
    #[inline]
    pub fn free(&self, cache: CacheIndex, slot: u32) {
        self.free_burst(cache, &[slot]);
    }

    /// Gives slots back whose last owner the caller was.
    #[inline]
    pub fn free_burst(&self, cache: CacheIndex, freed: &[u32]) {
        let Some(cache) = cache else { return self.free_uncached(freed) };
        let cache = &self.caches[cache];
        for freed in freed.chunks(self.batch()) {
            let mut len = cache.len.load(Ordering::Relaxed) as usize;
            if len + freed.len() > self.cache_limit {
                len = self.spill(cache, len);
            }
            cache.slots.with_mut(|slots| {
                // SAFETY: this thread alone owns the cache.
                let slots = unsafe { &mut *slots };
                slots[len..len + freed.len()].copy_from_slice(freed);
            });
            add(&cache.freed, freed.len() as u64);
            // Release: pairs with the acquire in `missing`; the last touch of the table.
            cache.len.store((len + freed.len()) as u32, Ordering::Release);
        }
    }

    /// Slots that move between a cache and the free ring, or into a cache, at a time.
    #[inline]
    fn batch(&self) -> usize {
        CACHE_REFILL.min(self.cache_limit)
    }

    /// Fetches slots from the free ring into an empty cache; returns its new length.
    #[cold]
    fn refill(&self, cache: &Cache) -> Option<u32> {
        let len = cache.slots.with_mut(|slots| {
            // SAFETY: this thread alone owns the cache.
            let slots = unsafe { &mut *slots };
            let fetched = self.free.dequeue_burst(&mut slots[..self.batch()]);
            slots[..fetched].iter().for_each(|&slot| self.check(slot));
            fetched
        });
        if len == 0 {
            add(&cache.exhausted, 1);
            return None;
        }
        Some(len as u32)
    }

    /// Gives the oldest, coldest half of a full cache to the free ring; returns its new length.
    ///
    /// The slots leave the cache before they are in the ring: [`missing`](Self::missing) may count
    /// them as out meanwhile, but never twice.
    #[cold]
    fn spill(&self, cache: &Cache, len: usize) -> usize {
        cache.slots.with_mut(|slots| {
            // SAFETY: this thread alone owns the cache.
            let slots = unsafe { &mut *slots };
            let count = self.cache_limit.div_ceil(2).max(self.batch()).min(len);
            let left = len - count;
            // First: `missing` must never count a slot twice, or a pool could go while one is out.
            // Relaxed: who sees the slots in the free ring sees this too.
            cache.len.store(left as u32, Ordering::Relaxed);
            assert_eq!(self.free.enqueue_burst(&slots[..count]), count, "a slot was freed twice");
            slots.copy_within(count..len, 0);
            left
        })
    }

    #[cold]
    fn alloc_uncached(&self) -> Option<u32> {
        let slot = self.free.dequeue().inspect(|&slot| self.check(slot));
        let (allocated, _, exhausted) = &*self.shared;
        let counter = if slot.is_some() { allocated } else { exhausted };
        counter.fetch_add(1, Ordering::Relaxed);
        slot
    }

    #[cold]
    fn free_uncached(&self, freed: &[u32]) {
        self.shared.1.fetch_add(freed.len() as u64, Ordering::Relaxed);
        assert_eq!(self.free.enqueue_burst(freed), freed.len(), "a slot was freed twice");
    }

    /// Stops a number from the free ring that is no slot of ours: the ring lies in shared memory.
    #[inline]
    fn check(&self, slot: u32) {
        assert!(slot < self.slot_count, "the free ring was overwritten: it holds slot {slot}");
    }

    /// Free slots that the caller can get at: those in the free ring and in its own cache.
    pub fn reachable(&self, cache: CacheIndex) -> usize {
        let cached = cache.map_or(0, |cache| self.caches[cache].len.load(Ordering::Relaxed));
        self.free.len() + cached as usize
    }

    /// Slots in all.
    pub fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// What was counted so far. Exact once the owners of the caches are at rest.
    pub fn stats(&self) -> SlotStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (allocated, freed, exhausted) = &*self.shared;
        let mut sum = SlotStats {
            allocated: read(allocated),
            freed: read(freed),
            exhausted: read(exhausted),
        };
        for cache in &self.caches {
            sum.allocated += read(&cache.allocated);
            sum.freed += read(&cache.freed);
            sum.exhausted += read(&cache.exhausted);
        }
        sum
    }

    /// Slots that lie neither in the free ring nor in a cache: those that are out. Exact once the
    /// owners of the caches are at rest. While slots are freed and none allocated it is never too
    /// low: at 0, whoever freed a slot has touched it and the table for the last time.
    pub fn missing(&self) -> u32 {
        // Before the caches: a slot that moves from a cache to the ring meanwhile is then missed,
        // not counted twice.
        let in_ring = self.free.len() as u32;
        // Acquire: pairs with the release in `free_burst`.
        let cached = |cache: &CachePadded<Cache>| cache.len.load(Ordering::Acquire);
        let in_caches = self.caches.iter().map(cached).sum::<u32>();
        self.slot_count.saturating_sub(in_ring + in_caches)
    }
}
