//! Every bound of the dataplane: its unit in its name, its reason beside it, and the relations
//! between bounds asserted at compile time.

/// Most bufs in one burst: large enough to spread the cost of a stage over its messages, small
/// enough that the four bursts of a listener stay in L1 (4 × 64 × 32 bytes = 8 KiB).
pub const BURST_MAX: usize = 64;

/// Most lcores in one process, and so the number of per-lcore caches a mempool carries.
pub const LCORES_MAX: usize = 64;

/// Most listeners on one lcore: their index is one byte of a completion's token and one bit of the
/// work mask.
pub const LISTENERS_MAX: usize = 32;

const _: () = assert!(LISTENERS_MAX <= u32::BITS as usize);

/// Connections that may wait to be accepted, per listening socket; the kernel lowers it to
/// net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;
