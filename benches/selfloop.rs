//! The cost of one echo, or one HTTP request, on one thread: the client's part runs on the same thread
//! and is not timed. Our whole lcore, over io_uring and over epoll, beside an io_uring server written by hand
//! that sends as many bytes and looks at none, interleaved round by round.
//!
//! `cargo bench --bench selfloop [-- [echo|http] [ROUNDS] [all]]`; `all` adds the ways of using
//! io_uring to the echo.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode};
use ringway::counters::{Counter, Counters};
use ringway::dataplane::Tuning;
use ringway::lcore::Lcore;
use ringway::mem::RxOptions;
use ringway::pipeline::{Handler, Pipeline};
use ringway::sys::uring::Mode;
use support::buf_ring::BufRing;
use support::load::GET;
use support::stats::{quantile, spread};

/// One server under test: answers what lies in its sockets until `bytes` more went out.
trait Server {
    fn serve(&mut self, bytes: u64);
}

/// The lcore.
struct Ringway {
    lcore: Lcore,
    counters: Counters,
}

impl Server for Ringway {
    fn serve(&mut self, bytes: u64) {
        let target = self.counters.get(Counter::TxBytes) + bytes;
        while self.counters.get(Counter::TxBytes) < target {
            self.lcore.poll_once(usize::MAX);
        }
    }
}

/// The least that an io_uring server has to do: multishot receive into a provided-buffer ring, one
/// send per completion, the buffer back into the ring when it is out. A buffer holds a message.
struct Bare {
    ring: IoUring,
    buffers: BufRing,
    /// What every message is answered with; `None`: with itself.
    reply: Option<Vec<u8>>,
    _streams: Vec<TcpStream>,
}

const RECV: u64 = 1 << 63;

impl Bare {
    fn new(streams: Vec<TcpStream>, buffer_bytes: usize, reply: Option<Vec<u8>>) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(4096)
            .build(1024)
            .expect("an io_uring");
        let buffers = BufRing::new(&ring, 256, buffer_bytes);
        let mut bare = Self { ring, buffers, reply, _streams: streams };
        for index in 0..bare._streams.len() {
            bare.arm(index);
        }
        bare
    }

    fn arm(&mut self, index: usize) {
        let fd = Fd(self._streams[index].as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, 0).build().user_data(RECV | index as u64);
        // SAFETY: the entry points to no memory but the registered buffers.
        unsafe { self.ring.submission().push(&entry) }.expect("room");
    }

    /// Sends the reply to the message in buffer `id`, which is lent again once that is out.
    fn answer(&mut self, index: usize, id: u16, bytes: usize) {
        let fd = Fd(self._streams[index].as_raw_fd());
        let reply = match &self.reply {
            Some(reply) => &reply[..],
            None => &self.buffers.buffer(id)[..bytes],
        };
        let entry = opcode::Send::new(fd, reply.as_ptr(), reply.len() as u32)
            .flags(libc::MSG_WAITALL)
            .build()
            .user_data(id.into());
        // SAFETY: the buffer is given back to the ring only when its send completed, and a reply
        // is never changed.
        unsafe { self.ring.submission().push(&entry) }.expect("room");
    }

    /// Answers what was received; returns the bytes whose send completed.
    fn turn(&mut self) -> u64 {
        let sq = self.ring.submission();
        let due = !sq.is_empty() || sq.taskrun();
        drop(sq);
        if due {
            self.ring.submit_and_wait(0).expect("enter");
        }
        let mut sent = 0;
        let mut batch = [(0, 0, 0); 64];
        let mut count = 0;
        for cqe in self.ring.completion() {
            batch[count] = (cqe.user_data(), cqe.result(), cqe.flags());
            count += 1;
            if count == batch.len() {
                break;
            }
        }
        for &(data, result, flags) in &batch[..count] {
            if data & RECV == 0 {
                sent += result as u64;
                self.buffers.give(data as u16);
                continue;
            }
            let index = (data & !RECV) as usize;
            if let Some(id) = cqueue::buffer_select(flags) {
                self.answer(index, id, result as usize);
            }
            if !cqueue::more(flags) {
                self.arm(index);
            }
        }
        sent
    }
}

impl Server for Bare {
    fn serve(&mut self, bytes: u64) {
        let mut sent = 0;
        while sent < bytes {
            sent += self.turn();
        }
    }
}

/// What each client sends at once, and gets back.
struct Exchange {
    what: String,
    message: Vec<u8>,
    /// Requests in the message; an echo is one.
    requests: usize,
    reply_bytes: usize,
}

/// Clients of one server, on the same thread.
struct Side {
    name: &'static str,
    server: Box<dyn Server>,
    clients: Vec<TcpStream>,
}

type Protocol = fn(u32) -> (Pipeline, Box<dyn Handler>);

fn ringway(tuning: Tuning, name: &'static str, protocol: Protocol, connections: usize) -> Side {
    side(name, support::lcore(tuning, protocol), connections)
}

/// The same over epoll.
fn over_epoll(protocol: Protocol, connections: usize) -> Side {
    side("ringway over epoll", support::epoll_lcore(protocol), connections)
}

fn side(name: &'static str, parts: (Lcore, SocketAddr, Counters), connections: usize) -> Side {
    let (mut lcore, address, counters) = parts;
    let clients = support::connect(address, connections, || {
        lcore.poll_once(usize::MAX);
    });
    while counters.get(Counter::Accepted) < connections as u64 {
        lcore.poll_once(usize::MAX);
    }
    Side { name, server: Box::new(Ringway { lcore, counters }), clients }
}

