//! Another protocol takes over, or does not.

use ringway::handler::Http;
use ringway::handler::http::{Reply, Request, Response, Service};
use ringway::mem::{Buf, Burst};
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::pipeline::{Cx, Pipeline};
use ringway::testing::{End, Harness, SLOTS};

use crate::bed::{Bed, get, post};

/// Says as much to each word as there is room for.
struct Talker;

impl Service for Talker {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        Response::upgrade("talk").into()
    }

    fn upgraded(&mut self, _cx: &mut Cx, bytes: Buf, output: &mut Burst) {
        while output.push(bytes.slice(0, bytes.len())).is_ok() {}
    }
}

fn upgrade(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n").into()
}

#[test]
fn after_101_bytes_pass_both_ways_those_that_came_with_the_request_too() {
    let bytes = [upgrade("/upgrade"), b"some bytes\r\n\r\nGET / HTTP/1.1".to_vec()].concat();
    for most in 1..=bytes.len() {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, &bytes, most);
        bed.receive(conn, b", more");
        let got = &bed.responses(conn)[0];
        assert!(got.has("Upgrade: caps") && got.has("Connection: upgrade"), "{}", got.head);
        assert!(!got.head.to_lowercase().contains("content-length"), "{}", got.head);
        let want = "SOME BYTES\r\n\r\nGET / HTTP/1.1, MORE";
        assert_eq!((got.status, got.body.as_slice()), (101, want.as_bytes()), "cut to {most}");
        assert_eq!(
            bed.record().upgraded,
            want.to_lowercase().replace("get / http", "GET / HTTP").as_bytes()
        );
        bed.finish();
    }
}

#[test]
fn an_upgrade_that_is_refused_goes_on_as_http() {
    let bytes = [upgrade("/text/1"), post("/echo", b"body"), get("/text/2")].concat();
    for most in 1..=bytes.len() {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, &bytes, most);
        let got = bed.responses(conn);
        let texts: Vec<_> = got.iter().map(|got| got.text()).collect();
        assert_eq!(texts, [(200, "/text/1"), (200, "body"), (200, "/text/2")], "cut to {most}");
        bed.finish();
    }
}

#[test]
fn an_upgrade_that_is_refused_with_a_stream_does_not_hold_up_the_listener() {
    let mut bed = Bed::new();
    let (conn, other) = (bed.open(), bed.open());
    bed.receive(conn, upgrade("/wait"));
    bed.receive(conn, get("/text"));
    bed.receive(other, get("/text"));
    assert_eq!(bed.responses(other)[0].status, 200);
    bed.record_mut().go = true;
    bed.run();
    assert!(bed.responses(conn)[0].whole, "the stream ends");
    bed.finish();
}

#[test]
fn requests_behind_an_upgrade_that_is_refused_with_a_stream_are_answered() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, upgrade("/wait"));
    bed.receive(conn, get("/text"));
    bed.record_mut().go = true;
    bed.run();
    let statuses: Vec<_> = bed.responses(conn).iter().map(|got| got.status).collect();
    assert_eq!(statuses, [200, 200]);
    bed.finish();
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_a_500() {
    let with_body = "POST /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\
                     Content-Length: 4\r\n\r\nbody";
    for request in [get("/upgrade"), post("/upgrade", b"x"), with_body.into()] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, request);
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].status), (1, 500));
        assert!(bed.closed(conn).is_some());
        bed.finish();
    }
}

#[test]
fn an_upgrade_behind_other_requests_comes_behind_their_responses() {
    let requests = [get("/text"), get("/text"), upgrade("/upgrade")].concat();
    for most in [1, 7, requests.len()] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, &requests, most);
        bed.receive(conn, b"caps");
        let got = bed.responses(conn);
        let statuses: Vec<_> = got.iter().map(|got| got.status).collect();
        assert_eq!((statuses, got[2].body.as_slice()), (vec![200, 200, 101], &b"CAPS"[..]));
        bed.finish();
    }
}

#[test]
fn an_upgrade_behind_a_stream_waits_for_it() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, [get("/wait"), upgrade("/upgrade")].concat());
    assert_eq!(bed.responses(conn).len(), 1);
    bed.record_mut().go = true;
    bed.run();
    bed.receive(conn, b"caps");
    assert_eq!(bed.responses(conn)[1].body, b"CAPS");
    bed.finish();
}

