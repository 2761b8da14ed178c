//! ENOBUFS: the kernel holds no slot to receive into.

use std::thread;

use ringway::config::IdleMode;
use ringway::counters::Counter;
use ringway::dataplane::Tuning;

use crate::common::{Client, Server, Start, pattern};

/// Two slots of each size for the kernel, and few for everything else.
fn two_slots(tuning: &mut Tuning) {
    tuning.rx.slots = 2;
    tuning.rx.large_slots = 2;
}

const SMALL_POOL: &str = "[mempool]\nsmall_slots = 64\nlarge_slots = 16\n";

/// Echoes over `connections` at once, `rounds` bodies each; each checks its own bytes.
fn echo_at_once(server: &Server, connections: u64, rounds: u64, bytes: usize) {
    thread::scope(|scope| {
        for peer in 0..4 {
            scope.spawn(move || {
                let mine = (0..connections).filter(|n| n % 4 == peer);
                let mut clients: Vec<(u64, Client)> = mine.map(|n| (n, server.connect())).collect();
                for round in 0..rounds {
                    let body = |n: u64| pattern(n << 16 | round, bytes);
                    for (n, client) in &mut clients {
                        client.send(body(*n));
                    }
                    for (n, client) in &mut clients {
                        assert!(client.receive(bytes) == body(*n), "the bytes of another");
                    }
                }
            });
        }
    });
}

#[test]
fn all_is_answered_though_the_kernel_runs_out_of_slots_in_every_idle_mode_g_10() {
    for idle in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
        let start = Start::new().listener("echo", "").tables(SMALL_POOL);
        let server = start.tuning(two_slots).idle(idle).start();
        echo_at_once(&server, 64, 10, 5000);
        let starved = server.count(Counter::RxStarved);
        println!("{}: starved {starved} times", idle.name());
        assert!(starved > 0);
        server.wait_for_no_connections();
        server.drain();
    }
}

#[test]
fn a_body_that_nobody_wants_is_read_to_its_end_with_two_slots_in_every_idle_mode_g_10() {
    // Dropped bytes lead to no send: nothing but the loop itself brings new slots.
    for idle in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
        let start = Start::new().listener("http", "").tables(SMALL_POOL);
        let server = start.tuning(two_slots).idle(idle).start();
        let mut client = server.connect();
        for _ in 0..5 {
            assert_eq!(client.post("/ping", &vec![b'x'; 500_000]).body, b"pong");
        }
        assert_eq!(client.get("/").status(), 200);
        assert!(server.count(Counter::RxStarved) > 0);
        server.stop();
    }
}

#[test]
fn requests_are_answered_out_of_a_tiny_pool() {
    let start = Start::new().listener("http", "").tables(SMALL_POOL);
    let server = start.tuning(two_slots).start();
    thread::scope(|scope| {
        for peer in 0..4u64 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..20 {
                    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
                    for (n, client) in clients.iter_mut().enumerate() {
                        let body = pattern(peer << 32 | round << 16 | n as u64, 3000);
                        assert!(client.post("/echo", &body).body == body);
                    }
                }
            });
        }
    });
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn each_way_of_receiving_gives_the_same_bytes_g_10() {
    for (incremental, bundle) in [(true, false), (false, true), (true, true)] {
        let start = Start::new().listener("echo", "").tuning(|tuning| {
            tuning.rx.slots = 8;
            tuning.rx.incremental = incremental;
            tuning.rx.bundle = bundle;
        });
        println!("incremental {incremental}, bundle {bundle}");
        let server = start.start();
        echo_at_once(&server, 32, 10, 7000);
        server.wait_for_no_connections();
        server.drain();
    }
}
