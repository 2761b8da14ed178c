//! The connection that an attached process holds on to: its end is the end of the attachment, whoever
//! of the two ends it, and however. So is the end of the process that connected, though a child of it may
//! hold the connection still.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Fault;
use crate::sys::peer_process::PeerProcess;

/// The dataplane's end.
#[derive(Debug)]
pub struct Lifeline {
    socket: UnixStream,
    /// `None`: it cannot be seen from here, or has ended already, which the socket tells.
    process: Option<PeerProcess>,
    fault: OnceLock<Fault>,
}

impl Lifeline {
    /// That of the process at the other end of `socket`.
    pub fn new(socket: UnixStream) -> Self {
        let process = PeerProcess::of(socket.as_fd()).ok();
        Self { socket, process, fault: OnceLock::new() }
    }

    /// Ends it, for a reason that the first to give it names.
    pub fn cut(&self, fault: Fault) {
        let _ = self.fault.set(fault);
        self.end();
    }

    /// Ends it.
    pub fn end(&self) {
        // An error means that the other side was faster.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Waits until it ends.
    pub fn wait_for_end(&self) {
        // Large, so that a process which fills it makes little work.
        let mut words = [0; 4096];
        loop {
            if self.wait_for_news() {
                return;
            }
            match (&self.socket).read(&mut words) {
                // Nothing is to be said on it.
                Ok(1..) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Waits until something can be read; whether the process has ended.
    fn wait_for_news(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let mut fds = [
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            // An error means that a signal came.
            let ready = poll(&mut fds, PollTimeout::NONE).unwrap_or(0);
            if ready > 0 {
                return fds[0].any() == Some(true);
            }
        }
    }

    /// Whether it has ended, as the kernel knows it.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::empty())];
        let mut process =
            self.process.as_ref().map(|process| [PollFd::new(process.as_fd(), PollFlags::POLLIN)]);
        let ended = |fds: &mut [PollFd<'_>]| poll(fds, PollTimeout::ZERO).is_ok_and(|n| n > 0);
        ended(&mut fds) || process.as_mut().is_some_and(|process| ended(process))
    }

    /// Why the process was cut off, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }
}

impl AsFd for Lifeline {
    /// Readable when the process is gone, or was cut off: nothing but the end comes there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
