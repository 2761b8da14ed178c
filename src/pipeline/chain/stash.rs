//! Where parts of heads and trailers wait for the rest: few, since each holds a slot of the pool
//! that no reply can then have.

use crate::counters::Counter;
use crate::limits::{LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use crate::mem::Buf;
use crate::pipeline::Cx;

/// How many sessions may hold part of a head at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StashBounds {
    /// In slots of any size.
    pub all: u32,
    /// In slots that are larger than a small one.
    pub large: u32,
}

/// Names a stash, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StashId(u32);

impl StashId {
    pub const NONE: Self = Self(u32::MAX);
}

/// Why bytes cannot be put behind others.
pub(super) enum NoRoom {
    /// No small slot is free. Replies that are being sent hold some, and give them back.
    ForNow,
    /// No large slot is free, or the stashes have as many as they may. It is no use to wait: what
    /// holds them may be behind those bytes in the same queue.
    ForGood,
}

/// The stashes of one chain.
pub(super) struct Stashes {
    bufs: Box<[Option<Buf>]>,
    free: Vec<u32>,
    held_large: u32,
    large_max: u32,
}

fn is_large(buf: &Buf) -> bool {
    buf.capacity() > SMALL_SLOT_BYTES as usize
}

impl Stashes {
    pub fn new(bounds: StashBounds) -> Self {
        Self {
            bufs: (0..bounds.all).map(|_| None).collect(),
            free: (0..bounds.all).rev().collect(),
            held_large: 0,
            large_max: bounds.large,
        }
    }

    /// Whether another buf fits in.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Appends `bytes` to `stash`, in a larger slot where its own is too small or shared; or says why
    /// not, having done nothing.
    pub fn join(&self, cx: &mut Cx, stash: &mut Buf, bytes: &[u8]) -> Result<(), NoRoom> {
        let large = stash.len() + bytes.len() > SMALL_SLOT_BYTES as usize;
        if large && !is_large(stash) && self.held_large >= self.large_max {
            return Err(NoRoom::ForGood);
        }
        if !stash.append(bytes) {
            let joined = cx.alloc(stash.len() + bytes.len(), stash.conn());
            let mut joined = joined.ok_or(if large { NoRoom::ForGood } else { NoRoom::ForNow })?;
            let fits = joined.append(stash) && joined.append(bytes);
            assert!(fits, "the slot was allocated for both");
            *stash = joined;
        }
        cx.counters.add(Counter::HeadBytesCopied, bytes.len() as u64);
        Ok(())
    }

    /// Keeps `buf`, or a copy of it where that spares a block; the caller has seen that there is room.
    pub fn put(&mut self, cx: &Cx, buf: Buf) -> StashId {
        let buf = if buf.capacity() > LARGE_SLOT_BYTES as usize { spare(cx, buf) } else { buf };
        let index = self.free.pop().expect("room was checked");
        self.held_large += u32::from(is_large(&buf));
        self.bufs[index as usize] = Some(buf);
        StashId(index)
    }

    /// Gives the buf back and its place free; `id` is none afterwards.
    pub fn take(&mut self, id: &mut StashId) -> Option<Buf> {
        let index = std::mem::replace(id, StashId::NONE).0;
        let buf = self.bufs.get_mut(index as usize)?.take()?;
        self.held_large -= u32::from(is_large(&buf));
        self.free.push(index);
        Some(buf)
    }
}

/// What of a block waits for the rest, in a slot of its own size where there is one: of blocks there are
/// few.
#[cold]
fn spare(cx: &Cx, buf: Buf) -> Buf {
    let smaller = (buf.len() <= LARGE_SLOT_BYTES as usize).then(|| cx.alloc(buf.len(), buf.conn()));
    let Some(Some(mut copy)) = smaller else { return buf };
    let fits = copy.append(&buf);
    assert!(fits, "the slot was allocated for it");
    copy.set_message(buf.message());
    copy.set_kind(buf.kind(), buf.meta());
    cx.counters.add(Counter::HeadBytesCopied, buf.len() as u64);
    copy
}

/// How many of the next bytes go behind the first `seen`, of at most `most`: no more than a small slot
/// holds, as long as that is not full, since most of what is cut is short.
pub(super) fn portion(seen: usize, next: usize, most: usize) -> usize {
    let small = SMALL_SLOT_BYTES as usize;
    let most = if seen < small { most.min(small) } else { most };
    next.min(most.saturating_sub(seen))
}
