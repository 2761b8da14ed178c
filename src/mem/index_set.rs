//! Indices that are handed out and come back, one owner each. What an index is of, and that an owner
//! gives it back once, is the business of the callers.

use crate::limits::LCORES_MAX;
use crate::sync::{AtomicU64, Ordering};

const _: () = assert!(LCORES_MAX <= u64::BITS as usize, "one bit per index");

/// The indices below [`LCORES_MAX`] that are taken: one bit each.
#[derive(Debug, Default)]
pub struct IndexSet(AtomicU64);

impl IndexSet {
    /// A set with no index taken.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the lowest index that is free, if one is. What its last owner did before giving it
    /// back happens before the new owner has it.
    pub fn take(&self) -> Option<usize> {
        let lowest = |taken: u64| (!taken).trailing_zeros();
        let claim = |taken: u64| {
            let free = lowest(taken);
            (free < LCORES_MAX as u32).then(|| taken | 1 << free)
        };
        // Acquire: pairs with the release in `give_back`.
        let before = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim).ok()?;
        Some(lowest(before) as usize)
    }

    /// Gives back an index that the caller took.
    pub fn give_back(&self, index: usize) {
        // Release: pairs with the acquire in `take`.
        let before = self.0.fetch_and(!(1 << index), Ordering::Release);
        debug_assert!(before & 1 << index != 0, "an index was given back twice");
    }
}
