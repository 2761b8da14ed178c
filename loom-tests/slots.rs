//! A pool's slots: one owner at a time, shares and the last of them, caches that spill, refill and
//! change hands. A slot's bytes are a cell of the model, so that a use by two owners, or by an owner
//! who is not ordered behind the one before, fails.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use loom::sync::Arc;
use loom::thread;
use ringway::mem::index_set::IndexSet;
use ringway::mem::slots::{CacheIndex, SlotTable};
use ringway::ring::mpmc;
use ringway::sync::{AtomicU32, UnsafeCell};

/// One step before the free ring's indices pass 2³².
const START: u32 = u32::MAX;

struct Pool {
    table: SlotTable,
    bytes: Vec<UnsafeCell<()>>,
    indices: IndexSet,
    _counts: Box<[MaybeUninit<AtomicU32>]>,
}

fn pool(slots: u32) -> Arc<Pool> {
    let mut counts = Box::new_uninit_slice(slots as usize);
    let free = mpmc::Ring::new_at(slots as usize, START);
    let first = NonNull::new(counts.as_mut_ptr()).unwrap().cast();
    // SAFETY: there are `slots` counts, which live beside the table; the ring is empty.
    let table = unsafe { SlotTable::new(first, slots, free) };
    let bytes = (0..slots).map(|_| UnsafeCell::new(())).collect();
    Arc::new(Pool { table, bytes, indices: IndexSet::default(), _counts: counts })
}

/// Fills `out` with free slots; returns how many there were.
fn alloc_burst(pool: &Pool, cache: CacheIndex, out: &mut [u32]) -> usize {
    let mut at = 0;
    pool.table.alloc_burst(cache, out.len(), |slots| {
        out[at..at + slots.len()].copy_from_slice(slots);
        at += slots.len();
    })
}

impl Pool {
    fn write(&self, slot: u32) {
        self.bytes[slot as usize].with_mut(|_| ());
    }

    fn read(&self, slot: u32) {
        self.bytes[slot as usize].with(|_| ());
    }

    fn alloc(&self, cache: CacheIndex) -> u32 {
        loop {
            if let Some(slot) = self.table.alloc(cache) {
                return slot;
            }
            thread::yield_now();
        }
    }

    /// Allocates a slot and frees it, using its bytes meanwhile.
    fn borrow(&self, cache: CacheIndex) {
        let slot = self.alloc(cache);
        self.write(slot);
        self.table.free(cache, slot);
    }

    /// Uses the bytes once more and gives up a share.
    fn leave(&self, cache: CacheIndex, slot: u32) -> bool {
        self.read(slot);
        let last = self.table.unshare(slot);
        if last {
            self.write(slot);
            self.table.free(cache, slot);
        }
        last
    }

    /// All slots are home and ready for their next owners, and the account says so.
    fn assert_whole(&self) {
        assert!((0..self.table.slot_count()).all(|slot| self.table.is_unique(slot)));
        assert_eq!(self.table.missing(), 0);
        let stats = self.table.stats();
        assert_eq!(stats.allocated, stats.freed);
    }
}

