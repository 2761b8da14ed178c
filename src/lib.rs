//! ringway: a poll-mode userspace dataplane for Linux.

#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod counters;
#[cfg(not(loom))]
pub mod error;
pub mod limits;
pub mod mem;
pub mod ring;
pub mod sync;
#[cfg(not(loom))]
pub mod sys;
