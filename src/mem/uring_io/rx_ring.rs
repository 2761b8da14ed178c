//! A ring of buffers that the kernel receives into, and which slot stands behind each.

use io_uring::types::BufRingEntry;

use crate::error::{Error, Result};
use crate::limits::{
    DATAGRAM_HEAD_BYTES, RX_FULL_MAX, RX_LENT_SHARE, RX_RESERVE_SHARE, RX_SPARSE_MAX,
    RX_TRAIN_FULL_BYTES, RX_TRAIN_SLOTS_FULL, TRAIN_BYTES_MAX,
};
use crate::mem::buf::Buf;
use crate::mem::cache_index;
use crate::mem::mempool::{Class, Mempool};
use crate::sync::{AtomicU16, Ordering};
use crate::sys::mapping::{Mapping, Request};
use crate::sys::uring::Uring;

const PBUF_RING_INC: u16 = 2;

/// Bytes from one colour to the next: the kernel's words before a datagram, and one of a few lines.
const COLOUR_BYTES: usize = 320;

/// Colours at most: what they take together is all sets of a first-level cache, several times.
const COLOURS: usize = 64;

/// What is received into the buffers of a ring; its number is that of the kernel's buffer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Bytes of a connection that sends little at a time.
    Small,
    /// Bytes of one that sends much.
    Large,
    /// Datagrams.
    Trains,
}

impl Group {
    /// Buffers in a ring at most: above their numbers, ids say which ring it is.
    pub const IDS: u16 = 1 << 14;

    /// What the ids of its buffers have above their numbers.
    fn id_bits(self) -> u16 {
        self as u16 * Self::IDS
    }

    /// The ring of a buffer, and its number there.
    #[inline]
    pub fn of_id(id: u16) -> (Self, u16) {
        let group = match id / Self::IDS {
            0 => Self::Small,
            1 => Self::Large,
            _ => Self::Trains,
        };
        (group, id % Self::IDS)
    }
}

/// The ring of provided buffers (io_uring_register(2), IORING_REGISTER_PBUF_RING) and which slot
/// stands behind each buffer id. The id of a buffer is its place in the ring.
pub(super) struct RxRing {
    group: Group,
    /// Index of the pool's class.
    class: usize,
    /// The entries that the kernel reads: one page-aligned array.
    entries: Mapping,
    slots: Box<[Lent]>,
    tail: u16,
    /// Slots in the kernel's hands.
    lent: usize,
    /// Slots that are lent at a time.
    depth: usize,
    /// Receives in a row that speak for another depth.
    misfits: u8,
    pool: Mempool,
    /// Bytes of a slot that the kernel gets.
    entry_bytes: usize,
    /// Places in a slot where those bytes may start, one a slot by turns.
    colours: u32,
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
    /// A ring of `slots` buffers, each a slot of the class at `class`.
    pub fn create(group: Group, class: usize, slots: u16, pool: &Mempool) -> Result<Self> {
        assert!(slots.is_power_of_two() && slots <= Group::IDS);
        let bytes = usize::from(slots) * size_of::<BufRingEntry>();
        let request = Request { no_huge: true, ..Request::new("ringway-rx-ring", bytes) };
        let slot_bytes = pool.class(class).slot_bytes();
        let slack = match group {
            Group::Trains => slot_bytes.saturating_sub(DATAGRAM_HEAD_BYTES + TRAIN_BYTES_MAX),
            _ => 0,
        };
        let colours = (slack / COLOUR_BYTES).min(COLOURS - 1) as u32 + 1;
        Ok(Self {
            group,
            class,
            entries: Mapping::create(&request, |_| ())?,
            slots: vec![Lent::default(); slots.into()].into(),
            tail: 0,
            lent: 0,
            depth: slots.into(),
            misfits: 0,
            pool: pool.clone(),
            entry_bytes: slot_bytes - (colours as usize - 1) * COLOUR_BYTES,
            colours,
            reserve: pool.class(class).table().slot_count() as usize / RX_RESERVE_SHARE,
        })
    }

    /// The buffer group.
    pub fn group(&self) -> u16 {
        self.group as u16
    }

