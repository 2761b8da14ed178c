//! What idle connections cost `ringway run` in memory: its mappings before and after this process
//! opens them, and after each has had one reply; then the same of WebSockets, on which a message has come back, and
//! of those whose messages may be compressed. The pools, sized up front, stand by themselves.
//!
//! `cargo bench --bench memory -- [CONNECTIONS]`

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::load::GET;
use support::websocket;

/// `ringway run` on core 0, which is stopped at the end.
struct Ringway {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Ringway {
    fn start(protocol: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let address = address.expect("a port");
        let config = format!(
            "[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"{protocol}\"\n"
        );
        let file = dir.path().join("ringway.toml");
        fs::write(&file, config).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(["run", "-l", "0", "--idle", "sleep", "--log-level", "error"]);
        command.args(["--file-prefix", "memory-bench", "--config"]);
        let process = command.arg(file).stdout(Stdio::null()).spawn().expect("ringway");
        let started = Self { process, address, _dir: dir };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "ringway does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    /// Its memory now, once it has nothing to do.
    fn memory(&self) -> Memory {
        std::thread::sleep(Duration::from_millis(500));
        let path = format!("/proc/{}/smaps", self.process.id());
        Memory::of(&fs::read_to_string(path).expect("smaps"))
    }
}

impl Drop for Ringway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Kilobytes of a process.
struct Memory {
    /// Of the pools, by `Pss`.
    pools: u64,
    /// Of everything else, by `Rss` and by `Pss`.
    rss: u64,
    pss: u64,
    /// `Pss` by mapping.
    mappings: BTreeMap<String, u64>,
}

impl Memory {
    /// From the text of smaps(5).
    fn of(smaps: &str) -> Self {
        let mut memory = Self { pools: 0, rss: 0, pss: 0, mappings: BTreeMap::new() };
        let mut name = String::new();
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if !first.ends_with(':') {
                name = words.nth(4).unwrap_or("anonymous").to_owned();
                continue;
            }
            let kb: u64 = words.next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
            let is_pool = name.starts_with("/memfd:");
            match first {
                "Rss:" if !is_pool => memory.rss += kb,
                "Pss:" if is_pool => memory.pools += kb,
                "Pss:" => {
                    memory.pss += kb;
                    *memory.mappings.entry(name.clone()).or_default() += kb;
                }
                _ => {}
            }
        }
        memory
    }

    fn print(&self, what: &str, before: &Self) {
        let more = |now: u64, then: u64| now as i64 - then as i64;
        println!(
            "| {what} | {} | {} | {:+} | {:+} | {:+} |",
            self.pools,
            self.pss,
            more(self.rss, before.rss),
            more(self.pss, before.pss),
            more(self.pools, before.pools),
        );
    }
}

/// A kind of connections.
struct Case {
    protocol: &'static str,
    /// What the table calls one that was served.
    served: &'static str,
    serve: fn(&mut TcpStream),
}

const CASES: [Case; 3] = [
    Case { protocol: "http", served: "after a request each", serve: request },
    Case { protocol: "websocket", served: "WebSockets after a message each", serve: plain },
    Case { protocol: "websocket", served: "the same with deflate", serve: compressed },
];

fn request(stream: &mut TcpStream) {
    stream.write_all(GET).expect("sent");
    let mut reply = [0; 4096];
    let bytes = stream.read(&mut reply).expect("a reply");
    assert!(reply[..bytes].starts_with(b"HTTP/1.1 200"), "a reply is a 200");
}

fn plain(stream: &mut TcpStream) {
    websocket::upgrade(stream, "");
    echo(stream);
}

fn compressed(stream: &mut TcpStream) {
    let accepted = websocket::upgrade(stream, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    assert!(accepted.contains("permessage-deflate"), "{accepted}");
    echo(stream);
}

/// A short message, which comes back behind a header of two bytes.
fn echo(stream: &mut TcpStream) {
    let (payload, frame) = websocket::message(32);
    stream.write_all(&frame).expect("sent");
    let mut reply = [0; 34];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(reply[2..], payload[..]);
}

fn measure(case: &Case, connections: usize) {
    let ringway = Ringway::start(case.protocol);
    let before = ringway.memory();
    before.print("none", &before);
    let mut streams = support::connect(ringway.address, connections, || ());
    let open = ringway.memory();
    open.print(&format!("{connections} open"), &before);
    streams.iter_mut().for_each(case.serve);
    let after = ringway.memory();
    after.print(&format!("{connections} {}", case.served), &before);
    println!("\nPSS that grew, by mapping, KiB:");
    for (name, kb) in &after.mappings {
        let grown = kb.saturating_sub(before.mappings.get(name).copied().unwrap_or(0));
        if grown > 0 {
            println!("  {name}: {grown}");
        }
    }
    let grown = 1024 * (after.pss as i64 - before.pss as i64);
    println!("  bytes of a connection: {:.1}", grown as f64 / connections as f64);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let connections = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(10_000);
    for case in &CASES {
        println!(
            "\n| connections | pools, KiB | all else, KiB | RSS more | PSS more | pools more |"
        );
        println!("|---|---|---|---|---|---|");
        measure(case, connections);
    }
}
