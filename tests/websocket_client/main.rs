//! The WebSocket client: against a server of ours, against one that breaks every rule, and as the command
//! `ringway ws`.

#[path = "../common/mod.rs"]
mod common;

mod command;
mod exchange;
mod handshake;
mod rude;
mod scripted;
