//! User-space instructions of one HTTP request, or of one message of a WebSocket that is sent back: the whole loop
//! over a transport in memory that fills bufs and drops what is sent, or over TCP. `scripts/bench.sh instructions`
//! runs it twice under valgrind, with N and 2 N requests, and prints the difference by stage.
//!
//! `cargo bench --bench instructions -- [memory|router|tcp] REQUESTS CONNECTIONS DEPTH [BYTES_OF_A_MESSAGE]`

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use ringway::counters::{Counter, Counters};
use ringway::dataplane::Tuning;
use ringway::handler::Http;
use ringway::handler::http::middleware::{RateLimit, RequestId, Timeout};
use ringway::handler::http::{Router, StatusCode};
use ringway::lcore::{Handle, Lcore, Listener, Mail};
use ringway::mem::{Buf, Burst, ConnId, kind};
use ringway::pipeline::{Chain, Cx, Handler, Pipeline};
use ringway::time::Clock;
use ringway::transport::{Features, Io, Transport};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What connections say, and who hears it.
struct Talk {
    protocol: fn(u32) -> (Pipeline, Box<dyn Handler>),
    /// What a connection says first, once; may be nothing.
    opening: Vec<u8>,
    request: Vec<u8>,
    /// A reply has no fewer.
    reply_bytes_min: usize,
}

impl Talk {
    fn http() -> Self {
        let request = REQUEST.to_vec();
        Self { protocol: seen_http, opening: Vec::new(), request, reply_bytes_min: 100 }
    }

    /// The same behind a router and three layers.
    fn routed() -> Self {
        Self { protocol: seen_router, ..Self::http() }
    }

    /// Of WebSockets, each message so long.
    fn websocket(payload_bytes: usize) -> Self {
        let (_, request) = support::websocket::message(payload_bytes);
        // Replies are put together, or have the header of a frame.
        let (opening, reply_bytes_min) = (support::websocket::opening(""), 2);
        Self { protocol: seen_websocket, opening, request, reply_bytes_min }
    }

    /// Messages that the opening of one connection counts for.
    fn openings(&self) -> u64 {
        u64::from(!self.opening.is_empty())
    }
}

/// Connections that each send `depth` requests in one buf, once what they sent before is answered.
struct Memory {
    connections: u32,
    /// The next connection that sends in this wave; past the last, the wave is over.
    next: u32,
    opened: bool,
    talk: Talk,
    /// What each sends in this wave, and how many messages that is.
    sent: Vec<u8>,
    messages: u64,
    depth: usize,
    /// That are requests by now.
    asks: bool,
    /// Waves still to come.
    waves: u64,
    /// Messages of all waves so far.
    requested: u64,
    stop: Handle,
}

impl Memory {
    fn new(talk: Talk, connections: u32, depth: usize, waves: u64, stop: Handle) -> Self {
        let (sent, messages) = (talk.opening.clone(), talk.openings());
        let (next, opened, asks, requested) = (0, false, false, 0);
        Self {
            connections,
            next,
            opened,
            talk,
            sent,
            messages,
            depth,
            asks,
            waves,
            requested,
            stop,
        }
    }

    fn buf(&self, io: &Io, conn: ConnId) -> Buf {
        if !self.opened {
            return Buf::marker(conn, kind::OPEN);
        }
        let buf = io.pool.alloc(self.sent.len());
        let mut buf = buf.expect("the replies before were dropped");
        assert!(buf.append(&self.sent), "it was allocated for them");
        buf.set_conn(conn);
        buf
    }

