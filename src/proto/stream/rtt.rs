//! Round trips: a moving mean and a histogram (D-10, D-16).

use crate::limits::STREAM_RTT_BUCKETS;

/// What the round trips of a stream were like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtt {
    mean_ns: u64,
    last_ns: u64,
    count: u64,
    buckets: [u32; STREAM_RTT_BUCKETS],
}

impl Rtt {
    /// None yet.
    pub const fn new() -> Self {
        Self { mean_ns: 0, last_ns: 0, count: 0, buckets: [0; STREAM_RTT_BUCKETS] }
    }

    /// One more.
    pub fn add(&mut self, ns: u64) {
        // The first is the best guess; from then on an eighth of each (RFC 6298 §2).
        self.mean_ns = match self.count {
            0 => ns,
            _ => self.mean_ns - self.mean_ns / 8 + ns / 8,
        };
        self.last_ns = ns;
        self.count += 1;
        let bucket = (ns / 1000).checked_ilog2().map_or(0, |log| log as usize + 1);
        let bucket = &mut self.buckets[bucket.min(STREAM_RTT_BUCKETS - 1)];
        *bucket = bucket.saturating_add(1);
    }

    /// Round trips measured.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The moving mean in nanoseconds, 0 before the first.
    pub const fn mean_ns(&self) -> u64 {
        self.mean_ns
    }

    /// The moving mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.mean_ns as f64 / 1e6
    }

    /// The last one in nanoseconds.
    pub const fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Less than how many nanoseconds the quickest `percent` of them took, as far as the histogram tells: a
    /// power of two of a microsecond. `None`: there were none, or some of these are in the last bucket.
    pub fn quantile_ns(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.buckets.iter().map(|&count| u64::from(count)).sum();
        let (wanted, mut seen) = ((all * percent).div_ceil(100).max(1), 0);
        let reaches = |&count: &u32| {
            seen += u64::from(count);
            seen >= wanted
        };
        let bucket = self.buckets.iter().position(reaches)?;
        Self::bound_ns(bucket)
    }

    /// Less than how many nanoseconds those in a bucket took; the last one has no bound.
    pub const fn bound_ns(bucket: usize) -> Option<u64> {
        if bucket < STREAM_RTT_BUCKETS - 1 { Some(1000 << bucket) } else { None }
    }

    /// How many took less than 1 µs, then less than 2 µs, than 4 µs and so on; the last bucket has all that
    /// took longer.
    pub const fn histogram(&self) -> &[u32; STREAM_RTT_BUCKETS] {
        &self.buckets
    }
}

impl Default for Rtt {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_begins_at_a_power_of_two_of_a_microsecond() {
        let bucket = |ns| {
            let mut rtt = Rtt::new();
            rtt.add(ns);
            rtt.histogram().iter().position(|&count| count == 1).unwrap()
        };
        assert_eq!((bucket(0), bucket(999), bucket(1000), bucket(1999)), (0, 0, 1, 1));
        assert_eq!((bucket(2000), bucket(3999), bucket(4000)), (2, 2, 3));
        assert_eq!((bucket(1000 << 29), bucket(1000 << 30), bucket(u64::MAX)), (30, 31, 31));
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_that_it_falls_into() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.quantile_ns(50), None);
        (0..98).for_each(|_| rtt.add(1500));
        assert_eq!((rtt.quantile_ns(0), rtt.quantile_ns(100)), (Some(2000), Some(2000)));
        rtt.add(5_000_000);
        rtt.add(u64::MAX);
        assert_eq!((rtt.quantile_ns(50), rtt.quantile_ns(98)), (Some(2000), Some(2000)));
        assert_eq!(rtt.quantile_ns(99), Some(8_192_000));
        assert_eq!(rtt.quantile_ns(100), None, "the last bucket has no bound");
    }

    #[test]
    fn the_mean_starts_at_the_first_and_moves_by_an_eighth() {
        let mut rtt = Rtt::new();
        rtt.add(8_000_000);
        assert_eq!((rtt.mean_ns(), rtt.mean_ms()), (8_000_000, 8.0));
        rtt.add(16_000_000);
        assert_eq!((rtt.mean_ns(), rtt.last_ns(), rtt.count()), (9_000_000, 16_000_000, 2));
    }
}
