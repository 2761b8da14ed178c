//! What the system does not take: the datagram that it is about waits, goes otherwise or is dropped and counted,
//! and those behind it go out.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::process::Command;

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{SockaddrStorage, getsockname};
use ringway::counters::{Counter, Reason};
use ringway::dataplane::Protocol;
use ringway::mem::{Burst, ConnId, kind};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};

use crate::common::{Server, Start, wait_until};
use crate::peer::Peer;

/// Keeps what each peer asks for, as lengths of datagrams, until somebody says `go`: then all get all of it, in
/// one burst. The first bytes of each are its number.
#[derive(Default)]
struct Orders {
    orders: Vec<(ConnId, Vec<usize>)>,
    sent: u32,
}

impl Orders {
    fn serve(&mut self, cx: &mut Cx, output: &mut Burst) {
        for (conn, lengths) in &self.orders {
            for length in lengths {
                let mut bytes = vec![0; *length];
                bytes[..4].copy_from_slice(&self.sent.to_be_bytes());
                self.sent += 1;
                let mut buf = cx.alloc(*length, *conn).expect("a free slot");
                assert!(buf.append(&bytes) && output.push(buf).is_ok(), "it is one burst");
            }
        }
    }
}

impl Handler for Orders {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        // With each `go` the whole of a burst may be sent.
        if output.is_empty()
            && let Some(buf) = input.pop()
            && buf.kind() == kind::DATA
        {
            let text = std::str::from_utf8(&buf).expect("text");
            if text == "go" {
                self.serve(cx, output);
            } else {
                let lengths = text.split(' ').map(|length| length.parse().expect("a length"));
                self.orders.push((buf.conn(), lengths.collect()));
            }
        }
    }
}

fn orders() -> Server {
    let builder = Start::new().datagrams("orders", "127.0.0.1:0").builder();
    Server::run(builder.protocol("orders", |context| {
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Orders::default()) })
    }))
}

/// Peers at 127.0.0.1, .2 and so on, that have ordered.
fn peers<const N: usize>(server: &Server, orders: [&str; N]) -> [Peer; N] {
    let mut heard = server.count(Counter::RxBufs);
    std::array::from_fn(|index| {
        let peer = Peer::at(&format!("127.0.0.{}:0", index + 1), server.address(0));
        peer.send(orders[index]);
        heard += 1;
        wait_until(|| server.count(Counter::RxBufs) == heard);
        peer
    })
}

fn number(datagram: &[u8]) -> u32 {
    u32::from_be_bytes(*datagram.first_chunk().expect("a number"))
}

/// The descriptor of the server's socket: it is one of this process.
fn socket_at(address: SocketAddr) -> RawFd {
    let is_it = |fd: &RawFd| {
        getsockname::<SockaddrStorage>(*fd).is_ok_and(|own| own == SockaddrStorage::from(address))
    };
    (0..1024).find(is_it).expect("the server has a socket")
}

fn set(fd: RawFd, name: i32, value: i32) {
    let (pointer, bytes) = (std::ptr::from_ref(&value).cast(), size_of::<i32>() as u32);
    // SAFETY: the value is an int that outlives the call, which only reads it.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, pointer, bytes) };
    assert_eq!(result, 0, "option {name}: {}", std::io::Error::last_os_error());
}

/// Gives this thread, and those that it starts, a network of its own, and has commands change it; `false`: that
/// is not possible here.
fn own_network(commands: &[&str]) -> bool {
    if let Err(why) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("skipped: it takes root to have a network of one's own ({why})");
        return false;
    }
    ["ip link set lo up"].iter().chain(commands).all(|command| {
        let mut words = command.split(' ');
        let done = Command::new(words.next().expect("a program")).args(words).status();
        let is_done = done.as_ref().is_ok_and(|status| status.success());
        if !is_done {
            eprintln!("skipped: `{command}` cannot be done here: {done:?}");
        }
        is_done
    })
}

#[test]
fn a_datagram_that_is_too_long_is_dropped_and_all_behind_it_go_out() {
    let server = orders();
    // One byte more than IPv4 takes, in the middle of what goes to the system at once.
    let [first, second, third] = peers(&server, ["100", "65508 200", "300"]);
    first.send("go");
    assert_eq!((first.receive().len(), third.receive().len()), (100, 300));
    assert_eq!(second.receive().len(), 200, "the one behind it, to the same peer");
    assert_eq!(server.dropped(Reason::DatagramTooLong), 1);
    // At the limit it is not dropped.
    let [at_limit] = peers(&server, ["65507"]);
    at_limit.send("go");
    assert_eq!(at_limit.receive().len(), 65507);
    assert_eq!(server.dropped(Reason::DatagramTooLong), 2, "that of the second peer again");
    assert_eq!(server.dropped(Reason::SendRefused), 0);
    server.stop();
}

#[test]
fn where_the_system_takes_no_trains_datagrams_go_one_by_one() {
    let server = orders();
    // Without checksums there are no trains (EINVAL), as over a device that makes none (EIO).
    set(socket_at(server.address(0)), libc::SO_NO_CHECK, 1);
    let [first, second] = peers(&server, ["500 500 500 500", "500 500 499"]);
    for round in 1..=3 {
        first.send("go");
        let numbers = |peer: &Peer, count| -> Vec<u32> {
            (0..count).map(|_| number(&peer.receive())).collect()
        };
        let from = 7 * (round - 1);
        assert_eq!(numbers(&first, 4), (from..from + 4).collect::<Vec<_>>());
        assert_eq!(numbers(&second, 3), (from + 4..from + 7).collect::<Vec<_>>());
        // Each is a send.
        wait_until(|| server.count(Counter::Sends) == u64::from(7 * round));
    }
    assert_eq!(server.dropped(Reason::SendRefused), 0);
    server.stop();
}

