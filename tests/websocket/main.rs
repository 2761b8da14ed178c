//! WebSockets of a dataplane over real sockets, with a blocking client on the library's own core, with one that somebody
//! else wrote, and with peers that mean no good.

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod exchange;
mod handshake;
mod node;
mod settings;
mod times;
