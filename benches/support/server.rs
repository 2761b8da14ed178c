//! Servers that are measured from outside, each in a process of its own on core 0. Those of HTTP answer
//! `GET /` with 12 bytes of text, those of WebSockets send back what they hear.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::config::{Config, CoreMap, IdleMode, IoBackend};
use ringway::dataplane::{Builder, Dataplane, Protocol};
use ringway::mem::Trust;

use super::attached::{Process, Waiting};
use super::load::{Load, Until};

/// The first argument by which a bench is asked to be the ringway of another.
pub const SERVE: &str = "serve";

/// The same, over epoll.
pub const SERVE_EPOLL: &str = "serve-epoll";

/// The same, of one whose requests a process at a port answers.
pub const SERVE_PORT: &str = "serve-port";

/// The same, of one that echoes messages of WebSockets.
pub const SERVE_WEBSOCKET: &str = "serve-websocket";

/// The same, of one whose requests a program in Python answers.
pub const SERVE_PYTHON: &str = "serve-python";

/// A running server.
pub struct Server {
    /// What tables call it.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    _dir: Option<tempfile::TempDir>,
}

/// All that are there, ringway first. Those that are not are named, with what brings them.
pub fn all() -> Vec<Server> {
    let peers = [("may_minihttp", peer("may_minihttp")), ("hyper", peer("hyper"))];
    let missing = "scripts/bench.sh http builds it";
    let install = "apt-get install nginx-light";
    let mut servers = vec![
        ringway("ringway", IdleMode::Adaptive),
        // What the first spends on looking is not in the CPU time of this one.
        ringway("ringway, idle sleep", IdleMode::Sleep),
        again("ringway over epoll, idle sleep", SERVE_EPOLL, IdleMode::Sleep),
    ];
    for (name, server, mend) in [("nginx", nginx(), install)]
        .into_iter()
        .chain(peers.into_iter().map(|(name, server)| (name, server, missing)))
    {
        match server {
            Some(server) => servers.push(server),
            None => println!("{name} is left out: it is not there ({mend})"),
        }
    }
    servers
}

/// Those of WebSockets that are there, ringway first. uWebSockets is no package of Rust: [`UWEBSOCKETS`] names its
/// program.
pub fn all_of_websockets() -> Vec<Server> {
    let missing = "scripts/bench.sh websocket builds it";
    let build = "see benches/websocket.rs";
    let mut servers = vec![
        again("ringway", SERVE_WEBSOCKET, IdleMode::Adaptive),
        // What the first spends on looking is not in the CPU time of this one.
        again("ringway, idle sleep", SERVE_WEBSOCKET, IdleMode::Sleep),
    ];
    for (name, server, mend) in [
        ("uWebSockets", uwebsockets(), build),
        ("fastwebsockets", peer("fastwebsockets"), missing),
        ("tungstenite", peer("tungstenite"), missing),
    ] {
        match server {
            Some(server) => servers.push(server),
            None => println!("{name} is left out: it is not there ({mend})"),
        }
    }
    servers
}

/// Ringway whose requests a process at a port answers, from core `cpu`, waiting as it is told.
pub fn through_port(
    name: &'static str,
    idle: IdleMode,
    trust: Trust,
    (cpu, waiting): (u32, Waiting),
) -> Server {
    let program = std::env::current_exe().expect("our own path");
    let mut command = Command::new(program);
    let (trust, cpu) = (trust.name(), cpu.to_string());
    command.args([SERVE_PORT, idle.name(), trust, &cpu, waiting.name()]);
    that_prints_its_port(name, &mut command).expect("ringway")
}

/// Those in Python: two without ringway, and one behind a port of it. Each has core 0 for all that
/// it consists of.
pub fn in_python() -> Option<[Server; 3]> {
    let plain = |name, file: &str| that_prints_its_port(name, &mut python(file));
    let mut behind = Command::new(std::env::current_exe().expect("our own path"));
    behind.arg(SERVE_PYTHON);
    Some([
        plain("asyncio, protocol", "plain.py")?,
        plain("asyncio, streams", "streams.py")?,
        that_prints_its_port("asyncio behind a port", &mut behind)?,
    ])
}

/// A program of benches/peers/python.
fn python(file: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(root.join("benches/peers/python").join(file));
    command.env("PYTHONPATH", root.join("python"));
    command.env("RINGWAY_LIBRARY", root.join("target/release/libringway.so"));
    command
}

/// This program again, as a server of [`serve`].
pub fn ringway(name: &'static str, idle: IdleMode) -> Server {
    again(name, SERVE, idle)
}

/// This program again, asked to serve.
fn again(name: &'static str, serve: &str, idle: IdleMode) -> Server {
    let program = std::env::current_exe().expect("our own path");
    let mut command = Command::new(program);
    that_prints_its_port(name, command.args([serve, idle.name()])).expect("ringway")
}

/// A dataplane on core 0 that serves a protocol, with more lines of configuration.
fn dataplane(protocol: &str, idle: &str, lines: &str) -> Builder {
    let listener = "[[listener]]\naddress = '127.0.0.1:0'\ntransport = 'tcp'";
    let config =
        Config::from_toml(&format!("{listener}\nprotocol = '{protocol}'\n{lines}"), "bench");
    let modes = [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep];
    let idle = modes.into_iter().find(|mode| mode.name() == idle).expect("an idle mode");
    Builder::new(config.expect("a configuration"), CoreMap::single(0)).idle(idle)
}

/// Serves until standard input ends.
pub fn serve(idle: &str, io: IoBackend) {
    let plane = dataplane("http", idle, "")
        .io(io)
        .protocol("http", |context| {
            let (pipeline, handler) = super::http(context.slots);
            Ok(Protocol { pipeline, handler })
        })
        .start()
        .expect("a dataplane");
    until_input_ends(&plane);
}

