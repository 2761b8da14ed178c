//! A fixed-capacity queue of things that move together; it lives where it stands and never
//! allocates.

use std::fmt;
use std::mem::MaybeUninit;

use crate::limits::BURST_MAX;

/// Up to `N` values in order: pushed at the back, taken from the front.
///
/// A stage that stops half-way leaves the rest in place, in order. No method allocates or blocks.
///
/// ```
/// use ringway::mem::Batch;
///
/// let mut batch = Batch::<u32, 4>::new();
/// assert_eq!(batch.extend_from(0..9u32), 4); // as many as fit
/// assert_eq!(batch.push(7), Err(7)); // full: the value comes back
/// assert_eq!(batch.pop(), Some(0)); // oldest first
/// batch.unpop(0).unwrap(); // not finished: back to the front
/// let tail = batch.split_off(1);
/// assert_eq!((batch.as_slice(), tail.as_slice()), (&[0][..], &[1, 2, 3][..]));
/// ```
pub struct Batch<T, const N: usize = BURST_MAX> {
    items: [MaybeUninit<T>; N],
    /// Index of the first value. `items[start..end]` is initialised, nothing else is.
    start: usize,
    /// One past the last value; `start <= end <= N`.
    end: usize,
}

impl<T, const N: usize> Batch<T, N> {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { items: [const { MaybeUninit::uninit() }; N], start: 0, end: 0 }
    }

    /// Values in it.
    #[inline]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is nothing in it.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether a [`push`](Self::push) would be refused.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.len() == N
    }

    /// Values that it still has room for.
    #[inline]
    pub const fn room(&self) -> usize {
        N - self.len()
    }

    /// Values that fit in all: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Appends a value, or gives it back when the batch is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.end == N {
            if self.start == 0 {
                return Err(value);
            }
            self.close_gap();
        }
        self.items[self.end].write(value);
        self.end += 1;
        Ok(())
    }

    /// Appends what `make` makes, if there is room: it is put together where it stays. A value that was put together
    /// elsewhere, of small parts, is waited for before it can be moved as a whole.
    #[inline(always)]
    #[must_use]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> bool {
        if self.end == N {
            if self.start == 0 {
                return false;
            }
            self.close_gap();
        }
        self.items[self.end].write(make());
        self.end += 1;
        true
    }

    /// Moves the values to the start of the array, so that the free room is at its end.
    #[cold]
    fn close_gap(&mut self) {
        let len = self.len();
        let from = self.items[self.start..self.end].as_ptr();
        // SAFETY: `from` is good for `len` values and the array's start has room for them; they may
        // overlap. The old places count as uninitialised from the next two lines on.
        unsafe { std::ptr::copy(from, self.items.as_mut_ptr(), len) };
        self.start = 0;
        self.end = len;
    }

    /// Takes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let item = &self.items[self.start];
        // SAFETY: `start < end`, so the value is initialised; moving `start` past it gives it up.
        let value = unsafe { item.assume_init_read() };
        self.start += 1;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        Some(value)
    }

    /// Puts a value back in front of all others: the rest of one that was taken and not finished.
    /// Gives it back when the batch is full.
    pub fn unpop(&mut self, value: T) -> Result<(), T> {
        if self.start > 0 {
            self.start -= 1;
            self.items[self.start].write(value);
            return Ok(());
        }
        if self.is_full() {
            return Err(value);
        }
        self.push(value)?;
        self.as_mut_slice().rotate_right(1);
        Ok(())
    }

    /// Moves values from the front of `from` to the back of this batch, as many as fit; returns
    /// how many.
    #[inline]
    pub fn take_from<const M: usize>(&mut self, from: &mut Batch<T, M>) -> usize {
        if self.end + from.len() > N && self.start > 0 {
            self.close_gap();
        }
        let count = from.len().min(N - self.end);
        if count == 1 {
            // Alone is how most values come when there is little to do.
            return from.pop().map_or(0, |value| usize::from(self.push(value).is_ok()));
        }
        let source = from.items[from.start..from.end].as_ptr();
        let target = self.items[self.end..].as_mut_ptr();
        // SAFETY: `source` holds `count` values and `target` has room for them; the batches are
        // different objects. The index updates below hand the values over.
        unsafe { std::ptr::copy_nonoverlapping(source, target, count) };
        self.end += count;
        from.start += count;
        if from.start == from.end {
            from.start = 0;
            from.end = 0;
        }
        count
    }

    /// Appends values, as many as there is room for; returns how many. The rest is dropped with the
    /// iterator.
    #[inline]
    pub fn extend_from(&mut self, values: impl ExactSizeIterator<Item = T>) -> usize {
        if self.start > 0 {
            self.close_gap();
        }
        let count = values.len().min(self.room());
        let room = &mut self.items[self.end..self.end + count];
        let mut written = 0;
        for (item, value) in room.iter_mut().zip(values) {
            item.write(value);
            written += 1;
        }
        // Last: if `values` panics, what it gave before is leaked.
        self.end += written;
        written
    }

    /// Takes all values, oldest first.
    #[inline]
    pub fn drain_with(&mut self, mut take: impl FnMut(T)) {
        let (start, end) = (self.start, self.end);
        // Given up beforehand: if `take` panics, the rest is leaked and nothing dropped twice.
        self.start = 0;
        self.end = 0;
        for item in &self.items[start..end] {
            // SAFETY: it was initialised, and the indices above gave it up.
            take(unsafe { item.assume_init_read() });
        }
    }

    /// Moves the values from index `at` on to a new batch; all of them stay where `at` is past the
    /// end.
    pub fn split_off(&mut self, at: usize) -> Self {
        let mut tail = Self::new();
        let from = self.start + at.min(self.len());
        let count = self.end - from;
        let source = self.items[from..self.end].as_ptr();
        // SAFETY: `source` holds `count` values, `tail` has room for `N`; they do not overlap. The
        // next two lines hand the values over.
        unsafe { std::ptr::copy_nonoverlapping(source, tail.items.as_mut_ptr(), count) };
        self.end = from;
        tail.end = count;
        tail
    }

    /// The values, oldest first.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        let range = &self.items[self.start..self.end];
        // SAFETY: `items[start..end]` is initialised, and MaybeUninit<T> has the layout of T.
        unsafe { std::slice::from_raw_parts(range.as_ptr().cast(), range.len()) }
    }

    /// The values, oldest first, to change in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let range = &mut self.items[self.start..self.end];
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(range.as_mut_ptr().cast(), range.len()) }
    }

    /// The value at `index` from the front.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)
    }

    /// The newest value.
    #[inline]
    pub fn last_mut(&mut self) -> Option<&mut T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: `start < end`, so the value before `end` is initialised.
        Some(unsafe { self.items[self.end - 1].assume_init_mut() })
    }

    /// The values, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// Drops all values.
    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}

