//! Reads the command line, hands over to one of the subcommands, and turns what comes back into an
//! exit code.

use std::process::ExitCode;

use clap::Parser;
use ringway::dataplane::StopSignals;
use ringway::error::Result;

use crate::args::{Args, Command, RunArgs};
use crate::logs::Logs;
use crate::options::RunOptions;
use crate::{attach, ctl, doctor, keygen, run, stream, top, watch, ws};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run(args) => exit_code(start(*args)),
        Command::Ctl(args) => ctl::ctl(&args),
        Command::Attach(args) => exit_code(attach::attach(&args)),
        Command::Stream(command) => exit_code(stream::stream(&command)),
        Command::Trace(args) => watch::trace(&args),
        Command::Capture(args) => watch::capture(&args),
        Command::Top(args) => top::top(&args),
        Command::Ws(args) => ws::ws(&args),
        Command::Keygen(args) => exit_code(keygen::keygen(&args)),
        Command::Doctor(args) => doctor::doctor(&args),
    }
}

fn start(args: RunArgs) -> Result<()> {
    let options = RunOptions::from_args(args)?;
    // Before the first thread is started, or one that does not block them would get them.
    let signals = StopSignals::block_with_reload()?;
    let logs = Logs::start(&options.config.log.level, options.log_format)?;
    let outcome = run::run(options, &logs, &signals);
    logs.flush();
    outcome
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
