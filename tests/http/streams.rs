//! Bodies of responses that are made as their peers take them, over sockets that fill.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway::dataplane::Protocol;
use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::mem::{Buf, Burst, ConnId};
use ringway::pipeline::Cx;
use ringway::sync::AtomicUsize;

use crate::common::{Client, Server, Start, wait_until};

const PART: usize = 16_000;
const PARTS: usize = 6_000; // 96 MB
const GET: &str = " HTTP/1.1\r\nHost: a\r\n\r\n";

/// What the service did, for the test to see.
#[derive(Default)]
struct Seen {
    parts: AtomicUsize,
    body_bytes: AtomicUsize,
    closed: AtomicUsize,
}

/// Streams long bodies, turns bodies as they come, and speaks another protocol.
struct Streams {
    seen: Arc<Seen>,
    /// By connection slot: parts made, of those to be made.
    made: Vec<(usize, usize)>,
    /// Parts that are on their way back, and whether the last is among them.
    turned: Vec<(Vec<Buf>, bool)>,
}

impl Service for Streams {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        let slot = request.conn().slot() as usize;
        self.turned[slot] = (Vec::new(), false);
        self.made[slot] = match request.path() {
            b"/long" => (0, PARTS),
            b"/short" => (0, 20),
            _ => (0, 0),
        };
        match request.path() {
            b"/long" => Response::new(200, Body::Stream(Some((PARTS * PART) as u64))).into(),
            b"/short" => Response::new(200, Body::Stream(None)).into(),
            b"/turn" => Response::new(200, Body::Stream(None)).reading_on().into(),
            b"/caps" => Response::upgrade("caps").into(),
            _ => Response::text(200, "text").into(),
        }
    }

    fn body(&mut self, _cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        let (parts, ended) = &mut self.turned[conn.slot() as usize];
        if parts.len() >= 4 {
            return Reply::Busy;
        }
        self.seen.body_bytes.fetch_add(part.len(), Ordering::Relaxed);
        parts.push(part.slice(0, part.len()));
        *ended = last;
        Reply::Body
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let slot = conn.slot() as usize;
        let (made, of) = &mut self.made[slot];
        if *of > 0 {
            if made == of {
                return Pull::End;
            }
            let Some(mut part) = cx.alloc(PART, conn) else { return Pull::Busy };
            assert!(part.append(&[*made as u8; PART]));
            *made += 1;
            self.seen.parts.fetch_add(1, Ordering::Relaxed);
            return Pull::Part(part);
        }
        match &mut self.turned[slot] {
            (parts, _) if !parts.is_empty() => Pull::Part(parts.remove(0)),
            (_, true) => Pull::End,
            _ => Pull::Wait,
        }
    }

    fn upgraded(&mut self, _cx: &mut Cx, mut bytes: Buf, output: &mut Burst) {
        if let Some(own) = bytes.bytes_mut() {
            own.make_ascii_uppercase();
        }
        output.push(bytes).unwrap();
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.turned[conn.slot() as usize] = (Vec::new(), false);
        self.seen.closed.fetch_add(1, Ordering::Relaxed);
    }
}

fn start() -> (Server, Arc<Seen>) {
    let seen: Arc<Seen> = Arc::default();
    let tables = "[dataplane]\nmax_connections = 1024\ndrain_timeout_ms = 3600000\n";
    let start = Start::new().listener("streams", "max_body_bytes = 100000000").tables(tables);
    let builder = start.builder();
    let theirs = Arc::clone(&seen);
    let builder = builder.protocol("streams", move |context| {
        let slots = context.slots as usize;
        let turned = (0..slots).map(|_| (Vec::new(), false)).collect();
        let service = Streams { seen: Arc::clone(&theirs), made: vec![(0, 0); slots], turned };
        Protocol::http(context, service)
    });
    (Server::run(builder), seen)
}

/// Waits until the number stands still, and returns it.
fn settled(number: impl Fn() -> usize) -> usize {
    let mut last = 0;
    wait_until(|| {
        std::thread::sleep(Duration::from_millis(200));
        let now = number();
        std::mem::replace(&mut last, now) == now && now > 0
    });
    last
}

fn slots_out(server: &Server) -> u32 {
    server.plane().pools().missing()
}

fn long_body(client: &mut Client) {
    for part in 0..PARTS {
        assert!(client.receive(PART).iter().all(|byte| *byte == part as u8), "part {part}");
    }
}

#[test]
fn a_peer_that_does_not_read_has_few_parts_made_for_it_and_gets_all_once_it_reads() {
    let (server, seen) = start();
    let mut slow = server.connect();
    slow.send(format!("GET /long{GET}GET /text{GET}"));
    let made = settled(|| seen.parts.load(Ordering::Relaxed));
    assert!(made < PARTS / 4, "{made} parts were made for a peer that reads nothing");
    let out = slots_out(&server);
    let mut fast = server.connect();
    (0..100).for_each(|_| assert_eq!(fast.get("/text").body, b"text"));
    assert_eq!(seen.parts.load(Ordering::Relaxed), made, "it was asked again for nothing");
    assert!(slots_out(&server) <= out + 64, "{} slots, then {}", out, slots_out(&server));
    assert_eq!(slow.head().field("content-length"), Some("96000000"));
    long_body(&mut slow);
    assert_eq!(slow.response().body, b"text");
    assert_eq!(seen.closed.load(Ordering::Relaxed), 0);
    server.stop();
}

