//! User-space instructions of one HTTP request: the whole loop over a transport in memory that fills
//! bufs and drops what is sent, or over TCP. `scripts/bench.sh instructions` runs it twice under
//! valgrind, with N and 2 N requests, and prints the difference by stage.
//!
//! `cargo bench --bench instructions -- [memory|tcp] REQUESTS CONNECTIONS DEPTH`

mod support;

use std::io::{Read, Write};

use ringway::counters::{Counter, LcoreCounters};
use ringway::dataplane::Tuning;
use ringway::lcore::{Handle, Lcore, Listener, Mail};
use ringway::mem::{Buf, Burst, ConnId, kind};
use ringway::pipeline::{Chain, Cx, Handler, Pipeline};
use ringway::time::Clock;
use ringway::transport::{Features, Io, Transport};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A reply has more.
const REPLY_BYTES_MIN: usize = 100;

/// Connections that each send `depth` requests in one buf, once what they sent before is answered.
struct Memory {
    connections: u32,
    /// The next connection that sends in this wave; past the last, the wave is over.
    next: u32,
    opened: bool,
    requests: Vec<u8>,
    depth: usize,
    /// Waves still to come.
    waves: u64,
    /// Requests of all waves so far.
    requested: u64,
    stop: Handle,
}

impl Memory {
    fn new(connections: u32, depth: usize, waves: u64, stop: Handle) -> Self {
        let requests = REQUEST.repeat(depth);
        Self { connections, next: 0, opened: false, requests, depth, waves, requested: 0, stop }
    }

    fn buf(&self, io: &Io, conn: ConnId) -> Buf {
        if !self.opened {
            return Buf::marker(conn, kind::OPEN);
        }
        let mut buf = io.pool.alloc(1).expect("the replies before were dropped");
        assert!(buf.append(&self.requests), "the requests fit a small slot");
        buf.set_conn(conn);
        buf
    }
}

/// None of its methods is inlined, so that a profile can tell it from what is measured.
impl Transport for Memory {
    fn features(&self, _io: &Io) -> Features {
        unreachable!("nobody asks")
    }

    #[inline(never)]
    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let before = rx.len();
        while self.next < self.connections && !rx.is_full() {
            let buf = self.buf(io, ConnId::new(0, self.next, 0));
            rx.push(buf).expect("room was checked");
            self.next += 1;
        }
        rx.len() - before
    }

    #[inline(never)]
    fn tx_burst(&mut self, _io: &mut Io, tx: &mut Burst) -> usize {
        let taken = tx.len();
        while let Some(buf) = tx.pop() {
            assert!(buf.len() > REPLY_BYTES_MIN, "replies and nothing else");
        }
        taken
    }

    /// Begins the next wave once the last is handled.
    #[inline(never)]
    fn flush(&mut self, io: &mut Io) {
        if io.counters.get(Counter::Messages) < self.requested {
            return;
        }
        self.opened = true;
        if self.waves > 0 {
            self.waves -= 1;
            self.requested += u64::from(self.connections) * self.depth as u64;
            self.next = 0;
        } else {
            assert!(self.stop.post(Mail::Stop).is_ok(), "the box is empty");
        }
    }

    fn close(&mut self, _io: &mut Io, _conn: ConnId) {
        unreachable!("no reply closes")
    }

    #[inline(never)]
    fn has_work(&self) -> bool {
        self.next < self.connections
    }

    fn owns(&self, _conn: ConnId) -> bool {
        true
    }

    fn has_room(&self, _conn: ConnId) -> bool {
        true
    }

    fn connections(&self) -> usize {
        0
    }

    fn slots(&self) -> u32 {
        self.connections
    }

    fn start(&mut self, _io: &mut Io) {}

    fn stop_accepting(&mut self, _io: &mut Io) {}

    fn abort_all(&mut self, _io: &mut Io) {}
}

/// The chain of HTTP/1.1 behind a call for each direction, for the profile to see.
struct Seen(Pipeline);

impl Chain for Seen {
    #[inline(never)]
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.0.ingress(cx, input, output);
    }

    #[inline(never)]
    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.0.egress(cx, input, output);
    }

    fn drain(&mut self, cx: &mut Cx, output: &mut Burst) {
        self.0.drain(cx, output);
    }
}

/// HTTP, for [`support::lcore`].
fn seen_http(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    let (pipeline, handler) = support::http(slots);
    (Pipeline::Custom(Box::new(Seen(pipeline))), handler)
}

/// The whole of what is measured, in memory.
#[inline(never)]
fn serve_memory(lcore: &mut Lcore) {
    lcore.run();
}

/// The whole of what is measured, over TCP: until `bytes` more are sent.
#[inline(never)]
fn serve_tcp(lcore: &mut Lcore, counters: &LcoreCounters, bytes: u64) {
    let target = counters.get(Counter::TxBytes) + bytes;
    while counters.get(Counter::TxBytes) < target {
        lcore.poll_once(usize::MAX);
    }
}

/// Returns how many messages were handled.
fn over_memory(waves: u64, connections: u64, depth: u64) -> u64 {
    let pool = support::pool();
    // A clock that stands still costs no vDSO call, which valgrind would make a system call.
    let (clock, _hand) = Clock::by_hand();
    let parts = support::parts(pool, None, clock);
    let stop = Handle::new(parts.mailbox.sender());
    let transport = Memory::new(connections as u32, depth as usize, waves, stop);
    let (pipeline, handler) = seen_http(support::SLOTS);
    let mut lcore = Lcore::new(parts);
    let listener = Listener::new(Box::new(transport), pipeline, handler);
    lcore.register(0, Box::new(listener)).expect("a free index");
    let counters = lcore.io().counters.clone();
    serve_memory(&mut lcore);
    counters.get(Counter::Messages)
}

/// The same over loopback, with the clients on the same thread, outside what is measured.
fn over_tcp(waves: u64, connections: u64, depth: u64) -> u64 {
    let (mut lcore, address, counters) = support::lcore(Tuning::default(), seen_http);
    let mut clients = support::connect(address, connections as usize, || {
        lcore.poll_once(usize::MAX);
    });
    while counters.get(Counter::Accepted) < connections {
        lcore.poll_once(usize::MAX);
    }
    let mut reply = vec![0; 65536];
    let requests = REQUEST.repeat(depth as usize);
    // The first tells how long a reply is.
    clients[0].write_all(REQUEST).expect("sent");
    serve_tcp(&mut lcore, &counters, 1);
    let reply_bytes = clients[0].read(&mut reply).expect("a reply") * depth as usize;
    for _ in 0..waves {
        for client in &mut clients {
            client.write_all(&requests).expect("sent");
        }
        serve_tcp(&mut lcore, &counters, reply_bytes as u64 * connections);
        for client in &mut clients {
            client.read_exact(&mut reply[..reply_bytes]).expect("the replies");
        }
    }
    counters.get(Counter::Messages) - 1
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let [requests, connections, depth] = numbers[..] else {
        // As `cargo bench` runs it among the others: there is nothing to see without valgrind.
        return println!("scripts/bench.sh instructions runs this under valgrind");
    };
    let waves = requests / (connections * depth);
    let tcp = arguments.iter().any(|argument| argument == "tcp");
    let over = if tcp { over_tcp } else { over_memory };
    let messages = over(waves, connections, depth);
    assert_eq!(messages, waves * connections * depth, "every request was handled");
    println!("{messages} requests");
}
