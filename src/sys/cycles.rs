//! The processor's own clock, for spans of a few nanoseconds: reading it costs less than the system's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the two clocks are compared.
const COMPARED: Duration = Duration::from_millis(2);

/// Cycles since some moment. They run at one speed on all cores, whatever the cores' own does.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn now() -> u64 {
    // SAFETY: every x86_64 has the instruction, and user code may execute it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Nanoseconds, where there is no cheaper clock that is known here.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn now() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// How many [`now`] counts in a second. The first call takes 2 ms: it looks.
pub fn per_second() -> u64 {
    static SPEED: OnceLock<u64> = OnceLock::new();
    *SPEED.get_or_init(|| {
        let (from, began) = together();
        while began.elapsed() < COMPARED {
            std::hint::spin_loop();
        }
        let (to, ended) = together();
        let nanos = ended.duration_since(began).as_nanos().max(1);
        (u128::from(to.wrapping_sub(from)) * 1_000_000_000 / nanos).max(1) as u64
    })
}

/// What reading [`now`] costs by itself: whoever measures something short with two readings takes it off.
pub fn cost_of_reading() -> u64 {
    static COST: OnceLock<u64> = OnceLock::new();
    *COST.get_or_init(|| {
        let apart = |_| {
            let before = now();
            now().wrapping_sub(before)
        };
        (0..1000).map(apart).min().unwrap_or_default()
    })
}

/// So many cycles in nanoseconds.
pub fn to_ns(cycles: u64) -> u64 {
    (u128::from(cycles) * 1_000_000_000 / u128::from(per_second())) as u64
}

/// Both clocks, read as close to each other as some tries allow.
fn together() -> (u64, Instant) {
    let read = || {
        let before = now();
        let instant = Instant::now();
        (now().wrapping_sub(before), before, instant)
    };
    let closest = (0..5).map(|_| read()).min_by_key(|(apart, ..)| *apart);
    let (_, cycles, instant) = closest.expect("five are some");
    (cycles, instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_go_on_at_the_speed_that_was_measured() {
        let (from, began) = (now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (to, took) = (now(), began.elapsed());
        let seconds = (to - from) as f64 / per_second() as f64;
        let ratio = seconds / took.as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }
}
