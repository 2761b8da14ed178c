//! Connections that come and go fast, so that slots are used again while completions of their last
//! owner are still on their way (G-7).

use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringway::counters::Counter;

use crate::common::{Client, Server, Start, pattern, wait_until};

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

#[test]
fn a_flood_of_connects_that_are_reset_at_once_is_survived() {
    for key in ["", "max_connections_per_address = 1024"] {
        let server = Start::new().listener("http", "").limited(key).start();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1500).for_each(|_| server.connect().reset()));
            }
        });
        assert_eq!(server.connect().get("/").status(), 200);
        server.wait_for_no_connections();
        server.drain();
    }
}

/// Descriptors for thousands of peers in this process.
fn raise_the_limit_on_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn thousands_who_connect_and_say_nothing_keep_nobody_from_being_served() {
    const MUTE: usize = 3000;
    raise_the_limit_on_open_files();
    let tables = "[dataplane]\nmax_connections = 4096\n";
    let server = Start::new().listener("http", "").tables(tables).start();
    let mut mute: Vec<_> = (0..MUTE).map(|_| server.connect()).collect();
    for _ in 0..20 {
        assert_eq!(server.connect().get("/").status(), 200);
    }
    wait_until(|| server.plane().status().connections() >= MUTE as u64);
    assert_eq!(
        server.plane().status().sum(Counter::PoolEmpty),
        0,
        "who says nothing holds no slot"
    );
    // They may still speak up.
    assert!(mute.iter_mut().step_by(100).all(|client| client.get("/").status() == 200));
    for (n, client) in mute.into_iter().enumerate() {
        if n % 2 == 0 { client.reset() } else { drop(client) }
    }
    server.wait_for_no_connections();
    assert_eq!(server.connect().get("/").status(), 200);
    server.drain();
}

#[test]
fn who_waits_behind_a_full_table_of_the_mute_is_served_when_they_go() {
    for key in ["", "max_connections_per_address = 1024"] {
        let tables = "[dataplane]\nmax_connections = 32\n";
        let server = Start::new().listener("http", "").limited(key).tables(tables).start();
        let mute: Vec<_> = (0..32).map(|_| server.connect()).collect();
        wait_until(|| server.plane().status().connections() == 32);
        // In the kernel's backlog, with their requests.
        let mut waiting: Vec<_> = (0..100).map(|_| server.connect()).collect();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for client in &mut waiting {
            client.try_send(request);
        }
        thread::sleep(std::time::Duration::from_millis(100));
        drop(mute);
        // Some may be cut while the table is full; a fresh one is served in any case.
        waiting.iter_mut().for_each(Client::wait_for_the_end);
        drop(waiting);
        server.wait_for_no_connections();
        assert_eq!(server.connect().get("/").status(), 200);
        server.drain();
    }
}