impl<T, const N: usize> Default for Batch<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Drop for Batch<T, N> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Batch<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Batch<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_batch_gives_the_value_back() {
        let mut batch = Batch::<_, 2>::new();
        batch.push(1).unwrap();
        batch.push(2).unwrap();
        assert_eq!(batch.push(3), Err(3));
        assert_eq!(batch.unpop(0), Err(0));
        assert_eq!(batch.pop(), Some(1));
        batch.push(3).unwrap();
        assert_eq!(batch.as_slice(), [2, 3]);
    }

    #[test]
    fn values_left_in_a_batch_are_dropped_once() {
        let value = Rc::new(());
        let mut batch = Batch::<_, 4>::new();
        (0..4).for_each(|_| batch.push(value.clone()).unwrap());
        let tail = batch.split_off(1);
        assert_eq!((batch.len(), tail.len(), Rc::strong_count(&value)), (1, 3, 5));
        drop((batch, tail));
        assert_eq!(Rc::strong_count(&value), 1);
    }

    proptest! {
        #[test]
        fn a_batch_does_what_a_bounded_deque_does(ops in prop::collection::vec(0u8..6, 1..400)) {
            let (mut batch, mut oracle) = (Batch::<Rc<u32>, 8>::new(), VecDeque::new());
            for (i, op) in ops.into_iter().enumerate() {
                let value = Rc::new(i as u32);
                match op {
                    0 => {
                        let fits = oracle.len() < 8;
                        prop_assert_eq!(batch.push(value.clone()).is_ok(), fits);
                        if fits { oracle.push_back(value) }
                    }
                    1 => {
                        let fits = oracle.len() < 8;
                        prop_assert_eq!(batch.push_with(|| value.clone()), fits);
                        if fits { oracle.push_back(value) }
                    }
                    2 => prop_assert_eq!(batch.pop(), oracle.pop_front()),
                    3 => {
                        let fits = oracle.len() < 8;
                        prop_assert_eq!(batch.unpop(value.clone()).is_ok(), fits);
                        if fits { oracle.push_front(value) }
                    }
                    4 => {
                        let mut other = Batch::<_, 5>::new();
                        (0..3).for_each(|_| other.push(value.clone()).unwrap());
                        let moved = batch.take_from(&mut other);
                        prop_assert_eq!(moved, 3.min(8 - oracle.len()));
                        prop_assert_eq!(other.len(), 3 - moved);
                        (0..moved).for_each(|_| oracle.push_back(value.clone()));
                    }
                    _ => {
                        let at = i % 5;
                        let tail = batch.split_off(at);
                        let expected = oracle.split_off(at.min(oracle.len()));
                        prop_assert!(tail.iter().eq(expected.iter()));
                    }
                }
                prop_assert!(batch.iter().eq(oracle.iter()));
            }
        }
    }
}
