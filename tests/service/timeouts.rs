//! Time limits on heads, bodies and idle connections, and the number of requests.

use std::time::Duration;

use ringway::testing::{End, SLOTS};

use crate::bed::{Bed, get, post};

const SECOND: Duration = Duration::from_secs(1);

/// Limits of 5 s on heads, 7 s on bodies, 9 s between requests.
fn bed() -> Bed {
    Bed::with(|settings| {
        settings.head_timeout_ns = 5_000_000_000;
        settings.body_timeout_ns = 7_000_000_000;
        settings.keep_alive_timeout_ns = 9_000_000_000;
    })
}

fn statuses(bed: &Bed, conn: ringway::mem::ConnId) -> Vec<u16> {
    bed.responses(conn).iter().map(|got| got.status).collect()
}

/// A body that stops in the middle.
fn part(path: &str) -> Vec<u8> {
    let mut bytes = post(path, b"0123456789");
    bytes.truncate(bytes.len() - 4);
    bytes
}

#[test]
fn each_wait_ends_at_its_limit_and_not_a_second_sooner() {
    let cases: [(&[u8], u32, &[u8], End); 6] = [
        (b"", 5, b"", End::Close),
        (b"GET / HT", 5, b"408", End::Linger),
        (&get("/text"), 9, b"200", End::Close),
        (&part("/read"), 7, b"408", End::Linger),
        (&part("/text"), 7, b"200", End::Linger),
        (&[get("/text"), b"GET".to_vec()].concat(), 5, b"200 408", End::Linger),
    ];
    for (bytes, seconds, want, end) in cases {
        let what = String::from_utf8_lossy(bytes);
        let mut bed = bed();
        let conn = bed.open();
        bed.receive(conn, bytes);
        bed.advance(SECOND * (seconds - 1));
        assert_eq!(bed.closed(conn), None, "{what}");
        bed.advance(SECOND);
        let statuses: Vec<_> = statuses(&bed, conn).iter().map(u16::to_string).collect();
        assert_eq!(statuses.join(" ").as_bytes(), want, "{what}");
        assert_eq!(bed.closed(conn), Some(end), "{what}");
        assert!(bed.record().closed.len() <= 1);
        bed.finish();
    }
}

#[test]
fn a_head_has_its_time_from_its_first_byte_and_a_body_from_its_last() {
    let mut bed = bed();
    let (head, body) = (bed.open(), bed.open());
    bed.receive(body, part("/read"));
    for _ in 0..4 {
        bed.receive(head, b"GET");
        bed.receive(body, b"");
        bed.advance(SECOND);
    }
    bed.receive(body, b"6");
    bed.advance(SECOND);
    assert_eq!((statuses(&bed, head), statuses(&bed, body)), (vec![408], vec![]));
    bed.advance(SECOND * 5);
    assert_eq!(statuses(&bed, body), [0; 0]);
    bed.receive(body, b"789");
    assert_eq!(bed.responses(body)[0].text(), (200, "0123456789"));
    bed.advance(SECOND * 8);
    assert_eq!(bed.closed(body), None, "the next wait begins with the response");
    bed.advance(SECOND);
    assert_eq!(bed.closed(body), Some(End::Close));
    bed.finish();
}

#[test]
fn nothing_is_too_late_while_a_response_streams_and_receiving_is_paused() {
    let mut bed = bed();
    let (alone, before) = (bed.open(), bed.open());
    bed.receive(alone, get("/wait"));
    bed.receive(before, [get("/wait"), get("/text").repeat(20)].concat());
    bed.receive(before, b"GET /text HTTP");
    assert!(bed.paused(before));
    bed.advance(SECOND * 100);
    assert_eq!((bed.closed(alone), bed.closed(before)), (None, None));
    bed.record_mut().go = true;
    bed.run();
    bed.advance(SECOND * 4);
    bed.receive(before, b"/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(statuses(&bed, before), [200; 22]);
    bed.advance(SECOND * 5);
    assert_eq!((bed.closed(alone), bed.closed(before)), (Some(End::Close), None));
    bed.finish();
}

#[test]
fn a_service_that_is_slow_to_read_costs_its_peer_nothing() {
    let mut bed = bed();
    let conn = bed.open();
    bed.receive(conn, post("/turn", b"abc"));
    bed.receive(conn, get("/wait"));
    bed.advance(SECOND * 60);
    assert_eq!(bed.closed(conn), None);
    bed.finish();
}

#[test]
fn what_took_over_from_http_may_be_silent() {
    let mut bed = bed();
    let conn = bed.open();
    let request =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";
    bed.receive(conn, request);
    bed.advance(SECOND * 1000);
    bed.receive(conn, b"still here");
    assert_eq!(bed.responses(conn)[0].body, b"STILL HERE");
    bed.finish();
}

#[test]
fn all_that_are_late_at_once_are_told() {
    for bytes in [&b""[..], b"GET", &part("/read"), &get("/text")] {
        let mut bed = bed();
        let conns: Vec<_> = (0..SLOTS).map(|_| bed.open()).collect();
        conns.iter().for_each(|&conn| bed.receive(conn, bytes));
        bed.advance(SECOND * 9);
        assert!(conns.iter().all(|&conn| bed.closed(conn).is_some()));
        bed.finish();
    }
}

#[test]
fn the_last_of_the_requests_that_a_connection_may_make_is_answered_and_closes() {
    for most in [1, 2, 5] {
        let mut bed = Bed::with(|settings| settings.requests_max = most);
        let conn = bed.open();
        for _ in 1..most {
            bed.receive(conn, get("/text"));
            assert!(!bed.responses(conn).last().unwrap().closes() && bed.closed(conn).is_none());
        }
        bed.receive(conn, get("/text").repeat(2));
        let got = bed.responses(conn);
        assert_eq!((got.len(), got.last().unwrap().closes()), (most as usize, true));
        assert_eq!(bed.closed(conn), Some(End::Close));
        assert_eq!(bed.record().calls.len(), most as usize);
        bed.finish();
    }
}

#[test]
fn the_last_request_may_have_a_body_a_stream_or_an_upgrade() {
    let upgrade =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";
    for request in [post("/read", b"body"), get("/chunks/90000/999"), post("/turn", b"x")] {
        let mut bed = Bed::with(|settings| settings.requests_max = 1);
        let conn = bed.open();
        bed.receive_cut(conn, &request, 7);
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].status, got[0].whole, got[0].closes()), (1, 200, true, true));
        assert!(bed.closed(conn).is_some());
        bed.finish();
    }
    let mut bed = Bed::with(|settings| settings.requests_max = 1);
    let conn = bed.open();
    bed.receive(conn, upgrade);
    bed.receive(conn, b"caps");
    assert_eq!(bed.responses(conn)[0].body, b"CAPS");
    bed.finish();
}
