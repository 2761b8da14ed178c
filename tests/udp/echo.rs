//! Datagrams of all sizes come back, one by one as they were.

use ringway::config::IdleMode;
use ringway::counters::{Counter, Reason};

use crate::common::{Server, Start, pattern, wait_until};
use crate::peer::Peer;

/// Most bytes of a datagram over IPv4: a length of 16 bits, less the headers.
const MOST_V4: usize = 65_535 - 28;

fn echo(address: &str) -> Server {
    Start::new().datagrams("echo", address).start()
}

#[test]
fn a_datagram_comes_back_as_it_was_over_both_families_in_every_idle_mode_d_22() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for idle in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
            let server = Start::new().datagrams("echo", address).idle(idle).start();
            let peer = Peer::new(server.address(0));
            for bytes in [1, 2, 100, 1400, 2048, 9000, 16_384, 40_000] {
                let datagram = pattern(bytes as u64, bytes);
                assert!(peer.send(&datagram).receive() == datagram, "{bytes} bytes");
            }
            assert_eq!(server.count(Counter::CopiedBytes), 0);
            server.stop();
        }
    }
}

#[test]
fn the_longest_datagram_there_is_comes_back_whole() {
    let server = echo("127.0.0.1:0");
    let peer = Peer::new(server.address(0));
    let longest = pattern(1, MOST_V4);
    assert!(peer.send(&longest).receive() == longest);
    let past = peer.socket.send_to(&[0; MOST_V4 + 1], peer.to);
    assert!(past.is_err(), "there is none longer");
    server.stop();
    let server = echo("[::1]:0");
    let longest = pattern(2, MOST_V4 - 20);
    assert!(Peer::new(server.address(0)).send(&longest).receive() == longest);
    server.stop();
}

#[test]
fn datagrams_of_mixed_sizes_come_back_in_order() {
    let server = echo("127.0.0.1:0");
    let peer = Peer::new(server.address(0));
    for round in 0..50 {
        let sizes = [100, 100, 100, 99, 100, 1, 1, 1400, 1400, 1400, 1300, 1400, 2, 1];
        let datagrams = sizes.map(|bytes| pattern(round, bytes));
        for datagram in &datagrams {
            peer.send(datagram);
        }
        for datagram in &datagrams {
            assert!(peer.receive() == *datagram);
        }
    }
    let report = server.stop();
    assert_eq!(report.status().sum(Counter::TxBufs), 50 * 14);
    assert!(report.status().sum(Counter::Sends) < 50 * 14, "those of one size went together");
}

#[test]
fn an_empty_datagram_is_dropped_and_counted_and_those_behind_it_are_heard() {
    let server = echo("127.0.0.1:0");
    let peer = Peer::new(server.address(0));
    for round in 0..20u8 {
        peer.send([]).send([round]);
        assert_eq!(peer.receive(), [round]);
    }
    wait_until(|| server.dropped(Reason::EmptyDatagram) == 20);
    server.stop();
}

#[test]
fn many_peers_at_once_get_each_its_own() {
    let server = Start::new().datagrams("echo", "127.0.0.1:0").lcores(2).start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let to = server.address(0);
            scope.spawn(move || {
                let peers: Vec<Peer> = (0..50).map(|_| Peer::new(to)).collect();
                for round in 0..10 {
                    let word = |n: usize| format!("{thread} {n} {round}");
                    for (n, peer) in peers.iter().enumerate() {
                        peer.send(word(n));
                    }
                    for (n, peer) in peers.iter().enumerate() {
                        assert_eq!(peer.receive(), word(n).as_bytes());
                    }
                }
            });
        }
    });
    assert_eq!(server.count(Counter::Accepted), 200, "one connection a peer");
    server.stop();
}

#[test]
fn noise_of_any_length_disturbs_nobody() {
    let server = echo("127.0.0.1:0");
    let noise = Peer::new(server.address(0));
    for seed in 0..300 {
        let bytes = pattern(seed, (seed * 7919 % 3000) as usize);
        noise.send(&bytes);
        if !bytes.is_empty() {
            assert!(noise.receive() == bytes);
        }
    }
    Peer::new(server.address(0)).asks("still there?");
    server.stop();
}
