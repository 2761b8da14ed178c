//! ringway: a poll-mode userspace dataplane for Linux.

pub mod error;
pub mod limits;
pub mod ring;
pub mod sync;
