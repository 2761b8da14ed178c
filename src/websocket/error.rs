//! Why there is no WebSocket, or no more of it.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Close;
use crate::proto::websocket::Fault;
use crate::proto::websocket::handshake::ClientFault;

/// Why a call has failed. Its text says what failed, on what, why, and what mends it where anything does.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The URL names no place that can be connected to. Nothing was sent.
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
        /// What mends that.
        remedy: &'static str,
    },
    /// Something of the request cannot be sent: an origin, a protocol, a field. Nothing was.
    Request(String),
    /// Nobody could be reached. Nothing was sent.
    Connect {
        /// Where.
        place: String,
        /// Why.
        why: io::Error,
    },
    /// The server answers with something else than a WebSocket.
    Refused {
        /// Its status.
        status: u16,
        /// Where it says that what is asked for is, if it does (`Location`).
        location: Option<String>,
        /// The beginning of its body, without a transfer coding.
        body: Vec<u8>,
    },
    /// What the server answers is no answer to the request: it is no server of WebSockets, or a bad one.
    Handshake(ClientFault),
    /// The server broke a rule of the wire, or sent more than is taken. It was told the fault's
    /// [`code`](Fault::code), and nothing more is received.
    Fault(Fault),
    /// The WebSocket is closed: by the peer, or by this end, and the peer's answer is this.
    Closed(Close),
    /// The connection ended without a close.
    Ended,
    /// The call was not done in time.
    Timeout {
        /// What it was to do.
        what: &'static str,
        /// How long it took.
        after: Duration,
    },
    /// This end has closed, or could send something only in part: nothing can be sent any more.
    NotWritable,
    /// A message was begun, and not ended: no other can be sent.
    Unended,
    /// A text that is not UTF-8, or more than 125 bytes of a ping. Nothing was sent.
    Payload(&'static str),
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, why, remedy } => write!(f, "cannot connect to {url}: {why}; {remedy}"),
            Self::Request(why) => write!(f, "cannot ask for a WebSocket: {why}"),
            Self::Connect { place, why } => {
                write!(f, "cannot connect to {place}: {why}; see whether a server listens there")
            }
            Self::Refused { status, location, body } => {
                refused(f, *status, location.as_deref(), body)
            }
            Self::Handshake(fault) => {
                write!(f, "the server does not answer as one of WebSockets: {}", handshake(*fault))
            }
            Self::Fault(fault) => match fault.code() {
                Some(code) => {
                    write!(
                        f,
                        "the server broke a rule: {} (it was told {})",
                        fault.name(),
                        code.number()
                    )
                }
                None => write!(f, "the server broke a rule: {}", fault.name()),
            },
            Self::Closed(close) => write!(f, "the WebSocket is closed: {close}"),
            Self::Ended => f.write_str("the connection ended without a close of the WebSocket"),
            Self::Timeout { what, after } => {
                write!(
                    f,
                    "could not {what} within {after:?}; give it more time, or see why the server is slow"
                )
            }
            Self::NotWritable => {
                f.write_str("cannot send: this end has closed, or sent something only in part")
            }
            Self::Unended => {
                f.write_str("cannot send: the message that was begun is to be ended first")
            }
            Self::Payload(why) => write!(f, "cannot send: {why}"),
            Self::Io(why) => write!(f, "the connection failed: {why}"),
        }
    }
}

fn refused(
    f: &mut fmt::Formatter<'_>,
    status: u16,
    location: Option<&str>,
    body: &[u8],
) -> fmt::Result {
    write!(f, "the server refuses with status {status}")?;
    if let Some(location) = location {
        write!(f, ", and names {location}: connect there")?;
    }
    let hint = match status {
        401 => "; say who you are with a field, such as Authorization",
        403 => "; see whether it wants another Origin",
        404 => "; see whether the path is right",
        400 | 426 => "; see whether WebSockets are served at that path",
        503 => "; it has too much to do: try later",
        _ => "",
    };
    f.write_str(hint)?;
    let body = String::from_utf8_lossy(body);
    match body.trim() {
        "" => Ok(()),
        body => write!(f, ": {}", body.escape_debug()),
    }
}

fn handshake(fault: ClientFault) -> &'static str {
    match fault {
        ClientFault::Malformed => "what came is no head of HTTP/1.1, or longer than 16 KiB",
        ClientFault::Status(_) => "it refuses",
        ClientFault::NoUpgrade => "it says 101, but not that it goes over to WebSocket",
        ClientFault::Accept => "its Sec-WebSocket-Accept is missing, or not that of the key",
        ClientFault::Protocol => "it chose a protocol that was not asked for",
        ClientFault::Extension => {
            "it chose an extension, or parameters of one, that were not offered"
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { why, .. } | Self::Io(why) => Some(why),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}
