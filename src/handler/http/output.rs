//! Writing to the burst that goes down: small pieces behind each other in one slot, so that they
//! leave in one send.

use crate::limits::SMALL_SLOT_BYTES;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;

/// The pool has no room; the message stays where it is.
pub(super) struct Stalled;

/// Writes up to `bytes` with `encode` behind the last buf of `out`, if that is the connection's and
/// has room, or else into a fresh one. `false`: `encode` gave up.
#[inline]
pub(super) fn append(
    cx: &mut Cx,
    out: &mut Burst,
    conn: ConnId,
    bytes: usize,
    encode: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Result<bool, Stalled> {
    if let Some(last) = out.last_mut()
        && last.conn() == conn
        && last.kind() == kind::DATA
        && last.tailroom() >= bytes
        && let Some(room) = last.spare_mut()
    {
        let Some(written) = encode(room) else { return Ok(false) };
        last.grow(written);
        return Ok(true);
    }
    let mut buf = cx.alloc(bytes.max(SMALL_SLOT_BYTES as usize), conn).ok_or(Stalled)?;
    let room = buf.spare_mut().expect("a fresh buf is nobody else's");
    let Some(written) = encode(room) else { return Ok(false) };
    buf.grow(written);
    push(out, buf);
    Ok(true)
}

/// The same for bytes that are there.
pub(super) fn append_bytes(
    cx: &mut Cx,
    out: &mut Burst,
    conn: ConnId,
    bytes: &[u8],
) -> Result<(), Stalled> {
    let copy = |room: &mut [u8]| {
        room.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(bytes.len())
    };
    append(cx, out, conn, bytes.len(), copy).map(|fits| debug_assert!(fits, "it has the room"))
}

/// Says that a response ends with the last buf of `out`.
#[inline]
pub(super) fn mark_end(out: &mut Burst, conn: ConnId) {
    match out.last_mut() {
        Some(last) if last.conn() == conn && last.kind() == kind::DATA => add_meta(last, 1),
        _ => {
            let mut end = Buf::marker(conn, kind::DATA);
            add_meta(&mut end, 1);
            push(out, end);
        }
    }
}

#[inline]
pub(super) fn add_meta(buf: &mut Buf, meta: u32) {
    buf.set_kind(kind::DATA, buf.meta() + meta);
}

#[inline]
pub(super) fn push(out: &mut Burst, buf: Buf) {
    let pushed = out.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}
