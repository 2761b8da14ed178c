//! A dataplane that begins to stop while exchanges are under way.

use ringway::testing::End;

use crate::bed::{Bed, get, post};

#[test]
fn connections_that_wait_for_a_request_close_at_once() {
    let mut bed = Bed::new();
    let (fresh, kept) = (bed.open(), bed.open());
    bed.receive(kept, get("/text"));
    bed.drain();
    assert!(bed.closed(fresh).is_some() && bed.closed(kept).is_some());
    let late = bed.open();
    assert!(bed.closed(late).is_some(), "it came while we drain");
    bed.finish();
}

#[test]
fn a_request_that_is_under_way_is_answered_and_its_connection_closes_behind_it() {
    let cases = [
        ("a head", get("/text"), 9),
        ("a body to be read", post("/read", b"some body"), 70),
        ("a body to be echoed", post("/echo", b"some body"), 70),
        ("a body to be turned", post("/turn", b"some body"), 70),
        ("a body for nobody", post("/text", b"some body"), 70),
        ("a body that is read on", post("/on_text", b"some body"), 70),
    ];
    for (what, bytes, at) in cases {
        let at = at.min(bytes.len() - 4);
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, &bytes[..at]);
        bed.drain();
        assert_eq!(bed.closed(conn), None, "{what}");
        bed.receive(conn, &bytes[at..]);
        bed.run();
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].status, got[0].whole), (1, 200, true), "{what}");
        assert!(bed.closed(conn).is_some(), "{what}");
        assert!(bed.record().closed.is_empty(), "{what}");
        bed.finish();
    }
}

#[test]
fn a_request_whose_head_comes_while_it_drains_is_told_that_the_connection_closes() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, b"GET /text HTTP/1.1\r\n");
    bed.drain();
    bed.receive(conn, [&b"Host: a\r\n\r\n"[..], &get("/text")].concat());
    let got = bed.responses(conn);
    assert_eq!((got.len(), got[0].closes()), (1, true));
    assert_eq!(bed.closed(conn), Some(End::Close));
    bed.finish();
}

#[test]
fn streams_and_what_is_held_behind_them_come_to_their_end() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, [get("/wait"), get("/text"), post("/echo", b"body")].concat());
    bed.drain();
    bed.run();
    assert_eq!(bed.closed(conn), None);
    bed.record_mut().go = true;
    bed.run();
    let got = bed.responses(conn);
    assert_eq!((got.len(), got.iter().all(|got| got.whole)), (3, true));
    assert_eq!(bed.closed(conn), Some(End::Linger));
    assert!(bed.record().closed.is_empty());
    bed.finish();
}

const UPGRADE: &str =
    "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";

#[test]
fn what_took_over_from_http_may_say_goodbye_and_go_on_until_it_closes() {
    let mut bed = Bed::new();
    let (stays, goes) = (bed.open(), bed.open());
    bed.record_mut().stays = Some(stays);
    [stays, goes].iter().for_each(|&conn| bed.receive(conn, UPGRADE));
    bed.drain();
    assert_eq!((bed.closed(stays), bed.closed(goes)), (None, Some(End::Linger)));
    bed.receive(stays, b"caps");
    assert_eq!(bed.responses(stays)[0].body, b"CAPS");
    assert_eq!(bed.record().drained, [stays, goes], "each once");
    bed.eof(stays);
    assert_eq!(bed.closed(stays), Some(End::Close));
    bed.finish();
}

#[test]
fn what_takes_over_while_it_drains_is_told_as_well() {
    for first in [Vec::new(), get("/wait")] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [first, UPGRADE[..40].into()].concat());
        bed.drain();
        bed.receive(conn, &UPGRADE[40..]);
        bed.record_mut().go = true;
        (0..2).for_each(|_| bed.run());
        assert_eq!(bed.responses(conn).last().unwrap().status, 101);
        assert_eq!(
            (bed.record().drained.as_slice(), bed.closed(conn)),
            (&[conn][..], Some(End::Linger))
        );
        bed.finish();
    }
}

#[test]
fn what_takes_over_while_the_word_of_the_drain_is_on_its_way_hears_it_once() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.record_mut().stays = Some(conn);
    bed.receive(conn, [get("/wait"), UPGRADE.into()].concat());
    bed.record_mut().go = true;
    bed.drain();
    (0..4).for_each(|_| bed.run());
    assert_eq!(bed.responses(conn).last().unwrap().status, 101);
    assert_eq!(bed.record().drained, [conn]);
    bed.finish();
}

#[test]
fn a_stream_that_sleeps_is_asked_once_more_and_can_end() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, [get("/sleep"), get("/text")].concat());
    bed.drain();
    bed.run();
    let got = bed.responses(conn);
    assert_eq!((got.len(), got[0].whole, got[1].text()), (2, true, (200, "/text")));
    assert!(bed.closed(conn).is_some());
    bed.finish();
}
