//! Servers side by side over loopback, server on core 0 and client on core 1, interleaved in rounds
//! and compared pair by pair.
//!
//! `cargo bench --bench loopback -- [latency] [http] [idle] [modes] [ROUNDS]`; `http` needs nginx installed
//! (Debian: `apt-get install nginx-light`) and says so where it is not.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use ringway::config::{Config, CoreMap, IdleMode};
use ringway::counters::Counter;
use ringway::dataplane::{Builder, Dataplane, Tuning};
use ringway::mem::RxOptions;
use ringway::sys::uring::Mode;

fn dataplane(protocol: &str, idle: IdleMode) -> Dataplane {
    tuned(protocol, idle, Tuning::default())
}

fn tuned(protocol: &str, idle: IdleMode, tuning: Tuning) -> Dataplane {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"{protocol}\"\n"
    );
    let config = Config::from_toml(&toml, "bench").expect("a configuration");
    let builder = Builder::new(config, CoreMap::single(0)).idle(idle).tuning(tuning);
    builder.start().expect("a dataplane")
}

/// An echo server that blocks in epoll_wait(2), on a thread of its own on core 0.
fn epoll_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        support::pin(0);
        let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_nonblocking(true).expect("non-blocking");
        epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0)).expect("added");
        let (mut events, mut buffer) = ([EpollEvent::empty(); 8], [0; 4096]);
        loop {
            epoll.wait(&mut events, EpollTimeout::NONE).expect("events");
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(bytes) => stream.write_all(&buffer[..bytes]).expect("sent"),
                Err(e) => assert!(e.kind() == ErrorKind::WouldBlock, "{e}"),
            }
        }
    });
    address
}

/// Median round trip of `count` messages of 64 bytes, by a client that spins, in microseconds.
fn latency_round(stream: &mut TcpStream, count: usize) -> f64 {
    let (message, mut reply) = ([7; 64], [0; 64]);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        stream.write_all(&message).expect("sent");
        let mut got = 0;
        while got < reply.len() {
            match stream.read(&mut reply[got..]) {
                Ok(0) => panic!("closed"),
                Ok(bytes) => got += bytes,
                Err(e) => assert!(e.kind() == ErrorKind::WouldBlock, "{e}"),
            }
        }
        times.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    support::stats::quantile(&mut times, 0.5)
}

fn latency(rounds: usize) {
    println!("\none connection, 64 B echo: median round trip in us by round: min / median / max");
    let connect = |address| {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_nonblocking(true).expect("non-blocking");
        stream
    };
    let mut epoll = connect(epoll_echo());
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // The busy lcore shares core 0 with the epoll thread: it is only there in its own rounds.
        let busy = dataplane("echo", IdleMode::Busy);
        let a = latency_round(&mut connect(busy.addresses()[0]), 4000);
        drop(busy);
        let b = latency_round(&mut epoll, 4000);
        ours.push(a);
        theirs.push(b);
        ratios.push(a / b);
    }
    for (name, values) in [("ringway busy", &mut ours), ("epoll, blocking", &mut theirs)] {
        let [min, _, median, max] = support::stats::spread(values);
        println!("  {name:<18} {min:8.2} {median:8.2} {max:8.2}");
    }
    let [min, _, median, max] = support::stats::spread(&mut ratios);
    println!("  paired ratio       {min:8.2} {median:8.2} {max:8.2}");
}

/// A client that keeps `depth` requests in flight on each connection.
struct Load {
    streams: Vec<TcpStream>,
    epoll: Epoll,
    request: Vec<u8>,
    /// Bytes of one round's replies on one connection, and how many came of the current one.
    reply_bytes: usize,
    received: Vec<usize>,
    buffer: Vec<u8>,
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

impl Load {
    fn new(address: SocketAddr, connections: usize, depth: usize) -> Self {
        let reply = one_reply(address);
        let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
        let streams = support::connect(address, connections, || ());
        for (index, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true).expect("non-blocking");
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            epoll.add(stream.as_fd(), event).expect("added");
        }
        Self {
            received: vec![0; streams.len()],
            streams,
            epoll,
            request: GET.repeat(depth),
            reply_bytes: reply * depth,
            buffer: vec![0; 65536],
        }
    }

