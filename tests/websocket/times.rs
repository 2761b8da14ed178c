//! Peers that say nothing.

use ringway::counters::Counter;
use ringway::proto::websocket::Kind;

use crate::common::websocket::{Heard, Peer, closed, text};
use crate::common::{Server, Start, wait_until};
use crate::exchange::server;

const HASTY: &str = "ping_interval_ms = 100, pong_timeout_ms = 100, close_timeout_ms = 100";

#[test]
fn a_silent_peer_is_pinged_and_one_that_answers_stays_w_7() {
    let server = server("ping_interval_ms = 100, pong_timeout_ms = 60000");
    let mut peer = Peer::connect(server.address(0));
    for _ in 0..3 {
        assert_eq!(peer.hear(), Heard::Ping(Vec::new()));
        peer.say(Kind::Text, b"it is here");
        assert_eq!(peer.hear(), text("it is here"));
    }
    peer.part();
    server.stop();
}

#[test]
fn a_peer_that_answers_no_ping_is_told_and_closed_w_7() {
    let server = server(HASTY);
    let mut peer = Peer::connect(server.address(0));
    assert_eq!(peer.hear(), Heard::Ping(Vec::new()));
    assert_eq!(peer.hear(), closed(1011, "no answer to a ping"));
    assert_eq!(peer.hear(), Heard::End);
    assert!(server.count(Counter::Timeouts) > 0);
    drop(peer);
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let settings = "ping_interval_ms = 0, pong_timeout_ms = 1";
    let server = Start::new().listener("websocket", settings).listener("websocket", HASTY).start();
    let mut patient = Peer::connect(server.address(0));
    let mut hasty = Peer::connect(server.address(1));
    // The other is pinged and given up meanwhile, by the same lcore.
    while hasty.hear() != Heard::End {}
    patient.say(Kind::Text, b"first");
    assert_eq!(patient.hear(), text("first"));
    patient.part();
    server.stop();
}

/// A drain that would wait for its connections until the watchdog barks.
fn patient(settings: &str) -> Server {
    let tables = "[dataplane]\nmax_connections = 1024\ndrain_timeout_ms = 3600000\n";
    Start::new().listener("websocket", settings).tables(tables).start()
}

#[test]
fn a_drain_says_that_the_server_goes_away_and_ends_with_the_last_answer_w_7() {
    let server = patient("close_timeout_ms = 3600000");
    let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(server.address(0))).collect();
    let mut idle = server.connect();
    wait_until(|| server.count(Counter::Accepted) == 21);
    server.plane().drain();
    assert_eq!(idle.receive_all(), b"");
    for peer in &mut peers {
        assert_eq!(peer.hear(), closed(1001, ""));
        assert_eq!(peer.answer().hear(), Heard::End);
    }
    drop((peers, idle));
    server.account();
}

#[test]
fn a_drain_waits_for_an_answer_as_long_as_the_settings_say() {
    let server = patient("close_timeout_ms = 100");
    let mut peer = Peer::connect(server.address(0));
    server.plane().drain();
    assert_eq!((peer.hear(), peer.hear()), (closed(1001, ""), Heard::End));
    drop(peer);
    server.account();
}
