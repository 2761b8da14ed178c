//! Which per-lcore cache the calling thread owns. One number per thread, unique among the threads
//! that are alive, whatever dataplane they belong to.

use std::cell::Cell;
use std::marker::PhantomData;

use super::slots::CacheIndex;
use crate::limits::LCORES_MAX;
use crate::sync::{AtomicU64, Ordering};

const NONE: u32 = u32::MAX;

thread_local! {
    static INDEX: Cell<u32> = const { Cell::new(NONE) };
}

/// One bit per index that a thread holds.
static TAKEN: AtomicU64 = AtomicU64::new(0);

const _: () = assert!(LCORES_MAX == u64::BITS as usize, "one bit of TAKEN per cache");

/// The calling thread's claim on a cache in every mempool. It stays with the thread and is given
/// back on drop; the slots in the caches stay for the next thread that gets the index.
#[derive(Debug)]
pub struct CacheClaim {
    index: u32,
    /// The claim belongs to the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl CacheClaim {
    /// Gives the calling thread a cache of its own. `None` when it has one already, or when
    /// [`LCORES_MAX`] threads have one: pools then work without, a little slower.
    pub fn register() -> Option<Self> {
        if INDEX.get() != NONE {
            return None;
        }
        // Acquire: pairs with the release in `drop`, so that we see the caches as they were left.
        let claim =
            |taken: u64| (taken != u64::MAX).then(|| taken | 1 << (!taken).trailing_zeros());
        let before = TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim).ok()?;
        let index = (!before).trailing_zeros();
        INDEX.set(index);
        Some(Self { index, _not_send: PhantomData })
    }
}

impl Drop for CacheClaim {
    fn drop(&mut self) {
        INDEX.set(NONE);
        // Release: pairs with the acquire in `register`.
        TAKEN.fetch_and(!(1 << self.index), Ordering::Release);
    }
}

/// The calling thread's index.
#[inline]
pub(super) fn current() -> CacheIndex {
    match INDEX.get() {
        NONE => None,
        index => Some(index as usize),
    }
}
