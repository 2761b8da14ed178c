//! Short-lived connections: connect, ten small exchanges one after the other, close, and again.
//!
//! `cargo bench --bench short -- [one] [two] [http] [ROUNDS]`. `one`: client and server share a
//! thread and only the server's part is timed. `two` and `http`: server on core 0, client on core 1.
//! Beside an epoll echo server written by hand, and nginx (where installed), in interleaved rounds.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use ringway::config::{Config, CoreMap, IdleMode};
use ringway::counters::{Counter, Counters};
use ringway::dataplane::{Builder, Dataplane, Tuning};
use ringway::lcore::Lcore;
use ringway::sync::AtomicU64;

/// Exchanges on each connection.
const EXCHANGES: usize = 10;

/// One message of the echo.
const MESSAGE: &[u8] = &[7; 64];

/// A server driven on the client's thread: works until `count` more have come to pass.
trait Server {
    fn accepted(&mut self, count: u64);
    fn echoed(&mut self, bytes: u64);
    fn closed(&mut self, count: u64);
}

struct Ringway {
    lcore: Lcore,
    counters: Counters,
}

impl Ringway {
    fn until(&mut self, counter: Counter, more: u64) {
        let target = self.counters.get(counter) + more;
        while self.counters.get(counter) < target {
            self.lcore.poll_once(usize::MAX);
        }
    }
}

impl Server for Ringway {
    fn accepted(&mut self, count: u64) {
        self.until(Counter::Accepted, count);
    }

    fn echoed(&mut self, bytes: u64) {
        self.until(Counter::TxBytes, bytes);
    }

    fn closed(&mut self, count: u64) {
        self.until(Counter::Closed, count);
    }
}

/// One thread, level-triggered, one read and one write a message.
struct EpollEcho {
    epoll: Epoll,
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Option<TcpStream>>,
    events: [EpollEvent; 64],
    accepted: u64,
    echoed: u64,
    closed: u64,
    /// System calls, connections begun with each.
    calls: u64,
}

impl EpollEcho {
    fn new() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("bound");
        let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, listener.as_raw_fd() as u64);
        epoll.add(&listener, event).expect("added");
        let server = Self {
            epoll,
            listener,
            connections: Vec::new(),
            events: [EpollEvent::empty(); 64],
            accepted: 0,
            echoed: 0,
            closed: 0,
            calls: 0,
        };
        (server, address)
    }

    fn step(&mut self, timeout: EpollTimeout) {
        let count = self.epoll.wait(&mut self.events, timeout).expect("events");
        self.calls += 1;
        for index in 0..count {
            match self.events[index].data() as usize {
                fd if fd == self.listener.as_raw_fd() as usize => self.accept(),
                fd => self.serve(fd),
            }
        }
    }

    /// Takes all that wait. The sockets may block: each is read once when epoll says that it is
    /// readable, and small replies always fit.
    fn accept(&mut self) {
        self.calls += 1;
        while let Ok((stream, _)) = self.listener.accept() {
            let fd = stream.as_raw_fd() as usize;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, fd as u64);
            self.epoll.add(&stream, event).expect("added");
            self.calls += 2;
            if self.connections.len() <= fd {
                self.connections.resize_with(fd + 1, || None);
            }
            self.connections[fd] = Some(stream);
            self.accepted += 1;
        }
    }

    fn serve(&mut self, fd: usize) {
        let mut buffer = [0; 2048];
        self.calls += 2;
        let stream = self.connections[fd].as_mut().expect("it is open");
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => {
                self.connections[fd] = None;
                self.closed += 1;
            }
            Ok(bytes) => {
                stream.write_all(&buffer[..bytes]).expect("sent");
                self.echoed += bytes as u64;
            }
        }
    }
}

impl Server for EpollEcho {
    fn accepted(&mut self, count: u64) {
        let target = self.accepted + count;
        while self.accepted < target {
            self.step(EpollTimeout::ZERO);
        }
    }

    fn echoed(&mut self, bytes: u64) {
        let target = self.echoed + bytes;
        while self.echoed < target {
            self.step(EpollTimeout::ZERO);
        }
    }

    fn closed(&mut self, count: u64) {
        let target = self.closed + count;
        while self.closed < target {
            self.step(EpollTimeout::ZERO);
        }
    }
}

/// Nanoseconds that the server takes for one connection: for its begin, its exchanges, its end.
fn cost(server: &mut impl Server, address: SocketAddr, count: usize) -> [f64; 3] {
    let timed = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos() as f64 / count as f64
    };
    let mut streams: Vec<TcpStream> =
        (0..count).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let begin = timed(&mut || server.accepted(count as u64));
    let (mut exchanges, mut reply) = (0.0, [0; MESSAGE.len()]);
    for _ in 0..EXCHANGES {
        streams.iter_mut().for_each(|stream| stream.write_all(MESSAGE).expect("sent"));
        exchanges += timed(&mut || server.echoed((count * MESSAGE.len()) as u64));
        streams.iter_mut().for_each(|stream| stream.read_exact(&mut reply).expect("a reply"));
    }
    drop(streams);
    let end = timed(&mut || server.closed(count as u64));
    [begin, exchanges, end]
}

