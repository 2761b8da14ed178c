//! Sockets that two have for a while: until the new one has it from the old one that it is alone, nothing about them is
//! other than the old one left it.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};
use ringway::sys::socket::TcpListener;
use ringway::sys::udp_socket::UdpSocket;

use crate::bed::{ANY, Manner, ask_once, http, toml};
use crate::common::{Running, wait_until};
use crate::listeners::{asks, echo, peers};
use crate::pretender::{Pretender, played};

/// Sockets that listen at this port, of this machine's network.
fn listening(address: SocketAddr) -> usize {
    let wanted = format!(":{:04X} 00000000:0000 0A", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().filter(|line| line.contains(&wanted)).count()
}

#[test]
fn no_connection_goes_to_a_socket_of_the_new_ones_own_before_the_old_one_has_stopped() {
    let control = played("joins");
    let old = TcpListener::bind_group(ANY.parse().unwrap(), 1).unwrap().remove(0);
    let address = old.address();
    let mut new = Running::spawn("joins", 2, &toml(&[http(&address.to_string())]), &["--takeover"]);
    let line = format!("socket transport=tcp address={address}");
    let played = Pretender::offers(&control, &[(line, old.as_fd())]);
    let played = played.hears("ready").says("go").hears("placed").hears("confirm");
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(crate::common::patience()).unwrap();
        assert!(!ask_once(&mut stream, Manner::ConnectsEachTime).unwrap(), "the new one answers");
    }
    assert_eq!(listening(address), 1, "what came to another one would be lost with the new one");
    drop((played.says("stopped"), old));
    new.await_readiness();
    wait_until(|| listening(address) == 2);
    new.signal(Signal::SIGTERM);
    new.ended_well();
}

#[test]
fn what_the_old_one_wants_to_know_of_datagrams_it_hears_until_the_new_one_serves() {
    let control = played("wants");
    let old = UdpSocket::bind_group(ANY.parse().unwrap(), 1).unwrap().remove(0);
    old.receive_ecn(true).unwrap();
    let address = old.address();
    let toml = toml(&[http(ANY), echo(&address.to_string(), "udp")]);
    let mut new = Running::spawn("wants", 2, &toml, &["--takeover"]);
    let line = format!("socket transport=udp address={address}");
    let played = Pretender::offers(&control, &[(line, old.as_fd())]).hears("ready");
    assert!(getsockopt(&old, sockopt::IpRecvTos).unwrap(), "as before");
    drop((played, control));
    new.await_readiness();
    peers(address).iter().for_each(|peer| asks(peer, 7));
    assert!(!getsockopt(&old, sockopt::IpRecvTos).unwrap(), "nobody there wants it");
    new.signal(Signal::SIGTERM);
    new.ended_well();
}
