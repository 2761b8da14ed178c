//! What an lcore does when a pass found no work: spin, pause, or sleep; and how its time is booked.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::config::IdleMode;
use crate::counters::{Counter, Counters};
use crate::sync::spin_loop;
use crate::time::Instant;

/// Idle time that `adaptive` spins through: most gaps between messages of a busy peer are shorter,
/// and waking a halted core costs about as much.
const SPIN_NS: u64 = 50_000;

/// Idle time after which `adaptive` sleeps; between the two it pauses the core's pipeline.
const PAUSE_NS: u64 = 200_000;

/// Pauses in a row between two looks around.
const PAUSES: u32 = 32;

/// The longest sleep: a bound on how long a lost wake-up could cost, were there one.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// How long work may wait for room before it is tried again.
pub const STALLED_NAP: Duration = Duration::from_micros(200);

/// The idle ladder of one lcore and the time it has booked.
pub struct Idle {
    mode: IdleMode,
    /// When the last pass with work ended.
    since: Instant,
    /// Up to where the time is booked.
    booked: Instant,
    /// The last pass found work.
    worked: bool,
    /// A pass since the clock was read found work.
    any_work: bool,
    /// It did and the one before did not, or the other way round.
    turned: bool,
    /// Passes since the clock was read.
    passes: u32,
}

impl Idle {
    pub fn new(mode: IdleMode, now: Instant) -> Self {
        Self {
            mode,
            since: now,
            booked: now,
            worked: true,
            any_work: false,
            turned: true,
            passes: 0,
        }
    }

    /// From here on does this instead.
    pub fn set_mode(&mut self, mode: IdleMode) {
        self.mode = mode;
    }

    /// Whether the clock should be read: when work begins or ends, and now and then in between.
    #[inline]
    pub fn wants_clock(&mut self, passes: u32) -> bool {
        self.passes += 1;
        self.turned || self.passes >= passes
    }

    /// Passes since this was last asked.
    #[inline]
    pub fn take_passes(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.passes))
    }

    /// Books the time up to `now` as busy or idle.
    #[inline]
    pub fn book(&mut self, counters: &Counters, now: Instant) {
        let counter = if self.any_work { Counter::BusyNs } else { Counter::IdleNs };
        self.any_work = false;
        self.turned = false;
        counters.add(counter, now.ns_since(self.booked));
        self.booked = now;
    }

    /// Takes note of a pass; pauses where the ladder says so, and returns for how long at most to
    /// sleep where it says that.
    #[inline]
    pub fn after_pass(&mut self, work: usize, now: Instant) -> Option<Duration> {
        let worked = work > 0;
        self.any_work |= worked;
        self.turned |= worked != self.worked;
        self.worked = worked;
        if worked {
            self.since = now;
            return None;
        }
        match self.mode {
            IdleMode::Busy => None,
            IdleMode::Sleep => Some(SLEEP_MAX),
            IdleMode::Adaptive => match now.ns_since(self.since) {
                idle if idle < SPIN_NS => None,
                idle if idle < PAUSE_NS => {
                    (0..PAUSES).for_each(|_| spin_loop());
                    None
                }
                _ => Some(SLEEP_MAX),
            },
        }
    }

    /// Books a sleep from `from` to `to`.
    pub fn slept(&mut self, counters: &Counters, from: Instant, to: Instant) {
        // The last passes with work may have had no reading of the clock behind them.
        self.book(counters, from);
        counters.add(Counter::SleepNs, to.ns_since(from));
        counters.add(Counter::Sleeps, 1);
        self.booked = to;
        // The clock of the last pass is old: read it in the next.
        self.turned = true;
        self.worked = true;
    }
}

/// Waits for the doorbell on an lcore that has no ring to wait in.
pub fn nap_on(bell: BorrowedFd<'_>, timeout: Duration) {
    let mut fds = [nix::poll::PollFd::new(bell, nix::poll::PollFlags::POLLIN)];
    let timeout = nix::poll::PollTimeout::try_from(timeout).unwrap_or(nix::poll::PollTimeout::MAX);
    // An interrupted wait is a short one.
    let _ = nix::poll::poll(&mut fds, timeout);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booked(counters: &Counters) -> [u64; 3] {
        [Counter::BusyNs, Counter::IdleNs, Counter::SleepNs].map(|counter| counters.get(counter))
    }

    #[test]
    fn work_that_a_sleep_follows_at_once_is_busy_time() {
        let (counters, at) = (Counters::default(), Instant::from_ns);
        let mut idle = Idle::new(IdleMode::Sleep, at(0));
        idle.book(&counters, at(10));
        assert_eq!(idle.after_pass(1, at(10)), None);
        assert!(idle.after_pass(0, at(10)).is_some());
        idle.slept(&counters, at(110), at(1110));
        assert_eq!(booked(&counters), [100, 10, 1000]);
        assert!(idle.after_pass(0, at(1110)).is_some(), "woken for nothing");
        idle.slept(&counters, at(1115), at(2115));
        assert_eq!(booked(&counters), [100, 15, 2000]);
    }
}
