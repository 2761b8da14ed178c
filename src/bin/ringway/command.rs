//! Reads the command line, hands over to one of the subcommands, and turns what comes back into an
//! exit code.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use ringway::error::Result;
use tracing::Level;

use crate::args::{Args, Command, RunArgs};
use crate::options::RunOptions;
use crate::{attach, ctl, doctor, keygen, run, stream};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run(args) => exit_code(start(*args)),
        Command::Ctl(args) => ctl::ctl(&args),
        Command::Attach(args) => exit_code(attach::attach(&args)),
        Command::Stream(command) => exit_code(stream::stream(&command)),
        Command::Keygen(args) => exit_code(keygen::keygen(&args)),
        Command::Doctor(args) => doctor::doctor(&args),
    }
}

fn start(args: RunArgs) -> Result<()> {
    let options = RunOptions::from_args(args)?;
    log_to_stderr(options.log_level);
    run::run(options)
}

fn log_to_stderr(level: Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

fn exit_code<E: std::fmt::Display>(outcome: std::result::Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("ringway: {e}");
            ExitCode::FAILURE
        }
    }
}
