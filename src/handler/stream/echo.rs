//! Every message comes back on its channel.

use std::collections::HashMap;

use super::{Out, Service};
use crate::counters::{Counter, Reason};
use crate::limits::STREAM_ECHOES_MAX;
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::pipeline::chain::stream::{MessageMeta, alloc};
use crate::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};

/// A service that sends messages back: those that came in one piece from where they lie.
#[derive(Default)]
pub struct Echo {
    /// Messages that come in pieces.
    parts: HashMap<(ConnId, u16), Buf>,
}

impl Echo {
    /// Puts a piece behind those before it; `Err`: there is no slot for it now.
    fn collect(
        &mut self,
        cx: &Cx,
        piece: Buf,
        meta: MessageMeta,
        out: &mut Out<'_>,
    ) -> Result<(), Buf> {
        let (conn, channel) = (piece.conn(), meta.channel);
        let key = (conn, channel);
        if meta.first {
            self.parts.remove(&key);
            if self.parts.len() < STREAM_ECHOES_MAX {
                let Some(whole) = alloc(cx, conn, channel, piece.len()) else { return Err(piece) };
                self.parts.insert(key, whole);
            }
        }
        let Some(whole) = self.parts.get_mut(&key) else {
            cx.drop_buf(piece, Reason::Protocol);
            return Ok(());
        };
        if !join(cx, whole, &piece, channel) {
            self.parts.remove(&key);
            cx.drop_buf(piece, Reason::Protocol);
            out.shut(conn, channel);
            return Ok(());
        }
        cx.counters.add(Counter::CopiedBytes, piece.len() as u64);
        if meta.last
            && let Some(whole) = self.parts.remove(&key)
        {
            out.send(whole);
        }
        Ok(())
    }
}

/// Puts a piece behind a message, in a larger slot where its own is too small; `false`: there is none.
fn join(cx: &Cx, whole: &mut Buf, piece: &[u8], channel: u16) -> bool {
    if whole.append(piece) {
        return true;
    }
    let (bytes, around) = (whole.len() + piece.len(), HEADROOM_BYTES + TAILROOM_BYTES);
    let most = cx.pool.slot_bytes_max().saturating_sub(around).max(bytes);
    let larger = alloc(cx, whole.conn(), channel, (2 * bytes).min(most));
    let Some(mut larger) = larger else { return false };
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
            return self.collect(cx, message, meta, out);
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
