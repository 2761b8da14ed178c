//! Local IPC for programs: commands and replies over a Unix socket, in three calls. It runs on plain
//! threads beside the lcores; the data path is not here, and which commands there are is the user's.
//!
//! ```
//! use std::io::Write;
//! use std::time::Duration;
//!
//! use ringway::ipc::{self, Error, Options, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("greeter.sock");
//! let server = Server::start(&path, Options::default(), |command, reply| {
//!     match command.name {
//!         "greet" => Ok(writeln!(reply, "hello, {}", command.arguments)?),
//!         name => Err(Error::handler(404, format!("no command `{name}`; there is `greet`"))),
//!     }
//! })?;
//! let timeout = Duration::from_secs(5);
//! assert_eq!(ipc::send(&path, "greet you", timeout)?, b"hello, you\n");
//! assert!(matches!(ipc::send(&path, "shout", timeout), Err(Error::Handler { .. })));
//! server.stop();
//! # Ok(())
//! # }
//! ```
//!
//! # What a client can rely on
//!
//! The line protocol (docs/PROTOCOLS.md) has no length: a reply ends where the server closes. So a
//! server leaves the newline of the command unread until its reply is whole. Whatever ends it before
//! that (a handler that panics, a time limit, `kill -9`), the kernel closes the connection over an
//! unread byte, and the client gets a reset behind what it has read (unix(7)). An end of file is the
//! end of a whole reply, and [`Client`] takes nothing else for one.
//!
//! A listener of protocol `ipc` speaks the same on an lcore, where all bytes are read as they come. It
//! tells a whole reply by a half-close instead: see [`Client::expect_half_close`].

mod client;
mod connection;
mod error;
mod reply;
mod server;

pub use client::{Client, ReplyStream, send};
pub use error::Error;
pub use reply::Reply;
pub use server::{Bound, Handler, Options, Server, Upkeep};

pub use crate::proto::ipc::Command;
pub use crate::sys::unix_stream::Peer;
