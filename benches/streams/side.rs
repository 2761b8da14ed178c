//! One side of a comparison: a server on core 0 and its client on core 1, each a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ringway::config::{Config, CoreMap, IdleMode};
use ringway::dataplane::Builder;
use ringway::proto::stream::secure::identity::Identity;

use super::client::{DATAGRAM_BYTES, WINDOW_PACKETS};
use crate::support;

/// The first argument by which this bench is asked to be ringway's server, and its client.
pub const SERVE: &str = "serve";
pub const DRIVE: &str = "drive";

/// A process that says a line when it is ready, and one to each that it is told.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// With what it says first. `None`: it is not there.
    fn start(cpu: u32, command: &mut Command) -> Option<(Self, String)> {
        support::pin(cpu);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        let mut process = Self { child, input, output: BufReader::new(output) };
        let ready = process.hear();
        Some((process, ready))
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "it is there no more");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.input, "{order}").expect("it listens");
        self.hear()
    }

    fn cpu_ns(&self) -> u64 {
        support::server::cpu_ns(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is exchanged.
#[derive(Clone, Copy)]
pub struct Case {
    /// Of a message.
    pub bytes: usize,
    pub channels: usize,
    /// Messages under way on each.
    pub window: usize,
}

/// What a turn found, per message.
pub struct Turn {
    pub k_per_second: f64,
    /// CPU of the server and of the client.
    pub server_ns: f64,
    pub client_ns: f64,
    /// The share of the time that the client ran.
    pub client_busy: f64,
}

pub struct Side {
    pub name: &'static str,
    client: Process,
    server: Process,
}

impl Side {
    pub fn ringway(name: &'static str, transport: &str, idle: IdleMode) -> Self {
        let program = std::env::current_exe().expect("our own path");
        let mut server = Command::new(&program);
        let started = Process::start(0, server.args([SERVE, transport, idle.name()]));
        let (server, port) = started.expect("ringway");
        let mut client = Command::new(&program);
        let (client, _) = Process::start(1, client.args([DRIVE, transport, &port])).expect("it");
        Self { name, client, server }
    }

    /// One of benches/peers.
    pub fn peer(name: &'static str, program: &str) -> Option<Self> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/target/release");
        let program = built.join(program);
        let (server, port) = Process::start(0, &mut Command::new(&program))?;
        let (client, _) = Process::start(1, Command::new(&program).arg(port))?;
        Some(Self { name, client, server })
    }

    /// Keeps messages under way as `case` says, for so long.
    pub fn turn(&mut self, case: Case, milliseconds: u64) -> Turn {
        let Case { bytes, channels, window } = case;
        let (server, client) = (self.server.cpu_ns(), self.client.cpu_ns());
        let answer = self.client.ask(&format!("{bytes} {channels} {window} {milliseconds}"));
        let (server, client) = (self.server.cpu_ns() - server, self.client.cpu_ns() - client);
        let (messages, elapsed_ns) = answer.split_once(' ').expect("two numbers");
        let messages: f64 = messages.parse().expect("a number");
        let elapsed_ns: f64 = elapsed_ns.parse().expect("a number");
        Turn {
            k_per_second: messages / elapsed_ns * 1e6,
            server_ns: server as f64 / messages,
            client_ns: client as f64 / messages,
            client_busy: client as f64 / elapsed_ns,
        }
    }
}

/// Is the server of [`Side::ringway`] until standard input ends.
pub fn serve(transport: &str, idle: &str) {
    let more = match transport {
        "tcp" => String::new(),
        _ => format!(", max_datagram_bytes = {DATAGRAM_BYTES}"),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let identity = dir.path().join("identity");
    std::fs::write(&identity, &*Identity::from_secret(&[1; 32]).to_text()).expect("a file");
    std::fs::set_permissions(&identity, PermissionsExt::from_mode(0o600)).expect("ours alone");
    let toml = format!(
        "[mempool]\nblocks = 32\n[[listener]]\naddress = '127.0.0.1:0'\ntransport = '{transport}'\n\
         protocol = 'stream'\nconfig = {{ identity = '{}', trust = 'anyone', compress = false, \
         window_packets = {WINDOW_PACKETS}, keepalive_ms = 86400000{more} }}\n",
        identity.display()
    );
    let config = Config::from_toml(&toml, "bench").expect("a configuration");
    let modes = [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep];
    let idle = modes.into_iter().find(|mode| mode.name() == idle).expect("an idle mode");
    let plane = Builder::new(config, CoreMap::single(0)).idle(idle).start().expect("a dataplane");
    println!("{}", plane.addresses()[0].ip().expect("it has one").port());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
