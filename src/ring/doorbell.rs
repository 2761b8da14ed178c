//! The bell of a consumer that sleeps: producers ring it only while it does, and no wake-up is lost.
//! How the consumer waits (a timed wait in io_uring, poll) and what it looks for are decided
//! elsewhere.
//!
//! The race: the consumer finds nothing and decides to sleep, the producer publishes and sees nobody
//! asleep. Each side therefore writes first, then looks at what the other writes, with a
//! sequentially consistent fence between the two; at least one of them sees the other's write.
//!
//! ```text
//! consumer, SleepFlag::sleep_unless      producer, SleepFlag::ring
//!   flag = asleep                          (publish elements)
//!   fence(SeqCst)                          fence(SeqCst)
//!   is there work?  -> stay awake          flag == asleep? -> flag = awake, wake
//! ```
//!
//! ThreadSanitizer does not model fences; the protocol is held by its loom model instead. The
//! elements themselves are ordered by their ring, so a sanitizer run stays meaningful.

#[cfg(not(loom))]
mod event;
#[cfg(loom)]
mod modelled;

#[cfg(not(loom))]
pub use self::event::Doorbell;
#[cfg(loom)]
pub use self::modelled::Doorbell;
use crate::sync::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// The word that says whether a consumer sleeps; may lie in memory shared with other processes.
/// All zero bytes are a consumer that is awake.
#[repr(transparent)]
pub struct SleepFlag(AtomicU32);

impl SleepFlag {
    /// The flag of a consumer that is awake.
    pub fn new() -> Self {
        Self(AtomicU32::new(AWAKE))
    }

    /// Consumer: announces sleep, then asks `has_work` once more. Returns true if the caller may
    /// now wait for the bell; false if there is work, and then it counts as awake.
    ///
    /// `has_work` must look at the shared indices themselves, never at cached ones.
    #[must_use = "wait for the bell only when this returns true"]
    pub fn sleep_unless(&self, has_work: impl FnOnce() -> bool) -> bool {
        // Relaxed: ordered by the fence.
        self.0.store(ASLEEP, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `ring`. Either `has_work` sees what was published before
        // that fence, or that producer sees our store.
        fence(Ordering::SeqCst);
        let sleeps = !has_work();
        if !sleeps {
            self.awake();
        }
        sleeps
    }

    /// Consumer: announces that it is awake, whatever woke it.
    pub fn awake(&self) {
        // Relaxed: a producer that still sees the sleeper rings once for nothing.
        self.0.store(AWAKE, Ordering::Relaxed);
    }

    /// Producer: after publishing, calls `wake` if the consumer sleeps; returns whether it did. Of
    /// several producers that find it asleep, one calls `wake`.
    #[inline]
    pub fn ring(&self, wake: impl FnOnce()) -> bool {
        // SeqCst: pairs with the fence in `sleep_unless`.
        fence(Ordering::SeqCst);
        // Relaxed, all: ordered by the fence; what `wake` does orders the rest.
        let rings = self.0.load(Ordering::Relaxed) == ASLEEP
            && self.0.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if rings {
            wake();
        }
        rings
    }
}

impl Default for SleepFlag {
    fn default() -> Self {
        Self::new()
    }
}
