//! A pool without a slot, and a program that is in the middle of something.

use ringway::attach::Message;
use ringway::handler::http::{Http, PortService};
use ringway::limits::PORT_STALL_NS;
use ringway::pipeline::chain::http1::{BODY, HEAD, Settings};
use ringway::pipeline::{Pipeline, chain};
use ringway::testing::{Harness, SLOTS};

use crate::pieces::{attach, block, port};
use crate::pipelining::begin;

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
    harness.receive_buf(conn, block(b"56789"));
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
