//! What the client asks for, and what becomes of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use ringway::proto::websocket::handshake::ClientFault;
use ringway::websocket::{Error, Message, Options};

use crate::common::{Start, uninterrupted};
use crate::scripted::{ACCEPTED, NONCE, URL, open, opened_with, options, text};

/// Why there is no WebSocket after this answer.
fn refusal(answer: &str) -> Error {
    open(&options(), answer).expect_err("no answer to take")
}

#[test]
fn what_is_asked_for_is_in_the_request() {
    let options = options()
        .protocol("chat")
        .protocol("superchat")
        .origin("http://example.com")
        .field("Cookie", "a=b")
        .field("Authorization", "Basic x")
        .compress(true);
    let (client, mut server) = opened_with(&options, "Sec-WebSocket-Protocol: superchat\r\n", "");
    assert_eq!((client.protocol(), client.compresses()), (Some("superchat"), false));
    drop(client);
    let mut request = String::new();
    server.0.read_to_string(&mut request).unwrap();
    let expected = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Cookie: a=b\r\nAuthorization: Basic x\r\n\r\n";
    assert_eq!(request, expected);
}

#[test]
fn keys_are_never_the_same() {
    let keys: Vec<_> = (0..2)
        .map(|_| {
            let (socket, mut server) = UnixStream::pair().unwrap();
            server.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            Options::new().open(URL, socket).unwrap_err();
            let mut request = String::new();
            server.read_to_string(&mut request).unwrap();
            let key = request.lines().find(|line| line.starts_with("Sec-WebSocket-Key: ")).unwrap();
            key.to_owned()
        })
        .collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn what_comes_with_the_answer_is_received() {
    let (mut client, _server) = opened_with(&options(), "", text("early"));
    assert_eq!(client.receive().unwrap(), Message::Text("early"));
}

#[test]
fn a_server_that_refuses_is_told_of_with_its_status_and_body() {
    let cases = [
        ("404 Not Found\r\nContent-Length: 7\r\n\r\nno such, and more", 404, None, "no such"),
        ("403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, None, ""),
        ("302 Found\r\nLocation: ws://b/\r\nContent-Length: 0\r\n\r\n", 302, Some("ws://b/"), ""),
        (
            "400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfir\r\n2\r\nst\r\n0\r\n\r\n",
            400,
            None,
            "first",
        ),
    ];
    for (answer, expected, place, text) in cases {
        let error = refusal(&format!("HTTP/1.1 {answer}"));
        let words = error.to_string();
        assert!(words.contains(&expected.to_string()) && words.contains(text), "{words}");
        let Error::Refused { status, location, body } = error else { panic!("{words}") };
        assert_eq!((status, location.as_deref(), &body[..]), (expected, place, text.as_bytes()));
    }
}

#[test]
fn a_body_that_never_ends_is_no_reason_to_wait_for_ever() {
    let head = "HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\npart";
    let error = open(&options().timeout(Duration::from_millis(50)), head).unwrap_err();
    let Error::Refused { status: 500, body, .. } = error else { panic!("{error}") };
    assert_eq!(body, b"part");
    let long = format!("HTTP/1.1 500 Oh\r\n\r\n{}", "x".repeat(10_000));
    let Error::Refused { body, .. } = refusal(&long) else { panic!("it refuses") };
    assert_eq!(body.len(), 4096);
}

// W-7
#[test]
fn an_answer_that_is_none_is_refused() {
    let cases = [
        (ACCEPTED.replace("s3pPLM", "S3pPLM"), ClientFault::Accept),
        (ACCEPTED.replace("Sec-WebSocket-Accept", "X"), ClientFault::Accept),
        (ACCEPTED.replace("Upgrade: websocket", "Upgrade: h2c"), ClientFault::NoUpgrade),
        (ACCEPTED.replace("HTTP/1.1 101", "ICY 200"), ClientFault::Malformed),
        (format!("{ACCEPTED}Sec-WebSocket-Protocol: chat\r\n"), ClientFault::Protocol),
        (
            format!("{ACCEPTED}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            ClientFault::Extension,
        ),
        ("x".repeat(16 * 1024), ClientFault::Malformed),
    ];
    for (answer, expected) in cases {
        let error = refusal(&format!("{answer}\r\n"));
        assert!(matches!(error, Error::Handshake(fault) if fault == expected), "{answer}: {error}");
    }
}

#[test]
fn a_server_that_says_nothing_or_ends_is_told_of() {
    let error = open(&options().timeout(Duration::from_millis(50)), "HTTP/1.1 101").unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let (socket, mut server) = UnixStream::pair().unwrap();
    server.write_all(b"HTTP/1.1 101 ").unwrap();
    server.shutdown(std::net::Shutdown::Write).unwrap();
    let error = options().open(URL, socket).unwrap_err();
    assert!(matches!(error, Error::Ended), "{error}");
}

#[test]
fn what_cannot_be_sent_is_named() {
    let cases = [
        (Options::new().protocol("a b"), "\"a b\""),
        (Options::new().origin("a\r\nX: y"), "origin"),
        (Options::new().origin("http://é"), "origin"),
        (Options::new().field("Host", "b"), "\"Host\""),
        (Options::new().field("sec-websocket-key", "b"), "\"sec-websocket-key\""),
        (Options::new().field("a", "b\nc"), "\"a\""),
        (Options::new().field("a", "b".repeat(17_000)), "16 KiB"),
    ];
    for (options, named) in cases {
        let error = open(&options, "").unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let error = Options::new().connect("wss://localhost/").unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[test]
fn nobody_at_a_place_is_told_of_with_the_place() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Options::new().connect(&format!("ws://{address}/")).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let error = Options::new().unix("/nonexistent/socket").connect("ws://a/").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
}

#[test]
fn a_name_with_a_port_and_a_unix_socket_are_connected_to() {
    let server = Start::new().listener("websocket", "").start();
    let url = format!("ws://localhost:{}/", server.address(0).port());
    let mut client = Options::new().connect(&url).unwrap();
    client.send_text("by name").unwrap();
    assert_eq!(client.receive().unwrap(), Message::Text("by name"));
    drop(client);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers = thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        let mut request = [0; 1024];
        let bytes = uninterrupted(|| peer.read(&mut request)).unwrap();
        assert!(request[..bytes].starts_with(b"GET /x HTTP/1.1\r\nHost: a\r\n"));
        let answer = [format!("{ACCEPTED}\r\n").as_bytes(), &text("by path")].concat();
        peer.write_all(&answer).unwrap();
    });
    let options = Options::new().unix(&path).nonce(*NONCE);
    let mut client = options.connect("ws://a/x").unwrap();
    assert_eq!(client.receive().unwrap(), Message::Text("by path"));
    answers.join().unwrap();
    server.wait_for_no_connections();
    server.stop();
}
