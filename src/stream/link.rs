//! The connection below a stream: a socket, or one of a port.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::bell::Bell;
use crate::proto::stream::Mode;

pub(super) mod connect;
pub(super) mod hub;
mod port;
mod upgrade;

pub(super) use hub::HubLink;
pub(super) use port::PortLink;

/// What packets go over. No call blocks but [`wait`](Self::wait).
pub(super) enum Link {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A socket that is connected to its peer.
    Udp(UdpSocket),
    /// A listener's socket, which others share.
    Hub(HubLink),
    Port(Box<PortLink>),
}

/// What a wait found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Link {
    pub(super) fn tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self::Tcp(socket))
    }

    pub(super) fn unix(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Unix(socket))
    }

    pub(super) fn mode(&self) -> Mode {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Port(_) => Mode::Stream,
            Self::Udp(_) | Self::Hub(_) => Mode::Datagram,
        }
    }

    /// Takes some bytes, or a datagram. `None`: nothing is there. Of a byte stream 0 is the end.
    pub(super) fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Tcp(socket) => now(|| socket.read(room)),
            Self::Unix(socket) => now(|| socket.read(room)),
            Self::Udp(socket) => now(|| socket.recv(room)),
            Self::Hub(link) => Ok(link.receive(room)),
            Self::Port(link) => link.receive(room),
        }
    }

    /// Gives bytes away, or a datagram; how many went. `None`: none can now.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Tcp(socket) => now(|| socket.write(bytes)),
            Self::Unix(socket) => now(|| socket.write(bytes)),
            Self::Udp(socket) => datagram(|| socket.send(bytes)),
            Self::Hub(link) => datagram(|| link.send(bytes)),
            Self::Port(link) => Ok(link.send(bytes)),
        }
    }

    /// Waits until there is something to take, or room where that is wanted, until the bell rings, or
    /// for `timeout`.
    pub(super) fn wait(
        &mut self,
        bell: &Bell,
        wants_room: bool,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let ready = match self {
            Self::Port(link) => link.wait(bell, wants_room, timeout)?,
            _ => wait(self.socket(), bell, wants_room, timeout)?,
        };
        bell.hear();
        // What others have received is not seen at the socket.
        let readable = ready.readable || matches!(self, Self::Hub(_));
        Ok(Ready { readable, ..ready })
    }

    fn socket(&self) -> (BorrowedFd<'_>, PollFlags) {
        match self {
            Self::Tcp(socket) => (socket.as_fd(), PollFlags::POLLIN),
            Self::Unix(socket) => (socket.as_fd(), PollFlags::POLLIN),
            Self::Udp(socket) => (socket.as_fd(), PollFlags::POLLIN),
            Self::Hub(link) => (link.as_fd(), PollFlags::empty()),
            Self::Port(_) => unreachable!("a port waits by itself"),
        }
    }

    /// Says that no more comes from here.
    pub(super) fn finish(&mut self) {
        // It fails where the peer has gone.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
            Self::Udp(_) | Self::Hub(_) => Ok(()),
            Self::Port(link) => {
                link.finish();
                Ok(())
            }
        };
    }

    /// Whether whoever sent a datagram there was told that nobody listens.
    pub(super) fn is_refusal(&self, why: &io::Error) -> bool {
        matches!(self, Self::Udp(_)) && why.kind() == ErrorKind::ConnectionRefused
    }
}

fn wait(
    (socket, flags): (BorrowedFd<'_>, PollFlags),
    bell: &Bell,
    wants_room: bool,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let room = if wants_room { PollFlags::POLLOUT } else { PollFlags::empty() };
    let mut fds = [PollFd::new(socket, flags | room), PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
    poll_for(&mut fds, timeout)?;
    let seen = fds[0].revents().unwrap_or(PollFlags::empty());
    // An error or an end is told by the next read.
    let ended = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    Ok(Ready {
        readable: seen.intersects(PollFlags::POLLIN | ended),
        writable: seen.intersects(PollFlags::POLLOUT | ended),
    })
}

/// Waits no shorter than asked: in milliseconds, rounded up, or a wait of less would be a busy loop.
pub(super) fn poll_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = match timeout {
        None => PollTimeout::NONE,
        Some(timeout) => {
            let ms = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        }
    };
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// What can be done without waiting.
fn now(mut what: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match what() {
            Ok(count) => return Ok(Some(count)),
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(why) => return Err(why),
        }
    }
}

/// Sends a datagram. One that the network does not take is lost, as any may be.
fn datagram(what: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    match now(what) {
        Err(why) if why.kind() != ErrorKind::ConnectionRefused => Ok(Some(0)),
        outcome => outcome,
    }
}
