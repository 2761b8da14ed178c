//! The terminal view on a terminal in memory: what is where at which size, and what keys do.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use ringway::counters::snapshot::{Snapshot, State};
use ringway::error::Error;

use super::app::App;
use super::fake::{self, NOW};
use super::glyphs::Glyphs;
use super::screen::{self, Theme};
use super::view::View;

/// A view that has seen the instance twice.
fn app() -> App {
    let mut app = App::new("blue", Duration::from_secs(1), Glyphs::new(false));
    app.see(Ok(fake::snapshot(99)));
    app.see(Ok(fake::snapshot(100)));
    app
}

fn drawn(app: &mut App, columns: u16, rows: u16, has_colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let theme = Theme { has_colours };
    terminal.draw(|frame| screen::draw(frame, app, NOW + 1000, theme)).unwrap();
    terminal
}

/// The screen as text.
fn screen(app: &mut App, columns: u16, rows: u16) -> Vec<String> {
    let terminal = drawn(app, columns, rows, true);
    let buffer = terminal.backend().buffer();
    let line = |row| -> String {
        (0..columns).map(|column| buffer[(column, row)].symbol().to_owned()).collect()
    };
    (0..rows).map(|row| line(row).trim_end().to_owned()).collect()
}

fn press(app: &mut App, keys: &str) {
    keys.chars().for_each(|key| hit(app, KeyCode::Char(key)));
}

fn hit(app: &mut App, code: KeyCode) {
    app.press(KeyEvent::new(code, KeyModifiers::NONE));
}

/// The first line that has this in it.
fn with<'a>(screen: &'a [String], text: &str) -> &'a str {
    let found = screen.iter().find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no {text:?} in:\n{}", screen.join("\n")))
}

/// The column of a text's last character.
fn end_of(line: &str, text: &str) -> usize {
    let at = line.find(text).unwrap_or_else(|| panic!("no {text:?} in {line:?}"));
    line[..at + text.len()].chars().count()
}

#[test]
fn the_overview_has_state_rates_latency_and_load() {
    let screen = screen(&mut app(), 80, 24);
    assert_eq!(
        screen[0],
        "blue  ● running  up 1 min 40 s  pid 4711  v0.1.0  config 2  measures 1/64"
    );
    assert_eq!(
        screen[1],
        "messages 1.23M/s  in 2.00Gbit/s  out 4.00Gbit/s  connections 10,000 (+120/s)"
    );
    for part in ["p50 8.19µs", "p99 16.4µs", "p99.9 123µs", "p99.99 2.03ms", "drops 8/s", "err 0/s"]
    {
        assert!(screen[2].contains(part), "{part}: {}", screen[2]);
    }
    assert!(screen[3].starts_with("2 lcores █"), "{}", screen[3]);
    assert!(screen[3].ends_with("█ busy 50.0%  ▒ idle 30.0%  · asleep 20.0%"), "{}", screen[3]);
    assert!(screen[4].starts_with(" 1 Lcores  2 Listeners  3 Stages "), "{}", screen[4]);
    assert!(screen[23].starts_with("1-6 Tab view") && screen[23].ends_with("q quit"));
}

#[test]
fn numbers_stand_below_the_ends_of_their_titles_at_each_size() {
    /// A view, what a row of it has, and values in that row by their titles.
    type Case = (View, &'static str, &'static [(&'static str, &'static str)]);
    let columns: [Case; 5] = [
        (View::Lcores, "  0", &[("BUSY%", "50.0"), ("MSG/S", "617k"), ("CONNS", "5,000")]),
        (View::Listeners, "8080", &[("MSG/S", "617k"), ("P50", "8.19µs"), ("P99", "16.4µs")]),
        (View::Stages, "ingress", &[("CALL/S", "1.00k"), ("CYC/BUF", "3.33k"), ("TIME%", "0.7")]),
        (View::Pools, "16K", &[("USED%", "99.6"), ("OUT", "255"), ("EXHAUSTED", "100")]),
        (View::Ports, "echo", &[("PROCESS", "5001"), ("WAITING", "32")]),
    ];
    for (width, height) in [(80, 24), (160, 50), (200, 60)] {
        for (view, row, pairs) in columns {
            let mut app = app();
            app.view = view;
            let screen = screen(&mut app, width, height);
            let head = screen.iter().position(|line| line.contains(pairs[0].0)).unwrap();
            let row = with(&screen[head + 1..], row);
            for (title, value) in pairs {
                let ends = (end_of(&screen[head], title), end_of(row, value));
                assert_eq!(ends.0, ends.1, "{title} at {width}:\n{}\n{row}", screen[head]);
            }
        }
    }
}

