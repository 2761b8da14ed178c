//! What an attached process is to the dataplane.

use std::fmt;

/// Which side of a listener the process at a port is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It handles what comes on a listener's connections: `handler = "port:NAME"`.
    #[default]
    Handler,
    /// It opens connections to a listener, as a client does: `transport = "shm"`.
    Peer,
}

impl Role {
    /// Its name, as in the line of a grant.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Peer => "peer",
        }
    }

    /// The role of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Handler, Self::Peer].into_iter().find(|role| role.name() == name)
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Handler => Self::Peer,
            Self::Peer => Self::Handler,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
