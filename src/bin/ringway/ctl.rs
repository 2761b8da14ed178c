//! `ringway ctl`: one command to the control socket of a running instance, and its reply. What the
//! commands mean is the instance's business, but that a stop has an end.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ringway::config::FilePrefix;
use ringway::control;
use ringway::error::Result;
use ringway::ipc::{Client, Error, ReplyStream};
use ringway::proto::ipc::write_error;
use ringway::sys::unix_stream;

use crate::args::CtlArgs;

/// How long an instance may say nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a waiting `stop` looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Nobody listens.
const NOBODY: u8 = 3;

/// Sends the command and prints the reply.
pub fn ctl(args: &CtlArgs) -> ExitCode {
    if args.command[0] == "attach" {
        eprintln!(
            "ringway: `attach` is for programs, which keep what it gives: see ringway::attach"
        );
        return ExitCode::from(2);
    }
    let path = match path(args) {
        Ok(path) => path,
        Err(error) => {
            eprintln!("ringway: {error}");
            return ExitCode::from(2);
        }
    };
    match ask(args, &path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(args, &path, error),
    }
}

/// Says why there is no reply, or no whole one.
pub fn refused(args: &CtlArgs, path: &Path, error: Error) -> ExitCode {
    match error {
        Error::Connect { why, .. } => {
            eprintln!("ringway: {}", nobody(args, path, &why));
            ExitCode::from(NOBODY)
        }
        Error::Handler { message, code: Some(code) } => {
            let mut text = String::new();
            write_error(&mut text, true, &message, code).expect("a string takes everything");
            eprint!("{text}");
            ExitCode::FAILURE
        }
        error => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The control socket that is meant.
pub fn path(args: &CtlArgs) -> Result<PathBuf> {
    match &args.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(control::socket_path(&args.file_prefix.parse::<FilePrefix>()?)),
    }
}

/// Sends the command, and returns its reply once that begins; `timeout` is how long the instance may say nothing.
pub fn open(
    args: &CtlArgs,
    path: &Path,
    timeout: Duration,
) -> std::result::Result<ReplyStream, Error> {
    let format = if args.json { "j/" } else { "" };
    let command = format!("{format}{}", args.command.join(" "));
    let reply = Client::new(path).timeout(timeout).stream(&command)?;
    let server = reply.peer();
    let (own, root) = (nix::unistd::geteuid().as_raw(), 0);
    if args.socket.is_none() && ![own, root].contains(&server.uid) {
        // Below /tmp anybody may have been first.
        let why = format!("user {} listens at {}", server.uid, path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
    }
    Ok(reply)
}

fn ask(args: &CtlArgs, path: &Path) -> std::result::Result<(), Error> {
    let reply = open(args, path, TIMEOUT)?;
    let server = reply.peer();
    print(reply)?;
    if args.command == ["stop"] {
        wait_for_the_end(path, server.pid);
    }
    Ok(())
}

/// Prints a reply as it comes. Nobody reading it is no reason to complain.
fn print(mut reply: ReplyStream) -> io::Result<()> {
    let (mut out, mut room) = (io::stdout().lock(), [0; 16 * 1024]);
    loop {
        match reply.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if out.write_all(&room[..count]).and_then(|()| out.flush()).is_err() {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until process `pid` no longer answers at `path`: another one there is the next instance.
fn wait_for_the_end(path: &Path, pid: i32) {
    loop {
        match unix_stream::connect(path, TIMEOUT) {
            Ok(socket) if unix_stream::peer(socket.as_fd()).is_ok_and(|peer| peer.pid == pid) => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {}
            _ => return,
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Who listens nowhere, and what to do about it.
fn nobody(args: &CtlArgs, path: &Path, why: &io::Error) -> String {
    let (path, prefix) = (path.display(), &args.file_prefix);
    if args.socket.is_some() {
        return format!("cannot reach an instance at {path}: {why}; is this its control socket?");
    }
    let others: Vec<_> = control::instances().into_iter().filter(|name| name != prefix).collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!("; others of this user: {}", others.join(", ")),
    };
    format!(
        "cannot reach instance {prefix} at {path}: {why}; start it with `ringway run --file-prefix \
         {prefix}`, name another with --file-prefix, or a socket elsewhere with --socket{others}"
    )
}
