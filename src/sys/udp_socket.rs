//! Sockets for datagrams: bound with what ringway wants to know of each datagram, and the one call that sends
//! many. What arrives on them is `transport`'s.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket,
    sockopt,
};

use super::datagram::OUT_BYTES;
use super::socket::{bind_error, local_address, patiently};
use crate::error::Result;
use crate::limits::{
    DATAGRAM_HEAD_BYTES, DATAGRAM_NAME_BYTES, DATAGRAM_RX_BUFFER_BYTES, DATAGRAM_TX_BUFFER_BYTES,
};

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    address: SocketAddr,
    sends_trains: bool,
}

impl UdpSocket {
    /// Binds `count` sockets to one address, among which the kernel spreads peers (`SO_REUSEPORT`,
    /// socket(7)). Port 0 picks one port for all of them.
    ///
    /// Another process that has it already is an error, even one of ours that shares the port: two dataplanes
    /// on one port would each get half of the peers.
    pub fn bind_group(address: SocketAddr, count: usize) -> Result<Vec<Self>> {
        // Without SO_REUSEPORT the bind fails when anybody has it; this socket only asks.
        let probe = patiently(|| open(address, false));
        let probe = probe.map_err(|e| bind_error(address, "-lunp", e))?;
        let address = local_address(probe.as_fd()).map_err(|e| bind_error(address, "-lunp", e))?;
        drop(probe);
        (0..count).map(|_| Self::bind(address)).collect()
    }

    fn bind(address: SocketAddr) -> Result<Self> {
        let socket = Self::join(address)?;
        socket.bind_now().map_err(|e| bind_error(address, "-lunp", e))?;
        Ok(socket)
    }

