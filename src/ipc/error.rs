//! Why a command has no reply (I-8): five classes, the same for a server's handler and its clients.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command has no reply.
///
/// A handler returns [`Error::handler`]; what it does with `?` while it writes is a
/// [`ReadWrite`](Error::ReadWrite) or a [`Timeout`](Error::Timeout), and ends its connection.
#[derive(Debug)]
pub enum Error {
    /// Nobody could be reached at this path. Nothing was sent.
    Connect {
        /// Where.
        path: PathBuf,
        /// `NotFound`: no such file. `ConnectionRefused`: its server is gone.
        why: io::Error,
    },
    /// The connection failed, or was closed before the reply was whole. Whether the command was done
    /// is not known.
    ReadWrite(io::Error),
    /// The server answered with an error.
    Handler {
        /// In words.
        message: String,
        /// The kind of it, numbered as HTTP's status codes. A reply in text has none.
        code: Option<u16>,
    },
    /// The command, with its newline, or the reply is longer than it may be, in bytes.
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        bytes_max: usize,
    },
    /// Nothing was heard for too long. Whether the command was done is not known.
    Timeout,
}

impl Error {
    /// What a handler refuses, or fails at; `code` is numbered as HTTP's status codes: 400 for
    /// arguments that make no sense, 404 for what is not there, 500 for a failure.
    pub fn handler(code: u16, message: impl Into<String>) -> Self {
        Self::Handler { message: message.into(), code: Some(code) }
    }

    /// What a client is told: message and code.
    pub(super) fn told(&self) -> (String, u16) {
        match self {
            Self::Handler { message, code } => (message.clone(), code.unwrap_or(500)),
            Self::TooLarge { .. } => (self.to_string(), 413),
            Self::Timeout => (self.to_string(), 504),
            Self::Connect { .. } | Self::ReadWrite(_) => (self.to_string(), 500),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { path, why } => write!(f, "cannot connect to {}: {why}", path.display()),
            Self::ReadWrite(why) => write!(f, "the connection ended too early: {why}"),
            Self::Handler { message, .. } => f.write_str(message),
            Self::TooLarge { what, bytes_max } => {
                write!(f, "the {what} is longer than {bytes_max} bytes")
            }
            Self::Timeout => f.write_str("nothing was heard in time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { why, .. } | Self::ReadWrite(why) => Some(why),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::ReadWrite(why),
        }
    }
}
