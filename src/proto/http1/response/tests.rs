use proptest::prelude::*;

use super::*;
use crate::proto::http1::http_date;

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn encoder() -> Encoder {
    let mut encoder = Encoder::new();
    encoder.set_second(784_111_777);
    encoder
}

/// A head without its Date.
fn written(head: &ResponseHead) -> Option<String> {
    let mut out = [0; 512];
    let len = encoder().encode(&mut out, head)?;
    let text = String::from_utf8_lossy(&out[..len]).into_owned();
    assert_eq!(text.matches(DATE).count(), 1);
    Some(text.replacen(DATE, "", 1))
}

fn encode(
    status: u16,
    content_type: Option<&'static str>,
    content_length: u64,
    connection: Connection,
    fields: &[(&str, &[u8])],
) -> Option<String> {
    let body = BodyFrame::Length(content_length);
    written(&ResponseHead { status, content_type, body, connection, fields })
}

// G-1
#[test]
fn a_pong_has_exactly_these_bytes() {
    let mut out = [0; 256];
    let head = ResponseHead {
        status: 200,
        content_type: Some("text/plain"),
        body: BodyFrame::Length(4),
        connection: Connection::Implicit,
        fields: &[],
    };
    let expected: &[u8] = b"HTTP/1.1 200 OK\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        Content-Type: text/plain\r\n\
        Content-Length: 4\r\n\
        \r\n";
    let len = encoder().encode(&mut out, &head);
    assert_eq!(&out[..len.expect("fits")], expected);
}

#[test]
fn an_encoder_follows_the_seconds_it_is_told() {
    let mut encoder = Encoder::default();
    for second in [0, 1, 1, 784_111_777, 59, u64::MAX] {
        encoder.set_second(second);
        for status in [200, 404] {
            let body = BodyFrame::None;
            let connection = Connection::Implicit;
            let head = ResponseHead { status, content_type: None, body, connection, fields: &[] };
            let mut out = [0; 128];
            let len = encoder.encode(&mut out, &head).expect("fits");
            let date = String::from_utf8_lossy(&http_date(second)).into_owned();
            let expected = format!("HTTP/1.1 {status} {}\r\nDate: {date}\r\n\r\n", reason(status));
            assert_eq!(String::from_utf8_lossy(&out[..len]), expected);
        }
    }
}

#[test]
fn each_way_to_delimit_a_body_has_its_field_and_its_place() {
    let write = |status, body, connection| {
        written(&ResponseHead { status, content_type: None, body, connection, fields: &[] })
    };
    use Connection::{Close, Implicit, KeepAlive};
    let ok = "HTTP/1.1 200 OK\r\n";
    let cases = [
        (200, BodyFrame::Chunked, Implicit, Some("Transfer-Encoding: chunked\r\n")),
        (200, BodyFrame::UntilClose, Close, Some("Connection: close\r\n")),
        (200, BodyFrame::UntilClose, Implicit, None),
        (200, BodyFrame::UntilClose, KeepAlive, None),
        (200, BodyFrame::None, KeepAlive, Some("Connection: keep-alive\r\n")),
        (200, BodyFrame::Length(0), Implicit, Some("Content-Length: 0\r\n")),
        (204, BodyFrame::Chunked, Implicit, None),
        (103, BodyFrame::Chunked, Implicit, None),
    ];
    for (status, body, connection, fields) in cases {
        let expected = fields.map(|fields| format!("{ok}{fields}\r\n"));
        assert_eq!(write(status, body, connection), expected, "{status} {body:?} {connection:?}");
    }
    let unchanged = write(304, BodyFrame::None, Implicit);
    assert_eq!(unchanged.as_deref(), Some("HTTP/1.1 304 Not Modified\r\n\r\n"));
}

#[test]
fn an_upgrade_names_its_protocols_and_no_length() {
    let write = |protocols| {
        encode(101, None, 0, Connection::Upgrade(protocols), &[("Sec-WebSocket-Accept", b"x")])
    };
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Connection: upgrade\r\n\
        Upgrade: websocket\r\n\
        Sec-WebSocket-Accept: x\r\n\
        \r\n";
    assert_eq!(write("websocket").as_deref(), Some(expected));
    assert_eq!((write(""), write("a\r\nB: c")), (None, None));
}

#[test]
fn a_value_of_any_length_is_written_as_it_is_or_not_at_all() {
    for len in 0..40 {
        let mut value = vec![b'v'; len];
        let write =
            |value: &[u8]| encode(200, None, 1, Connection::Implicit, &[("X", value), ("Y", b"z")]);
        let text = "v".repeat(len);
        let expected = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: {text}\r\nY: z\r\n\r\n");
        assert_eq!(write(&value).as_ref(), Some(&expected));
        for at in 0..len {
            for (byte, legal) in [(b'\r', false), (0, false), (0x7f, false), (b'\t', true)] {
                value[at] = byte;
                assert_eq!(write(&value).is_some(), legal, "{byte} at {at} of {len}");
            }
            value[at] = b'v';
        }
    }
}

