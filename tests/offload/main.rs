//! The offload pool as handlers use it: on a harness, and in a dataplane with real sockets.

#[path = "../common/mod.rs"]
mod common;

mod by_hand;
mod dataplane;
mod files;
mod hasher;
