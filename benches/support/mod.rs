//! What the benches share: an lcore to be driven by hand, servers in processes of their own, the load
//! on them, and statistics over interleaved rounds.
#![allow(dead_code)]

pub mod attached;
pub mod buf_ring;
pub mod load;
pub mod server;
pub mod sides;
pub mod stats;
pub mod websocket;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ringway::config::IdleMode;
use ringway::counters::Counters;
use ringway::dataplane::Tuning;
use ringway::handler::http::{self, Response};
use ringway::handler::websocket::{self as websockets, WebSockets};
use ringway::handler::{Echo, Http};
use ringway::lcore::{Handle, Lcore, Listener, Parts};
use ringway::limits::{
    CQ_ENTRIES, LARGE_SLOT_BYTES, LARGE_SLOTS, SMALL_SLOT_BYTES, SMALL_SLOTS, SQ_ENTRIES,
    TRAIN_SLOT_BYTES, TRAIN_SLOTS,
};
use ringway::mailbox::Mailbox;
use ringway::mem::{CacheClaim, ClassSize, Mempool, Share, UringIo, mask};
use ringway::offload::Offload;
use ringway::pipeline::chain::http1::Settings;
use ringway::pipeline::{Cx, Extensions, Handler, Pipeline, chain};
use ringway::port::PortTable;
use ringway::proto::websocket::Config;
use ringway::sys::mapping::Request;
use ringway::sys::socket::TcpListener;
use ringway::sys::udp_socket::UdpSocket;
use ringway::sys::uring::Options;
use ringway::time::{Clock, TimerWheel};
use ringway::transport::{Epoll, Io, Tcp, Transport, Udp};

/// Connections that a bench lcore can have.
pub const SLOTS: u32 = 2048;

/// An lcore on the calling thread with one TCP listener, to be driven by `poll_once`.
pub fn lcore(
    tuning: Tuning,
    protocol: impl FnOnce(u32) -> (Pipeline, Box<dyn Handler>),
) -> (Lcore, SocketAddr, Counters) {
    lcore_of(SLOTS, tuning, protocol)
}

/// The same with so many connections.
pub fn lcore_of(
    slots: u32,
    tuning: Tuning,
    protocol: impl FnOnce(u32) -> (Pipeline, Box<dyn Handler>),
) -> (Lcore, SocketAddr, Counters) {
    let pool = pool();
    let options = Options {
        sq_entries: SQ_ENTRIES,
        cq_entries: CQ_ENTRIES,
        files: slots,
        files_reserved: 8,
        mode: tuning.mode,
    };
    let uring = UringIo::create(&options, tuning.rx, &pool).expect("an io_uring");
    let parts = parts_of(slots, pool, Some(uring), Clock::start());
    serving(parts, slots, protocol, |socket| Box::new(Tcp::new(socket, 0, slots)))
}

/// The same over epoll.
pub fn epoll_lcore(
    protocol: impl FnOnce(u32) -> (Pipeline, Box<dyn Handler>),
) -> (Lcore, SocketAddr, Counters) {
    let pool = pool();
    let epoll = Epoll::create(SLOTS, 8, &pool).expect("an epoll");
    let mut parts = parts(pool, None, Clock::start());
    parts.io.epoll = Some(epoll);
    serving(parts, SLOTS, protocol, |socket| Box::new(Tcp::over_epoll(socket, 0, SLOTS)))
}

fn serving(
    parts: Parts,
    slots: u32,
    protocol: impl FnOnce(u32) -> (Pipeline, Box<dyn Handler>),
    transport: impl FnOnce(TcpListener) -> Box<dyn Transport>,
) -> (Lcore, SocketAddr, Counters) {
    let counters = parts.io.counters.clone();
    let mut lcore = Lcore::new(parts);
    let mut sockets =
        TcpListener::bind_group("127.0.0.1:0".parse().expect("an address"), 1).expect("a port");
    let socket = sockets.remove(0);
    let address = socket.address();
    let (pipeline, handler) = protocol(slots);
    let transport = transport(socket);
    lcore.register(0, Box::new(Listener::new(transport, pipeline, handler))).expect("a free index");
    (lcore, address, counters)
}

