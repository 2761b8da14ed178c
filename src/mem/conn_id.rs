//! The name of one connection. What it is, only its transport and its session know.

use std::fmt;
use std::str::FromStr;

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

/// The text is not that of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoConnId;

impl FromStr for ConnId {
    type Err = NoConnId;

    fn from_str(text: &str) -> Result<Self, NoConnId> {
        fn number<T: FromStr>(text: &str) -> Result<T, NoConnId> {
            // Without this, `+1` would be a number.
            let begins = text.starts_with(|c: char| c.is_ascii_digit());
            text.parse().ok().filter(|_| begins).ok_or(NoConnId)
        }
        let (lcore, rest) = text.split_once(':').ok_or(NoConnId)?;
        let (slot, generation) = rest.split_once('.').ok_or(NoConnId)?;
        let (lcore, slot, generation) = (number(lcore)?, number(slot)?, number(generation)?);
        if slot >= Self::SLOTS_MAX { Err(NoConnId) } else { Ok(Self::new(lcore, slot, generation)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_again_by_its_text_and_nothing_else_is_one() {
        for conn in [ConnId::new(0, 0, 0), ConnId::new(255, ConnId::SLOTS_MAX - 1, u32::MAX)] {
            assert_eq!(conn.to_string().parse(), Ok(conn));
        }
        for text in ["", "1", "1:2", "1.2", "1:2.", ":2.3", "256:0.0", "0:16777216.0", "0:+1.0"] {
            assert_eq!(text.parse::<ConnId>(), Err(NoConnId), "{text}");
        }
    }
}
