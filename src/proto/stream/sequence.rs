//! The numbers of a channel's packets: 32 bits on the wire, 64 in mind, and never one twice (D-20).

/// Numbers what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendSequence {
    next: u64,
}

impl SendSequence {
    /// The number of the next packet.
    #[inline]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Takes a number.
    #[inline]
    pub fn take(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// How a packet's number stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is new: its whole number.
    New(u64),
    /// It has been here, or has been given up.
    Old,
}

/// Tells new packets from old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveSequence {
    /// One past the highest number that was accepted.
    next: u64,
    /// The first number is not known, and no gap.
    unsettled: bool,
}

impl ReceiveSequence {
    /// Expects numbers from any on: those before it went with packets that nothing proves.
    pub const fn anywhere() -> Self {
        Self { next: 0, unsettled: true }
    }

    /// The number of the next packet if none is lost.
    #[inline]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Where a number belongs: up to 2³¹ ahead it is new, anything else old (RFC 1982). Moves nothing.
    #[inline]
    pub const fn classify(&self, seq_id: u32) -> Arrival {
        let ahead = seq_id.wrapping_sub(self.next as u32);
        if ahead < 1 << 31 { Arrival::New(self.next + ahead as u64) } else { Arrival::Old }
    }

    /// Takes a number that was [classified](Self::classify) as new and whose packet is the peer's; says
    /// how many before it are lost.
    #[inline]
    pub fn accept(&mut self, number: u64) -> u64 {
        debug_assert!(number >= self.next, "{number} is old: {self:?}");
        let lost = if self.unsettled { 0 } else { number - self.next };
        *self = Self { next: number + 1, unsettled: false };
        lost
    }
}

/// The number nearest to `near` whose lower half is `low`.
#[inline]
pub const fn extend(near: u64, low: u32) -> u64 {
    let distance = low.wrapping_sub(near as u32) as i32;
    near.saturating_add_signed(distance as i64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn at(next: u64) -> ReceiveSequence {
        ReceiveSequence { next, unsettled: false }
    }

    #[test]
    fn a_gap_is_counted_and_what_was_in_it_is_old() {
        let mut receive = ReceiveSequence::default();
        assert_eq!(receive.classify(0), Arrival::New(0));
        assert_eq!(receive.accept(0), 0);
        assert_eq!(receive.classify(5), Arrival::New(5));
        assert_eq!(receive.accept(5), 4);
        for old in 0..=5 {
            assert_eq!(receive.classify(old), Arrival::Old, "{old}");
        }
    }

    #[test]
    fn numbers_go_on_over_the_wrap_of_the_wire() {
        let mut receive = at(u64::from(u32::MAX));
        assert_eq!(receive.classify(u32::MAX), Arrival::New(0xffff_ffff));
        receive.accept(0xffff_ffff);
        assert_eq!(receive.classify(0), Arrival::New(1 << 32));
        assert_eq!(receive.classify(u32::MAX), Arrival::Old);
        receive.accept(1 << 32);
        assert_eq!(receive.classify(1), Arrival::New((1 << 32) + 1));
    }

    #[test]
    fn half_of_all_numbers_are_ahead_and_half_are_old() {
        for next in [0, 7, 1 << 31, u64::from(u32::MAX), 5 << 40] {
            let low = next as u32;
            let last = Arrival::New(next + (1 << 31) - 1);
            assert_eq!(at(next).classify(low.wrapping_add((1 << 31) - 1)), last);
            assert_eq!(at(next).classify(low.wrapping_add(1 << 31)), Arrival::Old);
            assert_eq!(at(next).classify(low.wrapping_sub(1)), Arrival::Old);
        }
    }

    #[test]
    fn where_the_first_number_is_not_known_it_is_no_gap() {
        let mut receive = ReceiveSequence::anywhere();
        assert_eq!(receive.accept(9), 0);
        assert_eq!(receive.classify(9), Arrival::Old);
        assert_eq!(receive.accept(11), 1);
    }

    #[test]
    fn a_half_number_is_extended_to_the_nearest() {
        assert_eq!(extend(10, 12), 12);
        assert_eq!(extend(10, 8), 8);
        assert_eq!(extend((1 << 32) + 1, u32::MAX), 0xffff_ffff);
        assert_eq!(extend(0xffff_ffff, 1), (1 << 32) + 1);
        assert_eq!(extend(1, u32::MAX), 0, "there is nothing before the first");
    }

    proptest! {
        /// Packets in any order, some of them twice, seen against a set of what was accepted.
        #[test]
        fn no_number_is_new_twice_and_none_after_a_higher_one(
            start in prop_oneof![Just(0u64), Just(u64::from(u32::MAX) - 20), any::<u32>().prop_map(u64::from)],
            steps in prop::collection::vec(-20i64..30, 1..300),
        ) {
            let mut receive = at(start);
            let (mut seen, mut highest, mut lost) = (HashSet::new(), None, 0);
            for step in steps {
                let number = receive.next().saturating_add_signed(step);
                let new = highest.is_none_or(|highest| number > highest) && number >= start;
                let expected = if new { Arrival::New(number) } else { Arrival::Old };
                prop_assert_eq!(receive.classify(number as u32), expected);
                if new {
                    prop_assert!(seen.insert(number));
                    lost += receive.accept(number);
                    highest = Some(number);
                }
            }
            let numbers = highest.map_or(0, |highest| highest + 1 - start);
            prop_assert_eq!(seen.len() as u64 + lost, numbers);
        }
    }
}
