//! Each limit, met and passed by one byte.

use ringway::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TARGET_BYTES_MAX,
};

use crate::common::{Response, Server, Start};

/// The answer to a request on a connection of its own.
fn answer(server: &Server, request: &str) -> Response {
    let mut client = server.connect();
    let answer = client.send(request).response();
    let closes = answer.field("connection") == Some("close");
    assert_eq!(closes, !matches!(answer.status(), 200 | 404), "{answer:?}");
    if closes {
        assert_eq!(client.receive_all(), b"");
    }
    answer
}

fn with_target(bytes: usize) -> String {
    format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "t".repeat(bytes - 1))
}

/// A request whose head is so long, blank line included.
fn with_head(bytes: usize) -> String {
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "h".repeat(bytes - frame.len()))
}

fn with_fields(count: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
}

#[test]
fn a_target_of_the_limit_passes_and_one_byte_more_is_414() {
    let server = Server::http();
    let most = HTTP_TARGET_BYTES_MAX as usize;
    assert_eq!(answer(&server, &with_target(most)).status(), 404);
    assert_eq!(answer(&server, &with_target(most + 1)).status(), 414);
    // It is refused before its end is in sight.
    assert_eq!(answer(&server, &format!("GET /{}", "t".repeat(most))).status(), 414);
    server.stop();
}

#[test]
fn a_head_of_the_limit_passes_and_one_byte_more_is_431() {
    let server = Server::http();
    let most = HTTP_HEAD_BYTES_MAX as usize;
    assert_eq!(answer(&server, &with_head(most)).status(), 200);
    assert_eq!(answer(&server, &with_head(most + 1)).status(), 431);
    let endless = &with_head(2 * most)[..most];
    assert_eq!(answer(&server, endless).status(), 431);
    server.stop();
}

#[test]
fn as_many_fields_as_the_limit_pass_and_one_more_is_431() {
    let server = Server::http();
    assert_eq!(answer(&server, &with_fields(HTTP_HEADERS_MAX)).status(), 200);
    assert_eq!(answer(&server, &with_fields(HTTP_HEADERS_MAX + 1)).status(), 431);
    server.stop();
}

#[test]
fn a_body_of_the_limit_passes_and_one_byte_more_is_413_before_it_is_sent() {
    let server = Server::http();
    let body = vec![b'b'; HTTP_BODY_BYTES_MAX as usize];
    let mut client = server.connect();
    assert_eq!(client.post("/ping", &body).status(), 200);
    let length = HTTP_BODY_BYTES_MAX + 1;
    let head = format!("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(answer(&server, &head).status(), 413);
    server.stop();
}

#[test]
fn a_listener_of_its_own_limits_keeps_them() {
    let settings =
        "max_body_bytes = 10, max_head_bytes = 100, max_headers = 3, max_target_bytes = 20";
    let server = Start::new().listener("http", settings).start();
    assert_eq!(answer(&server, &with_target(20)).status(), 404);
    assert_eq!(answer(&server, &with_target(21)).status(), 414);
    assert_eq!(answer(&server, &with_head(100)).status(), 200);
    assert_eq!(answer(&server, &with_head(101)).status(), 431);
    assert_eq!(answer(&server, &with_fields(3)).status(), 200);
    assert_eq!(answer(&server, &with_fields(4)).status(), 431);
    let mut client = server.connect();
    assert_eq!(client.post("/echo", b"0123456789").body, b"0123456789");
    assert_eq!(client.post("/echo", b"0123456789a").status(), 413);
    assert_eq!(client.receive_all(), b"");
    server.stop();
}
