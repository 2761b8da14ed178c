//! The memory of one port: what lies where in the segment that the dataplane shares with one attached
//! process. What passes through it is `port`'s business; `docs/MEMORY.md` gives every byte.
//!
//! The other side may write anything anywhere in it, at any time. So this process reads the header
//! once, when it opens a segment that it did not make, and copies bytes in and out of slots instead
//! of looking at them in place.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use memmap2::MmapRaw;

use super::mempool::ClassSize;
use crate::error::{Error, Result};
use crate::limits::{CLASSES_MAX, LCORES_MAX, PORT_RING_SLOTS, SLOT_BYTES_MAX, SLOT_BYTES_MIN};
use crate::ring::doorbell::Doorbell;
use crate::ring::{AttachError, LINE_BYTES, spsc};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::mapping::{Mapping, Request, map_shared};

/// The first eight bytes of every port's segment: "ringport", read as little-endian.
pub const PORT_MAGIC: u64 = u64::from_le_bytes(*b"ringport");

/// Version of the layout below, and of what the descriptors mean. A change of either raises it.
pub const PORT_VERSION: u32 = 1;

/// Where the first queue lies, and the grain of all regions: a page.
const PAGE: usize = 4096;

/// Where the word lies that says whether the port is open.
pub const PORT_STATE_OFFSET: usize = 2048;

/// How a message is described in a ring: one buf, or a marker without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Descriptor {
    /// The connection, as [`ConnId`](super::ConnId) has it; opaque to the attached process.
    pub conn: super::ConnId,
    /// Number of the request, or what names the message in traces.
    pub message: u32,
    /// Number of the slot in its class; [`NO_SLOT`](Self::NO_SLOT): there are no bytes.
    pub slot: u32,
    /// Where the bytes start in the slot.
    pub start: u32,
    /// How many they are.
    pub len: u32,
    /// Class of the slot in the low 8 bits, number of the loan above.
    pub loan: u32,
    /// Kind in the low 8 bits, meta above, as a [`Buf`](super::Buf) has them.
    pub tag: u32,
}

impl Descriptor {
    /// The slot of what has none.
    pub const NO_SLOT: u32 = u32::MAX;
}

const _: () = assert!(size_of::<Descriptor>() == 32, "two a cache line");

/// What the attached process may do to the dataplane's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Trust {
    /// It maps the mempool: no byte is copied between it and the sockets. It can read and write what
    /// belongs to any connection.
    Shared = 1,
    /// It maps the port's own segment alone; each payload is copied once on its way.
    Isolated = 2,
}

impl Trust {
    /// By its name in configurations and handshakes.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "shared" => Some(Self::Shared),
            "isolated" => Some(Self::Isolated),
            _ => None,
        }
    }

    /// By its number in a segment.
    fn of_word(word: u32) -> Option<Self> {
        [Self::Shared, Self::Isolated].into_iter().find(|trust| *trust as u32 == word)
    }

    /// Its name in configurations and handshakes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Isolated => "isolated",
        }
    }
}

/// The first bytes of a port's segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PortHeader {
    /// [`PORT_MAGIC`].
    pub magic: u64,
    /// [`PORT_VERSION`].
    pub version: u32,
    /// 1: shared, 2: isolated.
    pub trust: u32,
    /// Bytes of the whole segment.
    pub bytes: u64,
    /// Queues: one for each lcore.
    pub queue_count: u32,
    /// Slots of each ring.
    pub ring_slots: u32,
    /// Where the first queue lies; the others follow at equal distances.
    pub first_queue: u64,
    /// That distance.
    pub queue_bytes: u64,
    /// Entries of `classes` in use: 0 on a shared port, whose slots are the mempool's.
    pub class_count: u32,
    /// Zero.
    pub reserved: u32,
    /// The slots of each queue, smallest first.
    pub classes: [PortClass; CLASSES_MAX],
}

/// Slots of one size in each queue of an isolated port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PortClass {
    /// Bytes of one slot.
    pub slot_bytes: u32,
    /// Slots.
    pub slot_count: u32,
    /// Where they lie, from the start of the queue.
    pub slots: u64,
}

const _: () = assert!(size_of::<PortHeader>() == 56 + CLASSES_MAX * 16);
const _: () = assert!(size_of::<PortHeader>() <= PORT_STATE_OFFSET && PORT_STATE_OFFSET < PAGE);

