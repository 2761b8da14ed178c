use proptest::prelude::*;

use super::*;
use crate::limits::HTTP_METHOD_BYTES_MAX;
use crate::proto::http1::{header, headers, path};

fn decode(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    decode_head(bytes, &Limits::default())
}

fn head(text: &str) -> Head {
    decode(text.as_bytes()).expect("legal").expect("whole")
}

/// What every byte-by-byte receiver sees: the first answer that is not "more".
fn trickle(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Fault> {
    let answers = (0..=bytes.len()).map(|end| decode_head(&bytes[..end], limits));
    answers.into_iter().find(|answer| *answer != Ok(None)).unwrap_or(Ok(None))
}

// G-1 G-2 G-3
#[test]
fn a_small_request_decodes_to_its_offsets() {
    let text = "POST /echo?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let head = head(text);
    assert_eq!(&text[head.method_range()], "POST");
    assert_eq!(&text[head.target_range()], "/echo?x=1");
    assert_eq!(&text[head.headers_range()], "Host: a\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(&text[head.head_len as usize..], "hello");
    assert_eq!(path(&text.as_bytes()[head.target_range()]), b"/echo");
    assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
    assert_eq!((head.body, head.target_form), (BodyLength::Length(5), TargetForm::Origin));
    assert!(head.keep_alive && head.has_host && !head.expect_continue);
}

#[test]
fn a_head_is_small_enough_to_pass_by_value() {
    assert!(size_of::<Head>() <= 40, "{}", size_of::<Head>());
}

#[test]
fn one_empty_line_before_the_request_is_skipped_and_counted() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = head(text);
    assert_eq!((&text[head.method_range()], &text[head.target_range()]), ("GET", "/"));
    assert_eq!(head.head_len as usize, text.len());
    assert_eq!(head.header(text.as_bytes(), "host"), Some(&b"a"[..]));
    assert_eq!(header(text.as_bytes(), "host"), Some(&b"a"[..]));
}

#[test]
fn fields_are_walked_in_order_with_their_values_trimmed() {
    let text =
        "GET / HTTP/1.1\r\nHost: a\r\nA:\t b c \t\r\nEmpty:\r\nBlank:   \r\na: 2\r\n\r\nB: body";
    let head = head(text);
    let expected: [(&[u8], &[u8]); 5] =
        [(b"Host", b"a"), (b"A", b"b c"), (b"Empty", b""), (b"Blank", b""), (b"a", b"2")];
    assert!(head.headers(text.as_bytes()).eq(expected));
    assert!(headers(&text.as_bytes()[..head.head_len as usize]).eq(expected));
    assert_eq!(head.header(text.as_bytes(), "EMPTY"), Some(&b""[..]));
    assert_eq!(head.header(text.as_bytes(), "a"), Some(&b"b c"[..]));
    assert_eq!(head.header(text.as_bytes(), "b"), None);
}

#[test]
fn every_method_is_known_in_upper_case_only() {
    let methods = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("TRACE", Method::Trace),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("M-SEARCH", Method::Other),
    ];
    for (name, method) in methods {
        let text = format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = head(&text);
        assert_eq!((&text[head.method_range()], head.method), (name, method));
    }
    let connect = head("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((connect.method, connect.target_form), (Method::Connect, TargetForm::Authority));
}

// G-6
#[test]
fn the_connection_field_and_the_version_decide_on_keep_alive() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Upgrade , CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed, xclose\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: keep_alive\r\n", false),
    ];
    for (version, fields, keep_alive) in cases {
        let head = head(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.keep_alive, keep_alive, "{version} {fields}");
    }
}

