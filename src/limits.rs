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

/// Connections that may wait to be accepted, per listening socket; the kernel lowers it to
/// net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Size classes of one mempool.
pub const CLASSES_MAX: usize = 4;

/// Smallest slot: below a cache line's pair, neighbours would share lines.
pub const SLOT_BYTES_MIN: usize = 128;

/// Largest slot: a message that must be contiguous is never larger.
pub const SLOT_BYTES_MAX: usize = 1 << 20;

/// Free slots that one lcore keeps to itself, per size class.
pub const CACHE_SLOTS: usize = 512;

/// Slots fetched from the shared free ring when an lcore's cache is empty: enough to spread the
/// cost of the ring, few enough that a refill brings no cold megabytes into the hot set.
pub const CACHE_REFILL: usize = 64;

const _: () = assert!(CACHE_REFILL <= CACHE_SLOTS / 2);

/// Submission entries of an lcore's io_uring: operations queued between two enters.
pub const SQ_ENTRIES: u32 = 1024;

/// Completion entries: what one enter may bring before the kernel keeps an overflow list.
pub const CQ_ENTRIES: u32 = 8192;

/// Bufs that one gathered send carries.
pub const GATHER_MAX: usize = 64;
