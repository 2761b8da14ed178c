//! What wakes a thread that sleeps in poll(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// An eventfd that is readable from when it is rung until it is heard.
#[derive(Debug)]
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_value_and_flags(0, flags)?))
    }

    /// Wakes whoever waits for it, now or next.
    pub(super) fn ring(&self) {
        // A counter that is full is rung already.
        let _ = self.0.write(1);
    }

    /// Makes it quiet.
    pub(super) fn hear(&self) {
        // It fails where nobody rang.
        let _ = self.0.read();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
