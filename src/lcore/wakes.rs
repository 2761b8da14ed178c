//! The connections of one listener that other threads have woken, each once, until there is room for
//! the word of it.

use std::collections::VecDeque;

use crate::mem::ConnId;

/// Connections in the order of their waking. A second wake before the first was heard is the same one,
/// so there are never more than connection slots.
#[derive(Default)]
pub(super) struct Wakes {
    /// By slot; as long as the highest slot that was ever woken.
    woken: Vec<ConnId>,
    /// Slots in which there is one.
    due: VecDeque<u32>,
}

impl Wakes {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub fn push(&mut self, conn: ConnId) {
        let slot = conn.slot() as usize;
        if slot >= self.woken.len() {
            self.woken.resize(slot + 1, ConnId::NONE);
        }
        // What another connection of the slot was woken for is nobody's any more.
        if std::mem::replace(&mut self.woken[slot], conn) == ConnId::NONE {
            self.due.push_back(slot as u32);
        }
    }

    pub fn pop(&mut self) -> Option<ConnId> {
        let slot = self.due.pop_front()?;
        Some(std::mem::replace(&mut self.woken[slot as usize], ConnId::NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_woken_again_before_it_heard_is_in_it_once() {
        let mut wakes = Wakes::default();
        let [a, b, old] = [(9, 1), (2, 5), (2, 4)].map(|(slot, n)| ConnId::new(0, slot, n));
        for conn in [a, old, a, b, a] {
            wakes.push(conn);
        }
        assert_eq!([wakes.pop(), wakes.pop(), wakes.pop()], [Some(a), Some(b), None]);
        assert!(wakes.is_empty());
        wakes.push(a);
        assert_eq!([wakes.pop(), wakes.pop()], [Some(a), None], "it can be woken again");
    }
}
