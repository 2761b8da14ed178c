//! Files over HTTP: what names may look like, what is kept in memory, what may be under way.

use super::{HTTP_PULL_BYTES, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};

/// Longest decoded path below the root, in bytes: a quarter of what the kernel takes (PATH_MAX), since it is kept on the
/// stack, and no path that people make comes near.
pub const FILES_PATH_BYTES_MAX: usize = 1024;

/// Longest name of a file or directory in bytes: what file systems take (NAME_MAX).
pub const FILES_NAME_BYTES_MAX: usize = 255;

/// Most ranges of one request that are answered one by one. Who asks for more gets the whole file: many small
/// ranges cost more to send than they hold (RFC 9110 §17.15).
pub const FILES_RANGES_MAX: usize = 16;

/// Most bytes of the header fields of one part of a form: name, file name and type, with room for a long name in
/// escapes.
pub const FORM_HEAD_BYTES_MAX: usize = 2048;

/// Longest boundary of a form (RFC 2046 §5.1.1).
pub const FORM_BOUNDARY_BYTES_MAX: usize = 70;

/// Most parts of one form: a page with so many fields is none that a person fills in.
pub const FORM_PARTS_MAX: u32 = 1024;

/// Most files that one listener of an lcore looks for, sends or receives at a time: each has a descriptor of the process.
/// One more is answered with 503.
pub const FILES_OPEN_MAX: usize = 4096;

/// Largest file that is kept in memory: it fits a slot.
pub const FILES_CACHED_BYTES_MAX: usize = LARGE_SLOT_BYTES as usize;

/// Files that an lcore keeps in memory: a slot for each and one for its header fields, a small part of the pool.
pub const FILES_CACHED_MAX: usize = 64;

/// How long a file that is kept is sent without looking whether it has changed, in nanoseconds.
pub const FILES_FRESH_NS: u64 = 1_000_000_000;

/// Bytes that are read at a time for one response; as many may wait to be sent meanwhile.
pub const FILES_READ_BYTES: usize = HTTP_PULL_BYTES;

/// Slots that they are read into, where large ones are short.
pub const FILES_READ_SLOTS: usize = FILES_READ_BYTES / SMALL_SLOT_BYTES as usize;

const _: () = assert!(FILES_READ_BYTES >= LARGE_SLOT_BYTES as usize);

/// Longest list of a directory's entries.
pub const FILES_LISTED_MAX: usize = 10_000;

/// Most header fields that a response about a file has, in bytes: they are written to a small slot.
pub const FILES_FIELD_BYTES_MAX: usize = SMALL_SLOT_BYTES as usize;

/// Largest upload unless the service says otherwise.
pub const UPLOAD_BYTES_MAX: u64 = 1 << 30;

/// Bufs of one upload that wait for the disk; one more and the peer is not received from.
pub const UPLOAD_BUFS_MAX: usize = 16;

/// How long the part of an upload that was broken off is kept for its sequel, in seconds: a day.
pub const UPLOAD_PART_KEPT_SECONDS: u64 = 86_400;

/// How often those are looked at that may have been kept for long enough, in nanoseconds, while uploads come.
pub const UPLOAD_LOOK_NS: u64 = 3_600_000_000_000;

/// Directories below the root that are searched for what a dead process left, from one into the next.
pub const UPLOAD_SEARCH_DEPTH_MAX: u32 = 32;
