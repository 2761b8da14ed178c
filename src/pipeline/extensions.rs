//! Values that layers hang on a connection for each other: a trace id, a priority, a user.
//! One array per kind of value, indexed by the connection's slot; nothing is hashed.

use std::any::Any;
use std::marker::PhantomData;

use crate::mem::ConnId;
use crate::time::Instant;

/// Names one kind of value, of type `T`. Got once, at start, from [`Extensions::register`].
pub struct Key<T> {
    column: usize,
    _value: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

/// The values of an lcore's connections. A value ends with its connection, or when it expires.
pub struct Extensions {
    slots: usize,
    columns: Vec<Box<dyn Any>>,
}

/// A value and what it is good for.
struct Entry<T> {
    conn: ConnId,
    expires: Option<Instant>,
    value: T,
}

type Column<T> = Box<[Option<Entry<T>>]>;

impl Extensions {
    /// Values for connections with slots below `slots`.
    pub fn new(slots: u32) -> Self {
        Self { slots: slots as usize, columns: Vec::new() }
    }

    /// Makes room for one kind of value on every connection. At start: it allocates.
    pub fn register<T: 'static>(&mut self) -> Key<T> {
        let column: Column<T> = (0..self.slots).map(|_| None).collect();
        self.columns.push(Box::new(column));
        Key { column: self.columns.len() - 1, _value: PhantomData }
    }

    #[inline]
    fn entry<T: 'static>(&mut self, conn: ConnId, key: Key<T>) -> Option<&mut Option<Entry<T>>> {
        let column = self.columns.get_mut(key.column)?.downcast_mut::<Column<T>>()?;
        column.get_mut(conn.slot() as usize)
    }

    /// Hangs `value` on `conn`, until it closes or until `expires`. Replaces what was there. `false`
    /// when the key or the connection is another lcore's.
    #[inline]
    pub fn set<T: 'static>(
        &mut self,
        conn: ConnId,
        key: Key<T>,
        value: T,
        expires: Option<Instant>,
    ) -> bool {
        let Some(entry) = self.entry(conn, key) else { return false };
        *entry = Some(Entry { conn, expires, value });
        true
    }

    /// The value on `conn`, if there is one that has not expired at `now`.
    #[inline]
    pub fn get<T: 'static>(&mut self, conn: ConnId, key: Key<T>, now: Instant) -> Option<&mut T> {
        let entry = self.entry(conn, key)?.as_mut()?;
        let alive = entry.conn == conn && entry.expires.is_none_or(|expires| now < expires);
        alive.then_some(&mut entry.value)
    }

    /// Takes the value off `conn`.
    pub fn remove<T: 'static>(&mut self, conn: ConnId, key: Key<T>, now: Instant) -> Option<T> {
        let entry = self.entry(conn, key)?.take()?;
        let alive = entry.conn == conn && entry.expires.is_none_or(|expires| now < expires);
        alive.then_some(entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_with_its_own_connection_and_type_a_8() {
        let now = Instant::from_ns(5);
        let mut extensions = Extensions::new(4);
        let (trace, name) = (extensions.register::<u64>(), extensions.register::<String>());
        let (old, new) = (ConnId::new(0, 1, 1), ConnId::new(0, 1, 2));
        assert!(extensions.set(old, trace, 77, None));
        assert!(extensions.set(old, name, "a".to_string(), None));
        assert_eq!(extensions.get(old, trace, now), Some(&mut 77));
        assert_eq!(extensions.get(new, trace, now), None, "the slot's next owner sees nothing");
        assert_eq!(extensions.remove(old, name, now), Some("a".to_string()));
        assert_eq!(extensions.get(old, name, now), None);
        assert!(!extensions.set(ConnId::new(0, 4, 0), trace, 1, None), "past the last slot");
    }

    #[test]
    fn a_value_expires_at_its_moment_and_not_before() {
        let mut extensions = Extensions::new(1);
        let key = extensions.register::<u8>();
        let conn = ConnId::new(0, 0, 0);
        extensions.set(conn, key, 1, Some(Instant::from_ns(10)));
        assert_eq!(extensions.get(conn, key, Instant::from_ns(9)), Some(&mut 1));
        assert_eq!(extensions.get(conn, key, Instant::from_ns(10)), None);
    }
}
