//! Draining and stopping.

use std::net::TcpStream;

use ringway::counters::Counter;

use crate::common::{Server, Start, wait_until};

const PING: &str = "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
const ECHO: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

/// HTTP that would wait for its connections until the watchdog barks.
fn patient() -> Server {
    let tables = "[dataplane]\nmax_connections = 1024\ndrain_timeout_ms = 3600000\n";
    Start::new().listener("http", "").listener("echo", "").tables(tables).start()
}

#[test]
fn a_drain_closes_idle_connections_a_16() {
    let server = patient();
    let mut used = server.connect();
    assert_eq!(used.get("/").status(), 200);
    let mut unused = server.connect();
    wait_until(|| server.count(Counter::Accepted) == 2);
    server.plane().drain();
    assert_eq!((used.receive_all(), unused.receive_all()), (vec![], vec![]));
    drop((used, unused));
    server.account();
}

#[test]
fn a_drain_lets_a_request_whose_head_is_not_whole_finish_a_16() {
    let server = patient();
    let mut client = server.connect();
    client.send(&PING[..20]);
    wait_until(|| server.count(Counter::RxBufs) == 1);
    server.plane().drain();
    assert_eq!(server.connect_late(), None, "no connection is accepted any more");
    let answer = client.send(&PING[20..]).send("0123456789").response();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert_eq!(client.receive_all(), b"");
    drop(client);
    server.account();
}

#[test]
fn a_drain_lets_a_request_whose_body_is_not_whole_finish_and_then_closes_a_16() {
    let server = patient();
    let mut client = server.connect();
    client.send(ECHO).send("01234");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.receive(5), b"01234");
    server.plane().drain();
    assert_eq!(server.connect_late(), None);
    client.send("56789");
    assert_eq!(client.receive_all(), b"56789");
    drop(client);
    server.account();
}

#[test]
fn a_drain_sends_what_a_slow_peer_has_not_read_yet_a_16() {
    let server = Start::new()
        .listener("http", "")
        .tables("[dataplane]\nmax_connections = 16\ndrain_timeout_ms = 3600000\n")
        .start();
    let mut client = server.connect();
    let body = crate::common::pattern(1, 1 << 20);
    let mut sender = crate::common::Client::over(client.stream().try_clone().unwrap());
    std::thread::scope(|scope| {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        scope.spawn(move || {
            sender.send(head).send(&body).finish();
        });
        wait_until(|| server.count(Counter::TxBytes) > 1000);
        server.plane().drain();
        let answer = client.response();
        assert!(answer.body == crate::common::pattern(1, 1 << 20));
        assert_eq!(client.receive_all(), b"");
    });
    drop(client);
    server.account();
}

#[test]
fn a_drain_ends_when_its_time_is_over_whatever_peers_do_a_16() {
    let server = Start::new()
        .listener("http", "")
        .tables("[dataplane]\nmax_connections = 16\ndrain_timeout_ms = 300\n")
        .start();
    let mut client = server.connect();
    client.send(PING);
    assert_eq!(client.response().status(), 200);
    let report = server.drain();
    client.wait_for_the_end();
    assert_eq!(report.status().sum(Counter::Closed), 1);
}

#[test]
fn a_stop_closes_every_connection_at_once_a_16() {
    let server = patient();
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(PING);
        assert_eq!(client.response().status(), 200);
    }
    server.stop();
    clients.iter_mut().for_each(|client| client.wait_for_the_end());
}

#[test]
fn a_stop_after_a_drain_does_not_wait_for_the_drain_a_16() {
    let server = patient();
    let mut client = server.connect();
    client.send(PING);
    assert_eq!(client.response().status(), 200);
    server.plane().drain();
    server.stop();
    client.wait_for_the_end();
}

#[test]
fn connections_that_arrive_while_a_stop_begins_do_not_hold_it_up_a_16() {
    for _ in 0..30 {
        let server = patient();
        let address = server.address(0);
        // Until the listener is gone. The peers stay until the dataplane has ended.
        let connect = move || (0..900).map_while(|_| TcpStream::connect(address).ok()).collect();
        let connecting = std::thread::spawn(connect);
        wait_until(|| server.count(Counter::Accepted) > 5);
        server.stop();
        let late: Vec<TcpStream> = connecting.join().unwrap();
        assert!(late.len() > 5);
    }
}

#[test]
fn a_stop_ends_though_peers_hold_all_the_large_slots_that_they_may_a_16() {
    let server = patient();
    // Heads that need a large slot and never end: nobody waits for one, the last are refused.
    let mut holders: Vec<_> = (0..64).map(|_| server.connect()).collect();
    for client in &mut holders {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").send([b'x'; 3000]);
    }
    assert_eq!(holders[63].response().status(), 503);
    server.plane().drain();
    server.stop();
}

#[test]
fn a_dataplane_that_is_dropped_ends() {
    let server = patient();
    let mut client = server.connect();
    assert_eq!(client.get("/").status(), 200);
    drop(server);
    client.wait_for_the_end();
}

#[test]
fn dataplanes_come_and_go_on_the_same_address() {
    let address = {
        let server = Server::echo();
        let address = server.address(0);
        server.stop();
        address
    };
    for _ in 0..5 {
        let text = format!(
            "[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"echo\"\n\
             [dataplane]\nmax_connections = 16\n"
        );
        let config = ringway::config::Config::from_toml(&text, "again.toml").unwrap();
        let cores = ringway::config::CoreMap::single(crate::common::cpu(0));
        let server = Server::run(ringway::dataplane::Builder::new(config, cores));
        assert_eq!(server.connect().send("x").finish().receive_all(), b"x");
        server.drain();
    }
}

/// What a connection that comes too late sees.
trait ConnectLate {
    fn connect_late(&self) -> Option<u16>;
}

impl ConnectLate for Server {
    /// The status that a request gets; none when the connection is refused or cut.
    fn connect_late(&self) -> Option<u16> {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(self.address(0)).ok()?;
        stream.set_read_timeout(crate::common::patience()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        let mut text = [0; 12];
        stream.read_exact(&mut text).ok()?;
        Some(text[9..].iter().fold(0, |n, digit| 10 * n + u16::from(digit - b'0')))
    }
}
