//! HTTP over real sockets against a real dataplane: what `ringway run` serves, byte for byte, and
//! what it refuses.

#[path = "../common/mod.rs"]
mod common;

mod blocks;
mod bodies;
mod connections;
mod curl;
mod endpoints;
mod framing;
mod limits;
mod settings;
mod streams;
mod timeouts;
mod wakes;