#[test]
fn a_wide_screen_has_more_columns_and_a_tall_one_graphs_and_the_first_rows_details() {
    let mut app = app();
    let narrow = screen(&mut app, 80, 24);
    assert!(!narrow.iter().any(|line| line.contains("ENOBUFS")));
    assert!(!narrow.iter().any(|line| line.contains("latency p99")));
    let wide = screen(&mut app, 160, 50);
    let head = with(&wide, "BUSY%");
    for title in ["IDLE%", "SLEEP%", "CQE/E", "ENOBUFS", "OVERFLOW", "THREAD", "DOING"] {
        assert!(head.contains(title), "{title}");
    }
    assert!(with(&wide, "messages/s").contains("latency p99  16.4µs  most 16.4µs"));
    with(&wide, "Poll loop of lcore 0");
    assert!(wide.iter().any(|line| line == "Listeners"), "the next views below");
    assert!(with(&wide, "completions").contains("600k"));
}

#[test]
fn no_line_is_wider_than_the_screen_whatever_its_size() {
    for view in View::ALL {
        for (width, height) in [(20, 5), (40, 10), (80, 24), (133, 40), (250, 80), (1, 1)] {
            let mut app = app();
            app.view = view;
            app.shows_help = width == 40;
            let lines = super::page::lines(&mut app, NOW, width, height);
            assert_eq!(lines.len(), height.max(1));
            assert!(lines.iter().all(|line| line.width() <= width), "{view:?} at {width}");
            drawn(&mut app, width as u16, height as u16, true);
        }
    }
}

