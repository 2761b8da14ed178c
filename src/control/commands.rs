//! The commands by their names: found, refused, and listed by `help`. What each does is written where
//! it is added.

use super::answer::{Answer, Table};
use crate::ipc::{Command, Error, Reply};

type Run = dyn Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), Error> + Send + Sync;

/// The commands in the order in which they were added.
#[derive(Default)]
pub(crate) struct Commands(Vec<Entry>);

struct Entry {
    usage: String,
    help: String,
    run: Box<Run>,
}

impl Entry {
    fn name(&self) -> &str {
        self.usage.split_ascii_whitespace().next().unwrap_or_default()
    }
}

impl Commands {
    /// Adds a command, in the place of one of that name.
    pub fn add<F>(&mut self, usage: &str, help: &str, run: F)
    where
        F: Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), Error> + Send + Sync + 'static,
    {
        self.put(Entry { usage: usage.to_owned(), help: help.to_owned(), run: Box::new(run) });
    }

    /// Adds a command that only tells something, and takes no arguments.
    pub fn add_plain(
        &mut self,
        name: &str,
        help: &str,
        tell: impl Fn() -> Answer + Send + Sync + 'static,
    ) {
        self.add(name, help, move |command, reply| {
            refuse_arguments(command)?;
            tell().write(command.json, reply)
        });
    }

    pub fn add_all(&mut self, others: Self) {
        others.0.into_iter().for_each(|entry| self.put(entry));
    }

    fn put(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|there| there.name() == entry.name()) {
            Some(there) => *there = entry,
            None => self.0.push(entry),
        }
    }

    /// Answers a command, or says that there is none.
    pub fn run(&self, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        if let Some(entry) = self.0.iter().find(|entry| entry.name() == command.name) {
            return (entry.run)(command, reply);
        }
        if command.name == "help" {
            refuse_arguments(command)?;
            return self.help().write(command.json, reply);
        }
        Err(Error::handler(
            404,
            format!("no command `{}`; `help` lists those there are", command.name),
        ))
    }

    fn help(&self) -> Answer {
        let about_help = ["help", "these lines; j/COMMAND answers in JSON"];
        let entries = self.0.iter().map(|entry| [&*entry.usage, &entry.help]);
        let rows = std::iter::once(about_help).chain(entries);
        let columns = ["command", "what it tells or does"];
        Answer::Table(Table {
            columns: columns.map(str::to_owned).into(),
            rows: rows.map(|row| row.map(|cell| cell.to_owned().into()).into()).collect(),
            upright: false,
        })
    }
}

fn refuse_arguments(command: &Command<'_>) -> Result<(), Error> {
    if command.arguments.is_empty() {
        return Ok(());
    }
    Err(Error::handler(400, format!("`{}` takes no arguments", command.name)))
}
