//! `ringway run` on one lcore as a process of its own, and what it holds in memory.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::{Client, Watchdog, cpu, wait_until};

/// The running command, killed if its test fails.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: SocketAddr,
    _dir: TempDir,
    _watchdog: Watchdog,
}

impl Running {
    /// Starts it with room for `connections`, and waits until it is ready.
    pub fn start(connections: usize) -> Self {
        let watchdog = Watchdog::start();
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
             config = {{ keep_alive_timeout_ms = 600000, head_timeout_ms = 600000 }}\n\
             [dataplane]\nmax_connections = {connections}\n"
        );
        fs::write(dir.path().join("r.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let prefix = format!("crowd{}", std::process::id());
        command.args([
            "run",
            "--no-huge",
            "--file-prefix",
            &prefix,
            "-l",
            &format!("0@{}", cpu(0)),
        ]);
        command.arg("--config").arg(dir.path().join("r.toml")).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ringway starts");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let address = "0.0.0.0:0".parse().unwrap();
        let mut running = Self { child, lines, address, _dir: dir, _watchdog: watchdog };
        let line = running.line_with("listening on ");
        running.address = line.split_whitespace().nth(2).unwrap().parse().unwrap();
        running.line_with("ready");
        running
    }

    /// Reads on to a line that starts like this.
    fn line_with(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {start:?}");
            if line.trim_start().starts_with(start) {
                return line.trim().to_owned();
            }
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// KiB that are resident beside the pools, whose pages are all touched at the start.
    pub fn resident_kib(&self) -> i64 {
        let path = format!("/proc/{}/smaps", self.child.id());
        let (mut is_pool, mut kib) = (false, 0);
        for line in fs::read_to_string(path).unwrap().lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if !first.ends_with(':') {
                is_pool = line.contains("/memfd:");
            } else if first == "Rss:" && !is_pool {
                kib += words.next().unwrap().parse::<i64>().unwrap();
            }
        }
        kib
    }

    /// Waits until no connection is open but the one that asks.
    pub fn wait_until_all_are_gone(&self) {
        let mut client = self.connect();
        wait_until(|| status(&mut client)["connections"] == 1);
    }

    /// Lets it drain; the end has to be a good one.
    pub fn end(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{text}");
        assert!(text.ends_with("pool: 0 bufs missing\n"), "{text}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `/api/status` says.
pub fn status(client: &mut Client) -> serde_json::Value {
    serde_json::from_slice(&client.get("/api/status").body).unwrap()
}