    /// Runs for `time`; returns replies per second.
    fn run(&mut self, time: Duration, depth: usize) -> f64 {
        let start = Instant::now();
        let mut rounds = 0u64;
        self.streams.iter_mut().for_each(|s| s.write_all(&self.request).expect("sent"));
        let mut outstanding = self.streams.len();
        let mut events = [EpollEvent::empty(); 64];
        while outstanding > 0 {
            let count = self.epoll.wait(&mut events, EpollTimeout::from(2000u16)).expect("events");
            assert!(count > 0, "the server stalled");
            for event in &events[..count] {
                let index = event.data() as usize;
                let bytes = self.streams[index].read(&mut self.buffer).unwrap_or(0);
                self.received[index] += bytes;
                if self.received[index] < self.reply_bytes {
                    continue;
                }
                assert!(self.received[index] == self.reply_bytes, "replies are all alike");
                self.received[index] = 0;
                rounds += 1;
                if start.elapsed() < time {
                    self.streams[index].write_all(&self.request).expect("sent");
                } else {
                    outstanding -= 1;
                }
            }
        }
        rounds as f64 * depth as f64 / start.elapsed().as_secs_f64()
    }
}

/// Bytes of the reply to one request.
fn one_reply(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(GET).expect("sent");
    let (mut reply, mut got) = (vec![0; 4096], 0);
    loop {
        got += stream.read(&mut reply[got..]).expect("a reply");
        let text = String::from_utf8_lossy(&reply[..got]).to_string();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= length.and_then(|n| n.trim().parse().ok()).unwrap_or(0) {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            return got;
        }
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
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let path = dir.path().display();
        let config = format!(
            "daemon off; worker_processes 1; worker_cpu_affinity 01; pid {path}/pid;\n\
             error_log /dev/null; events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;\n\
             server {{ listen {port}; location = / {{ default_type text/plain;\n\
             return 200 \"hello! I'm go server !\"; }} }} }}\n"
        );
        std::fs::write(dir.path().join("conf"), config).expect("a file");
        let conf = dir.path().join("conf");
        let spawned = Command::new("nginx").arg("-c").arg(conf).arg("-p").arg(dir.path()).spawn();
        let process = spawned.ok()?;
        let server = Self { process, _dir: dir, address: port };
        (0..100).find(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(port).is_ok()
        })?;
        Some(server)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

fn http(rounds: usize) {
    let Some(nginx) = Nginx::start() else {
        return println!("\nhttp: skipped, nginx is not installed (apt-get install nginx-light)");
    };
    for (connections, depth) in [(50, 1), (50, 16), (1, 16)] {
        println!(
            "\nhttp GET, {connections} connections, {depth} in flight each: k requests/s by round"
        );
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut nginx_load = Load::new(nginx.address, connections, depth);
        let mut enters = 0.0;
        for _ in 0..rounds {
            let plane = dataplane("http", IdleMode::Adaptive);
            let mut load = Load::new(plane.addresses()[0], connections, depth);
            load.run(Duration::from_millis(50), depth);
            let before = [Counter::Enters, Counter::Messages].map(|c| plane.status().sum(c));
            let a = load.run(Duration::from_millis(300), depth);
            let after = [Counter::Enters, Counter::Messages].map(|c| plane.status().sum(c));
            enters += (after[0] - before[0]) as f64 / (after[1] - before[1]) as f64;
            drop(plane);
            nginx_load.run(Duration::from_millis(50), depth);
            let b = nginx_load.run(Duration::from_millis(300), depth);
            ours.push(a / 1000.0);
            theirs.push(b / 1000.0);
            ratios.push(a / b);
        }
        for (name, values) in [("ringway", &mut ours), ("nginx", &mut theirs)] {
            let [min, _, median, max] = support::stats::spread(values);
            println!("  {name:<18} {min:8.1} {median:8.1} {max:8.1}");
        }
        let [min, _, median, max] = support::stats::spread(&mut ratios);
        println!("  paired ratio       {min:8.2} {median:8.2} {max:8.2}");
        println!("  system calls per request, ringway: {:.3}", enters / rounds as f64);
    }
}

/// Each way of using io_uring: latency of one connection, and pipelined HTTP of 50, against the
/// default of the same round.
fn modes(rounds: usize) {
    println!("\nways of using io_uring, paired ratio to the default: min / median / max");
    println!("  {:<24} {:^26} {:^26}", "", "64 B round trip", "HTTP 50 x 16 requests/s");
    let base = Tuning::default();
    let mode = |mode| Tuning { mode, ..base };
    let variants = [
        ("no TASKRUN_FLAG", mode(Mode::DeferUnflagged)),
        ("COOP_TASKRUN", mode(Mode::Coop)),
        ("SQPOLL", mode(Mode::SqPoll)),
        ("no flag at all", mode(Mode::Plain)),
        ("bundles", Tuning { rx: RxOptions { bundle: true, ..base.rx }, ..base }),
        ("incremental", Tuning { rx: RxOptions { incremental: true, ..base.rx }, ..base }),
    ];
    let mut ratios = vec![(Vec::new(), Vec::new()); variants.len()];
    for _ in 0..rounds {
        for ((_, tuning), (latency, rate)) in variants.iter().zip(&mut ratios) {
            latency.push(trip(*tuning) / trip(base));
            rate.push(pipelined(*tuning) / pipelined(base));
        }
    }
    for ((name, _), (latency, rate)) in variants.iter().zip(&mut ratios) {
        let ([a, _, b, c], [d, _, e, f]) =
            (support::stats::spread(latency), support::stats::spread(rate));
        println!("  {name:<24} {a:8.2} {b:8.2} {c:8.2} {d:8.2} {e:8.2} {f:8.2}");
    }
}

fn trip(tuning: Tuning) -> f64 {
    let plane = tuned("echo", IdleMode::Busy, tuning);
    let mut stream = TcpStream::connect(plane.addresses()[0]).expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_nonblocking(true).expect("non-blocking");
    latency_round(&mut stream, 2000)
}

fn pipelined(tuning: Tuning) -> f64 {
    let plane = tuned("http", IdleMode::Adaptive, tuning);
    let mut load = Load::new(plane.addresses()[0], 50, 16);
    load.run(Duration::from_millis(30), 16);
    load.run(Duration::from_millis(150), 16)
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    let usage = usage.expect("getrusage");
    let micros = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
    Duration::from_micros((micros(usage.user_time()) + micros(usage.system_time())) as u64)
}

fn idle() {
    println!("\nidle lcore, share of a core over 3 s");
    for mode in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
        let plane = dataplane("echo", mode);
        std::thread::sleep(Duration::from_millis(200));
        let (cpu, wall) = (cpu_time(), Instant::now());
        std::thread::sleep(Duration::from_secs(3));
        let share = (cpu_time() - cpu).as_secs_f64() / wall.elapsed().as_secs_f64();
        println!("  {:<10} {:6.2} %", mode.name(), share * 100.0);
        drop(plane);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(9);
    let named: Vec<&str> =
        arguments.iter().filter(|a| a.parse::<usize>().is_err()).map(String::as_str).collect();
    let wants = |name: &str| named.is_empty() || named.contains(&name);
    support::pin(1);
    if wants("latency") {
        latency(rounds);
    }
    if wants("http") {
        http(rounds);
    }
    if wants("idle") {
        idle();
    }
    if wants("modes") {
        modes(rounds);
    }
}
