//! Where requests end: pipelines, cuts at any byte, heads over several receive buffers, and what
//! peers could disagree about.

use crate::common::{Server, pattern};

/// A request of each kind and the status and body of its answer.
fn samples() -> Vec<(String, u16, String)> {
    let sample = |request: &str, status, body: &str| (request.to_owned(), status, body.to_owned());
    vec![
        sample("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "hello! I'm go server !"),
        sample("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy", 200, "pong"),
        sample("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nGET / H", 200, "GET / ")
            .map_request(|text| text.strip_suffix('H').unwrap().to_owned()),
        sample("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not found\n"),
        sample("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method not allowed\n"),
        sample("\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, "{\"status\":\"ok\"}\n"),
    ]
}

trait MapRequest {
    fn map_request(self, change: impl Fn(&str) -> String) -> Self;
}

impl MapRequest for (String, u16, String) {
    fn map_request(self, change: impl Fn(&str) -> String) -> Self {
        (change(&self.0), self.1, self.2)
    }
}

#[test]
fn a_hundred_requests_in_one_write_are_answered_in_order() {
    let server = Server::http();
    let mut client = server.connect();
    let bodies: Vec<String> = (0..100).map(|n| format!("number {n}")).collect();
    let request = |body: &String| {
        let length = body.len();
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    client.send(bodies.iter().map(request).collect::<String>());
    for body in &bodies {
        assert_eq!(client.response().body, body.as_bytes());
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
    (0..100).for_each(|_| assert_eq!(client.response().status(), 200));
    server.stop();
}

#[test]
fn requests_of_every_kind_in_one_write_keep_their_order() {
    let server = Server::http();
    let mut client = server.connect();
    let all: String = samples().into_iter().map(|(request, ..)| request).collect();
    client.send(all.repeat(20));
    for (request, status, body) in samples().into_iter().cycle().take(20 * samples().len()) {
        let answer = client.response();
        assert_eq!((answer.status(), answer.body), (status, body.into_bytes()), "{request}");
    }
    server.stop();
}

#[test]
fn a_request_cut_at_any_byte_is_answered_as_a_whole_one() {
    let server = Server::http();
    let mut client = server.connect();
    for (request, status, body) in samples() {
        for cut in 1..request.len() {
            let before = server.count(ringway::counters::Counter::RxBufs);
            client.send(&request[..cut]);
            crate::common::wait_until(|| server.count(ringway::counters::Counter::RxBufs) > before);
            client.send(&request[cut..]);
            let answer = client.response();
            assert_eq!((answer.status(), &*answer.body), (status, body.as_bytes()), "cut at {cut}");
        }
    }
    server.stop();
}

#[test]
fn a_request_that_trickles_in_byte_by_byte_is_answered() {
    let server = Server::http();
    let mut client = server.connect();
    for (request, status, body) in samples() {
        for byte in request.as_bytes().chunks(1) {
            client.send(byte);
        }
        let answer = client.response();
        assert_eq!((answer.status(), answer.body), (status, body.into_bytes()), "{request}");
    }
    server.stop();
}

#[test]
fn a_head_that_crosses_receive_buffers_is_put_together() {
    let server = Server::http();
    let mut client = server.connect();
    for bytes in [1000, 1950, 2000, 2040, 2048, 2100, 4096, 6000, 9000, 16_000] {
        let filler = "f".repeat(bytes);
        let body = pattern(bytes as u64, 3000);
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nX: {filler}\r\nContent-Length: 3000\r\n\r\n"
        );
        // A request before it and one behind it: the head starts and ends in the middle of slots.
        let request = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            head.as_bytes(),
            &body,
            b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        client.send(request);
        assert_eq!(client.response().body, b"hello! I'm go server !");
        assert!(client.response().body == body, "the echo after a head of {bytes}");
        assert_eq!(client.response().body, b"{\"status\":\"ok\"}\n");
    }
    assert!(server.count(ringway::counters::Counter::HeadBytesCopied) > 0);
    server.stop();
}

/// Sends bytes and expects one answer of this status, with `Connection: close`, and the end.
fn refused(server: &Server, request: &str, status: u16) {
    let mut client = server.connect();
    let answer = client.send(request).response();
    assert_eq!(answer.status(), status, "{request:?}: {answer:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
    assert_eq!(client.receive_all(), b"", "{request:?}");
}

#[test]
fn what_is_no_request_is_400_and_the_end() {
    let server = Server::http();
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / \r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        refused(&server, request, 400);
    }
    refused(&server, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    refused(&server, &format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(33)), 501);
    server.stop();
}

#[test]
fn a_message_that_two_readers_could_end_differently_is_refused() {
    let server = Server::http();
    let smuggled = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for (fields, status) in [
        (both, 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n{smuggled}");
        refused(&server, &request, status);
    }
    server.stop();
}

#[test]
fn requests_before_a_bad_one_are_answered_and_those_behind_it_are_not() {
    let server = Server::http();
    let mut client = server.connect();
    let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!("{good}{good}bad\r\n\r\n{good}"));
    let statuses: Vec<u16> = (0..3).map(|_| client.response().status()).collect();
    assert_eq!(statuses, [200, 200, 400]);
    assert_eq!(client.receive_all(), b"");
    server.stop();
}
