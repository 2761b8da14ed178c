//! The account of a dataplane that has ended.

use std::fmt;

use crate::counters::{Counter, Reason, Totals};
use crate::error::{Error, Result};

/// The account of a dataplane that has ended.
#[derive(Debug, Clone)]
pub struct Report {
    status: Totals,
    /// The operator's numbers of the lcores, in the order of `status`.
    lcore_ids: Vec<u32>,
    missing: u32,
    panicked: usize,
}

impl Report {
    pub(super) fn new(status: &Totals, lcore_ids: Vec<u32>, missing: u32, panicked: usize) -> Self {
        Self { status: status.clone(), lcore_ids, missing, panicked }
    }

    /// Bufs that did not come back to their pool: 0, or ringway lost some.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Lcores that panicked.
    pub fn panicked(&self) -> usize {
        self.panicked
    }

    /// An error when ringway did not do as it should: an lcore panicked, or a buf is missing.
    pub fn check(&self) -> Result<()> {
        let (what, why) = match (self.panicked, self.missing) {
            (0, 0) => return Ok(()),
            (0, missing) => {
                ("account for every buf", format!("{missing} did not come back to their pool"))
            }
            (panicked, _) => ("keep all lcores running", format!("{panicked} panicked")),
        };
        Err(Error::new(what, why, "report this as a bug, with the messages and counters above"))
    }

    /// The final counters.
    pub fn status(&self) -> &Totals {
        &self.status
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, lcore) in self.lcore_ids.iter().zip(self.status.iter()) {
            write!(f, "lcore {id}:")?;
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
