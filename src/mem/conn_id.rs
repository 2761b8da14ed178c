//! The name of one connection. What it is, only its transport and its session know.

use std::fmt;

use bytemuck::{Pod, Zeroable};

/// One connection of one lcore: a slot and the generation of that slot. An id outlives its
/// connection without harm: the next owner of the slot has another generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct ConnId {
    generation: u32,
    /// Low 24 bits: slot; high 8 bits: lcore.
    place: u32,
}

impl ConnId {
    /// Slots that can be told apart on one lcore.
    pub const SLOTS_MAX: u32 = 1 << 24;

    /// No connection at all.
    pub const NONE: Self = Self { generation: 0, place: u32::MAX };

    /// The connection in `slot` (below [`SLOTS_MAX`](Self::SLOTS_MAX)) of `lcore`.
    pub const fn new(lcore: u8, slot: u32, generation: u32) -> Self {
        assert!(slot < Self::SLOTS_MAX);
        Self { generation, place: (lcore as u32) << 24 | slot }
    }

    /// Index of the lcore that owns the connection.
    #[inline]
    pub const fn lcore(self) -> u8 {
        (self.place >> 24) as u8
    }

    /// Index into that lcore's tables.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.place & (Self::SLOTS_MAX - 1)
    }

    /// What tells the connection from those that had the slot before it.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.lcore(), self.slot(), self.generation)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
