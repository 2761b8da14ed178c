//! Bodies of responses that are made as there is room for them, and what waits behind them.

use ringway::counters::Counter;
use ringway::limits::HTTP_HELD_BUFS_MAX;
use ringway::testing::End;

use crate::bed::{Bed, Got, get, post};
use crate::probe::letters;

fn texts(got: &[Got]) -> Vec<(u16, &str)> {
    got.iter().map(Got::text).collect()
}

#[test]
fn bodies_of_all_sizes_come_out_whole_whichever_way_they_are_given() {
    for bytes in [0, 1, 15_000, 16_384, 16_385, 100_000, 300_000] {
        let mut bed = Bed::new();
        let mut paths = vec![
            format!("/bytes/{bytes}"),
            format!("/stream/{bytes}/1000"),
            format!("/stream/{bytes}/16384"),
            format!("/chunks/{bytes}/16384"),
            format!("/chunks/{bytes}/999"),
        ];
        paths.extend((bytes <= 16_384).then(|| format!("/buf/{}", bytes.max(1))));
        for path in paths {
            let got = bed.ask([get(&path), get("/text")].concat());
            let bytes = if path.starts_with("/buf") { bytes.max(1) } else { bytes };
            assert!(got[0].body == letters(bytes), "{path}: {} bytes", got[0].body.len());
            assert_eq!((got.len(), got[0].whole, got[1].text()), (2, true, (200, "/text")));
            let chunked = got[0].has("Transfer-Encoding: chunked");
            assert_eq!(chunked, path.starts_with("/chunks"), "{path}");
        }
        bed.finish();
    }
}

#[test]
fn trailers_follow_a_body_whose_length_was_not_known() {
    let mut bed = Bed::new();
    for path in ["/trailers/0/10/3", "/trailers/5000/1000/3"] {
        let got = bed.ask([get(path), get("/text")].concat());
        assert_eq!((got[0].trailers.as_str(), got[0].whole), ("Sum: 7;Last: xxx;", true));
        assert_eq!(got[1].text(), (200, "/text"));
    }
    let got = bed.ask(get("/trailers/10/10/3").replace_version());
    assert_eq!((got.len(), &got[0].body[..]), (1, &letters(10)[..]), "HTTP/1.0 has no trailers");
    bed.finish();
}

#[test]
fn trailers_that_no_slot_could_hold_with_the_end_are_left_out() {
    let mut bed = Bed::new();
    for value in [5_000, 16_300] {
        let got = bed.ask([get(&format!("/trailers/9/9/{value}")), get("/text")].concat());
        assert_eq!((got[0].trailers.as_str(), got[0].whole), ("", true));
        assert_eq!(got[1].text(), (200, "/text"));
    }
    bed.finish();
}

/// Requests as an older peer makes them.
trait Older {
    fn replace_version(self) -> Vec<u8>;
}

impl Older for Vec<u8> {
    fn replace_version(self) -> Vec<u8> {
        String::from_utf8(self).unwrap().replace("HTTP/1.1", "HTTP/1.0").into()
    }
}

#[test]
fn a_stream_of_unknown_length_to_an_http_1_0_peer_ends_with_the_connection() {
    for keep_alive in ["", "Connection: keep-alive\r\n"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, format!("GET /chunks/50000/999 HTTP/1.0\r\n{keep_alive}\r\n"));
        let got = &bed.responses(conn)[0];
        assert!(got.body == letters(50_000), "{} bytes", got.body.len());
        assert!(!got.has("Transfer-Encoding: chunked") && got.closes());
        assert_eq!(bed.closed(conn), Some(End::Close));
        bed.finish();
    }
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, "GET /stream/5000/999 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let got = &bed.responses(conn)[0];
    assert!(got.has("Connection: keep-alive") && got.body == letters(5_000));
    assert_eq!(bed.closed(conn), None);
    bed.finish();
}

#[test]
fn head_gets_the_head_that_get_would_and_no_stream_is_made() {
    for path in ["/text", "/bytes/100000", "/stream/5000/10", "/chunks/5000/10", "/trailers/9/9/3"]
    {
        let mut bed = Bed::new();
        let head = bed.ask(get(path))[0].head.clone();
        let pulls = bed.record().pulls;
        let conn = bed.open();
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        bed.receive(conn, [request.into(), get("/text")].concat());
        let sent = String::from_utf8(bed.sent(conn).to_vec()).unwrap();
        assert!(sent.starts_with(&head), "{path}: {sent}");
        assert!(sent[head.len()..].starts_with("HTTP/1.1 200 OK"), "{path}: {sent}");
        assert_eq!(bed.record().pulls, pulls, "{path}");
        bed.reset(conn);
        assert!(bed.record().closed.is_empty(), "{path}");
        bed.finish();
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    for status in [204, 304] {
        let mut bed = Bed::new();
        let request = get(&format!("/status/{status}"));
        let got = bed.ask([request, post("/text", b"some"), get("/text/2")].concat());
        let statuses: Vec<_> = got.iter().map(|got| got.status).collect();
        assert_eq!(statuses, [status, 200, 200]);
        assert!(!got[0].head.to_lowercase().contains("transfer-encoding"));
        assert!(status == 304 || !got[0].head.to_lowercase().contains("content-length"));
        bed.finish();
    }
}

#[test]
fn a_service_that_gives_less_than_it_said_costs_the_connection_and_no_byte_too_many() {
    for (path, bytes) in [
        ("/parts/10/4", 4),
        ("/parts/10", 0),
        ("/parts/10/8/5", 8),
        ("/parts/10/8/5/2", 8), // the last would fit
        ("/parts/10/11", 0),
    ] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [get(path), get("/text")].concat());
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].body.len(), got[0].whole), (1, bytes, false), "{path}");
        assert_eq!(bed.closed(conn), Some(End::Linger), "{path}");
        bed.finish();
    }
}

