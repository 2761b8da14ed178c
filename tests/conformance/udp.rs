//! The network of datagrams, through an io_uring or epoll on the test's own thread.
//!
//! Not all sentences are about it. A peer that says its last, or goes away, tells nobody, so nothing of `EOF`,
//! of lingering, or of what a far end hears of a close holds here; who sends too much is not held up, and who
//! finds the house full does not wait: what there is no room for is dropped, and counted. What holds in their
//! place stands in `datagrams.rs`.

use std::net::{SocketAddr, UdpSocket};

use ringway::limits::ADOPTED_MAX;
use ringway::transport::Udp;

use crate::network::{FarEnd, Heard, Network};
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};

/// What a far end sends to be known: there is no other way to connect. No test hears of it.
pub const GREETING: &[u8] = b"\0here I am";

pub struct Datagrams {
    address: SocketAddr,
    any: SocketAddr,
}

impl Datagrams {
    pub fn new(any: &str) -> Self {
        let any = any.parse().unwrap();
        Self { address: any, any }
    }
}

impl Network for Datagrams {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn listen(&mut self, rig: &mut Rig, index: u8) -> Witness {
        let slots = ADOPTED_MAX..SLOTS;
        let io = rig.lcore.io();
        if io.connections == 0 && io.datagram_slots.is_empty() {
            io.datagram_slots = slots.clone().rev().collect();
        }
        let group = ringway::sys::udp_socket::UdpSocket::bind_group(self.any, 1);
        let socket = group.unwrap().remove(0);
        self.address = socket.address();
        if rig.lcore.io().epoll.is_some() {
            return Witness::new(Udp::over_epoll(socket, index, slots));
        }
        Witness::new(Udp::new(socket, index, slots))
    }

    fn connect(&mut self) -> Box<dyn FarEnd> {
        let any = if self.any.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        let to = SocketAddr::new(any.parse::<SocketAddr>().unwrap().ip(), self.address.port());
        socket.connect(to).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.send(GREETING).unwrap();
        Box::new(socket)
    }
}

/// A datagram for each `send`, and nothing for the rest.
impl FarEnd for UdpSocket {
    fn send(&mut self, bytes: &[u8]) -> usize {
        UdpSocket::send(self, bytes).unwrap_or(0)
    }

    fn finish(&mut self) {}

    fn reset(&mut self) {}

    fn read(&mut self, out: &mut Vec<u8>) -> Heard {
        let mut room = [0; 64 * 1024];
        while let Ok(bytes) = self.recv(&mut room) {
            out.extend(&room[..bytes]);
        }
        Heard::Open
    }
}
