//! What stands beside ringway: two servers written by hand, and the clients of all.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams that one call takes.
const BATCH: usize = 64;
const BUFFER_BYTES: usize = 2048;
const TRAIN_BYTES: usize = 64 * 1024;

/// One server under test.
pub trait Server {
    /// Answers what lies in its socket until so many datagrams more went out.
    fn serve(&mut self, datagrams: u64);
    /// Answers what lies there now.
    fn poll(&mut self);
}

fn set(socket: &UdpSocket, level: i32, name: i32, value: i32) {
    let (pointer, bytes) = (std::ptr::from_ref(&value).cast(), size_of::<i32>() as u32);
    // SAFETY: the value is an int that outlives the call, which only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, bytes) };
    assert_eq!(result, 0, "option {name}: {}", std::io::Error::last_os_error());
}

/// As large buffers as the system gives.
pub fn widen(socket: &UdpSocket) {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20);
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, 4 << 20);
}

/// One message, with room for an address and control data.
struct Place {
    bytes: Vec<u8>,
    name: libc::sockaddr_in,
    control: [u64; 8],
}

/// recvmmsg(2) into buffers of 2 KiB, and sendmmsg(2) of the same: a system call for up to 64 datagrams.
pub struct Many {
    socket: UdpSocket,
    _places: Vec<Place>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Many {
    pub fn new(socket: UdpSocket) -> Self {
        let mut places: Vec<Place> = (0..BATCH).map(|_| place(BUFFER_BYTES)).collect();
        let vector = |place: &mut Place| libc::iovec {
            iov_base: place.bytes.as_mut_ptr().cast(),
            iov_len: place.bytes.len(),
        };
        let mut vectors: Vec<_> = places.iter_mut().map(vector).collect();
        let header = |(place, vector): (&mut Place, &mut libc::iovec)| libc::mmsghdr {
            msg_hdr: header(place, vector),
            msg_len: 0,
        };
        let headers = places.iter_mut().zip(&mut vectors).map(header).collect();
        Self { socket, _places: places, vectors, headers }
    }

    fn turn(&mut self) -> u64 {
        for (header, vector) in self.headers.iter_mut().zip(&mut self.vectors) {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            vector.iov_len = BUFFER_BYTES;
        }
        let (fd, headers) = (self.socket.as_raw_fd(), self.headers.as_mut_ptr());
        let (count, flags, no_wait) = (BATCH as u32, libc::MSG_DONTWAIT, std::ptr::null_mut());
        // SAFETY: the headers point to buffers, vectors and addresses that are ours and stay.
        let received = unsafe { libc::recvmmsg(fd, headers, count, flags, no_wait) };
        let Ok(received) = usize::try_from(received) else { return 0 };
        for (header, vector) in self.headers.iter().zip(&mut self.vectors).take(received) {
            vector.iov_len = header.msg_len as usize;
        }
        // SAFETY: as above.
        let sent = unsafe { libc::sendmmsg(fd, headers, received as u32, flags) };
        assert_eq!(sent as usize, received, "the system takes them all");
        received as u64
    }
}

impl Server for Many {
    fn serve(&mut self, datagrams: u64) {
        let mut sent = 0;
        while sent < datagrams {
            sent += self.turn();
        }
    }

    fn poll(&mut self) {
        self.turn();
    }
}

fn place(bytes: usize) -> Place {
    // SAFETY: all-zero is a valid sockaddr_in.
    let name = unsafe { std::mem::zeroed() };
    Place { bytes: vec![0; bytes], name, control: [0; 8] }
}

fn header(place: &mut Place, vector: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut place.name).cast();
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header
}

/// recvmsg(2) of what the kernel has put together (UDP_GRO), and sendmsg(2) of the same whole
/// (UDP_SEGMENT): the least that a server which looks at nothing has to do.
pub struct Trains {
    socket: UdpSocket,
    place: Box<Place>,
}