/// Offsets in a queue: who sleeps, then the rings.
const DOWN_BELL: usize = 0;
const UP_BELL: usize = LINE_BYTES;
const DOWN_RING: usize = 2 * LINE_BYTES;

fn ring_bytes(ring_slots: usize) -> Option<usize> {
    spsc::bytes_for::<Descriptor>(ring_slots).map(|bytes| bytes.next_multiple_of(LINE_BYTES))
}

/// The two rings of a queue as one side has them, with both sides' bells.
pub struct QueueEnds {
    /// Where this side's descriptors go.
    pub out: spsc::Producer<Descriptor>,
    /// Where the other's come from.
    pub into: spsc::Consumer<Descriptor>,
    /// The other side's bell: to ring.
    pub theirs: Doorbell,
    /// This side's bell: to sleep on.
    pub ours: Doorbell,
}

/// Which end of the rings is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The dataplane.
    Primary,
    /// The attached process.
    Secondary,
}

enum Memory {
    Made(Mapping),
    Opened(MmapRaw),
}

/// A port's segment, mapped.
pub struct PortSegment {
    memory: Memory,
    header: PortHeader,
}

impl PortSegment {
    /// Makes one with `queues` queues; `classes` are the slots of each of them, none for a port that
    /// shares the mempool. The port is open.
    pub fn create(name: &str, trust: Trust, queues: usize, classes: &[ClassSize]) -> Result<Self> {
        let header = layout(trust, queues, classes);
        // Small pages: a port comes and goes, and hugepages are reserved for the pools.
        let bytes = header.bytes as usize;
        let request = Request { no_huge: true, ..Request::new(name, bytes) };
        let segment = Self { memory: Memory::Made(Mapping::create(&request, |_| {})?), header };
        // SAFETY: the mapping is at least a page, fresh, and ours alone so far.
        unsafe { segment.base().cast::<PortHeader>().write(header) };
        for queue in 0..queues {
            for ring in segment.ring_offsets(queue) {
                let (memory, bytes) = segment.ring_memory(ring);
                // SAFETY: the range lies in the fresh mapping, which nobody else knows yet.
                let made = unsafe {
                    spsc::create_in::<Descriptor>(memory, bytes, header.ring_slots as usize)
                };
                made.expect("the segment has room for its rings");
            }
        }
        segment.set_open(true);
        Ok(segment)
    }

    /// Maps a segment that another process made, after a look at its header.
    pub fn open(fd: BorrowedFd<'_>) -> Result<Self> {
        let map = map_shared(fd).map_err(|e| refused(e.to_string()))?;
        if map.len() < PAGE {
            return Err(refused("it is shorter than a page".to_owned()));
        }
        // SAFETY: the mapping is at least a page long, and any bytes are a header.
        let header = unsafe { map.as_mut_ptr().cast::<PortHeader>().read_volatile() };
        check(&header, map.len()).map_err(refused)?;
        Ok(Self { memory: Memory::Opened(map), header })
    }

    fn base(&self) -> NonNull<u8> {
        let pointer = match &self.memory {
            Memory::Made(mapping) => mapping.as_mut_ptr(),
            Memory::Opened(map) => map.as_mut_ptr(),
        };
        NonNull::new(pointer).expect("a mapping does not start at 0")
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!((offset as u64) < self.header.bytes);
        // SAFETY: the offset is inside the mapping, whose length was compared with the header.
        unsafe { self.base().add(offset) }
    }

    /// What lies where, as this process read or wrote it at first.
    pub fn header(&self) -> &PortHeader {
        &self.header
    }

    /// The memory, to hand to another process.
    ///
    /// # Errors
    /// When this process runs out of descriptors, or did not make the segment.
    pub fn try_clone_fd(&self) -> std::io::Result<OwnedFd> {
        match &self.memory {
            Memory::Made(mapping) => mapping.try_clone_fd(),
            Memory::Opened(_) => Err(std::io::Error::other("it is another process's")),
        }
    }

    fn queue_offset(&self, queue: usize) -> usize {
        assert!(queue < self.header.queue_count as usize);
        self.header.first_queue as usize + queue * self.header.queue_bytes as usize
    }

    /// Where the rings of a queue lie: the one from the dataplane, then the one to it.
    fn ring_offsets(&self, queue: usize) -> [usize; 2] {
        let down = self.queue_offset(queue) + DOWN_RING;
        [down, down + self.ring_bytes()]
    }

    fn ring_bytes(&self) -> usize {
        ring_bytes(self.header.ring_slots as usize).expect("the header was checked")
    }

