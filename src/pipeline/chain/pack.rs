//! Short pieces behind each other in one slot, so that they leave in one send.

use crate::limits::SMALL_SLOT_BYTES;
use crate::mem::{Buf, Burst, ConnId};
use crate::pipeline::Cx;

/// What is short and goes to one connection, put together in a slot.
#[derive(Default)]
pub struct Pack {
    filling: Option<Buf>,
    /// An empty slot for when the pool has none, or what holds them could wait for ever behind a word that
    /// needs one.
    spare: Option<Buf>,
}

impl Pack {
    /// Has a slot in hand, if there is one.
    pub fn prepare(&mut self, cx: &Cx) {
        if self.spare.is_none() {
            self.spare = cx.pool.alloc(SMALL_SLOT_BYTES as usize);
        }
    }

    /// Gives it back.
    pub fn rest(&mut self) {
        self.spare = None;
    }

    /// A buf for `bytes` more of a connection: the one that is being filled, or a fresh one. `None`: the
    /// pool has no slot.
    #[inline]
    pub fn reserve(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        bytes: usize,
        output: &mut Burst,
    ) -> Option<&mut Buf> {
        let fits = |pack: &Buf| pack.conn() == conn && pack.tailroom() >= bytes;
        if !self.filling.as_ref().is_some_and(fits) {
            self.begin(cx, conn, bytes, output);
        }
        self.filling.as_mut()
    }

    /// Sends what was put together, and begins anew, if there is a slot.
    #[inline(never)]
    fn begin(&mut self, cx: &Cx, conn: ConnId, bytes: usize, output: &mut Burst) {
        self.flush(output);
        let fresh = cx.alloc(bytes.max(SMALL_SLOT_BYTES as usize), conn);
        self.filling = fresh.or_else(|| self.spare.take_if(|spare| spare.tailroom() >= bytes));
        if let Some(fresh) = &mut self.filling {
            fresh.set_conn(conn);
        }
    }

    /// The buf that is being filled.
    #[inline]
    pub fn filling(&mut self) -> Option<&mut Buf> {
        self.filling.as_mut()
    }

    /// Sends what was put together.
    pub fn flush(&mut self, output: &mut Burst) {
        if let Some(pack) = self.filling.take()
            && !pack.is_empty()
        {
            let pushed = output.push(pack);
            assert!(pushed.is_ok(), "room was checked");
        }
    }
}