#[test]
fn an_expectation_counts_where_there_is_a_body_to_hold_back() {
    let cases = [
        ("1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false),
    ];
    for (version, fields, expected) in cases {
        let head = head(&format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.expect_continue, expected, "{version} {fields}");
    }
}

#[test]
fn an_upgrade_takes_both_fields_and_the_version_that_has_it() {
    let cases = [
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", true),
        ("1.1", "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: x\r\n", true),
        ("1.1", "Connection: Upgrade\r\n", false),
        ("1.1", "Connection: Upgrade\r\nUpgrade: \r\n", false),
        ("1.1", "Upgrade: websocket\r\n", false),
        ("1.1", "Connection: xupgrade\r\nUpgrade: websocket\r\n", false),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", false),
    ];
    for (version, fields, upgrade) in cases {
        let head = head(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.upgrade, upgrade, "{version} {fields}");
    }
}

#[test]
fn a_host_in_the_target_is_told_beside_the_one_of_the_field() {
    let cases = [
        ("GET http://b:80/c HTTP/1.1\r\nHost: a\r\n\r\n", Some("b:80")),
        ("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", Some("b")),
        ("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", Some("b:443")),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ];
    for (text, authority) in cases {
        let found = head(text).authority(text.as_bytes());
        assert_eq!(found, authority.map(str::as_bytes), "{text}");
    }
}

/// Whole heads that must be refused, one per line: the lines, the status, the rule.
#[rustfmt::skip]
const SMUGGLING: &[(&str, u16, Fault)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, Fault::LengthAndCoding),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400, Fault::LengthAndCoding),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400, Fault::LengthRepeated),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\n", 400, Fault::LengthRepeated),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,4\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 4\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n", 413, Fault::BodyTooLarge),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400, Fault::CodingInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, Fault::CodingInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400, Fault::CodingInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x00: chunked\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\tfolded\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX(y): 1\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: 1\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x1bb\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 3\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX:\rb\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 3\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX:\nY:\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\n\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\n\rX", 400, Fault::LineEnd),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::EmptyLines),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::EmptyLines),
    ("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::EmptyLines),
    ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::LineEnd),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400, Fault::Method),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / \r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / HTTP/1.1\r\n\r\n", 400, Fault::HostMissing),
    ("GET http://a/ HTTP/1.1\r\n\r\n", 400, Fault::HostMissing),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, Fault::HostRepeated),
    ("GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n", 400, Fault::HostRepeated),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, Fault::HostRepeated),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a:-8\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: [::1]:x\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400, Fault::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", 400, Fault::HostInvalid),
    ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http://?a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET 1http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("get * HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("options * HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Target),
    ("\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / HTTP/11\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, Fault::VersionUnsupported),
    ("GET / Http/1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET / HTTP /1.1\r\nHost: a\r\n\r\n", 400, Fault::VersionSyntax),
    ("GET\r\nHost: a\r\n\r\n", 400, Fault::Method),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nUser\x0dAgent: b\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nAccept\x1a b\r\n\r\n", 400, Fault::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nAccept: b\x0bc\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\rc\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\n\r\n", 400, Fault::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\x0c\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\u{b3}\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \"3\"\r\n\r\n", 400, Fault::LengthInvalid),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0cchunked\r\n\r\n", 400, Fault::HeaderValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunke\u{212a}\r\n\r\n", 400, Fault::CodingUnknown),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n , gzip\r\n\r\n", 400, Fault::HeaderName),
    ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417, Fault::ExpectationUnknown),
    ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", 417, Fault::ExpectationUnknown),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, Fault::CodingInHttp10),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", 400, Fault::CodingUnknown),
];

#[test]
fn each_smuggling_case_is_refused_with_its_status() {
    for (text, status, fault) in SMUGGLING {
        assert_eq!(decode(text.as_bytes()), Err(*fault), "{text:?}");
        assert_eq!(fault.status(), *status, "{text:?}");
    }
}

#[test]
fn a_refusal_does_not_depend_on_how_the_bytes_were_cut() {
    for (text, _, fault) in SMUGGLING {
        assert_eq!(trickle(text.as_bytes(), &Limits::default()), Err(*fault), "{text:?}");
    }
}

#[test]
fn what_looks_odd_but_is_legal_is_taken() {
    let cases = [
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a\r\nX:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:   a:80\t \r\n\r\n",
        "GET / HTTP/1.1\r\nHOST: a:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \u{ff}~\u{ff}\tb\r\nHost: %41.b-c_d~e\r\n\r\n",
        "GET /a|b{c}\"<>^`?d=[e] HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0007\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Lengthx: 7\r\nContent-Length: 7\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "!#$%&'*+-.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for text in cases {
        assert!(matches!(decode(text.as_bytes()), Ok(Some(_))), "{text:?}");
    }
}

#[test]
fn a_target_is_taken_at_its_limit_and_refused_one_past_it_before_it_ends() {
    let limits = Limits::default();
    let line = |bytes: u32| format!("GET /{}", "a".repeat(bytes as usize - 1));
    let at_limit = line(limits.target_bytes) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(head(&at_limit).target_len, limits.target_bytes);
    assert_eq!(decode(line(limits.target_bytes).as_bytes()), Ok(None));
    let past = line(limits.target_bytes + 1);
    for text in [past.clone(), past.clone() + "\x01", past + " HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(decode(text.as_bytes()), Err(Fault::TargetTooLong));
        assert_eq!(
            resume_head(text.as_bytes(), text.len() - 1, &limits),
            Err(Fault::TargetTooLong)
        );
    }
}

#[test]
fn a_head_is_taken_at_its_limit_and_refused_when_it_cannot_end_within_it() {
    let limits = Limits { head_bytes: 60, ..Limits::default() };
    let mut text = String::from("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    text += &"x".repeat(60 - 4 - text.len());
    let at_limit = text.clone() + "\r\n\r\n";
    let whole = decode_head(at_limit.as_bytes(), &limits).expect("legal").expect("whole");
    assert_eq!(whole.head_len, 60);
    let past = text + "x\r\n\r\n";
    assert_eq!(decode_head(past.as_bytes(), &limits), Err(Fault::HeadTooLong));
    assert_eq!(decode_head(&past.as_bytes()[..60], &limits), Err(Fault::HeadTooLong));
    assert_eq!(resume_head(&past.as_bytes()[..60], 59, &limits), Err(Fault::HeadTooLong));
    assert_eq!(decode_head(&past.as_bytes()[..59], &limits), Ok(None));
}

#[test]
fn fields_are_taken_at_their_limit_and_refused_one_past_it() {
    let text = |fields: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields - 1))
    };
    for limit in [1, 2, HTTP_HEADERS_MAX] {
        let limits = Limits { headers: limit as u32, ..Limits::default() };
        assert!(decode_head(text(limit).as_bytes(), &limits).is_ok());
        let past = decode_head(text(limit + 1).as_bytes(), &limits);
        assert_eq!(past, Err(Fault::TooManyHeaders));
    }
    let beyond_the_table = Limits { headers: 1000, ..Limits::default() };
    let past = decode_head(text(HTTP_HEADERS_MAX + 1).as_bytes(), &beyond_the_table);
    assert_eq!(past, Err(Fault::TooManyHeaders));
}

