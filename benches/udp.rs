//! The cost of one datagram echoed, on one thread: the client's part runs on the same thread and is not
//! timed. Our whole lcore beside servers written by hand, interleaved round by round: one that takes and
//! sends many datagrams a call (recvmmsg, sendmmsg), and one that has the kernel put them together (UDP_GRO,
//! UDP_SEGMENT) and looks at none.
//!
//! `cargo bench --bench udp [-- [ROUNDS] [two]]`; `two` puts the client on a core of its own instead, and counts
//! datagrams per second.

#[path = "udp/peers.rs"]
mod peers;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use peers::{Client, Many, Server, Trains};
use ringway::counters::{Counter, Counters};
use ringway::dataplane::Tuning;
use ringway::lcore::Lcore;
use ringway::sync::AtomicBool;
use support::stats::{cell, quantile, spread};

/// The lcore.
struct Ringway {
    lcore: Lcore,
    counters: Counters,
}

impl Server for Ringway {
    fn serve(&mut self, datagrams: u64) {
        let target = self.counters.get(Counter::TxBufs) + datagrams;
        while self.counters.get(Counter::TxBufs) < target {
            self.lcore.poll_once(usize::MAX);
        }
    }

    fn poll(&mut self) {
        self.lcore.poll_once(usize::MAX);
    }
}

/// What each peer sends at once, and gets back.
#[derive(Clone, Copy)]
struct Exchange {
    bytes: usize,
    datagrams: usize,
    peers: usize,
    /// The peers let the kernel put them together.
    trains: bool,
}

impl Exchange {
    fn what(&self) -> String {
        let Self { bytes, datagrams, peers, trains } = self;
        let how = if *trains { "in trains" } else { "one by one" };
        format!("{bytes} B x {datagrams} x {peers}, {how}")
    }
}

const fn exchange(bytes: usize, datagrams: usize, peers: usize, trains: bool) -> Exchange {
    Exchange { bytes, datagrams, peers, trains }
}

const EXCHANGES: [Exchange; 9] = [
    exchange(64, 1, 1, false),
    exchange(64, 32, 1, false),
    exchange(64, 1, 32, false),
    exchange(1400, 32, 1, false),
    exchange(1400, 1, 32, false),
    exchange(64, 64, 1, true),
    exchange(64, 64, 8, true),
    exchange(1400, 32, 1, true),
    exchange(1400, 46, 8, true),
];

/// Makes a server, and where it is.
type Make = fn() -> (Box<dyn Server>, SocketAddr);

fn ringway() -> (Box<dyn Server>, SocketAddr) {
    let (lcore, address, counters) = support::udp_lcore(Tuning::default());
    (Box::new(Ringway { lcore, counters }), address)
}

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("non-blocking");
    peers::widen(&socket);
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn many() -> (Box<dyn Server>, SocketAddr) {
    let (socket, address) = bound();
    (Box::new(Many::new(socket)), address)
}

fn trains() -> (Box<dyn Server>, SocketAddr) {
    let (socket, address) = bound();
    (Box::new(Trains::new(socket)), address)
}

/// The first is what the others are compared to.
const SERVERS: [(&str, Make); 3] =
    [("recvmmsg, sendmmsg", many), ("GRO, GSO by hand", trains), ("ringway", ringway)];

/// A server and its clients, on the same thread.
struct Side {
    name: &'static str,
    server: Box<dyn Server>,
    clients: Vec<Client>,
}

impl Side {
    fn new(name: &'static str, make: Make, exchange: &Exchange) -> Self {
        let (server, address) = make();
        let client =
            |_| Client::connect(address, exchange.bytes, exchange.datagrams, exchange.trains);
        Self { name, server, clients: (0..exchange.peers).map(client).collect() }
    }

    /// Nanoseconds per datagram of one round.
    fn round(&mut self, exchange: &Exchange) -> f64 {
        self.clients.iter_mut().for_each(Client::send);
        let datagrams = exchange.datagrams * exchange.peers;
        let start = Instant::now();
        self.server.serve(datagrams as u64);
        let elapsed = start.elapsed();
        self.clients.iter_mut().for_each(Client::receive);
        elapsed.as_nanos() as f64 / datagrams as f64
    }
}

fn compare(exchange: &Exchange, rounds: usize) {
    let mut sides: Vec<Side> =
        SERVERS.iter().map(|(name, make)| Side::new(name, *make, exchange)).collect();
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds + 20 {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let time = side.round(exchange);
            if round >= 20 {
                times.push(time);
            }
        }
    }
    let reference = times[0].clone();
    for (side, times) in sides.iter().zip(&mut times) {
        let mut ratios: Vec<f64> = reference.iter().zip(&*times).map(|(a, b)| a / b).collect();
        let [low, mid, high] = [0.1, 0.5, 0.9].map(|part| quantile(&mut ratios, part));
        let [min, p10, median, max] = spread(times);
        println!(
            "| {:<30} | {:<18} | {min:.0} / {p10:.0} / {median:.0} / {max:.0} | \
             {low:.2} / {mid:.2} / {high:.2} |",
            exchange.what(),
            side.name
        );
    }
}

/// Datagrams per second that a client on this thread gets back from a server on core 0.
fn rate(make: Make, exchange: &Exchange, time: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, address) = std::sync::mpsc::channel();
    let until = stop.clone();
    let server = std::thread::spawn(move || {
        support::pin(0);
        let (mut server, address) = make();
        told.send(address).expect("somebody waits for it");
        while !until.load(Ordering::Relaxed) {
            server.poll();
        }
    });
    let address = address.recv().expect("a server");
    let mut client = Client::connect(address, exchange.bytes, exchange.datagrams, exchange.trains);
    let (start, mut echoed) = (Instant::now(), 0);
    while start.elapsed() < time {
        client.send();
        echoed += client.receive_some();
    }
    let rate = echoed as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    server.join().expect("it ends well");
    rate
}

fn two_cores(rounds: usize) {
    support::pin(1);
    println!(
        "\n| exchange | server | thousand datagrams/s: min / median / max | times as many as recvmmsg |"
    );
    println!("|---|---|---|---|");
    for exchange in EXCHANGES.iter().filter(|exchange| exchange.peers == 1) {
        let mut rates = vec![Vec::new(); SERVERS.len()];
        for _ in 0..rounds {
            for ((_, make), rates) in SERVERS.iter().zip(&mut rates) {
                rates.push(rate(*make, exchange, Duration::from_millis(200)) / 1000.0);
            }
        }
        let reference = rates[0].clone();
        for ((name, _), rates) in SERVERS.iter().zip(&mut rates) {
            let mut ratios: Vec<f64> = rates.iter().zip(&reference).map(|(a, b)| a / b).collect();
            let (what, rates, ratios) = (exchange.what(), cell(rates, 0), cell(&mut ratios, 2));
            println!("| {what:<30} | {name:<18} | {rates} | {ratios} |");
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok());
    if arguments.iter().any(|a| a == "two") {
        return two_cores(rounds.unwrap_or(9));
    }
    support::pin(0);
    println!(
        "\n| size x datagrams x peers | server | ns per datagram: min / p10 / median / max | \
         times as fast as recvmmsg: p10 / median / p90 |"
    );
    println!("|---|---|---|---|");
    for exchange in &EXCHANGES {
        compare(exchange, rounds.unwrap_or(400));
    }
}
