//! Peers that open more connections than their address may have.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, bind, connect, socket,
};
use ringway::counters::Counter;

use crate::common::{Client, Server, Start, wait_until};

/// A connection from an address of our own choice: all of 127/8 is this machine.
fn connect_from(last: u8, server: &Server) -> Client {
    let tcp = SockProtocol::Tcp;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, tcp).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, last, 0)).unwrap();
    let SocketAddr::V4(address) = server.address(0) else { panic!("it listens on IPv4") };
    connect(fd.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
    Client::over(TcpStream::from(fd))
}

fn served(mut client: Client) -> Client {
    assert_eq!(client.send("x").receive(1), b"x");
    client
}

fn limited(most: u32) -> Server {
    let key = format!("max_connections_per_address = {most}");
    Start::new().listener("echo", "").limited(&key).start()
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_not_one_more() {
    let server = limited(3);
    let mut mine: Vec<_> = (0..3).map(|_| served(connect_from(1, &server))).collect();
    for refused in 1..=5 {
        connect_from(1, &server).wait_for_the_end();
        assert_eq!(server.count(Counter::AddressFull), refused);
    }
    // Others are none of its business, and those it has go on.
    let others: Vec<_> = (2..6).map(|last| served(connect_from(last, &server))).collect();
    mine = mine.into_iter().map(served).collect();
    drop((mine, others));
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_connection_that_closes_frees_its_place_however_it_ends() {
    let server = limited(2);
    let _kept = served(connect_from(1, &server));
    for round in 0..50 {
        let leaver = served(connect_from(1, &server));
        connect_from(1, &server).wait_for_the_end();
        if round % 2 == 0 {
            leaver.reset()
        } else {
            drop(leaver)
        }
        wait_until(|| server.plane().status().connections() == 1);
    }
    assert_eq!(server.count(Counter::AddressFull), 50);
    server.stop();
}

#[test]
fn a_flood_from_one_address_leaves_room_for_the_others() {
    let server = limited(8);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let mut client = connect_from(1, &server);
                    client.try_send("x");
                    client.reset();
                }
            });
        }
        scope.spawn(|| (0..200).for_each(|n| drop(served(connect_from(2 + n % 100, &server)))));
    });
    server.wait_for_no_connections();
    served(connect_from(1, &server));
    server.drain();
}
