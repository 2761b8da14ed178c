//! What a port costs: a queue of it beside two rings by hand, a Unix socket and iceoryx2; an echo and
//! HTTP through a whole dataplane beside handlers in its own process, and Python beside plain Python. Interleaved in rounds, and
//! compared pair by pair. Prints tables for docs/BENCHMARKS.md.
//!
//! `cargo bench --bench port -- [queue] [sizes] [echo] [http] [python] [ROUNDS] [SECONDS]`; `scripts/bench.sh port` also
//! builds iceoryx2. ROUNDS and SECONDS are those of http; the others take twenty rounds for each.

mod pairs;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pairs::Pair;
use pairs::iceoryx2::Iceoryx2;
use pairs::port::Port;
use pairs::rings::Rings;
use pairs::socket::Socket;
use ringway::config::{Config, CoreMap, IdleMode, IoBackend};
use ringway::dataplane::{Builder, Dataplane};
use ringway::limits::{BLOCK_BYTES, LARGE_SLOT_BYTES};
use ringway::mem::{ClassSize, Trust};
use support::attached::{self, ATTACHED, Process, Waiting};
use support::load::{Load, Until, Wait};
use support::server::{self, SERVE, SERVE_PORT, SERVE_PYTHON, Server};
use support::stats::{cell, quantile, spread};

/// Trips, and messages one way, of one round of a pair.
const TRIPS: u64 = 2_000;
const ONE_WAY: u64 = 65_536;

/// Blocks of the pool: each process keeps an empty one, and has one with a message.
const BLOCKS: u32 = 16;

/// Trips of one round of an echo.
const ECHOES: usize = 500;

/// Short rounds for each long one.
const SHORT_ROUNDS: usize = 20;

/// Connections, requests in flight on each.
const CASES: [(usize, usize); 3] = [(50, 1), (50, 16), (1, 1)];

/// Gives each of `count` sides a turn in each round; nobody is always the one behind the same other.
fn by_turns(rounds: usize, count: usize, mut turn: impl FnMut(usize)) {
    for round in 0..rounds {
        (0..count).for_each(|step| turn((step + round) % count));
    }
}

/// The ratios of one side to another of the same round.
fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

fn pairs() -> Vec<Box<dyn Pair>> {
    let pool = support::pool();
    let mut pairs: Vec<Box<dyn Pair>> = vec![
        Box::new(Rings::start()),
        Box::new(Port::start("port, shared", &pool, Trust::Shared)),
        Box::new(Port::start("port, isolated", &pool, Trust::Isolated)),
        Box::new(Socket::start()),
    ];
    match Iceoryx2::start() {
        Some(pair) => pairs.push(Box::new(pair)),
        None => println!("iceoryx2 is left out: it is not there (scripts/bench.sh port builds it)"),
    }
    pairs
}

/// Rounds of one way to exchange messages, and a table of them; the first pair is what the others are
/// compared to.
fn compare(
    what: &str,
    to: &str,
    pairs: &mut [Box<dyn Pair>],
    rounds: usize,
    turn: impl Fn(&mut dyn Pair) -> Option<f64>,
) {
    let mut times = vec![Vec::new(); pairs.len()];
    by_turns(rounds, pairs.len(), |index| times[index].extend(turn(&mut *pairs[index])));
    println!("\n| {what} | ns: min / p10 / median | M/s, median | to {to}: p10 / median / p90 |");
    println!("|---|---|---|---|");
    let reference = times[0].clone();
    for (pair, times) in pairs.iter().zip(&mut times).filter(|(_, times)| !times.is_empty()) {
        let mut to = ratios(times, &reference);
        let [low, mid, high] = [0.1, 0.5, 0.9].map(|part| quantile(&mut to, part));
        let [min, p10, median, _] = spread(times);
        println!(
            "| {} | {min:.1} / {p10:.1} / {median:.1} | {:.2} | {low:.2} / {mid:.2} / {high:.2} |",
            pair.name(),
            1000.0 / median
        );
    }
}

fn queue(rounds: usize) {
    println!(
        "\nmessages of 64 bytes between core 1 and core 0, both look at every byte and spin, {rounds} \
         interleaved rounds of {TRIPS} trips, and of {ONE_WAY} messages in bursts of {}",
        pairs::BURST
    );
    let mut pairs = pairs();
    let to = "two rings";
    compare("there and back", to, &mut pairs, rounds, |pair| Some(pair.trips(TRIPS)));
    compare("one way, to the process", to, &mut pairs, rounds, |pair| Some(pair.down(ONE_WAY)));
    compare("one way, from the process", to, &mut pairs, rounds, |pair| pair.up(ONE_WAY));
}

