//! Processes at the ports of a dataplane: what they are told, what they say, and what becomes of the
//! rest when they end. Most stand in for a process by a thread of this one, over the same memory and
//! the same socket.

#[path = "../common/mod.rs"]
mod common;

mod blocks;
mod bodies;
mod hoards;
mod hostile;
mod http;
mod life;
mod oracle;
mod peer;
mod pieces;
mod pipelining;
mod program;
mod raw;
mod review;
mod scarce;
mod tool;