#[test]
fn bytes_behind_an_upgrade_that_waits_for_a_stream_are_the_other_protocols() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, [get("/wait"), upgrade("/upgrade"), b"caps".to_vec()].concat());
    assert_eq!(bed.responses(conn).len(), 1);
    bed.record_mut().go = true;
    (0..2).for_each(|_| bed.run());
    assert_eq!(bed.responses(conn)[1].body, b"CAPS");
    bed.finish();
}

#[test]
fn the_peers_end_right_behind_its_wish_to_upgrade_ends_the_connection_behind_101() {
    for first in [Vec::new(), get("/text"), get("/wait")] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.starve(true); // both are seen before the answer
        bed.receive(conn, [first, upgrade("/upgrade")].concat());
        bed.eof(conn);
        bed.starve(false);
        bed.record_mut().go = true;
        bed.run();
        bed.run();
        assert_eq!(bed.responses(conn).last().unwrap().status, 101);
        assert_eq!(bed.closed(conn), Some(End::Close));
        assert_eq!(bed.record().closed, [conn]);
        bed.finish();
    }
}

#[test]
fn the_peers_end_after_the_upgrade_ends_the_connection_and_the_service_hears_of_it_once() {
    for end in [End::Close, End::Reset] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, upgrade("/upgrade"));
        bed.receive(conn, b"caps");
        match end {
            End::Reset => bed.reset(conn),
            _ => bed.eof(conn),
        }
        assert_eq!((bed.closed(conn), &bed.record().closed[..]), (Some(end), &[conn][..]));
        bed.finish();
    }
}

#[test]
fn values_of_the_request_are_gone_once_101_is_out() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, upgrade("/upgrade"));
    assert_eq!(bed.values(), 0);
    bed.finish();
}

#[test]
fn bytes_behind_an_upgrade_that_waits_wait_themselves_and_hold_up_nobody() {
    // In one segment, so that the first response's end and the second's start share a buf.
    let first = [get("/text"), upgrade("/wait")].concat();
    // Held behind a stream, and then without a slot.
    let second = [get("/wait"), upgrade("/text")].concat();
    for requests in [first, second] {
        let mut bed = Bed::new();
        let (conn, other) = (bed.open(), bed.open());
        bed.receive(conn, requests);
        bed.receive(conn, get("/text/2"));
        bed.receive(other, get("/text"));
        assert_eq!(bed.responses(other)[0].status, 200, "the other is served meanwhile");
        bed.starve(true);
        bed.record_mut().go = true;
        bed.run();
        bed.starve(false);
        (0..4).for_each(|_| bed.run());
        let statuses: Vec<_> = bed.responses(conn).iter().map(|got| got.status).collect();
        assert_eq!(statuses, [200, 200, 200]);
        assert_eq!(bed.waiting(), 0);
        bed.finish();
    }
}

#[test]
fn a_service_may_fill_all_the_room_that_it_gets_after_an_upgrade() {
    let chain = Http1::new(SLOTS, Settings::for_slots(64, 64));
    let mut harness =
        Harness::build(|_| (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, Talker)));
    let (conn, other) = (harness.open(), harness.open());
    harness.receive(conn, upgrade("/"));
    harness.take_sent(conn);
    for _ in 0..3 {
        harness.receive(conn, b"x");
        assert!(harness.take_sent(conn).len() >= 8);
    }
    harness.receive(other, upgrade("/"));
    assert!(harness.sent(other).starts_with(b"HTTP/1.1 101"), "others go on");
    harness.finish();
}

#[test]
fn a_wish_to_upgrade_that_waits_is_not_received_behind_until_it_is_answered() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, [get("/wait"), upgrade("/upgrade")].concat());
    assert!(bed.paused(conn));
    bed.receive(conn, b"some of it was on its way");
    bed.record_mut().go = true;
    (0..2).for_each(|_| bed.run());
    assert!(!bed.paused(conn));
    assert_eq!(bed.responses(conn)[1].body, b"SOME OF IT WAS ON ITS WAY");
    bed.finish();
}
