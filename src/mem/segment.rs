//! One shared mapping with a header that says what lies where. All inside is offsets, so that any
//! process may map it anywhere; `docs/MEMORY.md` gives every byte.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use bytemuck::{Pod, Zeroable};
use memmap2::MmapRaw;

use super::mempool::{ClassSize, free_ring_capacity};
use crate::error::Result;
use crate::limits::CLASSES_MAX;
use crate::ring::mpmc;
use crate::sync::AtomicU32;
use crate::sys::mapping::{Mapping, Pages, Request};
use crate::sys::topology::Topology;

/// The first eight bytes of every segment: "ringway\0", read as little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ringway\0");

/// Version of the layout below. A change of any offset or meaning raises it.
pub const VERSION: u32 = 1;

/// Where the data of a segment begins, and the grain of all regions: a page.
const REGION_ALIGN: usize = 4096;

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Entries of `classes` in use.
    pub class_count: u32,
    /// Bytes of the whole segment.
    pub bytes: u64,
    /// One record per size class, smallest slots first.
    pub classes: [ClassRecord; CLASSES_MAX],
}

/// Where one size class lies, in bytes from the start of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ClassRecord {
    /// Bytes of one slot.
    pub slot_bytes: u32,
    /// Slots.
    pub slot_count: u32,
    /// The ring of free slot numbers.
    pub free_ring: u64,
    /// One u32 per slot: how many share it.
    pub counts: u64,
    /// The slots themselves.
    pub slots: u64,
}

const _: () = assert!(size_of::<Header>() == 24 + CLASSES_MAX * 32);
const _: () = assert!(size_of::<Header>() <= REGION_ALIGN);

/// One class as this process sees it.
pub(super) struct ClassLayout {
    pub slot_bytes: u32,
    pub slot_count: u32,
    pub free_ring: NonNull<u8>,
    pub free_ring_bytes: usize,
    pub counts: NonNull<u8>,
    pub slots: NonNull<u8>,
}

/// The NUMA node that memory should come from.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// The machine.
    pub topology: &'a Topology,
    /// The kernel's number of the node.
    pub node: u32,
}

/// A mapping that this process laid out for a mempool.
#[derive(Debug)]
pub struct Segment {
    mapping: Mapping,
    header: Header,
}

impl Segment {
    /// Maps memory for all of `sizes`, preferring `placement`, and writes the header.
    pub(super) fn create(
        request: &Request,
        sizes: &[ClassSize],
        placement: Option<Placement<'_>>,
    ) -> Result<Self> {
        let header = layout(sizes);
        let request = Request { bytes: header.bytes as usize, ..request.clone() };
        let mapping = Mapping::create(&request, |map| prefer(map, placement))?;
        let header = Header { bytes: mapping.bytes() as u64, ..header };
        // SAFETY: the mapping is at least a page, fresh, and ours alone so far.
        unsafe { mapping.as_mut_ptr().cast::<Header>().write(header) };
        Ok(Self { mapping, header })
    }

    /// Where the class at `index` lies in this process.
    pub(super) fn class(&self, index: usize) -> ClassLayout {
        let record = self.header.classes[index];
        ClassLayout {
            slot_bytes: record.slot_bytes,
            slot_count: record.slot_count,
            free_ring: self.at(record.free_ring),
            free_ring_bytes: (record.counts - record.free_ring) as usize,
            counts: self.at(record.counts),
            slots: self.at(record.slots),
        }
    }

    fn at(&self, offset: u64) -> NonNull<u8> {
        assert!(offset < self.header.bytes);
        // SAFETY: the offset is inside the mapping.
        let pointer = unsafe { self.mapping.as_mut_ptr().add(offset as usize) };
        NonNull::new(pointer).expect("a mapping does not start at 0")
    }

    /// What lies where.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The memory, to hand to another process.
    pub(super) fn try_clone_fd(&self) -> std::io::Result<OwnedFd> {
        self.mapping.try_clone_fd()
    }

    /// The pages under it.
    pub fn pages(&self) -> Pages {
        self.mapping.pages()
    }

    /// Bytes mapped.
    pub fn bytes(&self) -> usize {
        self.mapping.bytes()
    }
}

/// Puts header, free rings, counts and slots one behind the other, each on a page of its own.
fn layout(sizes: &[ClassSize]) -> Header {
    let mut header = Header::zeroed();
    let mut end = REGION_ALIGN;
    let mut region = |bytes: usize| {
        let offset = end as u64;
        end += bytes.next_multiple_of(REGION_ALIGN);
        offset
    };
    for (record, size) in header.classes.iter_mut().zip(sizes) {
        let slots = size.slots as usize;
        let ring_bytes = mpmc::bytes_for::<u32>(free_ring_capacity(size.slots))
            .expect("check_sizes bounds the slots of a class");
        *record = ClassRecord {
            slot_bytes: size.slot_bytes,
            slot_count: size.slots,
            free_ring: region(ring_bytes),
            counts: region(slots * size_of::<AtomicU32>()),
            slots: region(slots * size.slot_bytes as usize),
        };
    }
    header.magic = MAGIC;
    header.version = VERSION;
    header.class_count = sizes.len() as u32;
    header.bytes = end as u64;
    header
}

/// Asks for memory of the node before the first touch. Advice: a node that is full is no error.
fn prefer(map: &MmapRaw, placement: Option<Placement<'_>>) {
    let (Some(place), Some(start)) = (placement, NonNull::new(map.as_mut_ptr())) else { return };
    // SAFETY: the range is the mapping that we were lent.
    let bound = unsafe { place.topology.bind_preferred(start, map.len(), place.node) };
    if let Err(error) = bound {
        tracing::warn!(node = place.node, %error, "the pool was not placed on its NUMA node");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_in_order_page_aligned_and_disjoint() {
        let sizes =
            [ClassSize { slot_bytes: 2048, slots: 100 }, ClassSize { slot_bytes: 16384, slots: 3 }];
        let header = layout(&sizes);
        let mut at = size_of::<Header>() as u64;
        for (record, size) in header.classes.iter().zip(&sizes) {
            for offset in [record.free_ring, record.counts, record.slots] {
                assert!(offset % REGION_ALIGN as u64 == 0 && offset >= at);
                at = offset + 1;
            }
            at = record.slots + u64::from(size.slot_bytes) * u64::from(size.slots);
        }
        assert!(header.bytes >= at);
    }
}
