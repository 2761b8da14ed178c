//! Writes from beside the handler, and groups.

use super::{LCORES_MAX, MAILBOX_SLOTS};

/// Bytes that wait for one connection whose peer takes less than is written to it, unless its policy says otherwise:
/// what a slow phone takes in some seconds.
pub const WRITE_BACKLOG_BYTES_MAX: u32 = 1024 * 1024;

/// Messages that do. Each may pin a slot.
pub const WRITE_BACKLOG_MESSAGES_MAX: u32 = 1024;

/// Messages that wait so for all connections of an lcore, with the markers that tell of them.
pub const WRITE_BACKLOG_BUFS_MAX: usize = 32 * WRITE_BACKLOG_MESSAGES_MAX as usize;

/// What they may hold of a pool that is short: one in so many slots of each size. The rest is for what is received.
pub const WRITE_BACKLOG_SHARE: u32 = 4;

/// Members that one pass of the lcore brings a message to, before all else gets its turn: half a millisecond of
/// sends.
pub const GROUP_STEP_MEMBERS: usize = 256;

/// Slow connections that one pass looks at because there may be room for what waits for them.
pub const WRITE_STEP_BACKLOGS: usize = 64;

/// Messages of groups that one lcore has not brought to all members: each pins a slot. They leave room in its mailbox
/// for other mail.
pub const GROUP_PUBLISHES_MAX: u32 = 256;

const _: () = assert!((GROUP_PUBLISHES_MAX as usize) < MAILBOX_SLOTS || cfg!(loom));

// A set of lcores is one word.
const _: () = assert!(LCORES_MAX <= u64::BITS as usize);
