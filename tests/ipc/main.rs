//! The control line protocol over real Unix sockets against a real dataplane: what is answered, what
//! is refused, and what becomes of the socket's file.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod bed;
mod commands;
mod crowd;
mod files;
mod replies;
mod tools;
