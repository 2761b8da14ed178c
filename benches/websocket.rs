//! WebSocket servers side by side over loopback, each on core 0 in its turn and the client on core 1, interleaved in
//! rounds and compared pair by pair: all send back what they hear. Prints tables for docs/BENCHMARKS.md.
//!
//! `cargo bench --bench websocket -- [ROUNDS] [SECONDS] [CASE]`; `scripts/bench.sh websocket` also builds the peers in Rust.
//! uWebSockets takes part where `RINGWAY_UWEBSOCKETS` names the program that these lines build:
//!
//! ```text
//! git clone --recurse-submodules=uSockets https://github.com/uNetworking/uWebSockets && cd uWebSockets
//! (cd uSockets && cc -DLIBUS_NO_SSL -std=c11 -Isrc -O3 -march=native -flto -c src/*.c src/eventing/*.c)
//! g++ -std=c++2b -O3 -march=native -flto=auto -DUWS_NO_ZLIB -Isrc -IuSockets/src examples/EchoServer.cpp uSockets/*.o -o echo
//! ```

mod support;

use std::time::Duration;

use support::load::Wait;
use support::server::{self, SERVE_WEBSOCKET, Server};
use support::sides::{Side, table};
use support::websocket;

/// Connections, messages in flight on each, their bytes.
const CASES: [(usize, usize, usize); 4] =
    [(64, 1, 64), (64, 16, 64), (20, 1, 16 * 1024), (1, 1, 64)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, idle] = &arguments[..]
        && first == SERVE_WEBSOCKET
    {
        return server::serve_websocket(idle);
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let rounds = numbers.next().unwrap_or(9.0) as usize;
    let time = Duration::from_secs_f64(numbers.next().unwrap_or(1.0));
    let only = numbers.next().map(|case| case as usize);
    support::pin(1);
    let servers = server::all_of_websockets();
    let cases =
        CASES.into_iter().enumerate().filter(|(case, _)| only.is_none_or(|only| only == *case));
    for (_, (connections, depth, bytes)) in cases {
        println!(
            "\nWebSocket echo of {bytes} bytes, {connections} connections, {depth} in flight each, {rounds} rounds \
             of {time:?}; min / median / max\n"
        );
        let load = |server: &Server| websocket::load(server.address, connections, depth, bytes);
        let mut sides: Vec<Side<'_>> =
            servers.iter().map(|server| Side::new(server, load(server))).collect();
        for round in 0..rounds {
            // Nobody is always the one behind the same other.
            for turn in 0..sides.len() {
                let place = (turn + round) % servers.len();
                let side = &mut sides[place];
                // Anew each time: servers ping who was silent for long.
                side.load = load(side.server);
                side.round(time);
            }
        }
        for side in &mut sides {
            side.load = load(side.server);
            side.system_calls = side.server.system_calls(&mut side.load, time);
        }
        table(&mut sides, Wait::Block, "message");
    }
}