    fn ring_memory(&self, offset: usize) -> (NonNull<u8>, usize) {
        (self.at(offset), self.ring_bytes())
    }

    fn state(&self) -> &AtomicU32 {
        self.word(PORT_STATE_OFFSET)
    }

    /// A word that both sides use atomically: one of the header's, or an index of a ring.
    fn word(&self, offset: usize) -> &AtomicU32 {
        let word = self.at(offset).cast::<AtomicU32>();
        // SAFETY: the word is aligned, lies in the mapping, and is used atomically by both sides.
        unsafe { word.as_ref() }
    }

    /// What lies for the process in all queues, empty slots among it, and how much it has taken so far, counted
    /// over all queues and beyond their ends; nothing waits for one that has said of each that it sleeps until there is
    /// something. For whoever looks on: the process writes some of it, so it may be anything.
    pub fn waiting(&self) -> (u64, u32) {
        let slots = self.header.ring_slots;
        let mut all = (0, 0u32);
        let sleeps =
            |queue| self.word(self.queue_offset(queue) + DOWN_BELL).load(Ordering::Relaxed) == 1;
        if (0..self.header.queue_count as usize).all(sleeps) {
            return all;
        }
        for queue in 0..self.header.queue_count as usize {
            let [down, _] = self.ring_offsets(queue);
            // Relaxed: the numbers are shown, and nothing is read by them.
            let tail = self.word(down + spsc::TAIL_OFFSET).load(Ordering::Relaxed);
            let head = self.word(down + spsc::HEAD_OFFSET).load(Ordering::Relaxed);
            all.0 += u64::from(tail.wrapping_sub(head).min(slots));
            all.1 = all.1.wrapping_add(head);
        }
        all
    }

    /// Whether the dataplane still serves the port. A dataplane that was killed cannot say.
    pub fn is_open(&self) -> bool {
        // Acquire: pairs with the release in `set_open`; nothing but the word depends on it.
        self.state().load(Ordering::Acquire) == 1
    }

    /// Says whether the dataplane serves the port.
    pub fn set_open(&self, open: bool) {
        self.state().store(u32::from(open), Ordering::Release);
    }

    /// One side's ends of a queue, whose bells have these eventfds.
    ///
    /// # Errors
    /// When the rings are not what the header says.
    pub fn ends(
        self: &Arc<Self>,
        queue: usize,
        side: Side,
        theirs: OwnedFd,
        ours: OwnedFd,
    ) -> std::result::Result<QueueEnds, AttachError> {
        let [down, up] = self.ring_offsets(queue);
        let first = self.queue_offset(queue);
        let (out, into, their_bell, our_bell) = match side {
            Side::Primary => (down, up, first + DOWN_BELL, first + UP_BELL),
            Side::Secondary => (up, down, first + UP_BELL, first + DOWN_BELL),
        };
        let (memory, bytes) = self.ring_memory(out);
        // SAFETY: the range lies in the mapping, which the keeper keeps; the caller makes the ends of
        // a side once for each queue, and only copying calls are used.
        let out = unsafe { spsc::Producer::attach(memory, bytes, self.clone()) }?;
        let (memory, bytes) = self.ring_memory(into);
        // SAFETY: as above.
        let into = unsafe { spsc::Consumer::attach(memory, bytes, self.clone()) }?;
        // SAFETY: an aligned word in the mapping, which the keeper keeps; zero at first.
        let theirs = unsafe { Doorbell::attach(self.at(their_bell), self.clone(), theirs) };
        // SAFETY: as above.
        let ours = unsafe { Doorbell::attach(self.at(our_bell), self.clone(), ours) };
        Ok(QueueEnds { out, into, theirs, ours })
    }

    /// The slots of each queue of an isolated port, by class.
    pub fn classes(&self) -> &[PortClass] {
        &self.header.classes[..self.header.class_count as usize]
    }

    /// First byte of `len` bytes of a slot from `start` on; `None` where there is no such range.
    pub(super) fn slot_range(
        &self,
        queue: usize,
        class: usize,
        slot: u32,
        start: usize,
        len: usize,
    ) -> Option<NonNull<u8>> {
        let class = self.classes().get(class)?;
        let bytes = class.slot_bytes as usize;
        if slot >= class.slot_count || start > bytes || len > bytes - start {
            return None;
        }
        let first = self.queue_offset(queue) + class.slots as usize;
        Some(self.at(first + slot as usize * bytes + start.min(bytes - 1)))
    }

