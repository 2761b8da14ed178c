//! The slots of a dataplane as a process sees them that is attached to it: memory that the dataplane
//! lends, one range at a time. What passes between the two is `attach`'s business.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use memmap2::MmapRaw;

use super::ledger::Terms;
use super::port_segment::{Descriptor, PortSegment};
use super::prefetch::prefetch;
use super::segment::{self, Header};
use crate::error::{Error, Result};
use crate::limits::{CLASSES_MAX, SLOT_BYTES_MAX, SLOT_BYTES_MIN};
use crate::sys::mapping::map_shared;

/// The slots that one queue's descriptors name.
pub struct PeerMemory {
    classes: Vec<PeerClass>,
    /// Loans that were dropped: to be given back.
    dropped: RefCell<Vec<Terms>>,
    /// Dropped last: what the classes point into.
    _keep: Keep,
}

enum Keep {
    Pool { _map: MmapRaw },
    Port { _segment: Arc<PortSegment> },
}

struct PeerClass {
    first: NonNull<u8>,
    slot_bytes: usize,
    slot_count: u32,
}

impl PeerMemory {
    /// Maps a mempool, of a port that shares it.
    ///
    /// # Errors
    /// When it cannot be mapped, or is no mempool of this version.
    pub fn of_pool(fd: BorrowedFd<'_>) -> Result<Self> {
        let refuse = |why: String| {
            Error::new("map a mempool", why, "attach with a library of the dataplane's version")
        };
        let map = map_shared(fd).map_err(|e| refuse(e.to_string()))?;
        if map.len() < size_of::<Header>() {
            return Err(refuse("it is shorter than its header".to_owned()));
        }
        // SAFETY: the mapping is long enough, and any bytes are a header.
        let header = unsafe { map.as_mut_ptr().cast::<Header>().read_volatile() };
        if header.magic != segment::MAGIC || header.version != segment::VERSION {
            let why = format!("it is of version {}, not {}", header.version, segment::VERSION);
            return Err(refuse(why));
        }
        let count = (header.class_count as usize).min(CLASSES_MAX);
        let base = NonNull::new(map.as_mut_ptr()).expect("a mapping does not start at 0");
        let mut classes = Vec::new();
        for record in &header.classes[..count] {
            let bytes = record.slot_bytes as usize;
            let end = bytes.checked_mul(record.slot_count as usize);
            let end = end.and_then(|all| all.checked_add(record.slots as usize));
            let legal = (SLOT_BYTES_MIN..=SLOT_BYTES_MAX).contains(&bytes);
            if !legal || end.is_none_or(|end| end > map.len()) {
                return Err(refuse("its slots do not lie in it".to_owned()));
            }
            // SAFETY: the offset lies in the mapping.
            let first = unsafe { base.add(record.slots as usize) };
            classes.push(PeerClass { first, slot_bytes: bytes, slot_count: record.slot_count });
        }
        Ok(Self::new(classes, Keep::Pool { _map: map }))
    }

    /// The slots of one queue of an isolated port.
    pub fn of_queue(segment: &Arc<PortSegment>, queue: usize) -> Self {
        let class = |(index, class): (usize, &super::PortClass)| PeerClass {
            first: segment.slot_range(queue, index, 0, 0, 0).expect("a class has slots"),
            slot_bytes: class.slot_bytes as usize,
            slot_count: class.slot_count,
        };
        let classes = segment.classes().iter().enumerate().map(class).collect();
        Self::new(classes, Keep::Port { _segment: segment.clone() })
    }

    fn new(classes: Vec<PeerClass>, keep: Keep) -> Self {
        Self { classes, dropped: RefCell::new(Vec::with_capacity(64)), _keep: keep }
    }

    /// The range of a loan that the dataplane has just sent, `empty` or with a message in it; `None`, if
    /// there is none such in its memory.
    pub fn lent(self: &Rc<Self>, terms: &Terms, empty: bool) -> Option<Lent> {
        let class = self.classes.get((terms.loan & 0xff) as usize)?;
        let end = (terms.start as usize).checked_add(terms.len as usize)?;
        if terms.slot >= class.slot_count || end > class.slot_bytes {
            return None;
        }
        // SAFETY: the slot lies in the mapping.
        let slot = unsafe { class.first.add(terms.slot as usize * class.slot_bytes) };
        let (slot_bytes, len) = (class.slot_bytes as u32, if empty { 0 } else { terms.len });
        Some(Lent { slot, slot_bytes, terms: Terms { len, ..*terms }, empty, memory: self.clone() })
    }

