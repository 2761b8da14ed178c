//! The counters of all lcores, summed. Who makes them and who shows them is decided above.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Counter, Counters, Reason};

/// A view of all lcores' counters. Clones see the same.
#[derive(Debug, Clone)]
pub struct Totals {
    started: Instant,
    lcores: Arc<[Counters]>,
}

impl Totals {
    /// The sum of these, from now on.
    pub fn new(lcores: Vec<Counters>) -> Self {
        Self { started: Instant::now(), lcores: lcores.into() }
    }

    /// Since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many lcores there are.
    pub fn lcores(&self) -> usize {
        self.lcores.len()
    }

    /// The counters of one lcore.
    pub fn lcore(&self, index: usize) -> Option<&Counters> {
        self.lcores.get(index)
    }

    /// The counters of each lcore, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Counters> {
        self.lcores.iter()
    }

    /// A counter over all lcores.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.lcores.iter().map(|lcore| lcore.get(counter)).sum()
    }

    /// Bufs dropped for `reason` over all lcores.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.lcores.iter().map(|lcore| lcore.dropped(reason)).sum()
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.sum(Counter::Accepted).saturating_sub(self.sum(Counter::Closed))
    }
}
