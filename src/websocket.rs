//! A WebSocket client that waits (RFC 6455, RFC 7692), for tools and tests. Nothing of the dataplane is here: it runs on
//! the caller's thread, over a socket of its own.
//!
//! ```
//! # use std::io::{Read, Write};
//! use ringway::proto::websocket::CloseCode;
//! use ringway::websocket::{Message, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use ringway::config::{Config, CoreMap, MemoryOptions};
//! # use ringway::dataplane::Builder;
//! # let listener = "[[listener]]\naddress = '127.0.0.1:0'\ntransport = 'tcp'\nprotocol = 'websocket'";
//! # let cpu = ringway::sys::affinity::allowed()?[0];
//! # let builder = Builder::new(Config::from_toml(listener, "example")?, CoreMap::single(cpu))
//! #     .memory(MemoryOptions { no_huge: true, ..MemoryOptions::default() })
//! #     .file_prefix(format!("doc{}", std::process::id()).parse()?);
//! # let dataplane = builder.start()?;
//! # let url = &format!("ws://{}/chat", dataplane.addresses()[0].ip().unwrap());
//! let mut client = Options::new().compress(true).connect(url)?;
//! client.send_text("hello")?;
//! assert_eq!(client.receive()?, Message::Text("hello"));
//! let close = client.close(CloseCode::NORMAL, "bye")?;
//! assert_eq!(close.code, Some(CloseCode::NORMAL));
//! # dataplane.stop();
//! # dataplane.join();
//! # Ok(())
//! # }
//! ```
//!
//! **Time.** Each call ends within the client's time limit, however many system calls it takes and however slowly the
//! server drips. What had come of a message by then is kept, and the next call goes on with it.
//!
//! **Both ways at once.** While something is sent, what comes is taken in, up to one message and 256 KiB behind it: a
//! server that sends back what it is being sent holds nobody up. Pings are answered by whichever call is running; while
//! none is, nobody is.
//!
//! **Bounds.** A message is received whole, in memory that is used again for the next, and is no larger than
//! [`Options::message_bytes_max`]; of a server that sends a larger one no more than that is kept, and it is told 1009.
//!
//! `wss://` is refused: there is no TLS yet.

mod client;
mod error;
mod incoming;
mod options;
mod outgoing;
mod socket;
mod url;

pub use client::{Client, Close, Fragments, Message};
pub use error::Error;
pub use options::Options;
pub use socket::Socket;
pub use url::Url;
