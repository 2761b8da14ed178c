//! Connections that come and go fast, so that slots are used again while completions of their last
//! owner are still on their way (G-7).

use std::thread;

use ringway::counters::Counter;

use crate::common::{Client, Server, Start, pattern};

/// Few slots, so that each is used again at once.
fn few_slots(protocol: &str) -> Server {
    let tables = "[dataplane]\nmax_connections = 32\n";
    Start::new().listener(protocol, "").tables(tables).start()
}

#[test]
fn a_connection_never_sees_a_byte_of_the_one_that_had_its_slot_g_7() {
    let server = few_slots("echo");
    thread::scope(|scope| {
        for peer in 0..8u64 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..200u64 {
                    // One leaves in the middle of everything …
                    let mut leaver = server.connect();
                    leaver.try_send(pattern(!(peer << 32 | round), 20_000));
                    leaver.reset();
                    // … and the next one takes its slot.
                    let bytes = pattern(peer << 32 | round, 3000);
                    let mut client = server.connect();
                    client.send(&bytes);
                    assert!(client.receive(3000) == bytes, "peer {peer}, round {round}");
                    if round % 2 == 0 { client.reset() } else { drop(client) }
                }
            });
        }
    });
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn answers_go_to_the_connection_that_asked_g_7() {
    let server = few_slots("http");
    thread::scope(|scope| {
        for peer in 0..8u64 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..200u64 {
                    let mut leaver = server.connect();
                    let gone = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ngone";
                    leaver.try_send(gone.repeat(20));
                    leaver.reset();
                    let mut client = server.connect();
                    let body = pattern(peer << 32 | round, 100);
                    assert!(client.post("/echo", &body).body == body, "peer {peer}, round {round}");
                }
            });
        }
    });
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn five_thousand_short_connections_leave_nothing_behind() {
    let server = Server::http();
    thread::scope(|scope| {
        for peer in 0..4 {
            let server = &server;
            scope.spawn(move || (0..1250).for_each(|n| one_short(server, (peer + n) % 5)));
        }
    });
    server.wait_for_no_connections();
    assert_eq!(server.connect().get("/").status(), 200);
    // Whoever was reset before he was accepted never was a connection.
    assert!(server.count(Counter::Accepted) > 1000);
    server.drain();
}

/// A connection that ends in one of five ways.
fn one_short(server: &Server, way: usize) {
    let mut client: Client = server.connect();
    match way {
        0 => client.reset(),
        1 => drop(client),
        2 => {
            client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.reset();
        }
        3 => {
            client.try_send("GET / HT").finish();
            client.wait_for_the_end();
        }
        _ => assert_eq!(client.get("/").status(), 200),
    }
}
