//! Each protocol over epoll, as far as what carries it could matter.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use ringway::config::IoBackend;
use ringway::counters::Counter;
use ringway::proto::websocket::Kind;

use crate::common::websocket::{Heard, Peer};
use crate::common::{Client, Server, Start, patience, pattern, uninterrupted};

fn epoll() -> Start {
    Start::new().io(IoBackend::Epoll)
}

#[test]
fn http_requests_are_answered_one_by_one_and_hundreds_at_once_w_1() {
    let server = epoll().listener("http", "").start();
    let mut client = server.connect();
    assert_eq!(client.get("/").status(), 200);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500));
    for _ in 0..500 {
        assert_eq!(client.response().status(), 200);
    }
    // Requests that come in pieces of every size.
    for piece in [1, 2, 7, 30] {
        for part in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".chunks(piece) {
            client.send(part);
        }
        assert_eq!(client.response().status(), 200);
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.receive_all(), b"");
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn bodies_of_every_size_come_back_whole_w_1() {
    let server = epoll().listener("http", "max_body_bytes = 67108864").start();
    let mut client = server.connect();
    for bytes in [0, 1, 2047, 2048, 2049, 16_384, 100_000] {
        let body = pattern(bytes as u64, bytes);
        assert!(client.post("/echo", &body).body == body, "{bytes} bytes");
    }
    // More than sockets hold: read while it is sent.
    let body = pattern(8, 8 << 20);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut sender = Client::over(client.stream().try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&head).send(&body);
        });
        assert!(client.response().body == body, "the echo differs");
    });
    server.stop();
}

#[test]
fn many_connections_on_two_lcores_each_get_their_own_w_1() {
    let server = epoll().lcores(2).listener("echo", "").start();
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for round in 0..5u64 {
        let body = |n: usize| pattern(round << 32 | n as u64, 1000 + n);
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(body(n));
        }
        for (n, client) in clients.iter_mut().enumerate() {
            assert!(client.receive(1000 + n) == body(n), "the bytes of another");
        }
    }
    assert_eq!(server.count(Counter::Accepted), 200);
    drop(clients);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn websockets_echo_and_close_w_1() {
    let server = epoll().listener("websocket", "").start();
    let mut peer = Peer::connect(server.address(0));
    for bytes in [0, 125, 126, 70_000] {
        let message = "x".repeat(bytes);
        peer.say(Kind::Text, message.as_bytes());
        assert_eq!(peer.hear(), Heard::Message(Kind::Text, message.into_bytes()));
    }
    drop(peer);
    server.wait_for_no_connections();
    server.drain();
}

fn unix(protocol: &str, keys: &str) -> (Server, UnixStream, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.sock");
    let listener = format!(
        "[[listener]]\naddress = \"{}\"\ntransport = \"unix\"\nprotocol = \"{protocol}\"\n{keys}\n",
        path.display()
    );
    let server = epoll().tables(&listener).start();
    let peer = UnixStream::connect(&path).unwrap();
    peer.set_read_timeout(patience()).unwrap();
    (server, peer, directory)
}

#[test]
fn commands_over_a_unix_socket_are_answered_for_all_and_for_those_on_a_list_w_1() {
    let uid = nix::unistd::geteuid().as_raw();
    for keys in [String::new(), format!("allow_uids = [{uid}]")] {
        let (server, mut peer, _directory) = unix("ipc", &keys);
        peer.write_all(b"help\n").unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("help"), "{answer}");
        drop(peer);
        server.wait_for_no_connections();
        server.drain();
    }
    let (server, mut peer, _directory) = unix("ipc", &format!("allow_uids = [{}]", uid ^ 1));
    let mut answer = Vec::new();
    let end = peer.read_to_end(&mut answer);
    assert!(end.is_err() || answer.is_empty(), "who is on no list is not heard: {answer:?}");
    assert_eq!(server.count(Counter::PeersRefused), 1);
    server.drain();
}

#[test]
fn datagrams_are_echoed_w_1() {
    let server = epoll().datagrams("echo", "127.0.0.1:0").start();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(patience()).unwrap();
    peer.connect(server.address(0)).unwrap();
    let mut heard = [0; 2000];
    for n in 1..200 {
        let datagram = pattern(n, n as usize * 7);
        peer.send(&datagram).unwrap();
        let bytes = uninterrupted(|| peer.recv(&mut heard)).unwrap();
        assert!(heard[..bytes] == datagram);
    }
    assert_eq!(server.count(Counter::RxBufs), 199);
    server.stop();
}