#[test]
fn a_body_is_taken_at_its_limit_and_refused_one_past_it() {
    let limits = Limits::default();
    let text = |bytes| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    assert_eq!(head(&text(limits.body_bytes)).body, BodyLength::Length(limits.body_bytes));
    assert_eq!(decode(text(limits.body_bytes + 1).as_bytes()), Err(Fault::BodyTooLarge));
}

#[test]
fn a_method_is_taken_at_its_limit_and_refused_one_past_it_before_it_ends() {
    let limit = HTTP_METHOD_BYTES_MAX as usize;
    let at_limit = "M".repeat(limit);
    assert_eq!(decode(at_limit.as_bytes()), Ok(None));
    let text = at_limit.clone() + " / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(&text[head(&text).method_range()], at_limit);
    for rest in ["", "M(", " ", " / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let past = format!("M{at_limit}{rest}");
        assert_eq!(decode(past.as_bytes()), Err(Fault::MethodTooLong), "{past:?}");
    }
}

// G-6
#[test]
fn pipelined_requests_decode_one_after_another() {
    let one = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let all = one.repeat(3);
    let mut rest = all.as_bytes();
    for _ in 0..3 {
        let head = decode(rest).expect("legal").expect("whole");
        rest = &rest[head.head_len as usize..];
    }
    assert!(rest.is_empty());
}

#[test]
fn the_scan_finds_a_blank_line_wherever_it_is_cut() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for seen in 0..text.len() {
        assert!(!head_may_be_complete(&text[..text.len() - 1], seen));
        assert!(head_may_be_complete(text, seen));
    }
    assert!(!head_may_be_complete(text, text.len()));
    assert!(!head_may_be_complete(text, text.len() + 1));
    assert!(head_may_be_complete(b"GET / HTTP/1.1\n\n", 15));
    assert!(head_may_be_complete(b"GET / HTTP/1.1\n\r\n", 16));
}

#[test]
fn resuming_byte_by_byte_comes_to_the_same_head_or_fault() {
    let legal = "\r\nPUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for text in SMUGGLING.iter().map(|(text, ..)| *text).chain([legal]) {
        let bytes = text.as_bytes();
        let answers =
            (1..=bytes.len()).map(|end| resume_head(&bytes[..end], end - 1, &Limits::default()));
        let first = answers.into_iter().find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        // without a blank line nothing is looked at again; the end of input is then all there is
        let expected = decode(bytes);
        assert!(first == expected || first == Ok(None) && !text.contains("\r\n\r\n"), "{text:?}");
    }
}

/// Pieces that make heads worth looking at, legal and not.
fn piece() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b"GET "[..],
        b"POST ",
        b"X",
        b"/",
        b"/a?b",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\xff",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"X: y\r\n",
        b"\r\n\r\n",
    ])
}

/// What holds of any answer at all.
fn check(bytes: &[u8], limits: &Limits) {
    let whole = decode_head(bytes, limits);
    assert_eq!(trickle(bytes, limits), whole, "{:?}", String::from_utf8_lossy(bytes));
    let Ok(Some(head)) = whole else { return };
    let end = head.head_len as usize;
    assert!(end <= bytes.len() && bytes[..end].ends_with(b"\r\n\r\n"));
    assert_eq!(bytes[head.method_range().end], b' ');
    assert!(head.target_range().end < head.headers_range().start);
    assert!(head.headers_range().start < end);
    assert!(head.headers(bytes).count() <= limits.headers as usize);
    assert!(head.headers(bytes).eq(headers(&bytes[..end])));
    for prefix in 0..end {
        assert_eq!(decode_head(&bytes[..prefix], limits), Ok(None));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_every_answer_holds(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        check(&bytes, &Limits::default());
    }

    #[test]
    fn arbitrary_pieces_of_heads_never_panic_and_every_answer_holds(
        pieces in proptest::collection::vec(piece(), 0..12),
    ) {
        check(&pieces.concat(), &Limits::default());
    }

    #[test]
    fn tight_limits_never_panic_and_every_answer_holds(
        pieces in proptest::collection::vec(piece(), 0..12),
        target_bytes in 0..10u32,
        head_bytes in 0..80u32,
        headers in 0..4u32,
    ) {
        check(&pieces.concat(), &Limits { target_bytes, head_bytes, headers, body_bytes: 2 });
    }
}
