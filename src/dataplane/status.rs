//! What a dataplane counts, summed over its lcores, while it runs and at its end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::{Counter, LcoreCounters, Reason};

/// A view of all lcores' counters. Clones see the same.
#[derive(Debug, Clone)]
pub struct Status {
    started: Instant,
    lcores: Arc<[Arc<LcoreCounters>]>,
}

impl Status {
    /// A view of the counters of these lcores.
    pub fn new(lcores: Vec<Arc<LcoreCounters>>) -> Self {
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
    pub fn lcore(&self, index: usize) -> Option<&LcoreCounters> {
        self.lcores.get(index).map(AsRef::as_ref)
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

/// The account of a dataplane that has ended.
#[derive(Debug, Clone)]
pub struct Report {
    status: Status,
    missing: u32,
    panicked: usize,
}

impl Report {
    pub(super) fn new(status: &Status, missing: u32, panicked: usize) -> Self {
        Self { status: status.clone(), missing, panicked }
    }

    /// Bufs that did not come back to their pool: 0, or ringway lost some.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Lcores that panicked.
    pub fn panicked(&self) -> usize {
        self.panicked
    }

    /// The final counters.
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, lcore) in self.status.lcores.iter().enumerate() {
            write!(f, "lcore {index}:")?;
            for (counter, name) in Counter::ALL {
                let value = lcore.get(counter);
                if value > 0 {
                    write!(f, " {name}={value}")?;
                }
            }
            for (reason, name) in Reason::ALL {
                let value = lcore.dropped(reason);
                if value > 0 {
                    write!(f, " dropped.{name}={value}")?;
                }
            }
            writeln!(f)?;
        }
        write!(f, "pool: {} bufs missing", self.missing)
    }
}
