//! Multiplexed streams: many channels of messages over one connection between two nodes.

pub mod compress;
pub mod secure;
