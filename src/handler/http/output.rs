//! Writing to the burst that goes down: small pieces behind each other in one slot, so that they
//! leave in one send.

use crate::limits::SMALL_SLOT_BYTES;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;

/// The pool has no room; the message stays where it is.
pub(super) struct Stalled;

/// The last buf of `out`, if that is the connection's and has room for `bytes`, or else a fresh one
/// behind it. The last may be shared, and then cannot be written to.
#[inline(always)]
pub(super) fn tail<'a>(
    cx: &mut Cx,
    out: &'a mut Burst,
    conn: ConnId,
    bytes: usize,
) -> Result<&'a mut Buf, Stalled> {
    let fits = out.last_mut().is_some_and(|last| {
        last.conn() == conn && last.kind() == kind::DATA && last.tailroom() >= bytes
    });
    if !fits {
        push(out, fresh(cx, conn, bytes)?);
    }
    Ok(out.last_mut().expect("it was just seen, or pushed"))
}

#[inline(always)]
fn fresh(cx: &mut Cx, conn: ConnId, bytes: usize) -> Result<Buf, Stalled> {
    cx.alloc(bytes.max(SMALL_SLOT_BYTES as usize), conn).ok_or(Stalled)
}

/// Writes up to `bytes` with `encode` to the [`tail`], or a fresh one where that is shared. `false`: `encode` gave up.
#[inline]
pub(super) fn append(
    cx: &mut Cx,
    out: &mut Burst,
    conn: ConnId,
    bytes: usize,
    encode: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Result<bool, Stalled> {
    if !tail(cx, out, conn, bytes)?.is_unique() {
        push(out, fresh(cx, conn, bytes)?);
    }
    let tail = out.last_mut().expect("it was just seen, or pushed");
    Ok(tail.fill(encode).is_some())
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