#[test]
fn a_stage_has_calls_cycles_and_a_histogram_of_its_bursts() {
    let mut app = app();
    press(&mut app, "3");
    let screen = screen(&mut app, 120, 30);
    let line = with(&screen, "handler");
    for part in ["0 http 0.0.0.0:8080", "1.00k", "12.0k", "▁▁·▄█▄·", "60.0k", "5.00k", "1.0"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    with(&screen, "lcore 0");
}

#[test]
fn stages_of_a_listener_that_nobody_ever_asked_are_left_out() {
    let mut idle = fake::snapshot(101);
    for stage in &mut idle.listeners[1].stages {
        stage.bufs = 0;
    }
    let mut app = App::new("blue", Duration::from_secs(1), Glyphs::new(false));
    app.see(Ok(idle));
    press(&mut app, "3");
    assert!(!screen(&mut app, 120, 40).iter().any(|line| line.contains("1 echo")));
    press(&mut app, "/0 http");
    screen(&mut app, 120, 40);
    assert_eq!(app.rows.len(), 6);
}

#[test]
fn what_was_lost_is_said_with_the_reason_and_the_fastest_first() {
    let mut app = app();
    press(&mut app, "6");
    let screen = screen(&mut app, 80, 24);
    let place = |text: &str| screen.iter().position(|line| line.contains(text)).unwrap();
    assert!(place("unsent") < place("protocol"));
    assert!(with(&screen, "unsent").contains("800"), "4 on each of 2 lcores in 100 seconds");
    with(&screen, "timeouts");
    assert!(with(&screen, "why  ").contains("waited to be sent when the connection was lost"));
    assert!(with(&screen, "where").contains("listener 0 0.0.0.0:8080: 400"));
}

#[test]
fn an_lcore_that_hangs_and_a_port_that_stands_still_are_marked() {
    let mut app = app();
    let mut hangs = fake::snapshot(101);
    hangs.lcores[1].silent_ns = 2_300_000_000;
    hangs.lcores[1].doing = Some("handler of listener 0, connection 1:7.3".to_owned());
    app.see(Ok(hangs));
    let lcores = screen(&mut app, 120, 24);
    assert!(with(&lcores, "2 lcores").contains("1 STALLED"));
    with(&lcores, "STALLED 2.30s: handler of listener 0, conn");
    let narrow = screen(&mut app, 80, 24);
    with(&narrow, "STALLED 2.30s: handler of listener 0, co");
    with(&narrow, "for 2.30s. It is in: handler of listener 0,");
    press(&mut app, "5");
    let ports = screen(&mut app, 120, 24);
    with(&ports, "STALLED for 3.20s");
    with(&ports, "nobody is attached");
}

#[test]
fn one_that_died_says_since_when_and_what_its_life_was() {
    let mut app = app();
    for _ in 0..2 {
        let seen_unix_ms = NOW - 11_000;
        app.see(Ok(Snapshot { state: State::Died, seen_unix_ms, ..fake::snapshot(100) }));
        let screen = screen(&mut app, 80, 24);
        assert!(screen[0].starts_with("blue  ● DIED 12 s ago  lived 1 min 40 s"), "{}", screen[0]);
        assert!(screen[1].starts_with("messages 1.23M/s"), "{}", screen[1]);
    }
    // And another process comes under its name.
    app.see(Ok(Snapshot { pid: 5, ..fake::snapshot(1) }));
    let screen = screen(&mut app, 80, 24);
    assert!(screen[0].contains("running") && screen[0].contains("pid 5"), "{}", screen[0]);
    assert!(screen[4].contains("restarts 1"), "{}", screen[4]);
}

#[test]
fn one_that_says_nothing_is_called_silent() {
    let mut app = app();
    app.see(Ok(Snapshot { seen_unix_ms: NOW - 1999, ..fake::snapshot(101) }));
    assert!(screen(&mut app, 80, 24)[0].contains("● running"));
    app.see(Ok(Snapshot { seen_unix_ms: NOW - 2000, ..fake::snapshot(102) }));
    assert!(screen(&mut app, 80, 24)[0].contains("● SILENT for 3 s: is it stopped?"));
}

#[test]
fn a_listener_that_drains_says_so_at_each_size() {
    let mut app = app();
    press(&mut app, "2");
    let mut drains = fake::snapshot(101);
    drains.listeners[1].draining = true;
    app.see(Ok(drains));
    for columns in [80, 160] {
        assert!(with(&screen(&mut app, columns, 24), "2001:db8").contains("draining"));
    }
}

#[test]
fn what_cannot_be_looked_at_is_waited_for() {
    let mut app = app();
    app.see(Err(Error::new("look at blue", "it is gone", "start it")));
    assert!(screen(&mut app, 80, 24)[4].ends_with("gone, waiting"));
    app.see(Ok(fake::snapshot(101)));
    assert!(!screen(&mut app, 80, 24)[4].contains("gone"));
}

#[test]
fn keys_switch_views_round_and_round() {
    let mut app = app();
    press(&mut app, "4");
    assert_eq!(app.view, View::Pools);
    hit(&mut app, KeyCode::Tab);
    hit(&mut app, KeyCode::Tab);
    hit(&mut app, KeyCode::Tab);
    assert_eq!(app.view, View::Lcores);
    hit(&mut app, KeyCode::BackTab);
    assert_eq!(app.view, View::Drops);
    press(&mut app, "9x");
    assert_eq!(app.view, View::Drops);
}

#[test]
fn s_sorts_by_each_column_that_is_shown_and_r_turns_it_round() {
    let mut app = app();
    press(&mut app, "2");
    let order = |app: &mut App| {
        screen(app, 80, 24);
        app.rows.join("")
    };
    assert_eq!(order(&mut app), "01");
    press(&mut app, "s");
    assert_eq!(order(&mut app), "10", "numbers from the largest");
    press(&mut app, "r");
    assert_eq!(order(&mut app), "01");
    press(&mut app, "s");
    assert_eq!(order(&mut app), "01", "addresses from a");
    assert!(with(&screen(&mut app, 80, 24), "ADDRESS").contains("ADDRESS▼"));
    press(&mut app, "SS");
    assert_eq!(app.chosen().sort.column, None);
    press(&mut app, "S");
    let last = app.columns.last().copied();
    assert_eq!(app.chosen().sort.column, last);
    press(&mut app, "s");
    assert_eq!(app.chosen().sort.column, None);
}

#[test]
fn a_filter_is_typed_kept_and_taken_away() {
    let mut app = app();
    press(&mut app, "3/handq");
    assert!(!app.is_over, "a letter of the filter");
    assert!(screen(&mut app, 80, 24)[23].starts_with("filter: handq_"));
    hit(&mut app, KeyCode::Backspace);
    hit(&mut app, KeyCode::Enter);
    let filtered = screen(&mut app, 80, 24);
    assert!(filtered[4].ends_with("filter hand"), "{}", filtered[4]);
    assert_eq!(app.rows.len(), 2);
    press(&mut app, "/zzz");
    hit(&mut app, KeyCode::Enter);
    with(&screen(&mut app, 80, 24), "no row has \"handzzz\" in it");
    hit(&mut app, KeyCode::Esc);
    screen(&mut app, 80, 24);
    assert!(app.rows.len() > 2);
}

#[test]
fn what_is_frozen_stays_until_it_goes_on() {
    let mut app = app();
    press(&mut app, "f");
    app.see(Ok(Snapshot { generation: 77, ..fake::snapshot(101) }));
    let frozen = screen(&mut app, 80, 24);
    assert!(frozen[0].contains("config 2") && frozen[4].ends_with("FROZEN"));
    press(&mut app, " ");
    let goes_on = screen(&mut app, 80, 24);
    assert!(goes_on[0].contains("config 77") && !goes_on[4].contains("FROZEN"));
}

#[test]
fn plus_and_minus_change_the_interval_within_bounds() {
    let mut app = app();
    press(&mut app, "+");
    assert_eq!(app.interval, Duration::from_secs(2));
    press(&mut app, "--");
    assert_eq!(app.interval, Duration::from_millis(500));
    press(&mut app, "-----");
    assert_eq!(app.interval, Duration::from_millis(100));
    press(&mut app, "++++++++++");
    assert_eq!(app.interval, Duration::from_secs(60));
    assert!(screen(&mut app, 80, 24)[23].contains("60 s"));
}

#[test]
fn a_row_is_chosen_scrolled_to_and_explained() {
    let mut app = app();
    press(&mut app, "3");
    screen(&mut app, 80, 24);
    hit(&mut app, KeyCode::End);
    let end = screen(&mut app, 80, 24);
    assert!(with(&end, "> lcore 1").contains("timers"));
    hit(&mut app, KeyCode::Enter);
    let more = screen(&mut app, 80, 24);
    with(&more, "> lcore 1");
    with(&more, "Bufs in a call of lcore 1 timers");
    hit(&mut app, KeyCode::Up);
    assert!(with(&screen(&mut app, 80, 24), "> lcore 1").contains("mail"));
    hit(&mut app, KeyCode::PageUp);
    hit(&mut app, KeyCode::Home);
    assert!(with(&screen(&mut app, 80, 24), "> 0 http").contains(" rx "));
    hit(&mut app, KeyCode::Esc);
    hit(&mut app, KeyCode::Esc);
    assert_eq!(app.chosen().row, None);
}

#[test]
fn the_help_lies_above_and_goes_with_any_key() {
    let mut app = app();
    press(&mut app, "?");
    let help = screen(&mut app, 80, 24);
    with(&help, "keys and words");
    assert!(with(&help, "1-6, Tab ").contains("│ 1-6, Tab    views"));
    assert!(
        help.iter().any(|line| line.contains("of the last seconds, and its connection")),
        "all of it fits"
    );
    press(&mut app, "q");
    assert!(!app.is_over && !app.shows_help);
    press(&mut app, "q");
    assert!(app.is_over);
}

#[test]
fn control_c_ends_it_even_in_a_filter() {
    let mut app = app();
    press(&mut app, "/");
    app.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(app.is_over);
}

#[test]
fn colours_are_the_terminals_own_and_can_be_done_without() {
    for has_colours in [true, false] {
        let mut app = app();
        press(&mut app, "6");
        let terminal = drawn(&mut app, 160, 50, has_colours);
        let cells = &terminal.backend().buffer().content;
        let own = [Color::Reset, Color::Red, Color::Green, Color::Blue, Color::Magenta];
        assert!(cells.iter().all(|cell| own.contains(&cell.fg) && cell.bg == Color::Reset));
        assert_eq!(cells.iter().any(|cell| cell.fg != Color::Reset), has_colours);
        assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}

#[test]
fn ascii_is_all_that_a_poor_terminal_gets() {
    let mut app = app();
    app.glyphs = Glyphs::new(true);
    for view in View::ALL {
        app.view = view;
        let lines = super::page::lines(&mut app, NOW, 160, 50);
        assert!(lines.iter().all(|line| line.text().is_ascii()), "{view:?}");
    }
    let page = super::once::page(&fake::look(), NOW, 100, Glyphs::new(true));
    assert!(page.is_ascii());
}

#[test]
fn the_page_of_once_has_all_views() {
    let page = super::once::page(&fake::look(), NOW, 100, Glyphs::new(false));
    for view in View::ALL {
        assert!(page.lines().any(|line| line == view.name()), "{view:?}");
    }
    assert!(page.contains("rates are over 1.00 s"));
    assert!(page.lines().all(|line| line.chars().count() <= 100));
}
