//! What part of a pool's slots may wait in one place while the pool is short of them, so that who lets
//! much wait takes none from others.

use super::Mempool;
use crate::limits::{CLASSES_MAX, SHARE_FREE_PART};

/// Slots of each size class, smallest first.
pub type SlotCounts = [u32; CLASSES_MAX];

/// A bound on the slots that are held in one place.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    most: SlotCounts,
}

impl Share {
    /// No bound.
    pub const WHOLE: Self = Self { most: [u32::MAX; CLASSES_MAX] };

    /// One in `parts` of so many slots, and at least one.
    pub fn one_in(parts: u32, slots: SlotCounts) -> Self {
        Self { most: slots.map(|slots| (slots / parts.max(1)).max(1)) }
    }

    /// How many slots of the class at `index`.
    pub fn most(&self, index: usize) -> u32 {
        self.most[index]
    }

    /// The same of one class alone: whether no more slots of it are to be held.
    #[inline]
    pub fn is_exceeded_in(&self, pool: &Mempool, held: &SlotCounts, class: usize) -> bool {
        held[class] > self.most[class] && pool.is_short(class)
    }

    /// Whether who was held back because it [exceeds](Self::is_exceeded) this may go on: it holds clearly less, or the
    /// pool is clearly not short.
    #[inline]
    pub fn is_free(&self, pool: &Mempool, held: &SlotCounts) -> bool {
        (0..held.len()).all(|class| {
            let most = self.most[class];
            held[class] <= most - most.div_ceil(SHARE_FREE_PART) || pool.is_ample(class)
        })
    }

    /// Whether more is held than this of a class that `pool` is short of: it is to grow no more.
    #[inline]
    pub fn is_exceeded(&self, pool: &Mempool, held: &SlotCounts) -> bool {
        (0..held.len()).any(|class| self.is_exceeded_in(pool, held, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exceeded_by_one_more_than_it_once_the_pool_is_short() {
        let pool = Mempool::small(64).unwrap();
        let share = Share::one_in(8, [64, 0, 0, 0]);
        assert_eq!((share.most(0), share.most(1)), (8, 1));
        let mut hoard: Vec<_> = (0..32).map(|_| pool.alloc(1).unwrap()).collect();
        assert!(!share.is_exceeded(&pool, &[9, 9, 9, 9]), "half is left");
        hoard.extend(pool.alloc(1));
        assert!(share.is_exceeded(&pool, &[9, 0, 0, 0]));
        assert!(!share.is_exceeded(&pool, &[8, 9, 9, 9]), "of other sizes the pool has none");
        assert!(share.is_exceeded_in(&pool, &[9, 0, 0, 0], 0));
        assert!(!share.is_exceeded_in(&pool, &[9, 0, 0, 0], 1), "there is room in those");
        assert!(!share.is_free(&pool, &[7, 0, 0, 0]) && share.is_free(&pool, &[6, 9, 9, 9]));
        hoard.truncate(29);
        assert!(!share.is_free(&pool, &[7, 0, 0, 0]), "35 are left, and 36 are ample");
        hoard.truncate(28);
        assert!(share.is_free(&pool, &[64, 0, 0, 0]));
        assert!(!Share::WHOLE.is_exceeded(&pool, &[u32::MAX; CLASSES_MAX]));
    }
}