#[test]
fn a_kernel_that_knows_no_trains_gets_datagrams_one_by_one() {
    forbid_trains();
    let server = orders();
    let [peer] = peers(&server, ["500 500 500 500"]);
    peer.send("go");
    assert_eq!((0..4).map(|_| number(&peer.receive())).collect::<Vec<_>>(), [0, 1, 2, 3]);
    wait_until(|| server.count(Counter::Sends) == 4);
    server.stop();
}

/// A filter under which this thread, and those that it starts, are told that there is no UDP_SEGMENT.
fn forbid_trains() {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // struct seccomp_data: the number of the call, then from 16 on its arguments, of 8 bytes each.
    const LEVEL: u32 = 16 + 8;
    const NAME: u32 = 16 + 2 * 8;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD, 0, 0, 0),
        step(EQUAL, 0, 5, libc::SYS_setsockopt as u32),
        step(LOAD, 0, 0, LEVEL),
        step(EQUAL, 0, 3, libc::SOL_UDP as u32),
        step(LOAD, 0, 0, NAME),
        step(EQUAL, 0, 1, libc::UDP_SEGMENT as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOPROTOOPT as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().unwrap();
    // SAFETY: the program and its steps live for the call, which copies them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program))
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn trains_longer_than_the_way_takes_whole_go_in_fragments_one_by_one() {
    if !own_network(&["ip link set lo mtu 1500"]) {
        return;
    }
    let server = orders();
    let [first, second] = peers(&server, ["2000 2000 2000", "1000 1000 1000"]);
    for round in 0..3 {
        first.send("go");
        for n in 0..3 {
            assert_eq!(number(&first.receive()), 6 * round + n);
        }
        for n in 3..6 {
            assert_eq!(number(&second.receive()), 6 * round + n);
        }
    }
    // Three of the first peer, and one train of the second.
    wait_until(|| server.count(Counter::Sends) == 3 * 4);
    server.stop();
}

#[test]
fn a_peer_that_there_is_no_way_to_costs_the_others_nothing() {
    if !own_network(&[]) {
        return;
    }
    let server = orders();
    let [first, second, third] = peers(&server, ["100", "200 200", "300"]);
    let forbid = ["route", "add", "prohibit", "127.0.0.2", "table", "local"];
    if !Command::new("ip").args(forbid).status().unwrap().success() {
        return eprintln!("skipped: no way can be forbidden here");
    }
    for round in 1..=3 {
        first.send("go");
        assert_eq!((first.receive().len(), third.receive().len()), (100, 300));
        assert_eq!(server.dropped(Reason::SendRefused), 2 * round);
    }
    assert!(second.hears_nothing());
    server.stop();
}

/// A way that takes so much and no more, and a socket that keeps little of it.
fn narrow(rate: &str) -> Option<Server> {
    let narrow = format!("tc qdisc add dev lo root tbf rate {rate} burst 70kb limit 10mb");
    own_network(&[&narrow]).then(|| {
        let server = orders();
        set(socket_at(server.address(0)), libc::SO_SNDBUF, 0);
        server
    })
}

#[test]
fn what_a_full_socket_does_not_take_waits_and_goes_out_once_and_in_order() {
    let Some(server) = narrow("4mbit") else { return };
    // Longer and longer, so that none goes in a train with the one before it.
    let growing = |from: usize| {
        let lengths = (from..from + 30).map(|length| length.to_string());
        lengths.collect::<Vec<_>>().join(" ")
    };
    let [first, second] = peers(&server, [&growing(1000), &growing(1100)]);
    for round in 0..4 {
        second.send("go");
        for n in 0..30 {
            assert_eq!(number(&first.receive()), 60 * round + n);
        }
        for n in 30..60 {
            assert_eq!(number(&second.receive()), 60 * round + n);
        }
    }
    assert!(first.hears_nothing() && second.hears_nothing(), "nothing comes twice");
    wait_until(|| server.count(Counter::TxBufs) == 240);
    assert_eq!(server.dropped(Reason::SendRefused), 0);
    server.stop();
}

#[test]
fn what_waits_for_a_full_socket_is_bounded_and_the_rest_is_dropped() {
    let Some(server) = narrow("8mbit") else { return };
    let lengths: Vec<String> = (1000..1060).map(|length| length.to_string()).collect();
    let [peer, other] = peers(&server, [&lengths.join(" "), "100"]);
    // Room for all that may come before it is read.
    peer.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20);
    let mut asked = 0;
    while server.dropped(Reason::SendRefused) == 0 {
        other.send("go");
        asked += 1;
        wait_until(|| server.count(Counter::RxBufs) == 2 + asked);
    }
    // Who has had little gets it.
    for _ in 0..asked {
        assert_eq!(other.receive().len(), 100);
    }
    // All else is sent, and comes, or is counted as dropped.
    let came = 60 * asked - server.dropped(Reason::SendRefused);
    let came: Vec<u32> = (0..came).map(|_| number(&peer.receive())).collect();
    assert!(came.is_sorted_by(|a, b| a < b), "in order, and none twice");
    assert!(peer.hears_nothing());
    server.stop();
}
