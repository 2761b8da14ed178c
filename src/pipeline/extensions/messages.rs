//! The names of messages: which are free, and which message has each that is not.

use std::collections::VecDeque;

use super::column::Table;
use crate::mem::MessageId;

/// The messages of one lcore that have a name, and their values.
pub struct Messages {
    /// The names that are free. The one that was given back first goes out first, so that a stale
    /// name stays without a namesake for as long as possible.
    free: VecDeque<MessageId>,
    /// The message that has each slot, or `NONE`.
    open: Box<[MessageId]>,
    pub(super) values: Table,
    /// Messages that got no name because none was free.
    pub(super) refused: u64,
}

impl Messages {
    /// No slots, so no name for anyone.
    pub(super) fn new() -> Self {
        Self { free: VecDeque::new(), open: Box::new([]), values: Table::new(0), refused: 0 }
    }

    /// Makes names for `slots` messages; the second time it does nothing.
    pub(super) fn open_slots(&mut self, slots: usize) {
        if self.open.is_empty() {
            self.free = (0..slots as u32).map(MessageId::first).collect();
            self.open = vec![MessageId::NONE; slots].into();
            self.values = Table::new(slots);
        }
    }

    #[inline]
    pub(super) fn begin(&mut self) -> MessageId {
        let Some(message) = self.free.pop_front() else { return self.refuse() };
        self.open[message.slot() as usize] = message;
        message
    }

    #[cold]
    fn refuse(&mut self) -> MessageId {
        self.refused += u64::from(!self.open.is_empty());
        MessageId::NONE
    }

    #[inline]
    pub(super) fn is_open(&self, message: MessageId) -> bool {
        !message.is_none() && self.open.get(message.slot() as usize) == Some(&message)
    }

    #[inline]
    pub(super) fn end(&mut self, message: MessageId) {
        if self.is_open(message) {
            let slot = message.slot() as usize;
            self.open[slot] = MessageId::NONE;
            self.free.push_back(message.next());
            self.values.clear(slot);
        }
    }
}
