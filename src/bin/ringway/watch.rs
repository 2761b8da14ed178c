//! `ringway trace` and `ringway capture`: a command to a running instance whose reply goes on until enough is seen. Ctrl-C
//! asks the instance to end it, so that what was written is whole.

pub mod args;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use ringway::ipc::{Client, Error, ReplyStream};
use ringway::sys::signal;

use crate::args::CtlArgs;
use crate::ctl;
use args::{CaptureArgs, Instance, TraceArgs};

/// How long an instance may say nothing: nothing may pass for as long as a trace may last.
const PATIENCE: Duration = Duration::from_secs(2 * 86_400);

/// How long it may take to end what it was asked to end.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiting main thread looks for the end.
const LOOK: Duration = Duration::from_millis(20);

/// What is asked of the instance.
struct Asked {
    ctl: CtlArgs,
    /// The command that ends it.
    stop: String,
}

/// Shows messages on their way.
pub fn trace(args: &TraceArgs) -> ExitCode {
    let mut words = vec!["trace".to_owned(), args.listener.clone()];
    words.extend(["count".to_owned(), args.count.to_string()]);
    add(&mut words, "conn", args.conn.as_ref());
    add(&mut words, "seconds", args.seconds.as_ref());
    let stop = format!("trace stop {}", args.listener);
    run(&asked(&args.instance, words, args.json, stop), Box::new(io::stdout()))
}

/// Writes a capture.
pub fn capture(args: &CaptureArgs) -> ExitCode {
    let mut words = vec!["capture".to_owned(), args.listener.clone(), args.stage.join(",")];
    add(&mut words, "count", args.count.as_ref());
    add(&mut words, "conn", args.conn.as_ref());
    add(&mut words, "seconds", args.seconds.as_ref());
    add(&mut words, "snaplen", args.snaplen.as_ref());
    let stop = format!("capture stop {}", args.listener);
    let out = match out(&args.file) {
        Ok(out) => out,
        Err(error) => {
            eprintln!("ringway: cannot write {}: {error}", args.file.display());
            return ExitCode::FAILURE;
        }
    };
    run(&asked(&args.instance, words, false, stop), out)
}

fn out(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(File::create(path)?))
}

fn add<T: ToString>(words: &mut Vec<String>, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        words.extend([key.to_owned(), value.to_string()]);
    }
}

fn asked(instance: &Instance, command: Vec<String>, json: bool, stop: String) -> Asked {
    let (file_prefix, socket) = (instance.file_prefix.clone(), instance.socket.clone());
    Asked { ctl: CtlArgs { file_prefix, socket, json, command }, stop }
}

/// Copies the reply to `out` until it ends.
fn run(asked: &Asked, out: Box<dyn Write + Send>) -> ExitCode {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block().expect("signals can be blocked (sigprocmask(2))");
    let path = match ctl::path(&asked.ctl) {
        Ok(path) => path,
        Err(error) => {
            eprintln!("ringway: {error}");
            return ExitCode::from(2);
        }
    };
    match ctl::open(&asked.ctl, &path, PATIENCE) {
        Ok(reply) => {
            let (done, outcome) = mpsc::channel();
            thread::spawn(move || done.send(copy(reply, out)));
            finish(wait(&signals, &outcome, || stop(&path, &asked.stop)))
        }
        Err(error) => ctl::refused(&asked.ctl, &path, error),
    }
}

/// Waits for the end of the reply, and has it end at a signal; at the second one there is no waiting.
fn wait(signals: &SigSet, outcome: &Receiver<io::Result<()>>, stop: impl Fn()) -> io::Result<()> {
    let mut told = false;
    loop {
        match outcome.recv_timeout(LOOK) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("it panicked")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if signal::wait(signals, Duration::ZERO).is_some() {
            if std::mem::replace(&mut told, true) {
                return Ok(());
            }
            stop();
        }
    }
}

/// That nobody has it ended any more is as good.
fn stop(path: &Path, command: &str) {
    let _ = Client::new(path).timeout(END_PATIENCE).send(command);
}

fn finish(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Error::from(error));
            ExitCode::FAILURE
        }
    }
}

/// Nobody reading it is no reason to complain.
fn copy(mut reply: ReplyStream, mut out: Box<dyn Write + Send>) -> io::Result<()> {
    let mut room = vec![0; 256 * 1024];
    loop {
        let count = match reply.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        match out.write_all(&room[..count]).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}
