//! ringway: a poll-mode userspace dataplane for Linux.

pub mod error;
pub mod limits;
pub mod mailbox;
pub mod mem;
pub mod ring;
pub mod sync;

#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod counters;
#[cfg(not(loom))]
pub mod dataplane;
#[cfg(not(loom))]
pub mod handler;
#[cfg(not(loom))]
pub mod lcore;
#[cfg(not(loom))]
pub mod pipeline;
#[cfg(not(loom))]
pub mod proto;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
pub mod time;
#[cfg(not(loom))]
pub mod transport;
