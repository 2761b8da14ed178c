//! Draining, stopping, and listeners that come and go while the lcore runs.

use std::net::SocketAddr;
use std::sync::mpsc;

use nix::sys::signal::Signal;
use ringway::counters::Counter;
use ringway::handler::Echo;
use ringway::lcore::{Lcore, Listener, Mail};
use ringway::pipeline::{Pipeline, chain};
use ringway::sys::udp_socket::UdpSocket;
use ringway::transport::{Transport, Udp};

use crate::common::{Running, Server, Start, wait_until};
use crate::peer::Peer;

fn echo() -> Server {
    Start::new().datagrams("echo", "127.0.0.1:0").start()
}

#[test]
fn a_drain_forgets_its_peers_and_leaves_the_port_a_16() {
    let server = echo();
    let address = server.address(0);
    let peers: Vec<Peer> = (0..30).map(|_| Peer::new(address)).collect();
    for peer in &peers {
        assert_eq!(peer.send("hello").receive(), b"hello");
    }
    let report = server.drain();
    assert_eq!(report.status().sum(Counter::Closed), 30);
    assert!(UdpSocket::bind_group(address, 1).is_ok(), "the port is free");
}

#[test]
fn a_stop_in_the_middle_of_a_flood_ends_at_once_and_loses_no_slot_a_16() {
    for drains in [true, false] {
        let server = Start::new().datagrams("echo", "127.0.0.1:0").lcores(2).start();
        let to = server.address(0);
        let (stop, stopped) = mpsc::channel::<()>();
        let flood = std::thread::spawn(move || {
            let peers: Vec<Peer> = (0..50).map(|_| Peer::new(to)).collect();
            while stopped.try_recv().is_err() {
                // Where nobody listens any more it may fail.
                peers.iter().for_each(|peer| drop(peer.socket.send_to(&[1; 700], to)));
            }
        });
        wait_until(|| server.count(Counter::TxBufs) > 1000);
        drop(if drains { server.drain() } else { server.stop() });
        stop.send(()).unwrap();
        flood.join().unwrap();
    }
}

#[test]
fn the_command_echoes_datagrams_and_ends_well() {
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n\
                    protocol = \"echo\"\n";
    let running = Running::start("udp", 1, listener);
    Peer::new(running.address).asks("hello");
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

/// Does `call` on the server's lcore and returns what it made.
fn on_lcore<T: Send + 'static>(
    server: &Server,
    call: impl FnOnce(&mut Lcore) -> T + Send + 'static,
) -> T {
    let (done, made) = mpsc::channel();
    let call = Box::new(move |lcore: &mut Lcore| done.send(call(lcore)).unwrap());
    assert!(server.plane().handle(0).post(Mail::Call(call)).is_ok(), "the mailbox has room");
    made.recv().unwrap()
}

/// An echo listener on a port of its own, for the free index of `lcore`.
fn newcomer(lcore: &mut Lcore) -> (u8, Box<Listener>, SocketAddr) {
    let index = lcore.free_index().unwrap();
    let free = &lcore.io().datagram_slots;
    let (first, last) = (free.iter().min().unwrap(), free.iter().max().unwrap());
    // Those that peers have are among them.
    let slots = first.saturating_sub(64)..last + 1;
    let socket = UdpSocket::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = socket.address();
    let pipeline = Pipeline::Raw(chain::Raw::new(slots.end));
    let transport: Box<dyn Transport> = if lcore.io().epoll.is_some() {
        Box::new(Udp::over_epoll(socket, index, slots))
    } else {
        Box::new(Udp::new(socket, index, slots))
    };
    (index, Box::new(Listener::new(transport, pipeline, Box::new(Echo))), address)
}

#[test]
fn a_swapped_listener_serves_who_it_knows_and_the_new_one_the_rest_a_1() {
    let server =
        Start::new().datagrams("echo", "127.0.0.1:0").limited("idle_timeout_ms = 2000").start();
    let old = Peer::new(server.address(0));
    old.asks("before");
    let address = on_lcore(&server, |lcore| {
        let (index, listener, address) = newcomer(lcore);
        lcore.replace(0, index, listener).unwrap();
        address
    });
    old.asks("after");
    let new = Peer::new(address);
    new.asks("hello");
    let late = Peer::new(server.address(0));
    late.send("too late");
    wait_until(|| on_lcore(&server, |lcore| lcore.free_index()) == Some(0));
    assert!(late.hears_nothing());
    new.asks("still there");
    server.stop();
}

#[test]
fn a_listener_that_is_taken_away_leaves_its_index_and_its_port_a_3() {
    let server = echo();
    Peer::new(server.address(0)).asks("before");
    for _ in 0..5 {
        assert!(on_lcore(&server, |lcore| lcore.unregister(0)));
        wait_until(|| on_lcore(&server, |lcore| lcore.free_index()) == Some(0));
        let address = on_lcore(&server, |lcore| {
            let (index, listener, address) = newcomer(lcore);
            lcore.register(index, listener).unwrap();
            address
        });
        Peer::new(address).asks("after");
    }
    server.stop();
}
