//! Where the bytes of a buf lie among the slots of their class, in one word. Which class that is, and
//! who shares the slot, is `buf`'s business.

use crate::limits::{CLASS_BYTES_MAX, SLOT_BYTES_MAX};

/// Bits of a span below its position: how many bytes it has, from none to a whole slot.
const LEN_BITS: u32 = SLOT_BYTES_MAX.ilog2() + 1;
const LEN_MASK: u64 = (1 << LEN_BITS) - 1;

const _: () = assert!(SLOT_BYTES_MAX as u64 <= LEN_MASK);
const _: () = assert!(CLASS_BYTES_MAX <= 1 << (u64::BITS - LEN_BITS), "a position fits above it");

/// A range of bytes in one slot: in the low bits how many they are, above them the *position*, which
/// is where they start, counted from the first byte of the class. Slots are powers of two in size and
/// lie one behind the other, so the upper bits of the position are the number of the slot.
///
/// **A span starts within its slot**, or the number would be the next slot's. So one that becomes empty
/// stays where it was, and does not move to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(u64);

impl Span {
    /// That of a buf without a slot.
    pub const NONE: Self = Self(0);

    /// How far a span is shifted to be the number of its slot, where slots have so many bytes.
    pub const fn slot_shift(slot_bytes: u32) -> u32 {
        LEN_BITS + slot_bytes.ilog2()
    }

    /// `len` bytes of the slot from `start` on, which lie in it. None may be asked for at its end.
    #[inline]
    pub fn new(slot: u32, slot_shift: u32, start: usize, len: usize) -> Self {
        let slot_bytes = 1usize << (slot_shift - LEN_BITS);
        debug_assert!(start <= slot_bytes && len <= slot_bytes - start, "a range in a slot");
        let start = start.min(slot_bytes - 1) as u64;
        Self((u64::from(slot) << slot_shift) + (start << LEN_BITS) + len as u64)
    }

    /// Bytes in range.
    #[inline]
    pub fn len(self) -> usize {
        (self.0 & LEN_MASK) as usize
    }

    /// Where they start, from the first byte of the class.
    #[inline]
    pub fn position(self) -> usize {
        (self.0 >> LEN_BITS) as usize
    }

    /// Where they start in their slot, which has so many bytes.
    #[inline]
    pub fn offset(self, slot_bytes: usize) -> usize {
        self.position() & (slot_bytes - 1)
    }

    /// The number of the slot.
    #[inline]
    pub fn slot(self, slot_shift: u32) -> u32 {
        (self.0 >> slot_shift) as u32
    }

    /// Takes so many bytes behind the range in, which the slot has.
    #[inline]
    pub fn grow(&mut self, bytes: usize) {
        self.0 += bytes as u64;
    }

    /// Drops so many bytes from the front, which the range has.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.len());
        let step = if bytes == self.len() { 0 } else { bytes };
        self.0 = self.0 - bytes as u64 + ((step as u64) << LEN_BITS);
    }

    /// Takes so many bytes before the range in, which the slot has.
    #[inline]
    pub fn retreat(&mut self, bytes: usize) {
        self.0 = self.0 - ((bytes as u64) << LEN_BITS) + bytes as u64;
    }

    /// Keeps the first `len` bytes; longer is no change.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.0 -= (self.len() - self.len().min(len)) as u64;
    }

    /// The bytes from `start` to `end`, counted in this range and within it.
    #[inline]
    pub fn part(self, start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= self.len());
        let step = if start == end { 0 } else { start };
        Self((self.0 & !LEN_MASK) + ((step as u64) << LEN_BITS) + (end - start) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::SLOT_BYTES_MIN;

    fn all_sizes() -> impl Iterator<Item = u32> {
        (SLOT_BYTES_MIN.ilog2()..=SLOT_BYTES_MAX.ilog2()).map(|bits| 1 << bits)
    }

    #[test]
    fn the_last_slot_of_the_largest_class_is_named_to_its_last_byte() {
        for slot_bytes in all_sizes() {
            let (shift, whole) = (Span::slot_shift(slot_bytes), slot_bytes as usize);
            let slot = u32::try_from(CLASS_BYTES_MAX / u64::from(slot_bytes) - 1);
            let slot = slot.unwrap_or(u32::MAX);
            let span = Span::new(slot, shift, 0, whole);
            assert_eq!((span.slot(shift), span.offset(whole), span.len()), (slot, 0, whole));
            let last = span.part(whole - 1, whole);
            assert_eq!((last.slot(shift), last.offset(whole), last.len()), (slot, whole - 1, 1));
            assert_eq!(last.position(), slot as usize * whole + whole - 1);
        }
    }

    #[test]
    fn what_is_empty_stays_in_its_slot() {
        for slot_bytes in all_sizes() {
            let (shift, whole) = (Span::slot_shift(slot_bytes), slot_bytes as usize);
            let mut span = Span::new(3, shift, 0, whole);
            let end = span.part(whole, whole);
            assert_eq!((end.slot(shift), end.len()), (3, 0));
            span.advance(whole - 1);
            assert_eq!((span.offset(whole), span.len()), (whole - 1, 1));
            span.advance(1);
            span.advance(0);
            assert_eq!((span.slot(shift), span.len()), (3, 0));
            let at_the_end = Span::new(3, shift, whole, 0);
            assert_eq!((at_the_end.slot(shift), at_the_end.len()), (3, 0));
        }
    }

    proptest! {
        #[test]
        fn a_span_does_what_a_range_of_its_slot_does(
            bits in SLOT_BYTES_MIN.ilog2()..=SLOT_BYTES_MAX.ilog2(),
            slot in 0u32..1000,
            ops in prop::collection::vec((0u8..4, any::<u32>()), 0..60),
        ) {
            let whole = 1usize << bits;
            let shift = Span::slot_shift(whole as u32);
            let (mut span, mut start, mut len) = (Span::new(slot, shift, 0, 0), 0, 0);
            for (op, value) in ops {
                let below = |most: usize| value as usize % (most + 1);
                match op {
                    0 => {
                        let bytes = below(whole - start - len);
                        span.grow(bytes);
                        len += bytes;
                    }
                    1 => {
                        let bytes = below(len);
                        span.advance(bytes);
                        start += if bytes == len { 0 } else { bytes };
                        len -= bytes;
                    }
                    2 => {
                        span.truncate(below(2 * whole));
                        len = len.min(below(2 * whole));
                    }
                    _ => {
                        let from = below(len);
                        let to = from + (value as usize / 7) % (len - from + 1);
                        span = span.part(from, to);
                        start += if from == to { 0 } else { from };
                        len = to - from;
                    }
                }
                let seen = (span.slot(shift), span.offset(whole), span.len(), span.position());
                prop_assert_eq!(seen, (slot, start, len, slot as usize * whole + start));
            }
        }
    }
}
