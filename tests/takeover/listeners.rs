//! Listeners that both have, that one of them has, and that are served otherwise.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::bed::{ANY, Load, http, toml};
use crate::common::{Running, uninterrupted, wait_until};

pub fn echo(address: &str, transport: &str) -> String {
    format!(
        "[[listener]]\naddress = \"{address}\"\ntransport = \"{transport}\"\nprotocol = \"echo\"\n"
    )
}

#[test]
fn listeners_are_added_and_those_that_are_gone_end_with_the_old_one() {
    let name = "added";
    let mut first = Running::start(name, 2, &toml(&[http(ANY), http(ANY)]));
    let [stays, goes] = first.addresses[..] else { panic!("two listeners") };
    let mut on_its_way = TcpStream::connect(goes).unwrap();
    let second = Load::during(stays, |_| {
        // In another order, with another one.
        let toml = toml(&[http(ANY), http(&stays.to_string())]);
        let second = Running::take_over(name, 1, &toml);
        first.leave_files();
        second
    });
    let [new, same] = second.addresses[..] else { panic!("two listeners") };
    assert_eq!(same, stays);
    assert_eq!(second.connect().get("/").status(), 200, "{new}");
    let answered = crate::bed::ask_once(&mut on_its_way, crate::bed::Manner::KeepsAlive);
    assert!(!answered.unwrap(), "the old one answers, and says that it is the last");
    first.ended_well();
    let refused = TcpStream::connect(goes).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_listener_may_speak_another_protocol_from_then_on() {
    let mut first = Running::start("other", 1, &toml(&[http(ANY)]));
    let second = Running::take_over("other", 1, &toml(&[echo(&first.address.to_string(), "tcp")]));
    first.leave_files();
    first.ended_well();
    assert_eq!(second.connect().send("hello").receive(5), b"hello");
}

#[test]
fn addresses_are_counted_by_the_new_one_as_by_the_old_one_with_any_number_of_sockets() {
    let limited = |address: &str| http(address) + "max_connections_per_address = 100\n";
    let mut first = Running::start("counted", 3, &toml(&[limited(ANY)]));
    let address = first.address;
    Load::during(address, |_| {
        let second = Running::take_over("counted", 1, &toml(&[limited(&address.to_string())]));
        first.leave_files();
        first.ended_well();
        second
    });
}

/// A free port for datagrams, which nobody else has while the other socket is held.
pub fn ports() -> (TcpListener, SocketAddr) {
    loop {
        let held = TcpListener::bind(ANY).unwrap();
        let address = held.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return (held, address);
        }
    }
}

/// Sends until an answer to this comes.
pub fn asks(peer: &UdpSocket, number: u32) {
    let mut room = [0; 4];
    wait_until(|| {
        peer.send(&number.to_le_bytes()).unwrap();
        matches!(uninterrupted(|| peer.recv(&mut room)), Ok(4)) && room == number.to_le_bytes()
    });
}

/// Some who ask there.
pub fn peers(address: SocketAddr) -> Vec<UdpSocket> {
    let connect = |_| {
        let peer = UdpSocket::bind(ANY).unwrap();
        peer.connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        peer
    };
    (0..8).map(connect).collect()
}

#[test]
fn datagrams_are_answered_by_whoever_has_the_socket_with_any_number_of_lcores() {
    let (_held, address) = ports();
    let listeners = || toml(&[http(ANY), echo(&address.to_string(), "udp")]);
    let mut running = Running::start("datagrams", 1, &listeners());
    let peers = peers(address);
    let mut number = 0;
    let mut all_ask = || {
        number += 1;
        peers.iter().for_each(|peer| asks(peer, number));
    };
    for lcores in [1, 3, 2, 4] {
        all_ask();
        let next = Running::take_over("datagrams", lcores, &listeners());
        all_ask();
        running.leave_files();
        running.ended_well();
        all_ask();
        running = next;
    }
}
