//! Stages: where the cycles go. Those of a listener are over all lcores; the verbs of a poll loop are by lcore.

use std::slice;

use ringway::counters::snapshot::{BURST_BUCKETS, LcoreSnapshot, ListenerSnapshot, StageSnapshot};

use super::super::format;
use super::super::glyphs::Glyphs;
use super::super::table::{Cell, Column, Table};
use super::super::text::{Line, Mark};
use super::super::view::Look;
use super::rate;

pub fn table(look: &Look, glyphs: Glyphs) -> Table {
    let empty = match look.totals.sampling {
        0 => "no stage is measured: `sampling` in [stats] is 0",
        _ => "no stage has been measured yet",
    };
    let mut table = Table::new(columns(true), empty);
    let (totals, change) = (&look.totals, &look.interval.change);
    for (listener, total) in change.listeners.iter().zip(&totals.listeners) {
        // One that nobody has ever asked anything is no news.
        if total.stages.iter().all(|stage| stage.bufs == 0) {
            continue;
        }
        let place = place(listener);
        for stage in &listener.stages {
            let id = format!("{place} {}", stage.name);
            table.push(id, cells(look, Some(&place), stage, &change.lcores, glyphs));
        }
    }
    for lcore in &change.lcores {
        let place = format!("lcore {}", lcore.lcore_id);
        // What its turns consist of stands above.
        for stage in lcore.stages.iter().filter(|stage| stage.name != "turns") {
            let id = format!("{place} {}", stage.name);
            table.push(id, cells(look, Some(&place), stage, slice::from_ref(lcore), glyphs));
        }
    }
    compare(&mut table);
    table
}

/// A listener, in few columns.
fn place(listener: &ListenerSnapshot) -> String {
    format!("{} {} {}", listener.index, listener.protocol, listener.address)
}

/// The verbs of one lcore.
pub fn of_lcore(look: &Look, change: &LcoreSnapshot, glyphs: Glyphs) -> Table {
    let mut table = Table::new(columns(false), "  nothing was measured");
    for stage in &change.stages {
        table.push(stage.name.clone(), cells(look, None, stage, slice::from_ref(change), glyphs));
    }
    compare(&mut table);
    table
}

/// The last column compares: the longest bar is the stage that takes most.
fn compare(table: &mut Table) {
    let bars = || table.rows.iter().filter_map(|row| row.cells.last());
    let most = bars().map(Cell::as_number).fold(0.0, f64::max);
    if most > 0.0 {
        let bars = table.rows.iter_mut().filter_map(|row| row.cells.last_mut());
        bars.for_each(|bar| *bar = Cell::bar(bar.as_number() / most, Mark::Good));
    }
}

fn columns(with_place: bool) -> Vec<Column> {
    let place = with_place.then(|| Column::words("WHERE", 8).grows(40).keeps(26));
    let rest = [
        Column::words("STAGE", 9),
        Column::number("CALL/S", 6),
        Column::number("BUF/S", 6).rank(2),
        Column::number("BUF/CALL", 5).rank(1),
        Column::words("BURSTS", BURST_BUCKETS),
        Column::number("CYC/CALL", 6).rank(3),
        Column::number("CYC/BUF", 6),
        Column::number("TIME%", 5),
        Column::words("CYCLES", 10).grows(50).rank(4),
    ];
    place.into_iter().chain(rest).collect()
}

fn cells(
    look: &Look,
    place: Option<&str>,
    stage: &StageSnapshot,
    lcores: &[LcoreSnapshot],
    glyphs: Glyphs,
) -> Vec<Cell> {
    let per_second = |n| rate(look.interval.per_second(n));
    let share = look.interval.share_of(stage.cycles, lcores);
    let bursts = glyphs.histogram(&stage.bufs_per_call);
    let cells = [
        Cell::words(stage.name.clone()).mark(Mark::Strong),
        per_second(stage.calls),
        per_second(stage.bufs),
        rate(stage.bufs_a_call()),
        Cell::number(bursts, stage.bufs_a_call()),
        rate(stage.cycles_a_call()),
        rate(if stage.bufs > 0 { stage.cycles_a_buf() } else { 0.0 }),
        Cell::number(format::percent(share), share),
        Cell::bar(share, Mark::Good),
    ];
    place.map(Cell::words).into_iter().chain(cells).collect()
}

/// How many bufs a call has.
pub fn detail(look: &Look, id: &str, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    let change = &look.interval.change;
    let of_listeners = change.listeners.iter().flat_map(|listener| {
        let place = place(listener);
        listener.stages.iter().map(move |stage| (format!("{place} {}", stage.name), stage))
    });
    let of_lcores = change.lcores.iter().flat_map(|lcore| {
        let place = move |name: &str| format!("lcore {} {name}", lcore.lcore_id);
        lcore.stages.iter().map(move |stage| (place(&stage.name), stage))
    });
    let found = of_listeners.chain(of_lcores).find(|(there, _)| there == id);
    let Some((_, stage)) = found else { return Vec::new() };
    let calls: u64 = stage.bufs_per_call.iter().sum();
    let mut lines = vec![Line::of(format!("Bufs in a call of {id}"), Mark::Strong)];
    for (bucket, count) in stage.bufs_per_call.iter().enumerate() {
        let name = match bucket {
            0 => "0 or 1".to_owned(),
            1 => "2".to_owned(),
            bucket if bucket + 1 == BURST_BUCKETS => format!("over {}", 1 << (bucket - 1)),
            bucket => format!("{} to {}", (1 << (bucket - 1)) + 1, 1 << bucket),
        };
        let share = *count as f64 / calls.max(1) as f64;
        let part = format::percent(share);
        let mut line = Line::of(format!("  {name:<9} {part:>5}%  "), Mark::Plain);
        let room = columns.saturating_sub(line.width()).min(60);
        lines.push(line.append(glyphs.bar(share, room, Mark::Good)).clone());
    }
    lines
}
