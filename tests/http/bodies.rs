//! Bodies larger than a slot, and those that wait for a word of ours.

use ringway::counters::Counter;

use crate::common::{Client, Server, Start, pattern};

/// Sends a body from another thread while it reads the echo.
fn echo(client: &mut Client, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let sender = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            Client::over(sender).send(head).send(body);
        });
        let answer = client.response();
        assert_eq!(answer.status(), 200);
        answer.body
    })
}

#[test]
fn a_body_of_a_mebibyte_comes_back_without_a_copy_g_2() {
    let server = Server::http();
    let mut client = server.connect();
    for seed in 0..3 {
        let body = pattern(seed, 1 << 20);
        assert!(echo(&mut client, &body) == body, "the echo differs");
    }
    assert_eq!(server.count(Counter::CopiedBytes), 0);
    server.stop();
}

#[test]
fn a_body_of_many_mebibytes_comes_back_where_the_listener_allows_it_g_2() {
    let server = Start::new().listener("http", "max_body_bytes = 16777216").start();
    let mut client = server.connect();
    let body = pattern(7, 12 << 20);
    assert!(echo(&mut client, &body) == body, "the echo differs");
    assert_eq!(client.get("/").status(), 200);
    server.stop();
}

#[test]
fn bodies_around_the_size_of_a_slot_come_back() {
    let server = Server::http();
    let mut client = server.connect();
    for bytes in (1..64).chain(1900..2100).chain([4095, 4096, 4097, 65_535, 65_536]) {
        let body = pattern(bytes as u64, bytes);
        assert!(client.post("/echo", &body).body == body, "a body of {bytes}");
    }
    server.stop();
}

#[test]
fn who_expects_100_continue_gets_it_where_the_body_is_wanted() {
    let server = Server::http();
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.head().head, "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = client.send("hello").response();
    assert_eq!((answer.status(), &*answer.body), (200, &b"hello"[..]));
    assert_eq!(client.get("/").status(), 200);
    server.stop();
}

// RFC 9110 §10.1.1: whether the peer sends the body after such an answer, nobody can tell.
#[test]
fn who_expects_100_continue_for_a_body_that_nobody_wants_gets_the_answer_and_the_end() {
    let server = Server::http();
    for (target, status) in [("/ping", 200), ("/nowhere", 404), ("/health", 405)] {
        let mut client = server.connect();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        let answer = client.response();
        assert_eq!((answer.status(), answer.field("connection")), (status, Some("close")));
        client.wait_for_the_end();
    }
    server.stop();
}

#[test]
fn who_expects_100_continue_and_does_not_wait_gets_no_such_word() {
    let server = Server::http();
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(client.response().body, b"hello");
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    server.stop();
}