impl Trains {
    pub fn new(socket: UdpSocket) -> Self {
        set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1);
        Self { socket, place: Box::new(place(TRAIN_BYTES)) }
    }

    fn turn(&mut self) -> u64 {
        let place = &mut *self.place;
        let start = place.bytes.as_mut_ptr().cast();
        let mut vector = libc::iovec { iov_base: start, iov_len: TRAIN_BYTES };
        let mut header = header(place, &mut vector);
        header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        header.msg_control = place.control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&place.control);
        let (fd, flags) = (self.socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: the header points to a buffer, a vector and room for words that live on.
        let bytes = unsafe { libc::recvmsg(fd, &mut header, flags) };
        let Ok(bytes) = usize::try_from(bytes) else { return 0 };
        // One control message at most: its length, level and type, then an int.
        let segment = match header.msg_controllen {
            0 => bytes,
            _ => (place.control[2] & 0xffff) as usize,
        };
        let mut vector = libc::iovec { iov_base: start, iov_len: bytes };
        header.msg_iov = &mut vector;
        let kind = (libc::UDP_SEGMENT as u64) << 32 | libc::SOL_UDP as u64;
        place.control[..3].copy_from_slice(&[18, kind, segment as u64]);
        header.msg_controllen = if bytes > segment { 24 } else { 0 };
        // SAFETY: as above.
        let sent = unsafe { libc::sendmsg(fd, &header, flags) };
        assert_eq!(sent as usize, bytes, "the system takes it");
        bytes.div_ceil(segment.max(1)) as u64
    }
}

impl Server for Trains {
    fn serve(&mut self, datagrams: u64) {
        let mut sent = 0;
        while sent < datagrams {
            sent += self.turn();
        }
    }

    fn poll(&mut self) {
        self.turn();
    }
}

/// A peer that sends datagrams of one size, so many at a time, and wants them back.
pub struct Client {
    socket: UdpSocket,
    message: Vec<u8>,
    bytes: usize,
    datagrams: usize,
    trains: bool,
    room: Vec<u8>,
    /// Bytes sent and not back.
    owed: usize,
}

impl Client {
    pub fn connect(address: SocketAddr, bytes: usize, datagrams: usize, trains: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(address).expect("an address");
        widen(&socket);
        if trains {
            set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, bytes as i32);
            set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        let message = (0..bytes * datagrams).map(|n| (n % 251) as u8).collect();
        Self { socket, message, bytes, datagrams, trains, room: vec![0; TRAIN_BYTES], owed: 0 }
    }

    /// Sends them all.
    pub fn send(&mut self) {
        let sends = if self.trains { 1 } else { self.datagrams };
        for part in self.message.chunks(self.message.len() / sends) {
            self.socket.send(part).expect("sent");
        }
        self.owed += self.message.len();
    }

    /// Receives them all.
    pub fn receive(&mut self) {
        while self.owed > 0 {
            self.take();
        }
    }

    fn take(&mut self) -> usize {
        let taken = self.socket.recv(&mut self.room).expect("an echo");
        assert!(taken.is_multiple_of(self.bytes), "whole datagrams come back");
        let at = self.message.len() - self.owed.min(self.message.len());
        let expected = &self.message[at..at + self.bytes];
        assert!(&self.room[..self.bytes] == expected, "and the same, in order");
        self.owed -= taken;
        taken
    }

    /// Receives what has come back of them; how many datagrams. What does not come is lost.
    pub fn receive_some(&mut self) -> usize {
        let before = self.owed;
        let patience = Some(std::time::Duration::from_millis(20));
        self.socket.set_read_timeout(patience).expect("a timeout");
        while self.owed > 0
            && let Ok(taken) = self.socket.recv(&mut self.room)
        {
            self.owed = self.owed.saturating_sub(taken);
        }
        let echoed = before - self.owed;
        self.owed = 0;
        echoed / self.bytes
    }
}
