//! Broken rules, ends and resets in each phase of an exchange.

use ringway::testing::End;

use crate::bed::{Bed, get, post, post_chunks};

/// A chunked request whose body breaks the rules after its first chunk.
fn broken(path: &str) -> Vec<u8> {
    let mut bytes = post_chunks(path, &[b"some"]);
    bytes.truncate(bytes.len() - 5);
    bytes.extend(b"zz\r\n");
    bytes
}

fn statuses(bed: &Bed, conn: ringway::mem::ConnId) -> Vec<u16> {
    bed.responses(conn).iter().map(|got| got.status).collect()
}

#[test]
fn a_body_of_chunks_that_nobody_wants_is_looked_at_before_its_request_is_answered() {
    let whole = broken("/text");
    for most in [1, 3, whole.len()] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, &whole, most);
        assert_eq!(statuses(&bed, conn), [400], "cut to {most}");
        assert_eq!(bed.closed(conn), Some(End::Linger));
        bed.finish();
    }
}

#[test]
fn a_body_that_breaks_before_its_answer_gets_400_and_its_service_hears_of_it() {
    for path in ["/read", "/never"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, broken(path));
        assert_eq!(statuses(&bed, conn), [400]);
        assert!(bed.responses(conn)[0].closes());
        assert_eq!(bed.closed(conn), Some(End::Linger));
        assert_eq!(bed.record().closed, [conn]);
        bed.finish();
    }
}

#[test]
fn a_body_that_breaks_as_it_comes_is_a_400_also_where_it_would_be_echoed() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, broken("/echo"));
    assert_eq!(statuses(&bed, conn), [400]);
    assert_eq!(bed.closed(conn), Some(End::Linger));
    bed.finish();
}

#[test]
fn a_body_that_breaks_while_it_is_echoed_cuts_the_response_short() {
    let mut bed = Bed::new();
    let conn = bed.open();
    let bytes = broken("/echo");
    let (whole, rest) = bytes.split_at(bytes.len() - 4);
    bed.receive(conn, whole);
    bed.receive(conn, rest);
    let got = &bed.responses(conn)[0];
    assert_eq!((got.whole, &got.body[..]), (false, &b"some"[..]));
    assert_eq!((bed.responses(conn).len(), bed.closed(conn)), (1, Some(End::Linger)));
    bed.finish();
}

#[test]
fn a_body_that_breaks_behind_a_stream_is_answered_behind_it() {
    for path in ["/read", "/text"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [get("/wait"), broken(path)].concat());
        assert_eq!((statuses(&bed, conn), bed.closed(conn)), (vec![200], None));
        bed.record_mut().go = true;
        bed.run();
        assert_eq!(statuses(&bed, conn), [200, 400]);
        assert_eq!(bed.closed(conn), Some(End::Linger));
        bed.finish();
    }
}

#[test]
fn a_head_that_is_broken_is_answered_behind_all_that_came_before() {
    let mut bed = Bed::new();
    let conn = bed.open();
    let requests = [get("/text"), get("/wait"), post("/echo", b"x"), b"what\r\n\r\n".to_vec()];
    bed.receive(conn, requests.concat());
    assert_eq!(statuses(&bed, conn), [200, 200]);
    bed.record_mut().go = true;
    bed.run();
    assert_eq!(statuses(&bed, conn), [200, 200, 200, 400]);
    assert_eq!(bed.closed(conn), Some(End::Linger));
    assert!(bed.record().closed.is_empty(), "all was whole");
    bed.finish();
}

/// Requests that leave an exchange in each phase, and whether the service hears of its end.
fn phases() -> Vec<(&'static str, Vec<u8>, bool)> {
    let part = |path| {
        let mut bytes = post(path, b"0123456789");
        bytes.truncate(bytes.len() - 4);
        bytes
    };
    vec![
        ("before", Vec::new(), false),
        ("in a head", get("/text")[..9].to_vec(), false),
        ("idle", get("/text"), false),
        ("owed", part("/read"), true),
        ("answered in the middle", part("/read/3"), false),
        ("streaming", get("/wait"), true),
        ("streaming, a request behind", [get("/wait"), get("/text")].concat(), true),
        ("echoing", part("/echo"), false),
        ("turning", part("/turn"), true),
        ("answered and reading on", part("/on_text"), true),
        ("answered, body dropped", part("/text"), false),
        ("whole turn", [post("/turn", b"x"), get("/text")].concat(), false),
    ]
}

#[test]
fn the_service_hears_of_a_reset_in_each_phase_where_something_was_not_whole_and_once() {
    for (phase, bytes, hears) in phases() {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, bytes);
        assert_eq!(bed.record().closed, [], "{phase}");
        bed.reset(conn);
        assert_eq!(bed.record().closed.len(), usize::from(hears), "{phase}");
        assert_eq!(bed.values(), 0, "{phase}: values were left");
        bed.finish();
    }
}

#[test]
fn an_end_of_the_peers_bytes_closes_at_once_or_behind_the_response() {
    for (phase, bytes, _) in phases() {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, bytes);
        bed.eof(conn);
        let streams = phase.starts_with("streaming");
        assert_eq!(bed.closed(conn).is_none(), streams, "{phase}");
        bed.record_mut().go = true;
        bed.run();
        bed.run();
        assert_eq!(bed.closed(conn), Some(End::Close), "{phase}");
        if streams {
            assert!(bed.responses(conn).iter().all(|got| got.whole), "{phase}");
            assert!(bed.record().closed.is_empty(), "{phase}: it ended well");
        }
        bed.finish();
    }
}

#[test]
fn requests_behind_an_answer_that_closes_are_not_asked_of_the_service() {
    let declined = "POST /text/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                    Content-Length: 4\r\n\r\n";
    let old = "GET /chunks/90000/999 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for first in
        [get("/illegal"), get("/parts/9/3"), post("/never", b"body"), declined.into(), old.into()]
    {
        for most in [1, 20, 4096] {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.starve(true); // all is here before the first is answered
            bed.receive(conn, &first);
            bed.receive_cut(
                conn,
                [&b"body"[..4 * usize::from(first == declined.as_bytes())], &get("/text/2")]
                    .concat(),
                most,
            );
            bed.starve(false);
            bed.run();
            assert_eq!(bed.record().calls.len(), 1, "{}", String::from_utf8_lossy(&first));
            assert_eq!(bed.responses(conn).len(), 1);
            assert!(bed.closed(conn).is_some());
            assert_eq!(bed.values(), 0);
            bed.finish();
        }
    }
}

#[test]
fn a_fault_does_not_overtake_the_whole_requests_before_it() {
    for echo in [post_chunks("/echo", &[b"hi"]), post("/echo", b"hi")] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [&echo[..], &get("/text"), b"BAD\x01\r\n\r\n"].concat());
        assert_eq!(statuses(&bed, conn), [200, 200, 400]);
        assert_eq!(bed.responses(conn)[0].body, b"hi");
        bed.finish();
    }
}
