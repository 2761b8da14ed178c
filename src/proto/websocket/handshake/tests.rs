//! Both parts, and what each makes of an odd other.

use proptest::prelude::*;

use super::*;
use crate::proto::http1::{Limits, decode_head};
use crate::proto::websocket::Deflate;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const NONCE: &[u8; 16] = b"the sample nonce";
const ACCEPT: &[u8; 28] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FIELDS: &[&str] = &[
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A request with these fields beside Host.
fn request<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut text = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n".to_owned();
    for field in fields {
        text += field;
        text += "\r\n";
    }
    (text + "\r\n").into_bytes()
}

fn ask<'a>(server: &Server<'a>, bytes: &[u8]) -> Result<Accepted<'a>, Refusal> {
    let head = decode_head(bytes, &Limits::default()).unwrap().unwrap();
    server.accept(bytes, &head, |_, _| true)
}

/// What is answered to a request with `fields` beside those that it needs.
fn ask_with(server: &Server<'_>, fields: &[&str]) -> Result<String, Refusal> {
    let bytes = request(FIELDS.iter().chain(fields).copied());
    let accepted = ask(server, &bytes)?;
    let mut out = [0; 512];
    let len = accepted.write_response(&mut out).unwrap();
    Ok(String::from_utf8(out[..len].to_vec()).unwrap())
}

// W-7: RFC 6455 §1.3.
#[test]
fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
    assert_eq!(&accept_value(KEY.as_bytes()), ACCEPT);
}

// W-7: RFC 6455 §1.2.
#[test]
fn the_request_of_the_rfc_gets_the_answer_of_the_rfc() {
    let server = Server { protocols: &["superchat", "chat"], deflate: None };
    let fields = ["Origin: http://example.com", "Sec-WebSocket-Protocol: chat, superchat"];
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                    Sec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(ask_with(&server, &fields).as_deref(), Ok(expected));
}

#[test]
fn fields_may_be_written_as_http_lets_them() {
    let fields = [
        "upgrade: h2c, WebSocket",
        "CONNECTION: keep-alive, upgrade",
        "sec-websocket-key:   dGhlIHNhbXBsZSBub25jZQ==  ",
        "SEC-WEBSOCKET-VERSION:13",
    ];
    let accepted = ask(&Server::default(), &request(fields)).unwrap();
    assert_eq!((&accepted.accept, accepted.protocol, accepted.deflate), (ACCEPT, None, None));
}

