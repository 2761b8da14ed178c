//! Listeners over io_uring and over epoll on one lcore.

use std::sync::mpsc;

use ringway::config::{IdleMode, IoBackend};
use ringway::counters::Counter;
use ringway::lcore::{Lcore, Listener, Mail};
use ringway::pipeline::{Pipeline, chain};
use ringway::sys::socket::TcpListener;
use ringway::transport::Tcp;

use crate::common::{Client, Start, pattern, wait_until};

const EPOLL: &str = "io = \"epoll\"";

fn both(idle: IdleMode) -> Start {
    let start = Start::new().io(IoBackend::IoUring).idle(idle);
    start.listener("echo", "").listener("echo", "").limited(EPOLL)
}

#[test]
fn each_serves_its_own_and_no_two_connections_have_one_slot_in_every_idle_mode_w_1() {
    for idle in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
        let server = both(idle).start();
        let mut clients: Vec<_> =
            (0..100).map(|n| Client::connect(server.address(n % 2))).collect();
        for round in 0..10u64 {
            let body = |n: usize| pattern(round << 32 | n as u64, 1 + 37 * n);
            for (n, client) in clients.iter_mut().enumerate() {
                client.send(body(n));
            }
            for (n, client) in clients.iter_mut().enumerate() {
                assert!(client.receive(1 + 37 * n) == body(n), "the bytes of another");
            }
        }
        assert_eq!(server.count(Counter::Accepted), 100);
        drop(clients);
        server.wait_for_no_connections();
        server.drain();
    }
}

#[test]
fn what_epoll_finds_wakes_an_lcore_that_sleeps_in_its_ring_w_1() {
    let server = both(IdleMode::Sleep).start();
    wait_until(|| server.count(Counter::Sleeps) > 0);
    // Longer than naps last, all together: were they not ended, the watchdog would end the test.
    for _ in 0..50 {
        let mut client = Client::connect(server.address(1));
        for _ in 0..10 {
            assert_eq!(client.send("x").receive(1), b"x");
        }
    }
    server.wait_for_no_connections();
    server.drain();
}

/// One after the other over its own engine, and nothing lost.
#[test]
fn a_listener_over_io_uring_is_swapped_for_one_over_epoll_a_1_w_1() {
    let server = both(IdleMode::Adaptive).start();
    let mut old = server.connect();
    assert_eq!(old.send("before").receive(6), b"before");
    let (done, made) = mpsc::channel();
    let swap = move |lcore: &mut Lcore| {
        let index = lcore.free_index().unwrap();
        // The tables of the whole lcore: connections over epoll stand behind those of the ring.
        let slots = 4096;
        let any = "127.0.0.1:0".parse().unwrap();
        let socket = TcpListener::bind_group(any, 1).unwrap().remove(0);
        let address = socket.address();
        let transport = Box::new(Tcp::over_epoll(socket, index, slots));
        let pipeline = Pipeline::Raw(chain::Raw::new(slots));
        let listener = Listener::new(transport, pipeline, Box::new(ringway::handler::Echo));
        lcore.replace(0, index, Box::new(listener)).unwrap();
        done.send(address).unwrap();
    };
    assert!(server.plane().handle(0).post(Mail::Call(Box::new(swap))).is_ok());
    let address = made.recv().unwrap();
    let mut new = Client::connect(address);
    assert_eq!(new.send("after").receive(5), b"after");
    assert_eq!(old.send("still").receive(5), b"still");
    drop((old, new));
    server.wait_for_no_connections();
    server.drain();
}
