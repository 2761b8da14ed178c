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

/// One past the highest CPU number the kernel's affinity calls take through the C library's
/// fixed-size set.
pub const CPUS_MAX: usize = 1024;

/// Most connections a configuration may ask of one lcore: their slot is 20 bits of a completion's
/// token.
pub const CONNECTIONS_MAX: u32 = 1 << 20;

/// Longest file prefix in bytes, so that the control socket's path fits the 108 bytes of a Unix
/// socket address.
pub const FILE_PREFIX_BYTES_MAX: usize = 32;

const _: () = assert!(LCORES_MAX <= CPUS_MAX);
const _: () = assert!(LISTENERS_MAX <= u32::BITS as usize);
