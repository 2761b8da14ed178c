//! on the plaintext path an lcore allocates nothing and copies no payload, once it is warm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway::attach::{Attachment, Queue};
use ringway::counters::Counter;
use ringway::lcore::Mail;
use ringway::limits::MESSAGES_MAX;
use ringway::mem::{ConnId, Trust, kind};
use ringway::pipeline::Extensions;
use ringway::proto::stream::compress::{Compressor, Tables, decompress, room_bytes};
use ringway::proto::stream::secure::aead::{Opener, Sealer};
use ringway::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};
use ringway::sync::AtomicU64;
use ringway::time::Instant;

#[path = "common/mod.rs"]
mod common;

#[path = "../benches/support/stream.rs"]
mod stream;

use common::{Client, Server, Start, pattern, wait_until};

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
fn serves_without_allocating(server: &Server, what: &str, mut exchange: impl FnMut(&mut Client)) {
    let mut client = server.connect();
    (0..500).for_each(|_| exchange(&mut client));
    let asking = cost_of_asking(server);
    assert!(asking > 0, "the count must see what an lcore allocates");
    let before = allocations(server);
    (0..REQUESTS).for_each(|_| exchange(&mut client));
    let allocated = allocations(server) - before - asking;
    let copied = server.count(Counter::CopiedBytes);
    println!("{what}: {allocated} allocations, {copied} bytes copied in {REQUESTS} requests");
    assert_eq!((allocated, copied), (0, 0), "{what}");
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
            let received = socket.recv(&mut room).unwrap();
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
    serves_without_allocating(&server, "a peer", |_| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        loop {
            socket.send_to(b"hello", address).unwrap();
            if socket.recv(&mut [0; 8]).is_ok() {
                break;
            }
        }
    });
    assert!(server.count(Counter::PeersExpired) > 500);
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
    serves_without_allocating(&server, "counted connections", |_| {
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

/// Serves 10,000 exchanges through a program at a port, and checks what its thread and the lcore have
/// allocated, and how many bytes were copied in each.
fn serves_through_a_port(protocol: &str, trust: Trust, copied: u64, send: &[u8], bytes: usize) {
    let server = Start::new().listener(protocol, "").limited("handler = \"port:app\"").start();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) = server.plane().ports().attach("app", Some(trust), 1, ours).unwrap();
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (told, stopping) = (done.clone(), stop.clone());
    let program = std::thread::spawn(move || {
        let mut port = Attachment::accept(offer, theirs).unwrap();
        let (mut served, mut before) = (0, 0);
        while stopping.load(Ordering::Relaxed) == 0 {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    if message.request().is_some() {
                        queue.respond(&message, 200, "", b"0123456789");
                    } else if message.kind == kind::DATA {
                        queue.send(message);
                    } else {
                        continue;
                    }
                    served += 1;
                    if served == 500 {
                        before = ALLOCATIONS.get();
                    }
                }
                queue.flush();
            }
            std::thread::yield_now();
        }
        told.store(ALLOCATIONS.get() - before, Ordering::Relaxed);
    });
    let mut client = server.connect();
    let mut exchange = || client.send(send).receive(bytes).len();
    (0..500).for_each(|_| assert_eq!(exchange(), bytes));
    let asking = cost_of_asking(&server);
    let (before, copied_before) = (allocations(&server), server.count(Counter::CopiedBytes));
    (0..REQUESTS).for_each(|_| assert_eq!(exchange(), bytes));
    let allocated = allocations(&server) - before - asking;
    let each = (server.count(Counter::CopiedBytes) - copied_before) / REQUESTS;
    stop.store(1, Ordering::Relaxed);
    program.join().unwrap();
    let by_program = done.load(Ordering::Relaxed);
    println!(
        "{protocol} {trust:?}: {allocated} + {by_program} allocations, {each} bytes copied each"
    );
    assert_eq!((allocated, by_program, each), (0, 0, copied), "{protocol} {trust:?}");
    drop((kept, client));
    server.stop();
}

#[test]
fn what_passes_through_a_port_allocates_nothing_on_either_side_a_15() {
    serves_through_a_port("raw", Trust::Shared, 0, &[7; 1000], 1000);
    // There and back.
    serves_through_a_port("raw", Trust::Isolated, 2000, &[7; 1000], 1000);
    // A small body is copied behind its head.
    let get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 10\r\n\r\n";
    serves_through_a_port("http", Trust::Shared, 10, get, head.len() + 10);
}

/// Attaches a program to a port, and gives it to `body` on a thread of its own.
fn with_program<T: Send + 'static>(
    server: &Server,
    port: &str,
    trust: Trust,
    body: impl FnOnce(Attachment) -> T + Send + 'static,
) -> (std::thread::JoinHandle<T>, ringway::dataplane::Attachment) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) = server.plane().ports().attach(port, Some(trust), 1, ours).unwrap();
    (std::thread::spawn(move || body(Attachment::accept(offer, theirs).unwrap())), kept)
}

