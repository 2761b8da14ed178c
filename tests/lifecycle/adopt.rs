//! Sockets that are handed over to a running lcore (W-2).

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc;

use ringway::counters::Counter;
use ringway::error::Result;
use ringway::limits::ADOPTED_MAX;
use ringway::mem::ConnId;

use crate::common::{Client, Server, Start, wait_until};

/// Hands `socket` to a listener of an lcore and waits for what becomes of it.
pub fn adopt(server: &Server, lcore: usize, listener: u8, socket: OwnedFd) -> Result<ConnId> {
    let (told, outcome) = mpsc::channel();
    let done = Box::new(move |outcome| told.send(outcome).unwrap());
    assert!(server.plane().handle(lcore).adopt(listener, socket, done).is_ok());
    outcome.recv().unwrap()
}

/// The two ends of a TCP connection.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

#[test]
fn a_tcp_socket_that_is_handed_over_is_served_w_2() {
    let server = Server::http();
    let (ours, theirs) = tcp_pair();
    adopt(&server, 0, 0, theirs.into()).unwrap();
    let mut client = Client::over(ours);
    assert_eq!(client.get("/").body, b"hello! I'm go server !");
    assert_eq!(client.post("/echo", b"handed over").body, b"handed over");
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn one_end_of_a_unix_socket_pair_is_served_w_2() {
    use std::io::{Read, Write};
    let server = Server::echo();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(crate::common::patience()).unwrap();
    adopt(&server, 0, 0, theirs.into()).unwrap();
    ours.write_all(b"over a pair").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert_eq!(text, "over a pair");
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_second_adoption_is_refused_until_the_first_has_ended_w_2() {
    let server = Start::new().listener("echo", "").listener("echo", "").start();
    let (ours, theirs) = tcp_pair();
    let copies: Vec<_> = (0..4).map(|_| theirs.try_clone().unwrap()).collect();
    adopt(&server, 0, 0, theirs.into()).unwrap();
    let mut copies = copies.into_iter();
    for listener in [0, 1] {
        let again = adopt(&server, 0, listener, copies.next().unwrap().into()).unwrap_err();
        assert!(again.why().contains("adopted already"), "{again}");
    }
    let mut client = Client::over(ours);
    assert_eq!(client.send("still served").receive(12), b"still served");
    drop(copies);
    client.finish();
    assert_eq!(client.receive_all(), b"");
    server.wait_for_no_connections();
    let (ours, theirs) = tcp_pair();
    adopt(&server, 0, 1, theirs.into()).unwrap();
    assert_eq!(Client::over(ours).send("next").receive(4), b"next");
    server.drain();
}

#[test]
fn a_second_adoption_by_another_lcore_is_refused_w_2() {
    let server = Start::new().listener("echo", "").lcores(2).start();
    let (_ours, theirs) = tcp_pair();
    let copy = theirs.try_clone().unwrap();
    adopt(&server, 0, 0, theirs.into()).unwrap();
    let again = adopt(&server, 1, 0, copy.into()).unwrap_err();
    assert!(again.why().contains("adopted already"), "{again}");
    server.stop();
}

#[test]
fn what_is_no_connected_stream_is_refused_w_2() {
    let server = Server::echo();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = adopt(&server, 0, 0, listener.into()).unwrap_err();
    assert!(error.remedy().contains("connected stream"), "{error}");
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    assert!(adopt(&server, 0, 0, datagrams.into()).is_err());
    let (_ours, theirs) = tcp_pair();
    let error = adopt(&server, 0, 7, theirs.into()).unwrap_err();
    assert!(error.why().contains("no listener 7"), "{error}");
    server.drain();
}

#[test]
fn as_many_as_there_is_room_for_are_adopted_and_then_again_w_2() {
    let server = Server::echo();
    for round in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..ADOPTED_MAX {
            let (ours, theirs) = tcp_pair();
            adopt(&server, 0, 0, theirs.into()).unwrap();
            clients.push(Client::over(ours));
        }
        let (_ours, theirs) = tcp_pair();
        assert!(adopt(&server, 0, 0, theirs.into()).is_err(), "one too many");
        for (n, client) in clients.iter_mut().enumerate() {
            let text = format!("{round} of {n}");
            assert_eq!(client.send(&text).receive(text.len()), text.as_bytes());
        }
        drop(clients);
        server.wait_for_no_connections();
    }
    wait_until(|| server.count(Counter::Accepted) == 3 * u64::from(ADOPTED_MAX));
    server.drain();
}
