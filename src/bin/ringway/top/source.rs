//! Where looks at an instance come from.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::geteuid;
use ringway::counters::snapshot::Snapshot;
use ringway::counters::{self, Observer};
use ringway::error::{Error, Result};

use super::header::is_over;

/// Somebody who can be asked how an instance is, again and again.
pub trait Source {
    /// How it is now.
    fn look(&mut self) -> Result<Snapshot>;
}

/// The instance of a name, whichever process that is.
pub struct Instance {
    name: String,
    observer: Option<Observer>,
}

impl Instance {
    /// Named so; nobody is looked for yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), observer: None }
    }

    /// Whether there is one, or has been.
    pub fn is_found(&self) -> bool {
        self.observer.is_some() || self.path().exists()
    }

    fn path(&self) -> PathBuf {
        counters::path(geteuid().as_raw(), &self.name)
    }

    /// Who is there, in place of an instance that is not.
    fn nobody(&self) -> Error {
        let (mut run, mut left) = (Vec::new(), Vec::new());
        for name in names() {
            let state = Observer::open(&name).and_then(|it| it.snapshot()).map(|it| it.state);
            match state {
                Ok(state) if is_over(state) => left.push(name),
                Ok(_) => run.push(name),
                Err(_) => {}
            }
        }
        let listed = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let mut others = format!("of this user run: {}", listed(&run));
        if !left.is_empty() {
            others += &format!("; have ended and left their counts: {}", left.join(", "));
        }
        let remedy = format!("name one with --file-prefix; {others}");
        let why = format!("there is no {}", self.path().display());
        Error::new(format!("find instance {}", self.name), why, remedy)
    }
}

impl Source for Instance {
    fn look(&mut self) -> Result<Snapshot> {
        // Its name may be that of another process by now.
        if self.observer.as_ref().is_none_or(Observer::is_replaced) {
            let opened = Observer::open(&self.name);
            self.observer =
                Some(opened.map_err(|why| if self.is_found() { why } else { self.nobody() })?);
        }
        let observer = self.observer.as_ref().expect("it was opened above");
        observer.snapshot()
    }
}

/// The instances of this user that have left something, running or not, in order.
fn names() -> Vec<String> {
    let of = |name: &str| counters::path(geteuid().as_raw(), name);
    let pattern = of("*");
    let (Some(directory), Some(file)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let file = file.to_string_lossy();
    let Some((before, behind)) = file.split_once('*') else { return Vec::new() };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let name = |file: String| {
        let rest = file.strip_prefix(before)?;
        Some(rest.strip_suffix(behind)?.to_owned())
    };
    let mut names: Vec<_> = files.filter_map(name).collect();
    names.sort_unstable();
    names
}

/// Milliseconds of the calendar.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}
