//! What passes between a mempool and the kernel: the ring of buffers lent for receiving, and sends
//! from bufs. The one owner of an lcore's io_uring.

use std::time::Duration;

use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{opcode, squeue};

use super::buf::Buf;
use super::cache_index;
use super::mempool::{Class, Mempool};
use crate::error::{Error, Result};
use crate::limits::{GATHER_MAX, RX_LENT_SHARE, RX_RESERVE_SHARE, SQ_ENTRIES};
use crate::sync::{AtomicU16, Ordering};
use crate::sys::mapping::{Mapping, Request};
use crate::sys::uring::{Cqe, Options, Uring};

/// The ids of buffers in the large ring have this bit, so that a completion tells its ring.
const LARGE_ID: u16 = 1 << 15;
const PBUF_RING_INC: u16 = 2;
const CQE_F_BUF_MORE: u32 = 1 << 4;
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;

/// How an lcore receives.
#[derive(Debug, Clone, Copy)]
pub struct RxOptions {
    /// Small slots that the kernel holds at a time: a power of two.
    pub slots: u16,
    /// Large slots that the kernel holds at a time: a power of two.
    pub large_slots: u16,
    /// Let the kernel fill one slot with several receives (`IOU_PBUF_RING_INC`).
    pub incremental: bool,
    /// Let one completion fill several slots (`IORING_RECVSEND_BUNDLE`).
    pub bundle: bool,
}

/// An io_uring with the pool memory that it reads and writes.
pub struct UringIo {
    ring: Uring,
    /// Buffer groups 0 and 1: slots of the pool's first and second class.
    rx: [RxRing; 2],
    arena: Arena,
    options: RxOptions,
}

impl UringIo {
    /// Sets up the ring of the calling thread and lends it slots of `pool`'s two smallest classes.
    pub fn create(options: &Options, rx: RxOptions, pool: &Mempool) -> Result<Self> {
        let mut ring = Uring::create(options)?;
        let mut rings =
            [RxRing::create(0, rx.slots, pool)?, RxRing::create(1, rx.large_slots, pool)?];
        for rx_ring in &mut rings {
            rx_ring.register(&mut ring, rx.incremental)?;
            rx_ring.replenish();
        }
        Ok(Self { ring, rx: rings, arena: Arena::new(), options: rx })
    }

    /// The ring, for operations that touch no memory.
    #[inline]
    pub fn ring(&mut self) -> &mut Uring {
        &mut self.ring
    }

    /// The ring, to ask.
    pub fn ring_ref(&self) -> &Uring {
        &self.ring
    }

    /// Receives into lent slots, small or large, until it ends or is cancelled.
    #[inline]
    pub fn recv_multi(&mut self, file: u32, large: bool, user_data: u64) {
        self.ring.recv_multi(file, large.into(), self.options.bundle, user_data);
    }

    /// Bytes of a slot that is received into.
    #[inline]
    pub fn rx_slot_bytes(&self, large: bool) -> usize {
        self.rx[usize::from(large)].slot_bytes
    }

    /// Turns a receive completion into bufs, in order; each goes to `each`.
    #[inline]
    pub fn take_received(&mut self, cqe: &Cqe, mut each: impl FnMut(Buf)) {
        let (Some(mut id), Ok(mut bytes)) = (cqe.buffer_id(), usize::try_from(cqe.result)) else {
            return;
        };
        let more = cqe.flags & CQE_F_BUF_MORE != 0;
        let rx = &mut self.rx[usize::from(id & LARGE_ID != 0)];
        id &= !LARGE_ID;
        while bytes > 0 {
            let room = rx.room(id);
            let taken = bytes.min(room);
            each(rx.take(id, taken, more && taken == bytes));
            bytes -= taken;
            id = rx.next(id);
        }
    }

    /// Lends the kernel fresh slots for those that came back filled.
    #[inline]
    pub fn replenish(&mut self) {
        self.rx.iter_mut().for_each(RxRing::replenish);
    }

    /// Small slots that the kernel holds: at 0, receives end with `ENOBUFS` until bufs are freed.
    pub fn rx_lent(&self) -> usize {
        self.rx[0].lent
    }

