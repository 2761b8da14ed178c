//! `ringway stream`: the two ends of a stream for people and scripts. What they say to each other is the
//! library's business.

pub mod args;
mod connect;
mod file;
mod node;
mod progress;
mod recv;
mod send;

use std::fmt::Display;
use std::io::{self, Write};

use ringway::stream::Error;
use ringway::stream::file::FileError;

use args::{FileCommand, StreamCommand};

/// Does what one of the subcommands is for.
pub fn stream(command: &StreamCommand) -> Result<(), Failure> {
    match command {
        StreamCommand::Connect(args) => connect::connect(args)?,
        StreamCommand::Send(args) => send::send(args)?,
        StreamCommand::Recv(args) => recv::recv(args)?,
        StreamCommand::File(FileCommand::Put(args)) => file::put(args)?,
        StreamCommand::File(FileCommand::Get(args)) => file::get(args)?,
    }
    Ok(())
}

/// Why a command failed: its text is what an operator reads.
pub struct Failure(String);

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self(error.to_string())
    }
}

/// Says something about what goes on, beside what was asked for.
fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Why something outside the stream failed.
fn failed(what: impl Into<String>, why: impl Display, remedy: &str) -> Error {
    Error::Setup(ringway::error::Error::new(what, why, remedy))
}

/// Standard output cannot be written to: whoever read it has had enough, or its disk is full.
fn not_written(why: io::Error) -> Error {
    failed("write to standard output", why, "see where it leads")
}
