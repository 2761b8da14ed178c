//! Peers by the thousand that hold what they can and give nothing, beside ten honest ones, who are
//! served all the while and after.

use ringway::sync::Ordering;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, connect, setsockopt, socket,
};
use ringway::counters::Counter;
use ringway::sync::AtomicBool;

use crate::common::{Client, Server, Start, pattern, uninterrupted, wait_until};

const FLOOD: usize = 2000;
const HONEST: u64 = 10;

/// HTTP with room for a flood and the honest, that gives up whoever reads nothing for 2 s. A busy
/// machine must not make the honest late, so the rest of `settings` is each test's own.
pub fn http(settings: &str) -> Server {
    let tables = "[dataplane]\nmax_connections = 2100\n";
    let start = Start::new().listener("http", settings).limited("write_timeout_ms = 2000");
    start.tables(tables).start()
}

const SHORT_HEADS: &str = "head_timeout_ms = 3000";

/// Lets honest peers ask while `flood` goes on, and once more behind it; then nothing is missing.
pub fn stands(server: Server, flood: impl FnOnce(&Server)) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (over, server) = (&over, &server);
        let honest = |peer| scope.spawn(move || ask_until(over, server, peer));
        let honest: Vec<_> = (0..HONEST).map(honest).collect();
        // Its failure must not leave the honest ones asking for ever.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| flood(server)));
        over.store(true, Ordering::Relaxed);
        let rounds: Vec<u64> = honest.into_iter().map(|peer| peer.join().unwrap()).collect();
        println!("requests that the honest ones made meanwhile: {rounds:?}");
        assert!(ended.is_ok(), "the flood went wrong");
    });
    (0..HONEST).for_each(|peer| ask(&mut server.connect(), peer, u64::MAX));
    server.wait_for_no_connections();
    server.drain();
}

/// An honest peer: one connection for all it asks.
fn ask_until(over: &AtomicBool, server: &Server, peer: u64) -> u64 {
    let mut client = server.connect();
    for round in 1.. {
        ask(&mut client, peer, round);
        if over.load(Ordering::Relaxed) {
            return round;
        }
        thread::sleep(Duration::from_millis(1));
    }
    unreachable!("a flood has an end")
}

fn ask(client: &mut Client, peer: u64, round: u64) {
    let body = pattern(peer << 32 ^ round, 1 + (round % 5000) as usize);
    let response = client.post("/echo", &body);
    assert!(response.status() == 200 && response.body == body, "{}", response.head);
}

/// Peers that are just connected.
pub fn connected(server: &Server, count: usize) -> Vec<TcpStream> {
    let address = server.address(0);
    let peers: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    for peer in &peers {
        peer.set_read_timeout(crate::common::patience()).unwrap();
    }
    peers
}

#[test]
fn peers_that_say_nothing_are_shown_out_and_others_are_served_meanwhile() {
    stands(http(SHORT_HEADS), |server| {
        for peer in connected(server, FLOOD) {
            assert!(
                matches!(uninterrupted(|| (&peer).read(&mut [0])), Ok(0)),
                "they get no answer, and the end"
            );
        }
        assert_eq!(server.count(Counter::Timeouts), FLOOD as u64);
    });
}

/// Heads bit by bit, never whole: more of them than may be kept.
#[test]
fn peers_that_send_heads_bit_by_bit_are_refused_and_others_are_served_meanwhile() {
    stands(http(SHORT_HEADS), |server| {
        let peers = connected(server, FLOOD);
        for bytes in b"GET /slow HTTP/1.1\r\n".chunks(4) {
            // Some have been refused already.
            peers.iter().for_each(|mut peer| drop(peer.write(bytes)));
            thread::sleep(Duration::from_millis(700));
        }
        let mut refusals = [0, 0, 0];
        for mut peer in peers {
            let mut reply = Vec::new();
            let _ = peer.read_to_end(&mut reply);
            match reply.get(9..12) {
                Some(b"408") => refusals[0] += 1,
                Some(b"503") => refusals[1] += 1,
                // A reset: it wrote once more behind the end.
                None => refusals[2] += 1,
                Some(_) => panic!("{:?}", String::from_utf8_lossy(&reply)),
            }
        }
        println!("408 to {}, 503 to {}, no word to {}", refusals[0], refusals[1], refusals[2]);
        assert!(refusals[0] > 0 && refusals[1] > 0);
    });
}

/// Bodies a byte at a time, each in time: they are slow, and served.
#[test]
fn peers_that_send_bodies_byte_by_byte_are_served_as_the_others_are() {
    stands(http(""), |server| {
        let mut peers = connected(server, FLOOD);
        let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n";
        peers.iter_mut().for_each(|peer| peer.write_all(head).unwrap());
        for byte in b"slowly".chunks(1) {
            peers.iter_mut().for_each(|peer| peer.write_all(byte).unwrap());
            thread::sleep(Duration::from_millis(400));
        }
        for peer in peers {
            let response = Client::over(peer).response();
            assert_eq!((response.status(), &response.body[..]), (200, &b"slowly"[..]));
        }
    });
}

/// A connection that holds next to nothing unread, and never waits.
fn narrow(server: &Server) -> TcpStream {
    let tcp = SockProtocol::Tcp;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, tcp).unwrap();
    setsockopt(&fd.as_fd(), RcvBuf, &2048).unwrap();
    let SocketAddr::V4(address) = server.address(0) else { panic!("it listens on IPv4") };
    connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn::from(address)).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_nonblocking(true).unwrap();
    stream
}

/// They ask without end and read nothing, until all that waits for them is more than there is.
#[test]
fn peers_that_do_not_read_are_given_up_and_others_are_served_meanwhile() {
    stands(http(""), |server| {
        let peers: Vec<_> = (0..FLOOD / 10).map(|_| narrow(server)).collect();
        let one = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
        let requests = [&one[..], &pattern(7, 1000)].concat().repeat(100);
        let mut sent = vec![0; peers.len()];
        wait_until(|| {
            for (mut peer, sent) in peers.iter().zip(&mut sent) {
                let rest = &requests[*sent % requests.len()..];
                // Nothing goes when it is stuck or has been given up.
                *sent += peer.write(rest).unwrap_or(0);
            }
            server.plane().status().connections() <= HONEST
        });
        let count = |counter| server.count(counter);
        let (stalled, empty) = (count(Counter::StalledPeers), count(Counter::RxStarved));
        println!("{stalled} of {} stalled, starved {empty} times", peers.len());
        assert!(count(Counter::RxPaused) > 0);
    });
}
