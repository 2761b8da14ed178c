//! Connected Unix-domain stream sockets: connecting within a time, waiting for one (or for any other socket)
//! beside a bell, a look at bytes that stay, and who the peer is. What is said over them is decided above.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, getsockopt, recv, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// The process at the other end, as it was when it connected or began to listen (SO_PEERCRED,
/// unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process id, as this process's namespace numbers it; 0 for one that has no number here.
    pub pid: i32,
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id.
    pub gid: u32,
}

/// Asks the kernel who is at the other end.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let found = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Peer { pid: found.pid(), uid: found.uid(), gid: found.gid() })
}

/// Connects to the server at `path`, or at an abstract name after an `@`. Where its backlog is full,
/// waits for at most `timeout`, and then fails as `TimedOut`.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => UnixAddr::new_abstract(name)?,
        None => UnixAddr::new(path)?,
    };
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // The kernel bounds the wait by the time for sending; 0 would be no bound.
    let microseconds = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX).max(1);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::microseconds(microseconds))?;
    loop {
        match nix::sys::socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(why) => return Err(why.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// Looks at what has arrived without taking it; 0 at the peer's end. Fails as a read would.
pub fn peek(stream: &UnixStream, out: &mut [u8]) -> io::Result<usize> {
    Ok(recv(stream.as_raw_fd(), out, MsgFlags::MSG_PEEK)?)
}

/// Takes what has arrived, without waiting; 0 at the peer's end.
pub fn take_now(stream: &UnixStream, out: &mut [u8]) -> io::Result<usize> {
    Ok(recv(stream.as_raw_fd(), out, MsgFlags::MSG_DONTWAIT)?)
}

/// Whether the peer has closed both ways, and not its own alone (POLLHUP, poll(2)).
pub fn is_closed_both_ways(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO)?;
    Ok(polled[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP)))
}

/// What a socket is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A read, or an accept, would not block.
    Readable,
    /// A write would not block.
    Writable,
    /// One of the two.
    Either,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The socket is ready, or has failed, which the next call on it says.
    Ready,
    /// The bell is readable, and the socket is not ready.
    Rung,
    /// Neither, and the time is over.
    TimedOut,
}

/// Waits for `socket`, or for `bell` to become readable, for at most `timeout` (poll(2)).
pub fn wait(
    socket: BorrowedFd<'_>,
    until: Until,
    bell: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<Waited> {
    let wanted = match until {
        Until::Readable => PollFlags::POLLIN,
        Until::Writable => PollFlags::POLLOUT,
        Until::Either => PollFlags::POLLIN | PollFlags::POLLOUT,
    };
    // Without a bell the socket stands in twice, and is asked first.
    let bell = PollFd::new(bell.unwrap_or(socket), PollFlags::POLLIN);
    let mut polled = [PollFd::new(socket.as_fd(), wanted), bell];
    let count = if polled[1].as_fd().as_raw_fd() == socket.as_raw_fd() { 1 } else { 2 };
    let begin = Instant::now();
    loop {
        // Rounded up: a wait of less than a millisecond must not become a busy loop.
        let left = timeout.saturating_sub(begin.elapsed()).as_nanos().div_ceil(1_000_000);
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled[..count], left) {
            Ok(0) => return Ok(Waited::TimedOut),
            Ok(_) if polled[0].any() == Some(true) => return Ok(Waited::Ready),
            Ok(_) => return Ok(Waited::Rung),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_server_whose_backlog_stays_full_is_given_up_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("full");
        let listener =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        nix::sys::socket::bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        let backlog = nix::sys::socket::Backlog::new(0).unwrap();
        nix::sys::socket::listen(&listener, backlog).unwrap();
        let _waits = connect(&path, Duration::from_secs(60)).unwrap();
        let error = connect(&path, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_peer_of_a_connection_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer(one.as_fd()).unwrap();
        assert_eq!(peer.pid, std::process::id() as i32);
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
    }

    #[test]
    fn an_abstract_name_is_connected_to_by_its_at_sign() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("ringway-stream-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        connect(Path::new(&format!("@{name}")), Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn what_was_looked_at_is_still_there_to_be_read() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(b"abc").unwrap();
        let mut room = [0; 8];
        assert_eq!(peek(&other, &mut room).unwrap(), 3);
        assert_eq!(peek(&other, &mut room[..2]).unwrap(), 2);
        assert_eq!(other.read(&mut room).unwrap(), 3);
        drop(one);
        assert_eq!(peek(&other, &mut room).unwrap(), 0);
    }

    /// What a reply that is not whole rests on: a close over unread bytes is no end of file.
    #[test]
    fn a_close_over_unread_bytes_resets_the_peer_behind_what_was_sent_to_it() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(b"command\n").unwrap();
        other.write_all(b"part").unwrap();
        drop(other);
        let mut room = [0; 8];
        assert_eq!(one.read(&mut room).unwrap(), 4);
        assert_eq!(one.read(&mut room).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_half_close_is_told_from_a_close() {
        let (one, other) = UnixStream::pair().unwrap();
        assert!(!is_closed_both_ways(one.as_fd()).unwrap());
        other.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(!is_closed_both_ways(one.as_fd()).unwrap());
        drop(other);
        assert!(is_closed_both_ways(one.as_fd()).unwrap());
    }

    #[test]
    fn a_wait_ends_with_the_socket_before_the_bell_and_with_the_time() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let (ringer, bell) = UnixStream::pair().unwrap();
        let look = |until| wait(other.as_fd(), until, Some(bell.as_fd()), Duration::ZERO).unwrap();
        assert_eq!(look(Until::Readable), Waited::TimedOut);
        assert_eq!(look(Until::Writable), Waited::Ready);
        assert_eq!(look(Until::Either), Waited::Ready);
        drop(ringer);
        assert_eq!(look(Until::Readable), Waited::Rung);
        one.write_all(b"a").unwrap();
        assert_eq!(look(Until::Readable), Waited::Ready);
        let alone = wait(bell.as_fd(), Until::Readable, None, Duration::from_secs(60)).unwrap();
        assert_eq!(alone, Waited::Ready, "its peer has ended");
    }
}