#[test]
fn slow_and_fast_peers_are_served_side_by_side() {
    let (server, seen) = start();
    let mut slow: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|client| {
        client.send(format!("GET /long{GET}"));
    });
    let mut fast = server.connect();
    for _ in 0..20 {
        let head = fast.send(format!("GET /short{GET}")).head();
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        for part in 0..20u8 {
            assert_eq!(fast.receive(6), b"3e80\r\n");
            assert_eq!(fast.receive(PART), [part; PART]);
            assert_eq!(fast.receive(2), b"\r\n");
        }
        assert_eq!(fast.receive(5), b"0\r\n\r\n");
        assert_eq!(fast.get("/text").body, b"text");
    }
    let mut first = slow.pop().unwrap();
    first.head();
    long_body(&mut first);
    slow.pop().unwrap().reset();
    wait_until(|| seen.closed.load(Ordering::Relaxed) == 1);
    drop(slow); // two that end with most of it unread
    wait_until(|| seen.closed.load(Ordering::Relaxed) == 3);
    server.stop();
}

#[test]
fn thousands_of_requests_behind_a_stream_that_is_not_read_wait_and_are_all_answered() {
    let (server, _) = start();
    let mut client = server.connect();
    client.send(format!("GET /long{GET}"));
    let stream = client.stream().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        Client::over(stream).send(format!("GET /text{GET}").repeat(2_000));
    });
    client.head();
    long_body(&mut client);
    (0..2_000).for_each(|_| assert_eq!(client.response().body, b"text"));
    writer.join().unwrap();
    server.stop();
}

#[test]
fn a_body_that_is_turned_as_it_comes_stops_coming_when_nobody_reads_what_it_becomes() {
    const BYTES: usize = 64 << 20;
    let (server, seen) = start();
    let mut client = server.connect();
    let stream = client.stream().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let head = format!("POST /turn HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n");
        let mut client = Client::over(stream);
        client.send(head);
        for _ in 0..BYTES / 65_536 {
            client.send([7; 65_536]);
        }
    });
    let taken = settled(|| seen.body_bytes.load(Ordering::Relaxed));
    assert!(taken < BYTES / 2, "{taken} bytes were taken for a peer that reads nothing");
    assert_eq!(server.connect().get("/text").body, b"text");
    client.head();
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(client.receive(1));
        }
        let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert!(client.receive(size + 2)[..size].iter().all(|byte| *byte == 7));
        bytes += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(bytes, BYTES);
    writer.join().unwrap();
    assert_eq!(client.get("/text").body, b"text");
    server.stop();
}

#[test]
fn an_old_peer_gets_a_stream_until_the_close() {
    let (server, _) = start();
    let mut client = server.connect();
    client.send("GET /short HTTP/1.0\r\n\r\n").head();
    let want: Vec<u8> = (0..20u8).flat_map(|part| [part; PART]).collect();
    assert!(client.receive_all() == want);
    server.stop();
}

#[test]
fn a_protocol_that_took_over_goes_on_until_its_peers_end() {
    let (server, seen) = start();
    let mut client = server.connect();
    let head = "GET /caps HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";
    let head = client.send(head.to_owned() + "and more").head();
    assert_eq!((head.status(), client.receive(8)), (101, b"AND MORE".to_vec()));
    for _ in 0..100 {
        assert_eq!(client.send("bytes\r\n").receive(7), b"BYTES\r\n");
    }
    assert_eq!(client.finish().receive_all(), b"");
    wait_until(|| seen.closed.load(Ordering::Relaxed) == 1);
    server.stop();
}

#[test]
fn streams_are_finished_before_the_dataplane_ends() {
    let (server, seen) = start();
    let (mut client, mut idle) = (server.connect(), server.connect());
    idle.get("/text");
    client.send(format!("GET /long{GET}")).head();
    wait_until(|| seen.parts.load(Ordering::Relaxed) > 0);
    let reader = std::thread::spawn(move || {
        long_body(&mut client);
        assert_eq!(client.receive_all(), b"");
    });
    server.drain();
    assert_eq!(idle.receive_all(), b"");
    reader.join().unwrap();
}

#[test]
fn a_protocol_that_took_over_ends_with_the_drain_unless_its_service_says_otherwise() {
    let (server, seen) = start();
    let mut client = server.connect();
    let head = "GET /caps HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";
    assert_eq!(client.send(head.to_owned() + "and more").head().status(), 101);
    assert_eq!(client.receive(8), b"AND MORE");
    server.plane().drain();
    assert_eq!(client.receive_all(), b"");
    drop(client);
    server.account();
    assert_eq!(seen.closed.load(Ordering::Relaxed), 1);
}
