//! How long a connection lives: keep-alive, close, HTTP/1.0, and peers that leave early.

use ringway::counters::Counter;

use crate::common::{Server, wait_until};

#[test]
fn a_thousand_requests_go_over_one_connection() {
    let server = Server::http();
    let mut client = server.connect();
    for n in 0..1000u32 {
        match n % 3 {
            0 => assert_eq!(client.get("/").status(), 200),
            1 => assert_eq!(client.post("/ping", b"").body, b"pong"),
            _ => assert_eq!(client.post("/echo", &n.to_le_bytes()).body, n.to_le_bytes()),
        }
    }
    assert_eq!(server.count(Counter::Accepted), 1);
    server.stop();
}

#[test]
fn connection_close_is_answered_in_kind_and_ends_the_connection() {
    let server = Server::http();
    for (request, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "hello! I'm go server !"),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
        ),
        (
            "POST /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            "pong",
        ),
    ] {
        let mut client = server.connect();
        let answer = client.send(request).response();
        assert_eq!((answer.status(), &*answer.body), (200, body.as_bytes()));
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(client.receive_all(), b"", "{request}");
    }
    server.stop();
}

#[test]
fn http_1_0_closes_unless_it_asks_to_be_kept() {
    let server = Server::http();
    let mut client = server.connect();
    let answer = client.send("GET / HTTP/1.0\r\n\r\n").response();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert_eq!(client.receive_all(), b"");
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response();
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("keep-alive")));
    }
    server.stop();
}

#[test]
fn requests_behind_the_last_one_are_not_answered() {
    let server = Server::http();
    let mut client = server.connect();
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(last.repeat(3));
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.receive_all(), b"");
    server.stop();
}

#[test]
fn an_end_in_the_middle_of_a_request_ends_the_connection_without_an_answer() {
    let server = Server::http();
    let request = "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    for cut in [0, 1, 10, request.len() - 1] {
        assert_eq!(server.connect().send(&request[..cut]).finish().receive_all(), b"");
    }
    // In the middle of a body the answer is out already.
    let mut client = server.connect();
    client.send(request).send("he").finish();
    assert_eq!(client.response().body, b"pong");
    assert_eq!(client.receive_all(), b"");
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn whoever_says_his_last_right_behind_his_requests_gets_all_answers() {
    let server = Server::http();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50)).finish();
    (0..50).for_each(|_| assert_eq!(client.response().status(), 200));
    assert_eq!(client.receive_all(), b"");
    server.stop();
}

#[test]
fn many_connections_are_served_side_by_side() {
    let server = Server::http();
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for round in 0..5u32 {
        for (n, client) in clients.iter_mut().enumerate() {
            let body = format!("{round} of {n}");
            let length = body.len();
            client.send(format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.response().body, format!("{round} of {n}").as_bytes());
        }
    }
    drop(clients);
    wait_until(|| server.count(Counter::Closed) == 200);
    server.stop();
}
