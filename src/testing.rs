//! For the tests of whoever builds on ringway: a [`Harness`] around a handler and its chain, and a
//! [`Scripted`] transport under a listener. No thread, no socket, no kernel.
//!
//! Whole networks with faults that follow a seed are [`transport::Sim`](crate::transport::Sim)'s.

mod harness;
mod scripted;

pub use harness::{Harness, SLOTS};
pub use scripted::{Script, Scripted};

use crate::mem::{Buf, kind};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Our side closed it, behind all that it had sent.
    Close,
    /// The same, with time for the peer to read it.
    Linger,
    /// Our side gave it up at once.
    Abort,
    /// The peer was gone.
    Reset,
    /// It never began: nobody accepted it.
    Refused,
}

impl End {
    /// The end that a buf on its way to the peer asks for.
    fn asked_for(buf: &Buf) -> Option<Self> {
        match (buf.kind(), buf.meta()) {
            (kind::CLOSE, kind::LINGER) => Some(Self::Linger),
            (kind::CLOSE, _) => Some(Self::Close),
            (kind::ABORT, _) => Some(Self::Abort),
            _ => None,
        }
    }
}
