//! The endpoints, byte for byte.

use crate::common::{Client, Server};

#[test]
fn post_ping_answers_pong_g_1() {
    let server = Server::http();
    let answer = server.connect().post("/ping", b"");
    let expected = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: text/plain\r\n\
                    Content-Length: 4\r\n\r\npong";
    assert_eq!(answer.dated(), expected);
    server.stop();
}

#[test]
fn post_ping_ignores_a_body_of_any_length_and_the_connection_goes_on_g_1() {
    let server = Server::http();
    let mut client = server.connect();
    for bytes in [1, 100, 5000, 300_000] {
        assert_eq!(client.post("/ping", &vec![b'x'; bytes]).body, b"pong");
    }
    assert_eq!(client.get("/health").status(), 200);
    server.stop();
}

#[test]
fn post_echo_gives_the_body_back_g_2() {
    let server = Server::http();
    let mut client = server.connect();
    let expected = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: application/octet-stream\r\n\
                    Content-Length: 5\r\n\r\nhello";
    assert_eq!(client.post("/echo", b"hello").dated(), expected);
    let expected = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: application/octet-stream\r\n\
                    Content-Length: 0\r\n\r\n";
    assert_eq!(client.post("/echo", b"").dated(), expected);
    let without_length = client.send("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!(without_length.dated(), expected);
    server.stop();
}

#[test]
fn get_root_answers_exactly_the_greeting_g_3() {
    let server = Server::http();
    let expected = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: text/plain\r\n\
                    Content-Length: 22\r\n\r\nhello! I'm go server !";
    assert_eq!(server.connect().get("/").dated(), expected);
    assert_eq!(server.connect().get("/?query=1").dated(), expected);
    server.stop();
}

#[test]
fn a_known_path_with_a_wrong_method_is_405_with_allow_g_3() {
    let server = Server::http();
    let mut client = server.connect();
    for (method, target, allow) in [
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/ping", "POST, OPTIONS"),
        ("PUT", "/echo", "POST, OPTIONS"),
        ("BREW", "/health", "GET, HEAD, OPTIONS"),
        ("get", "/api/status", "GET, HEAD, OPTIONS"),
    ] {
        let answer =
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")).response();
        assert_eq!((answer.status(), answer.field("allow")), (405, Some(allow)), "{answer:?}");
    }
    server.stop();
}

#[test]
fn an_unknown_path_is_404_g_3() {
    let server = Server::http();
    let mut client = server.connect();
    let expected = "HTTP/1.1 404 Not Found\r\nDate: DATE\r\nContent-Type: text/plain\r\n\
                    Content-Length: 10\r\n\r\nnot found\n";
    for target in ["/pin", "/ping/", "/PING", "/echo/x", "//", "/%2f"] {
        assert_eq!(client.get(target).dated(), expected, "{target}");
    }
    assert_eq!(client.post("/nowhere", b"with a body").dated(), expected);
    assert_eq!(client.post("/ping", b"").body, b"pong");
    server.stop();
}

#[test]
fn head_has_the_head_of_get_and_no_body() {
    let server = Server::http();
    let mut client = server.connect();
    for target in ["/", "/health", "/nowhere", "/ping"] {
        let get = client.get(target);
        let head = client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).head();
        let fields = |head: &str| {
            head.lines().filter(|l| !l.starts_with("Date")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(fields(&head.head), fields(&get.head), "{target}");
    }
    // The next response follows at once, so there was no body.
    let status = client.send("HEAD /api/status HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert!(status.field("content-length").unwrap().parse::<usize>().unwrap() > 100);
    assert_eq!(client.get("/").status(), 200);
    server.stop();
}

#[test]
fn health_says_ok_in_json_g_19() {
    let server = Server::http();
    let expected = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: application/json\r\n\
                    Content-Length: 16\r\n\r\n{\"status\":\"ok\"}\n";
    assert_eq!(server.connect().get("/health").dated(), expected);
    server.stop();
}

#[test]
fn the_api_status_is_json_with_every_counter_g_19() {
    use ringway::counters::{Counter, Reason};
    let server = Server::http();
    let mut client = server.connect();
    let _other = Client::connect(server.address(0));
    assert_eq!(client.get("/").status(), 200);
    let answer = client.get("/api/status");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["lcores"], 1);
    assert!(json["uptime_seconds"].is_u64());
    assert!(json["connections"].as_u64().unwrap() >= 1);
    assert_eq!(json["counters"].as_object().unwrap().len(), Counter::ALL.len());
    assert_eq!(json["dropped"].as_object().unwrap().len(), Reason::ALL.len());
    assert_eq!(json["counters"]["messages"], 2);
    server.stop();
}