    /// What comes next is the opening, if there is one, and then requests.
    fn begin_wave(&mut self) {
        if self.opened || self.messages == 0 {
            if !std::mem::replace(&mut self.asks, true) {
                self.sent = self.talk.request.repeat(self.depth);
                self.messages = self.depth as u64;
            }
            self.waves -= 1;
        }
        self.opened = true;
        self.requested += u64::from(self.connections) * self.messages;
        self.next = 0;
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
            assert!(buf.len() >= self.talk.reply_bytes_min, "replies and nothing else");
        }
        taken
    }

    /// Begins the next wave once the last is handled.
    #[inline(never)]
    fn flush(&mut self, io: &mut Io) {
        if io.counters.own(Counter::Messages) < self.requested {
            return;
        }
        if self.waves > 0 {
            self.begin_wave();
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

/// A chain behind a call for each direction, for the profile to see.
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

/// The same behind a router and three layers.
fn seen_router(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    let (pipeline, _) = support::http(slots);
    let router = Router::new()
        .layer(RequestId::new().silent())
        .layer(RateLimit::per_connection(u32::MAX, u32::MAX))
        .layer(Timeout::after(Duration::from_secs(30)))
        .get("/", |_| "Hello World!")
        .get("/users/:id", |ctx| ctx.param("id").unwrap_or_default().into_owned())
        .post("/users", |_| StatusCode::CREATED);
    let routed = router.build().expect("routes that make sense");
    (Pipeline::Custom(Box::new(Seen(pipeline))), Box::new(Http::new(slots, routed)))
}

/// WebSockets, for [`support::lcore`].
fn seen_websocket(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    let (pipeline, handler) = support::websocket(slots);
    (Pipeline::Custom(Box::new(Seen(pipeline))), handler)
}

/// The whole of what is measured, in memory.
#[inline(never)]
fn serve_memory(lcore: &mut Lcore) {
    lcore.run();
}

/// The whole of what is measured, over TCP: until `bytes` more are sent.
#[inline(never)]
fn serve_tcp(lcore: &mut Lcore, counters: &Counters, bytes: u64) {
    let target = counters.get(Counter::TxBytes) + bytes;
    while counters.get(Counter::TxBytes) < target {
        lcore.poll_once(usize::MAX);
    }
}

/// Returns how many messages were handled.
fn over_memory(talk: Talk, waves: u64, connections: u64, depth: u64) -> u64 {
    let pool = support::pool();
    // A clock that stands still costs no vDSO call, which valgrind would make a system call.
    let (clock, _hand) = Clock::by_hand();
    let parts = support::parts(pool, None, clock);
    let stop = Handle::new(parts.mailbox.sender());
    let ((pipeline, handler), openings) = ((talk.protocol)(support::SLOTS), talk.openings());
    let transport = Memory::new(talk, connections as u32, depth as usize, waves, stop);
    let mut lcore = Lcore::new(parts);
    let listener = Listener::new(Box::new(transport), pipeline, handler);
    lcore.register(0, Box::new(listener)).expect("a free index");
    let counters = lcore.io().counters.clone();
    serve_memory(&mut lcore);
    counters.get(Counter::Messages) - connections * openings
}

/// The same over loopback, with the clients on the same thread, outside what is measured.
fn over_tcp(talk: Talk, waves: u64, connections: u64, depth: u64) -> u64 {
    let (mut lcore, address, counters) = support::lcore(Tuning::default(), talk.protocol);
    let mut clients = support::connect(address, connections as usize, || {
        lcore.poll_once(usize::MAX);
    });
    while counters.get(Counter::Accepted) < connections {
        lcore.poll_once(usize::MAX);
    }
    let mut reply = vec![0; 65536];
    for client in clients.iter_mut().filter(|_| talk.openings() > 0) {
        client.write_all(&talk.opening).expect("sent");
        serve_tcp(&mut lcore, &counters, 1);
        assert!(client.read(&mut reply).is_ok_and(|bytes| bytes > 0), "it is answered");
    }
    let requests = talk.request.repeat(depth as usize);
    // The first tells how long a reply is.
    clients[0].write_all(&talk.request).expect("sent");
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
    counters.get(Counter::Messages) - 1 - connections * talk.openings()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word| arguments.iter().any(|argument| argument == word);
    let numbers: Vec<u64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let (requests, connections, depth, talk) = match numbers[..] {
        [requests, connections, depth] => {
            let talk = if has("router") { Talk::routed() } else { Talk::http() };
            (requests, connections, depth, talk)
        }
        [requests, connections, depth, bytes] => {
            (requests, connections, depth, Talk::websocket(bytes as usize))
        }
        // As `cargo bench` runs it among the others: there is nothing to see without valgrind.
        _ => return println!("scripts/bench.sh instructions runs this under valgrind"),
    };
    let waves = requests / (connections * depth);
    let over = if has("tcp") { over_tcp } else { over_memory };
    let messages = over(talk, waves, connections, depth);
    assert_eq!(messages, waves * connections * depth, "every request was handled");
    println!("{messages} requests");
}
