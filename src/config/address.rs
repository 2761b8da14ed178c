//! Where a listener listens, and who may connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::UNIX_MODE;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket, or an abstract name after an `@`.
    Unix(PathBuf),
    /// The name of a port, at which a process attaches that is the listener's peer.
    Port(String),
}

impl Address {
    /// The IP address and port, of a listener that has them.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Port(_) => None,
        }
    }

    /// Whether it is an abstract name, which has no file and no permissions.
    pub fn is_abstract(&self) -> bool {
        matches!(self, Self::Unix(path) if path.as_os_str().as_encoded_bytes().starts_with(b"@"))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Port(name) => write!(f, "port:{name}"),
        }
    }
}

/// Who may connect to a Unix socket (I-10). It says nothing of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Permissions of its file.
    pub mode: u32,
    /// Users that may; with `gids` empty too, everybody whom the file's permissions let in.
    pub uids: Vec<u32>,
    /// Groups whose members may.
    pub gids: Vec<u32>,
}

impl Default for Access {
    fn default() -> Self {
        Self { mode: UNIX_MODE, uids: Vec::new(), gids: Vec::new() }
    }
}
