//! The line protocol of commands, and the control socket that speaks it.

use super::TX_HIGH_BYTES;

/// How long an lcore may take to make the listeners of a new configuration ready, in nanoseconds, before that is given
/// up, and to change over, before it is said to hang: it allocates for all connections that they may have, about a millisecond for 16,384.
pub const LCORE_CHANGE_NS: u64 = 5_000_000_000;

/// How long an lcore may take to answer what the control socket asks, in nanoseconds, before it is said to be
/// busy. A pass takes microseconds, and a handler that computes milliseconds.
pub const LCORE_ANSWER_NS: u64 = 1_000_000_000;

/// Longest command of the line protocol, with the newline that ends it.
pub const IPC_COMMAND_BYTES_MAX: usize = 4096;

/// How long a command of the line protocol may take to arrive, in nanoseconds, unless the
/// configuration says otherwise: a program writes it at once, and a person has typed it before.
pub const IPC_COMMAND_TIMEOUT_NS: u64 = 10_000_000_000;

/// Most bytes of a reply that its service writes before any is sent. A longer one is streamed.
pub const IPC_REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Room for replies that an lcore keeps from one to the next.
pub const IPC_REPLY_KEPT_BYTES: usize = 64 * 1024;

/// Bytes of a reply that are made at a time; as many again may be under way.
pub const IPC_PULL_BYTES: usize = 64 * 1024;

/// Parts of a streamed reply that are made at a time.
pub const IPC_PULL_PARTS_MAX: usize = 16;

const _: () = assert!(2 * IPC_PULL_BYTES <= TX_HIGH_BYTES as usize);

/// Connections that an IPC server works on at a time unless it is told otherwise, each on a thread
/// of its own; further clients wait in the kernel's backlog.
pub const IPC_CONNECTIONS_MAX: usize = 64;

/// How long a client may take nothing of its reply, in nanoseconds, unless the server is told
/// otherwise.
pub const IPC_REPLY_TIMEOUT_NS: u64 = 30_000_000_000;

/// How long replies may go on once their server stops, in nanoseconds.
pub const IPC_STOP_GRACE_NS: u64 = 1_000_000_000;

/// How often a server that has nothing to do looks whether its file is still there, in nanoseconds;
/// also how long it waits where it has no descriptors left for a client.
pub const IPC_FILE_CHECK_NS: u64 = 200_000_000;

/// Permissions of an instance's control socket: it stops the instance, so it is this user's alone.
pub const CONTROL_MODE: u32 = 0o600;

/// Commands that one instance's control socket works on at a time: operators and scripts.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;

/// Times that a starting instance makes its directory before it gives up: one of the same name that
/// ends takes it along.
pub const CONTROL_PLACE_TRIES_MAX: u32 = 10;
