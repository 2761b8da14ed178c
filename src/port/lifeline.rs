//! The connection that an attached process holds on to: its end is the end of the attachment, whoever
//! of the two ends it, and however. So is the end of the process that connected, though a child of it may
//! hold the connection still.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use super::Fault;
use crate::sys::peer_process::PeerProcess;

/// What a process is told that follows its dataplane's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Another instance takes over: it is to attach there as well, and to finish here what was begun here.
    Moved,
    /// It does not: this one goes on.
    Stays,
}

impl Call {
    /// The line that says it, with its end.
    pub fn line(self) -> &'static [u8] {
        match self {
            Self::Moved => b"moved\n",
            Self::Stays => b"stays\n",
        }
    }

    /// What the last line of `text` says, of those that are known.
    pub fn last_of(text: &[u8]) -> Option<Self> {
        let mut lines = text.split_inclusive(|&byte| byte == b'\n').rev();
        lines.find_map(|line| {
            [Self::Moved, Self::Stays].into_iter().find(|call| call.line() == line)
        })
    }
}

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

    /// Tells the process something, if it still listens. It has asked for that when it attached.
    pub fn tell(&self, call: Call) {
        // One that takes nothing has no room for a line after some thousands of them.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = send(self.socket.as_raw_fd(), call.line(), flags);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_that_came_whole_counts() {
        for (text, call) in [
            (&b""[..], None),
            (b"moved", None),
            (b"moved\n", Some(Call::Moved)),
            (b"moved\nstays\n", Some(Call::Stays)),
            (b"moved\nsta", Some(Call::Moved)),
            (b"stays\nlater\n", Some(Call::Stays)),
            (b"xmoved\n", None),
        ] {
            assert_eq!(Call::last_of(text), call, "{text:?}");
        }
    }
}
