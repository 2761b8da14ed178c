//! A place for one value, which passes from one thread to another once. Who tells the other that it
//! is there is decided elsewhere.

use std::mem::MaybeUninit;

use crate::sync::{AtomicU8, Ordering, UnsafeCell};

/// Nothing was put in yet.
const EMPTY: u8 = 0;
/// A thread that moved the state here alone uses the value.
const BUSY: u8 = 1;
/// The value is there.
const FULL: u8 = 2;
/// It was taken: the end.
const TAKEN: u8 = 3;

/// One value on its way between threads. All of them may call all of its methods; of those that
/// take, one gets the value. Nothing blocks.
pub struct Handoff<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value moves from one thread to another, and each access is that of the one thread which
// moved the state to `BUSY`.
unsafe impl<T: Send> Sync for Handoff<T> {}

impl<T> Handoff<T> {
    /// One that waits for its value.
    pub fn empty() -> Self {
        let value = UnsafeCell::new(MaybeUninit::uninit());
        Self { state: AtomicU8::new(EMPTY), value }
    }

    /// One that holds `value`.
    pub fn full(value: T) -> Self {
        Self { state: AtomicU8::new(FULL), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    /// Puts the value in, or gives it back: there was one before.
    pub fn put(&self, value: T) -> Result<(), T> {
        // Relaxed: nobody has used the cell before.
        let claimed =
            self.state.compare_exchange(EMPTY, BUSY, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_err() {
            return Err(value);
        }
        // SAFETY: this thread moved the state to `BUSY`, so no other uses the cell.
        self.value.with_mut(|place| unsafe { place.write(MaybeUninit::new(value)) });
        // Release: pairs with the acquire in `take`, which then sees the value.
        self.state.store(FULL, Ordering::Release);
        Ok(())
    }

    /// Takes the value, where it is there and nobody else took it.
    pub fn take(&self) -> Option<T> {
        // Acquire: pairs with the release in `put`.
        self.state.compare_exchange(FULL, BUSY, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: the state was `FULL`, so the value was written; this thread moved it to `BUSY`, so no
        // other uses the cell, nor reads it again.
        let value = self.value.with(|place| unsafe { place.cast::<T>().read() });
        // Relaxed: from here on nobody uses the cell.
        self.state.store(TAKEN, Ordering::Relaxed);
        Some(value)
    }

    /// Whether the value was put in, be it taken or not.
    pub fn is_put(&self) -> bool {
        // Acquire: who hears that the value is there also sees what its thread did before.
        self.state.load(Ordering::Acquire) >= FULL
    }
}

impl<T> Drop for Handoff<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_value_is_put_once_and_taken_once() {
        let place = Handoff::empty();
        assert_eq!((place.is_put(), place.take()), (false, None));
        assert_eq!(place.put(1), Ok(()));
        assert_eq!((place.put(2), place.is_put()), (Err(2), true));
        assert_eq!((place.take(), place.take()), (Some(1), None));
        assert_eq!((place.put(3), place.is_put()), (Err(3), true));
    }

    #[test]
    fn what_nobody_took_is_dropped_with_its_place() {
        let value = Arc::new(());
        let [kept, taken] = [(); 2].map(|()| Handoff::full(value.clone()));
        drop(taken.take());
        assert_eq!(Arc::strong_count(&value), 2);
        drop((kept, taken, Handoff::<Arc<()>>::empty()));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
