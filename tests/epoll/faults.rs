//! Each way in which the kernel says no, or late, or half: all is answered in the end, and every buf comes
//! back.

use std::fs::File;
use std::io::{IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};
use ringway::config::IoBackend;
use ringway::counters::Counter;
use ringway::lcore::Mail;

use crate::common::{Client, Server, Start, alone, patience, pattern, wait_until};

fn epoll() -> Start {
    Start::new().io(IoBackend::Epoll)
}

#[test]
fn who_comes_when_the_process_has_no_descriptor_left_is_served_once_it_has_w_1() {
    alone(
        "faults::who_comes_when_the_process_has_no_descriptor_left_is_served_once_it_has_w_1",
        || {
            for key in ["", "max_connections_per_address = 1000"] {
                let tables = "[dataplane]\nmax_connections = 64\n";
                let server = epoll().listener("echo", "").limited(key).tables(tables).start();
                let mut before = server.connect();
                assert_eq!(before.send("x").receive(1), b"x");
                let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
                setrlimit(Resource::RLIMIT_NOFILE, 512.min(hard), hard).unwrap();
                let mut taken: Vec<_> =
                    std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
                // A descriptor for the near end, none for the far one.
                taken.pop();
                let late = TcpStream::connect(server.address(0)).unwrap();
                wait_until(|| server.count(Counter::AcceptFailures) > 0);
                assert_eq!(
                    before.send("y").receive(1),
                    b"y",
                    "the others are served all the while"
                );
                drop(taken);
                let mut late = Client::over(late);
                assert_eq!(late.send("z").receive(1), b"z");
                drop((before, late));
                server.wait_for_no_connections();
                server.drain();
            }
        },
    );
}

#[test]
fn connections_past_the_limit_wait_until_somebody_goes_w_1() {
    let tables = "[dataplane]\nmax_connections = 4\n";
    let server = epoll().listener("echo", "").tables(tables).start();
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.send("x").receive(1), b"x"));
    let mut late = server.connect();
    late.send("late");
    assert_eq!(clients[0].send("x").receive(1), b"x");
    assert_eq!(server.count(Counter::Accepted), 4);
    drop(clients);
    assert_eq!(late.receive(4), b"late");
    drop(late);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn all_is_answered_though_the_pool_has_few_slots_w_1() {
    let tables = "[mempool]\nsmall_slots = 64\nlarge_slots = 16\n";
    let server = epoll().listener("echo", "").tables(tables).start();
    std::thread::scope(|scope| {
        for peer in 0..4u64 {
            let server = &server;
            scope.spawn(move || {
                let mut clients: Vec<_> = (0..16).map(|_| server.connect()).collect();
                for round in 0..10u64 {
                    let body = |n: usize| pattern(peer << 40 | round << 20 | n as u64, 20_000);
                    for (n, client) in clients.iter_mut().enumerate() {
                        client.send(body(n));
                    }
                    for (n, client) in clients.iter_mut().enumerate() {
                        assert!(client.receive(20_000) == body(n), "the bytes of another");
                    }
                }
            });
        }
    });
    assert!(server.count(Counter::RxStarved) > 0);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_peer_that_does_not_read_gets_every_byte_at_last_w_1() {
    let server = epoll().listener("echo", "").start();
    let client = server.connect();
    let bytes = pattern(5, 32 << 20);
    let mut sender = Client::over(client.stream().try_clone().unwrap());
    let mut reader = client;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&bytes).finish();
        });
        wait_until(|| server.count(Counter::RxPaused) > 0);
        assert!(reader.receive_all() == bytes, "the echo differs");
    });
    drop((sender, reader));
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_peer_that_takes_nothing_for_too_long_is_given_up_w_1() {
    let start = epoll().listener("echo", "").limited("write_timeout_ms = 1000");
    let server = start.start();
    let mut client = server.connect();
    let bytes = pattern(6, 64 << 20);
    client.try_send(&bytes);
    wait_until(|| server.count(Counter::StalledPeers) == 1);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_reset_in_any_state_is_survived_w_1() {
    let server = epoll().listener("http", "").listener("echo", "").start();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for round in 0..10 {
        let mut clients: Vec<_> = (0..10).map(|n| Client::connect(server.address(n % 2))).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            match n / 2 {
                0 => {}
                1 => drop(client.send(&request[..9])),
                2 => drop(client.send(request.repeat(300))),
                3 => drop(client.send("bytes").finish()),
                _ => {
                    let timeout = Some(std::time::Duration::from_millis(20));
                    client.stream().set_write_timeout(timeout).unwrap();
                    client.try_send(pattern(3, 4 << 20));
                }
            }
        }
        if round % 2 == 0 {
            wait_until(|| server.count(Counter::RxBytes) > 0);
        }
        clients.into_iter().for_each(Client::reset);
        assert_eq!(server.connect().get("/").status(), 200);
    }
    server.wait_for_no_connections();
    server.drain();
}

/// Holds the lcore until what it returns is dropped, so that all sent meanwhile is there when it looks.
fn hold(server: &Server) -> mpsc::Sender<()> {
    let (hold, held) = mpsc::channel::<()>();
    let wait = Box::new(move |_: &mut _| assert!(held.recv().is_err(), "it ends when `hold` does"));
    assert!(server.plane().handle(0).post(Mail::Call(wait)).is_ok());
    hold
}

/// Urgent data ends a receive before its time, though there is more behind it.
#[test]
fn what_stands_behind_urgent_data_is_heard_w_1() {
    let server = epoll().listener("echo", "").start();
    let mut client = server.connect();
    assert_eq!(client.send("x").receive(1), b"x");
    let held = hold(&server);
    client.send("ab");
    send(client.stream().as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
    client.send("cd");
    drop(held);
    assert_eq!(client.receive(4), b"abcd");
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}

/// So do descriptors; nobody takes them.
#[test]
fn what_stands_behind_descriptors_is_heard_w_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.sock");
    let listener = format!(
        "[[listener]]\naddress = \"{}\"\ntransport = \"unix\"\nprotocol = \"echo\"\n",
        path.display()
    );
    let server = epoll().tables(&listener).start();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.set_read_timeout(patience()).unwrap();
    wait_until(|| server.count(Counter::Accepted) == 1);
    let held = hold(&server);
    let null = File::open("/dev/null").unwrap();
    let (bytes, fds) = ([IoSlice::new(b"ab")], [null.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(peer.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).unwrap();
    peer.write_all(b"cd").unwrap();
    drop(held);
    let mut heard = [0; 4];
    std::io::Read::read_exact(&mut peer, &mut heard).unwrap();
    assert_eq!(&heard, b"abcd");
    drop(peer);
    server.wait_for_no_connections();
    server.drain();
}
