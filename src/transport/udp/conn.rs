//! What an lcore keeps of one peer that sends it datagrams: one cache line, and its addresses beside.

use crate::limits::{TX_PUSHED_BUFS_MAX, TX_PUSHED_BYTES_MAX};
use crate::mem::BufList;

/// One peer.
#[derive(Debug)]
#[repr(align(64))]
pub struct Conn {
    /// What tells the peer from those that had the slot before it.
    pub generation: u32,
    /// When something passed last, in seconds of the lcore's clock.
    pub heard_s: u32,
    /// Bytes in `tx`.
    pub tx_bytes: u64,
    /// Bufs in `tx`.
    pub tx_bufs: u32,
    /// Datagrams to send, oldest first, with markers between them.
    pub tx: BufList,
    /// Datagrams that came while the handler did not hear it.
    pub held_back: BufList,
    /// How many those are.
    pub held_bufs: u16,
    /// Longest datagrams that go to it in trains: longer ones the system has refused.
    pub segment_max: u16,
    /// The slot has a peer.
    pub is_open: bool,
    /// The handler wants nothing of it for now.
    pub held: bool,
    /// To be forgotten once all is sent.
    pub close_wanted: bool,
    /// In the list of peers that the next flush visits.
    pub dirty: bool,
    /// It was sent something.
    pub answered: bool,
    /// Something came of it after that.
    pub proved: bool,
}

const _: () = assert!(size_of::<Conn>() == 64, "the hot state of a peer is one cache line");

impl Conn {
    /// A slot without a peer.
    pub const FREE: Self = Self {
        generation: 0,
        heard_s: 0,
        tx_bytes: 0,
        tx_bufs: 0,
        tx: BufList::EMPTY,
        held_back: BufList::EMPTY,
        held_bufs: 0,
        segment_max: u16::MAX,
        is_open: false,
        held: false,
        close_wanted: false,
        dirty: false,
        answered: false,
        proved: false,
    };

    /// Begins a peer in a free slot, which keeps its place in the list.
    pub fn begin(&mut self, generation: u32, heard_s: u32) {
        let dirty = self.dirty;
        *self = Self { generation, heard_s, dirty, is_open: true, ..Self::FREE };
    }

    /// Whether so much waits for the peer that nobody may queue more.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.tx_bytes > TX_PUSHED_BYTES_MAX.into() || self.tx_bufs > TX_PUSHED_BUFS_MAX
    }
}
