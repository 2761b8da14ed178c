//! What both ends of an spsc ring do alike: each moves an index of its own and stays behind the
//! limit that its peer's index sets. What happens to the slots in between is not here.

use std::ptr::NonNull;

use bytemuck::Pod;

use crate::ring::AttachError;
use crate::ring::spsc::{Indices, Keep, Raw};
use crate::sync::{AtomicU32, KeepAlive, Ordering};

/// One end: the one that fills, or the one that empties.
pub(super) struct End<T, const FILLS: bool> {
    pub ring: Raw<T>,
    /// Our index: the truth of which the shared word is the published copy.
    pub index: u32,
    /// Where our slots stop, as far as the peer's index was seen: there if we empty, a capacity
    /// further if we fill. `limit - index` never exceeds the capacity.
    limit: u32,
    /// Slots were staged since the peer was last told of those.
    staged: bool,
    faulted: bool,
    _keep: Keep<T>,
}

impl<T, const FILLS: bool> End<T, FILLS> {
    /// An end of a ring that is empty at `start`.
    pub fn new(ring: Raw<T>, start: u32, keep: Keep<T>) -> Self {
        let limit = start.wrapping_add(reach::<T, FILLS>(&ring));
        Self { ring, index: start, limit, staged: false, faulted: false, _keep: keep }
    }

    /// Opens the ring in `memory` and fetches each index once.
    ///
    /// # Safety
    /// As for [`Producer::attach`](super::Producer::attach).
    pub unsafe fn attach(
        memory: NonNull<u8>,
        bytes: usize,
        keep: KeepAlive,
    ) -> Result<Self, AttachError>
    where
        T: Pod,
    {
        // SAFETY: passed on from the caller.
        let ring = unsafe { Raw::<T>::open(memory, bytes) }?;
        // Acquire, both: an end takes over slots that its peer, or its own predecessor, released with
        // the store in `publish`.
        let head = ring.control().head.0.load(Ordering::Acquire);
        let tail = ring.control().tail.0.load(Ordering::Acquire);
        if tail.wrapping_sub(head) > ring.capacity() {
            return Err(AttachError::Indices);
        }
        let (index, peer) = if FILLS { (tail, head) } else { (head, tail) };
        let limit = peer.wrapping_add(reach::<T, FILLS>(&ring));
        let keep = Keep::Outside { _owner: keep };
        Ok(Self { ring, index, limit, staged: false, faulted: false, _keep: keep })
    }

    /// The words of our own index and of the peer's.
    #[inline(always)]
    fn words(&self) -> (&AtomicU32, &AtomicU32) {
        let Indices { head, tail, .. } = self.ring.control();
        if FILLS { (&tail.0, &head.0) } else { (&head.0, &tail.0) }
    }

    /// Slots that are ours now, by the peer's own word; zero for ever after a peer fault.
    pub fn count(&self) -> usize {
        // Relaxed: a count only; whoever uses the slots acquires them in `refresh`.
        let peer = self.words().1.load(Ordering::Relaxed);
        let count = peer.wrapping_add(reach::<T, FILLS>(&self.ring)).wrapping_sub(self.index);
        if self.faulted || count > self.ring.capacity() { 0 } else { count as usize }
    }

    /// Whether the peer's word is another than it is when nothing is ours.
    #[inline]
    pub fn peer_moved(&self) -> bool {
        // Relaxed: a hint only; whoever uses the slots acquires them in `refresh`.
        let peer = self.words().1.load(Ordering::Relaxed);
        peer.wrapping_add(reach::<T, FILLS>(&self.ring)) != self.index
    }

    /// Whether the peer wrote an impossible index.
    #[inline]
    pub fn faulted(&self) -> bool {
        self.faulted
    }

    /// How many of `wanted` slots are ours, asking the peer only when what was last seen of its
    /// index does not cover them.
    #[inline(always)]
    pub fn slots(&mut self, wanted: u32) -> u32 {
        let ours = self.limit.wrapping_sub(self.index);
        if ours >= wanted { wanted } else { self.refresh().min(wanted) }
    }

    #[inline]
    fn refresh(&mut self) -> u32 {
        let ours = self.limit.wrapping_sub(self.index);
        if !self.faulted {
            // Acquire: pairs with the release in the peer's `publish`; its use of the slots happens
            // before ours.
            let peer = self.words().1.load(Ordering::Acquire);
            let limit = peer.wrapping_add(reach::<T, FILLS>(&self.ring));
            // The peer can only have given us slots of its own: anything else is a distance beyond
            // the capacity or an index that ran backwards.
            self.faulted = limit.wrapping_sub(self.limit) > self.ring.capacity() - ours;
            self.limit = limit;
        }
        if self.faulted {
            self.limit = self.index;
        }
        self.limit.wrapping_sub(self.index)
    }

    /// Is done with the next slot, which the peer gets with the next [`publish`](Self::publish) or
    /// [`publish_staged`](Self::publish_staged).
    #[inline(always)]
    pub fn stage(&mut self) {
        self.index = self.index.wrapping_add(1);
        self.staged = true;
    }

    /// Gives what was staged to the peer. Without any the shared line is left alone.
    #[inline(always)]
    pub fn publish_staged(&mut self) {
        if self.staged {
            self.staged = false;
            self.publish(0);
        }
    }

    /// Gives the next `count` slots to the peer, and those that were staged.
    #[inline(always)]
    pub fn publish(&mut self, count: u32) {
        self.index = self.index.wrapping_add(count);
        // Release: pairs with the acquire in the peer's `refresh`; our use of the slots happens
        // before its own.
        self.words().0.store(self.index, Ordering::Release);
    }
}

/// How far our slots go beyond the peer's index.
#[inline(always)]
fn reach<T, const FILLS: bool>(ring: &Raw<T>) -> u32 {
    if FILLS { ring.capacity() } else { 0 }
}
