//! Listeners that are added, removed, swapped and tuned.

use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ringway::config::{IdleMode, ListenerConfig};
use ringway::counters::Counter;
use ringway::proto::websocket::Kind;

use crate::bed::{config, edit, tcp, wait_for_the_old};
use crate::common::websocket::Peer;
use crate::common::{Client, Start, patience, pattern, uninterrupted, wait_until};

#[test]
fn a_listener_that_is_added_serves_on_every_lcore_a_12() {
    let server = Start::new().listener("http", "").lcores(2).start();
    let reloaded = edit(&server, |config| config.listeners.push(tcp("echo")));
    assert_eq!(reloaded.generation, 2);
    assert_eq!(reloaded.added, [format!("tcp {} echo", server.address(1))]);
    assert_eq!(server.plane().addresses().len(), 2);
    // The kernel spreads them over both.
    for number in 0..16 {
        let mut client = Client::connect(server.address(1));
        let sent = pattern(number, 3000);
        assert_eq!(client.send(&sent).receive(3000), sent);
    }
    assert_eq!(server.connect().get("/").status(), 200);
    server.drain();
}

#[test]
fn a_listener_that_is_removed_accepts_no_more_and_lets_its_connections_finish_a_12() {
    let server = Start::new().listener("http", "").listener("http", "").start();
    let (stays, goes) = (server.address(0), server.address(1));
    let (mut idle, mut busy) = (Client::connect(goes), Client::connect(goes));
    let mut other = Client::connect(stays);
    assert_eq!(idle.get("/").status(), 200);
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    wait_until(|| server.count(Counter::RxBufs) >= 2);
    let reloaded = edit(&server, |config| drop(config.listeners.pop()));
    assert_eq!(reloaded.removed, [format!("tcp {goes} http")]);
    assert!(TcpStream::connect(goes).is_err(), "it accepts no more");
    assert_eq!(idle.receive_all(), b"", "an idle one is closed in order");
    let response = busy.send("cde").response();
    assert_ne!(response.status(), 0, "a busy one gets its answer");
    busy.wait_for_the_end();
    wait_for_the_old(server.plane());
    assert_eq!(other.get("/").status(), 200);
    drop(other);
    server.drain();
}

