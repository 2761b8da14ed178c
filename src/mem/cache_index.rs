//! Which per-lcore cache the calling thread owns. One number per thread, unique among the threads
//! that are alive, whatever dataplane they belong to.

use std::cell::Cell;
use std::marker::PhantomData;

use super::index_set::IndexSet;
use super::slots::CacheIndex;

thread_local! {
    static INDEX: Cell<CacheIndex> = const { Cell::new(None) };
}

/// The indices that threads hold.
static TAKEN: IndexSet = IndexSet::new();

/// The calling thread's claim on a cache in every mempool. It stays with the thread and is given
/// back on drop; the slots in the caches stay for the next thread that gets the index.
#[derive(Debug)]
pub struct CacheClaim {
    index: usize,
    /// The claim belongs to the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl CacheClaim {
    /// Gives the calling thread a cache of its own. `None` when it has one already, or when
    /// [`LCORES_MAX`](crate::limits::LCORES_MAX) threads have one: pools then work without, a
    /// little slower.
    pub fn register() -> Option<Self> {
        if INDEX.get().is_some() {
            return None;
        }
        let index = TAKEN.take()?;
        INDEX.set(Some(index));
        Some(Self { index, _not_send: PhantomData })
    }
}

impl Drop for CacheClaim {
    fn drop(&mut self) {
        INDEX.set(None);
        TAKEN.give_back(self.index);
    }
}

/// The calling thread's index.
#[inline]
pub(super) fn current() -> CacheIndex {
    INDEX.get()
}
