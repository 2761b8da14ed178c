//! The configuration that is in force: one that does not change, in a place where another takes it over whole.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use super::{Address, Config, ListenerConfig};
use crate::limits::LISTENERS_MAX;

/// A configuration as it is served.
#[derive(Debug, Clone)]
pub struct InForce {
    /// 1 from the start; one more with each change that was accepted.
    pub generation: u64,
    /// What is served, with the bounds that this machine allows.
    pub config: Arc<Config>,
    /// Where its listeners listen, in its order, with the ports that the kernel picked.
    pub addresses: Vec<Address>,
    /// The index that each of them has on the lcores, in the same order.
    pub indices: Vec<u8>,
    /// Listeners of earlier configurations, whose connections may still be there.
    pub draining: Vec<Draining>,
    /// Where the listener at each index listens: those of earlier configurations too, whose connections are still there.
    pub by_index: [Option<Address>; LISTENERS_MAX],
}

/// A listener that accepts no more.
#[derive(Debug, Clone)]
pub struct Draining {
    /// As it was configured.
    pub listener: ListenerConfig,
    /// Where it listened.
    pub address: Address,
    /// Gone with the last of its connections.
    pub life: Weak<()>,
}

impl Draining {
    /// Whether some of its connections are still there.
    pub fn is_there(&self) -> bool {
        self.life.strong_count() > 0
    }
}

impl InForce {
    /// The first one: its listeners have the indices of their places.
    pub fn first(config: Config, addresses: Vec<Address>) -> Self {
        let mut by_index = [const { None }; LISTENERS_MAX];
        by_index.iter_mut().zip(&addresses).for_each(|(at, address)| *at = Some(address.clone()));
        let indices = (0..addresses.len() as u8).collect();
        let draining = Vec::new();
        Self { generation: 1, config: Arc::new(config), addresses, indices, draining, by_index }
    }

    /// Where the listener at an index listens, or did.
    pub fn address_at(&self, index: u8) -> Option<&Address> {
        self.by_index.get(usize::from(index)).and_then(Option::as_ref)
    }
}

/// Where the configuration in force is found. Clones name the same place. Whoever reads it has a whole one, and keeps it
/// for as long as he likes.
#[derive(Debug, Clone)]
pub struct Current(Arc<RwLock<Arc<InForce>>>);

impl Current {
    /// With this one.
    pub fn new(first: InForce) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    /// The one that is in force.
    pub fn get(&self) -> Arc<InForce> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From here on it is this one.
    pub fn put(&self, next: InForce) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