#[test]
fn what_has_not_finished_in_time_on_a_listener_that_is_removed_is_cut_a_12() {
    let tables = "[dataplane]\nmax_connections = 64\ndrain_timeout_ms = 50\n";
    let server = Start::new().listener("echo", "").listener("http", "").tables(tables).start();
    let mut stuck = Client::connect(server.address(1));
    stuck.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    wait_until(|| server.count(Counter::RxBufs) == 1);
    edit(&server, |config| drop(config.listeners.pop()));
    stuck.wait_for_the_end();
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn connections_of_a_swapped_listener_go_on_as_they_were_and_new_ones_are_the_successors_a_1() {
    let server = Start::new().listener("echo", "").start();
    let mut old = server.connect();
    assert_eq!(old.send("before").receive(6), b"before");
    let reloaded = edit(&server, |config| config.listeners[0].protocol = "http".to_owned());
    assert_eq!(reloaded.changed[0].to_string(), "tcp 127.0.0.1:0 protocol: echo -> http");
    assert_eq!(old.send("after").receive(5), b"after");
    assert_eq!(server.connect().get("/").status(), 200);
    let draining = &server.plane().in_force().draining;
    assert!(draining[0].is_there() && draining[0].listener.protocol == "echo");
    drop(old);
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn a_swapped_http_listener_says_so_with_its_next_response_and_cuts_nobody_a_1() {
    let server = Start::new().listener("http", "max_headers = 3").start();
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!(first.get("/").field("connection"), None);
    // A request that is under way ends under the rules that it began with.
    second.send("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n");
    wait_until(|| server.count(Counter::RxBufs) >= 2);
    edit(&server, |config| {
        config.listeners[0].config.insert("max_headers".to_owned(), 2.into());
    });
    let response = second.send("\r\n").response();
    assert_eq!((response.status(), response.field("connection")), (200, Some("close")));
    second.wait_for_the_end();
    let response = first.get("/");
    assert_eq!((response.status(), response.field("connection")), (200, Some("close")));
    first.wait_for_the_end();
    wait_for_the_old(server.plane());
    let mut third = server.connect();
    assert_eq!(third.get("/").field("connection"), None);
    third.send("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n");
    assert_eq!(third.response().status(), 431);
    drop(third);
    server.drain();
}

#[test]
fn websockets_of_a_swapped_listener_live_on_and_begin_a_1() {
    let server = Start::new().listener("websocket", "").start();
    let mut peer = Peer::connect(server.address(0));
    peer.echoes(Kind::Text, b"before");
    // One that the old listener has accepted, and that has said nothing yet.
    let mut late = server.connect();
    wait_until(|| server.plane().status().connections() == 2);
    edit(&server, |config| {
        config.listeners[0].config.insert("max_message_bytes".to_owned(), 5000.into());
    });
    peer.echoes(Kind::Text, b"after");
    late.send(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(late.head().status(), 101);
    // A masked text of one letter, and back comes one without a mask.
    late.send([0x81, 0x81, 0, 0, 0, 0, b'x']);
    assert_eq!(late.receive(3), [0x81, 1, b'x']);
    Peer::connect(server.address(0)).echoes(Kind::Text, b"new");
    assert!(server.plane().in_force().draining[0].is_there());
    drop((peer, late));
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn who_waits_to_be_accepted_while_a_listener_is_swapped_is_served_a_1() {
    // The one lcore has one connection, so that others wait in the kernel.
    let tables = "[dataplane]\nmax_connections = 1\n";
    let server = Start::new().listener("echo", "").tables(tables).start();
    let mut first = server.connect();
    assert_eq!(first.send("x").receive(1), b"x");
    let mut waiting: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for turn in 0..5 {
        edit(&server, |config| config.listeners[0].connections_per_address = Some(100 + turn));
    }
    drop(first);
    for client in &mut waiting {
        assert_eq!(client.send("hello").receive(5), b"hello");
        client.finish().wait_for_the_end();
    }
    drop(waiting);
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn times_alone_change_for_the_connections_that_are_there() {
    let server = Start::new().listener("echo", "").start();
    let mut client = server.connect();
    assert_eq!(client.send("x").receive(1), b"x");
    edit(&server, |config| config.listeners[0].write_timeout = Duration::from_secs(1));
    assert!(server.plane().in_force().draining.is_empty(), "nothing was swapped");
    // It takes nothing of what comes back, and is given up after a second, or two.
    client.stream().set_nonblocking(true).unwrap();
    wait_until(|| {
        client.try_send([b'x'; 4096]);
        server.plane().status().connections() == 0
    });
    server.stop();
}

#[test]
fn idle_and_the_time_to_drain_change_at_once_a_12() {
    let server = Start::new().listener("echo", "").idle(IdleMode::Sleep).start();
    let mut client = server.connect();
    edit(&server, |config| {
        config.dataplane.idle = IdleMode::Busy;
        config.dataplane.drain_timeout = Duration::from_millis(20);
    });
    assert_eq!(client.send("x").receive(1), b"x");
    let sleeps = server.count(Counter::Sleeps);
    let rounds = server.count(Counter::Rounds);
    wait_until(|| server.count(Counter::Rounds) > rounds + 10_000);
    assert_eq!(server.count(Counter::Sleeps), sleeps, "it spins");
    server.drain();
}

#[test]
fn a_unix_listener_is_swapped_with_another_mode_and_its_file_stays_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let server = Start::new().listener("echo", "").lcores(2).start();
    edit(&server, |config| config.listeners.push(ListenerConfig::unix(&path, "echo", "the test")));
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o666);
    let old = UnixStream::connect(&path).unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    edit(&server, |config| {
        config.listeners[1].access.mode = 0o600;
        config.listeners[1].access.uids = vec![uid];
    });
    assert_eq!(mode(), 0o600);
    talk(&old);
    talk(&UnixStream::connect(&path).unwrap());
    // And the file is still made again for those who come later.
    std::fs::remove_file(&path).unwrap();
    server.plane().renew_sockets();
    assert_eq!(mode(), 0o600);
    talk(&UnixStream::connect(&path).unwrap());
    edit(&server, |config| drop(config.listeners.pop()));
    drop(old);
    wait_for_the_old(server.plane());
    wait_until(|| !path.exists());
    server.drain();
}

fn talk(mut stream: &UnixStream) {
    use std::io::{Read, Write};
    stream.set_read_timeout(patience()).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut room = [0; 5];
    stream.read_exact(&mut room).unwrap();
    assert_eq!(&room, b"hello");
}

#[test]
fn a_listener_for_datagrams_is_swapped_and_its_peers_begin_anew() {
    let start = Start::new().listener("http", "").datagrams("echo", "127.0.0.1:0");
    let server = start.lcores(2).start();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(server.address(1)).unwrap();
    peer.set_read_timeout(patience()).unwrap();
    let mut room = [0; 64];
    let mut talk = |text: &str| {
        peer.send(text.as_bytes()).unwrap();
        let count = uninterrupted(|| peer.recv(&mut room)).unwrap();
        assert_eq!(&room[..count], text.as_bytes());
    };
    talk("before");
    for turn in 0..10 {
        edit(&server, |config| config.listeners[1].connections_per_address = Some(50 + turn));
        talk("after");
    }
    edit(&server, |config| config.listeners[1].idle_timeout = Duration::from_secs(7));
    talk("tuned");
    wait_for_the_old(server.plane());
    edit(&server, |config| drop(config.listeners.pop()));
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn a_reload_of_the_same_is_no_change() {
    let server = Start::new().listener("http", "").start();
    let reloaded = server.plane().reload(config(&server)).unwrap();
    assert!(reloaded.is_unchanged() && reloaded.generation == 1);
    assert_eq!(reloaded.to_string(), "generation 1: nothing differs");
    assert_eq!(server.plane().in_force().generation, 1);
    server.drain();
}

#[test]
fn kinds_of_values_and_timers_of_listeners_that_are_gone_are_gone_a_8() {
    use ringway::dataplane::Protocol;
    use ringway::pipeline::{Pipeline, chain};
    // As many swaps as would run out of timers, were one left behind by each.
    let tables = "[dataplane]\nmax_connections = 1\n";
    let builder = Start::new().listener("mine", "").tables(tables).builder();
    let server = crate::common::Server::run(builder.protocol("mine", |context| {
        context.extensions.register::<[u64; 8]>();
        context.extensions.register_message::<u64>();
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(ringway::handler::Echo) })
    }));
    for turn in 0..600 {
        wait_for_the_old(server.plane());
        edit(&server, |config| config.listeners[0].connections_per_address = Some(100 + turn));
    }
    assert_eq!(server.connect().send("x").receive(1), b"x");
    server.drain();
}
