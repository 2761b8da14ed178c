//! `--once`: all tables one below the other, or one JSON document.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use ringway::counters::rates::Rates;
use ringway::counters::snapshot::Snapshot;
use ringway::error::Result;
use serde::Serialize;

use super::glyphs::Glyphs;
use super::header::{self, is_over};
use super::source::{Source, unix_ms};
use super::text::{Line, Mark};
use super::view::{Look, View};

/// What a script gets.
#[derive(Serialize)]
struct Document<'a> {
    totals: &'a Snapshot,
    rates: Rates,
}

/// Looks twice, so that there are rates; at one that is no more, once.
pub fn look(source: &mut impl Source, interval: Duration) -> Result<Look> {
    let first = source.look()?;
    if is_over(first.state) {
        return Ok(Look::new(None, first));
    }
    thread::sleep(interval);
    Ok(Look::new(Some(&first), source.look()?))
}

/// Prints what there was to see. Nobody reading it is no reason to complain.
pub fn print(look: &Look, json: bool, columns: usize, glyphs: Glyphs) {
    let text = match json {
        true => self::json(look),
        false => page(look, unix_ms(), columns, glyphs),
    };
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn json(look: &Look) -> String {
    let document = Document { totals: &look.totals, rates: look.interval.rates() };
    let mut text = serde_json::to_string_pretty(&document).expect("a look is plain data");
    text.push('\n');
    text
}

/// All of it as text of at most so many columns.
pub fn page(look: &Look, now_unix_ms: u64, columns: usize, glyphs: Glyphs) -> String {
    let mut lines = header::lines(look, now_unix_ms, columns, glyphs);
    lines.push(over(look));
    for view in View::ALL {
        lines.push(Line::default());
        lines.push(Line::of(view.name(), Mark::Strong));
        lines.extend(view.table(look, glyphs).lines(columns, glyphs));
    }
    lines.iter().map(|line| line.text() + "\n").collect()
}

/// Of which time the rates are.
fn over(look: &Look) -> Line {
    let seconds = look.interval.seconds;
    let text = match is_over(look.totals.state) {
        true => format!("rates are averages over its life of {seconds:.1} s"),
        false => format!("rates are over {seconds:.2} s"),
    };
    Line::of(text, Mark::Faint)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fake;
    use super::*;

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn scripts_find_what_they_look_for_where_it_was() {
        let text = json(&fake::look());
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(keys(&all), ["rates", "totals"]);
        let (totals, rates) = (&all["totals"], &all["rates"]);
        for key in [
            "instance",
            "version",
            "pid",
            "state",
            "uptime_ns",
            "lcores",
            "listeners",
            "pools",
            "ports",
        ] {
            assert!(!totals[key].is_null(), "{key}");
        }
        let of_lcore = ["counters", "dropped", "lcore_id", "stages", "time"];
        assert_eq!(keys(&rates["lcores"][0]), of_lcore);
        let of_listener = ["address", "counters", "dropped", "index", "latency", "stages"];
        assert_eq!(keys(&rates["listeners"][0]), of_listener);
        assert_eq!(rates["messages"], 1_234_000.0);
        assert_eq!(rates["lcores"][0]["time"]["busy"], 0.5);
        assert_eq!(rates["listeners"][0]["dropped"]["unsent"], 4.0);
        assert_eq!(rates["pools"][1]["exhausted"], 1.0);
        assert_eq!(totals["ports"][1]["stalled_ns"], 3_200_000_000_u64);
        assert_eq!(totals["listeners"][0]["slowest"]["conn"], "0:12.3");
        assert_eq!(totals["listeners"][0]["latency"]["count"], 100_000);
        assert_eq!(rates["listeners"][0]["latency"]["count"], 1000);
        let stage = [
            "bufs",
            "bufs_per_call",
            "calls",
            "cycles_per_buf",
            "cycles_per_call",
            "name",
            "share",
        ];
        assert_eq!(keys(&rates["listeners"][0]["stages"][1]), stage);
    }
}
