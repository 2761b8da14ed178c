//! Lcores: how each spends its time, and how it gets its work from the kernel.

use ringway::counters::rates::TimeShares;
use ringway::counters::snapshot::LcoreSnapshot;

use super::super::format;
use super::super::glyphs::Glyphs;
use super::super::table::{Cell, Column, Table};
use super::super::text::{Line, Mark, wrap};
use super::super::view::Look;
use super::{rate, stages, trouble, values};

pub fn table(look: &Look, glyphs: Glyphs) -> Table {
    let columns = vec![
        Column::words("LCORE", 5),
        Column::words("CORES", 5).rank(3),
        Column::words("TIME", 8).grows(60),
        Column::number("BUSY%", 5),
        Column::number("IDLE%", 5).rank(6),
        Column::number("SLEEP%", 6).rank(6),
        Column::number("MSG/S", 5),
        Column::number("CONNS", 6),
        Column::number("LOOP/S", 6).rank(4),
        Column::number("ENTER/S", 6).rank(5),
        Column::number("CQE/E", 5).rank(4),
        Column::number("ENOBUFS", 7).rank(7),
        Column::number("OVERFLOW", 7).rank(8),
        Column::number("THREAD", 7).rank(9),
        Column::words("DOING", 7).grows(60).keeps(44),
    ];
    let mut table = Table::new(columns, "no lcores");
    for (lcore, change) in look.totals.lcores.iter().zip(&look.interval.change.lcores) {
        table.push(lcore.lcore_id.to_string(), cells(look, lcore, change, glyphs));
    }
    table
}

fn cells(look: &Look, lcore: &LcoreSnapshot, change: &LcoreSnapshot, glyphs: Glyphs) -> Vec<Cell> {
    let time = TimeShares::of(change);
    let per_second = |name| rate(look.interval.per_second(change.counters.get(name)));
    let grown = |name| trouble(lcore.counters.get(name), change.counters.get(name));
    let enters = change.counters.get("enters");
    let each = change.counters.get("completions") as f64 / enters.max(1) as f64;
    let thread = match lcore.thread_id {
        0 => Cell::number("", 0.0),
        id => Cell::number(id.to_string(), id.into()),
    };
    vec![
        Cell::number(lcore.lcore_id.to_string(), lcore.lcore_id.into()).mark(Mark::Strong),
        Cell::words(lcore.cpus.clone()),
        Cell::time([time.busy, time.idle, time.sleep]),
        Cell::number(format::percent(time.busy), time.busy),
        Cell::number(format::percent(time.idle), time.idle),
        Cell::number(format::percent(time.sleep), time.sleep),
        per_second("messages"),
        Cell::number(format::total(lcore.connections), lcore.connections as f64),
        per_second("rounds"),
        per_second("enters"),
        rate(each),
        grown("rx_starved"),
        grown("cq_overflows"),
        thread,
        doing(lcore, change, time, glyphs),
    ]
}

/// What it is doing; where it hangs, since when and where.
fn doing(lcore: &LcoreSnapshot, change: &LcoreSnapshot, time: TimeShares, glyphs: Glyphs) -> Cell {
    if let Some(place) = &lcore.doing {
        let since = format::duration(lcore.silent_ns, glyphs.micro);
        return Cell::words(format!("STALLED {since}: {place}")).mark(Mark::Bad);
    }
    let most = match time {
        TimeShares { busy, idle, sleep } if busy >= idle && busy >= sleep => "works",
        TimeShares { idle, sleep, .. } if idle >= sleep => "polls",
        _ => "sleeps",
    };
    match (lcore.stalls, change.stalls) {
        (0, _) => Cell::words(most).mark(Mark::Faint),
        (stalls, 0) => Cell::words(format!("{most}; {stalls} stalls so far")),
        (stalls, _) => Cell::words(format!("{most}; {stalls} stalls so far")).mark(Mark::Bad),
    }
}

/// The verbs of its poll loop, and its counters.
pub fn detail(look: &Look, id: &str, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    let is = |it: &&LcoreSnapshot| it.lcore_id.to_string() == id;
    let Some(change) = look.interval.change.lcores.iter().find(is) else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(place) = &change.doing {
        let since = format::duration(change.silent_ns, glyphs.micro);
        let text = format!("Lcore {id} has not come round for {since}. It is in: {place}");
        lines.extend(wrap(&text, columns).into_iter().map(|line| Line::of(line, Mark::Bad)));
    }
    lines.push(Line::of(format!("Poll loop of lcore {id}"), Mark::Strong));
    let verbs = stages::of_lcore(look, change, glyphs);
    lines.extend(verbs.lines(columns.saturating_sub(2), glyphs).into_iter().map(Line::indented));
    let a_second = |n| format::count(look.interval.per_second(n));
    lines.extend(values("Counters, per second", &change.counters, a_second, columns));
    lines
}
