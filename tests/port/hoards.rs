//! What waits for a process, of it, and for its peers holds no more than a share of a pool that is short
//! of slots: others find some whatever it does (P-6).

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::mem::{ConnId, Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD};

use crate::common::{Client, Server, Start, pattern};
use crate::peer::Stream;
use crate::program::Program;

/// More connections than the pool has slots for.
const CROWD: usize = 400;

/// A listener without a port, and one with: `protocol` for the process at `app`, which may take as long
/// as it likes.
fn start(protocol: &str) -> Server {
    Start::new()
        .listener("http", "")
        .listener(protocol, "stall_timeout_ms = 86400000")
        .limited("handler = \"port:app\"\nisolated = true")
        .tables("[mempool]\nsmall_slots = 512\nlarge_slots = 16\n")
        .start()
}

/// A client that sends what is taken of `bytes` within a moment, and reads nothing.
fn reckless(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address(1)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(2))).unwrap();
    let _ = stream.write_all(bytes);
    stream
}

/// A client of the other listener is served, short and long.
pub fn others_are_served(server: &Server) {
    let mut client = Client::connect(server.address(0));
    let body = pattern(1, 6000);
    for _ in 0..20 {
        assert_eq!(client.get("/").status(), 200);
        assert!(client.post("/echo", &body).body == body);
    }
}

#[test]
fn bytes_that_a_process_does_not_take_leave_slots_to_others() {
    for protocol in ["raw", "http"] {
        let server = start(protocol);
        let mut program = Program::attach(&server, "app", Trust::Isolated);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        let bytes = [head.as_bytes(), &pattern(2, 64 * 1024)].concat();
        let crowd: Vec<_> = (0..CROWD).map(|_| reckless(&server, &bytes)).collect();
        others_are_served(&server);
        // It moves a little, and keeps all the rest waiting.
        for _ in 0..5 {
            let queue = &mut program.port.queues()[0];
            (0..3).for_each(|_| drop(queue.receive()));
            queue.flush();
            others_are_served(&server);
        }
        assert_eq!(server.count(Counter::PortFaults), 0);
        drop((crowd, program));
        server.stop();
    }
}

#[test]
fn what_was_held_back_comes_when_the_process_takes_it() {
    const BYTES: usize = 40_000;
    let server = start("raw");
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    let bytes = pattern(3, BYTES);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| reckless(&server, &bytes)).collect();
    others_are_served(&server);
    let mut heard: HashMap<(u32, u32), usize> = HashMap::new();
    let mut ended = 0;
    for stream in &mut crowd {
        // What was not taken at once would never come.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let all_ended = |ended: usize| ended == CROWD;
    while !all_ended(ended) {
        let queue = &mut program.port.queues()[0];
        while let Some(message) = queue.receive() {
            match message.kind {
                kind::DATA => {
                    let name = (message.conn.slot(), message.conn.generation());
                    *heard.entry(name).or_default() += message.bytes().len();
                }
                kind::EOF => ended += 1,
                _ => {}
            }
        }
        queue.flush();
    }
    assert_eq!(heard.len(), CROWD);
    assert!(heard.values().all(|&bytes| bytes > 0 && bytes <= BYTES));
    assert!(heard.values().filter(|&&bytes| bytes == BYTES).count() > CROWD / 2);
    drop((crowd, program));
    server.stop();
}

/// Sends as many parts on a connection as it has room for.
fn pour(queue: &mut Queue, conn: ConnId, number: u32) {
    while let Some(mut part) = queue.alloc(conn, 2000) {
        part.append(&[b'x'; 2000]);
        part.number = number;
        part.kind = if number == 0 { kind::DATA } else { BODY };
        queue.send(part);
    }
    queue.flush();
}

#[test]
fn answers_that_nobody_reads_leave_slots_to_others() {
    for protocol in ["raw", "http"] {
        let server = start(protocol);
        let mut program = Program::attach(&server, "app", Trust::Isolated);
        let crowd: Vec<_> = (0..20).map(|_| reckless(&server, get())).collect();
        let mut asked = Vec::new();
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let queue = &mut program.port.queues()[0];
            while let Some(message) = queue.receive() {
                if message.kind == HEAD {
                    let mut begin = Message::marker(message.conn, 0);
                    begin.respond(&message, 200, 0, false);
                    queue.send(begin);
                }
                if matches!(message.kind, HEAD | kind::DATA) {
                    asked.push((message.conn, message.number));
                }
            }
            for &(conn, number) in &asked {
                pour(queue, conn, number);
            }
        }
        others_are_served(&server);
        drop((crowd, program));
        server.stop();
    }
}

fn get() -> &'static [u8] {
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
}

#[test]
fn a_peer_that_takes_nothing_on_many_connections_leaves_slots_to_others() {
    let server = Start::new()
        .listener("http", "")
        .peer("app", "http")
        .limited("isolated = true\nwrite_timeout_ms = 200000")
        .tables("[mempool]\nsmall_slots = 512\nlarge_slots = 16\n")
        .start();
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    let streams: Vec<_> = (0..200).filter_map(|_| Stream::open(&mut program)).collect();
    for stream in &streams {
        let queue = &mut program.port.queues()[0];
        queue.send(Message::marker(stream.conn, kind::PAUSE));
        for _ in 0..4 {
            let Some(mut ask) = queue.alloc(stream.conn, 2000) else { break };
            ask.append(&get().repeat(60));
            queue.send(ask);
        }
        queue.flush();
        std::thread::yield_now();
    }
    let end = Instant::now() + Duration::from_millis(300);
    program.serve(|_, _| (), || Instant::now() > end);
    others_are_served(&server);
    drop((streams, program));
    server.stop();
}
