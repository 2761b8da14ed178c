//! The networks that the suite runs on, seen from the far end: the simulated one, and TCP over
//! loopback through an io_uring or epoll on the test's own thread. Unix sockets have a file of their own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sys::socket::{setsockopt, sockopt};
use ringway::mem::{Mempool, RxOptions, UringIo};
use ringway::sys::socket::TcpListener;
use ringway::sys::uring::{Mode, Options};
use ringway::time::{Clock, ClockHand};
use ringway::transport::sim::{Faults, Peer, Sim, SimNet, Split};
use ringway::transport::{Tcp, TcpLimits};

use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};
use ringway::limits::ADOPTED_MAX;

/// Slots of the pool's small class.
pub const POOL_SLOTS: u32 = 1024;

/// How a connection stands, seen from the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing more at the moment.
    Open,
    /// The transport said its last.
    Finished,
    /// The connection was given up, or refused.
    Reset,
}

/// The far end of one connection.
pub trait FarEnd {
    /// Sends what the network takes now; returns how many bytes.
    fn send(&mut self, bytes: &[u8]) -> usize;
    /// Sends no more.
    fn finish(&mut self);
    /// Goes away at once.
    fn reset(&mut self);
    /// Appends what arrived.
    fn read(&mut self, out: &mut Vec<u8>) -> Heard;
}

/// Where far ends come from.
pub trait Network {
    /// What it runs on, and the clock it runs by.
    fn name(&self) -> &'static str;
    /// A transport that listens, as number `index`. Those that connect meet the last one.
    fn listen(&mut self, rig: &mut Rig, index: u8) -> Witness;
    fn connect(&mut self) -> Box<dyn FarEnd>;
    /// Whether a far end that goes is lost, and has not just said its last, only if it leaves bytes
    /// unread.
    fn resets_over_unread_bytes_alone(&self) -> bool {
        false
    }
    /// Whether the kernel accepts, receives and sends.
    fn is_of_the_kernel(&self) -> bool {
        true
    }
    /// To be called between two passes of the loop.
    fn step(&mut self) {}
}

pub struct Simulated {
    net: SimNet,
    hand: ClockHand,
}

impl Simulated {
    pub fn new() -> (Self, Clock) {
        let (clock, hand) = Clock::by_hand();
        (Self { net: Self::net(), hand }, clock)
    }

    fn net() -> SimNet {
        let split = Split::UpTo(700);
        SimNet::new(1, Faults { split, delay_steps: 2, tx_bufs: 5000, ..Faults::default() })
    }
}

impl Network for Simulated {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn listen(&mut self, _rig: &mut Rig, index: u8) -> Witness {
        self.net = Self::net();
        Witness::new(Sim::new(&self.net, index, SLOTS))
    }

    fn connect(&mut self) -> Box<dyn FarEnd> {
        Box::new(self.net.connect())
    }

    fn is_of_the_kernel(&self) -> bool {
        false
    }

    fn step(&mut self) {
        self.net.step();
        self.hand.advance_ns(1_000_000);
    }
}

impl FarEnd for Peer {
    fn send(&mut self, bytes: &[u8]) -> usize {
        Peer::send(self, bytes);
        bytes.len()
    }

    fn finish(&mut self) {
        Peer::finish(self);
    }

    fn reset(&mut self) {
        Peer::reset(self);
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Heard {
        Peer::read(self, usize::MAX, out);
        match (self.is_reset(), self.is_finished()) {
            (true, _) => Heard::Reset,
            (_, true) => Heard::Finished,
            _ => Heard::Open,
        }
    }
}

pub struct Loopback {
    address: SocketAddr,
    limits: TcpLimits,
}

impl Loopback {
    pub fn new(connections_per_address: Option<u32>) -> Self {
        let limits = TcpLimits { connections_per_address, ..TcpLimits::default() };
        Self { address: "127.0.0.1:0".parse().unwrap(), limits }
    }

    /// An io_uring for the calling thread. `None` where io_uring is not to be had.
    pub fn uring(pool: &Mempool) -> Option<UringIo> {
        let options = Options {
            sq_entries: 256,
            cq_entries: 1024,
            files: SLOTS,
            files_reserved: ADOPTED_MAX,
            mode: Mode::Defer,
        };
        let rx = RxOptions { slots: 64, large_slots: 4, incremental: false, bundle: false };
        UringIo::create(&options, rx, pool).map_err(|why| eprintln!("skipped: {why}")).ok()
    }
}

impl Network for Loopback {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn listen(&mut self, rig: &mut Rig, index: u8) -> Witness {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::bind_group(address, 1).unwrap().remove(0);
        self.address = listener.address();
        if rig.lcore.io().epoll.is_some() {
            let tcp = Tcp::over_epoll(listener, index, SLOTS);
            return Witness::new(tcp.with_limits(self.limits));
        }
        Witness::new(Tcp::new(listener, index, SLOTS).with_limits(self.limits))
    }

    fn connect(&mut self) -> Box<dyn FarEnd> {
        let stream = TcpStream::connect(self.address).ok();
        if let Some(stream) = &stream {
            stream.set_nonblocking(true).unwrap();
        }
        Box::new(stream)
    }
}

/// `None`: refused, or reset by us.
impl FarEnd for Option<TcpStream> {
    fn send(&mut self, bytes: &[u8]) -> usize {
        self.as_mut().and_then(|stream| stream.write(bytes).ok()).unwrap_or(0)
    }

    fn finish(&mut self) {
        if let Some(stream) = self {
            // It fails where the other side has reset the connection, which reading tells.
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        if let Some(stream) = self.take() {
            // Closing with a linger time of 0 sends a reset (socket(7)).
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &linger).unwrap();
        }
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Heard {
        self.as_mut().map_or(Heard::Reset, |stream| hear(stream, out))
    }
}

/// Appends what a socket that does not block has to say.
pub fn hear(stream: &mut impl Read, out: &mut Vec<u8>) -> Heard {
    let mut room = [0; 16 * 1024];
    loop {
        match stream.read(&mut room) {
            Ok(0) => return Heard::Finished,
            Ok(count) => out.extend(&room[..count]),
            Err(why) if why.kind() == ErrorKind::WouldBlock => return Heard::Open,
            Err(_) => return Heard::Reset,
        }
    }
}
