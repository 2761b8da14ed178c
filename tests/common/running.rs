//! `ringway run` as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Client, Watchdog, cpu};

/// A directory with this configuration in it, for [`command`].
pub fn configuration(toml: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("r.toml"), toml).unwrap();
    dir
}

/// The name of an instance that no other test process has.
pub fn own(prefix: &str) -> String {
    format!("{prefix}-{}", std::process::id())
}

/// `ringway run` with a configuration, on `lcores` lcores.
pub fn command(dir: &TempDir, prefix: &str, lcores: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let list: Vec<_> = (0..lcores).map(|n| format!("{n}@{}", cpu(n))).collect();
    command.args(["run", "--no-huge", "--file-prefix", &own(prefix), "-l", &list.join(",")]);
    command.arg("--config").arg(dir.path().join("r.toml"));
    // As for dataplanes in the process of the test.
    if let Ok(io) = std::env::var("RINGWAY_TEST_IO") {
        command.args(["--io", &io]);
    }
    command.stdin(Stdio::null());
    command
}

/// A running command, killed if its test fails.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Of its first listener.
    pub address: SocketAddr,
    /// Of all of its listeners that have one, in order.
    pub addresses: Vec<SocketAddr>,
    /// Of its admin listener, if it has one.
    pub admin: Option<SocketAddr>,
    prefix: String,
    /// What it leaves in the file system stays there.
    leave_files: bool,
    dir: Option<TempDir>,
    _watchdog: Watchdog,
}

impl Running {
    /// Starts it and waits until it is ready.
    pub fn start(prefix: &str, lcores: usize, toml: &str) -> Self {
        Self::start_as(prefix, lcores, toml, |_| ())
    }

    /// The same with further arguments.
    pub fn start_with(prefix: &str, lcores: usize, toml: &str, arguments: &[&str]) -> Self {
        Self::start_as(prefix, lcores, toml, |command| {
            command.args(arguments);
        })
    }

    /// The same, with something changed about the command.
    pub fn start_as(
        prefix: &str,
        lcores: usize,
        toml: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut running = Self::spawn_as(prefix, lcores, toml, change);
        running.await_readiness();
        running
    }

    /// Starts it in the place of one of the same name, and waits until it is ready.
    pub fn take_over(prefix: &str, lcores: usize, toml: &str) -> Self {
        let mut running = Self::spawn(prefix, lcores, toml, &["--takeover"]);
        running.await_readiness();
        running
    }

    /// Starts it with more arguments.
    pub fn spawn(prefix: &str, lcores: usize, toml: &str, more: &[&str]) -> Self {
        Self::spawn_as(prefix, lcores, toml, |command| {
            command.args(more);
        })
    }

    fn spawn_as(
        prefix: &str,
        lcores: usize,
        toml: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let dir = configuration(toml);
        let mut command = command(&dir, prefix, lcores);
        change(&mut command);
        let mut running = Self::of(&mut command, prefix);
        running.dir = Some(dir);
        running
    }

    /// Starts what [`command`] made, whose directory is the caller's to keep.
    pub fn of(command: &mut Command, prefix: &str) -> Self {
        let watchdog = Watchdog::start();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ringway starts");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let address = "0.0.0.0:0".parse().unwrap();
        let prefix = own(prefix);
        let (leave_files, addresses) = (false, Vec::new());
        let (dir, _watchdog, admin) = (None, watchdog, None);
        Self { child, lines, address, addresses, admin, prefix, leave_files, dir, _watchdog }
    }

    /// What it logs, where its command pipes that.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("it is piped")
    }

    /// What it has in the file system is another one's from here on.
    pub fn leave_files(&mut self) {
        self.leave_files = true;
    }

    /// Reads on until it is ready.
    pub fn await_readiness(&mut self) {
        loop {
            let line = self.line_with("");
            if line.starts_with("ready") {
                break;
            }
            let place = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
            let admin = line.strip_prefix("dashboard and metrics on http://");
            let admin = admin.and_then(|rest| rest.split('/').next());
            self.admin = self.admin.or(admin.map(|place| place.parse().unwrap()));
            self.addresses.extend(place.and_then(|place| place.parse::<SocketAddr>().ok()));
        }
        self.address = *self.addresses.first().expect("a listener with an address");
    }

    /// Reads on to a line that starts like this.
    pub fn line_with(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {start:?}");
            if line.trim_start().starts_with(start) {
                return line.trim().to_owned();
            }
        }
    }

    /// Its file says this from here on; it has not read it yet.
    pub fn rewrite(&self, toml: &str) {
        // As a whole, for who reads it meanwhile.
        let dir = self.dir.as_ref().expect("it has a directory of its own").path();
        let (new, path) = (dir.join("new"), dir.join("r.toml"));
        fs::write(&new, toml).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends it without warning (SIGKILL).
    pub fn killed(mut self) {
        self.leave_files = true;
    }

    /// Waits for the end, which has to be a good one; the rest of what it printed.
    pub fn ended_well(mut self) -> String {
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{text}");
        assert!(text.ends_with("pool: 0 bufs missing\n"), "{text}");
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.leave_files {
            let socket = ringway::control::socket_path(&self.prefix.parse().unwrap());
            let _ = fs::remove_dir_all(socket.parent().unwrap());
            let uid = nix::unistd::geteuid().as_raw();
            let _ = fs::remove_file(ringway::counters::path(uid, &self.prefix));
        }
    }
}
