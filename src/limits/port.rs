//! Ports: queues to attached processes, and what is lent over them.

use super::{RX_RESERVE_SHARE, STREAM_BACKLOG_BUFS_MAX};

/// Descriptors in each ring of a port: a power of two.
pub const PORT_RING_SLOTS: usize = 1024;

/// Slots of each size (small, large, those of datagrams, blocks) that one queue of a port may hold, messages
/// and supplies together: what it keeps from others when its process stops, and the slots of an isolated
/// queue, which has none of the last two.
pub const PORT_LOANS: [u32; 4] = [448, 40, 16, 8];

/// The same as a part of the pool's: one in so many, where that is more than [`PORT_LOANS_MIN`].
pub const PORT_LOANS_SHARE: u32 = 4;

/// What the queues of all ports may hold together is one in so many of the pool's slots: processes that
/// stop keep the rest from nobody.
pub const PORT_LOANS_SUM_SHARE: u32 = 2;

/// What waits of or for the process at one port may hold one in so many of an lcore's slots, over all
/// ports together, while the pool is short of them: at each of three places (for the process, of it, and
/// for its peers), so that what ports hold, loans too, leaves others an eighth.
pub const PORT_WAITING_SHARE: u32 = 8;

const _: () = assert!(
    1.0 / PORT_LOANS_SUM_SHARE as f32 + 3.0 / PORT_WAITING_SHARE as f32
        <= 1.0 - 1.0 / RX_RESERVE_SHARE as f32
);

/// Slots of a size that a queue may hold however few there are: one with a message, and an empty one.
pub const PORT_LOANS_MIN: u32 = 2;

/// Empty slots of each size that are kept with the attached process, for what it has to say.
pub const PORT_SUPPLIES: [u32; 4] = [64, 8, 0, 2];

// A marker for each message still finds room behind all that has slots.
const _: () = assert!(
    2 * (PORT_LOANS[0] + PORT_LOANS[1] + PORT_LOANS[2] + PORT_LOANS[3]) <= PORT_RING_SLOTS as u32
);

/// Descriptors of one queue that an lcore looks at before others get their turn: what an attached
/// process says for nobody must not hold them up.
pub const PORT_TURN_DESCRIPTORS: u32 = 256;

/// Descriptors that an end of a queue fetches at a time: as many lines of memory as a core has under way
/// at once, and some.
pub const PORT_FETCH: usize = 32;

/// Bufs that an attached process may have sent on one connection and that are not out yet.
pub const PORT_WINDOW_BUFS: u32 = 128;

/// The same of one channel, where connections are streams.
pub const PORT_CHANNEL_WINDOW_BUFS: u32 = 64;

/// The same of a stream over all its channels: some may be full, and others go on.
pub const PORT_SESSION_WINDOW_BUFS: u32 = 768;

const _: () = assert!(PORT_SESSION_WINDOW_BUFS < STREAM_BACKLOG_BUFS_MAX);

/// Connections that attached processes may have open on one lcore, all listeners of theirs together: a
/// process needs one for each thing that it does at a time, and each takes a place of the file table.
pub const PORT_CONNECTIONS_MAX: u32 = 1024;

/// Connections that a process wants while there is no slot for them, per listener; what it wants beyond
/// is refused.
pub const PORT_OPENS_WAITING_MAX: usize = 256;

/// Requests of one connection that an attached process may have beside the one whose turn it is: a peer
/// that sends more at a time waits for answers as well.
pub const PORT_AHEAD_MAX: u32 = 32;

/// The same of all connections of a listener on one lcore: some times as many as a ring has places.
pub const PORT_AHEAD_ALL: usize = 4 * PORT_RING_SLOTS;

/// Longest name of a port in bytes.
pub const PORT_NAME_BYTES_MAX: usize = 32;

/// What came on connections that wait for a process to attach, per listener.
pub const PORT_PARKED_BUFS: usize = 4096;

/// How long an attached process may take nothing while something waits for it, in nanoseconds, unless
/// the configuration says otherwise: many times what a process is ever kept from running.
pub const PORT_STALL_NS: u64 = 10_000_000_000;

/// How long an attached process may take to begin its answer to a request, in nanoseconds, unless the
/// configuration says otherwise: what common proxies allow.
pub const PORT_ANSWER_TIMEOUT_NS: u64 = 60_000_000_000;
