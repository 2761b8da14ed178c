//! Where parts of heads and trailers wait for the rest: few, since each holds a slot of the pool
//! that no reply can then have.

use crate::counters::Counter;
use crate::limits::SMALL_SLOT_BYTES;
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

    /// Whether it is no use to wait for a large slot: others hold them, and may keep them.
    pub fn large_are_taken(&self) -> bool {
        self.held_large >= self.large_max
    }

    /// Keeps `buf`; the caller has seen that there is room.
    pub fn put(&mut self, buf: Buf) -> StashId {
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

/// Appends `bytes` to `stash`, in a larger slot where its own is too small or shared. `false`, and
/// nothing done: no slot is free.
pub(super) fn join(cx: &mut Cx, stash: &mut Buf, bytes: &[u8]) -> bool {
    if !stash.append(bytes) {
        let Some(mut joined) = cx.alloc(stash.len() + bytes.len(), stash.conn()) else {
            return false;
        };
        let fits = joined.append(stash) && joined.append(bytes);
        assert!(fits, "the slot was allocated for both");
        *stash = joined;
    }
    cx.counters.add(Counter::HeadBytesCopied, bytes.len() as u64);
    true
}
