//! The table of peers is bounded, and who says nothing for long leaves it.

use std::net::SocketAddr;

use ringway::counters::{Counter, Reason};
use ringway::dataplane::Protocol;
use ringway::mem::Burst;
use ringway::pipeline::{Cx, Handler, Pipeline, chain};

use crate::common::{Server, Start, wait_until};
use crate::peer::Peer;

/// Peers that have shown that they hear the server: they have said something after its answer.
fn proved(to: SocketAddr, count: usize) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..count).map(|_| Peer::new(to)).collect();
    for peer in &peers {
        assert_eq!(peer.send("in").receive(), b"in");
        assert_eq!(peer.send("to stay").receive(), b"to stay");
    }
    peers
}

#[test]
fn a_table_full_of_proved_peers_takes_nobody_more_and_serves_who_is_in_it() {
    let tables = "[dataplane]\nmax_connections = 3\n";
    let server = Start::new().datagrams("echo", "127.0.0.1:0").tables(tables).start();
    let known = proved(server.address(0), 3);
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
    assert_eq!(server.count(Counter::PeersDisplaced), 0);
    server.stop();
}

#[test]
fn in_a_full_table_the_oldest_that_has_not_proved_itself_makes_room() {
    let tables = "[dataplane]\nmax_connections = 3\n";
    let server = Start::new().datagrams("echo", "127.0.0.1:0").tables(tables).start();
    let known = proved(server.address(0), 1);
    let once: Vec<Peer> = (0..2).map(|_| Peer::new(server.address(0))).collect();
    for peer in &once {
        assert_eq!(peer.send("once").receive(), b"once");
    }
    // The table is at its limit, and nobody had to go.
    assert_eq!(server.count(Counter::PeersDisplaced), 0);
    let newcomer = Peer::new(server.address(0));
    assert_eq!(newcomer.send("new").receive(), b"new");
    assert_eq!(server.count(Counter::PeersDisplaced), 1);
    // Not the younger one, which is known still, and so proves itself.
    assert_eq!(once[1].send("again").receive(), b"again");
    assert_eq!(server.count(Counter::Accepted), 4);
    // The older one is a newcomer now. The one who was that is unproved, and goes.
    assert_eq!(once[0].send("back").receive(), b"back");
    assert_eq!(server.count(Counter::Accepted), 5);
    assert_eq!(server.count(Counter::PeersDisplaced), 2);
    assert_eq!(known[0].send("still").receive(), b"still");
    assert_eq!(server.count(Counter::Accepted), 5);
    assert_eq!(server.dropped(Reason::PeerRefused), 0);
    server.stop();
}

#[test]
fn datagrams_that_no_answer_lies_between_prove_nothing() {
    let tables = "[dataplane]\nmax_connections = 1\n";
    let start = Start::new().datagrams("silent", "127.0.0.1:0").tables(tables);
    let server = Server::run(start.builder().protocol("silent", |context| {
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Silent) })
    }));
    let first = Peer::new(server.address(0));
    for n in 1..=3 {
        first.send("a");
        wait_until(|| server.count(Counter::RxBufs) == n);
    }
    Peer::new(server.address(0)).send("b");
    wait_until(|| server.count(Counter::PeersDisplaced) == 1);
    server.stop();
}

/// Hears, and says nothing.
struct Silent;

impl Handler for Silent {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
        while input.pop().is_some() {}
    }
}

/// Datagrams from so many addresses that nobody has a socket for: what comes back is lost.
fn fake(to: SocketAddr, from: std::ops::Range<u16>) {
    for n in from {
        let [high, low] = n.to_be_bytes();
        // Sent and gone before the answer comes.
        Peer::at(&format!("127.77.{high}.{low}:0"), to).send("fake");
    }
}

#[test]
fn a_flood_of_faked_senders_keeps_neither_known_peers_nor_newcomers_out_w() {
    let tables = "[dataplane]\nmax_connections = 64\n";
    let server = Start::new().datagrams("echo", "127.0.0.1:0").tables(tables).start();
    let to = server.address(0);
    let known = proved(to, 3);
    for round in 0..10 {
        fake(to, 200 * round..200 * (round + 1));
        for peer in &known {
            assert_eq!(peer.send("still").receive(), b"still");
        }
        let newcomer = Peer::new(to);
        newcomer.asks("is there room?");
        // Once it has said more, no flood takes its place.
        newcomer.asks("it is me");
        let accepted = server.count(Counter::Accepted);
        newcomer.asks("and again");
        assert_eq!(server.count(Counter::Accepted), accepted);
    }
    assert_eq!(server.dropped(Reason::PeerRefused), 0);
    assert!(server.count(Counter::PeersDisplaced) > 1900);
    server.stop();
}

#[test]
fn who_says_nothing_for_long_is_forgotten_and_makes_room_w() {
    let tables = "[dataplane]\nmax_connections = 1\n";
    let start = Start::new().datagrams("echo", "127.0.0.1:0").limited("idle_timeout_ms = 1000");
    let server = start.tables(tables).start();
    let first = proved(server.address(0), 1).remove(0);
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
