//! on the plaintext path an lcore allocates nothing and copies no payload, once it is warm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway::config::IoBackend;
use ringway::counters::Counter;
use ringway::lcore::Mail;
use ringway::limits::MESSAGES_MAX;
use ringway::pipeline::Extensions;
use ringway::sync::AtomicU64;
use ringway::time::Instant;

mod common;

mod no_alloc {
    mod files;
    mod groups;
    mod port;
    mod router;
    mod streams;
    mod watching;
    mod websocket;
}

use common::{Client, Server, Start, pattern, uninterrupted, wait_until};

/// Allocations of the calling thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has no count any more.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: everything is the system allocator's; counting touches a cell of the calling thread that
// needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is the one that this call asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the thread of lcore 0 has allocated so far, asked on that thread.
fn allocations(server: &Server) -> u64 {
    let told = Arc::new(AtomicU64::new(u64::MAX));
    let tell = told.clone();
    let ask = Box::new(move |_: &mut _| {
        let name = std::thread::current().name().map(str::to_owned);
        assert!(name.is_some_and(|name| name.starts_with("lcore-")));
        tell.store(ALLOCATIONS.get(), Ordering::Release);
    });
    assert!(server.plane().handle(0).post(Mail::Call(ask)).is_ok());
    wait_until(|| told.load(Ordering::Acquire) != u64::MAX);
    told.load(Ordering::Acquire)
}

/// Allocations that asking costs: the name that it looks at.
fn cost_of_asking(server: &Server) -> u64 {
    let first = allocations(server);
    allocations(server) - first
}

const REQUESTS: u64 = 10_000;

/// Warms a server up, lets it answer [`REQUESTS`] requests, and checks what that allocated and copied.
fn serves_without_allocating(server: &Server, what: &str, exchange: impl FnMut(&mut Client)) {
    serves_copying(server, what, 0, exchange);
}

/// The same where each exchange copies so many bytes.
fn serves_copying(
    server: &Server,
    what: &str,
    copied_each: u64,
    exchange: impl FnMut(&mut Client),
) {
    serves_times(server, what, REQUESTS, copied_each, exchange);
}

/// The same of so many requests.
fn serves_times(
    server: &Server,
    what: &str,
    requests: u64,
    copied_each: u64,
    mut exchange: impl FnMut(&mut Client),
) {
    let mut client = server.connect();
    (0..500).for_each(|_| exchange(&mut client));
    let copied_before = server.count(Counter::CopiedBytes);
    let asking = cost_of_asking(server);
    assert!(asking > 0, "the count must see what an lcore allocates");
    let before = allocations(server);
    (0..requests).for_each(|_| exchange(&mut client));
    let allocated = allocations(server) - before - asking;
    let copied = server.count(Counter::CopiedBytes) - copied_before;
    println!("{what}: {allocated} allocations, {copied} bytes copied in {requests} requests");
    assert_eq!((allocated, copied), (0, copied_each * requests), "{what}");
}

#[test]
fn over_epoll_neither_a_get_nor_an_echo_of_many_bytes_allocates_a_15_w_1() {
    let epoll = || Start::new().io(IoBackend::Epoll);
    let server = epoll().listener("http", "").start();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes = server.connect().send(request).response();
    let bytes = bytes.head.len() + bytes.body.len();
    serves_without_allocating(&server, "GET / over epoll", |client| {
        client.send(request).receive(bytes);
    });
    server.stop();
    let server = epoll().listener("echo", "").start();
    let message = pattern(1, 40_000);
    serves_times(&server, "40,000 bytes echoed over epoll", 1000, 0, |client| {
        client.send(&message).receive(message.len());
    });
    server.stop();
}

#[test]
fn http_keep_alive_get_allocates_nothing_a_15() {
    let server = Server::http();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
    let bytes = server.connect().send(request).response();
    let bytes = bytes.head.len() + bytes.body.len();
    serves_without_allocating(&server, "GET /", |client| {
        client.send(request).receive(bytes);
    });
    server.stop();
}

#[test]
fn http_post_ping_allocates_nothing_a_15() {
    let server = Server::http();
    serves_without_allocating(&server, "POST /ping", |client| {
        assert_eq!(client.post("/ping", b"").body, b"pong");
    });
    serves_without_allocating(&server, "POST /ping with a body", |client| {
        assert_eq!(client.post("/ping", &[0; 100]).body, b"pong");
    });
    server.stop();
}

#[test]
fn http_post_echo_allocates_and_copies_nothing_a_15() {
    let server = Server::http();
    for bytes in [1, 1000, 10_000] {
        let body = pattern(bytes, bytes as usize);
        serves_without_allocating(&server, &format!("POST /echo of {bytes} bytes"), |client| {
            assert!(client.post("/echo", &body).body == body);
        });
    }
    server.stop();
}