#[test]
fn each_field_that_is_missing_or_wrong_has_its_answer() {
    let cases: &[(usize, &str, Refusal)] = &[
        (0, "X: y", Refusal::NoUpgrade),
        (0, "Upgrade: h2c", Refusal::NoUpgrade),
        (0, "Upgrade: websocketx", Refusal::NoUpgrade),
        (1, "X: y", Refusal::NoUpgrade),
        (1, "Connection: keep-alive", Refusal::NoUpgrade),
        (2, "X: y", Refusal::Key),
        (2, "Sec-WebSocket-Key:", Refusal::Key),
        (2, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=", Refusal::Key),
        (2, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh", Refusal::Key),
        (2, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!==", Refusal::Key),
        (2, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j", Refusal::Key),
        (3, "X: y", Refusal::Version),
        (3, "Sec-WebSocket-Version: 8", Refusal::Version),
        (3, "Sec-WebSocket-Version: 13, 8", Refusal::Version),
    ];
    for (index, other, refusal) in cases {
        let mut fields = FIELDS.to_vec();
        fields[*index] = other;
        assert_eq!(ask(&Server::default(), &request(fields)), Err(*refusal), "{other}");
    }
    for repeated in [FIELDS[2], FIELDS[3], "Origin: a\r\nOrigin: b"] {
        let got = ask_with(&Server::default(), &[repeated]);
        assert_eq!(got, Err(Refusal::Malformed), "{repeated}");
    }
    let body = ask_with(&Server::default(), &["Content-Length: 3"]);
    assert_eq!(body, Err(Refusal::Malformed));
}

#[test]
fn other_methods_and_versions_are_refused() {
    let text = String::from_utf8(request(FIELDS.iter().copied())).unwrap();
    let post = text.replacen("GET", "POST", 1).into_bytes();
    assert_eq!(ask(&Server::default(), &post), Err(Refusal::Method));
    let old = text.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes();
    assert_eq!(ask(&Server::default(), &old), Err(Refusal::NoUpgrade));
}

#[test]
fn a_refusal_is_an_answer_of_its_status() {
    let all = [
        Refusal::Method,
        Refusal::NoUpgrade,
        Refusal::Version,
        Refusal::Key,
        Refusal::Malformed,
        Refusal::Origin,
    ];
    for refusal in all {
        let text = std::str::from_utf8(refusal.response()).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {} ", refusal.status())), "{text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n") && text.contains("close\r\n"));
        assert_eq!(text.contains("Sec-WebSocket-Version: 13"), refusal == Refusal::Version);
    }
}

#[test]
fn the_clients_first_choice_among_those_spoken_is_taken() {
    let server = Server { protocols: &["a", "b"], deflate: None };
    let chosen = |field: &str| {
        ask(&server, &request(FIELDS.iter().copied().chain([field]))).map(|got| got.protocol)
    };
    assert_eq!(chosen("Sec-WebSocket-Protocol: c, b, a"), Ok(Some("b")));
    assert_eq!(chosen("Sec-WebSocket-Protocol: c\r\nSec-WebSocket-Protocol: a"), Ok(Some("a")));
    assert_eq!(chosen("Sec-WebSocket-Protocol: c"), Ok(None));
    assert_eq!(chosen("Sec-WebSocket-Protocol: A"), Ok(None), "they are case-sensitive");
    assert_eq!(chosen("Sec-WebSocket-Protocol: a b"), Err(Refusal::Malformed));
}

#[test]
fn who_is_not_welcome_is_refused() {
    let bytes = request(FIELDS.iter().copied().chain(["Origin: http://other.example"]));
    let head = decode_head(&bytes, &Limits::default()).unwrap().unwrap();
    assert_eq!(Server::default().accept(&bytes, &head, is_same_origin), Err(Refusal::Origin));
    let host = Some(&b"a.example:80"[..]);
    for (origin, same) in [
        (None, true),
        (Some("http://a.example:80"), true),
        (Some("HTTPS://A.example:80"), true),
        (Some("http://a.example"), false),
        (Some("http://a.example:80.evil"), false),
        (Some("ftp://a.example:80"), false),
        (Some("null"), false),
        (Some(""), false),
    ] {
        assert_eq!(is_same_origin(origin.map(str::as_bytes), host), same, "{origin:?}");
    }
    assert!(!is_same_origin(Some(b"http://a"), None));
}

#[test]
fn extensions_are_agreed_on_over_all_lines_where_the_server_wants_them() {
    let field = "Sec-WebSocket-Extensions: x\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let with = Server { deflate: Some(Deflate::default()), ..Server::default() };
    let got = ask_with(&with, &[field]).unwrap();
    assert!(got.contains("\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"), "{got}");
    let got = ask_with(&Server::default(), &[field]).unwrap();
    assert!(!got.contains("Extensions"), "{got}");
    for server in [with, Server::default()] {
        let got = ask_with(&server, &["Sec-WebSocket-Extensions: ;"]);
        assert_eq!(got, Err(Refusal::Malformed));
    }
}

fn client() -> Client<'static> {
    Client {
        host: "server.example.com",
        target: "/chat",
        origin: Some("http://example.com"),
        protocols: &["chat", "superchat"],
        deflate: Some(Deflate::default()),
        fields: &[("Cookie", "a=b")],
    }
}

const ANSWER: &[&str] = &[
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

fn read(lines: &[&str]) -> Result<Option<Response<'static>>, ClientFault> {
    client().read_response(NONCE, (lines.join("\r\n") + "\r\n\r\n").as_bytes())
}

#[test]
fn both_parts_agree() {
    let server = Server {
        protocols: &["superchat"],
        deflate: Some(Deflate { server_max_window_bits: 10, ..Deflate::default() }),
    };
    let (mut out, mut answer) = ([0; 512], [0; 512]);
    let len = client().write_request(NONCE, &mut out).unwrap();
    let accepted = ask(&server, &out[..len]).unwrap();
    let len = accepted.write_response(&mut answer).unwrap();
    for end in 0..len {
        assert_eq!(client().read_response(NONCE, &answer[..end]), Ok(None), "{end}");
    }
    let response = client().read_response(NONCE, &answer).unwrap().unwrap();
    assert_eq!((response.head_bytes, response.protocol), (len, Some("superchat")));
    assert_eq!(response.deflate, accepted.deflate);
    assert_eq!(response.deflate.unwrap().server_max_window_bits, 10);
}

#[test]
fn a_client_is_told_why_there_is_no_connection() {
    assert!(matches!(read(ANSWER), Ok(Some(_))));
    let with = |index: usize, line: &str| {
        let mut lines = ANSWER.to_vec();
        lines[index] = line;
        read(&lines).map(|_| ())
    };
    let and = |line: &str| read(&[ANSWER, &[line]].concat()).map(|_| ());
    assert_eq!(with(0, "HTTP/1.1 200 OK"), Err(ClientFault::Status(200)));
    assert_eq!(with(0, "HTTP/1.1 426 Upgrade Required"), Err(ClientFault::Status(426)));
    assert_eq!(with(0, "HTTP/1.1 101"), Ok(()));
    for line in ["HTTP/1.0 101 a", "HTTP/1.1 1010 a", "HTTP/1.1 099 a", "HTTP/1.1 1x1 a", ""] {
        assert_eq!(with(0, line), Err(ClientFault::Malformed), "{line}");
    }
    for line in ["X: y", "Upgrade: h2c"] {
        assert_eq!(with(1, line), Err(ClientFault::NoUpgrade));
    }
    for line in ["X: y", "Connection: close"] {
        assert_eq!(with(2, line), Err(ClientFault::NoUpgrade));
    }
    let wrong = "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for line in ["X: y", wrong] {
        assert_eq!(with(3, line), Err(ClientFault::Accept));
    }
    assert_eq!(and(ANSWER[3]), Err(ClientFault::Accept), "twice");
    assert_eq!(and(wrong), Err(ClientFault::Accept));
    assert_eq!(and("Sec-WebSocket-Protocol: other"), Err(ClientFault::Protocol));
    assert_eq!(and("Sec-WebSocket-Protocol: chat, superchat"), Err(ClientFault::Protocol));
    let twice = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat";
    assert_eq!(and(twice), Err(ClientFault::Protocol));
    assert_eq!(and("Sec-WebSocket-Extensions: other"), Err(ClientFault::Extension));
    assert_eq!(and("Content-Length: 0"), Ok(()), "needless, and harmless");
    assert_eq!(and("a\rb: c"), Err(ClientFault::Malformed));
    assert_eq!(and("broken line"), Err(ClientFault::Malformed));
    assert_eq!(and("folded: a\r\n b"), Err(ClientFault::Malformed));
}

#[test]
fn an_extension_that_was_not_offered_is_refused() {
    let client = Client { deflate: None, ..client() };
    let lines = [ANSWER, &["Sec-WebSocket-Extensions: permessage-deflate"]].concat();
    let bytes = lines.join("\r\n") + "\r\n\r\n";
    let got = client.read_response(NONCE, bytes.as_bytes());
    assert_eq!(got, Err(ClientFault::Extension));
}

#[test]
fn what_comes_before_the_answer_is_passed_over_and_a_head_without_an_end_is_not() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned();
    let bytes = early + &ANSWER.join("\r\n") + "\r\n\r\n";
    let got = client().read_response(NONCE, bytes.as_bytes()).unwrap().unwrap();
    assert_eq!(got.head_bytes, bytes.len());
    let mut endless = b"HTTP/1.1 101 a\r\nX: ".to_vec();
    endless.resize(16 * 1024 - 1, b'y');
    assert_eq!(client().read_response(NONCE, &endless), Ok(None));
    endless.push(b'y');
    assert_eq!(client().read_response(NONCE, &endless), Err(ClientFault::Malformed));
}

#[test]
fn a_request_that_would_say_something_else_is_not_written() {
    let bad = [
        Client { host: "a\r\nX: y", ..client() },
        Client { host: "", ..client() },
        Client { target: "chat", ..client() },
        Client { target: "/a b", ..client() },
        Client { target: "/a\r\n", ..client() },
        Client { target: "/a#b", ..client() },
        Client { origin: Some("a\nb"), ..client() },
        Client { protocols: &["a b"], ..client() },
        Client { protocols: &[""], ..client() },
        Client { fields: &[("a b", "c")], ..client() },
        Client { fields: &[("a", "b\r\nX: y")], ..client() },
        Client { fields: &[("ok", "ok"), ("host", "b")], ..client() },
        Client { fields: &[("Sec-websocket-Key", "b")], ..client() },
        Client { fields: &[("Content-Length", "5")], ..client() },
    ];
    for client in bad {
        assert_eq!(client.write_request(NONCE, &mut [0; 512]), None, "{client:?}");
    }
    let mut out = [0; 512];
    let len = client().write_request(NONCE, &mut out).unwrap();
    assert_eq!(client().write_request(NONCE, &mut out[..len]), Some(len));
    assert_eq!(client().write_request(NONCE, &mut out[..len - 1]), None);
}

#[test]
fn further_fields_are_sent_as_they_are() {
    let mut out = [0; 512];
    let len = client().write_request(NONCE, &mut out).unwrap();
    let text = std::str::from_utf8(&out[..len]).unwrap();
    assert!(text.ends_with("\r\nCookie: a=b\r\n\r\n"), "{text}");
}

#[test]
fn an_answer_that_declines_is_read_with_its_fields_and_its_end() {
    let bytes = b"HTTP/1.1 103 a\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    let declined = Declined::read(bytes).unwrap();
    assert_eq!((declined.status, &bytes[declined.head_bytes..]), (404, &b"no"[..]));
    assert_eq!(declined.field("content-length"), Some(&b"2"[..]));
    assert_eq!(declined.field("location"), None);
    for end in 0..bytes.len() - 2 {
        assert!(Declined::read(&bytes[..end]).is_none(), "{end}");
    }
    assert!(Declined::read((ANSWER.join("\r\n") + "\r\n\r\n").as_bytes()).is_none());
    let malformed = Declined::read(b"HTTP/1.1 500\r\nbroken line\r\n\r\n").unwrap();
    assert_eq!((malformed.status, malformed.fields.count()), (500, 0));
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = client().read_response(NONCE, &bytes);
        let framed = [b"HTTP/1.1 101 a\r\n", &bytes[..], b"\r\n\r\n"].concat();
        let _ = client().read_response(NONCE, &framed);
    }
}
