//! Objects kept for the next user instead of made anew (W-5). One per lcore: no lock, no atomic.

/// Ready objects of one kind, at most as many as it was made for.
pub struct ObjectPool<T> {
    ready: Vec<T>,
    make: fn() -> T,
}

impl<T> ObjectPool<T> {
    /// A pool that keeps up to `capacity` objects and has them all ready.
    pub fn new(capacity: usize, make: fn() -> T) -> Self {
        Self { ready: (0..capacity).map(|_| make()).collect(), make }
    }

    /// A ready object, the one put back last first; a new one where none is ready.
    #[inline]
    pub fn get(&mut self) -> T {
        self.ready.pop().unwrap_or_else(self.make)
    }

    /// Keeps `object` for the next [`get`](Self::get), as it is; drops it when the pool is full.
    #[inline]
    pub fn put(&mut self, object: T) {
        if self.ready.len() < self.ready.capacity() {
            self.ready.push(object);
        }
    }

    /// Objects that are ready.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether none is ready.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_last_in_first_out_and_never_more_than_fit() {
        let mut pool = ObjectPool::new(2, || 0);
        let (a, b, c) = (pool.get(), pool.get(), pool.get());
        assert_eq!((a, b, c, pool.len()), (0, 0, 0, 0), "an empty pool makes a new one");
        [1, 2, 3].into_iter().for_each(|object| pool.put(object));
        assert_eq!((pool.len(), pool.get(), pool.get()), (2, 2, 1), "the third was dropped");
    }
}