#[test]
fn pipelined_requests_allocate_nothing_a_15() {
    let server = Server::http();
    let one = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let many = one.repeat(16);
    serves_without_allocating(&server, "16 POST /echo in one write", |client| {
        client.send(&many);
        (0..16).for_each(|_| assert_eq!(client.response().body, b"hello"));
    });
    server.stop();
}

#[test]
fn tcp_echo_allocates_and_copies_nothing_a_15() {
    let server = Start::new().listener("echo", "").start();
    for bytes in [1, 2048, 10_000] {
        let message = pattern(bytes, bytes as usize);
        serves_without_allocating(&server, &format!("echo of {bytes} bytes"), |client| {
            assert!(client.send(&message).receive(message.len()) == message);
        });
    }
    server.stop();
}

#[test]
fn datagrams_allocate_and_copy_nothing_a_15() {
    let server = Start::new().listener("echo", "").datagrams("echo", "127.0.0.1:0").start();
    let address = server.address(1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut room = vec![0; 4096];
    for bytes in [1, 1400, 4000] {
        let datagram = pattern(bytes, bytes as usize);
        serves_without_allocating(&server, &format!("a datagram of {bytes} bytes"), |_| {
            socket.send_to(&datagram, address).unwrap();
            let received = uninterrupted(|| socket.recv(&mut room)).unwrap();
            assert!(room[..received] == datagram);
        });
    }
    server.stop();
}

#[test]
fn peers_that_come_and_are_forgotten_allocate_nothing_a_15() {
    let idle = "idle_timeout_ms = 1000";
    let start = Start::new().listener("echo", "").datagrams("echo", "127.0.0.1:0").limited(idle);
    let server = start.start();
    let address = server.address(1);
    // Their table has room for 1024; who finds it full asks until it has.
    let ask = |times| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        for _ in 0..times {
            loop {
                socket.send_to(b"hello", address).unwrap();
                if uninterrupted(|| socket.recv(&mut [0; 8])).is_ok() {
                    break;
                }
            }
        }
    };
    // With the second a peer shows that it has heard the first answer, and keeps its place.
    serves_without_allocating(&server, "a peer", |_| ask(2));
    assert!(server.count(Counter::PeersExpired) > 500);
    serves_without_allocating(&server, "a peer that makes room for the next", |_| ask(1));
    assert!(server.count(Counter::PeersDisplaced) > 500);
    server.stop();
}

#[test]
fn connections_that_come_and_go_allocate_nothing_a_15() {
    let server = Server::http();
    let address = server.address(0);
    serves_without_allocating(&server, "connections", |_| {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/").status(), 200);
    });
    server.stop();
}

#[test]
fn messages_and_their_values_allocate_nothing_a_15() {
    let mut extensions = Extensions::new(1);
    let keys = [(); 2].map(|()| extensions.register_message::<u64>());
    let (now, before) = (Instant::from_ns(0), ALLOCATIONS.get());
    for round in 0..3 * MESSAGES_MAX as u64 {
        let messages = [extensions.begin_message(), extensions.begin_message()];
        for message in messages {
            assert!(keys.iter().all(|key| extensions.set(message, *key, round, None)));
            assert_eq!(extensions.get(message, keys[1], now), Some(&mut round.clone()));
            extensions.end_message(message);
        }
    }
    while !extensions.begin_message().is_none() {}
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn connections_that_are_counted_by_address_allocate_nothing_a_15() {
    let server = Start::new().listener("http", "").limited("max_connections_per_address = 3");
    let server = server.start();
    let address = server.address(0);
    // Each waits for the end of the one before, which is looked for once a millisecond.
    serves_times(&server, "counted connections", REQUESTS / 10, 0, |_| {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/").status(), 200);
        drop(client);
        // One stays open for the whole test, and the next one must find its place free.
        wait_until(|| server.plane().status().connections() == 1);
    });
    server.stop();
}

#[test]
fn commands_over_unix_sockets_allocate_nothing_a_15() {
    let directory = tempfile::tempdir().unwrap();
    for keys in [String::new(), format!("allow_uids = [{}]", nix::unistd::geteuid())] {
        let path = directory.path().join("r.sock");
        let listener = format!(
            "[[listener]]\naddress = \"{}\"\ntransport = \"unix\"\nprotocol = \"ipc\"\n{keys}\n",
            path.display()
        );
        let server = Start::new().listener("echo", "").tables(&listener).start();
        serves_without_allocating(&server, "echo over a Unix socket", |_| {
            let mut peer = UnixStream::connect(&path).unwrap();
            peer.write_all(b"echo hello\n").unwrap();
            let mut reply = String::new();
            peer.read_to_string(&mut reply).unwrap();
            assert_eq!(reply, "hello\n");
        });
        server.stop();
    }
}
