//! Values by kind and by the slot of what they hang on: connections and messages alike.

use std::any::Any;

use super::Extensions;
use crate::time::Instant;

/// What values hang on. The public methods of [`Extensions`] take a connection or a message.
pub trait Owner: Copy + PartialEq + 'static {
    /// Its slot.
    fn index(self) -> usize;

    /// The values that hang on owners of its kind.
    fn table(extensions: &mut Extensions) -> &mut Table;

    /// Whether a value may be hung on it.
    fn is_open(self, extensions: &Extensions) -> bool;

    /// Whether it had its slot before `other` and so is gone.
    fn is_before(self, other: Self) -> bool;
}

/// A value and what it is good for.
pub struct Entry<T, O> {
    pub(super) owner: O,
    pub(super) expires: Option<Instant>,
    pub(super) value: T,
}

impl<T, O: Owner> Entry<T, O> {
    #[inline]
    pub(super) fn is_good(&self, owner: O, now: Instant) -> bool {
        self.owner == owner && self.expires.is_none_or(|expires| now < expires)
    }
}

type Column<T, O> = Box<[Option<Entry<T, O>>]>;

/// A column whose type of value only its key knows.
trait AnyColumn: Any {
    fn clear(&mut self, slot: usize);
}

impl<T: 'static, O: Owner> AnyColumn for Column<T, O> {
    fn clear(&mut self, slot: usize) {
        self[slot] = None;
    }
}

/// In the place of a column that was taken away.
struct Gone;

impl AnyColumn for Gone {
    fn clear(&mut self, _slot: usize) {}
}

/// The columns of one kind of owner.
pub struct Table {
    slots: usize,
    columns: Vec<Box<dyn AnyColumn>>,
    /// For whom each was made; `None`: its place is free.
    registrants: Vec<Option<u8>>,
}

impl Table {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, columns: Vec::new(), registrants: Vec::new() }
    }

    /// A column for values of type `T`, made for `registrant`, and its index.
    pub(super) fn add<O: Owner, T: 'static>(&mut self, registrant: u8) -> usize {
        let column: Column<T, O> = (0..self.slots).map(|_| None).collect();
        if let Some(free) = self.registrants.iter().position(Option::is_none) {
            self.columns[free] = Box::new(column);
            self.registrants[free] = Some(registrant);
            return free;
        }
        self.columns.push(Box::new(column));
        self.registrants.push(Some(registrant));
        self.columns.len() - 1
    }

    /// Takes away the columns that were made for `registrant`.
    pub(super) fn release(&mut self, registrant: u8) {
        for (column, made_for) in self.columns.iter_mut().zip(&mut self.registrants) {
            if *made_for == Some(registrant) {
                *column = Box::new(Gone);
                *made_for = None;
            }
        }
    }

    #[inline]
    pub(super) fn entry<T: 'static, O: Owner>(
        &mut self,
        column: usize,
        owner: O,
    ) -> Option<&mut Option<Entry<T, O>>> {
        let column: &mut dyn Any = &mut **self.columns.get_mut(column)?;
        column.downcast_mut::<Column<T, O>>()?.get_mut(owner.index())
    }

    /// Drops all values in `slot`.
    #[inline]
    pub(super) fn clear(&mut self, slot: usize) {
        self.columns.iter_mut().for_each(|column| column.clear(slot));
    }
}