/// What a message costs that is large: nothing is copied, so nobody should see.
fn sizes(rounds: usize) {
    println!(
        "\nmessages between core 1 and core 0 on a shared port, sent back in the slot that they came in; \
         both spin, write and look at the first 64 bytes, or at those and the last 64; {rounds} \
         interleaved rounds of {TRIPS} trips"
    );
    let blocks = ClassSize { slot_bytes: BLOCK_BYTES, slots: BLOCKS };
    let pool = support::pool_with(&[blocks]);
    let port =
        |name, bytes, ends| -> Box<dyn Pair> { Box::new(Port::of_bytes(name, &pool, bytes, ends)) };
    let (large, block) = (LARGE_SLOT_BYTES as usize, BLOCK_BYTES as usize);
    let mut pairs = [
        port("64 B", pairs::MESSAGE_BYTES, false),
        port("16 KiB", large, false),
        port("4 MiB", block, false),
        port("16 KiB, both ends", large, true),
        port("4 MiB, both ends", block, true),
    ];
    compare("there and back", "64 B", &mut pairs, rounds, |pair| Some(pair.trips(TRIPS)));
}

/// A dataplane that echoes by itself on its first listener, and through a port on its second.
fn echoing() -> Dataplane {
    let toml = "[[listener]]\naddress = '127.0.0.1:0'\ntransport = 'tcp'\nprotocol = 'echo'\n\
                [[listener]]\naddress = '127.0.0.1:0'\ntransport = 'tcp'\nprotocol = 'raw'\n\
                handler = 'port:app'\n";
    let config = Config::from_toml(toml, "bench").expect("a configuration");
    Builder::new(config, CoreMap::single(0)).idle(IdleMode::Busy).start().expect("a dataplane")
}

/// Median round trip of a round in nanoseconds. A client that shares its core lets others run while it
/// has nothing.
fn echo_round(stream: &mut TcpStream, yields: bool) -> f64 {
    let mut reply = [0; pairs::MESSAGE_BYTES];
    let mut times = Vec::with_capacity(ECHOES);
    for _ in 0..ECHOES {
        let start = Instant::now();
        stream.write_all(&pairs::MESSAGE).expect("sent");
        let mut got = 0;
        while got < reply.len() {
            match stream.read(&mut reply[got..]) {
                Ok(0) => panic!("closed"),
                Ok(bytes) => got += bytes,
                Err(e) if e.kind() == ErrorKind::WouldBlock && yields => std::thread::yield_now(),
                Err(e) => assert!(e.kind() == ErrorKind::WouldBlock, "{e}"),
            }
        }
        times.push(start.elapsed().as_nanos() as f64);
        assert!(reply == pairs::MESSAGE, "it is not what was sent");
    }
    quantile(&mut times, 0.5)
}

fn echo(rounds: usize) {
    let cpu = attached::core();
    let yields = cpu == 1;
    let waiting = if yields { Waiting::Yield } else { Waiting::Spin };
    println!(
        "\none connection, 64 B echo over TCP through the lcore, {rounds} interleaved rounds of \
         {ECHOES}; {}",
        attached::placed(cpu, waiting)
    );
    println!(
        "\n| echoed by | median of a round, us: min / p10 / median | more than in process, ns: p10 / median / p90 |"
    );
    println!("|---|---|---|");
    let mut reference = Vec::new();
    for trust in [Trust::Shared, Trust::Isolated] {
        let plane = echoing();
        let (process, _kept) = Process::attach(&plane, trust, cpu);
        process.order("serve", waiting.name());
        let mut streams: Vec<TcpStream> = plane.addresses().iter().map(connect).collect();
        let mut times = [Vec::new(), Vec::new()];
        by_turns(rounds, 2, |index| times[index].push(echo_round(&mut streams[index], yields)));
        let [own, port] = &mut times;
        let mut more: Vec<f64> = port.iter().zip(&*own).map(|(a, b)| a - b).collect();
        let more = [0.1, 0.5, 0.9].map(|part| format!("{:+.0}", quantile(&mut more, part)));
        let port = trips_us(port);
        reference.append(own);
        println!("| port, {} | {port} | {} |", trust.name(), more.join(" / "));
    }
    println!("| handler in process, beside both | {} | |", trips_us(&mut reference));
}

fn trips_us(times: &mut [f64]) -> String {
    let [min, p10, median, _] = spread(times).map(|ns| ns / 1000.0);
    format!("{min:.2} / {p10:.2} / {median:.2}")
}

fn connect(address: &ringway::config::Address) -> TcpStream {
    let stream = TcpStream::connect(address.ip().expect("it listens on TCP"));
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_nonblocking(true).expect("non-blocking");
    stream
}

/// What one server did in all rounds of one case.
struct Side<'a> {
    server: &'a Server,
    load: Load,
    rates: Vec<f64>,
    /// CPU nanoseconds per request, of the dataplane and of the application.
    lcore_ns: Vec<f64>,
    application_ns: Vec<f64>,
    both_ns: Vec<f64>,
    medians_us: Vec<f64>,
}

