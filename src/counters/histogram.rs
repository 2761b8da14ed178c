//! A histogram of durations with a fixed number of buckets, each at most 1/16 wider than where it begins: from 1 ns to
//! 34 s, whatever is counted. What lies beyond counts in the last.

use serde::Serialize;

/// Buckets between one power of two and the next.
const STEPS: u64 = 16;

/// Bits of a duration below a bucket's power of two.
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Buckets: one for each nanosecond below 16, then 16 for each power of two up to 2³⁵ ns.
pub const BUCKETS: usize = 16 * 32;

/// The bucket of a duration.
#[inline]
pub fn bucket_of(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEP_BITS;
    let step = (ns >> shift) & (STEPS - 1);
    let bucket = u64::from(shift + 1) * STEPS + step;
    (bucket as usize).min(BUCKETS - 1)
}

/// The longest duration of a bucket.
pub fn longest_of(bucket: usize) -> u64 {
    let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match octave.checked_sub(1) {
        None => step,
        Some(shift) => ((STEPS + step + 1) << shift) - 1,
    }
}

/// How often something took how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }
}

impl Histogram {
    /// Counts `n` of a duration.
    pub fn record(&mut self, ns: u64, n: u64) {
        self.add_to(bucket_of(ns), n);
    }

    /// Counts `n` in a bucket. One past the last is the last.
    pub fn add_to(&mut self, bucket: usize, n: u64) {
        let count = &mut self.counts[bucket.min(BUCKETS - 1)];
        *count = count.wrapping_add(n);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *ours = ours.wrapping_add(*theirs);
        }
    }

    /// What was counted since it looked like `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::default();
        for (bucket, count) in since.counts.iter_mut().enumerate() {
            *count = self.counts[bucket].saturating_sub(earlier.counts[bucket]);
        }
        since
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// The duration in nanoseconds that the part `quantile` (0 to 1) of all does not exceed, to 1/16; `None` where nothing
    /// was counted.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let all = self.count();
        let rank = ((all as f64 * quantile).ceil() as u64).clamp(1, all.max(1));
        let mut below = 0;
        let reaches = |count: &u64| {
            below = u64::saturating_add(below, *count);
            below >= rank
        };
        self.counts.iter().position(reaches).map(longest_of)
    }

    /// The buckets in which something was counted: their longest duration in nanoseconds, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (longest_of(bucket), *count))
    }
}

/// As its quantiles in nanoseconds and how many there are.
impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quantile = |q| self.quantile(q);
        let fields = [
            ("count", Some(self.count())),
            ("p50_ns", quantile(0.5)),
            ("p90_ns", quantile(0.9)),
            ("p99_ns", quantile(0.99)),
            ("p999_ns", quantile(0.999)),
            ("p9999_ns", quantile(0.9999)),
            ("max_ns", quantile(1.0)),
        ];
        serializer.collect_map(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_lies_between_the_longest_of_the_one_before_and_its_own() {
        for bucket in 1..BUCKETS {
            let (from, to) = (longest_of(bucket - 1) + 1, longest_of(bucket));
            assert!(from <= to);
            assert_eq!((bucket_of(from), bucket_of(to)), (bucket, bucket));
            assert!(to - from <= from / 16, "{from} to {to}");
        }
        assert_eq!(bucket_of(0), 0);
        assert!(longest_of(BUCKETS - 1) >= 34_000_000_000);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list_to_a_sixteenth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=10_000).for_each(|ns| histogram.record(ns, 1));
        for (quantile, exact) in [(0.5, 5000), (0.99, 9900), (0.9999, 9999), (0.0, 1)] {
            let found = histogram.quantile(quantile).unwrap();
            assert!((exact..=exact + exact / 16).contains(&found), "{quantile}: {found}");
        }
        let earlier = histogram.clone();
        histogram.record(70_000, 3);
        let since = histogram.since(&earlier);
        assert_eq!((since.count(), since.buckets().count()), (3, 1));
        assert_eq!(histogram.count(), 10_003);
    }
}