#[test]
fn what_a_service_gives_beyond_what_it_said_is_not_sent() {
    for path in ["/parts/10/10/1", "/parts/10/6/4/3/2", "/parts/0/1"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, get(path));
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].whole), (1, true), "{path}");
        bed.finish();
    }
}

#[test]
fn parts_without_bytes_neither_end_a_chunked_body_nor_hang() {
    let mut bed = Bed::new();
    let got = bed.ask(get("/parts/3/0/1/0/0/2/0"));
    assert_eq!((got[0].body.len(), got[0].whole), (3, true));
    let conn = bed.open();
    bed.receive(conn, get(&format!("/parts/1{}/1", "/0".repeat(300))));
    (0..30).for_each(|_| bed.run());
    assert!(bed.responses(conn)[0].whole);
    bed.finish();
}

#[test]
fn requests_behind_a_stream_are_held_then_receiving_pauses_and_goes_on_when_all_are_answered() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, get("/wait"));
    for held in 1..=HTTP_HELD_BUFS_MAX {
        bed.receive(conn, get(&format!("/text/{held}")));
        assert!(!bed.paused(conn), "{held} held");
    }
    bed.receive(conn, get("/text/17"));
    assert!(bed.paused(conn));
    bed.receive(conn, [get("/text/18"), post("/echo", b"19")].concat()); // was on its way
    assert_eq!((bed.responses(conn).len(), bed.record().calls.len()), (1, 1));
    bed.record_mut().go = true;
    bed.run();
    assert!(!bed.paused(conn));
    let got = bed.responses(conn);
    assert_eq!((got.len(), bed.waiting()), (20, 0));
    for (at, got) in got.iter().enumerate().skip(1).take(18) {
        assert_eq!(got.text(), (200, format!("/text/{at}").as_str()));
    }
    assert_eq!(got[19].text(), (200, "19"));
    bed.finish();
}

#[test]
fn a_stream_behind_a_stream_waits_for_it() {
    let mut bed = Bed::new();
    let paths = ["/chunks/70000/999", "/stream/70000/999", "/bytes/70000", "/turn", "/text"];
    let requests: Vec<u8> = paths.iter().flat_map(|path| get(path)).collect();
    let got = bed.ask(requests);
    assert!(got[..3].iter().all(|got| got.body == letters(70_000)));
    assert_eq!(texts(&got[3..]), [(200, ""), (200, "/text")]);
    bed.finish();
}

#[test]
fn a_service_that_has_nothing_now_is_asked_again_and_keeps_nobody_waiting() {
    let mut bed = Bed::new();
    let (conn, other) = (bed.open(), bed.open());
    bed.receive(conn, get("/wait"));
    let pulls = bed.record().pulls;
    bed.receive(other, get("/chunks/100000/999"));
    bed.run();
    assert!(bed.record().pulls > pulls && bed.responses(other)[0].whole);
    bed.record_mut().go = true;
    bed.run();
    assert!(bed.responses(conn)[0].whole);
    bed.finish();
}

#[test]
fn what_a_peer_sends_although_it_is_paused_waits_as_it_came() {
    let mut bed = Bed::new();
    let conn = bed.open();
    let (bursts, requests) = (80, get("/text").repeat(64));
    bed.receive(conn, get("/wait"));
    (0..bursts).for_each(|_| bed.receive(conn, &requests));
    assert!(bed.paused(conn) && bed.closed(conn).is_none());
    let decoded = bed.cx.counters.get(Counter::Messages);
    assert!(decoded <= 1 + u64::from(HTTP_HELD_BUFS_MAX) + 64, "{decoded} heads are held");
    bed.eof(conn);
    bed.record_mut().go = true;
    (0..bursts).for_each(|_| bed.run());
    assert_eq!(bed.responses(conn).len(), 1 + 64 * bursts);
    assert!(bed.closed(conn).is_some());
    assert_eq!(bed.values(), 0);
    bed.finish();
}

#[test]
fn a_stream_that_waits_is_asked_again_when_it_is_woken_and_not_before() {
    let mut bed = Bed::new();
    let (conn, other) = (bed.open(), bed.open());
    bed.receive(conn, [get("/sleep"), get("/text")].concat());
    bed.run();
    let asked = bed.record().pulls;
    bed.receive(other, get("/text"));
    (0..5).for_each(|_| bed.run());
    assert_eq!(bed.record().pulls, asked, "nobody woke it");
    bed.wake(other);
    bed.wake(conn);
    assert_eq!(bed.record().pulls, asked + 1, "it had nothing to give");
    bed.record_mut().go = true;
    bed.wake(conn);
    let got = bed.responses(conn);
    assert_eq!((got.len(), got[0].whole, got[1].text()), (2, true, (200, "/text")));
    bed.finish();
}

#[test]
fn a_wake_without_a_stream_does_nothing() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.wake(conn);
    bed.receive(conn, get("/text"));
    bed.wake(conn);
    bed.receive(conn, &post("/read", b"some body")[..50]);
    bed.wake(conn);
    assert_eq!((bed.responses(conn).len(), bed.closed(conn)), (1, None));
    assert_eq!(bed.record().pulls, 0);
    bed.reset(conn);
    bed.wake(conn);
    bed.finish();
}
