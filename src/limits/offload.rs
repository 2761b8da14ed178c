//! Bounds of the offload pool.

use super::LCORES_MAX;

/// Most threads of an offload pool: as many as there can be lcores beside it.
pub const OFFLOAD_THREADS_MAX: usize = LCORES_MAX;

/// Tasks of one lcore that wait or run, unless the configuration says otherwise: as much as a thread gets
/// done in a second where each takes a millisecond, so that nobody waits for longer than that.
pub const OFFLOAD_QUEUE: u32 = 1024;

/// Most of them that a configuration may ask for: each ring has room for those of all lcores.
pub const OFFLOAD_QUEUE_MAX: u32 = 16_384;

/// How long a pool thread waits before it knocks again at an lcore whose mailbox is full, in
/// nanoseconds: some passes of that lcore.
pub const OFFLOAD_WAKE_RETRY_NS: u64 = 50_000;

/// How long a stop waits for work that was begun, in nanoseconds. It sees that it is cancelled; what
/// does not look is left to run on its thread, until the process ends.
pub const OFFLOAD_STOP_NS: u64 = 5_000_000_000;
