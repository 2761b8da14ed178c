//! A pool without a slot, and a program that is in the middle of something.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use ringway::attach::Message;
use ringway::handler::http::{Http, PortService};
use ringway::limits::{PORT_AHEAD_MAX, PORT_STALL_NS};
use ringway::mem::Trust;
use ringway::pipeline::chain::http1::{BODY, HEAD, Settings};
use ringway::pipeline::{Pipeline, chain};
use ringway::testing::{Harness, SLOTS};

use crate::pieces::{attach, block, port};
use crate::pipelining::{begin, pump, start};
use crate::program::Program;

#[test]
fn the_body_of_a_request_waits_with_the_head_of_its_response_that_finds_no_slot() {
    let service = PortService::new(SLOTS, port(), 1_000_000_000, PORT_STALL_NS);
    let mut harness = Harness::build(|_| {
        let chain = chain::Http1::new(SLOTS, Settings::for_slots(256, 64));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    });
    let mut process = attach(&mut harness);
    let conn = harness.open();
    harness.receive(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    let queue = &mut process.queues()[0];
    let request = std::iter::from_fn(|| queue.receive()).find(|m| m.kind == HEAD).unwrap();
    begin(queue, &request);
    queue.flush();
    harness.starve(true);
    harness.run();
    let (_pool, block) = block(b"56789");
    harness.receive_buf(conn, block);
    assert!(harness.sent(conn).is_empty());
    harness.starve(false);
    harness.run();
    let queue = &mut process.queues()[0];
    let last = std::iter::from_fn(|| queue.receive()).find(|m| m.kind == BODY && m.meta == 1);
    assert_eq!(last.expect("the process hears of the end").bytes(), b"56789");
    queue.send(Message::end_of(&request));
    queue.flush();
    harness.run();
    let replies = String::from_utf8_lossy(harness.take_sent(conn).as_slice()).into_owned();
    assert!(replies.ends_with("\r\n\r\n0\r\n\r\n"), "{replies}");
    drop((request, process));
    harness.finish();
}

/// Names of all requests that come, oldest first, so that they hold no slots.
fn names(program: &mut Program, until: Instant) -> Vec<Message> {
    let mut names = Vec::new();
    while Instant::now() < until {
        let mut heads = Vec::new();
        pump(program, &mut heads);
        names.extend(heads.iter().map(|head| {
            let mut name = Message::marker(head.conn, 0);
            name.number = head.number;
            name
        }));
    }
    names
}

#[test]
fn answers_before_their_turn_leave_slots_to_the_one_whose_turn_it_is() {
    // Many more large responses than the pool has large slots.
    const CONNS: usize = 40;
    const EACH: usize = PORT_AHEAD_MAX as usize + 1;
    const BODY: [u8; 8000] = [b'x'; 8000];
    for trust in [Trust::Isolated, Trust::Shared] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut clients: Vec<_> = (0..CONNS).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(EACH));
        }
        let mut asked = names(&mut program, Instant::now() + Duration::from_secs(1));
        let mut seen = HashSet::new();
        asked.sort_by_cached_key(|name| !seen.insert((name.conn.slot(), name.conn.generation())));
        while let Some(name) = asked.pop() {
            program.port.queues()[0].respond(&name, 200, "", &BODY);
            pump(&mut program, &mut asked);
        }
        let done = thread::spawn(move || {
            for client in &mut clients {
                (0..EACH).for_each(|_| assert_eq!(client.response().body, BODY));
            }
        });
        program.serve(|queue, head| queue.respond(&head, 200, "", &BODY), || done.is_finished());
        done.join().unwrap();
        drop(program);
        server.drain();
    }
}
