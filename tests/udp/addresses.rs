//! Answers come from the address that was asked, whatever the socket is bound to.

use std::net::SocketAddr;

use ringway::counters::Counter;

use crate::common::Start;
use crate::peer::Peer;

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    let server = Start::new().datagrams("echo", "0.0.0.0:0").start();
    let port = server.address(0).port();
    let peer = Peer::new(at("127.0.0.1", port));
    for asked in ["127.0.0.1", "127.0.0.2", "127.0.0.77"] {
        let asked = at(asked, port);
        peer.socket.send_to(b"who are you?", asked).unwrap();
        assert_eq!(peer.receive_from(), (b"who are you?".to_vec(), asked));
    }
    assert_eq!(server.count(Counter::Accepted), 3, "a peer is known by both addresses");
    server.stop();
}

#[test]
fn an_ipv6_wildcard_answers_over_both_families() {
    let server = Start::new().datagrams("echo", "[::]:0").start();
    let port = server.address(0).port();
    for (own, asked) in
        [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.3")]
    {
        let asked = at(asked, port);
        let peer = Peer::at(own, asked);
        assert_eq!(peer.send("hello").receive_from(), (b"hello".to_vec(), asked));
        // And in trains.
        peer.send_train([7; 250], 100);
        assert_eq!(peer.receive_bytes(250).len(), 3);
    }
    server.stop();
}

#[test]
fn lcores_share_a_port_and_each_peer_stays_with_one() {
    let server = Start::new().datagrams("echo", "127.0.0.1:0").lcores(2).start();
    let peers: Vec<Peer> = (0..40).map(|_| Peer::new(server.address(0))).collect();
    for _ in 0..3 {
        for peer in &peers {
            assert_eq!(peer.send("x").receive(), b"x");
        }
    }
    assert_eq!(server.count(Counter::Accepted), 40);
    let busy = server.plane().status().iter().filter(|lcore| lcore.get(Counter::Accepted) > 0);
    assert_eq!(busy.count(), 2, "both have some");
    server.stop();
}