fn bare(connections: usize, bytes: usize, reply: Option<Vec<u8>>) -> Side {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut accepted = Vec::new();
    let clients = support::connect(address, connections, || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        accepted.push(stream);
    });
    let server = Bare::new(accepted, bytes.max(2048), reply);
    Side { name: "bare io_uring", server: Box::new(server), clients }
}

impl Side {
    /// Nanoseconds per request of one round: each client sends one message, the server answers all.
    fn round(&mut self, exchange: &Exchange, reply: &mut [u8]) -> f64 {
        for client in &mut self.clients {
            client.write_all(&exchange.message).expect("sent");
        }
        let start = Instant::now();
        self.server.serve((reply.len() * self.clients.len()) as u64);
        let elapsed = start.elapsed();
        for client in &mut self.clients {
            client.read_exact(reply).expect("the reply");
            let right = reply == exchange.message || reply.starts_with(b"HTTP/1.1 200");
            assert!(right, "neither an echo nor a reply");
        }
        elapsed.as_nanos() as f64 / (self.clients.len() * exchange.requests) as f64
    }
}

fn variants() -> Vec<(&'static str, Tuning)> {
    let base = Tuning::default();
    let rx = |rx: RxOptions| Tuning { rx, ..base };
    vec![
        ("ringway", base),
        ("ringway, no TASKRUN flag", Tuning { mode: Mode::DeferUnflagged, ..base }),
        ("ringway, COOP_TASKRUN", Tuning { mode: Mode::Coop, ..base }),
        ("ringway, bundles", rx(RxOptions { bundle: true, ..base.rx })),
        ("ringway, incremental", rx(RxOptions { incremental: true, ..base.rx })),
        ("ringway, 64 slots", rx(RxOptions { slots: 64, ..base.rx })),
        ("ringway, 1024 slots", rx(RxOptions { slots: 1024, ..base.rx })),
        ("ringway, 4096 slots", rx(RxOptions { slots: 4096, ..base.rx })),
    ]
}

/// Rounds of all sides by turns, and a table of them; the first is what the others are compared to.
fn compare(exchange: &Exchange, sides: &mut [Side], rounds: usize) {
    let mut reply = vec![0; exchange.reply_bytes];
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds + 20 {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let time = side.round(exchange, &mut reply);
            if round >= 20 {
                times.push(time);
            }
        }
    }
    let reference = times[0].clone();
    for (side, times) in sides.iter().zip(&mut times) {
        let mut extra: Vec<f64> = times.iter().zip(&reference).map(|(a, b)| a - b).collect();
        let [min, p10, median, max] = spread(times);
        let [low, mid, high] = [0.1, 0.5, 0.9].map(|p| quantile(&mut extra, p));
        let (what, name) = (&exchange.what, side.name);
        println!(
            "| {what:<16} | {name:<24} | {min:.0} / {p10:.0} / {median:.0} / {max:.0} | \
             {low:+.0} / {mid:+.0} / {high:+.0} |"
        );
    }
}

fn heading(what: &str) {
    println!(
        "\n| {what} | server | ns: min / p10 / median / max | more than bare: p10 / median / p90 |"
    );
    println!("|---|---|---|---|");
}

fn echo(rounds: usize, all: bool) {
    heading("message x connections");
    for (bytes, connections) in [(64, 1), (64, 8), (64, 50), (1400, 50), (16384, 20)] {
        let variants = variants();
        let take = if all { variants.len() } else { 1 };
        let mut sides = vec![bare(connections, bytes, None)];
        for (name, tuning) in &variants[..take] {
            sides.push(ringway(*tuning, name, support::echo, connections));
        }
        sides.push(over_epoll(support::echo, connections));
        let message: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
        let what = format!("{bytes} B x {connections}");
        let exchange = Exchange { what, message, requests: 1, reply_bytes: bytes };
        compare(&exchange, &mut sides, rounds);
    }
}

fn http(rounds: usize) {
    heading("GET x connections x in flight");
    for (connections, depth) in [(1, 1), (8, 1), (50, 1), (50, 16)] {
        let mut ours = ringway(Tuning::default(), "ringway", support::http, connections);
        let reply = one_reply(&mut ours).repeat(depth);
        let exchange = Exchange {
            what: format!("GET x {connections} x {depth}"),
            message: GET.repeat(depth),
            requests: depth,
            reply_bytes: reply.len(),
        };
        let bare = bare(connections, exchange.message.len(), Some(reply));
        let mut sides = [bare, ours, over_epoll(support::http, connections)];
        compare(&exchange, &mut sides, rounds);
    }
}

/// What ringway answers to one request.
fn one_reply(side: &mut Side) -> Vec<u8> {
    let mut reply = vec![0; 4096];
    side.clients[0].write_all(GET).expect("sent");
    side.server.serve(1);
    let bytes = side.clients[0].read(&mut reply).expect("a reply");
    reply.truncate(bytes);
    reply
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(400);
    let wants = |name: &str| arguments.iter().any(|a| a == name);
    support::pin(0);
    if !wants("http") {
        echo(rounds, wants("all"));
    }
    if !wants("echo") {
        http(rounds);
    }
}
