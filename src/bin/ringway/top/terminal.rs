//! A real terminal: taken over, given back whatever happens, and a loop between keys, signals and looks.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ringway::error::{Error, Result};
use ringway::sys::signal;

use super::app::App;
use super::glyphs::Glyphs;
use super::screen::{self, Theme};
use super::source::{Source, unix_ms};

/// The longest wait for a key: so long a signal may go unheard.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// The first interval is short, so that there are rates soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(250);

/// A terminal that is ours, and given back when this goes, be it by a panic.
struct Screen {
    terminal: DefaultTerminal,
    theme: Theme,
}

impl Screen {
    fn take() -> Result<Self> {
        // Has a panic give it back before it says why.
        let terminal = ratatui::try_init().map_err(failed)?;
        Ok(Self { terminal, theme: Theme::of_environment() })
    }

    fn draw(&mut self, app: &mut App) -> Result<()> {
        let theme = self.theme;
        let drawn = self.terminal.draw(|frame| screen::draw(frame, app, unix_ms(), theme));
        drawn.map(drop).map_err(failed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Shows an instance until somebody has seen enough, or a signal ends it.
pub fn watch(
    name: &str,
    source: &mut impl Source,
    interval: Duration,
    glyphs: Glyphs,
) -> Result<()> {
    if !io::stdout().is_terminal() {
        let why = "standard output is no terminal";
        return Err(Error::new("show a terminal view", why, "run it in one, or use --once"));
    }
    let mut app = App::new(name, interval, glyphs);
    // Who asks for an instance that is not there gets told so, and no empty screen.
    app.see(Ok(source.look()?));
    let signals = block_signals()?;
    let mut screen = Screen::take()?;
    let mut due = Instant::now() + FIRST_INTERVAL.min(interval);
    screen.draw(&mut app)?;
    while !app.is_over && signal::wait(&signals, Duration::ZERO).is_none() {
        let asked = app.interval;
        let heard = wait_for_keys(&mut app, due)?;
        if heard == Heard::Suspend {
            drop(screen);
            // Until somebody says `fg`.
            raise(Signal::SIGTSTP).map_err(failed)?;
            screen = Screen::take()?;
        }
        if asked != app.interval {
            due = Instant::now() + app.interval;
        }
        let is_due = Instant::now() >= due;
        if is_due {
            app.see(source.look());
            due = Instant::now() + app.interval;
        }
        if is_due || heard != Heard::Nothing {
            screen.draw(&mut app)?;
        }
    }
    Ok(())
}

/// What came of a wait for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// There is something new to draw.
    Something,
    /// It is to be suspended.
    Suspend,
}

/// Signals that would end this process in the middle of a line are waited for instead.
fn block_signals() -> Result<SigSet> {
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
        .into_iter()
        .for_each(|signal| signals.add(signal));
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None).map_err(failed)?;
    Ok(signals)
}

/// Waits for a key, or until it is time to look again.
fn wait_for_keys(app: &mut App, due: Instant) -> Result<Heard> {
    let wait = due.saturating_duration_since(Instant::now()).min(LOOK_AROUND);
    if !event::poll(wait).map_err(failed)? {
        return Ok(Heard::Nothing);
    }
    match event::read().map_err(failed)? {
        Event::Key(key) if key.kind == KeyEventKind::Release => return Ok(Heard::Nothing),
        Event::Key(key) if is_suspend(&key) => return Ok(Heard::Suspend),
        Event::Key(key) => app.press(key),
        _ => {}
    }
    Ok(Heard::Something)
}

fn is_suspend(key: &KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

fn failed(why: impl std::fmt::Display) -> Error {
    Error::new("use this terminal", why, "use --once")
}
