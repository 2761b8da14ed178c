//! A provided-buffer ring by hand: where the kernel receives into, for the benches' own use of
//! io_uring.

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// `count` buffers of `bytes` each, lent to the kernel as group 0 of one io_uring.
pub struct BufRing {
    entries: Vec<u8>,
    buffers: Vec<u8>,
    count: u16,
    bytes: usize,
    tail: u16,
}

impl BufRing {
    /// Lends all of them; `count` is a power of two. To be dropped after `ring`.
    pub fn new(ring: &IoUring, count: u16, bytes: usize) -> Self {
        let entries = vec![0; usize::from(count) * 16 + 4096];
        let buffers = vec![0; usize::from(count) * bytes];
        let mut lent = Self { entries, buffers, count, bytes, tail: 0 };
        let base = lent.base() as u64;
        // SAFETY: entries and buffers live as long as the ring does.
        unsafe { ring.submitter().register_buf_ring_with_flags(base, count, 0, 0) }
            .expect("a buffer ring");
        (0..count).for_each(|id| lent.give(id));
        lent
    }

    /// The entries begin on a page.
    fn base(&self) -> *mut u8 {
        self.entries.as_ptr().cast_mut().map_addr(|a| a.next_multiple_of(4096))
    }

    /// The bytes of a buffer.
    pub fn buffer(&self, id: u16) -> &[u8] {
        &self.buffers[usize::from(id) * self.bytes..][..self.bytes]
    }

    /// The same, to change.
    pub fn buffer_mut(&mut self, id: u16) -> &mut [u8] {
        &mut self.buffers[usize::from(id) * self.bytes..][..self.bytes]
    }

    /// Lends a buffer again.
    pub fn give(&mut self, id: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: the place is within the entries.
        let entry = unsafe { self.base().cast::<BufRingEntry>().add(place) };
        // SAFETY: nobody else writes the entries.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.buffers.as_ptr() as u64 + u64::from(id) * self.bytes as u64);
        entry.set_len(self.bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry.
        let tail = unsafe { BufRingEntry::tail(self.base().cast()) };
        // SAFETY: it is an aligned u16 that is only written here.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
