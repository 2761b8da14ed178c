//! Looking at what passes: traces and captures.

/// Messages that one trace shows: what somebody reads, or a script searches.
pub const TRACE_COUNT_MAX: u32 = 10_000;

/// The same where nothing is said of it.
pub const TRACE_COUNT: u32 = 50;

/// Bytes of a message that a trace shows.
pub const TRACE_BYTES: usize = 64;

/// Records that wait on their way from one lcore to who traces it, a power of two: some bursts, each with
/// all of its stages.
pub const TRACE_RECORDS: usize = 8192;

/// Reasons for drops that the record of one stage has room for.
pub const TRACE_REASONS: usize = 4;

/// Bytes that wait on their way from one lcore to who captures it, a power of two: some milliseconds of a fast
/// network.
pub const CAPTURE_RING_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of a buf that a capture keeps, and what it keeps unless told otherwise: all but of huge messages.
pub const CAPTURE_SNAPLEN_MAX: u32 = 256 * 1024;

/// Least: nothing of the bytes, and the headers alone.
pub const CAPTURE_SNAPLEN_MIN: u32 = 0;

/// The share of an lcore's time that a capture may take: one part in so many.
pub const CAPTURE_SHARE: u32 = 10;

/// What of that share may be saved up, in nanoseconds: a burst is copied whole, and an lcore that slept has not
/// earned a second of copying.
pub const CAPTURE_CREDIT_NS: u64 = 2_000_000;

/// Connections of which is remembered, while the ring has no room, what of their bytes was lost.
pub const CAPTURE_GAPS: usize = 64;

/// Connections whose sequence numbers a capture remembers.
pub const CAPTURE_FLOWS_MAX: usize = 262_144;

/// Payload of one synthesised packet: with its headers it fits the 16 bits that IP has for its length.
pub const CAPTURE_SEGMENT_BYTES: usize = 65_000;

const _: () = assert!(CAPTURE_SEGMENT_BYTES + 40 + 20 <= u16::MAX as usize);
const _: () = assert!(CAPTURE_RING_BYTES.is_power_of_two() && TRACE_RECORDS.is_power_of_two());
// A buf that fits an empty ring is not dropped for ever.
const _: () = assert!(CAPTURE_SNAPLEN_MAX as usize + 4096 < CAPTURE_RING_BYTES);

/// Traces and captures of one instance at a time. They leave connections of the control socket to others, who may want
/// to stop it.
pub const WATCHES_MAX: usize = 8;

const _: () = assert!(WATCHES_MAX < super::CONTROL_CONNECTIONS_MAX);

/// How long a trace or capture may go on at most, in seconds: a day.
pub const WATCH_SECONDS_MAX: u32 = 86_400;

/// How often who watches looks into the rings of the lcores, in nanoseconds: before they are full, by far.
pub const WATCH_LOOK_NS: u64 = 2_000_000;

/// How often they look whether who asked is still there, in nanoseconds.
pub const WATCH_HEARD_NS: u64 = 50_000_000;