/// Runs both closures on a pool of `slots`, the second on a thread of its own.
fn both(slots: u32, here: fn(&Pool), there: fn(&Pool)) {
    crate::explore(move || {
        let pool = pool(slots);
        let far = pool.clone();
        let other = thread::spawn(move || there(&far));
        here(&pool);
        other.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: a slot handed to two owners, or to one while the last still writes, where neither has a
/// cache.
#[test]
fn a_slot_has_one_owner_without_caches() {
    both(1, |pool| pool.borrow(None), |pool| pool.borrow(None));
}

/// Hunts: the same where one thread has a cache and the other does not.
#[test]
fn a_slot_has_one_owner_with_a_cache_and_without() {
    both(
        2,
        |pool| (0..2).for_each(|_| pool.borrow(Some(0))),
        |pool| (0..2).for_each(|_| pool.borrow(None)),
    );
}

/// Hunts: the same where both have one. A cache of these pools holds one slot in two, so that each
/// second free spills.
#[test]
fn a_slot_has_one_owner_with_two_caches() {
    let burst = |pool: &Pool, cache| {
        let mut slots = [0; 2];
        let taken = alloc_burst(pool, cache, &mut slots);
        slots[..taken].iter().for_each(|&slot| pool.write(slot));
        pool.table.free_burst(cache, &slots[..taken]);
    };
    crate::explore(move || {
        let pool = pool(2);
        let far = pool.clone();
        let other = thread::spawn(move || burst(&far, Some(1)));
        burst(&pool, Some(0));
        other.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: slots that one thread allocates and another frees, lost or doubled on their way from the
/// cache that spilled to the one that refills.
#[test]
fn what_one_cache_spills_another_refills() {
    crate::explore(|| {
        let pool = pool(4);
        let mut slots = [0; 4];
        assert_eq!(alloc_burst(&pool, Some(0), &mut slots), 4);
        slots.iter().for_each(|&slot| pool.write(slot));
        let far = pool.clone();
        let other = thread::spawn(move || {
            slots.iter().for_each(|&slot| far.read(slot));
            far.table.free_burst(Some(1), &slots);
        });
        pool.borrow(Some(0));
        other.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: two owners that both, or neither, think they were the last, and a last one that gives the
/// slot away while the other still reads.
#[test]
fn of_two_owners_one_is_the_last() {
    crate::explore(|| {
        let pool = pool(1);
        let slot = pool.alloc(None);
        pool.write(slot);
        pool.table.share(slot);
        let far = pool.clone();
        let other = thread::spawn(move || far.leave(None, slot));
        let last = pool.leave(None, slot);
        assert!(last != other.join().unwrap(), "exactly one owner is the last");
        pool.borrow(None);
        pool.assert_whole();
    });
}

/// Hunts: the same with three owners, of whom the last must see what the first did through the
/// second.
#[test]
fn of_three_owners_one_is_the_last() {
    crate::explore(|| {
        let pool = pool(1);
        let slot = pool.alloc(None);
        pool.write(slot);
        let others = [0, 1].map(|_| {
            pool.table.share(slot);
            let far = pool.clone();
            thread::spawn(move || far.leave(None, slot))
        });
        let mut last = u32::from(pool.leave(None, slot));
        others.into_iter().for_each(|other| last += u32::from(other.join().unwrap()));
        assert_eq!(last, 1);
        pool.assert_whole();
    });
}

/// Hunts: an owner who writes because it is alone, while one who has just left still reads.
#[test]
fn who_is_alone_may_write() {
    crate::explore(|| {
        let pool = pool(1);
        let slot = pool.alloc(None);
        pool.write(slot);
        pool.table.share(slot);
        let far = pool.clone();
        let other = thread::spawn(move || {
            if far.table.is_unique(slot) {
                far.write(slot);
            }
            far.leave(None, slot)
        });
        let last = pool.leave(None, slot);
        assert!(last != other.join().unwrap());
        pool.assert_whole();
    });
}

/// Hunts: a slot that a third thread allocates before an owner who left early has read it.
#[test]
fn the_next_owner_comes_after_all_earlier_ones() {
    crate::explore(|| {
        let pool = pool(2);
        let slot = pool.alloc(Some(0));
        pool.write(slot);
        pool.table.share(slot);
        let [leaver, next] = [pool.clone(), pool.clone()];
        let leaver = thread::spawn(move || leaver.leave(Some(1), slot));
        let next = thread::spawn(move || next.borrow(None));
        pool.leave(Some(0), slot);
        leaver.join().unwrap();
        next.join().unwrap();
        pool.assert_whole();
    });
}

/// Whoever finds the pool whole has it to itself, as a dropped pool's last handle does.
fn take_if_whole(pool: &Pool) {
    if pool.table.missing() == 0 {
        // Before the table's own loads order anything.
        (0..pool.table.slot_count()).for_each(|slot| pool.write(slot));
        for cache in [Some(0), Some(1)] {
            let mut slots = [0; 4];
            let taken = alloc_burst(pool, cache, &mut slots);
            pool.table.free_burst(cache, &slots[..taken]);
        }
    }
}

/// Hunts: a pool unmapped while a slot is out, or while the thread that freed the last one has not
/// left the table: slots counted twice as they move from a full cache to the free ring.
#[test]
fn a_whole_pool_is_left_alone_by_a_thread_with_a_cache() {
    crate::explore(|| {
        let pool = pool(4);
        let mut slots = [0; 4];
        assert_eq!(alloc_burst(&pool, Some(0), &mut slots), 4);
        pool.table.free_burst(Some(0), &slots[..3]);
        let far = pool.clone();
        let looker = thread::spawn(move || take_if_whole(&far));
        pool.leave(Some(0), slots[3]);
        looker.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: the same, where the last slots come back straight to the free ring.
#[test]
fn a_whole_pool_is_left_alone_by_a_thread_without_a_cache() {
    crate::explore(|| {
        let pool = pool(2);
        let slots = [pool.alloc(None), pool.alloc(None)];
        let far = pool.clone();
        let looker = thread::spawn(move || take_if_whole(&far));
        slots.iter().for_each(|&slot| assert!(pool.leave(None, slot)));
        looker.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: the same, where slots that one thread allocated come back to the cache of another.
#[test]
fn a_whole_pool_is_left_alone_by_a_thread_that_was_given_its_slots() {
    crate::explore(|| {
        let pool = pool(2);
        let slots = [pool.alloc(Some(0)), pool.alloc(Some(0))];
        pool.leave(Some(0), slots[0]);
        let slots = [pool.alloc(Some(0)), slots[1]];
        let [far, last] = [pool.clone(), pool.clone()];
        let giver = thread::spawn(move || {
            slots.iter().for_each(|&slot| assert!(last.leave(Some(1), slot)));
        });
        let looker = thread::spawn(move || take_if_whole(&far));
        giver.join().unwrap();
        looker.join().unwrap();
        pool.assert_whole();
    });
}

/// Hunts: two threads with one cache, and a cache that its next owner does not see as the last one
/// left it: slots lost, doubled, or counted wrong.
#[test]
fn a_cache_changes_hands_as_it_was_left() {
    fn visit(pool: &Pool) {
        let cache = pool.indices.take();
        pool.borrow(cache);
        cache.into_iter().for_each(|index| pool.indices.give_back(index));
    }
    crate::explore(|| {
        let pool = pool(4);
        // With one index left for two threads, one of them may find none.
        assert_eq!(pool.indices.take(), Some(0));
        let far = pool.clone();
        let other = thread::spawn(move || visit(&far));
        visit(&pool);
        other.join().unwrap();
        pool.assert_whole();
    });
}
