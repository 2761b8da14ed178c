//! `ringway top`: what an instance does, in a terminal, again and again; or once as text or JSON. All of it is read from
//! the instance's counters in shared memory, which costs its lcores nothing.
#![cfg_attr(not(feature = "top"), allow(dead_code))] // what only a terminal shows

pub mod args;
mod causes;
mod format;
mod glyphs;
mod header;
mod once;
mod source;
mod table;
mod text;
mod view;
mod views;

#[cfg(feature = "top")]
mod app;
#[cfg(feature = "top")]
mod keys;
#[cfg(feature = "top")]
mod page;
#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod terminal;

#[cfg(test)]
mod fake;
#[cfg(all(test, feature = "top"))]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use ringway::config::FilePrefix;
use ringway::error::Result;

use args::TopArgs;
use glyphs::Glyphs;
use source::Instance;

/// Nobody is there.
const NOBODY: u8 = 3;

/// Columns of a page where nobody says how wide it is.
const COLUMNS: usize = 160;

/// Shows the instance until there is enough of it, or once.
pub fn top(args: &TopArgs) -> ExitCode {
    if let Err(error) = args.file_prefix.parse::<FilePrefix>() {
        eprintln!("ringway: {error}");
        return ExitCode::from(2);
    }
    let mut instance = Instance::new(&args.file_prefix);
    let shown = match args.once {
        true => once(args, &mut instance),
        false => watch(args, &mut instance),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringway: {error}");
            if instance.is_found() { ExitCode::FAILURE } else { ExitCode::from(NOBODY) }
        }
    }
}

fn once(args: &TopArgs, instance: &mut Instance) -> Result<()> {
    let look = once::look(instance, interval(args))?;
    once::print(&look, args.json, columns(), glyphs(args));
    Ok(())
}

fn interval(args: &TopArgs) -> Duration {
    Duration::from_millis(args.interval.into())
}

fn glyphs(args: &TopArgs) -> Glyphs {
    match args.ascii {
        true => Glyphs::new(true),
        false => Glyphs::of_environment(|name| std::env::var(name).ok()),
    }
}

#[cfg(feature = "top")]
fn watch(args: &TopArgs, instance: &mut Instance) -> Result<()> {
    terminal::watch(&args.file_prefix, instance, interval(args), glyphs(args))
}

#[cfg(not(feature = "top"))]
fn watch(_: &TopArgs, _: &mut Instance) -> Result<()> {
    Err(ringway::error::Error::new(
        "show a terminal view",
        "this ringway was built without the feature `top`",
        "build it with `cargo build --release --features top`, or use `ringway top --once`",
    ))
}

/// Of the terminal that standard output is.
fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok()).filter(|it| *it >= 40);
    said.or_else(terminal_columns).unwrap_or(COLUMNS)
}

#[cfg(feature = "top")]
fn terminal_columns() -> Option<usize> {
    use std::io::IsTerminal;
    std::io::stdout()
        .is_terminal()
        .then(|| ratatui::crossterm::terminal::size().ok())
        .flatten()
        .map(|it| it.0.into())
}

#[cfg(not(feature = "top"))]
fn terminal_columns() -> Option<usize> {
    None
}
