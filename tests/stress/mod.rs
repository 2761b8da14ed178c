//! What the stress tests have in common: scale and seed from the environment, and an end for a run
//! that hangs.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A run that is this late hangs.
pub const WATCHDOG: Duration = Duration::from_secs(300);

/// The number in the environment variable `name`; without it `default`, a tenth of it in debug
/// builds.
pub fn scaled(name: &str, default: u64) -> u64 {
    let default = if cfg!(debug_assertions) { default / 10 } else { default };
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Small random numbers (xorshift).
pub struct Random(u64);

impl Random {
    /// Numbers from the seed in the environment variable `name`, or a seed that it prints.
    pub fn seeded(name: &str, salt: u64) -> Self {
        let seed = std::env::var(name).map_or_else(
            |_| u64::from(std::process::id()) << 20 | 0x9e37,
            |text| text.parse().expect("a number"),
        );
        // Not `println`: its buffer would be one more thing that the threads share.
        eprintln!("{name}={seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (salt + 1).wrapping_mul(0xd129_0d3d))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// Runs `body` on a thread of its own and fails when it hangs.
pub fn guarded(body: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    match finished.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs"),
        _ => worker.join().expect("the body passes"),
    }
}
