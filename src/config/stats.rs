//! What is measured, and who may look at it.

use std::time::Duration;

use crate::limits::{STATS_MODE, STATS_SAMPLING, WATCHDOG_NS};

/// The statistics of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsConfig {
    /// One in how many passes of a poll loop is measured stage by stage; 0: none.
    pub sampling: u32,
    /// Permissions of the file that they lie in.
    pub mode: u32,
    /// How long an lcore may be in one pass before that is said.
    pub watchdog: Duration,
    /// Whether its backtrace is said as well.
    pub backtrace: bool,
}

impl Default for StatsConfig {
    fn default() -> Self {
        Self {
            sampling: STATS_SAMPLING,
            mode: STATS_MODE,
            watchdog: Duration::from_nanos(WATCHDOG_NS),
            backtrace: false,
        }
    }
}
