//! The process at the other end of a Unix-domain connection, as something that can be waited for. A
//! connection alone does not tell of its end: a child that was forked holds it too.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{getsockopt, sockopt};

/// A process; readable once it has ended (pidfd_open(2)).
#[derive(Debug)]
pub struct PeerProcess(OwnedFd);

impl PeerProcess {
    /// The one that connected `socket`, or made the pair. Of kernels before 6.5, which know it by its
    /// number alone, the number is looked up now.
    ///
    /// # Errors
    /// When it has ended, or lies outside of this process's PID namespace.
    pub fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let mut fd: RawFd = -1;
        let mut bytes = size_of::<RawFd>() as libc::socklen_t;
        // SAFETY: the kernel writes a descriptor to `fd`, which has room for it, and the length; both
        // outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERPIDFD,
                (&raw mut fd).cast(),
                &mut bytes,
            )
        };
        if result == 0 {
            // SAFETY: the kernel has just made it for us, and nobody else knows it.
            return Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                Self::numbered(getsockopt(&socket, sockopt::PeerCredentials)?.pid())
            }
            e => Err(e),
        }
    }

    fn numbered(pid: libc::pid_t) -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }
}

impl AsFd for PeerProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn has_ended(process: &PeerProcess, timeout: PollTimeout) -> bool {
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).unwrap() > 0
    }

    #[test]
    fn the_peer_of_a_pair_of_ours_is_this_process_which_lives() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(!has_ended(&PeerProcess::of(one.as_fd()).unwrap(), PollTimeout::ZERO));
        let own = PeerProcess::numbered(std::process::id() as i32).unwrap();
        assert!(!has_ended(&own, PollTimeout::ZERO));
    }

    #[test]
    fn a_process_that_ends_is_readable_and_one_that_has_ended_is_none() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        let process = PeerProcess::numbered(pid).unwrap();
        assert!(!has_ended(&process, PollTimeout::ZERO));
        drop(child.stdin.take());
        assert!(has_ended(&process, PollTimeout::NONE));
        child.wait().unwrap();
        assert_eq!(PeerProcess::numbered(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