/// Echoes messages until standard input ends.
pub fn serve_websocket(idle: &str) {
    until_input_ends(&dataplane("websocket", idle, "").start().expect("a dataplane"));
}

/// Serves until standard input ends, by a process at a port.
pub fn serve_port(arguments: &[String]) {
    let [idle, trust, cpu, waiting] = arguments else { panic!("four arguments") };
    let plane = dataplane("http", idle, "handler = 'port:app'").start().expect("a dataplane");
    let trust = Trust::named(trust).expect("a trust");
    let cpu = cpu.parse().expect("the number of a core");
    let (process, _kept) = Process::attach(&plane, trust, cpu);
    process.order("serve", waiting);
    until_input_ends(&plane);
}

/// Serves until standard input ends, by a program in Python.
pub fn serve_python() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("control");
    let lines = format!("handler = 'port:app'\n[control]\nsocket = '{}'", socket.display());
    let plane = dataplane("http", IdleMode::Sleep.name(), &lines).start().expect("a dataplane");
    let mut command = python("port.py");
    let process = command.arg(&socket).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut process = process.expect("python3");
    let output = process.stdout.take().expect("it is piped");
    let said = BufReader::new(output).lines().next();
    if said.is_some() {
        until_input_ends(&plane);
    }
    // An error means that it has ended already.
    let _ = process.kill();
    let _ = process.wait();
}

fn until_input_ends(plane: &Dataplane) {
    println!("{}", plane.addresses()[0].ip().expect("it listens on TCP").port());
    // Whoever started us is gone when there is no more to read.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// One of benches/peers.
fn peer(name: &'static str) -> Option<Server> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/target/release");
    that_prints_its_port(name, &mut Command::new(built.join(name)))
}

fn that_prints_its_port(name: &'static str, command: &mut Command) -> Option<Server> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = on_core_0(|| command.spawn()).ok()?;
    let mut line = String::new();
    let output = process.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("a line");
    // One that lacks something has said so, and ends.
    let port: u16 = line.trim().parse().ok()?;
    let address = (Ipv4Addr::LOCALHOST, port).into();
    Some(Server { name, address, process, _dir: None })
}

/// nginx with one worker that answers from memory.
fn nginx() -> Option<Server> {
    let dir = tempfile::tempdir().expect("a directory");
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let path = dir.path().display();
    let config = format!(
        "daemon off; worker_processes 1; pid {path}/pid; error_log /dev/null;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; tcp_nodelay on;\n\
         server {{ listen {address}; location = / {{ default_type text/plain;\n\
         return 200 \"Hello World!\"; }} }} }}\n"
    );
    let file = dir.path().join("conf");
    fs::write(&file, config).expect("a file");
    let mut command = Command::new("nginx");
    let command = command.arg("-c").arg(file).arg("-p").arg(dir.path()).stderr(Stdio::null());
    let process = on_core_0(|| command.spawn()).ok()?;
    let server = Server { name: "nginx", address, process, _dir: Some(dir) };
    server.is_reached().then_some(server)
}

/// The environment variable with the path of uWebSockets' own example of an echo.
const UWEBSOCKETS: &str = "RINGWAY_UWEBSOCKETS";

/// It listens where it always does.
fn uwebsockets() -> Option<Server> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9001));
    if TcpStream::connect(address).is_ok() {
        println!("somebody listens on {address} already");
        return None;
    }
    let mut command = Command::new(std::env::var_os(UWEBSOCKETS)?);
    let process = on_core_0(|| command.stdout(Stdio::null()).spawn()).ok()?;
    let server = Server { name: "uWebSockets", address, process, _dir: None };
    server.is_reached().then_some(server)
}

/// A process inherits the cores of the thread that starts it.
fn on_core_0<T>(start: impl FnOnce() -> T) -> T {
    super::pin(0);
    let started = start();
    super::pin(1);
    started
}

impl Server {
    /// Whether it listens, soon.
    fn is_reached(&self) -> bool {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(self.address).is_ok()
        })
    }

    /// The processes that it has started: nginx serves in one, and a port is one's.
    fn children(&self) -> Vec<u32> {
        let own = self.process.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        children.split(' ').filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The process and its children.
    fn pids(&self) -> Vec<u32> {
        std::iter::once(self.process.id()).chain(self.children()).collect()
    }

    /// CPU time of all its threads so far, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.pids().into_iter().map(cpu_ns).sum()
    }

    /// The part of that of the processes that it has started.
    pub fn children_cpu_ns(&self) -> u64 {
        self.children().into_iter().map(cpu_ns).sum()
    }

    /// System calls per request, as the kernel's own trace point counts them while `load` runs on
    /// it. `None` where perf is not there or may not.
    pub fn system_calls(&self, load: &mut Load, time: Duration) -> Option<f64> {
        let pids: Vec<String> = self.pids().iter().map(u32::to_string).collect();
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pids.join(",")]);
        let perf = perf.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        // It has to be counting before the first request.
        std::thread::sleep(Duration::from_millis(500));
        let replies = load.run(Until::Time(time)).replies;
        let _ = kill(Pid::from_raw(perf.id() as i32), Signal::SIGINT);
        let counted = perf.wait_with_output().ok()?;
        let counted = String::from_utf8_lossy(&counted.stderr).into_owned();
        let line = counted.lines().find(|line| line.contains("sys_enter"))?;
        Some(line.split(',').next()?.parse::<f64>().ok()? / replies as f64)
    }
}

/// CPU time of all threads of a process so far, in nanoseconds.
pub fn cpu_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let time = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(time).sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