    /// Sends the bytes of `bufs` (at most [`GATHER_MAX`] of them) in one operation, whose
    /// completion's result is the number of bytes sent. Returns the bytes that it will send; 0 when
    /// the kernel takes no operations now and the caller must try later.
    ///
    /// The caller keeps the bufs until the completion, or their slots' next owners' bytes go out.
    pub fn send<'a>(
        &mut self,
        file: u32,
        mut bufs: impl Iterator<Item = &'a Buf>,
        user_data: u64,
    ) -> usize {
        let Some(first) = bufs.next() else { return 0 };
        let Some(second) = bufs.next() else {
            let entry = opcode::Send::new(Fixed(file), first.as_ptr(), first.len() as u32);
            let entry = entry.flags(SEND_FLAGS).build().user_data(user_data);
            // SAFETY: the bytes lie in a pool that `rx` keeps mapped for as long as this ring is;
            // the caller keeps the slot.
            unsafe { self.ring.push(entry) };
            return first.len();
        };
        if !self.arena.has_room() && !self.empty_arena() {
            return 0;
        }
        let bufs = [first, second].into_iter().chain(bufs).take(GATHER_MAX);
        let (entry, bytes) = self.arena.gather(file, bufs);
        // SAFETY: as above for the bytes; the vectors stay until the kernel has copied them
        // (`empty_arena`).
        unsafe { self.ring.push(entry.user_data(user_data)) };
        bytes
    }

    /// Submits, so that the kernel has copied all vectors, and starts the arena anew.
    #[cold]
    fn empty_arena(&mut self) -> bool {
        let _ = self.ring.enter();
        self.after_submit();
        self.arena.has_room()
    }

    /// To be called after an enter: vectors that the kernel has copied make room.
    #[inline]
    pub fn after_submit(&mut self) {
        if !self.arena.is_empty() && self.ring.unsubmitted() == 0 {
            self.arena.clear();
        }
    }
}

impl Drop for UringIo {
    fn drop(&mut self) {
        // A slot that is filled meanwhile stays with its ring, which gives it back below.
        let quiet = self.ring.quiesce(Duration::from_secs(2), |_| ());
        for rx in &mut self.rx {
            if quiet && self.ring.unregister_buffers(rx.group).is_ok() {
                rx.take_back();
            } else {
                // The kernel may still write: the slots stay out, and so the pool stays mapped.
                tracing::error!("io_uring did not let go of its buffers; their slots stay lent");
            }
        }
    }
}

/// The ring of provided buffers (io_uring_register(2), IORING_REGISTER_PBUF_RING) and which slot
/// stands behind each buffer id. The id of a buffer is its place in the ring.
struct RxRing {
    /// The buffer group, which is the index of the pool's class too.
    group: u16,
    /// The entries that the kernel reads: one page-aligned array.
    entries: Mapping,
    slots: Box<[Lent]>,
    tail: u16,
    /// Slots in the kernel's hands.
    lent: usize,
    pool: Mempool,
    slot_bytes: usize,
    /// Free slots that are not lent.
    reserve: usize,
}

/// A slot lent to the kernel and how far it is filled.
#[derive(Clone, Copy, Default)]
struct Lent {
    slot: Option<u32>,
    used: u32,
}

impl RxRing {
    fn create(group: u16, slots: u16, pool: &Mempool) -> Result<Self> {
        assert!(slots.is_power_of_two() && slots < LARGE_ID);
        let bytes = usize::from(slots) * size_of::<BufRingEntry>();
        let request = Request { no_huge: true, ..Request::new("ringway-rx-ring", bytes) };
        Ok(Self {
            group,
            entries: Mapping::create(&request, |_| ())?,
            slots: vec![Lent::default(); slots.into()].into(),
            tail: 0,
            lent: 0,
            pool: pool.clone(),
            slot_bytes: pool.class(group.into()).slot_bytes(),
            reserve: pool.class(group.into()).table().slot_count() as usize / RX_RESERVE_SHARE,
        })
    }

    fn register(&mut self, ring: &mut Uring, incremental: bool) -> Result<()> {
        let flags = if incremental { PBUF_RING_INC } else { 0 };
        let (memory, entries) = (self.entries.as_mut_ptr(), self.slots.len() as u16);
        // SAFETY: the entries are page-aligned and `UringIo` unregisters them before they go; the
        // slots put into them are lent until then.
        let registered = unsafe { ring.register_buffers(memory, entries, self.group, flags) };
        registered.map_err(|why| {
            Error::new("register the receive buffers", why, "use Linux 6.1 or newer")
        })
    }

    #[inline]
    fn class(&self) -> &Class {
        self.pool.class(self.group.into())
    }

    #[inline]
    fn mask(&self) -> u16 {
        (self.slots.len() - 1) as u16
    }

    #[inline]
    fn next(&self, id: u16) -> u16 {
        id.wrapping_add(1) & self.mask()
    }

    /// Bytes of the slot behind `id` that are not filled yet.
    #[inline]
    fn room(&self, id: u16) -> usize {
        self.slot_bytes - self.slots[usize::from(id)].used as usize
    }

