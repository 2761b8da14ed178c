//! Pools: how much of each size of slots is out, and whether it was ever not enough.

use ringway::counters::snapshot::PoolSnapshot;

use super::super::format;
use super::super::table::{Cell, Column, Table};
use super::super::text::Mark;
use super::super::view::Look;
use super::{rate, trouble};

/// Nearly empty from here on.
const SCARCE: f64 = 0.9;

pub fn table(look: &Look) -> Table {
    let columns = vec![
        Column::words("NODE", 4),
        Column::words("SLOT", 5),
        Column::words("IN USE", 10).grows(60),
        Column::number("USED%", 5),
        Column::number("OUT", 7),
        Column::number("SLOTS", 7),
        Column::number("MEMORY", 6).rank(3),
        Column::number("TAKEN/S", 6).rank(1),
        Column::number("BACK/S", 6).rank(2),
        Column::number("EXHAUSTED", 9),
        Column::words("PAGES", 6).grows(40).rank(4),
    ];
    let mut table = Table::new(columns, "no pools");
    for (pool, change) in look.totals.pools.iter().zip(&look.interval.change.pools) {
        let id = format!("{} {}", pool.numa_node, pool.slot_bytes);
        table.push(id, cells(look, pool, change));
    }
    table
}

fn cells(look: &Look, pool: &PoolSnapshot, change: &PoolSnapshot) -> Vec<Cell> {
    let used = pool.in_use as f64 / f64::from(pool.slots.max(1));
    let mark = if used >= SCARCE { Mark::Bad } else { Mark::Good };
    let bytes = u64::from(pool.slot_bytes) * u64::from(pool.slots);
    let per_second = |n| rate(look.interval.per_second(n));
    vec![
        Cell::number(pool.numa_node.to_string(), pool.numa_node.into()),
        Cell::number(format::size(pool.slot_bytes.into()), pool.slot_bytes.into())
            .mark(Mark::Strong),
        Cell::gauge(used, mark),
        Cell::number(format::percent(used), used),
        Cell::number(format::total(pool.in_use), pool.in_use as f64),
        Cell::number(format::total(pool.slots.into()), pool.slots.into()),
        Cell::number(format::size(bytes), bytes as f64),
        per_second(change.allocated),
        per_second(change.freed),
        trouble(pool.exhausted, change.exhausted),
        Cell::words(pool.pages.clone()),
    ]
}
