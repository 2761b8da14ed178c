//! How far a transfer is: a bar on a terminal, and else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use ringway::stream::file::Progress;

/// How often a bar is drawn, and a line printed where there is no terminal.
const DRAW_EVERY: Duration = Duration::from_millis(100);
const PRINT_EVERY: Duration = Duration::from_secs(5);

/// Columns of the bar.
const COLUMNS: u64 = 30;

/// Shows how far a transfer is, on standard error.
pub struct Bar {
    name: String,
    is_terminal: bool,
    began: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub fn new(name: &str) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { name: name.to_owned(), is_terminal, began: Instant::now(), shown: None }
    }

    /// Shows it, if it is time.
    pub fn show(&mut self, progress: Progress) {
        let every = if self.is_terminal { DRAW_EVERY } else { PRINT_EVERY };
        let begins = self.shown.is_none();
        if begins && progress.resumed > 0 {
            self.say(&format!("{}: goes on at {}", self.name, bytes(progress.resumed)));
        }
        if begins {
            self.began = Instant::now();
        }
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= every);
        if !is_due || begins && !self.is_terminal {
            self.shown.get_or_insert_with(Instant::now);
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(&self.name, progress, self.began.elapsed());
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{} {line}", drawn(progress));
        } else {
            self.say(&line);
        }
    }

    /// Leaves the line of the bar.
    pub fn end(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Says what came of it.
    pub fn summarize(&self, progress: Progress) {
        let moved = progress.done - progress.resumed;
        let time = self.began.elapsed();
        let (name, size) = (&self.name, bytes(progress.size));
        let rate = rate(moved, time);
        self.say(&format!(
            "{name}: {size}, SHA-256 verified ({rate}, {:.1} s)",
            time.as_secs_f64()
        ));
    }

    fn say(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn line(name: &str, progress: Progress, time: Duration) -> String {
    let Progress { resumed, done, size } = progress;
    let percent = (done * 100).checked_div(size).unwrap_or(100);
    let moved = done - resumed;
    let left = match moved {
        0 => "--:--".to_owned(),
        _ => clock(time.as_secs_f64() * (size - done) as f64 / moved as f64),
    };
    let (done, size, rate) = (bytes(done), bytes(size), rate(moved, time));
    format!("{name}: {percent} % ({done} of {size}), {rate}, {left} left")
}

fn drawn(progress: Progress) -> String {
    let full = (progress.done.saturating_mul(COLUMNS)).checked_div(progress.size);
    let full = full.unwrap_or(COLUMNS).min(COLUMNS) as usize;
    format!("[{}{}]", "#".repeat(full), " ".repeat(COLUMNS as usize - full))
}

fn rate(moved: u64, time: Duration) -> String {
    format!("{}/s", bytes((moved as f64 / time.as_secs_f64().max(0.001)) as u64))
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.min(359_999.0).ceil() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.5 KiB"]);
        assert_eq!([bytes(3 << 30), bytes(u64::MAX)], ["3.0 GiB", "16777216.0 TiB"]);
        assert_eq!([clock(0.2), clock(61.0), clock(3661.0)], ["0:01", "1:01", "1:01:01"]);
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let progress = Progress { resumed: 1 << 20, done: 2 << 20, size: 4 << 20 };
        let line = line("f", progress, Duration::from_secs(1));
        assert_eq!(line, "f: 50 % (2.0 MiB of 4.0 MiB), 1.0 MiB/s, 0:02 left");
        assert_eq!(drawn(progress), format!("[{}{}]", "#".repeat(15), " ".repeat(15)));
    }

    #[test]
    fn an_empty_file_is_whole_from_the_start() {
        let progress = Progress { resumed: 0, done: 0, size: 0 };
        assert!(line("f", progress, Duration::ZERO).starts_with("f: 100 %"));
        assert_eq!(drawn(progress), format!("[{}]", "#".repeat(30)));
    }
}
