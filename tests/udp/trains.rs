//! Datagrams that the kernel puts together and takes apart (UDP_GRO, UDP_SEGMENT; udp(7)).

use ringway::counters::Counter;

use crate::common::{Server, Start, pattern};
use crate::peer::Peer;

fn echo() -> Server {
    Start::new().datagrams("echo", "127.0.0.1:0").start()
}

/// A train, as the datagrams that it is of.
fn cars(bytes: &[u8], segment: usize) -> Vec<Vec<u8>> {
    bytes.chunks(segment).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_train_comes_back_datagram_by_datagram_to_who_hears_them_singly() {
    let server = echo();
    let peer = Peer::new(server.address(0));
    for (bytes, segment) in [(6400, 100), (6350, 100), (1001, 1000), (1000, 1000), (46_000, 1000)] {
        let train = pattern(bytes as u64, bytes);
        peer.send_train(&train, segment);
        assert!(peer.receive_bytes(bytes) == cars(&train, segment), "{bytes} by {segment}");
    }
    server.stop();
}

#[test]
fn a_train_goes_through_as_one_to_who_hears_trains() {
    let server = echo();
    let peer = Peer::new(server.address(0)).hears_trains();
    let train = pattern(3, 64 * 1000);
    for round in 1..=20 {
        peer.send_train(&train, 1000);
        assert!(peer.receive_bytes(train.len()).concat() == train);
        assert_eq!(server.count(Counter::RxBufs), 64 * round);
    }
    let report = server.stop();
    let sum = |counter| report.status().sum(counter);
    assert_eq!((sum(Counter::TxBufs), sum(Counter::CopiedBytes)), (64 * 20, 0));
    assert!(sum(Counter::Sends) <= 2 * 20, "{} sends", sum(Counter::Sends));
}

#[test]
fn the_longest_train_there_is_goes_through() {
    let server = echo();
    let peer = Peer::new(server.address(0)).hears_trains();
    // As many datagrams as fit the length of a UDP header, and as many as one send takes.
    for (bytes, segment) in [(65_507, 1424), (65_507, 32_000), (64, 1), (63, 1), (2, 1)] {
        let train = pattern(segment as u64, bytes);
        peer.send_train(&train, segment);
        assert!(peer.receive_bytes(bytes).concat() == train, "{bytes} by {segment}");
    }
    server.stop();
}

#[test]
fn trains_of_many_peers_keep_to_themselves_while_others_send_singly() {
    let server = echo();
    std::thread::scope(|scope| {
        for n in 0..6u64 {
            let to = server.address(0);
            scope.spawn(move || {
                let peer = Peer::new(to);
                for round in 0..30 {
                    let train = pattern(n << 32 | round, 200 * (1 + n as usize * 3) + 17);
                    if n % 2 == 0 {
                        peer.send_train(&train, 200);
                        assert!(peer.receive_bytes(train.len()) == cars(&train, 200));
                    } else {
                        assert!(peer.send(&train).receive() == train);
                    }
                }
            });
        }
    });
    server.stop();
}
