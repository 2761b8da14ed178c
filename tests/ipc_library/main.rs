//! `ringway::ipc` over real sockets: what clients get in good times and bad (I-1 to I-11).

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod bounds;
mod clients;
mod commands;
mod faults;
mod files;
mod handover;
mod on_an_lcore;
