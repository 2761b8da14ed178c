//! What two nodes have in common while a stream between them lasts (D-2, D-3).

use std::fmt;
use std::time::Instant;

use crate::proto::stream::secure::identity::{NodeAddress, PublicKey};

/// A session's name, which the end that accepted has chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// A session as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The key that the peer has proved to have.
    pub peer: PublicKey,
    /// When the handshake was whole.
    pub created: Instant,
    /// When a message, or a piece of one, last went or came.
    pub last_activity: Instant,
    /// Whether it still lasts.
    pub is_active: bool,
    /// Whether packets are encrypted.
    pub is_encrypted: bool,
    /// Whether messages may be compressed.
    pub may_compress: bool,
    /// Whether it is over datagrams, of which some may be lost.
    pub is_datagram: bool,
}

impl Session {
    /// The node at the other end.
    pub fn node(&self) -> NodeAddress {
        self.peer.address()
    }
}
