//! Sockets that another of the kernel's interfaces carries in the next instance, or the same with other lcores.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::bed::{ANY, Load, http, toml};
use crate::common::{Running, patience};
use crate::listeners::{asks, echo, peers, ports};

/// What carries the sockets of each instance, on how many lcores.
const TURNS: [(&str, usize); 5] =
    [("io_uring", 1), ("epoll", 3), ("epoll", 1), ("io_uring", 2), ("epoll", 1)];

fn over(io: &str, listener: String) -> String {
    format!("{listener}io = \"{io}\"\n")
}

#[test]
fn connections_are_answered_whatever_carries_them_and_by_how_many_lcores_w_1() {
    for (name, limit) in [("over", ""), ("overmany", "max_connections_per_address = 100\n")] {
        let of = |io, address: &str| toml(&[over(io, http(address) + limit)]);
        let (io, lcores) = TURNS[0];
        let first = Running::start(name, lcores, &of(io, ANY));
        let address = first.address;
        // The last one lives until nobody asks any more.
        let _running = Load::during(address, |load| {
            let mut running = first;
            for (io, lcores) in &TURNS[1..] {
                let next = Running::take_over(name, *lcores, &of(io, &address.to_string()));
                running.leave_files();
                running.ended_well();
                running = next;
                load.more(50);
            }
            running
        });
    }
}

#[test]
fn datagrams_and_unix_sockets_pass_whatever_carries_them_w_1() {
    let (_held, address) = ports();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let of = |io: &str| {
        let (udp, unix) = (address.to_string(), path.display().to_string());
        toml(&[http(ANY), over(io, echo(&udp, "udp")), over(io, echo(&unix, "unix"))])
    };
    let peers = peers(address);
    let mut number = 0;
    let mut all_ask = || {
        number += 1;
        peers.iter().for_each(|peer| asks(peer, number));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(patience()).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut room = [0; 5];
        stream.read_exact(&mut room).unwrap();
        assert_eq!(&room, b"hello");
    };
    let (io, lcores) = TURNS[0];
    let mut running = Running::start("overall", lcores, &of(io));
    for (io, lcores) in &TURNS[1..] {
        all_ask();
        let next = Running::take_over("overall", *lcores, &of(io));
        all_ask();
        running.leave_files();
        running.ended_well();
        all_ask();
        running = next;
    }
}
