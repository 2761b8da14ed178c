//! Peers that take too long, hundreds at a time.

use ringway::counters::Counter;

use crate::common::{Client, Start, wait_until};

/// More than a burst holds, of each kind.
const MANY: usize = 100;

#[test]
fn hundreds_of_peers_that_are_late_at_once_are_all_told_and_closed() {
    let settings = "head_timeout_ms = 1500, body_timeout_ms = 1500, keep_alive_timeout_ms = 1500";
    let server = Start::new().listener("http", settings).start();
    let connect = |bytes: &str| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..MANY).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.try_send(bytes);
        }
        clients
    };
    let mut silent = connect("");
    let mut heads = connect("GET / HTTP/1.1\r\nHo");
    let mut bodies = connect("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    let mut idle = connect("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for client in &mut silent {
        assert_eq!(client.receive_all(), b"");
    }
    for client in &mut heads {
        let answer = client.response();
        assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
        assert_eq!(client.receive_all(), b"");
    }
    for client in &mut bodies {
        assert_eq!(client.head().status(), 200); // the echo has begun: it can only be cut short
        assert_eq!(client.receive_all(), b"");
    }
    for client in &mut idle {
        assert_eq!(client.response().status(), 200);
        assert_eq!(client.receive_all(), b"");
    }
    wait_until(|| server.count(Counter::Timeouts) == 4 * MANY as u64);
    server.stop();
}

#[test]
fn a_connection_that_goes_on_asking_outlives_every_limit() {
    let settings = "head_timeout_ms = 1100, keep_alive_timeout_ms = 2500";
    let server = Start::new().listener("http", settings).start();
    let mut client = server.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/").status(), 200);
        std::thread::sleep(std::time::Duration::from_millis(900));
    }
    assert_eq!(server.count(Counter::Timeouts), 0);
    server.stop();
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let server = Start::new().listener("http", "max_requests = 3").start();
    let mut client = server.connect();
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), Some("close"));
    assert_eq!(client.receive_all(), b"");
    server.stop();
}
