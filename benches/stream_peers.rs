//! Messages of one encrypted stream, echoed over loopback, beside what others take for it: yamux
//! over TLS, HTTP/2 over TLS, and QUIC. Each server on core 0 in its turn and its client on core 1, interleaved in rounds
//! and compared pair by pair. Prints tables for docs/BENCHMARKS.md.
//!
//! `cargo bench --bench stream_peers -- [ROUNDS] [SECONDS]`; `scripts/bench.sh streams` also builds the peers.

#[path = "streams/client.rs"]
mod client;
#[path = "streams/side.rs"]
mod side;
mod support;

use client::DATAGRAM_BYTES;
use ringway::config::IdleMode;
use side::{Case, DRIVE, SERVE, Side, Turn};
use support::stats::cell;

/// Above this share of the time the client may have held the server up.
const CLIENT_BUSY: f64 = 0.95;

/// Of messages that fit a datagram: what is lost there comes no second time.
const OVER_UDP: &str = "ringway over UDP, idle sleep";

/// 16,000 bytes fit a packet of ours, 16 KiB do not.
const CASES: [Case; 10] = [
    case(64, 1, 256),
    case(64, 64, 4),
    case(64, 1, 1),
    case(1400, 1, 64),
    case(1400, 64, 1),
    case(1400, 1, 1),
    case(16_000, 1, 16),
    case(16_384, 1, 16),
    case(16_384, 16, 1),
    case(16_384, 1, 1),
];

const fn case(bytes: usize, channels: usize, window: usize) -> Case {
    Case { bytes, channels, window }
}

/// Ringway comes first as it is where all of its CPU time is work.
fn sides() -> Vec<Side> {
    let ours = [
        Some(Side::ringway("ringway, idle sleep", "tcp", IdleMode::Sleep)),
        Some(Side::ringway("ringway", "tcp", IdleMode::Adaptive)),
        Some(Side::ringway(OVER_UDP, "udp", IdleMode::Sleep)),
    ];
    let peers =
        [("yamux over TLS", "yamux"), ("HTTP/2 over TLS, h2", "h2"), ("QUIC, quinn", "quinn")];
    let peers = peers.map(|(name, program)| peer(name, program));
    ours.into_iter().chain(peers).flatten().collect()
}

fn peer(name: &'static str, program: &str) -> Option<Side> {
    let side = Side::peer(name, program);
    if side.is_none() {
        println!("{name} is left out: it is not there (scripts/bench.sh streams builds it)");
    }
    side
}

/// One number of all turns.
fn column(turns: &[Turn], number: impl Fn(&Turn) -> f64) -> Vec<f64> {
    turns.iter().map(number).collect()
}

/// The ratio of one to another, round by round.
fn ratios(ours: &[f64], theirs: &[f64]) -> String {
    cell(&mut ours.iter().zip(theirs).map(|(a, b)| a / b).collect::<Vec<_>>(), 2)
}

fn table(sides: &[(&str, Vec<Turn>)]) {
    let rate = |turns: &[Turn]| column(turns, |turn| turn.k_per_second);
    let cpu = |turns: &[Turn]| column(turns, |turn| turn.server_ns);
    println!(
        "| server | k messages/s | ringway's / its | CPU of the server, ns per message | its / ringway's \
         | CPU of the client, ns | client busy |"
    );
    println!("|---|---|---|---|---|---|---|");
    let ours = &sides[0].1;
    for (name, turns) in sides {
        let faster = ratios(&rate(ours), &rate(turns));
        let cheaper = ratios(&cpu(turns), &cpu(ours));
        let (rates, ns) = (cell(&mut rate(turns), 1), cell(&mut cpu(turns), 0));
        let client = support::stats::quantile(&mut column(turns, |turn| turn.client_ns), 0.5);
        let share = support::stats::quantile(&mut column(turns, |turn| turn.client_busy), 0.5);
        let note = if share > CLIENT_BUSY { ", **the bottleneck**" } else { "" };
        println!(
            "| {name} | {rates} | {faster} | {ns} | {cheaper} | {client:.0} | {share:.2}{note} |"
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [SERVE, transport, idle] => return side::serve(transport, idle),
        [DRIVE, transport, port] => {
            return client::drive(transport, port.parse().expect("a port"));
        }
        _ => {}
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let rounds = numbers.next().unwrap_or(9.0) as usize;
    let milliseconds = (numbers.next().unwrap_or(1.0) * 1000.0) as u64;
    let mut sides = sides();
    for case in CASES {
        let Case { bytes, channels, window } = case;
        println!(
            "\n**{bytes} B, {window} under way on each of {channels}**, {rounds} rounds of {milliseconds} ms; \
             min / median / max\n"
        );
        let fits = |side: &&mut Side| bytes < DATAGRAM_BYTES || side.name != OVER_UDP;
        let mut sides: Vec<&mut Side> = sides.iter_mut().filter(fits).collect();
        let mut turns: Vec<Vec<Turn>> = sides.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            // Nobody is always the one behind the same other.
            let count = sides.len();
            for index in (0..count).map(|turn| (turn + round) % count) {
                sides[index].turn(case, milliseconds / 10);
                turns[index].push(sides[index].turn(case, milliseconds));
            }
        }
        table(&sides.iter().map(|side| side.name).zip(turns).collect::<Vec<_>>());
    }
}
