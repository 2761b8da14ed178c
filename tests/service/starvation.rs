//! An empty pool at every point of every kind of exchange: what comes out when slots are back is
//! what would have come out at once, and nobody was asked twice.

use ringway::mem::ConnId;

use crate::bed::{Bed, Got, get, post, post_chunks};

/// Exchanges of every kind, each with the pieces that it arrives in.
pub fn exchanges() -> Vec<Vec<u8>> {
    let upgrade =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: caps\r\n\r\n";
    let chunks: [&[u8]; 3] = [b"one", b"two", b"three"];
    vec![
        get("/text"),
        get("/bytes/40000"),
        get("/buf/3000"),
        get("/stream/40000/999"),
        get("/chunks/40000/999"),
        get("/trailers/3000/999/3"),
        get("/parts/9/3/3/3"),
        get("/parts/9/3"),
        get("/illegal"),
        get("/status/42"),
        get("/read"),
        get("/upgrade"),
        post("/never", b"body"),
        post("/echo", b"some body"),
        post("/read", b"some body"),
        post("/read/3", b"some body"),
        post("/turn", b"some body"),
        post("/on_text", b"some body"),
        post("/text", b"some body"),
        post_chunks("/echo", &chunks),
        post_chunks("/read", &chunks),
        post_chunks("/turn", &chunks),
        [post_chunks("/echo", &chunks[..1]), b"what\r\n\r\n".to_vec()].concat(),
        [upgrade.into(), b"caps".to_vec()].concat(),
    ]
}

/// What is compared: all but the pieces that a chunked body was cut into.
#[derive(Debug, PartialEq)]
struct Outcome {
    got: Vec<(u16, Vec<u8>, String, bool, bool)>,
    closed: bool,
    calls: Vec<String>,
    body_bytes: usize,
    lasts: usize,
    parts: usize,
}

fn outcome(bed: &Bed, conn: ConnId) -> Outcome {
    let row = |got: Got| {
        let closes = got.closes();
        (got.status, got.body, got.trailers, got.whole, closes)
    };
    let record = bed.record();
    Outcome {
        got: bed.responses(conn).into_iter().map(row).collect(),
        closed: bed.closed(conn).is_some(),
        calls: record.calls.clone(),
        body_bytes: record.body_bytes,
        lasts: record.lasts,
        parts: record.parts,
    }
}

/// Turns as often as a service that found no slot may have to be asked again.
fn settle(bed: &mut Bed) {
    (0..4).for_each(|_| bed.run());
}

/// The pool is empty from the piece at `from` to the one before `until`.
fn run(bytes: &[u8], most: usize, from: usize, until: usize) -> Outcome {
    let mut bed = Bed::new();
    let conn = bed.open();
    for (at, piece) in bytes.chunks(most).enumerate() {
        if at == from {
            bed.starve(true);
        }
        if at == until {
            bed.starve(false);
            settle(&mut bed);
        }
        bed.receive(conn, piece);
    }
    bed.starve(false);
    settle(&mut bed);
    let outcome = outcome(&bed, conn);
    assert_eq!(bed.waiting(), 0, "something waits for good");
    bed.finish();
    outcome
}

#[test]
fn an_empty_pool_at_any_point_changes_nothing_but_the_time() {
    for exchange in exchanges() {
        let bytes = [&exchange, &get("/text/2")[..]].concat();
        for most in [5, 40, bytes.len()] {
            let pieces = bytes.len().div_ceil(most);
            let want = run(&bytes, most, usize::MAX, usize::MAX);
            for from in 0..pieces {
                for until in [from + 1, from + 2, usize::MAX] {
                    let text = String::from_utf8_lossy(&bytes);
                    let got = run(&bytes, most, from, until);
                    assert_eq!(got, want, "{text} in {most}s, {from} to {until}");
                }
            }
        }
    }
}