    /// The next `bytes` that the kernel wrote behind `id`. With `more` it keeps the slot.
    #[inline]
    fn take(&mut self, id: u16, bytes: usize, more: bool) -> Buf {
        let lent = &mut self.slots[usize::from(id)];
        let slot = lent.slot.expect("the kernel fills only what was lent");
        let class = self.pool.class(self.group.into());
        let start = lent.used as usize;
        if more {
            class.table().share(slot);
            lent.used += bytes as u32;
        } else {
            *lent = Lent::default();
            self.lent -= 1;
        }
        Buf::from_slot(class, slot, start, bytes)
    }

    /// Puts free slots, the most recently used first, into every empty place in ring order.
    #[inline]
    fn replenish(&mut self) {
        if self.lent == self.slots.len() {
            return;
        }
        let cache = cache_index::current();
        // The last slots are for replies: if receiving took them, what was received could not be
        // answered, and so never be freed.
        let spare = self.class().table().reachable(cache).saturating_sub(self.reserve);
        // A part of what is left at a time: who is to receive no more has some under way, and others are
        // to find slots behind that.
        let part = (self.lent + spare).div_ceil(RX_LENT_SHARE);
        let most = self.slots.len().min(part).saturating_sub(self.lent).min(spare);
        let mut wanted = 0;
        while wanted < most {
            let place = usize::from(self.tail.wrapping_add(wanted as u16) & self.mask());
            // Completions may come out of order: stop before a place that is still lent.
            if self.slots[place].slot.is_some() {
                break;
            }
            let class = self.class();
            let Some(slot) = class.table().alloc(cache) else { break };
            self.write_entry(place, class.slot_pointer(slot));
            self.slots[place] = Lent { slot: Some(slot), used: 0 };
            wanted += 1;
        }
        self.lent += wanted;
        self.publish(wanted as u16);
    }

    fn write_entry(&self, place: usize, pointer: *mut u8) {
        let entries = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `place` is below the number of entries that the mapping holds.
        let entry = unsafe { entries.add(place) };
        // SAFETY: the kernel does not read the entry until the tail passes it, and setting its
        // three fields leaves the tail, which overlays entry 0's reserved field, alone.
        let entry = unsafe { &mut *entry };
        entry.set_addr(pointer as u64);
        entry.set_len(self.slot_bytes as u32);
        entry.set_bid(place as u16 | if self.group == 0 { 0 } else { LARGE_ID });
    }

    fn publish(&mut self, added: u16) {
        if added == 0 {
            return;
        }
        self.tail = self.tail.wrapping_add(added);
        // SAFETY: the mapping starts with entry 0, where the tail lives.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_mut_ptr().cast()) };
        // SAFETY: the tail is an aligned u16 that only we write.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: pairs with the kernel's acquire of the tail; the entries come first.
        tail.store(self.tail, Ordering::Release);
    }

    /// Gives every lent slot back to the pool. Only once the kernel writes no more.
    fn take_back(&mut self) {
        for index in 0..self.slots.len() {
            if let Some(slot) = self.slots[index].slot.take() {
                self.class().release(slot);
            }
        }
        self.lent = 0;
    }
}

/// Message headers and vectors of gathered sends, until the kernel has copied them at submission
/// (IORING_FEAT_SUBMIT_STABLE).
struct Arena {
    headers: Box<[libc::msghdr]>,
    vectors: Box<[libc::iovec]>,
    headers_used: usize,
    vectors_used: usize,
}

// SAFETY: the pointers in it are only ever read by the kernel, between `gather` and the submission.
unsafe impl Send for Arena {}

impl Arena {
    fn new() -> Self {
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let headers = SQ_ENTRIES as usize;
        Self {
            headers: vec![header; headers].into(),
            vectors: vec![vector; 4 * headers.max(GATHER_MAX)].into(),
            headers_used: 0,
            vectors_used: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.headers_used == 0
    }

    fn has_room(&self) -> bool {
        self.headers_used < self.headers.len()
            && self.vectors_used + GATHER_MAX <= self.vectors.len()
    }

    fn clear(&mut self) {
        self.headers_used = 0;
        self.vectors_used = 0;
    }

    fn gather<'a>(
        &mut self,
        file: u32,
        bufs: impl Iterator<Item = &'a Buf>,
    ) -> (squeue::Entry, usize) {
        let first = self.vectors_used;
        let mut bytes = 0;
        for buf in bufs {
            let vector = &mut self.vectors[self.vectors_used];
            vector.iov_base = buf.as_ptr().cast_mut().cast();
            vector.iov_len = buf.len();
            bytes += buf.len();
            self.vectors_used += 1;
        }
        let vectors = &mut self.vectors[first..self.vectors_used];
        let header = &mut self.headers[self.headers_used];
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        self.headers_used += 1;
        let entry = opcode::SendMsg::new(Fixed(file), std::ptr::from_ref(header));
        (entry.flags(SEND_FLAGS as u32).build(), bytes)
    }
}
