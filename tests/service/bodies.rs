//! Bodies of requests: echoed, read, dropped, turned into the response as they come.

use ringway::testing::End;

use crate::bed::{Bed, Got, get, post, post_chunks};

fn texts(got: &[Got]) -> Vec<(u16, &str)> {
    got.iter().map(Got::text).collect()
}

/// A request and what is answered to it.
fn cases() -> Vec<(Vec<u8>, &'static str)> {
    let chunks: [&[u8]; 3] = [b"first ", b"second ", b"third"];
    let body = b"first second third";
    vec![
        (post("/echo", body), "first second third"),
        (post("/read", body), "first second third"),
        (post("/turn", body), "FIRST SECOND THIRD"),
        (post("/text", body), "/text"),
        (post("/on_text", body), "at once"),
        (post_chunks("/echo", &chunks), "first second third"),
        (post_chunks("/read", &chunks), "first second third"),
        (post_chunks("/turn", &chunks), "FIRST SECOND THIRD"),
        (post_chunks("/text", &chunks), "/text"),
        (post_chunks("/on_text", &chunks), "at once"),
        (post("/echo", b""), ""),
        (post_chunks("/echo", &[]), ""),
        (post_chunks("/read", &[]), ""),
        (post_chunks("/turn", &[]), ""),
        (get("/echo"), ""),
        (get("/turn"), ""),
    ]
}

#[test]
fn every_body_is_answered_the_same_however_it_is_cut_and_so_is_what_is_behind_it() {
    for (request, want) in cases() {
        let bytes = [&request, &get("/text/1"), &request, &get("/text/2")[..]].concat();
        for most in 1..=bytes.len() {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive_cut(conn, &bytes, most);
            let wanted = [(200, want), (200, "/text/1"), (200, want), (200, "/text/2")];
            let request = String::from_utf8_lossy(&request);
            assert_eq!(texts(&bed.responses(conn)), wanted, "{request} cut to {most}");
            assert_eq!((bed.waiting(), bed.record().calls.len()), (0, 4));
            bed.finish();
        }
    }
}

#[test]
fn every_body_is_answered_the_same_when_cut_in_two_anywhere() {
    for (request, want) in cases() {
        let bytes = [&request, &get("/text/1")[..]].concat();
        for at in 1..bytes.len() {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive(conn, &bytes[..at]);
            bed.receive(conn, &bytes[at..]);
            let got = bed.responses(conn);
            assert_eq!(texts(&got), [(200, want), (200, "/text/1")], "cut at {at}");
            bed.finish();
        }
    }
}

#[test]
fn a_body_of_known_length_is_echoed_with_it_and_a_chunked_one_in_chunks() {
    let mut bed = Bed::new();
    let known = &bed.ask(post("/echo", b"12345"))[0];
    assert!(known.has("Content-Length: 5") && !known.has("Transfer-Encoding: chunked"));
    let chunked = &bed.ask(post_chunks("/echo", &[b"12345"]))[0];
    assert!(chunked.has("Transfer-Encoding: chunked") && chunked.body == b"12345");
    let none = &bed.ask(get("/echo"))[0];
    assert!(none.has("Content-Length: 0"));
    bed.finish();
}

#[test]
fn large_bodies_pass_through_every_way_of_reading_them() {
    let body: Vec<u8> = (0..100_000u32).map(|at| b'A' + (at % 26) as u8).collect();
    let chunks: Vec<&[u8]> = body.chunks(3_333).collect();
    for path in ["/echo", "/read", "/turn"] {
        let mut bed = Bed::new();
        for request in [post(path, &body), post_chunks(path, &chunks)] {
            let got = bed.ask([request, get("/text")].concat());
            assert!(got[0].body == body && got[0].whole, "{path}: {}", got[0].body.len());
            assert_eq!(got[1].text(), (200, "/text"));
        }
        bed.finish();
    }
}

#[test]
fn a_service_that_answers_in_the_middle_gets_no_more_of_the_body() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive_cut(conn, [post("/read/4", b"0123456789"), get("/text")].concat(), 1);
    assert_eq!(texts(&bed.responses(conn)), [(200, "0123"), (200, "/text")]);
    assert_eq!((bed.record().body_bytes, bed.record().lasts), (4, 0));
    bed.finish();
}

#[test]
fn a_service_that_reads_on_behind_its_answer_gets_all_of_the_body_and_its_last_part_once() {
    for request in [post("/on_text", b"0123456789"), post_chunks("/on_text", &[b"01", b"23456789"])]
    {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, [request, get("/text")].concat(), 3);
        assert_eq!(texts(&bed.responses(conn)), [(200, "at once"), (200, "/text")]);
        assert_eq!((bed.record().body_bytes, bed.record().lasts), (10, 1));
        bed.reset(conn);
        assert!(bed.record().closed.is_empty(), "all was whole");
        bed.finish();
    }
}

