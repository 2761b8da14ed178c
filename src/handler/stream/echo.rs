//! Every message comes back on its channel.

use std::collections::HashMap;

use super::{Out, Service};
use crate::counters::{Counter, Reason};
use crate::limits::STREAM_ECHOES_MAX;
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::pipeline::chain::stream::{MESSAGE, MessageMeta, alloc};
use crate::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};

/// A service that sends messages back: those that came in one piece from where they lie.
#[derive(Default)]
pub struct Echo {
    /// Messages that come in pieces.
    parts: HashMap<(ConnId, u16), Buf>,
}

impl Echo {
    /// Puts a piece behind those before it. A message that there is no room for is the last on its channel.
    fn collect(&mut self, cx: &Cx, mut piece: Buf, meta: MessageMeta, out: &mut Out<'_>) {
        let (conn, channel) = (piece.conn(), meta.channel);
        let key = (conn, channel);
        if meta.first {
            self.parts.remove(&key);
            if self.parts.len() < STREAM_ECHOES_MAX {
                piece.set_kind(MESSAGE, MessageMeta::whole(channel).to_meta());
                self.parts.insert(key, piece);
                return;
            }
            out.shut(conn, channel);
        }
        let others = self.parts.len() > 1;
        let Some(whole) = self.parts.get_mut(&key) else {
            return cx.drop_buf(piece, Reason::Protocol);
        };
        if !join(cx, whole, &piece, channel, others) {
            self.parts.remove(&key);
            cx.drop_buf(piece, Reason::Protocol);
            return out.shut(conn, channel);
        }
        cx.counters.add(Counter::CopiedBytes, piece.len() as u64);
        if meta.last
            && let Some(whole) = self.parts.remove(&key)
        {
            out.send(whole);
        }
    }
}

/// Puts a piece behind a message, in a larger slot where its own is too small or shared; `false`: there is none,
/// or the pool is short of such, and `others` hold some too.
fn join(cx: &Cx, whole: &mut Buf, piece: &[u8], channel: u16, others: bool) -> bool {
    if whole.append(piece) {
        return true;
    }
    let (bytes, around) = (whole.len() + piece.len(), HEADROOM_BYTES + TAILROOM_BYTES);
    let most = cx.pool.slot_bytes_max().saturating_sub(around).max(bytes);
    let larger = alloc(cx, whole.conn(), channel, (2 * bytes).min(most));
    let is_short = |slot: &Buf| slot.size_class().is_some_and(|class| cx.pool.is_short(class));
    let Some(mut larger) = larger.filter(|slot| !(others && is_short(slot))) else { return false };
    let fits = larger.append(whole) && larger.append(piece);
    assert!(fits, "it was allocated for them");
    *whole = larger;
    true
}

impl Service for Echo {
    fn message(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        meta: MessageMeta,
        out: &mut Out<'_>,
    ) -> Result<(), Buf> {
        if !(meta.first && meta.last) {
            self.collect(cx, message, meta, out);
            return Ok(());
        }
        out.send(message);
        Ok(())
    }

    fn torn(&mut self, _cx: &mut Cx, conn: ConnId, channel: u16) {
        self.parts.remove(&(conn, channel));
    }

    fn ended(&mut self, _cx: &mut Cx, conn: ConnId, channel: u16) {
        self.parts.remove(&(conn, channel));
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.parts.retain(|(other, _), _| *other != conn);
    }
}
