//! What each key does.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::App;
use super::view::View;

/// Between two looks, in milliseconds: what + and - go through.
const INTERVALS: [u64; 8] = [100, 250, 500, 1000, 2000, 5000, 10_000, 60_000];

/// Bytes of a filter.
const FILTER_BYTES_MAX: usize = 64;

impl App {
    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.is_over |= key.code == KeyCode::Char('c');
            return;
        }
        match key.code {
            code if self.is_typing => self.type_filter(code),
            _ if self.shows_help => self.shows_help = false,
            code => self.command(code),
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.len() < FILTER_BYTES_MAX => self.filter.push(c),
            _ => {}
        }
    }

    fn command(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('q') | KeyCode::F(10) => self.is_over = true,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.shows_help = true,
            KeyCode::Char(digit @ '1'..='6') => {
                self.view = View::ALL[digit as usize - '1' as usize]
            }
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(View::ALL.len() - 1),
            KeyCode::Char('s') => self.sort_by_next(true),
            KeyCode::Char('S') => self.sort_by_next(false),
            KeyCode::Char('r') => self.chosen().sort.reversed ^= true,
            KeyCode::Char('f' | ' ') => self.freeze(),
            KeyCode::Char('+' | '=') => self.slower(),
            KeyCode::Char('-') => self.faster(),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => self.back(),
            KeyCode::Enter => self.shows_more ^= true,
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::PageUp => self.choose(-(self.page_rows as isize)),
            KeyCode::PageDown => self.choose(self.page_rows as isize),
            KeyCode::Home => self.choose(isize::MIN),
            KeyCode::End => self.choose(isize::MAX),
            _ => {}
        }
    }

    fn turn(&mut self, views: usize) {
        self.view = View::ALL[(self.view as usize + views) % View::ALL.len()];
    }

    /// Through the columns that are shown, and by none of them.
    fn sort_by_next(&mut self, forward: bool) {
        let columns = self.columns.clone();
        let sort = &mut self.chosen().sort;
        let place = sort.column.and_then(|it| columns.iter().position(|column| *column == it));
        let place = match (place, forward) {
            (None, true) => Some(0),
            (None, false) => columns.len().checked_sub(1),
            (Some(place), true) => Some(place + 1),
            (Some(place), false) => place.checked_sub(1),
        };
        sort.column = place.and_then(|place| columns.get(place).copied());
        sort.reversed = false;
    }

    fn freeze(&mut self) {
        self.frozen = match self.frozen {
            Some(_) => None,
            None => self.look.clone(),
        };
    }

    fn slower(&mut self) {
        let now = self.interval.as_millis() as u64;
        let next = INTERVALS.into_iter().find(|it| *it > now).unwrap_or(now);
        self.interval = Duration::from_millis(next);
    }

    fn faster(&mut self) {
        let now = self.interval.as_millis() as u64;
        let next = INTERVALS.into_iter().rev().find(|it| *it < now).unwrap_or(now);
        self.interval = Duration::from_millis(next);
    }

    /// Undoes the last thing that hides something.
    fn back(&mut self) {
        if self.shows_more {
            self.shows_more = false;
        } else if !self.filter.is_empty() {
            self.filter.clear();
        } else {
            self.chosen().row = None;
        }
    }

    /// The row so many below the one that is chosen.
    fn choose(&mut self, rows: isize) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        let now = self.chosen().row.clone();
        let place = now.and_then(|row| self.rows.iter().position(|it| *it == row));
        let next = match place {
            // The first key shows where one is.
            None if rows.unsigned_abs() == 1 => 0,
            place => place.unwrap_or(0).saturating_add_signed(rows).min(last),
        };
        let row = self.rows[next].clone();
        self.chosen().row = Some(row);
    }
}
