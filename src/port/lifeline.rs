//! The connection that an attached process holds on to: its end is the end of the attachment, whoever
//! of the two ends it, and however.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use super::Fault;

/// The dataplane's end.
#[derive(Debug)]
pub struct Lifeline {
    socket: UnixStream,
    fault: OnceLock<Fault>,
}

impl Lifeline {
    /// That of the process at the other end of `socket`.
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, fault: OnceLock::new() }
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
            match (&self.socket).read(&mut words) {
                // Nothing is to be said on it.
                Ok(1..) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
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