    /// Asks for the bytes that a descriptor names, which are about to be looked at.
    #[inline]
    pub fn foresee(&self, descriptor: &Descriptor) {
        let Some(class) = self.classes.get((descriptor.loan & 0xff) as usize) else { return };
        let offset = (descriptor.slot as usize).wrapping_mul(class.slot_bytes);
        prefetch(class.first.as_ptr().wrapping_add(offset).wrapping_add(descriptor.start as usize));
    }

    /// Whether there are loans that were dropped.
    pub fn has_dropped(&self) -> bool {
        !self.dropped.borrow().is_empty()
    }

    /// One of the loans that were dropped.
    pub fn next_dropped(&self) -> Option<Terms> {
        self.dropped.borrow_mut().pop()
    }

    /// Bytes of a slot of the class at `index`.
    pub fn slot_bytes(&self, index: usize) -> Option<usize> {
        self.classes.get(index).map(|class| class.slot_bytes)
    }
}

/// A range of a slot that this process has until it passes the slot on. One that is dropped is given
/// back.
pub struct Lent {
    slot: NonNull<u8>,
    slot_bytes: u32,
    terms: Terms,
    /// It was lent to be written to: nobody else has a share.
    empty: bool,
    memory: Rc<PeerMemory>,
}

impl Lent {
    /// Passes the slot on; where it lies, as the dataplane knows it.
    pub fn into_terms(self) -> Terms {
        let terms = self.terms;
        let mut this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and its drop, which would give the slot back, never runs.
        unsafe { std::ptr::drop_in_place(&raw mut this.memory) };
        terms
    }

    /// Whether it was lent out of this memory.
    pub fn is_of(&self, memory: &Rc<PeerMemory>) -> bool {
        Rc::ptr_eq(&self.memory, memory)
    }

    /// Class of the slot.
    pub fn class(&self) -> usize {
        (self.terms.loan & 0xff) as usize
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: the start lies in the slot.
        unsafe { self.slot.as_ptr().add(self.terms.start as usize) }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range lies in the slot, which stays mapped with `memory`; the dataplane lent it,
        // and writes to it only after it came home.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.terms.len as usize) }
    }

    /// Drops `bytes` from the front of the range.
    ///
    /// # Panics
    /// When the range has fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.terms.len as usize, "advance past the end of a range");
        self.terms.start += bytes as u32;
        self.terms.len -= bytes as u32;
    }

    /// Shortens the range to its first `bytes`; longer is no change.
    pub fn truncate(&mut self, bytes: usize) {
        self.terms.len = self.terms.len.min(bytes as u32);
    }

    /// The free bytes behind the range, to fill before [`grow`](Self::grow); none, unless the slot was
    /// lent empty.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if !self.empty {
            return &mut [];
        }
        let room = (self.slot_bytes - self.terms.start - self.terms.len) as usize;
        // SAFETY: `len` bytes from the pointer on lie in the slot.
        let end = unsafe { self.pointer().add(self.terms.len as usize) };
        // SAFETY: the rest of the slot, which was lent to us alone and stays mapped with `memory`.
        unsafe { std::slice::from_raw_parts_mut(end, room) }
    }

    /// Takes `bytes` of the spare room into the range.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn grow(&mut self, bytes: usize) {
        assert!(bytes <= self.spare_mut().len(), "a range cannot grow past its slot");
        self.terms.len += bytes as u32;
    }

    /// Copies `bytes` behind the range; `false`, and nothing done, when they do not fit or the slot was
    /// not lent empty.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.spare_mut().get_mut(..bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.terms.len += bytes.len() as u32;
        true
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.memory.dropped.borrow_mut().push(self.terms);
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("terms", &self.terms).field("empty", &self.empty).finish()
    }
}
