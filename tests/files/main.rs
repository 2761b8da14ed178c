//! Files over HTTP (G-18): what is served and what is taken, on the harness, over real sockets, and by curl.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod curl;
mod disk;
mod forms;
mod resuming;
mod serving;
mod sockets;
mod uploads;