    /// Slots in the kernel's hands.
    #[inline]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Bytes of a slot that the kernel gets.
    #[inline]
    pub fn entry_bytes(&self) -> usize {
        self.entry_bytes
    }

    /// Lends few slots while they come filled, so that those stay in the core's cache, and many while each
    /// brings little, so that they last.
    #[inline]
    pub fn fit(&mut self, received_bytes: usize) {
        let many = self.slots.len();
        let few = many.min(RX_TRAIN_SLOTS_FULL.into());
        let (is_few, is_full) = (self.depth == few, received_bytes >= RX_TRAIN_FULL_BYTES);
        if is_few == is_full {
            self.misfits = 0;
            return;
        }
        self.misfits += 1;
        if self.misfits >= if is_few { RX_SPARSE_MAX } else { RX_FULL_MAX } {
            (self.misfits, self.depth) = (0, if is_few { many } else { few });
        }
    }

    /// Where in a slot the kernel's part starts: slots are powers of two apart, and so would all their first
    /// bytes meet in the same few sets of the core's cache.
    #[inline]
    fn colour(&self, slot: u32) -> usize {
        (slot % self.colours) as usize * COLOUR_BYTES
    }

    /// Gives the kernel the ring.
    pub fn register(&mut self, ring: &mut Uring, incremental: bool) -> Result<()> {
        let flags = if incremental { PBUF_RING_INC } else { 0 };
        let (memory, entries) = (self.entries.as_mut_ptr(), self.slots.len() as u16);
        // SAFETY: the entries are page-aligned and `UringIo` unregisters them before they go; the
        // slots put into them are lent until then.
        let registered = unsafe { ring.register_buffers(memory, entries, self.group(), flags) };
        registered.map_err(|why| {
            Error::new("register the receive buffers", why, "use Linux 6.1 or newer")
        })
    }

    #[inline]
    fn class(&self) -> &Class {
        self.pool.class(self.class)
    }

    #[inline]
    fn mask(&self) -> u16 {
        (self.slots.len() - 1) as u16
    }

    /// The place behind `id`.
    #[inline]
    pub fn next(&self, id: u16) -> u16 {
        id.wrapping_add(1) & self.mask()
    }

    /// Bytes of the slot behind `id` that are not filled yet.
    #[inline]
    pub fn room(&self, id: u16) -> usize {
        self.entry_bytes - self.slots[usize::from(id)].used as usize
    }

    /// The next `bytes` that the kernel wrote behind `id`. With `more` it keeps the slot.
    #[inline]
    pub fn take(&mut self, id: u16, bytes: usize, more: bool) -> Buf {
        let Lent { slot, used } = self.slots[usize::from(id)];
        let slot = slot.expect("the kernel fills only what was lent");
        let start = used as usize + self.colour(slot);
        let lent = &mut self.slots[usize::from(id)];
        let class = self.pool.class(self.class);
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
    pub fn replenish(&mut self) {
        if self.lent >= self.depth {
            return;
        }
        let cache = cache_index::current();
        // The last slots are for replies: if receiving took them, what was received could not be
        // answered, and so never be freed.
        let spare = self.class().table().reachable(cache).saturating_sub(self.reserve);
        // A part of what is left at a time: who is to receive no more has some under way, and others are
        // to find slots behind that.
        let part = (self.lent + spare).div_ceil(RX_LENT_SHARE);
        let most = self.depth.min(part).saturating_sub(self.lent).min(spare);
        let mut wanted = 0;
        while wanted < most {
            let place = usize::from(self.tail.wrapping_add(wanted as u16) & self.mask());
            // Completions may come out of order: stop before a place that is still lent.
            if self.slots[place].slot.is_some() {
                break;
            }
            let class = self.class();
            let Some(slot) = class.table().alloc(cache) else { break };
            let start = class.slot_pointer(slot).wrapping_add(self.colour(slot));
            self.write_entry(place, start);
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
        entry.set_len(self.entry_bytes as u32);
        entry.set_bid(place as u16 | self.group.id_bits());
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
    pub fn take_back(&mut self) {
        for index in 0..self.slots.len() {
            if let Some(slot) = self.slots[index].slot.take() {
                self.class().release(slot);
            }
        }
        self.lent = 0;
    }
}
