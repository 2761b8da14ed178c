//! The real command: signals, its report, its exit code.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::{Client, Watchdog, cpu};

/// A configuration file of one HTTP listener.
pub fn configuration(address: &str, more: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
         [dataplane]\nmax_connections = 256\n{more}\n"
    );
    std::fs::write(dir.path().join("r.toml"), text).unwrap();
    dir
}

/// `ringway run` with a configuration, on `lcores` lcores.
pub fn command(dir: &TempDir, prefix: &str, lcores: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let list: Vec<_> = (0..lcores).map(|n| format!("{n}@{}", cpu(n))).collect();
    command.args(["run", "--no-huge", "--file-prefix", prefix, "-l", &list.join(",")]);
    command.arg("--config").arg(dir.path().join("r.toml"));
    command.stdin(Stdio::null());
    command
}

/// A running command, killed if its test fails.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: SocketAddr,
    _dir: TempDir,
    _watchdog: Watchdog,
}

impl Running {
    /// Starts it and waits until it is ready.
    fn start(prefix: &str, lcores: usize, more: &str) -> Self {
        let watchdog = Watchdog::start();
        let dir = configuration("127.0.0.1:0", more);
        let mut child =
            command(&dir, prefix, lcores).stdout(Stdio::piped()).spawn().expect("ringway starts");
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

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end, which has to be a good one; the rest of what it printed.
    fn ended_well(mut self) -> String {
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
    }
}

#[test]
fn sigint_and_sigterm_drain_account_and_exit_0_a_16() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = Running::start("one", 1, "");
        let mut client = server.connect();
        assert_eq!(client.get("/").status(), 200);
        server.signal(signal);
        assert_eq!(client.receive_all(), b"", "an idle connection is closed");
        drop(client);
        let text = server.ended_well();
        assert!(text.contains("lcore 0:") && text.contains("accepted=1"), "{text}");
    }
}

#[test]
fn a_request_in_flight_is_answered_after_the_signal_a_16() {
    let mut server = Running::start("flight", 1, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.head().status(), 200);
    server.signal(Signal::SIGTERM);
    server.line_with("draining");
    client.send("cd");
    assert_eq!(client.receive_all(), b"abcd");
    drop(client);
    server.ended_well();
}

#[test]
fn a_second_signal_stops_at_once_a_16() {
    let mut server = Running::start("twice", 1, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    server.signal(Signal::SIGINT);
    server.line_with("draining");
    server.signal(Signal::SIGINT);
    client.wait_for_the_end();
    server.ended_well();
}

#[test]
fn a_second_signal_stops_at_once_though_some_lcores_have_drained_a_16() {
    let mut server = Running::start("lcores", 3, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    server.signal(Signal::SIGINT);
    server.line_with("draining");
    // The other lcores have nothing to wait for; let the command see that they are gone.
    std::thread::sleep(std::time::Duration::from_millis(700));
    server.signal(Signal::SIGINT);
    client.wait_for_the_end();
    server.ended_well();
}

#[test]
fn two_instances_serve_side_by_side_p_9() {
    let (blue, green) = (Running::start("blue", 1, ""), Running::start("green", 1, ""));
    assert_ne!(blue.address, green.address);
    let (mut one, mut other) = (blue.connect(), green.connect());
    assert_eq!((one.get("/").status(), other.get("/").status()), (200, 200));
    blue.signal(Signal::SIGINT);
    drop(one);
    blue.ended_well();
    assert_eq!(other.get("/").status(), 200, "the end of one is nothing to the other");
    green.signal(Signal::SIGINT);
    drop(other);
    green.ended_well();
}

#[test]
fn ten_lcores_more_than_cores_end_as_well_as_one() {
    let server = Running::start("many", 10, "");
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    drop(clients);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}
