//! The table of peers is bounded, and who says nothing for long leaves it.

use ringway::counters::{Counter, Reason};

use crate::common::{Start, wait_until};
use crate::peer::Peer;

#[test]
fn a_full_table_takes_nobody_more_and_serves_who_is_in_it() {
    let tables = "[dataplane]\nmax_connections = 3\n";
    let server = Start::new().datagrams("echo", "127.0.0.1:0").tables(tables).start();
    let known: Vec<Peer> = (0..3).map(|_| Peer::new(server.address(0))).collect();
    for peer in &known {
        assert_eq!(peer.send("in").receive(), b"in");
    }
    let stranger = Peer::new(server.address(0));
    for n in 1..=5 {
        stranger.send("me too");
        wait_until(|| server.dropped(Reason::PeerRefused) == n);
        for peer in &known {
            assert_eq!(peer.send("still").receive(), b"still");
        }
    }
    assert!(stranger.hears_nothing());
    assert_eq!(server.count(Counter::Accepted), 3);
    server.stop();
}

#[test]
fn who_says_nothing_for_long_is_forgotten_and_makes_room_w() {
    let tables = "[dataplane]\nmax_connections = 1\n";
    let start = Start::new().datagrams("echo", "127.0.0.1:0").limited("idle_timeout_ms = 1000");
    let server = start.tables(tables).start();
    let first = Peer::new(server.address(0));
    assert_eq!(first.send("hello").receive(), b"hello");
    let second = Peer::new(server.address(0));
    second.asks("is there room?");
    assert_eq!(server.count(Counter::PeersExpired), 1);
    assert_eq!(server.count(Counter::Closed), 1);
    server.wait_for_no_connections();
    // Who comes back is another connection.
    first.asks("me again");
    assert_eq!(server.count(Counter::Accepted), 3);
    server.stop();
}

#[test]
fn one_address_has_as_many_peers_as_it_may_w() {
    let start = Start::new().datagrams("echo", "0.0.0.0:0");
    let server = start.limited("max_connections_per_address = 2").start();
    let to = std::net::SocketAddr::new("127.0.0.1".parse().unwrap(), server.address(0).port());
    let mine: Vec<Peer> = (0..2).map(|_| Peer::new(to)).collect();
    for peer in &mine {
        assert_eq!(peer.send("in").receive(), b"in");
    }
    Peer::new(to).send("me too");
    wait_until(|| server.count(Counter::AddressFull) == 1);
    let other = Peer::at("127.0.0.9:0", to);
    assert_eq!(other.send("from elsewhere").receive(), b"from elsewhere");
    server.stop();
}

#[test]
fn a_peer_that_has_gone_costs_nothing_but_its_answers() {
    let server = Start::new().datagrams("echo", "127.0.0.1:0").start();
    for n in 1..=20 {
        // Its port is closed when the answer comes: the kernel says so with an ICMP message.
        Peer::new(server.address(0)).send("bye");
        wait_until(|| server.count(Counter::TxBufs) + server.dropped(Reason::SendRefused) == n);
    }
    Peer::new(server.address(0)).asks("still there?");
    server.stop();
}
