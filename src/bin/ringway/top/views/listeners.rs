//! Listeners: what comes in and goes out, and how long an answer takes.

use ringway::counters::snapshot::{ListenerSnapshot, Slowest};

use super::super::format;
use super::super::glyphs::Glyphs;
use super::super::table::{Cell, Column, Table};
use super::super::text::{Line, Mark};
use super::super::view::Look;
use super::{rate, values};

/// Parts of all messages whose longest time is shown.
pub const QUANTILES: [(f64, &str); 4] =
    [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

pub fn table(look: &Look, glyphs: Glyphs) -> Table {
    let drains = look.totals.listeners.iter().any(|listener| listener.draining);
    let columns = vec![
        Column::words("#", 2),
        Column::words("ADDRESS", 10).grows(48).keeps(22),
        Column::words("PROTOCOL", 9),
        Column::number("CONNS", 5),
        Column::number("NEW/S", 5).rank(5),
        Column::number("MSG/S", 5),
        Column::number("IN B/S", 6).rank(2),
        Column::number("OUT B/S", 6).rank(2),
        Column::number("P50", 6),
        Column::number("P99", 6),
        Column::number("P99.9", 6).rank(1),
        Column::number("P99.99", 6).rank(4),
        Column::words("SLOWEST", 14).rank(3),
        Column::number("DROP/S", 6).rank(3),
        Column::words("STATE", 8).rank(if drains { 0 } else { 6 }),
    ];
    let mut table = Table::new(columns, "no listeners");
    for (listener, change) in look.totals.listeners.iter().zip(&look.interval.change.listeners) {
        table.push(listener.index.to_string(), cells(look, listener, change, glyphs));
    }
    table
}

/// A duration, or that there was none.
fn quantile(change: &ListenerSnapshot, part: f64, glyphs: Glyphs) -> Cell {
    match change.latency.quantile(part) {
        Some(ns) => Cell::number(format::duration(ns, glyphs.micro), ns as f64),
        None => Cell::number("-", 0.0),
    }
}

fn cells(
    look: &Look,
    listener: &ListenerSnapshot,
    change: &ListenerSnapshot,
    glyphs: Glyphs,
) -> Vec<Cell> {
    let per_second = |n| look.interval.per_second(n);
    let counted = |name| rate(per_second(change.counters.get(name)));
    let dropped = per_second(change.dropped.iter().map(|(_, n)| n).sum());
    let dropped = rate(dropped).mark(if dropped > 0.0 { Mark::Bad } else { Mark::Faint });
    let state = match listener.draining {
        true => Cell::words("draining").mark(Mark::Warn),
        false => Cell::words("listens").mark(Mark::Faint),
    };
    let mut cells = vec![
        Cell::number(listener.index.to_string(), listener.index.into()).mark(Mark::Strong),
        Cell::words(listener.address.clone()),
        Cell::words(format!("{} {}", listener.transport, listener.protocol)),
        Cell::number(format::total(listener.connections), listener.connections as f64),
        counted("accepted"),
        counted("messages"),
        counted("rx_bytes"),
        counted("tx_bytes"),
    ];
    cells.extend(QUANTILES.map(|(part, _)| quantile(change, part, glyphs)));
    cells.extend([slowest(listener, glyphs), dropped, state]);
    cells
}

/// The longest of the last while, and whose it was.
fn slowest(listener: &ListenerSnapshot, glyphs: Glyphs) -> Cell {
    match &listener.slowest {
        Some(Slowest { conn, ns, .. }) => {
            Cell::number(format!("{:<6} {conn}", format::duration(*ns, glyphs.micro)), *ns as f64)
        }
        None => Cell::number("-", 0.0),
    }
}

/// How long answers took, by powers of two, and what it counts.
pub fn detail(look: &Look, id: &str, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    let is = |it: &&ListenerSnapshot| it.index.to_string() == id;
    let Some(change) = look.interval.change.listeners.iter().find(is) else { return Vec::new() };
    let title = format!("From receive to send at {}", change.address);
    let mut lines = vec![Line::of(title, Mark::Strong)];
    lines.extend(latency(change, columns, glyphs));
    lines.extend(change.slowest.iter().map(|it| whose(it, look, glyphs).cut_to(columns)));
    let a_second = |n| format::count(look.interval.per_second(n));
    lines.extend(values("Counters, per second", &change.counters, a_second, columns));
    lines.extend(values("Dropped, per second", &change.dropped, a_second, columns));
    lines
}

/// Who was the slowest, and how to see more of it.
fn whose(slowest: &Slowest, look: &Look, glyphs: Glyphs) -> Line {
    let Slowest { conn, ns, at_ns } = slowest;
    let ago = look.totals.uptime_ns.saturating_sub(*at_ns) / 1_000_000_000;
    let took = format::duration(*ns, glyphs.micro);
    let mut line = Line::of("  slowest  ", Mark::Plain);
    line.push(format!("{took} on connection {conn}"), Mark::Strong);
    line.plain(format!(", {} ago", format::age(ago)));
    line
}

fn latency(change: &ListenerSnapshot, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    let all = change.latency.count();
    let mut octaves: Vec<(u64, u64)> = Vec::new();
    for (longest, count) in change.latency.buckets() {
        let upto = (longest + 1).next_power_of_two();
        match octaves.last_mut() {
            Some((there, sum)) if *there == upto => *sum += count,
            _ => octaves.push((upto, count)),
        }
    }
    if octaves.is_empty() {
        return vec![Line::of("  nothing was measured since the last look", Mark::Faint)];
    }
    let line = |(upto, count): (u64, u64)| {
        let share = count as f64 / all as f64;
        let (most, part) = (format::duration(upto, glyphs.micro), format::percent(share));
        let mut line = Line::of(format!("  up to {most:>7}  {part:>5}%  "), Mark::Plain);
        let room = columns.saturating_sub(line.width() + 10).min(60);
        line.append(glyphs.bar(share, room, Mark::Good));
        line.push(format!("  {}", format::count(count as f64)), Mark::Faint);
        line
    };
    octaves.into_iter().map(line).collect()
}
