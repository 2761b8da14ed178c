//! Sockets for datagrams: bound with what ringway wants to know of each datagram, and the one call that sends
//! many. What arrives on them is `transport`'s.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket,
    sockopt,
};

use super::socket::{bind_error, local_address};
use crate::error::Result;
use crate::limits::{DATAGRAM_RX_BUFFER_BYTES, DATAGRAM_TX_BUFFER_BYTES};

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
        let probe = open(address, false).map_err(|e| bind_error(address, "-lunp", e))?;
        let address = local_address(probe.as_fd()).map_err(|e| bind_error(address, "-lunp", e))?;
        drop(probe);
        (0..count).map(|_| Self::bind(address)).collect()
    }

    fn bind(address: SocketAddr) -> Result<Self> {
        let fd = open(address, true).map_err(|e| bind_error(address, "-lunp", e))?;
        let tells = ask_for_news(fd.as_fd(), address);
        tells.map_err(|why| bind_error(address, "-lunp", nix::Error::from_raw(errno(&why))))?;
        // The kernel takes as much of it as the administrator allows.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &DATAGRAM_RX_BUFFER_BYTES);
        let _ = setsockopt(&fd, sockopt::SndBuf, &DATAGRAM_TX_BUFFER_BYTES);
        // A size of 0 asks for nothing but whether the kernel knows it.
        let sends_trains = set(fd.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        Ok(Self { fd, address, sends_trains })
    }

    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the kernel takes several datagrams as one (`UDP_SEGMENT`, udp(7)).
    pub fn sends_trains(&self) -> bool {
        self.sends_trains
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
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // No SO_REUSEADDR: among UDP sockets that shares the port as well.
    let fd = socket(family, SockType::Datagram, flags, SockProtocol::Udp)?;
    if share_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

/// Has the kernel say of each datagram what it met, and, where the socket is bound to all addresses, which
/// of them it was sent to (ip(7), ipv6(7)).
fn ask_for_news(fd: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    // Of an IPv6 socket too: it gets datagrams over IPv4.
    set(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
    if address.is_ipv6() {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
    }
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
/// the first of them.
///
/// # Safety
///
/// What the headers point to is readable for the length of the call.
pub unsafe fn send_many(
    socket: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
) -> io::Result<usize> {
    let (fd, first, count) = (socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the headers are ours, and what they point to is readable by this function's contract.
    let sent = unsafe { libc::sendmmsg(fd, first, count, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
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
    fn a_port_of_tcp_is_another_one() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(UdpSocket::bind_group(tcp.local_addr().unwrap(), 1).is_ok());
    }
}
