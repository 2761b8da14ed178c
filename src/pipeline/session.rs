//! Protocol state by connection: an array indexed by slot, checked by generation.

use crate::mem::ConnId;

/// The sessions of one chain on one lcore. Looking one up is an index and a comparison.
pub struct SessionTable<S> {
    slots: Box<[Slot<S>]>,
    open: usize,
}

struct Slot<S> {
    conn: ConnId,
    session: Option<S>,
}

impl<S> SessionTable<S> {
    /// A table for connections with slots below `slots`.
    pub fn new(slots: u32) -> Self {
        let slots = (0..slots).map(|_| Slot { conn: ConnId::NONE, session: None }).collect();
        Self { slots, open: 0 }
    }

    /// Begins the session of `conn`.
    ///
    /// # Panics
    /// When the slot still has a session: its transport did not report the end of the last one.
    pub fn open(&mut self, conn: ConnId, session: S) -> &mut S {
        let slot = &mut self.slots[conn.slot() as usize];
        assert!(slot.session.is_none(), "{conn} opened over {}", slot.conn);
        slot.conn = conn;
        self.open += 1;
        slot.session.insert(session)
    }

    /// The session of `conn`, if that connection is still there.
    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut S> {
        let slot = self.slots.get_mut(conn.slot() as usize)?;
        if slot.conn == conn { slot.session.as_mut() } else { None }
    }

    /// Ends the session of `conn`.
    pub fn close(&mut self, conn: ConnId) -> Option<S> {
        let slot = self.slots.get_mut(conn.slot() as usize)?;
        if slot.conn != conn {
            return None;
        }
        let session = slot.session.take()?;
        self.open -= 1;
        Some(session)
    }

    /// Sessions that are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// The open session with the lowest slot at or above `from`.
    pub fn next_from(&mut self, from: u32) -> Option<(ConnId, &mut S)> {
        let slots = self.slots.get_mut(from as usize..)?;
        slots.iter_mut().find_map(|slot| Some((slot.conn, slot.session.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_own_connection_only() {
        let mut table = SessionTable::new(4);
        let (old, new) = (ConnId::new(0, 2, 7), ConnId::new(0, 2, 8));
        table.open(old, "old");
        assert_eq!(table.get_mut(new), None);
        assert_eq!(table.close(new), None);
        assert_eq!(table.close(old), Some("old"));
        table.open(new, "new");
        assert_eq!(table.get_mut(old), None);
        assert_eq!((table.get_mut(new).copied(), table.len()), (Some("new"), 1));
        assert_eq!(table.get_mut(ConnId::new(0, 4, 0)), None, "past the end");
    }

    #[test]
    #[should_panic(expected = "opened over")]
    fn a_slot_that_was_not_closed_cannot_be_opened() {
        let mut table = SessionTable::new(1);
        table.open(ConnId::new(0, 0, 0), ());
        table.open(ConnId::new(0, 0, 1), ());
    }
}
