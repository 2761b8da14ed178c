//! The word that work is not wanted any more.

use std::sync::Arc;

use crate::sync::{AtomicBool, Ordering};

/// Tells work in progress that nobody wants it any more (A-9). Clones are one token; any thread may cancel
/// it and ask it, which costs a load. Work looks at it as often as it can stop:
///
/// ```
/// use ringway::offload::CancelToken;
///
/// fn sum(parts: &[u64], cancel: &CancelToken) -> Option<u64> {
///     let mut total = 0u64;
///     for part in parts {
///         if cancel.is_cancelled() {
///             return None;
///         }
///         total = total.wrapping_add(*part);
///     }
///     Some(total)
/// }
///
/// let cancel = CancelToken::new();
/// assert_eq!(sum(&[1, 2], &cancel), Some(3));
/// cancel.clone().cancel();
/// assert_eq!(sum(&[1, 2], &cancel), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    flag: Arc<AtomicBool>,
    /// Cancels it as well: the lcore that the work is for has ended.
    above: Option<Arc<AtomicBool>>,
}

impl CancelToken {
    /// One that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is cancelled by `above` too.
    pub(super) fn below(above: Arc<AtomicBool>) -> Self {
        Self { flag: Arc::default(), above: Some(above) }
    }

    /// Says it; there is no way back.
    pub fn cancel(&self) {
        // Release: who hears of it also sees what the caller did before.
        self.flag.store(true, Ordering::Release);
    }

    /// Whether it was said.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // Acquire, both: pair with the release of who cancels.
        self.flag.load(Ordering::Acquire)
            || self.above.as_ref().is_some_and(|above| above.load(Ordering::Acquire))
    }
}
