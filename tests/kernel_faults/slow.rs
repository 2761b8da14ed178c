//! Peers that do not read: sends that go out in parts, receives that pause, a pool that runs dry.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use ringway::counters::Counter;
use ringway::dataplane::{Protocol, ProtocolContext};
use ringway::limits::TX_HIGH_BYTES;
use ringway::pipeline::{Pipeline, chain};

use crate::breathing::Breathing;
use crate::common::{Client, Server, Start, pattern, uninterrupted, wait_until};

/// Sends until nothing more is taken for a while; returns how much was.
fn send_until_it_sticks(client: &Client, bytes: &[u8]) -> usize {
    send_until(client, bytes, || true)
}

/// The same, and until the server has said that it receives no more of somebody: one that is slow has
/// not.
fn send_until_paused(server: &Server, client: &Client, bytes: &[u8]) -> usize {
    send_until(client, bytes, || server.count(Counter::RxPaused) > 0)
}

fn send_until(client: &Client, bytes: &[u8], may_end: impl Fn() -> bool) -> usize {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match uninterrupted(|| stream.write(&bytes[sent..])) {
            Ok(count) => sent += count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if may_end() {
                    break;
                }
            }
            // A busy machine takes long enough for peers that take nothing to be given up.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                break;
            }
            Err(e) => panic!("{e}"),
        }
    }
    stream.set_write_timeout(crate::common::patience()).unwrap();
    sent
}

/// The slots of both classes that are out.
fn slots_out(server: &Server) -> u32 {
    server.plane().pools().missing()
}

#[test]
fn a_peer_that_does_not_read_pauses_its_own_receiving_and_gets_every_byte_at_last() {
    let server = Start::new().listener("echo", "").limited("write_timeout_ms = 250000").start();
    let idle = slots_out(&server);
    let mut client = server.connect();
    let bytes = pattern(5, 64 << 20);
    let sent = send_until_paused(&server, &client, &bytes);
    assert!(sent < bytes.len(), "a socket that takes everything shows nothing");
    assert!(server.count(Counter::RxPaused) > 0);
    let held = slots_out(&server) - idle;
    println!("stuck after {sent} bytes; {held} slots hold what waits");
    // Twice the mark, in the smallest slots: what was under way when the mark was passed counts too.
    assert!(held < 2 * TX_HIGH_BYTES / 1024, "{held} slots");
    client.finish();
    assert!(client.receive_all() == bytes[..sent], "the echo differs");
    // A full socket takes part of a send, but when is the kernel's to say.
    while server.count(Counter::ShortSends) == 0 {
        let mut another = server.connect();
        let sent = send_until_it_sticks(&another, &bytes);
        another.finish();
        assert!(another.receive_all() == bytes[..sent], "the echo differs");
    }
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn an_echo_over_http_that_is_not_read_waits_for_its_reader() {
    // However slow the machine is: nobody is given up.
    let settings = "max_body_bytes = 67108864, body_timeout_ms = 3600000";
    let start = Start::new().listener("http", settings).limited("write_timeout_ms = 250000");
    let server = start.start();
    // Before somebody waits for a head: it takes its time.
    let body = pattern(6, 32 << 20);
    let mut client = server.connect();
    client
        .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let sent = send_until_paused(&server, &client, &body);
    assert!(server.count(Counter::RxPaused) > 0, "stuck after {sent}");
    let mut sender = Client::over(client.stream().try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&body[sent..]);
        });
        assert!(client.response().body == body, "the echo differs");
    });
    // The others were served all the while.
    assert_eq!(server.connect().get("/").status(), 200);
    server.stop();
}

#[test]
fn a_pool_that_slow_readers_emptied_serves_again_once_they_are_gone() {
    let start = Start::new().listener("echo", "").tables("[mempool]\nsmall_slots = 1024\n");
    let server = start.start();
    let bytes = pattern(8, 16 << 20);
    let slow: Vec<_> = (0..24).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for client in &slow {
            scope.spawn(|| send_until_paused(&server, client, &bytes));
        }
    });
    let [starved, paused] =
        [Counter::RxStarved, Counter::RxPaused].map(|counter| server.count(counter));
    println!("starved {starved} times, paused {paused} times");
    // Who got the slots first, or all a little.
    assert!(starved + paused > 0);
    drop(slow);
    let mut client = server.connect();
    assert!(client.send(&bytes[..100_000]).receive(100_000) == bytes[..100_000]);
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_pool_that_slow_readers_emptied_serves_them_when_they_read() {
    let start = Start::new().listener("echo", "").tables("[mempool]\nsmall_slots = 1024\n");
    let server = start.start();
    let bytes = pattern(9, 16 << 20);
    let slow: Vec<_> = (0..24).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for mut client in slow {
            let bytes = &bytes;
            scope.spawn(move || {
                let sent = send_until_it_sticks(&client, bytes);
                client.finish();
                assert!(client.receive_all() == bytes[..sent], "the echo differs");
            });
        }
    });
    wait_until(|| server.plane().status().connections() == 0);
    server.drain();
}

fn impatient() -> Server {
    Start::new().listener("echo", "").limited("write_timeout_ms = 1000").start()
}

#[test]
fn a_peer_that_takes_nothing_for_longer_than_the_write_timeout_is_given_up() {
    let server = impatient();
    let mut other = server.connect();
    let client = server.connect();
    let begin = Instant::now();
    let bytes = pattern(10, 64 << 20);
    assert!(send_until_paused(&server, &client, &bytes) < bytes.len());
    wait_until(|| server.count(Counter::StalledPeers) == 1);
    assert!(begin.elapsed() >= Duration::from_secs(1), "it had a second");
    wait_until(|| server.plane().status().connections() == 1);
    // Who has nothing to take is kept, however long.
    assert_eq!(other.send("x").receive(1), b"x");
    drop((client, other));
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_peer_that_reads_slowly_outlives_the_write_timeout() {
    const PIECE: usize = 1 << 20;
    let server = impatient();
    let mut client = server.connect();
    let bytes = pattern(11, 48 << 20);
    let sender = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            Client::over(sender).send(&bytes).finish();
        });
        // Four seconds in which it takes something every now and then.
        for piece in bytes.chunks(PIECE).take(40) {
            std::thread::sleep(Duration::from_millis(100));
            assert!(client.receive(piece.len()) == piece, "the echo differs");
        }
        assert!(client.receive_all() == bytes[40 * PIECE..], "the echo differs");
    });
    assert!(server.count(Counter::ShortSends) > 0, "it was slower than we");
    assert_eq!(server.count(Counter::StalledPeers), 0);
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_handler_that_pauses_until_all_is_out_loses_nothing_and_holds_little() {
    let breathing = |context: &mut ProtocolContext<'_>| {
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Breathing { every: 2, bufs: 0 }) })
    };
    let builder = Start::new().listener("breathing", "").builder();
    let server = Server::run(builder.protocol("breathing", breathing));
    let idle = slots_out(&server);
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let (mut client, bytes) = (server.connect(), pattern(seed, 4 << 20));
                let sent = send_until_it_sticks(&client, &bytes);
                client.finish();
                assert!(client.receive_all() == bytes[..sent], "the echo differs");
            });
        }
    });
    println!("{} pauses of ours", server.count(Counter::RxPaused));
    server.wait_for_no_connections();
    wait_until(|| slots_out(&server) <= idle);
    server.drain();
}
