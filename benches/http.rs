//! HTTP servers side by side over loopback, each on core 0 in its turn and the client on core 1,
//! interleaved in rounds and compared pair by pair. Prints tables for docs/BENCHMARKS.md.
//!
//! `cargo bench --bench http -- [ROUNDS] [SECONDS]`; `scripts/bench.sh http` also builds the peers.

mod support;

use std::time::Duration;

use ringway::config::IoBackend;
use support::load::{Load, Wait};
use support::server::{self, SERVE, SERVE_EPOLL};
use support::sides::{Side, table};

/// Connections, requests in flight on each, how the client waits.
const CASES: [(usize, usize, Wait); 3] =
    [(50, 1, Wait::Block), (50, 16, Wait::Block), (1, 1, Wait::Spin)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, idle] = &arguments[..] {
        match first.as_str() {
            SERVE => return server::serve(idle, IoBackend::IoUring),
            SERVE_EPOLL => return server::serve(idle, IoBackend::Epoll),
            _ => {}
        }
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
        let load = |address| Load::new(address, connections, depth, wait);
        let mut sides: Vec<Side<'_>> =
            servers.iter().map(|server| Side::new(server, load(server.address))).collect();
        for round in 0..rounds {
            // Nobody is always the one behind the same other.
            let count = sides.len();
            (0..count).for_each(|turn| sides[(turn + round) % count].round(time));
        }
        for side in &mut sides {
            side.system_calls = side.server.system_calls(&mut side.load, time);
        }
        table(&mut sides, wait, "request");
    }
}
