//! The tables, a file each: what their columns are, and what is said of a row where there is room for more.

pub mod drops;
pub mod lcores;
pub mod listeners;
pub mod pools;
pub mod ports;
pub mod stages;

use ringway::counters::snapshot::Values;

use super::format;
use super::table::Cell;
use super::text::{Line, Mark};

/// A rate.
fn rate(n: f64) -> Cell {
    Cell::number(format::count(n), n)
}

/// A total of what should not happen: it stands out while it grows.
fn trouble(total: u64, grew: u64) -> Cell {
    let cell = Cell::number(format::total(total), total as f64);
    if grew > 0 { cell.mark(Mark::Bad) } else { cell }
}

/// Numbers that are not 0, side by side, under a title. Times are left out: they are shown as parts of the whole.
fn values(title: &str, values: &Values, show: impl Fn(u64) -> String, columns: usize) -> Vec<Line> {
    let texts: Vec<_> = values
        .iter()
        .filter(|(name, n)| *n > 0 && !name.ends_with("_ns"))
        .map(|(name, n)| format!("{name} {}", show(n)))
        .collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let wide = texts.iter().map(String::len).max().unwrap_or(0) + 2;
    let a_line = (columns.saturating_sub(2) / wide).max(1);
    let mut lines = vec![Line::of(title, Mark::Strong)];
    for texts in texts.chunks(a_line) {
        let line: String = texts.iter().map(|text| format!("{text:<wide$}")).collect();
        lines.push(Line::of(line.trim_end(), Mark::Plain).indented().cut_to(columns));
    }
    lines
}