    /// One more for an address that sockets of this user share already. Peers come to it once it is
    /// [bound](Self::bind_now).
    pub fn join(address: SocketAddr) -> Result<Self> {
        let fd = make(address, true).map_err(|e| bind_error(address, "-lunp", e))?;
        let tells = ask_for_news(fd.as_fd(), address);
        tells.map_err(|why| bind_error(address, "-lunp", nix::Error::from_raw(errno(&why))))?;
        // The kernel takes as much of it as the administrator allows.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &DATAGRAM_RX_BUFFER_BYTES);
        let _ = setsockopt(&fd, sockopt::SndBuf, &DATAGRAM_TX_BUFFER_BYTES);
        // A size of 0 asks for nothing but whether the kernel knows it.
        let sends_trains = set(fd.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        Ok(Self { fd, address, sends_trains })
    }

    /// Binds it; nothing changes where it is bound already.
    pub fn bind_now(&self) -> nix::Result<()> {
        match bind(self.fd.as_raw_fd(), &SockaddrStorage::from(self.address)) {
            Err(nix::Error::EINVAL) => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether it is bound.
    pub fn is_bound(&self) -> bool {
        local_address(self.as_fd()).is_ok_and(|address| address.port() != 0)
    }

    /// The socket behind `fd`, which another one of this program has set up.
    pub fn of_fd(fd: OwnedFd) -> io::Result<Self> {
        let address = local_address(fd.as_fd())?;
        let sends_trains = set(fd.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        Ok(Self { fd, address, sends_trains })
    }

    /// A second descriptor of it.
    pub fn try_clone(&self) -> io::Result<Self> {
        let Self { fd, address, sends_trains } = self;
        Ok(Self { fd: fd.try_clone()?, address: *address, sends_trains: *sends_trains })
    }

    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the kernel takes several datagrams as one (`UDP_SEGMENT`, udp(7)).
    pub fn sends_trains(&self) -> bool {
        self.sends_trains
    }

    /// Has the kernel say of each datagram what it met on its way (`IP_RECVTOS`, ip(7); `IPV6_RECVTCLASS`,
    /// ipv6(7)), or not. It does not before it is told.
    pub fn receive_ecn(&self, wanted: bool) -> io::Result<()> {
        // Of an IPv6 socket too: it gets datagrams over IPv4.
        set(self.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTOS, wanted.into())?;
        match self.address {
            SocketAddr::V4(_) => Ok(()),
            SocketAddr::V6(_) => {
                set(self.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, wanted.into())
            }
        }
    }

    /// Has the kernel put datagrams of one peer together where it can (`UDP_GRO`, udp(7)); whether it does.
    pub fn receive_trains(&self, wanted: bool) -> bool {
        set(self.as_fd(), libc::SOL_UDP, libc::UDP_GRO, wanted.into()).is_ok() && wanted
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open(address: SocketAddr, share_port: bool) -> nix::Result<OwnedFd> {
    let fd = make(address, share_port)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

fn make(address: SocketAddr, share_port: bool) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // No SO_REUSEADDR: among UDP sockets that shares the port as well.
    let fd = socket(family, SockType::Datagram, flags, SockProtocol::Udp)?;
    if share_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    Ok(fd)
}

/// Has the kernel say how many datagrams it has lost, and, where the socket is bound to all addresses, which of
/// them each was sent to (ip(7), ipv6(7)).
fn ask_for_news(fd: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
        }
        _ => Ok(()),
    }
}

fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let (pointer, bytes) = (std::ptr::from_ref(&value).cast(), size_of::<i32>() as u32);
    // SAFETY: the option's value is an int that outlives the call, which only reads it.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer, bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn errno(why: &io::Error) -> i32 {
    why.raw_os_error().unwrap_or(libc::EIO)
}

/// Sends messages from the first on, without waiting (sendmmsg(2)); how many the kernel took. An error is about
/// the first of them. One message that is bytes and an address alone goes by sendto(2), which has less to read.
///
/// # Safety
///
/// What the headers point to is readable for the length of the call.
pub unsafe fn send_many(
    socket: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let sent = match headers {
        [one] if one.msg_hdr.msg_controllen == 0 && one.msg_hdr.msg_iovlen == 1 => {
            let header = &one.msg_hdr;
            // SAFETY: there is one vector, which is readable by this function's contract.
            let vector = unsafe { &*header.msg_iov };
            let (name, name_bytes) = (header.msg_name.cast(), header.msg_namelen);
            // SAFETY: the bytes and the address are readable by this function's contract.
            let sent = unsafe {
                libc::sendto(fd, vector.iov_base, vector.iov_len, flags, name, name_bytes)
            };
            if sent < 0 { -1 } else { 1 }
        }
        many => {
            let (first, count) = (many.as_mut_ptr(), many.len() as u32);
            // SAFETY: the headers are ours, and what they point to is readable by this function's contract.
            unsafe { libc::sendmmsg(fd, first, count, flags) }
        }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives what is there of one peer without waiting (recvmsg(2)), into `slot` as
/// [`datagram::parse`](super::datagram::parse) reads it; how many bytes of it are written.
///
/// # Errors
/// Those of the call: `WouldBlock` where there is nothing.
///
/// # Panics
/// When the slot is not longer than [`DATAGRAM_HEAD_BYTES`].
pub fn receive(socket: BorrowedFd<'_>, slot: &mut [u8]) -> io::Result<usize> {
    let (head, payload) = slot.split_at_mut(DATAGRAM_HEAD_BYTES);
    let (words, room) = head.split_at_mut(OUT_BYTES);
    let (name, control) = room.split_at_mut(DATAGRAM_NAME_BYTES);
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name.len() as libc::socklen_t;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    // SAFETY: what the header points to is borrowed from `slot`, apart from each other and for longer
    // than the call, which writes no more than the lengths say.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let bytes = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let told =
        [header.msg_namelen, header.msg_controllen as u32, bytes as u32, header.msg_flags as u32];
    words.as_chunks_mut().0.iter_mut().zip(told).for_each(|(word, n)| *word = n.to_ne_bytes());
    Ok(DATAGRAM_HEAD_BYTES + bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_someone_has_is_refused_even_if_he_shares_it() {
        let group = UdpSocket::bind_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(group[0].address(), group[1].address());
        let error = UdpSocket::bind_group(group[0].address(), 1).unwrap_err();
        assert!(error.why().contains("in use"), "{error}");
    }

    #[test]
    fn what_is_received_is_laid_out_as_the_ring_would_and_what_is_too_long_is_cut() {
        let socket = UdpSocket::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut slot = [0xff; DATAGRAM_HEAD_BYTES + 5];
        let nothing = receive(socket.as_fd(), &mut slot).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for (said, cut) in [("", false), ("hello", false), ("hello!", true)] {
            peer.send_to(said.as_bytes(), socket.address()).unwrap();
            let bytes = receive(socket.as_fd(), &mut slot).unwrap();
            let received = super::super::datagram::parse(&slot[..bytes]).unwrap();
            assert_eq!(received.source, peer.local_addr().unwrap());
            assert_eq!(
                (&slot[received.payload], received.is_cut),
                (&said.as_bytes()[..said.len().min(5)], cut)
            );
        }
    }

    #[test]
    fn a_port_of_tcp_is_another_one() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(UdpSocket::bind_group(tcp.local_addr().unwrap(), 1).is_ok());
    }
}
