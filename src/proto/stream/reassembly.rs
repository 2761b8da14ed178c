//! Whether the pieces of a channel's messages come in order and whole. No byte is kept here: whoever
//! gets the pieces puts them together.

use super::batch::List;
use super::fragment::Fragment;

/// Where a piece stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// A message begins with it; one that has not ended before it never will.
    pub first: bool,
    /// Its message ends with it.
    pub last: bool,
    /// Bytes of the message, which may be compressed.
    pub message_bytes: u32,
}

/// What a payload is, before it is known whether it may come now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A message of so many bytes.
    Whole(u32),
    /// A piece of one.
    Piece(Fragment),
    /// Several whole ones.
    Batch(List),
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Where it belongs; `None`: to a message whose beginning is lost.
    pub place: Option<Place>,
    /// A message that had begun never ends.
    pub torn: bool,
}

/// The message of a channel that is coming in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reassembly {
    message: Option<Begun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    /// Where the next piece belongs, `0 < offset < full_size`.
    offset: u32,
    full_size: u32,
    compressed: bool,
}

impl Part {
    /// Bytes of the message that it has.
    #[inline]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Whole(size) => size,
            Self::Piece(fragment) => fragment.frag_size,
            Self::Batch(list) => list.bytes,
        }
    }

    /// Bytes of the message; of several those of all.
    #[inline]
    pub const fn message_bytes(self) -> u32 {
        match self {
            Self::Whole(size) => size,
            Self::Piece(fragment) => fragment.full_size,
            Self::Batch(list) => list.bytes,
        }
    }

    /// How many messages it is; a piece of one counts as it.
    #[inline]
    pub const fn count(self) -> u8 {
        match self {
            Self::Whole(_) | Self::Piece(_) => 1,
            Self::Batch(list) => list.messages,
        }
    }
}

impl Reassembly {
    /// Takes the next part of a channel. Where packets are `missing` before it, no message goes on: the
    /// beginning of one and the end of another of the same size would fit.
    #[inline]
    pub fn take(&mut self, part: Part, compressed: bool, missing: bool) -> Step {
        let before = self.message.take();
        match part {
            Part::Whole(_) | Part::Batch(_) => {
                let message_bytes = part.message_bytes();
                let place = Place { first: true, last: true, message_bytes };
                Step { place: Some(place), torn: before.is_some() }
            }
            Part::Piece(fragment) => {
                let next = before.filter(|_| !missing);
                let place = self.piece(fragment, compressed, next);
                let goes_on = place.is_some_and(|place| !place.first);
                Step { place, torn: before.is_some() && !goes_on }
            }
        }
    }

    fn piece(
        &mut self,
        fragment: Fragment,
        compressed: bool,
        next: Option<Begun>,
    ) -> Option<Place> {
        let Fragment { frag_size, offset, full_size } = fragment;
        let this = Begun { offset, full_size, compressed };
        if offset != 0 && next != Some(this) {
            return None;
        }
        let end = offset + frag_size;
        if end < full_size {
            self.message = Some(Begun { offset: end, ..this });
        }
        Some(Place { first: offset == 0, last: end == full_size, message_bytes: full_size })
    }

    /// Whether part of a message has come, and not its end.
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.message.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::stream::fragment::Pieces;

    fn piece(frag_size: u32, offset: u32, full_size: u32) -> Part {
        Part::Piece(Fragment { frag_size, offset, full_size })
    }

    fn at(first: bool, last: bool, message_bytes: u32) -> Option<Place> {
        Some(Place { first, last, message_bytes })
    }

    #[test]
    fn pieces_in_order_are_first_and_last_where_they_are() {
        let mut reassembly = Reassembly::default();
        let mut take = |part| reassembly.take(part, false, false);
        assert_eq!(take(piece(4, 0, 10)), Step { place: at(true, false, 10), torn: false });
        assert_eq!(take(piece(4, 4, 10)), Step { place: at(false, false, 10), torn: false });
        assert_eq!(take(piece(2, 8, 10)), Step { place: at(false, true, 10), torn: false });
        assert_eq!(take(Part::Whole(0)), Step { place: at(true, true, 0), torn: false });
        assert_eq!(take(piece(10, 0, 10)), Step { place: at(true, true, 10), torn: false });
    }

    #[test]
    fn a_piece_that_is_not_the_next_tears_its_message_and_the_next_first_one_begins_anew() {
        for wrong in [piece(4, 5, 10), piece(4, 4, 11), piece(4, 3, 10)] {
            let mut reassembly = Reassembly::default();
            reassembly.take(piece(4, 0, 10), false, false);
            assert_eq!(reassembly.take(wrong, false, false), Step { place: None, torn: true });
            assert!(!reassembly.is_open());
            let late = reassembly.take(piece(4, 4, 10), false, false);
            assert_eq!(late, Step { place: None, torn: false });
            let anew = reassembly.take(piece(4, 0, 10), false, false);
            assert_eq!(anew, Step { place: at(true, false, 10), torn: false });
            let whole = reassembly.take(Part::Whole(3), false, false);
            assert_eq!(whole, Step { place: at(true, true, 3), torn: true });
        }
    }

    #[test]
    fn a_message_is_compressed_or_not_from_end_to_end() {
        let mut reassembly = Reassembly::default();
        reassembly.take(piece(4, 0, 10), true, false);
        let plain = reassembly.take(piece(4, 4, 10), false, false);
        assert_eq!(plain, Step { place: None, torn: true });
    }

    #[test]
    fn the_end_of_another_message_of_the_same_size_is_not_joined_to_the_beginning_of_one() {
        let mut reassembly = Reassembly::default();
        reassembly.take(piece(4, 0, 8), false, false);
        let other = reassembly.take(piece(4, 4, 8), false, true);
        assert_eq!(other, Step { place: None, torn: true });
    }

    proptest! {
        /// Some packets are lost; what comes out whole is what lost none of its pieces.
        #[test]
        fn messages_that_lost_no_piece_come_out_and_no_others(
            messages in prop::collection::vec((0u32..50, prop::collection::vec(any::<bool>(), 8)), 0..40),
        ) {
            let mut reassembly = Reassembly::default();
            let (mut whole, mut expected, mut bytes) = (Vec::new(), Vec::new(), 0);
            let (mut begun, mut missing) = (false, false);
            for (size, lost) in &messages {
                let pieces: Vec<_> = Pieces::new(*size, 7, 7).collect();
                for (piece, lost) in pieces.iter().zip(lost){
                    if *lost {
                        missing = true;
                        continue;
                    }
                    let part = match piece.is_whole() {
                        true => Part::Whole(*size),
                        false => Part::Piece(Fragment {
                            frag_size: piece.len, offset: piece.offset, full_size: *size,
                        }),
                    };
                    let step = reassembly.take(part, false, std::mem::take(&mut missing));
                    prop_assert!(!step.torn || begun);
                    begun &= !step.torn;
                    let Some(place) = step.place else { continue };
                    prop_assert_eq!(begun, !place.first);
                    if place.first { bytes = 0 }
                    bytes += piece.len;
                    begun = !place.last;
                    if place.last {
                        prop_assert_eq!(bytes, place.message_bytes);
                        whole.push(bytes);
                    }
                }
                if pieces.iter().zip(lost).all(|(_, lost)| !lost) {
                    expected.push(*size);
                }
            }
            prop_assert_eq!(whole, expected);
        }
    }
}