#[test]
fn a_service_turns_parts_of_the_request_into_parts_of_the_response_as_they_come() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.receive(conn, "POST /turn HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (chunk, so_far) in [("3\r\none\r\n", "ONE"), ("3\r\ntwo\r\n", "ONETWO")] {
        bed.receive(conn, chunk);
        bed.run();
        let got = &bed.responses(conn)[0];
        assert_eq!((got.text(), got.whole), ((200, so_far), false));
    }
    bed.receive(conn, "0\r\n\r\n");
    bed.run();
    assert!(bed.responses(conn)[0].whole);
    bed.finish();
}

#[test]
fn a_service_that_never_answers_a_whole_request_has_500_said_for_it() {
    for request in [post("/never", b"body"), post_chunks("/never", &[b"bo", b"dy"])] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, request);
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].status, got[0].closes()), (1, 500, true));
        assert_eq!(bed.closed(conn), Some(End::Close));
        bed.finish();
    }
}

#[test]
fn a_service_that_asks_for_the_body_of_a_request_without_one_gets_its_end_at_once() {
    for request in [get("/read"), post("/read", b""), post_chunks("/read", &[])] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, [request, get("/text")].concat());
        let got = bed.responses(conn);
        let answers: Vec<_> = got.iter().map(|got| (got.status, got.body.len())).collect();
        assert_eq!((answers, bed.record().lasts), (vec![(200, 0), (200, 5)], 1));
        bed.finish();
    }
}

#[test]
fn what_a_request_forbids_is_a_500() {
    for request in [get("/never"), get("/illegal"), get("/status/99"), get("/status/600")] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, request);
        let got = bed.responses(conn);
        assert_eq!((got.len(), got[0].status, got[0].closes()), (1, 500, true));
        assert!(bed.closed(conn).is_some());
        bed.finish();
    }
}

#[test]
fn a_dropped_body_that_is_still_coming_when_the_connection_ends_is_lingered_over() {
    let mut bed = Bed::new();
    let conn = bed.open();
    let request =
        "POST /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    bed.receive(conn, request);
    assert_eq!(bed.closed(conn), Some(End::Linger));
    let conn = bed.open();
    bed.receive(conn, format!("{request}123456789"));
    assert!(bed.closed(conn).is_some());
    bed.finish();
}

#[test]
fn a_connection_that_is_to_close_closes_when_its_service_has_read_all_of_the_body() {
    for path in ["/on_text", "/turn"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        let fields = "Host: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
        bed.receive(conn, format!("POST {path} HTTP/1.1\r\n{fields}"));
        bed.receive(conn, "1234");
        assert_eq!(bed.closed(conn), None, "{path}");
        bed.receive(conn, "56789");
        bed.run();
        assert!(bed.responses(conn)[0].whole && bed.closed(conn).is_some(), "{path}");
        assert_eq!((bed.record().body_bytes, bed.record().lasts), (9, 1), "{path}");
        assert!(bed.record().closed.is_empty(), "{path}: all was whole");
        bed.finish();
    }
}

#[test]
fn a_service_that_takes_no_more_for_now_holds_up_its_own_peer_and_nobody_else() {
    for ends in [false, true] {
        let mut bed = Bed::new();
        let (conn, other) = (bed.open(), bed.open());
        bed.record_mut().stop = true;
        let body: Vec<u8> = (0..60_000u32).map(|at| b'a' + (at % 26) as u8).collect();
        bed.receive(conn, [post("/turn/2", &body), get("/text")].concat());
        if ends {
            bed.eof(conn);
        }
        bed.receive(other, get("/text"));
        assert_eq!(bed.responses(other)[0].status, 200);
        assert!(bed.paused(conn) && bed.record().body_bytes < 5_000 && bed.waiting() < 3);
        bed.record_mut().stop = false;
        bed.run();
        let got = bed.responses(conn);
        assert!(got[0].whole && got[0].body == body.to_ascii_uppercase(), "{}", got[0].body.len());
        assert_eq!(got[1].text(), (200, "/text"), "ends: {ends}");
        assert_eq!(bed.closed(conn).is_some(), ends);
        assert!(ends || !bed.paused(conn));
        assert_eq!(bed.record().lasts, 1);
        bed.finish();
    }
}

#[test]
fn receiving_goes_on_as_soon_as_the_service_takes_parts_again() {
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.record_mut().stop = true;
    let request = post("/turn/2", &[b'x'; 60_000]);
    let (most, last) = request.split_at(request.len() - 10);
    bed.receive(conn, most);
    assert!(bed.paused(conn));
    bed.record_mut().stop = false;
    bed.run();
    assert!(!bed.paused(conn) && !bed.responses(conn)[0].whole);
    bed.receive(conn, last);
    assert!(bed.responses(conn)[0].body == [b'X'; 60_000]);
    bed.finish();
}
