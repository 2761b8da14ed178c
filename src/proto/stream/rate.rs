//! Rate limits (D-21): buckets that packets and bytes are taken from, and that fill with time. They do
//! not hold packets back; while one is empty, no credit is given, nor to a channel that is opened then.

use crate::time::Instant;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// What may come in a second; 0 is as much as likes to. Buckets hold a second's worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Packets a second.
    pub packets: u32,
    /// Bytes of payload a second.
    pub bytes: u32,
}

/// The two buckets of a channel or a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    packets: Bucket,
    bytes: Bucket,
}

impl Pace {
    /// Full buckets: a second's worth may come at once.
    pub const fn new(rate: Rate, now: Instant) -> Self {
        Self { packets: Bucket::new(rate.packets, now), bytes: Bucket::new(rate.bytes, now) }
    }

    /// A packet with so many bytes has come.
    #[inline]
    pub fn take(&mut self, now: Instant, bytes: u32) {
        self.packets.take(now, 1);
        self.bytes.take(now, bytes);
    }

    /// When credit may be given: now, or later.
    #[inline]
    pub fn ready_at(&self, now: Instant) -> Instant {
        self.packets.ready_at(now).max(self.bytes.ready_at(now))
    }
}

/// A bucket whose level is the time at which it would be full: to take from it moves that on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// Nanoseconds for one; 0 for no limit. In units of 2⁻¹⁶ ns, so that no rate is rounded by more than
    /// one in some thousands.
    each: u64,
    full_at: Instant,
}

impl Bucket {
    const fn new(rate: u32, now: Instant) -> Self {
        let each = if rate == 0 { 0 } else { (SECOND_NS << 16) / rate as u64 };
        Self { each, full_at: now }
    }

    #[inline]
    fn take(&mut self, now: Instant, count: u32) {
        if self.each > 0 {
            let cost = ((u128::from(self.each) * u128::from(count)) >> 16) as u64;
            self.full_at = self.full_at.max(now).after_ns(cost);
        }
    }

    /// It holds a second's worth: empty it is while full is more than that away.
    #[inline]
    fn ready_at(&self, now: Instant) -> Instant {
        match self.full_at.ns_since(now).saturating_sub(SECOND_NS) {
            0 => now,
            wait => now.after_ns(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_ns(5_000);

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_it_takes_time() {
        let mut pace = Pace::new(Rate { packets: 10, bytes: 0 }, START);
        (0..10).for_each(|_| pace.take(START, 1000));
        assert_eq!(pace.ready_at(START), START);
        pace.take(START, 1000);
        assert_eq!(pace.ready_at(START), START.after_ns(SECOND_NS / 10));
        let later = START.after_ns(SECOND_NS / 10);
        assert_eq!(pace.ready_at(later), later);
    }

    #[test]
    fn bytes_and_packets_are_limited_each_by_itself() {
        let mut pace = Pace::new(Rate { packets: 0, bytes: 1000 }, START);
        pace.take(START, 1500);
        assert_eq!(pace.ready_at(START), START.after_ns(SECOND_NS / 2));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let mut pace = Pace::new(Rate::default(), START);
        (0..100).for_each(|_| pace.take(START, u32::MAX));
        assert_eq!(pace.ready_at(START), START);
    }

    proptest! {
        /// Whoever takes one whenever it may gets the rate, and a second's worth more.
        #[test]
        fn over_time_no_more_comes_than_the_rate(rate in 1u32..100_000, seconds in 1u64..4) {
            let mut pace = Pace::new(Rate { packets: rate, bytes: 0 }, START);
            let end = START.after_ns(seconds * SECOND_NS);
            let (mut now, mut count) = (START, 0u64);
            while now < end {
                pace.take(now, 0);
                count += 1;
                now = pace.ready_at(now);
            }
            let most = u64::from(rate) * (seconds + 1);
            prop_assert!(count <= most + 2 + most / 1000 && count + 2 + most / 1000 >= most);
        }
    }
}
