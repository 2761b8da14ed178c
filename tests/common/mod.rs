//! What the tests over real sockets have in common: a dataplane to talk to, a peer that talks, and
//! an end for a test that hangs.
#![allow(dead_code, unused_imports)] // no test uses all of it

mod alone;
mod calls;
mod client;
mod running;
mod seccomp;
mod server;
pub mod stream_peer;
mod watchdog;
pub mod websocket;

pub use alone::alone;
pub use calls::uninterrupted;
pub use client::{Client, Response, patience, pattern};
pub use running::{Running, command, configuration, own};
pub use seccomp::forbid_io_uring;
pub use server::{Server, Start, cpu, wait_until};
pub use watchdog::Watchdog;