    /// Copies `bytes` to the start of a slot.
    ///
    /// # Panics
    /// When it is no slot of the queue, or too small.
    pub(super) fn write_slot(&self, queue: usize, class: usize, slot: u32, bytes: &[u8]) {
        let range = self.slot_range(queue, class, slot, 0, bytes.len());
        let to = range.expect("a slot that holds the bytes").as_ptr();
        // SAFETY: the slot has room for them and is mapped writable. The other process may write there
        // as well; whatever comes of that, it alone reads it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Copies the bytes of a slot from `start` on over all of `to`, once.
    ///
    /// # Panics
    /// When there is no such range in the queue.
    pub(super) fn read_slot(
        &self,
        queue: usize,
        class: usize,
        slot: u32,
        start: usize,
        to: &mut [u8],
    ) {
        let range = self.slot_range(queue, class, slot, start, to.len());
        let from = range.expect("the range was checked").as_ptr();
        // SAFETY: the range lies in the mapping. The other process may write there meanwhile: what is
        // copied is then any bytes, which are looked at only in the copy.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    }
}

// SAFETY: the mapping is plain memory that is reached through atomics, copies and the rings.
unsafe impl Send for PortSegment {}
// SAFETY: as above.
unsafe impl Sync for PortSegment {}

fn refused(why: String) -> Error {
    Error::new("map a port's segment", why, "attach with a library of the dataplane's version")
}

/// Puts the queues one behind the other, each on pages of its own.
fn layout(trust: Trust, queues: usize, classes: &[ClassSize]) -> PortHeader {
    let rings = ring_bytes(PORT_RING_SLOTS).expect("a power of two");
    let mut end = (DOWN_RING + 2 * rings).next_multiple_of(PAGE);
    let mut header = PortHeader::zeroed();
    for (record, size) in header.classes.iter_mut().zip(classes) {
        *record =
            PortClass { slot_bytes: size.slot_bytes, slot_count: size.slots, slots: end as u64 };
        end += (size.slot_bytes as usize * size.slots as usize).next_multiple_of(PAGE);
    }
    header.magic = PORT_MAGIC;
    header.version = PORT_VERSION;
    header.trust = trust as u32;
    header.queue_count = queues as u32;
    header.ring_slots = PORT_RING_SLOTS as u32;
    header.first_queue = PAGE as u64;
    header.queue_bytes = end as u64;
    header.class_count = classes.len() as u32;
    header.bytes = (PAGE + queues * end) as u64;
    header
}

/// Whether all that a header names lies in the segment, and where it says.
fn check(header: &PortHeader, mapped_bytes: usize) -> std::result::Result<(), String> {
    if header.magic != PORT_MAGIC {
        return Err("it does not begin as one".to_owned());
    }
    if header.version != PORT_VERSION {
        return Err(format!("it has version {}, and {PORT_VERSION} is known", header.version));
    }
    if Trust::of_word(header.trust).is_none() {
        return Err(format!("its trust is {}", header.trust));
    }
    let queues = header.queue_count as usize;
    let classes = header.class_count as usize;
    let rings = ring_bytes(header.ring_slots as usize).ok_or("its rings have no legal size")?;
    if queues == 0 || queues > LCORES_MAX || classes > CLASSES_MAX {
        return Err(format!("it has {queues} queues and {classes} classes"));
    }
    let queue_bytes = header.queue_bytes as usize;
    let mut end = DOWN_RING + 2 * rings;
    for class in &header.classes[..classes] {
        let bytes = class.slot_bytes as usize;
        let legal = (SLOT_BYTES_MIN..=SLOT_BYTES_MAX).contains(&bytes) && class.slot_count > 0;
        if !legal || class.slots < end as u64 {
            return Err("its classes overlap, or have no legal size".to_owned());
        }
        end =
            (class.slots as usize).saturating_add(bytes.saturating_mul(class.slot_count as usize));
    }
    let whole = queue_bytes.checked_mul(queues).and_then(|all| all.checked_add(PAGE));
    let fits = end <= queue_bytes && queue_bytes.is_multiple_of(PAGE);
    if !fits || header.first_queue != PAGE as u64 || whole != Some(header.bytes as usize) {
        return Err("its parts do not fit into it".to_owned());
    }
    if mapped_bytes < header.bytes as usize {
        return Err(format!("it has {mapped_bytes} bytes, and says {}", header.bytes));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
