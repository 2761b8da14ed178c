//! Whom to go on with, where that depends on where they are.

use std::sync::Arc;

use crate::proto::stream::SharedTrust;
use crate::proto::stream::secure::identity::{PublicKey, Trust};
use crate::proto::stream::secure::trust::FirstUse;

/// Whom a node goes on with.
#[derive(Clone)]
pub enum Policy {
    /// The same everywhere.
    Fixed(SharedTrust),
    /// Whoever is first at a place, and nobody else there from then on. A client's places are the
    /// addresses that it connects to, a listener's the hosts that connect to it.
    FirstUse(Arc<FirstUse>),
}

impl Policy {
    /// The policy for a place.
    pub(super) fn of(&self, place: &str) -> SharedTrust {
        match self {
            Self::Fixed(trust) => trust.clone(),
            Self::FirstUse(pins) => {
                Arc::new(Pinned { pins: pins.clone(), place: place.to_owned() })
            }
        }
    }
}

impl<T: Trust + Send + Sync + 'static> From<T> for Policy {
    fn from(trust: T) -> Self {
        Self::Fixed(Arc::new(trust))
    }
}

impl From<Arc<FirstUse>> for Policy {
    fn from(pins: Arc<FirstUse>) -> Self {
        Self::FirstUse(pins)
    }
}

/// Whoever was first at one place.
struct Pinned {
    pins: Arc<FirstUse>,
    place: String,
}

impl Trust for Pinned {
    fn accepts(&self, peer: &PublicKey) -> bool {
        self.pins.of(&self.place).accepts(peer)
    }
}
