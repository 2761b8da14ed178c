//! Ports: the processes that handle messages, and whether they keep up.

use ringway::counters::snapshot::PortSnapshot;

use super::super::format;
use super::super::glyphs::Glyphs;
use super::super::table::{Cell, Column, Table};
use super::super::text::Mark;
use super::super::view::Look;

pub fn table(look: &Look, glyphs: Glyphs) -> Table {
    let columns = vec![
        Column::words("PORT", 12).grows(32),
        Column::words("ROLE", 7),
        Column::number("PROCESS", 8),
        Column::words("TRUST", 8).rank(1),
        Column::number("WAITING", 7),
        Column::words("STATE", 18).grows(60),
    ];
    let mut table = Table::new(columns, "no ports: no listener is handled by another process");
    for port in &look.totals.ports {
        let pid = match port.pid {
            Some(pid) => Cell::number(pid.to_string(), pid.into()),
            None => Cell::number("-", 0.0),
        };
        let cells = vec![
            Cell::words(port.name.clone()).mark(Mark::Strong),
            Cell::words(port.role.clone()),
            pid,
            Cell::words(port.trust.clone().unwrap_or_else(|| "-".to_owned())),
            Cell::number(format::total(port.waiting), port.waiting as f64),
            state(port, glyphs),
        ];
        table.push(port.name.clone(), cells);
    }
    table
}

/// Whether somebody is there, and takes what waits.
fn state(port: &PortSnapshot, glyphs: Glyphs) -> Cell {
    match port {
        PortSnapshot { pid: None, .. } => Cell::words("nobody is attached").mark(Mark::Warn),
        PortSnapshot { stalled_ns: 0, .. } => Cell::words("keeps up").mark(Mark::Good),
        PortSnapshot { stalled_ns, .. } => {
            let since = format::duration(*stalled_ns, glyphs.micro);
            Cell::words(format!("STALLED for {since}")).mark(Mark::Bad)
        }
    }
}
