//! Calls on stream sockets that never wait: accepting, receiving, sending. When they are made is decided
//! above.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, Shutdown};

/// Bytes of a `sockaddr_in6`, the longest address that a TCP peer has.
pub(super) const ADDRESS_BYTES: usize = size_of::<libc::sockaddr_in6>();

/// Accepts a connection from a listener that does not block; with the address of its peer, where that is
/// of an IP family.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<IpAddr>)> {
    let mut address = [0u8; ADDRESS_BYTES];
    let mut bytes = ADDRESS_BYTES as libc::socklen_t;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the kernel writes at most `bytes` to `address`, which has as many, and the length; both
    // outlive the call, and any bytes are an address to `read_address`.
    let socket = unsafe {
        libc::accept4(listener.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut bytes, flags)
    };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(socket) }, read_address(&address)))
}

/// The IP address in what the kernel writes of a peer; `None` if it is of no such family. The family is the
/// first half-word of every address; the IP address starts at byte 4 of a sockaddr_in and
/// at byte 8 of a sockaddr_in6.
pub(super) fn read_address(bytes: &[u8; ADDRESS_BYTES]) -> Option<IpAddr> {
    match i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes[4..].first_chunk::<4>()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes[8..].first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Receives what is there, up to as much as `room` holds; 0 at the peer's end.
#[inline]
pub fn receive(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<usize> {
    Ok(nix::sys::socket::recv(socket.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT)?)
}

/// Sends as much of `pieces`, one behind the other, as the system takes; how many bytes that were.
#[inline]
pub fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let sent = if let [one] = pieces {
        // SAFETY: the bytes are borrowed for the call, which only reads them.
        unsafe { libc::send(fd, one.as_ptr().cast(), one.len(), flags) }
    } else {
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        // IoSlice has the layout of an iovec (its documentation); the kernel only reads through it.
        header.msg_iov = pieces.as_ptr().cast_mut().cast();
        header.msg_iovlen = pieces.len() as _;
        // SAFETY: the header's pieces are borrowed for the call, which only reads them.
        unsafe { libc::sendmsg(fd, &raw const header, flags) }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Shuts down the sending half of a connection.
pub fn shutdown_write(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Write)?)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn who_is_accepted_has_an_address_if_it_is_of_an_ip_family() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(any).unwrap();
            listener.set_nonblocking(true).unwrap();
            assert_eq!(accept(listener.as_fd()).unwrap_err().kind(), ErrorKind::WouldBlock);
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_far, address) = accept(listener.as_fd()).unwrap();
            assert_eq!(address, Some(near.local_addr().unwrap().ip()));
        }
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let _near = UnixStream::connect(directory.path().join("s")).unwrap();
        assert_eq!(accept(listener.as_fd()).unwrap().1, None);
    }

    #[test]
    fn pieces_go_out_in_order_and_a_full_socket_or_a_gone_peer_is_an_error_and_no_signal() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let pieces = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
        assert_eq!(send(near.as_fd(), &pieces).unwrap(), 13);
        assert_eq!(send(near.as_fd(), &pieces[..1]).unwrap(), 4);
        let mut heard = [0; 17];
        far.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"one two threeone ");
        assert_eq!(receive(far.as_fd(), &mut heard).unwrap_err().kind(), ErrorKind::WouldBlock);
        let much = vec![0; 1 << 20];
        while send(near.as_fd(), &[IoSlice::new(&much)]).is_ok() {}
        let full = send(near.as_fd(), &pieces).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        drop(far);
        assert_eq!(send(near.as_fd(), &pieces).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
