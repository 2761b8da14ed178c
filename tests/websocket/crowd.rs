//! Many peers, slow ones, and those that go without a word.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use ringway::counters::Counter;
use ringway::proto::websocket::Kind;

use crate::common::websocket::{Heard, Peer, request};
use crate::common::{Client, patience, pattern, wait_until};
use crate::exchange::server;

#[test]
fn hundreds_of_peers_each_get_their_own() {
    let server = server("");
    let address = server.address(0);
    let mut peers: Vec<_> = (0..300)
        .map(|n| if n % 3 == 0 { Peer::compressing(address) } else { Peer::connect(address) })
        .collect();
    for round in 0..3 {
        let message = |n: usize| pattern(n as u64, 10 + 777 * round * (n % 7));
        for (n, peer) in peers.iter_mut().enumerate() {
            peer.say(Kind::Binary, &message(n));
        }
        for (n, peer) in peers.iter_mut().enumerate() {
            assert!(peer.hear() == Heard::Message(Kind::Binary, message(n)), "of peer {n}");
        }
    }
    peers.into_iter().for_each(Peer::part);
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn a_peer_that_does_not_read_is_bounded_and_others_go_on_w_8() {
    let server = server("");
    let mut slow = Peer::connect(server.address(0));
    let mut other = Peer::connect(server.address(0));
    let message = pattern(3, 50_000);
    let frame = slow.frame(Kind::Binary, &message);
    slow.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    loop {
        match slow.stream.write(&frame[sent % frame.len()..]) {
            Ok(len) => sent += len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if server.count(Counter::RxPaused) > 0 {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1 << 28, "it takes everything");
    }
    for n in 0..50 {
        other.echoes(Kind::Binary, &pattern(n, 5000));
    }
    slow.stream.set_write_timeout(patience()).unwrap();
    (0..sent / frame.len())
        .for_each(|_| assert!(slow.hear() == Heard::Message(Kind::Binary, message.clone())));
    let left = frame.len() - sent % frame.len();
    slow.stream.write_all(&frame[frame.len() - left..]).unwrap();
    assert!(slow.hear() == Heard::Message(Kind::Binary, message));
    slow.part();
    other.part();
    server.stop();
}

#[test]
fn peers_that_go_in_the_middle_leave_nothing_behind_w_8() {
    let server = server("");
    let address = server.address(0);
    let mut stays = Peer::connect(address);
    for n in 0..200 {
        let mut peer = if n % 2 == 0 { Peer::connect(address) } else { Peer::compressing(address) };
        let mut frame = peer.frame(Kind::Binary, &pattern(n, 3000));
        if n % 2 == 1 {
            frame[0] |= 0x40; // in the middle of what does not even decompress, or may
        }
        peer.stream.write_all(&frame[..(n as usize * 17) % frame.len()]).unwrap();
        if n % 4 < 2 {
            Client::over(peer.stream).reset();
        }
        if n % 20 == 0 {
            stays.echoes(Kind::Text, b"still here");
        }
    }
    wait_until(|| server.plane().status().connections() == 1);
    stays.echoes(Kind::Text, b"still here");
    stays.part();
    server.stop();
}

#[test]
fn peers_that_go_with_their_request_leave_their_places_free() {
    let server = server("");
    let mut room = [0; 1024];
    let len = request("localhost").write_request(&[7; 16], &mut room).unwrap();
    for round in 0..50 {
        for _ in 0..8 {
            let mut client = server.connect();
            client.send(&room[..len]);
            client.reset();
        }
        if round % 10 == 0 {
            let mut peers: Vec<_> = (0..8).map(|_| Peer::connect(server.address(0))).collect();
            peers.iter_mut().for_each(|peer| peer.echoes(Kind::Text, b"still here"));
        }
    }
    server.wait_for_no_connections();
    server.stop();
}
