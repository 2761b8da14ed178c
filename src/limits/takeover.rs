//! Bounds of one instance taking over from another.

use super::{LCORES_MAX, LISTENERS_MAX};

/// How long an instance that is to take over may take to build everything, in nanoseconds: pools of many GiB are
/// touched whole.
pub const TAKEOVER_BUILD_NS: u64 = 120_000_000_000;

/// How long each side may take for a step that needs nothing but a few system calls, in nanoseconds.
pub const TAKEOVER_STEP_NS: u64 = 10_000_000_000;

/// How long the instance that is taken over from waits for its lcores to accept no more, in nanoseconds. One that hangs
/// is not waited for any longer: the other instance has to hear in time that it serves alone.
pub const TAKEOVER_LCORES_NS: u64 = 4_000_000_000;

const _: () = assert!(2 * TAKEOVER_LCORES_NS < TAKEOVER_STEP_NS, "the other one waits for longer");

/// How long connections on which nothing is under way stay open once another instance accepts, in nanoseconds: what
/// a client sent before it heard of the end is on its way for less than that. Half of the time to drain, where that
/// is shorter.
pub const TAKEOVER_SPARED_NS: u64 = 2_000_000_000;

/// How long the instance that takes over waits for the processes at ports to attach to it before it accepts, in
/// nanoseconds. It takes them milliseconds, and the other one serves meanwhile.
pub const TAKEOVER_ATTACH_NS: u64 = 5_000_000_000;

const _: () = assert!(TAKEOVER_ATTACH_NS < TAKEOVER_STEP_NS, "the other one waits for longer");

/// Sockets that pass from one instance to the next.
pub const TAKEOVER_SOCKETS_MAX: usize = LISTENERS_MAX * LCORES_MAX;

/// Bytes of the lines that say what they are: a path of a Unix socket has 107.
pub const TAKEOVER_OFFER_BYTES_MAX: usize = 256 * (TAKEOVER_SOCKETS_MAX + 64);