fn one(rounds: usize) {
    println!("\none thread, ns of the server per connection: begin + exchanges + end = all (p10)");
    for count in [1, 8, 50] {
        let (lcore, address, counters) = support::lcore(Tuning::default(), support::echo);
        let mut ours = Ringway { lcore, counters };
        let (mut theirs, their_address) = EpollEcho::new();
        let (mut costs, mut ratios) = ([(); 8].map(|()| Vec::new()), Vec::new());
        for round in 0..rounds * 20 {
            let a = cost(&mut ours, address, count);
            let b = cost(&mut theirs, their_address, count);
            if round < rounds {
                continue;
            }
            let all = [a.iter().sum::<f64>(), b.iter().sum()];
            ratios.push(all[1] / all[0]);
            for (values, value) in
                costs.iter_mut().zip([a[0], a[1], a[2], all[0], b[0], b[1], b[2], all[1]])
            {
                values.push(value);
            }
        }
        for (name, parts) in ["ringway", "epoll"].iter().zip(costs.chunks_mut(4)) {
            let p10: Vec<f64> =
                parts.iter_mut().map(|part| support::stats::quantile(part, 0.1)).collect();
            println!(
                "  {count:>3} at a time  {name:<8} {:8.0} + {:8.0} + {:8.0} = {:8.0}",
                p10[0], p10[1], p10[2], p10[3]
            );
        }
        print_ratio(&mut ratios);
    }
}

fn print_ratio(ratios: &mut [f64]) {
    let [min, _, median, max] = support::stats::spread(ratios);
    println!("  epoll or nginx / ringway, paired: {min:.2} / {median:.2} / {max:.2}");
}

