//! Bounds of what is counted and looked at.

/// One in how many passes of a poll loop is measured stage by stage, unless the configuration says otherwise: the others
/// pay nothing, and a thousand measured passes a second are there where it is busy.
pub const STATS_SAMPLING: u32 = 16;

/// The most that a configuration may ask for.
pub const STATS_SAMPLING_MAX: u32 = 1 << 20;

/// Permissions of the file that the statistics lie in.
pub const STATS_MODE: u32 = 0o600;

/// How often pools and ports are looked at, and lcores whether they come round, in nanoseconds.
pub const STATS_PUBLISH_NS: u64 = 250_000_000;

/// How long an lcore may be in one pass before that is said, unless the configuration says otherwise: a handler that
/// computes for so long holds up all peers of its lcore.
pub const WATCHDOG_NS: u64 = 1_000_000_000;

/// No less may be asked for than two looks.
pub const WATCHDOG_NS_MIN: u64 = 2 * STATS_PUBLISH_NS;
