//! The end of a test that hangs.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a test may take before it counts as hung: tests take seconds, and on a machine that is
/// busy with much else a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// Aborts the process, with the name of the test, unless it is dropped in time.
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Watches the calling test.
    pub fn start() -> Self {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        let (alive, ended) = mpsc::channel();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs: no end after {} s", PATIENCE.as_secs());
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}