/// A client: `at_once` connections in step, for `time`. Returns connections a second.
fn load(address: SocketAddr, at_once: usize, time: Duration, request: &[u8], reply: usize) -> f64 {
    let start = Instant::now();
    let (mut count, mut buffer) = (0, vec![0; reply]);
    while start.elapsed() < time {
        let mut streams: Vec<TcpStream> =
            (0..at_once).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        for _ in 0..EXCHANGES {
            streams.iter_mut().for_each(|stream| stream.write_all(request).expect("sent"));
            streams.iter_mut().for_each(|stream| stream.read_exact(&mut buffer).expect("a reply"));
        }
        count += at_once;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// Nanoseconds of CPU that the thread of this name has used: of this process, or of `pid`.
fn cpu_ns(pid: &str, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    tasks
        .flatten()
        .filter_map(|task| {
            let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
            let is_it = read("comm")?.trim() == name;
            is_it.then(|| read("schedstat")?.split(' ').next()?.parse::<u64>().ok())?
        })
        .sum()
}

/// One side's round: connections a second, CPU microseconds and system calls a connection.
struct Round {
    rate: f64,
    cpu_us: f64,
    calls: f64,
}

const ROUND: Duration = Duration::from_millis(400);

fn round(cpu: impl Fn() -> u64, calls: impl Fn() -> u64, run: impl Fn(Duration) -> f64) -> Round {
    run(ROUND / 8);
    let (cpu_before, calls_before, start) = (cpu(), calls(), Instant::now());
    let rate = run(ROUND);
    let count = rate * start.elapsed().as_secs_f64();
    Round {
        rate,
        cpu_us: (cpu() - cpu_before) as f64 / 1000.0 / count,
        calls: (calls() - calls_before) as f64 / count,
    }
}

fn dataplane(protocol: &str, idle: IdleMode) -> Dataplane {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"{protocol}\"\n"
    );
    let config = Config::from_toml(&toml, "bench").expect("a configuration");
    Builder::new(config, CoreMap::single(0)).idle(idle).start().expect("a dataplane")
}

fn ringway_rounds(
    sides: &mut [Vec<Round>; 3],
    protocol: &str,
    at_once: usize,
    request: &[u8],
    reply: usize,
) {
    for (side, idle) in sides.iter_mut().zip([IdleMode::Adaptive, IdleMode::Sleep]) {
        side.push(ringway_round(protocol, idle, at_once, request, reply));
    }
}

fn ringway_round(
    protocol: &str,
    idle: IdleMode,
    at_once: usize,
    request: &[u8],
    reply: usize,
) -> Round {
    let plane = dataplane(protocol, idle);
    let address = plane.addresses()[0].ip().expect("it listens on TCP");
    round(
        || cpu_ns("self", "lcore-0"),
        || plane.status().sum(Counter::Enters),
        |time| load(address, at_once, time, request, reply),
    )
}

fn print_rounds(at_once: usize, peer: &str, sides: &[Vec<Round>; 3]) {
    let column = |side: &[Round], of: fn(&Round) -> f64| {
        let [min, _, median, max] =
            support::stats::spread(&mut side.iter().map(of).collect::<Vec<_>>());
        format!("{min:9.1} /{median:9.1} /{max:9.1}")
    };
    for (name, side) in ["adaptive", "sleep", peer].iter().zip(sides) {
        println!(
            "  {at_once:>3} at a time  {name:<8} {}   {}   {}",
            column(side, |round| round.rate),
            column(side, |round| round.cpu_us),
            column(side, |round| round.calls)
        );
    }
    // An lcore that spins uses all of its core: CPU is compared where it sleeps.
    let ratio = |ours: usize, of: fn(&Round) -> f64| {
        let pairs = sides[ours].iter().zip(&sides[2]).map(|(a, b)| of(a) / of(b));
        let [min, _, median, max] = support::stats::spread(&mut pairs.collect::<Vec<_>>());
        format!("{min:.2} / {median:.2} / {max:.2}")
    };
    println!(
        "  paired to {peer}: rate adaptive {}, rate sleep {}, CPU sleep {}",
        ratio(0, |round| round.rate),
        ratio(1, |round| round.rate),
        ratio(1, |round| round.cpu_us)
    );
}

/// The epoll server on a thread of its own on core 0, until the process ends.
fn epoll_thread() -> (SocketAddr, Arc<AtomicU64>) {
    let (mut server, address) = EpollEcho::new();
    let calls = Arc::new(AtomicU64::new(0));
    let told = calls.clone();
    let serve = move || {
        support::pin(0);
        loop {
            server.step(EpollTimeout::NONE);
            told.store(server.calls, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("epoll".into()).spawn(serve).expect("a thread");
    (address, calls)
}

fn two(rounds: usize) {
    println!("\ntwo cores, echo: connections/s, CPU us, system calls per connection");
    let (address, calls) = epoll_thread();
    for at_once in [1, 8, 50] {
        let mut sides = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            ringway_rounds(&mut sides, "echo", at_once, MESSAGE, MESSAGE.len());
            sides[2].push(round(
                || cpu_ns("self", "epoll"),
                || calls.load(Ordering::Relaxed),
                |time| load(address, at_once, time, MESSAGE, MESSAGE.len()),
            ));
        }
        print_rounds(at_once, "epoll", &sides);
    }
}

/// nginx with one worker on core 0 that answers `GET /` from memory.
struct Nginx {
    process: Child,
    _dir: tempfile::TempDir,
    address: SocketAddr,
}

impl Nginx {
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        let path = dir.path().display();
        let config = format!(
            "daemon off; worker_processes 1; worker_cpu_affinity 01; pid {path}/pid;\n\
             error_log /dev/null; events {{ worker_connections 4096; multi_accept on; }}\n\
             http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;\n\
             server {{ listen {address}; location = / {{ default_type text/plain;\n\
             return 200 \"hello! I'm go server !\"; }} }} }}\n"
        );
        let conf = dir.path().join("conf");
        std::fs::write(&conf, config).expect("a file");
        let spawned = Command::new("nginx").arg("-c").arg(conf).arg("-p").arg(dir.path()).spawn();
        let server = Self { process: spawned.ok()?, _dir: dir, address };
        (0..100).find(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(address).is_ok()
        })?;
        Some(server)
    }

    /// The process id of its worker.
    fn worker(&self) -> String {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        children.expect("its children").trim().to_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Bytes of the reply to `GET`.
fn reply_bytes(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(GET).expect("sent");
    // The server closes a connection that sends no more.
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("a reply");
    reply.len()
}

fn http(rounds: usize) {
    let Some(nginx) = Nginx::start() else {
        return println!("\nhttp: skipped, nginx is not installed (apt-get install nginx-light)");
    };
    println!(
        "\ntwo cores, GET: connections/s, CPU us, system calls per connection (nginx: not counted)"
    );
    let (worker, their_reply) = (nginx.worker(), reply_bytes(nginx.address));
    let plane = dataplane("http", IdleMode::Sleep);
    let our_reply = reply_bytes(plane.addresses()[0].ip().expect("it listens on TCP"));
    drop(plane);
    for at_once in [1, 8, 50] {
        let mut sides = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            ringway_rounds(&mut sides, "http", at_once, GET, our_reply);
            sides[2].push(round(
                || cpu_ns(&worker, "nginx"),
                || 0,
                |time| load(nginx.address, at_once, time, GET, their_reply),
            ));
        }
        print_rounds(at_once, "nginx", &sides);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(9);
    let named: Vec<&str> =
        arguments.iter().filter(|a| a.parse::<usize>().is_err()).map(String::as_str).collect();
    let wants = |name: &str| named.is_empty() || named.contains(&name);
    support::pin(1);
    if wants("one") {
        one(rounds);
    }
    if wants("two") {
        two(rounds);
    }
    if wants("http") {
        http(rounds);
    }
}
