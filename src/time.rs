//! Time as the dataplane sees it: a monotonic [`Instant`] handed down as an argument, the one place
//! that reads the clock, and the [`TimerWheel`]. Calendar dates are not here: protocols that send
//! them format them.

mod wheel;

use std::sync::{Mutex, PoisonError};

pub use wheel::{TICK_NS, TimerId, TimerWheel};

use crate::sync::{AtomicU64, Ordering};

/// A moment on the monotonic clock of this process, in nanoseconds from an arbitrary origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment `ns` after the origin: 584 years fit. Tests make up their time with this.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the origin.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// The moment `delay_ns` later, or the last one there is.
    pub const fn after_ns(self, delay_ns: u64) -> Self {
        Self(self.0.saturating_add(delay_ns))
    }

    /// Nanoseconds since `earlier`, zero if it is in fact later.
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clock: an lcore reads it once a round and passes the [`Instant`] on.
///
/// Copies share their origin, so instants read from them compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Monotonic {
        origin: std::time::Instant,
    },
    /// Nanoseconds since the origin, set by a [`ClockHand`].
    ByHand(&'static AtomicU64),
}

/// What moves a clock that was made by [`Clock::by_hand`].
#[derive(Debug)]
pub struct ClockHand(&'static AtomicU64);

impl ClockHand {
    /// Lets `ns` nanoseconds pass.
    pub fn advance_ns(&self, ns: u64) {
        // Relaxed: a time orders nothing but itself.
        self.0.fetch_add(ns, Ordering::Relaxed);
    }
}

impl Clock {
    /// A clock whose origin is now. A process makes one and copies it to each lcore.
    pub fn start() -> Self {
        Self { source: Source::Monotonic { origin: std::time::Instant::now() } }
    }

    /// A clock that stands still until its hand moves it, so that a test of seconds takes none and
    /// runs the same each time. It lives until the process ends: 8 bytes.
    pub fn by_hand() -> (Self, ClockHand) {
        // Where whoever looks for leaks finds that it is none.
        static HANDS: Mutex<Vec<&AtomicU64>> = Mutex::new(Vec::new());
        let now: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        HANDS.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        (Self { source: Source::ByHand(now) }, ClockHand(now))
    }

    /// Reads `CLOCK_MONOTONIC`: a vDSO call, no system call. Never decreases.
    pub fn now(&self) -> Instant {
        match self.source {
            // 584 years of nanoseconds fit in a u64
            Source::Monotonic { origin } => Instant(origin.elapsed().as_nanos() as u64),
            Source::ByHand(now) => Instant(now.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //
    #[test]
    fn the_clock_never_decreases_and_its_copies_agree() {
        let clock = Clock::start();
        let copy = clock;
        let mut last = Instant::from_ns(0);
        for _ in 0..1000 {
            let (first, second) = (clock.now(), copy.now());
            assert!(last <= first && first <= second);
            last = second;
        }
    }

    #[test]
    fn a_clock_moved_by_hand_stands_still_in_between() {
        let (clock, hand) = Clock::by_hand();
        let copy = clock;
        assert_eq!(clock.now(), Instant::from_ns(0));
        hand.advance_ns(7);
        assert_eq!((clock.now(), copy.now()), (Instant::from_ns(7), Instant::from_ns(7)));
    }

    #[test]
    fn moments_saturate_at_both_ends() {
        let late = Instant::from_ns(u64::MAX - 1);
        assert_eq!(late.after_ns(7), Instant::from_ns(u64::MAX));
        assert_eq!(Instant::from_ns(3).ns_since(late), 0);
        assert_eq!(late.ns_since(Instant::from_ns(3)), u64::MAX - 4);
    }
}
