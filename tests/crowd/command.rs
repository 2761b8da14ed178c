//! `ringway run` on one lcore as a process of its own, and what it holds in memory.

use std::fs;

use nix::sys::signal::Signal;

use crate::common::{Client, Running, wait_until};

/// Starts it with room for `connections`, and waits until it is ready.
pub fn start(connections: usize) -> Running {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
         config = {{ keep_alive_timeout_ms = 600000, head_timeout_ms = 600000 }}\n\
         [dataplane]\nmax_connections = {connections}\n"
    );
    Running::start(&format!("crowd{}", std::process::id()), 1, &toml)
}

/// KiB that are resident beside the pools, whose pages are all touched at the start.
pub fn resident_kib(server: &Running) -> i64 {
    let path = format!("/proc/{}/smaps", server.pid());
    let (mut is_pool, mut kib) = (false, 0);
    for line in fs::read_to_string(path).unwrap().lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            is_pool = line.contains("/memfd:");
        } else if first == "Rss:" && !is_pool {
            kib += words.next().unwrap().parse::<i64>().unwrap();
        }
    }
    kib
}

/// Waits until no connection is open but the one that asks.
pub fn wait_until_all_are_gone(server: &Running) {
    let mut client = server.connect();
    wait_until(|| status(&mut client)["connections"] == 1);
}

/// Lets it drain; the end has to be a good one.
pub fn end(server: Running) {
    server.signal(Signal::SIGTERM);
    server.ended_well();
}

/// What `/api/status` says.
pub fn status(client: &mut Client) -> serde_json::Value {
    serde_json::from_slice(&client.get("/api/status").body).unwrap()
}
