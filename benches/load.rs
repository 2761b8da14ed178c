//! The load generator by itself, on any HTTP server that answers `GET /` with 200.
//!
//! `cargo bench --bench load -- ADDRESS:PORT [--connections N] [--depth N] [--seconds S | --requests N]
//! [--spin] [--core N]`

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::load::{Load, Until, Wait};

/// The value behind `--name`.
fn option<T: std::str::FromStr>(arguments: &[String], name: &str) -> Option<T> {
    let at = arguments.iter().position(|argument| argument == name)?;
    let value = arguments.get(at + 1)?;
    Some(value.parse().unwrap_or_else(|_| panic!("cannot read the value of {name}: {value}")))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(address) = arguments.iter().find_map(|a| a.parse::<SocketAddr>().ok()) else {
        // As `cargo bench` runs it among the others.
        return println!("load: names no server; see benches/load.rs");
    };
    let connections = option(&arguments, "--connections").unwrap_or(50);
    let depth = option(&arguments, "--depth").unwrap_or(1);
    let seconds = option(&arguments, "--seconds").unwrap_or(1.0);
    let time = Until::Time(Duration::from_secs_f64(seconds));
    let until = option(&arguments, "--requests").map_or(time, Until::Requests);
    let spins = arguments.iter().any(|argument| argument == "--spin");
    support::pin(option(&arguments, "--core").unwrap_or(1));
    let wait = if spins { Wait::Spin } else { Wait::Block };
    let mut load = Load::new(address, connections, depth, wait);
    let found = load.run(until);
    println!(
        "{connections} connections, {depth} in flight each, {} bytes a reply",
        load.reply_bytes()
    );
    println!("{} replies in {:.3?}: {:.0} a second", found.replies, found.elapsed, found.rate());
    println!(
        "{} errors; the client was busy for {:.2} of the time",
        found.errors,
        found.busy_share()
    );
    let of = |part| found.latency.quantile_us(part);
    println!(
        "latency in us: p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
        of(0.5),
        of(0.9),
        of(0.99),
        of(0.999),
        found.latency.max_us()
    );
    std::process::exit(i32::from(found.errors > 0));
}
