//! Listeners whose sockets are carried by another of the kernel's interfaces from a change on.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use ringway::config::{Config, IoBackend, ListenerConfig};

use crate::bed::{config, edit, refusal, tcp, try_edit, wait_for_the_old};
use crate::common::{Client, Server, Start, patience, pattern, uninterrupted};

const EPOLL: &str = "io = \"epoll\"";

/// The first listener is changed; the others keep both interfaces at hand.
fn both(first: Start) -> Server {
    let start = first.io(IoBackend::IoUring).lcores(2);
    start.listener("echo", "").listener("echo", "").limited(EPOLL).start()
}

/// Each in turn, and back.
fn turns() -> impl Iterator<Item = Option<IoBackend>> {
    [Some(IoBackend::Epoll), None, Some(IoBackend::Epoll), Some(IoBackend::IoUring)].into_iter()
}

#[test]
fn connections_stay_with_what_carries_them_and_new_ones_go_to_the_other_a_1_w_1() {
    let server = both(Start::new().listener("echo", ""));
    let mut clients = vec![server.connect()];
    for io in turns() {
        // Some are still waiting to be accepted.
        clients.extend((0..20).map(|_| server.connect()));
        let reloaded = edit(&server, |config| config.listeners[0].io = io);
        assert_eq!(reloaded.changed.len(), 1);
        clients.extend((0..20).map(|_| server.connect()));
        for (number, client) in clients.iter_mut().enumerate() {
            let sent = pattern(number as u64, 5000);
            assert!(client.send(&sent).receive(5000) == sent, "connection {number}");
        }
    }
    drop(clients);
    wait_for_the_old(server.plane());
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_unix_socket_and_one_for_datagrams_go_over_too_a_1_w_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let server = both(Start::new().datagrams("echo", "127.0.0.1:0"));
    edit(&server, |config| config.listeners.push(ListenerConfig::unix(&path, "echo", "the test")));
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(server.address(0)).unwrap();
    datagrams.set_read_timeout(patience()).unwrap();
    let (mut room, mut streams) = ([0; 64], Vec::new());
    for io in turns() {
        edit(&server, |config| {
            config.listeners[0].io = io;
            config.listeners[3].io = io;
        });
        datagrams.send(b"hello").unwrap();
        assert_eq!(uninterrupted(|| datagrams.recv(&mut room)).unwrap(), 5);
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(patience()).unwrap();
        streams.push(stream);
        for stream in &mut streams {
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut room[..5]).unwrap();
            assert_eq!(&room[..5], b"hello");
        }
    }
    drop(streams);
    wait_for_the_old(server.plane());
    server.drain();
}

#[test]
fn a_listener_that_says_what_it_has_already_is_not_touched_w_1() {
    let server = both(Start::new().listener("echo", ""));
    let reloaded = edit(&server, |config| config.listeners[0].io = Some(IoBackend::IoUring));
    assert_eq!(reloaded.changed[0].to_string(), "tcp 127.0.0.1:0 io: - -> io_uring");
    edit(&server, |config| config.listeners[0].io = Some(IoBackend::Auto));
    assert!(server.plane().in_force().draining.is_empty(), "nothing was swapped");
    server.drain();
}

#[test]
fn what_the_lcores_have_not_got_is_refused_with_the_mend_w_1() {
    for (has, lacks) in
        [(IoBackend::IoUring, IoBackend::Epoll), (IoBackend::Epoll, IoBackend::IoUring)]
    {
        let server = Start::new().listener("echo", "").io(has).start();
        let of = |listener: ListenerConfig| ListenerConfig { io: Some(lacks), ..listener };
        let added = refusal(&server, |config| config.listeners.push(of(tcp("echo"))));
        let changed = refusal(&server, |config| config.listeners[0].io = Some(lacks));
        for error in [added, changed] {
            let why = format!("without a listener over {}", lacks.name());
            assert!(error.contains(&why) && error.contains("start the instance again"), "{error}");
        }
        assert_eq!(server.connect().send("x").receive(1), b"x");
        server.drain();
    }
}

/// What `auto` came to is in force, and the file may say `auto` on.
#[test]
fn what_carries_the_sockets_was_fixed_at_the_start_and_is_refused_by_name_w_1() {
    for asked in [IoBackend::Auto, IoBackend::Epoll] {
        let server = Start::new().listener("echo", "").io(asked).start();
        let has = server.plane().io();
        assert_eq!(config(&server).dataplane.io, has);
        let same = try_edit(&server, |config| config.dataplane.io = asked).unwrap();
        assert!(same.is_unchanged());
        let same = try_edit(&server, |config| config.dataplane.io = has).unwrap();
        assert!(same.is_unchanged());
        let others = [IoBackend::Auto, IoBackend::IoUring, IoBackend::Epoll].into_iter();
        for other in others.filter(|other| *other != asked && *other != has) {
            let error = refusal(&server, |config| config.dataplane.io = other);
            let named = format!("dataplane.io: {} -> {}", has.name(), other.name());
            assert!(error.contains(&named), "{named} is not in: {error}");
        }
        // By what the configuration says when it is written out.
        let written: Config = config(&server).with(&[]).unwrap();
        assert!(server.plane().reload(written).unwrap().is_unchanged());
        Client::connect(server.address(0)).send("x").receive(1);
        server.drain();
    }
}
