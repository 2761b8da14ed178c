//! The name of one message, which its bufs carry. What hangs on it, `pipeline::Extensions` knows.

use std::fmt;

use crate::limits::MESSAGES_MAX;

const SLOT_BITS: u32 = MESSAGES_MAX.trailing_zeros();

/// One message of one lcore: a slot and the generation of that slot. An id outlives its message
/// without harm: the next one in the slot has another generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct MessageId(u32);

impl MessageId {
    /// No message, or one that nothing can hang on.
    pub const NONE: Self = Self(0);

    /// The first message in `slot` (below [`MESSAGES_MAX`]).
    pub const fn first(slot: u32) -> Self {
        assert!(slot < 1 << SLOT_BITS);
        Self(1 << SLOT_BITS | slot)
    }

    /// The message that has the slot after this one. Never [`NONE`](Self::NONE); the ids of a slot
    /// come round after 2²⁰ messages.
    #[inline]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1 << SLOT_BITS) {
            // Generation 0 is left out: in slot 0 it would be NONE.
            id if id >> SLOT_BITS == 0 => Self::first(id),
            id => Self(id),
        }
    }

    /// Index into its lcore's tables.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.0 & ((1 << SLOT_BITS) - 1)
    }

    /// Whether it is [`NONE`](Self::NONE).
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.0 >> SLOT_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_slot_come_round_without_ever_being_none() {
        for slot in [0, MESSAGES_MAX as u32 - 1] {
            let mut id = MessageId::first(slot);
            for _ in 1..(1u32 << (32 - SLOT_BITS)) - 1 {
                id = id.next();
                assert!(id.slot() == slot && !id.is_none() && id != MessageId::first(slot));
            }
            assert_eq!(id.next(), MessageId::first(slot));
        }
    }
}
