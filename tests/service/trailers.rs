//! Trailer fields of requests: told to a service that reads the body, before its last part.

use crate::bed::{Bed, Got, get, post_chunks};

/// A chunked request with these trailer lines.
fn request(path: &str, lines: &str) -> Vec<u8> {
    let mut bytes = post_chunks(path, &[b"some ", b"body"]);
    bytes.truncate(bytes.len() - 2);
    [&bytes, lines.as_bytes(), b"\r\n"].concat()
}

const LINES: &str = "Sum: 7\r\nSigned-By: me\r\n";

fn texts(got: &[Got]) -> Vec<(u16, &str)> {
    got.iter().map(Got::text).collect()
}

#[test]
fn trailers_reach_the_service_that_reads_and_nobody_else_however_they_are_cut() {
    for (path, want, told) in [
        ("/read", "some body", "Sum=7;Signed-By=me;"),
        ("/turn", "SOME BODY", "Sum=7;Signed-By=me;"),
        ("/on_text", "at once", "Sum=7;Signed-By=me;"),
        ("/echo", "some body", ""),
        ("/text", "/text", ""),
    ] {
        let bytes = [request(path, LINES), get("/text/2")].concat();
        for most in 1..=bytes.len() {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive_cut(conn, &bytes, most);
            assert_eq!(texts(&bed.responses(conn)), [(200, want), (200, "/text/2")], "{most}");
            assert_eq!(bed.record().trailers, told, "{path} cut to {most}");
            bed.finish();
        }
    }
}

#[test]
fn trailers_behind_a_stream_or_an_empty_pool_are_told_once() {
    for most in [1, 9, 4096] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive_cut(conn, [get("/wait"), request("/read", LINES)].concat(), most);
        assert_eq!(bed.record().trailers, "");
        bed.starve(true);
        bed.record_mut().go = true;
        (0..3).for_each(|_| bed.run());
        bed.starve(false);
        (0..3).for_each(|_| bed.run());
        assert_eq!(bed.responses(conn)[1].text(), (200, "some body"));
        assert_eq!(bed.record().trailers, "Sum=7;Signed-By=me;");
        bed.finish();
    }
    let mut bed = Bed::new();
    let conn = bed.open();
    bed.starve(true);
    bed.receive_cut(conn, request("/read", LINES), 1);
    bed.starve(false);
    bed.run();
    assert_eq!(bed.record().trailers, "Sum=7;Signed-By=me;");
    bed.finish();
}

#[test]
fn a_body_whose_trailers_are_illegal_is_refused_and_the_service_is_not_told_that_it_ended() {
    for lines in ["Content-Length: 3\r\n", "no colon\r\n", "a b: c\r\n", "Host: b\r\n"] {
        for path in ["/read", "/on_text"] {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive(conn, [request(path, lines), get("/text")].concat());
            let want: &[u16] = if path == "/read" { &[400] } else { &[200] };
            let statuses: Vec<_> = bed.responses(conn).iter().map(|got| got.status).collect();
            assert_eq!(statuses, want, "{path} {lines}");
            assert_eq!((bed.record().lasts, bed.record().trailers.as_str()), (0, ""), "{lines}");
            assert_eq!(bed.record().closed, [conn], "{path} {lines}");
            bed.finish();
        }
    }
}

#[test]
fn trailers_that_find_no_place_to_wait_for_their_end_are_refused() {
    let mut bed = Bed::with(|settings| settings.stashes.all = 1);
    let (first, second) = (bed.open(), bed.open());
    bed.receive(first, "GET / HT"); // takes the only place
    let bytes = request("/read", LINES);
    bed.receive(second, &bytes[..bytes.len() - 3]);
    bed.receive(second, &bytes[bytes.len() - 3..]);
    let statuses: Vec<_> = bed.responses(second).iter().map(|got| got.status).collect();
    assert_eq!(statuses, [503]);
    assert_eq!(bed.closed(first), None);
    bed.finish();
}