#[test]
fn an_empty_pool_while_a_stream_is_held_up_changes_nothing_but_the_time() {
    for exchange in exchanges() {
        let bytes = [get("/wait"), exchange, get("/text/2")].concat();
        let outcome = |starves: bool| {
            let mut bed = Bed::new();
            let conn = bed.open();
            bed.receive(conn, &bytes);
            bed.starve(starves);
            bed.record_mut().go = true;
            bed.run();
            bed.run();
            bed.starve(false);
            settle(&mut bed);
            let outcome = outcome(&bed, conn);
            assert_eq!(bed.waiting(), 0);
            bed.finish();
            outcome
        };
        assert_eq!(outcome(true), outcome(false), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_connection_that_ends_while_its_answer_waits_for_a_slot_leaves_nothing_behind() {
    for exchange in exchanges() {
        for resets in [true, false] {
            let mut bed = Bed::new();
            let (conn, other) = (bed.open(), bed.open());
            bed.starve(true);
            bed.receive(conn, &exchange);
            if resets {
                bed.reset(conn);
            } else {
                bed.eof(conn);
            }
            bed.receive(other, get("/text"));
            bed.starve(false);
            settle(&mut bed);
            assert_eq!(bed.responses(other)[0].status, 200);
            assert_eq!((bed.values(), bed.waiting()), (0, 0));
            assert!(bed.closed(conn).is_some());
            bed.finish();
        }
    }
}

#[test]
fn a_hundred_turns_without_a_slot_ask_nobody_twice() {
    for path in ["/text", "/illegal", "/status/42", "/upgrade", "/bytes/40000", "/chunks/9/3"] {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.starve(true);
        bed.receive(conn, get(path));
        (0..100).for_each(|_| bed.run());
        bed.starve(false);
        settle(&mut bed);
        assert_eq!(bed.record().calls, [path]);
        assert_eq!(bed.responses(conn).len(), 1);
        bed.finish();
    }
}

/// Requests that want a slot which their bytes do not bring: those that come while there are slots
/// enough, what comes when there are none, and how the last response ends.
fn wanting() -> Vec<(&'static str, Vec<u8>, Vec<u8>, &'static str)> {
    let trailers = b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                     0\r\nX: y\r\n\r\n";
    // The request in the middle waits for the stream, and shares its slot with the cut one.
    let cut = [get("/wait"), get("/text/1"), b"GET /te".to_vec()].concat();
    vec![
        ("a reply", Vec::new(), get("/text"), "/text"),
        ("a reply to a body", Vec::new(), post("/read", b"some body"), "some body"),
        ("trailers", Vec::new(), trailers.to_vec(), "\r\n\r\n"),
        ("a head", cut, b"xt/2 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "/text/2"),
    ]
}

/// A connection whose stream holds all slots but one, and keeps them.
fn hoarder(bed: &mut Bed) -> ConnId {
    let (conn, body) = (bed.open(), bed.free_slots() - 1);
    let head = format!("POST /hoard HTTP/1.1\r\nHost: a\r\nContent-Length: {body}\r\n\r\n");
    bed.receive(conn, head);
    bed.receive_cut(conn, vec![b'x'; body], 1);
    assert_eq!(bed.free_slots(), 1);
    conn
}

#[test]
fn what_waits_for_a_slot_lets_the_word_through_that_frees_them() {
    for (what, before, bytes, end) in wanting() {
        for resets in [true, false] {
            let mut bed = Bed::new();
            let other = bed.open();
            bed.receive(other, &before);
            let hoarder = hoarder(&mut bed);
            bed.take_sent(other);
            bed.receive(other, &bytes);
            assert_eq!((bed.sent(other), bed.free_slots()), (&b""[..], 0), "{what}");
            if resets {
                bed.reset(hoarder);
            } else {
                bed.record_mut().go = true; // seen when its `FLUSHED` comes
            }
            settle(&mut bed);
            bed.record_mut().go = true;
            settle(&mut bed);
            assert_eq!(bed.waiting(), 0, "{what}");
            let sent = String::from_utf8_lossy(bed.sent(other)).into_owned();
            assert!(sent.ends_with(end), "{what}: {sent}");
            bed.finish();
        }
    }
}
