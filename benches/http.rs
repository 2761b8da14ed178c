//! HTTP servers side by side over loopback, each on core 0 in its turn and the client on core 1,
//! interleaved in rounds and compared pair by pair. Prints tables for docs/BENCHMARKS.md.
//!
//! `cargo bench --bench http -- [ROUNDS] [SECONDS]`; `scripts/bench.sh http` also builds the peers.

mod support;

use std::time::Duration;

use support::load::{Load, Outcome, Until, Wait};
use support::server::{self, SERVE, Server};
use support::stats::{Histogram, cell, quantile};

/// Below this share of idle time the client may have held the server up.
const CLIENT_BUSY: f64 = 0.95;

/// Connections, requests in flight on each, how the client waits.
const CASES: [(usize, usize, Wait); 3] =
    [(50, 1, Wait::Block), (50, 16, Wait::Block), (1, 1, Wait::Spin)];

/// What one server did in all rounds of one case.
struct Side<'a> {
    server: &'a Server,
    load: Load,
    rates: Vec<f64>,
    /// CPU nanoseconds per request, of the server and of the client.
    server_ns: Vec<f64>,
    client_ns: Vec<f64>,
    client_calls: Vec<f64>,
    busy: Vec<f64>,
    /// The median latency of each round.
    medians_us: Vec<f64>,
    latency: Histogram,
    system_calls: Option<f64>,
}

impl<'a> Side<'a> {
    fn new(server: &'a Server, connections: usize, depth: usize, wait: Wait) -> Self {
        Self {
            server,
            load: Load::new(server.address, connections, depth, wait),
            rates: Vec::new(),
            server_ns: Vec::new(),
            client_ns: Vec::new(),
            client_calls: Vec::new(),
            busy: Vec::new(),
            medians_us: Vec::new(),
            latency: Histogram::default(),
            system_calls: None,
        }
    }

    fn run(&mut self, time: Duration) -> Outcome {
        let outcome = self.load.run(Until::Time(time));
        let (name, errors) = (self.server.name, outcome.errors);
        assert!(errors == 0 && outcome.replies > 0, "{name}: {errors} replies were wrong");
        outcome
    }

    /// A tenth of `time` to warm up, then `time` that counts.
    fn round(&mut self, time: Duration) {
        self.run(time / 10);
        let cpu = self.server.cpu_ns();
        let outcome = self.run(time);
        let server_ns = (self.server.cpu_ns() - cpu) as f64;
        let replies = outcome.replies as f64;
        self.rates.push(outcome.rate() / 1000.0);
        self.server_ns.push(server_ns / replies);
        self.client_ns.push(outcome.cpu.as_nanos() as f64 / replies);
        self.client_calls.push(outcome.enters as f64 / replies);
        self.busy.push(outcome.busy_share());
        self.medians_us.push(outcome.latency.quantile_us(0.5));
        self.latency.merge(&outcome.latency);
    }
}

/// The ratio of the first to another, round by round.
fn ratios(ours: &[f64], theirs: &[f64]) -> String {
    cell(&mut ours.iter().zip(theirs).map(|(a, b)| a / b).collect::<Vec<_>>(), 2)
}

fn table(sides: &mut [Side<'_>], wait: Wait) {
    let first = (sides[0].rates.clone(), sides[0].server_ns.clone(), sides[0].medians_us.clone());
    println!(
        "| server | k requests/s | ringway's / its | CPU of the server, ns per request | ringway's / its |"
    );
    println!("|---|---|---|---|---|");
    for side in &mut *sides {
        let (rate, cpu) = (ratios(&first.0, &side.rates), ratios(&first.1, &side.server_ns));
        let name = side.server.name;
        let (rates, ns) = (cell(&mut side.rates, 1), cell(&mut side.server_ns, 0));
        println!("| {name} | {rates} | {rate} | {ns} | {cpu} |");
    }
    println!(
        "\n| server | p50 of the rounds, us | ringway's / its | p50 / p90 / p99 / p99.9 / max, us |"
    );
    println!("|---|---|---|---|");
    for side in &mut *sides {
        let ratio = ratios(&first.2, &side.medians_us);
        let medians = cell(&mut side.medians_us, 1);
        let all =
            [0.5, 0.9, 0.99, 0.999].map(|part| format!("{:.1}", side.latency.quantile_us(part)));
        let (name, max) = (side.server.name, side.latency.max_us());
        println!("| {name} | {medians} | {ratio} | {} / {max:.0} |", all.join(" / "));
    }
    println!(
        "\n| server | bytes of a reply | its system calls per request | the client's \
         | CPU of the client, ns per request | client busy |"
    );
    println!("|---|---|---|---|---|---|");
    for side in sides {
        let calls =
            side.system_calls.map_or("not counted".to_owned(), |calls| format!("{calls:.3}"));
        let (name, ns) = (side.server.name, cell(&mut side.client_ns, 0));
        let (clients, busy) = (quantile(&mut side.client_calls, 0.5), busy(&mut side.busy, wait));
        let bytes = side.load.reply_bytes();
        println!("| {name} | {bytes} | {calls} | {clients:.3} | {ns} | {busy} |");
    }
}

/// How busy the client was, and whether that makes it the bottleneck.
fn busy(shares: &mut [f64], wait: Wait) -> String {
    let median = quantile(shares, 0.5);
    match wait {
        Wait::Spin => "spins".to_owned(),
        Wait::Block if median > CLIENT_BUSY => format!("{median:.2}, **it is the bottleneck**"),
        Wait::Block => format!("{median:.2}"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, idle] = &arguments[..]
        && first == SERVE
    {
        return server::serve(idle);
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let rounds = numbers.next().unwrap_or(9.0) as usize;
    let time = Duration::from_secs_f64(numbers.next().unwrap_or(1.0));
    support::pin(1);
    let servers = server::all();
    for (connections, depth, wait) in CASES {
        println!(
            "\nHTTP GET, keep-alive, 12-byte body, {connections} connections, {depth} in flight each, \
             {rounds} rounds of {time:?}; min / median / max\n"
        );
        let mut sides: Vec<Side<'_>> =
            servers.iter().map(|server| Side::new(server, connections, depth, wait)).collect();
        for round in 0..rounds {
            // Nobody is always the one behind the same other.
            let count = sides.len();
            (0..count).for_each(|turn| sides[(turn + round) % count].round(time));
        }
        for side in &mut sides {
            side.system_calls = side.server.system_calls(&mut side.load, time);
        }
        table(&mut sides, wait);
    }
}
