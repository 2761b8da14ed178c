//! Servers beside each other: what each did in interleaved rounds, the first compared with the others pair by pair.

use std::time::Duration;

use super::load::{Load, Outcome, Until, Wait};
use super::server::Server;
use super::stats::{Histogram, cell, quantile};

/// Below this share of idle time the client may have held the server up.
const CLIENT_BUSY: f64 = 0.95;

/// What one server did in all rounds of one case.
pub struct Side<'a> {
    pub server: &'a Server,
    pub load: Load,
    rates: Vec<f64>,
    /// CPU nanoseconds per request, of the server and of the client.
    server_ns: Vec<f64>,
    client_ns: Vec<f64>,
    client_calls: Vec<f64>,
    busy: Vec<f64>,
    /// The median latency of each round.
    medians_us: Vec<f64>,
    latency: Histogram,
    pub system_calls: Option<f64>,
}

impl<'a> Side<'a> {
    pub fn new(server: &'a Server, load: Load) -> Self {
        Self {
            server,
            load,
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
    pub fn round(&mut self, time: Duration) {
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

/// What they did in tables; `what` is a request, or a message.
pub fn table(sides: &mut [Side<'_>], wait: Wait, what: &str) {
    let first = (sides[0].rates.clone(), sides[0].server_ns.clone(), sides[0].medians_us.clone());
    println!(
        "| server | k {what}s/s | ringway's / its | CPU of the server, ns per {what} | ringway's / its |"
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
        "\n| server | bytes of a reply | its system calls per {what} | the client's \
         | CPU of the client, ns per {what} | client busy |"
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
