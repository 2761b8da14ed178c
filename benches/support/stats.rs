//! Numbers of many rounds or many requests, in brief.

/// The value at `part` (0 to 1) of `values`, which it sorts.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// min, p10, median and max, for a table.
pub fn spread(values: &mut [f64]) -> [f64; 4] {
    [0.0, 0.1, 0.5, 1.0].map(|part| quantile(values, part))
}

/// `min / median / max`, with so many decimals.
pub fn cell(values: &mut [f64], decimals: usize) -> String {
    let [min, _, median, max] = spread(values);
    format!("{min:.decimals$} / {median:.decimals$} / {max:.decimals$}")
}

/// Steps within one power of two: a quantile is at most 3 % too high.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.ilog2();
/// Up to 2^40 ns, which is 18 minutes.
const BUCKETS: usize = (41 - STEP_BITS as usize) * STEPS as usize;

/// How often each duration was seen, in nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts `ns`, `times` over.
    #[inline]
    pub fn add(&mut self, ns: u64, times: u64) {
        self.buckets[Self::index(ns)] += times;
        self.count += times;
        self.max = self.max.max(ns);
    }

    /// Counts all that `other` did.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets.iter()).for_each(|(a, b)| *a += b);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Below two times `STEPS` a bucket is one nanosecond wide; from there it doubles with each power
    /// of two.
    #[inline]
    fn index(ns: u64) -> usize {
        let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(STEP_BITS + 1);
        (u64::from(shift) * STEPS + (ns >> shift)).min(BUCKETS as u64 - 1) as usize
    }

    /// The largest duration that bucket `index` counts.
    fn highest(index: usize) -> u64 {
        let shift = (index as u64 / STEPS).saturating_sub(1);
        ((index as u64 - shift * STEPS + 1) << shift) - 1
    }

    /// The duration that `part` (0 to 1) of all did not exceed, in microseconds.
    pub fn quantile_us(&self, part: f64) -> f64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return Self::highest(index).min(self.max) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.max as f64 / 1000.0
    }
}
