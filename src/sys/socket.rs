//! Listening sockets: made, bound and refused with the cause. What arrives on them is `transport`'s.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, getsockname,
    listen, setsockopt, socket, sockopt,
};

use super::listening::Listening;
use super::unix_socket::UnixListener;
use crate::error::{Error, Result};
use crate::limits::{BIND_PATIENCE_NS, LISTEN_BACKLOG};

/// A bound, listening stream socket.
#[derive(Debug, Clone)]
pub enum StreamListener {
    /// Of its own: the kernel spreads connections among those of one address. A listener that takes another's
    /// place shares it for a moment, so that nobody is lost who waits there to be accepted.
    Tcp(Arc<TcpListener>),
    /// Shared by all that accept from it: the first who asks gets the next connection.
    Unix(Arc<UnixListener>),
}

impl StreamListener {
    /// The same socket, for another process.
    pub fn share(&self) -> io::Result<Listening> {
        Ok(match self {
            Self::Tcp(listener) => Listening::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Listening::Unix(listener.clone()),
        })
    }

    /// Whether connections come to it, or it has yet to [listen](Self::listen).
    pub fn listens(&self) -> bool {
        nix::sys::socket::getsockopt(&self.as_fd(), sockopt::AcceptConn).unwrap_or(true)
    }

    /// Sees to it that connections come: one that [joined](TcpListener::join) its address listens from here on.
    pub fn listen(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => Ok(listener.listen()?),
            Self::Unix(_) => Ok(()),
        }
    }
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl From<TcpListener> for StreamListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(Arc::new(listener))
    }
}

impl From<Arc<TcpListener>> for StreamListener {
    fn from(listener: Arc<TcpListener>) -> Self {
        Self::Tcp(listener)
    }
}

impl From<Arc<UnixListener>> for StreamListener {
    fn from(listener: Arc<UnixListener>) -> Self {
        Self::Unix(listener)
    }
}

/// A bound, listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    fd: OwnedFd,
    address: SocketAddr,
}

impl TcpListener {
    /// Binds `count` sockets to one address, among which the kernel spreads connections
    /// (`SO_REUSEPORT`, socket(7)). Port 0 picks one port for all of them.
    ///
    /// Another process that listens there already is an error, even one of ours that shares the
    /// port: two dataplanes on one port would each get half of the connections.
    pub fn bind_group(address: SocketAddr, count: usize) -> Result<Vec<Self>> {
        // Without SO_REUSEPORT the bind fails when anybody listens; this socket only asks.
        let probe = patiently(|| open(address, false));
        let probe = probe.map_err(|e| bind_error(address, "-ltnp", e))?;
        let address = local_address(probe.as_fd()).map_err(|e| bind_error(address, "-ltnp", e))?;
        drop(probe);
        (0..count).map(|_| Self::bind(address)).collect()
    }

    fn bind(address: SocketAddr) -> Result<Self> {
        let listener = Self::join(address)?;
        listener.listen().map_err(|e| bind_error(address, "-ltnp", e))?;
        Ok(listener)
    }

    /// One more for an address that sockets of this user share already. Connections come to it once it
    /// [listens](Self::listen).
    pub fn join(address: SocketAddr) -> Result<Self> {
        let fail = |e| bind_error(address, "-ltnp", e);
        let fd = open(address, true).map_err(fail)?;
        let address = local_address(fd.as_fd()).map_err(fail)?;
        Ok(Self { fd, address })
    }

    /// Listens; nothing changes where it does already.
    pub fn listen(&self) -> nix::Result<()> {
        let backlog = Backlog::new(LISTEN_BACKLOG).unwrap_or(Backlog::MAXCONN);
        listen(&self.fd, backlog)
    }

    /// The socket behind `fd`.
    pub fn of_fd(fd: OwnedFd) -> io::Result<Self> {
        let address = local_address(fd.as_fd())?;
        Ok(Self { fd, address })
    }

    /// A second descriptor of it.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, address: self.address })
    }

    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open(address: SocketAddr, share_port: bool) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if share_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    // Accepted connections inherit it (tcp(7)): replies are gathered by us, not by Nagle.
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

pub(super) fn local_address(fd: BorrowedFd<'_>) -> nix::Result<SocketAddr> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    if let Some(v4) = name.as_sockaddr_in() {
        return Ok(SocketAddr::V4((*v4).into()));
    }
    name.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())).ok_or(Errno::EAFNOSUPPORT)
}

/// What identifies the socket behind a descriptor, however often it was duplicated: its inode.
pub fn identity(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(fd)?.st_ino)
}

/// Whether `fd` is a connected stream socket, which is what an lcore can adopt.
pub fn check_stream(fd: BorrowedFd<'_>) -> io::Result<()> {
    if nix::sys::socket::getsockopt(&fd, sockopt::SockType)? != SockType::Stream {
        return Err(io::Error::other("it is no stream socket"));
    }
    nix::sys::socket::getpeername::<SockaddrStorage>(fd.as_raw_fd())?;
    Ok(())
}

/// Binds again and again while somebody has the port, for [`BIND_PATIENCE_NS`].
pub(super) fn patiently(mut bind: impl FnMut() -> nix::Result<OwnedFd>) -> nix::Result<OwnedFd> {
    const STEP: Duration = Duration::from_millis(20);
    let mut left = Duration::from_nanos(BIND_PATIENCE_NS);
    loop {
        match bind() {
            Err(Errno::EADDRINUSE) if !left.is_zero() => {}
            done => return done,
        }
        thread::sleep(STEP);
        left = left.saturating_sub(STEP);
    }
}

pub(super) fn bind_error(address: SocketAddr, ss_flags: &str, why: Errno) -> Error {
    let what = format!("listen on {address}");
    let port = address.port();
    match why {
        Errno::EADDRINUSE => Error::new(
            what,
            "the port is in use",
            format!(
                "see who has it with `ss {ss_flags} 'sport = :{port}'`, or change the listener's address"
            ),
        ),
        Errno::EACCES => Error::new(
            what,
            "ports below 1024 are privileged",
            format!(
                "run `sysctl -w net.ipv4.ip_unprivileged_port_start={port}`, or use a higher port"
            ),
        ),
        Errno::EADDRNOTAVAIL => Error::new(
            what,
            "this machine has no such address",
            "use an address that `ip addr` shows, or 0.0.0.0",
        ),
        Errno::EMFILE | Errno::ENFILE => {
            Error::new(what, "the limit on open files is reached", "raise it with `ulimit -n`")
        }
        other => Error::new(what, other.desc(), "change the listener's address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_someone_listens_on_is_refused_even_if_he_shares_it() {
        let group = TcpListener::bind_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(group[0].address(), group[1].address());
        let error = TcpListener::bind_group(group[0].address(), 1).unwrap_err();
        assert!(error.why().contains("in use") && error.remedy().contains("ss -ltnp"), "{error}");
    }

    #[test]
    fn a_port_whose_sockets_are_about_to_close_is_waited_for() {
        let mut group = TcpListener::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let (address, mut tries) = (group[0].address(), 0);
        let bound = patiently(|| {
            tries += 1;
            // It goes once it was found in the way.
            group.truncate(usize::from(tries < 3));
            open(address, false)
        });
        assert!(bound.is_ok() && tries == 3, "{tries}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = TcpListener::bind_group("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(error.why().contains("no such address"), "{error}");
    }
}
