//! A listener that is swapped for another, or taken away, while it serves.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use ringway::config::DataplaneConfig;
use ringway::handler::Echo;
use ringway::lcore::{Lcore, Listener, Mail};
use ringway::limits::ADOPTED_MAX;
use ringway::pipeline::{Pipeline, chain};
use ringway::sys::socket::TcpListener;
use ringway::transport::{Tcp, Transport};

use crate::common::{Client, Server, pattern, wait_until};

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
    let slots = DataplaneConfig::default().max_connections + ADOPTED_MAX;
    let socket = TcpListener::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = socket.address();
    let transport: Box<dyn Transport> = if lcore.io().epoll.is_some() {
        Box::new(Tcp::over_epoll(socket, index, slots))
    } else {
        Box::new(Tcp::new(socket, index, slots))
    };
    let pipeline = Pipeline::Raw(chain::Raw::new(slots));
    (index, Box::new(Listener::new(transport, pipeline, Box::new(Echo))), address)
}

#[test]
fn a_swapped_listener_serves_its_connections_to_their_end_and_the_new_one_the_rest_a_1() {
    let server = Server::echo();
    let mut old = server.connect();
    let half = pattern(1, 300_000);
    let mut sender = Client::over(old.stream().try_clone().unwrap());
    std::thread::scope(|scope| {
        let echoed = scope.spawn(|| old.receive(2 * half.len()));
        sender.send(&half);
        let address = on_lcore(&server, |lcore| {
            let (index, listener, address) = newcomer(lcore);
            lcore.replace(0, index, listener).unwrap();
            address
        });
        sender.send(&half);
        assert!(echoed.join().unwrap() == [&half[..], &half[..]].concat(), "a byte was lost");
        let mut new = Client::connect(address);
        new.send(b"hello");
        assert_eq!(new.receive(5), b"hello");
    });
    assert!(TcpStream::connect(server.address(0)).is_err(), "the old one accepts no more");
    drop((old, sender));
    server.wait_for_no_connections();
    wait_until(|| on_lcore(&server, |lcore| lcore.free_index()) == Some(0));
    assert_eq!(server.stop().missing(), 0);
}

#[test]
fn a_listener_that_is_taken_away_closes_its_connections_and_leaves_its_index_a_3() {
    let server = Server::echo();
    let mut client = server.connect();
    client.send(b"before");
    assert_eq!(client.receive(6), b"before");
    assert!(on_lcore(&server, |lcore| lcore.unregister(0)));
    client.wait_for_the_end();
    wait_until(|| on_lcore(&server, |lcore| lcore.free_index()) == Some(0));
    assert!(!on_lcore(&server, |lcore| lcore.unregister(0)), "it is gone");
    let address = on_lcore(&server, |lcore| {
        let (index, listener, address) = newcomer(lcore);
        lcore.register(index, listener).unwrap();
        address
    });
    let mut client = Client::connect(address);
    client.send(b"after");
    assert_eq!(client.receive(5), b"after");
    drop(client);
    assert_eq!(server.stop().missing(), 0);
}
