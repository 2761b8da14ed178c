//! `Expect: 100-continue` (RFC 9110 §10.1.1).

use ringway::testing::End;

use crate::bed::{Bed, Got, get};

fn head(path: &str, version: &str) -> String {
    format!(
        "POST {path} HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
}

fn texts(got: &[Got]) -> Vec<(u16, &str)> {
    got.iter().map(Got::text).collect()
}

#[test]
fn who_wants_the_body_lets_the_peer_send_it_and_the_connection_goes_on() {
    for path in ["/read", "/echo", "/turn"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, head(path, "1.1"));
        assert_eq!(bed.responses(conn)[0].status, 100, "{path}");
        bed.receive(conn, b"BODY");
        bed.receive(conn, get("/text"));
        let want = [(100, ""), (200, "BODY"), (200, "/text")];
        assert_eq!(texts(&bed.responses(conn)), want, "{path}");
        assert_eq!(bed.closed(conn), None, "{path}");
        bed.finish();
    }
}

#[test]
fn who_does_not_want_the_body_answers_at_once_and_closes() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, head("/text", "1.1"));
    assert_eq!(texts(&bed.responses(conn)), [(200, "/text")]);
    assert!(bed.responses(conn)[0].closes());
    assert_eq!(bed.closed(conn), Some(End::Linger));
    bed.finish();
}

#[test]
fn nobody_is_told_to_go_on_who_went_on_or_knows_no_such_word() {
    for path in ["/read", "/echo", "/text"] {
        let whole = head(path, "1.1") + "BODY";
        for at in [0, 20, whole.len() - 5] {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive(conn, &whole[..at]);
            bed.receive(conn, &whole[at..]);
            bed.receive(conn, get("/text"));
            let statuses: Vec<_> = bed.responses(conn).iter().map(|got| got.status).collect();
            assert_eq!(statuses, [200, 200], "{path} cut at {at}");
            bed.finish();
        }
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, head(path, "1.0"));
        assert!(bed.responses(conn).iter().all(|got| got.status != 100), "{path}");
        bed.receive(conn, b"BODY");
        assert_eq!(bed.responses(conn).len(), 1, "{path}");
        bed.finish();
    }
}

#[test]
fn a_peer_that_waits_behind_a_stream_is_told_to_go_on_after_it() {
    for path in ["/read", "/echo"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [get("/wait"), head(path, "1.1").into()].concat());
        assert_eq!(bed.responses(conn).len(), 1);
        bed.record_mut().go = true;
        bed.run();
        assert_eq!(bed.responses(conn)[1].status, 100);
        bed.receive(conn, b"BODY");
        assert_eq!(bed.responses(conn)[2].text(), (200, "BODY"));
        bed.finish();
    }
}
