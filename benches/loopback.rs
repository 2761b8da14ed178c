//! Servers in this process over loopback, server on core 0 and client on core 1, interleaved in rounds
//! and compared pair by pair. HTTP servers are compared by `http`, each in a process of its own.
//!
//! `cargo bench --bench loopback -- [latency] [idle] [modes] [ROUNDS]`

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use ringway::config::{Config, CoreMap, IdleMode};
use ringway::dataplane::{Builder, Dataplane, Tuning};
use ringway::mem::RxOptions;
use ringway::sys::uring::Mode;
use support::load::{Load, Until, Wait};

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
        let a =
            latency_round(&mut connect(busy.addresses()[0].ip().expect("it listens on TCP")), 4000);
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
    let mut stream = TcpStream::connect(plane.addresses()[0].ip().expect("it listens on TCP"))
        .expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_nonblocking(true).expect("non-blocking");
    latency_round(&mut stream, 2000)
}

fn pipelined(tuning: Tuning) -> f64 {
    let plane = tuned("http", IdleMode::Adaptive, tuning);
    let mut load =
        Load::new(plane.addresses()[0].ip().expect("it listens on TCP"), 50, 16, Wait::Block);
    load.run(Until::Time(Duration::from_millis(30)));
    let outcome = load.run(Until::Time(Duration::from_millis(150)));
    assert!(outcome.errors == 0, "{} replies were wrong", outcome.errors);
    outcome.rate()
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
    if wants("idle") {
        idle();
    }
    if wants("modes") {
        modes(rounds);
    }
}
