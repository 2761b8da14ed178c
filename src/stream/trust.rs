//! Whom to go on with: policies that need no file.

use std::sync::{Arc, Mutex, PoisonError};

use crate::proto::stream::SharedTrust;
use crate::proto::stream::secure::identity::{NodeAddress, PublicKey, Trust};

/// One node alone.
#[derive(Debug, Clone, Copy)]
pub struct Only(pub NodeAddress);

impl Trust for Only {
    fn accepts(&self, peer: &PublicKey) -> bool {
        peer.address() == self.0
    }
}

/// Both of two policies: one node, of those that another policy accepts.
pub(super) struct Both(pub(super) Only, pub(super) SharedTrust);

impl Trust for Both {
    fn accepts(&self, peer: &PublicKey) -> bool {
        self.0.accepts(peer) && self.1.accepts(peer)
    }
}

/// A policy that remembers who was asked about, so that a refusal can name them.
pub(super) struct Asked {
    inner: SharedTrust,
    last: Mutex<Option<NodeAddress>>,
}

impl Asked {
    pub(super) fn new(inner: SharedTrust) -> Arc<Self> {
        Arc::new(Self { inner, last: Mutex::new(None) })
    }

    pub(super) fn last(&self) -> Option<NodeAddress> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trust for Asked {
    fn accepts(&self, peer: &PublicKey) -> bool {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer.address());
        self.inner.accepts(peer)
    }
}