/// Sends 1000 bytes on `conn`, and waits until they are back.
fn round_trip(queue: &mut Queue, conn: ConnId) {
    let (mut sent, mut heard) = (false, 0);
    while heard < 1000 {
        if !sent && let Some(mut message) = queue.alloc(conn, 1000) {
            assert!(message.append(&[7; 1000]));
            queue.send(message);
            sent = true;
        }
        queue.flush();
        match queue.receive() {
            Some(message) => heard += message.bytes().len(),
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_pipe_between_two_processes_allocates_nothing_on_any_side_a_15() {
    for (trust, copies) in [(Trust::Shared, 0), (Trust::Isolated, 4)] {
        let start = Start::new().peer("feed", "raw").limited("handler = \"port:app\"");
        let server = start.start();
        let stop = Arc::new(AtomicU64::new(0));
        let stopping = stop.clone();
        let (app, _kept) = with_program(&server, "app", trust, move |mut port| {
            while stopping.load(Ordering::Relaxed) == 0 {
                let queue = &mut port.queues()[0];
                while let Some(message) = queue.receive() {
                    if message.kind == kind::DATA {
                        queue.send(message);
                    }
                }
                queue.flush();
                std::thread::yield_now();
            }
        });
        // It says when it is warm, and goes on when it hears so.
        let phase = Arc::new(AtomicU64::new(0));
        let told = phase.clone();
        let (feed, _kept) = with_program(&server, "feed", trust, move |mut port| {
            let queue = &mut port.queues()[0];
            queue.connect();
            queue.flush();
            let conn = loop {
                match queue.receive() {
                    Some(opened) if opened.kind == kind::OPEN => break opened.conn,
                    _ => std::thread::yield_now(),
                }
            };
            (0..500).for_each(|_| round_trip(queue, conn));
            told.store(1, Ordering::Release);
            while told.load(Ordering::Acquire) != 2 {
                std::thread::yield_now();
            }
            let before = ALLOCATIONS.get();
            (0..REQUESTS).for_each(|_| round_trip(queue, conn));
            let allocated = ALLOCATIONS.get() - before;
            told.store(3, Ordering::Release);
            while told.load(Ordering::Acquire) != 4 {
                std::thread::yield_now();
            }
            allocated
        });
        wait_until(|| phase.load(Ordering::Acquire) == 1);
        let asking = cost_of_asking(&server);
        let (before, copied) = (allocations(&server), server.count(Counter::CopiedBytes));
        phase.store(2, Ordering::Release);
        wait_until(|| phase.load(Ordering::Acquire) == 3);
        let allocated = allocations(&server) - before - asking;
        let each = (server.count(Counter::CopiedBytes) - copied) / REQUESTS;
        phase.store(4, Ordering::Release);
        let by_feed = feed.join().unwrap();
        stop.store(1, Ordering::Relaxed);
        app.join().unwrap();
        println!("{trust:?}: {allocated} + {by_feed} allocations, {each} bytes copied each");
        assert_eq!((allocated, by_feed, each), (0, 0, copies * 1000), "{trust:?}");
        server.stop();
    }
}

/// What AWS-LC allocates for itself is not counted; it does so for a key alone.
#[test]
fn packets_are_sealed_and_opened_without_an_allocation() {
    let (sealer, opener) = (Sealer::new(&[7; 32], [1; 4]), Opener::new(&[7; 32], [1; 4]));
    let mut packet = pattern(1, 16_356);
    let before = ALLOCATIONS.get();
    for (counter, bytes) in (0..1000).zip([0, 64, 1400, 16_356].into_iter().cycle()) {
        let tag = sealer.seal(counter, &[3; 12], &mut packet[..bytes]);
        assert_eq!(opener.open(counter, &[3; 12], &mut packet[..bytes], &tag), Ok(()));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(packet == pattern(1, 16_356));
}

#[test]
fn messages_are_compressed_and_decompressed_without_an_allocation() {
    let (mut tables, mut compressor) = (Tables::new(), Compressor::new(u64::MAX));
    let message = b"words that come again, ".repeat(4000);
    let (mut out, mut back) = (vec![0; room_bytes(message.len())], vec![0; message.len()]);
    let before = ALLOCATIONS.get();
    for bytes in [128, 1400, 65_000, 70_000, 1400, message.len()] {
        let clock = || Instant::from_ns(0);
        let small = compressor.compress(&mut tables, &message[..bytes], &mut out, clock);
        let size = decompress(&out[..small.expect("it has repetitions")], bytes, &mut back);
        assert_eq!(size, Ok(bytes));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(back == message);
}

#[test]
fn packets_of_a_stream_go_out_and_in_without_an_allocation() {
    for encrypted in [false, true] {
        let mut ends = stream::Ends::connected(encrypted);
        let payload = pattern(1, 1000);
        let mut room = vec![0; HEADROOM_BYTES + payload.len() + TAILROOM_BYTES];
        let before = ALLOCATIONS.get();
        for _ in 0..100 {
            (0..32).for_each(|_| assert_eq!(ends.pass(&mut room, &payload), payload.len()));
            ends.exchange();
        }
        assert_eq!(ALLOCATIONS.get(), before);
        let arrived = &room[HEADROOM_BYTES..][..payload.len()];
        assert!(arrived == payload, "decrypted where it was sealed");
    }
}
