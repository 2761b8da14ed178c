//! Values that layers hang on a connection or a message for each other: a trace id, a priority, a
//! user (A-8). One array per kind of value, indexed by the slot of its owner; nothing is hashed.

mod column;
mod messages;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use self::column::{Entry, Owner, Table};
use self::messages::Messages;
use crate::limits::MESSAGES_MAX;
use crate::mem::{ConnId, MessageId};
use crate::time::Instant;

/// Names one kind of value, of type `T`, that hangs on connections; on messages: [`MessageKey`].
/// Got once, at start, from [`Extensions::register`].
pub struct Key<T, O = ConnId> {
    column: usize,
    _value: PhantomData<fn(O) -> T>,
}

/// Names one kind of value that hangs on messages. Got once, at start, from
/// [`Extensions::register_message`].
pub type MessageKey<T> = Key<T, MessageId>;

impl<T, O> Clone for Key<T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O> Copy for Key<T, O> {}

/// The values of an lcore's connections and messages. A value ends with its owner, or when it
/// expires.
///
/// A message has a name, [`MessageId`], while somebody keeps values on it. **The chain begins it**:
/// it asks for a name with [`begin_message`](Self::begin_message) and writes it on the message's
/// bufs ([`Buf::set_message`](crate::mem::Buf::set_message)); sub-bufs carry it on. **Whoever
/// finishes the message ends it**, which is the handler once it has answered; bufs that still carry
/// the name then carry a stale one, which finds nothing. A message that nobody ends keeps its name
/// and values for as long as the lcore runs: once [`MESSAGES_MAX`] are lost so, no message gets a
/// name, and [`unnamed_messages`](Self::unnamed_messages) counts them.
///
/// ```
/// use ringway::pipeline::Extensions;
/// use ringway::time::Instant;
///
/// let (now, mut extensions) = (Instant::from_ns(0), Extensions::new(16));
/// let trace = extensions.register_message::<u64>(); // at start
///
/// let message = extensions.begin_message(); // the chain
/// extensions.set(message, trace, 77, None);
///
/// assert_eq!(extensions.get(message, trace, now), Some(&mut 77)); // the handler
/// extensions.end_message(message);
/// assert_eq!(extensions.get(message, trace, now), None);
/// ```
pub struct Extensions {
    connections: Table,
    messages: Messages,
    /// The listener whose protocol registers kinds of values now.
    registrant: u8,
}

impl Extensions {
    /// Values for connections with slots below `slots`.
    pub fn new(slots: u32) -> Self {
        Self { connections: Table::new(slots as usize), messages: Messages::new(), registrant: 0 }
    }

    /// Makes room for one kind of value on every connection. At start: it allocates.
    pub fn register<T: 'static>(&mut self) -> Key<T> {
        Key { column: self.connections.add::<ConnId, T>(self.registrant), _value: PhantomData }
    }

    /// Makes room for one kind of value on [`MESSAGES_MAX`] messages. At start: it allocates.
    pub fn register_message<T: 'static>(&mut self) -> MessageKey<T> {
        self.messages.open_slots(MESSAGES_MAX);
        Key {
            column: self.messages.values.add::<MessageId, T>(self.registrant),
            _value: PhantomData,
        }
    }

    /// What is registered from here on is for the listener at this index, and goes with it.
    pub(crate) fn register_for(&mut self, listener: u8) {
        self.registrant = listener;
    }

    /// Forgets what was registered for a listener that is gone. Its keys find nothing from here on.
    pub(crate) fn release(&mut self, listener: u8) {
        self.connections.release(listener);
        self.messages.values.release(listener);
    }

    /// A name for a message that begins. [`MessageId::NONE`], on which nothing can hang, when no
    /// kind of value is registered for messages, or when all names are taken.
    #[inline]
    pub fn begin_message(&mut self) -> MessageId {
        self.messages.begin()
    }

    /// Ends a message: its values are dropped and its name is free. One that has ended before, and
    /// `NONE`, is no error.
    #[inline]
    pub fn end_message(&mut self, message: MessageId) {
        self.messages.end(message);
    }

    /// Messages that got no name because all were taken.
    pub fn unnamed_messages(&self) -> u64 {
        self.messages.refused
    }

    #[inline]
    fn entry<T: 'static, O: Owner>(
        &mut self,
        owner: O,
        key: Key<T, O>,
    ) -> Option<&mut Option<Entry<T, O>>> {
        O::table(self).entry(key.column, owner)
    }

    /// Hangs `value` on a connection or message until that ends, or until `expires`. Replaces what
    /// was there. `false` when the owner is gone, and when it or the key is another lcore's.
    #[inline]
    pub fn set<T: 'static, O: Owner>(
        &mut self,
        owner: O,
        key: Key<T, O>,
        value: T,
        expires: Option<Instant>,
    ) -> bool {
        if !owner.is_open(self) {
            return false;
        }
        let Some(entry) = self.entry(owner, key) else { return false };
        if entry.as_ref().is_some_and(|held| owner.is_before(held.owner)) {
            return false;
        }
        *entry = Some(Entry { owner, expires, value });
        true
    }

    /// The value on `owner`, if there is one that has not expired at `now`.
    #[inline]
    pub fn get<T: 'static, O: Owner>(
        &mut self,
        owner: O,
        key: Key<T, O>,
        now: Instant,
    ) -> Option<&mut T> {
        let entry = self.entry(owner, key)?.as_mut()?;
        entry.is_good(owner, now).then_some(&mut entry.value)
    }

    /// Takes the value off `owner`.
    pub fn remove<T: 'static, O: Owner>(
        &mut self,
        owner: O,
        key: Key<T, O>,
        now: Instant,
    ) -> Option<T> {
        let entry = self.entry(owner, key)?.take_if(|entry| entry.owner == owner)?;
        entry.is_good(owner, now).then_some(entry.value)
    }
}

impl Owner for ConnId {
    #[inline]
    fn index(self) -> usize {
        self.slot() as usize
    }

    #[inline]
    fn table(extensions: &mut Extensions) -> &mut Table {
        &mut extensions.connections
    }

    #[inline]
    fn is_open(self, _extensions: &Extensions) -> bool {
        true // as far as can be told here; see `is_before`
    }

    /// An lcore gives its generations out one after the other.
    #[inline]
    fn is_before(self, other: Self) -> bool {
        (self.generation().wrapping_sub(other.generation()) as i32) < 0
    }
}

impl Owner for MessageId {
    #[inline]
    fn index(self) -> usize {
        self.slot() as usize
    }

    #[inline]
    fn table(extensions: &mut Extensions) -> &mut Table {
        &mut extensions.messages.values
    }

    #[inline]
    fn is_open(self, extensions: &Extensions) -> bool {
        extensions.messages.is_open(self)
    }

    /// The values of a message that ended are gone, so an open one never meets them.
    #[inline]
    fn is_before(self, _other: Self) -> bool {
        false
    }
}