/// An lcore on the calling thread that echoes datagrams, to be driven by `poll_once`.
pub fn udp_lcore(tuning: Tuning) -> (Lcore, SocketAddr, Counters) {
    let pool = pool_with(&[ClassSize { slot_bytes: TRAIN_SLOT_BYTES, slots: TRAIN_SLOTS }]);
    let options = Options {
        sq_entries: SQ_ENTRIES,
        cq_entries: CQ_ENTRIES,
        files: 16,
        files_reserved: 8,
        mode: tuning.mode,
    };
    let uring = UringIo::create(&options, tuning.rx, &pool).expect("an io_uring");
    let mut parts = parts(pool, Some(uring), Clock::start());
    parts.io.datagram_slots = (16..SLOTS).rev().collect();
    let counters = parts.io.counters.clone();
    let mut lcore = Lcore::new(parts);
    let any = "127.0.0.1:0".parse().expect("an address");
    let socket = UdpSocket::bind_group(any, 1).expect("a port").remove(0);
    let address = socket.address();
    let (pipeline, handler) = echo(SLOTS);
    let transport = Udp::new(socket, 0, 16..SLOTS).with_ecn(handler.reads_ecn());
    let transport = Box::new(transport);
    lcore.register(0, Box::new(Listener::new(transport, pipeline, handler))).expect("a free index");
    (lcore, address, counters)
}

/// The pool of one lcore, with the calling thread's caches as every lcore has them.
pub fn pool() -> Mempool {
    pool_with(&[])
}

/// The same with slots of further sizes, larger than its own.
pub fn pool_with(larger: &[ClassSize]) -> Mempool {
    // Kept until the bench ends.
    std::mem::forget(CacheClaim::register());
    let sizes = [
        ClassSize { slot_bytes: SMALL_SLOT_BYTES, slots: SMALL_SLOTS },
        ClassSize { slot_bytes: LARGE_SLOT_BYTES, slots: LARGE_SLOTS },
    ];
    let sizes = [&sizes, larger].concat();
    Mempool::create(&Request::new("bench", 0), &sizes, None).expect("a pool")
}

/// What an lcore is made of beside its listeners.
pub fn parts(pool: Mempool, uring: Option<UringIo>, clock: Clock) -> Parts {
    parts_of(SLOTS, pool, uring, clock)
}

/// The same for so many connections.
fn parts_of(slots: u32, pool: Mempool, uring: Option<UringIo>, clock: Clock) -> Parts {
    let counters = Counters::default();
    let now = clock.now();
    let io = Io {
        lcore: 0,
        uring,
        epoll: None,
        pool: pool.clone(),
        now,
        timers: TimerWheel::new(slots as usize + 8),
        counters: counters.clone(),
        notices: Vec::new(),
        generation: 0,
        adoptable: Vec::new(),
        ports: PortTable::default(),
        peer_slots: Vec::new(),
        datagram_slots: Vec::new(),
        connections: 0,
        connections_max: slots - 8,
    };
    let mailbox = Mailbox::new().expect("a mailbox");
    let handle = Handle::new(mailbox.sender());
    let writes = handle.writes(0, Arc::default(), pool.clone(), slots, Share::WHOLE);
    let cx = Cx {
        pool,
        now,
        clock,
        unix_seconds: 0,
        draining: false,
        spares_idle: false,
        backlogged: false,
        extensions: Extensions::new(slots),
        ports: PortTable::default(),
        offload: Offload::none(),
        counters,
        writes,
    };
    Parts { io, cx, mailbox, clock, idle: IdleMode::Busy }
}

/// TCP echo, for [`lcore`].
pub fn echo(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    (Pipeline::Raw(chain::Raw::new(slots)), Box::new(Echo))
}

/// HTTP that answers [`hello`], for [`lcore`].
pub fn http(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    let chain = chain::Http1::new(slots, Settings::for_slots(SMALL_SLOTS, LARGE_SLOTS));
    (Pipeline::Http1(Box::new(chain)), Box::new(Http::new(slots, hello)))
}

/// WebSockets whose messages come back, for [`lcore`].
pub fn websocket(slots: u32) -> (Pipeline, Box<dyn Handler>) {
    let http = Settings::for_slots(SMALL_SLOTS, LARGE_SLOTS);
    let settings = chain::websocket::Settings { http, websocket: Config::new(mask) };
    let chain = chain::WebSocket::new(slots, settings);
    let handler = Http::new(slots, WebSockets::new(websockets::Echo));
    (Pipeline::WebSocket(Box::new(chain)), Box::new(handler))
}

/// What every HTTP server in a benchmark answers: 12 bytes of text. Not inlined, so that a profile
/// tells the service from what writes its response.
#[inline(never)]
pub fn hello(_cx: &mut Cx, _request: &http::Request<'_>) -> Option<Response> {
    Some(Response::text(200, "Hello World!"))
}

/// `count` connections to `address`, without delay; `settle` is called between them so that a
/// server on this thread can accept.
pub fn connect(address: SocketAddr, count: usize, mut settle: impl FnMut()) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        streams.push(stream);
        settle();
    }
    streams
}

/// Keeps the calling thread on one core.
pub fn pin(cpu: u32) {
    // A machine with fewer cores runs it where it can.
    let _ = ringway::sys::affinity::pin(&[cpu]);
}