// G-3
#[test]
fn a_refusal_has_exactly_these_bytes() {
    let found = encode(405, None, 0, Connection::Close, &[("Allow", b"GET, HEAD")]);
    let expected = "HTTP/1.1 405 Method Not Allowed\r\n\
        Content-Length: 0\r\n\
        Connection: close\r\n\
        Allow: GET, HEAD\r\n\
        \r\n";
    assert_eq!(found.as_deref(), Some(expected));
}

#[test]
fn a_head_fits_exactly_or_not_at_all() {
    let head = ResponseHead {
        status: 404,
        content_type: Some("text/html"),
        body: BodyFrame::Length(123_456),
        connection: Connection::KeepAlive,
        fields: &[("A", b"b")],
    };
    let encode_into = |out: &mut [u8]| encoder().encode(out, &head);
    let needed = encode_into(&mut [0; 512]).expect("fits");
    for room in 0..needed {
        assert_eq!(encode_into(&mut vec![0; room]), None, "{room}");
    }
    assert_eq!(encode_into(&mut vec![0; needed]), Some(needed));
}

#[test]
fn responses_without_content_have_no_length() {
    let head = |status| encode(status, None, 0, Connection::Implicit, &[]);
    assert_eq!(head(204).as_deref(), Some("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(head(100).as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    assert_eq!(
        head(304).as_deref(),
        Some("HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n")
    );
}

#[test]
fn an_unknown_status_goes_without_a_phrase_and_an_impossible_one_not_at_all() {
    let head = |status| encode(status, None, 0, Connection::Implicit, &[]);
    assert_eq!(head(299).as_deref(), Some("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"));
    assert_eq!((head(0), head(99), head(1000)), (None, None, None));
}

#[test]
fn phrases_come_from_the_table() {
    assert_eq!((reason(200), reason(404), reason(299)), ("OK", "Not Found", ""));
    let long = "Request Header Fields Too Large";
    assert_eq!((reason(431), reason(505)), (long, "HTTP Version Not Supported"));
}

#[test]
fn every_line_of_the_table_begins_with_its_own_status() {
    for status in 0..=u16::MAX {
        let Some(line) = status_line(status) else { continue };
        assert!(line.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{status}");
        assert!(line.ends_with(b"\r\n") && line.is_ascii() && !reason(status).is_empty());
        assert!(!reason(status).contains(['\r', '\n']));
    }
}

#[test]
fn nothing_a_handler_says_can_end_the_head_or_contradict_its_framing() {
    let with =
        |name: &str, value: &[u8]| encode(200, None, 0, Connection::Implicit, &[(name, value)]);
    for value in [&b"a\r\nB: c"[..], b"a\r", b"\na", b"a\0b", b"a\x7f", b"0123456789abcdef0123\n"] {
        assert_eq!(with("X", value), None, "{value:?}");
    }
    for name in ["", "X:", "X Y", "X\r\nY", "\u{e9}", "Content-length", "TRANSFER-ENCODING"] {
        assert_eq!(with(name, b"1"), None, "{name:?}");
    }
    assert!(with("X", b"tab\tand caf\xc3\xa9").is_some());
    assert_eq!(encode(200, Some("text/plain\r\nX: y"), 0, Connection::Implicit, &[]), None);
}

proptest! {
    #[test]
    fn a_length_is_written_as_the_standard_formatter_writes_it(length in any::<u64>()) {
        let head = encode(200, None, length, Connection::Implicit, &[]);
        let expected = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        prop_assert_eq!(head, Some(expected));
    }

    #[test]
    fn whatever_is_encoded_parses_back(
        status in 200..600u16,
        name in "[A-Za-z-]{1,12}",
        value in proptest::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut out = [0; 512];
        let head = ResponseHead {
            status,
            content_type: None,
            body: BodyFrame::Length(7),
            connection: Connection::Implicit,
            fields: &[(&name, &value)],
        };
        let Some(len) = encoder().encode(&mut out, &head) else {
            return Ok(());
        };
        let mut slots = [httparse::EMPTY_HEADER; 4];
        let mut response = httparse::Response::new(&mut slots);
        prop_assert_eq!(response.parse(&out[..len]), Ok(httparse::Status::Complete(len)));
        prop_assert_eq!((response.code, response.reason), (Some(status), Some(reason(status))));
        let last = response.headers.last().expect("the extra field");
        prop_assert_eq!((last.name, last.value), (&*name, value.trim_ascii()));
    }
}
