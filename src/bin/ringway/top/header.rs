//! The lines above all tables: who this is, how it is, and how much of everything.

use ringway::counters::rates::TimeShares;
use ringway::counters::snapshot::{Snapshot, State};

use super::format;
use super::glyphs::Glyphs;
use super::text::{Line, Mark};
use super::view::Look;
use super::views::drops;
use super::views::listeners::QUANTILES;

/// Seconds without a word of one that says four times a second that it lives.
const SILENT_S: u64 = 3;

/// The longest bar of load.
const BAR_COLUMNS: usize = 100;

/// What it is about; four lines. `now_unix_ms` is the time of day.
pub fn lines(look: &Look, now_unix_ms: u64, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    let lines = [
        identity(&look.totals, now_unix_ms, glyphs),
        traffic(look),
        latency(look, columns, glyphs),
        load(look, columns, glyphs),
    ];
    lines.into_iter().map(|line| line.cut_to(columns)).collect()
}

fn identity(totals: &Snapshot, now_unix_ms: u64, glyphs: Glyphs) -> Line {
    let mut line = Line::of(totals.instance.clone(), Mark::Strong);
    let (mark, state) = state(totals, now_unix_ms);
    line.push(format!("  {} {state}", glyphs.dot), mark);
    let up = format::age(totals.uptime_ns / 1_000_000_000);
    let lived = if is_over(totals.state) { "lived" } else { "up" };
    line.plain(format!("  {lived} {up}  pid {}  v{}", totals.pid, totals.version));
    line.plain(format!("  config {}", totals.generation));
    let measured = match totals.sampling {
        0 => "  measures nothing".to_owned(),
        1 => "  measures all".to_owned(),
        n => format!("  measures 1/{n}"),
    };
    line.push(measured, Mark::Faint);
    line
}

/// Whether nothing more will come of it.
pub fn is_over(state: State) -> bool {
    matches!(state, State::Died | State::Ended)
}

/// How it is, in words.
fn state(totals: &Snapshot, now_unix_ms: u64) -> (Mark, String) {
    let silent = now_unix_ms.saturating_sub(totals.seen_unix_ms) / 1000;
    let ago = format::age(silent);
    match totals.state {
        State::Running | State::Draining if silent >= SILENT_S => {
            (Mark::Bad, format!("SILENT for {ago}: is it stopped?"))
        }
        State::Starting => (Mark::Warn, "starting".to_owned()),
        State::Running => (Mark::Good, "running".to_owned()),
        State::Draining => (Mark::Warn, "draining".to_owned()),
        State::Ended => (Mark::Warn, format!("ended {ago} ago")),
        State::Died => (Mark::Bad, format!("DIED {ago} ago")),
    }
}

fn pair(line: &mut Line, name: &str, value: &str, wide: usize) {
    line.push(format!("{name} "), Mark::Faint);
    line.push(format!("{value:<wide$}"), Mark::Strong);
}

fn traffic(look: &Look) -> Line {
    let a_second = |counter| look.interval.per_second(look.interval.change.sum(counter));
    let connections: u64 = look.totals.lcores.iter().map(|lcore| lcore.connections).sum();
    let mut line = Line::default();
    pair(&mut line, "messages", &format!("{}/s", format::count(a_second("messages"))), 9);
    let bits = |counter| format!("{}bit/s", format::count(8.0 * a_second(counter)));
    pair(&mut line, "in", &bits("rx_bytes"), 12);
    pair(&mut line, "out", &bits("tx_bytes"), 12);
    let new = format::count(a_second("accepted"));
    pair(&mut line, "connections", &format!("{} (+{new}/s)", format::total(connections)), 0);
    line
}

fn latency(look: &Look, columns: usize, glyphs: Glyphs) -> Line {
    let all = look.interval.latency();
    let mut line = Line::default();
    line.push("latency ", Mark::Faint);
    for (part, name) in QUANTILES {
        let value = all.quantile(part);
        let text = value.map_or("-".to_owned(), |ns| format::duration(ns, glyphs.micro));
        pair(&mut line, name, &text, 8);
    }
    let (drops, errors) = drops::grew(look);
    let short = if columns < 90 { "err" } else { "errors" };
    for (name, n) in [("drops", drops), (short, errors)] {
        let mark = if n > 0 { Mark::Bad } else { Mark::Faint };
        let rate = format::count(look.interval.per_second(n));
        line.push(format!("{name} {rate}/s "), mark);
    }
    line
}

/// The time of all lcores in one bar.
fn load(look: &Look, columns: usize, glyphs: Glyphs) -> Line {
    let lcores = &look.interval.change.lcores;
    let shares: Vec<_> = lcores.iter().map(TimeShares::of).collect();
    let mean = |part: fn(&TimeShares) -> f64| {
        shares.iter().map(part).sum::<f64>() / shares.len().max(1) as f64
    };
    let [busy, idle, sleep] = [mean(|it| it.busy), mean(|it| it.idle), mean(|it| it.sleep)];
    let mut line = Line::of(format!("{} lcores ", lcores.len()), Mark::Faint);
    let numbers = format!(
        "  {} busy {}%  {} idle {}%  {} asleep {}%",
        glyphs.time[0],
        format::percent(busy),
        glyphs.time[1],
        format::percent(idle),
        glyphs.time[2],
        format::percent(sleep)
    );
    let mut rest = Line::of(numbers, Mark::Plain);
    let stalled = look.totals.lcores.iter().filter(|lcore| lcore.doing.is_some()).count();
    if stalled > 0 {
        rest.push(format!("  {stalled} STALLED"), Mark::Bad);
    }
    let room = columns.saturating_sub(line.width() + rest.width()).min(BAR_COLUMNS);
    line.append(glyphs.time_bar([busy, idle, sleep], room)).append(rest);
    line
}
