//! Values that a service hangs on requests: there until the response is out, and gone afterwards.

use ringway::limits::MESSAGES_MAX;

use crate::bed::{Bed, get, post, post_chunks};

#[test]
fn a_value_lives_until_the_response_of_its_request_is_out() {
    let half = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 4);
        bytes
    };
    let cases = [
        ("answered", get("/text"), 0),
        ("answered, the body dropped", half(post("/text", b"some body")), 0),
        ("owed", half(post("/read", b"some body")), 1),
        ("echoing", half(post("/echo", b"some body")), 1),
        ("turning", half(post("/turn", b"some body")), 1),
        ("streaming", get("/wait"), 1),
        ("done streaming", get("/chunks/90000/999"), 0),
        ("failed", get("/illegal"), 0),
        ("failed late", post("/never", b"body"), 0),
        ("given less", get("/parts/9/3"), 0),
        ("HEAD", b"HEAD /chunks/9/9 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 0),
    ];
    for (what, bytes, values) in cases {
        let mut bed = Bed::new();
        let conn = bed.open();
        bed.receive(conn, bytes);
        assert_eq!(bed.values(), values, "{what}");
        bed.reset(conn);
        assert_eq!(bed.values(), 0, "{what}: reset");
        bed.finish();
    }
}

/// Ends of connections.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Reset,
    Eof,
    Fault,
}

#[test]
fn no_name_of_a_message_is_lost_however_its_connection_ends() {
    for ends in [Ends::Reset, Ends::Eof, Ends::Fault] {
        let mut bed = Bed::new();
        let requests = [
            [get("/wait"), get("/text").repeat(30), post("/read", b"body")].concat(),
            [get("/text").repeat(20), post_chunks("/read", &[b"never its end"])].concat(),
            [post("/echo", b"12"), get("/illegal"), get("/text").repeat(10)].concat(),
            [get("/wait"), post("/echo", b"12345")].concat(),
        ];
        for round in 0..2 * MESSAGES_MAX / 60 {
            for bytes in &requests {
                let conn = bed.open();
                bed.receive(conn, &bytes[..bytes.len() - 2 - round % 3]);
                match ends {
                    Ends::Reset => {}
                    Ends::Eof => bed.eof(conn),
                    Ends::Fault => bed.receive(conn, b"\0broken\0\r\n\r\n\r\n\r\n"),
                }
                bed.reset(conn);
            }
        }
        assert_eq!((bed.values(), bed.cx.extensions.unnamed_messages()), (0, 0), "{ends:?}");
        // As many can be open as at the beginning.
        let open = (0..MESSAGES_MAX).filter(|_| !bed.cx.extensions.begin_message().is_none());
        assert_eq!(open.count(), MESSAGES_MAX, "{ends:?}");
        bed.finish();
    }
}

#[test]
fn thousands_of_requests_on_one_connection_need_no_more_names_than_one() {
    let mut bed = Bed::new();
    let conn = bed.open();
    for _ in 0..3 * MESSAGES_MAX / 64 {
        bed.receive(conn, get("/text").repeat(64));
        bed.take_sent(conn);
    }
    assert_eq!((bed.values(), bed.cx.extensions.unnamed_messages()), (0, 0));
    bed.finish();
}
