//! A peer that sends datagrams and waits for answers.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::common::uninterrupted;
use nix::libc;

/// How long a peer waits before it takes an answer for lost: what it asks again after.
const RETRY: Duration = Duration::from_millis(100);

pub struct Peer {
    pub socket: UdpSocket,
    pub to: SocketAddr,
}

impl Peer {
    /// One on an address of its own, that talks to `to` and hears everybody.
    pub fn new(to: SocketAddr) -> Self {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        Self::at(any, to)
    }

    pub fn at(own: &str, to: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind(own).unwrap(), to }
    }

    /// Has the kernel put what it hears together.
    pub fn hears_trains(self) -> Self {
        self.set(libc::SOL_UDP, libc::UDP_GRO, 1);
        self
    }

    pub fn set(&self, level: i32, name: i32, value: i32) {
        let (pointer, bytes) = (std::ptr::from_ref(&value).cast(), size_of::<i32>() as u32);
        // SAFETY: the value is an int that outlives the call, which only reads it.
        let result =
            unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, name, pointer, bytes) };
        assert_eq!(result, 0, "option {name}: {}", std::io::Error::last_os_error());
    }

    pub fn send(&self, bytes: impl AsRef<[u8]>) -> &Self {
        let bytes = bytes.as_ref();
        assert_eq!(self.socket.send_to(bytes, self.to).unwrap(), bytes.len());
        self
    }

    /// Sends datagrams of `segment` bytes, and a last one of what is left, in one call.
    pub fn send_train(&self, bytes: impl AsRef<[u8]>, segment: usize) -> &Self {
        self.set(libc::SOL_UDP, libc::UDP_SEGMENT, segment as i32);
        self.send(bytes);
        self.set(libc::SOL_UDP, libc::UDP_SEGMENT, 0);
        self
    }

    /// The next datagram, and who it is from; the watchdog ends a wait in vain.
    pub fn receive_from(&self) -> (Vec<u8>, SocketAddr) {
        self.socket.set_read_timeout(None).unwrap();
        let mut room = vec![0; 70_000];
        let (bytes, from) = uninterrupted(|| self.socket.recv_from(&mut room)).unwrap();
        room.truncate(bytes);
        (room, from)
    }

    pub fn receive(&self) -> Vec<u8> {
        self.receive_from().0
    }

    /// The next datagrams, until there are so many bytes.
    pub fn receive_bytes(&self, bytes: usize) -> Vec<Vec<u8>> {
        let (mut all, mut have) = (Vec::new(), 0);
        while have < bytes {
            all.push(self.receive());
            have += all.last().unwrap().len();
        }
        all
    }

    /// Whether nothing has come.
    pub fn hears_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let outcome = uninterrupted(|| self.socket.recv(&mut [0; 1]));
        self.socket.set_nonblocking(false).unwrap();
        outcome.is_err_and(|why| why.kind() == ErrorKind::WouldBlock)
    }

    /// Asks again and again, as who uses datagrams has to, until this comes back.
    pub fn asks(&self, bytes: impl AsRef<[u8]>) {
        self.asks_while(bytes, || ());
    }

    /// The same, and before each time does something.
    pub fn asks_while(&self, bytes: impl AsRef<[u8]>, mut between: impl FnMut()) {
        let mut room = vec![0; 70_000];
        self.socket.set_read_timeout(Some(RETRY)).unwrap();
        loop {
            between();
            self.send(bytes.as_ref());
            while let Ok(count) = uninterrupted(|| self.socket.recv(&mut room)) {
                if &room[..count] == bytes.as_ref() {
                    return;
                }
            }
        }
    }
}
