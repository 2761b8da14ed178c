//! Drops and errors: what was lost or refused, and why. The one that grows fastest stands first.

use ringway::counters::snapshot::{Snapshot, Values};

use super::super::causes::{self, Cause, ERRORS};
use super::super::format;
use super::super::table::{Cell, Column, Table};
use super::super::text::{Line, Mark, wrap};
use super::super::view::Look;
use super::rate;

/// Something that was lost or refused.
struct Loss {
    name: String,
    kind: &'static str,
    total: u64,
    grew: u64,
    cause: Option<&'static Cause>,
}

pub fn table(look: &Look) -> Table {
    let columns = vec![
        Column::words("WHAT", 16),
        Column::words("KIND", 5).rank(1),
        Column::number("PER S", 5),
        Column::number("TOTAL", 7),
        Column::words("WHY", 20).grows(70).keeps(60),
        Column::words("WHAT TO DO", 20).grows(80).rank(2),
    ];
    let mut table = Table::new(columns, "nothing was dropped, nothing was refused");
    for loss in losses(look) {
        let (why, remedy) = loss.cause.map_or(("", ""), |cause| (cause.why, cause.remedy));
        let mark = if loss.grew > 0 { Mark::Bad } else { Mark::Plain };
        let cells = vec![
            Cell::words(loss.name.clone()).mark(mark),
            Cell::words(loss.kind),
            rate(look.interval.per_second(loss.grew)),
            Cell::number(format::total(loss.total), loss.total as f64),
            Cell::words(why),
            Cell::words(remedy).mark(Mark::Faint),
        ];
        table.push(format!("{} {}", loss.kind, loss.name), cells);
    }
    table
}

/// How many were dropped, and how many errors there were, in the interval of a look.
pub fn grew(look: &Look) -> (u64, u64) {
    let losses = losses(look);
    let of = |kind| losses.iter().filter(|loss| loss.kind == kind).map(|loss| loss.grew).sum();
    (of("drop"), of("error"))
}

fn losses(look: &Look) -> Vec<Loss> {
    let (totals, change) = (look.totals.dropped(), look.interval.change.dropped());
    let drops = totals.iter().map(|(name, total)| Loss {
        name: name.to_owned(),
        kind: "drop",
        total,
        grew: change.get(name),
        cause: causes::of_drop(name),
    });
    let errors = ERRORS.iter().map(|cause| Loss {
        name: cause.name.to_owned(),
        kind: "error",
        total: look.totals.sum(cause.name),
        grew: look.interval.change.sum(cause.name),
        cause: Some(cause),
    });
    let mut all: Vec<_> = drops.chain(errors).filter(|loss| loss.total > 0).collect();
    all.sort_by_key(|loss| std::cmp::Reverse((loss.grew, loss.total)));
    all
}

/// The whole sentence, what to do, and where it happened.
pub fn detail(look: &Look, id: &str, columns: usize) -> Vec<Line> {
    let is = |loss: &Loss| format!("{} {}", loss.kind, loss.name) == id;
    let Some(loss) = losses(look).into_iter().find(is) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut say = |title: &str, text: &str| {
        for (place, text) in wrap(text, columns.saturating_sub(10)).into_iter().enumerate() {
            let title = if place == 0 { title } else { "" };
            let mut line = Line::of(format!("{title:<10}"), Mark::Strong);
            line.plain(text);
            lines.push(line);
        }
    };
    if let Some(cause) = loss.cause {
        say("why", cause.why);
        say("to do", cause.remedy);
    }
    say("where", &places(&look.totals, &loss).join(", "));
    lines
}

fn places(totals: &Snapshot, loss: &Loss) -> Vec<String> {
    let count = |counters: &Values, dropped: &Values| match loss.kind {
        "drop" => dropped.get(&loss.name),
        _ => counters.get(&loss.name),
    };
    let listeners = totals.listeners.iter().map(|it| {
        let place = format!("listener {} {}", it.index, it.address);
        (place, count(&it.counters, &it.dropped))
    });
    let lcores = totals.lcores.iter().map(|it| {
        let place = format!("lcore {}", it.lcore_id);
        (place, count(&it.counters, &it.dropped))
    });
    let some = listeners.chain(lcores).filter(|(_, n)| *n > 0);
    some.map(|(place, n)| format!("{place}: {}", format::total(n))).collect()
}
