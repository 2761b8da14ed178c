//! Streams of a dataplane, from programs with the library's blocking client: over every transport, with every
//! protection, and with peers that mean no good.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod exchange;
mod rude;
mod settings;
mod silence;