impl<'a> Side<'a> {
    fn new(server: &'a Server, connections: usize, depth: usize) -> Self {
        Self {
            server,
            // The client shares its core where there are two: it has to sleep.
            load: Load::new(server.address, connections, depth, Wait::Block),
            rates: Vec::new(),
            lcore_ns: Vec::new(),
            application_ns: Vec::new(),
            both_ns: Vec::new(),
            medians_us: Vec::new(),
        }
    }

    /// A tenth of `time` to warm up, then `time` that counts.
    fn round(&mut self, time: Duration) {
        self.load.run(Until::Time(time / 10));
        let before = (self.server.cpu_ns(), self.server.children_cpu_ns());
        let outcome = self.load.run(Until::Time(time));
        let (name, errors) = (self.server.name, outcome.errors);
        assert!(errors == 0 && outcome.replies > 0, "{name}: {errors} replies were wrong");
        let replies = outcome.replies as f64;
        let all = (self.server.cpu_ns() - before.0) as f64 / replies;
        let application = (self.server.children_cpu_ns() - before.1) as f64 / replies;
        self.rates.push(outcome.rate() / 1000.0);
        self.lcore_ns.push(all - application);
        self.application_ns.push(application);
        self.both_ns.push(all);
        self.medians_us.push(outcome.latency.quantile_us(0.5));
    }
}

fn http_table(sides: &mut [Side<'_>]) {
    println!(
        "| server | k requests/s | to the first | CPU of the lcore, ns per request \
         | of the application | both, to the first | p50 of the rounds, us |"
    );
    println!("|---|---|---|---|---|---|---|");
    let base = (sides[0].rates.clone(), sides[0].both_ns.clone());
    for side in sides {
        let (mut rate, mut cpu) = (ratios(&side.rates, &base.0), ratios(&side.both_ns, &base.1));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            side.server.name,
            cell(&mut side.rates, 1),
            cell(&mut rate, 2),
            cell(&mut side.lcore_ns, 0),
            cell(&mut side.application_ns, 0),
            cell(&mut cpu, 2),
            cell(&mut side.medians_us, 1)
        );
    }
}

/// The rounds and the table of each case.
fn load(servers: &[Server], rounds: usize, time: Duration) {
    for (connections, depth) in CASES {
        println!(
            "\nHTTP GET, keep-alive, 12-byte body, {connections} connections, {depth} in flight each, \
             {rounds} rounds of {time:?}; min / median / max\n"
        );
        let side = |server| Side::new(server, connections, depth);
        let mut sides: Vec<Side<'_>> = servers.iter().map(side).collect();
        by_turns(rounds, sides.len(), |index| sides[index].round(time));
        http_table(&mut sides);
    }
}

fn http(rounds: usize, time: Duration) {
    // Who sleeps spends no CPU time on looking: what is left is what requests cost.
    let place = (attached::core(), Waiting::Sleep);
    let port = |name, trust| server::through_port(name, IdleMode::Sleep, trust, place);
    let servers = [
        server::ringway("in process", IdleMode::Sleep),
        port("port, shared", Trust::Shared),
        port("port, isolated", Trust::Isolated),
    ];
    println!("\n{}; the lcore sleeps when it is idle", attached::placed(place.0, place.1));
    load(&servers, rounds, time);
}

fn python(rounds: usize, time: Duration) {
    let Some(servers) = server::in_python() else {
        return println!(
            "Python is left out: scripts/capi.sh builds what it lacks, or says what it needs"
        );
    };
    println!(
        "\nPython, on core 0 with all that it needs, client on core 1; to asyncio with a protocol"
    );
    load(&servers, rounds, time);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &arguments[..] {
        [first, cpu] if first == ATTACHED => return attached::run(cpu),
        [first, idle] if first == SERVE => return server::serve(idle, IoBackend::IoUring),
        [first] if first == SERVE_PYTHON => return server::serve_python(),
        [first, rest @ ..] if first == SERVE_PORT => return server::serve_port(rest),
        _ => {}
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let rounds = numbers.next().unwrap_or(9.0) as usize;
    let time = Duration::from_secs_f64(numbers.next().unwrap_or(1.0));
    let named: Vec<&str> =
        arguments.iter().filter(|a| a.parse::<f64>().is_err()).map(String::as_str).collect();
    let wants = |name: &str| named.is_empty() || named.contains(&name);
    support::pin(1);
    if wants("queue") {
        queue(rounds * SHORT_ROUNDS);
    }
    if wants("sizes") {
        sizes(rounds * SHORT_ROUNDS);
    }
    if wants("echo") {
        echo(rounds * SHORT_ROUNDS);
    }
    if wants("http") {
        http(rounds, time);
    }
    if wants("python") {
        python(rounds, time);
    }
}
