//! What a person at the terminal has chosen, and what was last seen of the instance. No terminal is in here: looks and
//! keys come in, `page` makes lines of it.

use std::collections::VecDeque;
use std::time::Duration;

use ringway::counters::snapshot::Snapshot;
use ringway::error::Result;

use super::glyphs::Glyphs;
use super::header::is_over;
use super::table::Sort;
use super::view::{Look, View};

/// Looks that graphs go back to.
const HISTORY: usize = 512;

/// What was chosen in one view.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    pub sort: Sort,
    /// The row that is chosen.
    pub row: Option<String>,
    /// The first row that is shown.
    pub first: usize,
}

/// What was seen at each look, the newest last.
#[derive(Debug, Default)]
pub struct History {
    pub messages: VecDeque<f64>,
    /// In nanoseconds.
    pub p99: VecDeque<f64>,
}

/// All of it.
#[derive(Debug)]
pub struct App {
    pub name: String,
    pub glyphs: Glyphs,
    pub interval: Duration,
    pub view: View,
    pub chosen: [Chosen; View::ALL.len()],
    /// Rows are shown that have this in them.
    pub filter: String,
    /// The filter is being typed.
    pub is_typing: bool,
    pub shows_help: bool,
    /// More of the chosen row is shown even where there is little room.
    pub shows_more: bool,
    /// Where the display was frozen.
    pub frozen: Option<Look>,
    pub look: Option<Look>,
    /// Why the last look failed.
    pub trouble: Option<String>,
    pub history: History,
    /// Times that another process was there than before.
    pub restarts: u32,
    /// Rows and columns of the table as they were last shown.
    pub rows: Vec<String>,
    pub columns: Vec<usize>,
    /// Rows of a page.
    pub page_rows: usize,
    pub is_over: bool,
}

impl App {
    /// Nothing is chosen and nothing seen yet.
    pub fn new(name: &str, interval: Duration, glyphs: Glyphs) -> Self {
        Self {
            name: name.to_owned(),
            glyphs,
            interval,
            view: View::default(),
            chosen: Default::default(),
            filter: String::new(),
            is_typing: false,
            shows_help: false,
            shows_more: false,
            frozen: None,
            look: None,
            trouble: None,
            history: History::default(),
            restarts: 0,
            rows: Vec::new(),
            columns: Vec::new(),
            page_rows: 1,
            is_over: false,
        }
    }

    /// What a look came to.
    pub fn see(&mut self, seen: Result<Snapshot>) {
        let now = match seen {
            Ok(now) => now,
            Err(error) => {
                self.trouble = Some(error.to_string());
                return;
            }
        };
        self.trouble = None;
        let before = self.look.as_ref().map(|look| &look.totals);
        if before.is_some_and(|before| before.pid != now.pid) {
            self.restarts += 1;
        }
        let look = Look::new(before, now);
        // The first one is about a whole life.
        if self.look.is_some() && !is_over(look.totals.state) {
            self.history.note(&look);
        }
        self.look = Some(look);
    }

    /// What is to be shown.
    pub fn shown(&self) -> Option<&Look> {
        self.frozen.as_ref().or(self.look.as_ref())
    }

    /// What was chosen in the view that is shown.
    pub fn chosen(&mut self) -> &mut Chosen {
        &mut self.chosen[self.view as usize]
    }
}

impl History {
    fn note(&mut self, look: &Look) {
        let interval = &look.interval;
        let messages = interval.per_second(interval.change.sum("messages"));
        let p99 = interval.latency().quantile(0.99).unwrap_or(0) as f64;
        for (values, value) in [(&mut self.messages, messages), (&mut self.p99, p99)] {
            if values.len() == HISTORY {
                values.pop_front();
            }
            values.push_back(value);
        }
    }
}
