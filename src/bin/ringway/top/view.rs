//! What there is to see: six tables over the same look at an instance.

use ringway::counters::rates::Interval;
use ringway::counters::snapshot::Snapshot;

use super::glyphs::Glyphs;
use super::header::is_over;
use super::table::Table;
use super::views::{drops, lcores, listeners, pools, ports, stages};

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    Lcores,
    Listeners,
    Stages,
    Pools,
    Ports,
    Drops,
}

/// An instance as it was at one moment: its totals, and what was counted since the look before.
#[derive(Debug, Clone)]
pub struct Look {
    pub totals: Snapshot,
    pub interval: Interval,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 6] =
        [Self::Lcores, Self::Listeners, Self::Stages, Self::Pools, Self::Ports, Self::Drops];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lcores => "Lcores",
            Self::Listeners => "Listeners",
            Self::Stages => "Stages",
            Self::Pools => "Pools",
            Self::Ports => "Ports",
            Self::Drops => "Drops",
        }
    }

    /// Its table.
    pub fn table(self, look: &Look, glyphs: Glyphs) -> Table {
        match self {
            Self::Lcores => lcores::table(look, glyphs),
            Self::Listeners => listeners::table(look, glyphs),
            Self::Stages => stages::table(look, glyphs),
            Self::Pools => pools::table(look),
            Self::Ports => ports::table(look, glyphs),
            Self::Drops => drops::table(look),
        }
    }
}

impl Look {
    /// At an instance that was looked at before. For the first time, or where no more will come of it, all since its
    /// start is in the interval.
    pub fn new(before: Option<&Snapshot>, now: Snapshot) -> Self {
        let interval = match before.filter(|_| !is_over(now.state)) {
            Some(before) => Interval::between(before, &now),
            None => Interval::whole(&now),
        };
        Self { totals: now, interval }
    }
}
