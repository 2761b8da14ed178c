//! What wakes a thread that sleeps in poll(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::mem::ConnId;

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

/// A bell for many, where whoever rings says for whom.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) bell: Bell,
    called: Mutex<Vec<ConnId>>,
}

impl Roster {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { bell: Bell::new()?, called: Mutex::default() }))
    }

    /// Wakes whoever looks, and calls nobody.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Who was called since the last look.
    pub(super) fn take(&self) -> Vec<ConnId> {
        self.bell.hear();
        std::mem::take(&mut self.called.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What wakes the driver of a stream.
#[derive(Debug)]
pub(super) enum Alarm {
    /// A bell of its own.
    Own(Bell),
    /// One that it shares with others.
    Shared(Arc<Roster>, ConnId),
}

impl Alarm {
    /// Wakes it, now or next.
    pub(super) fn ring(&self) {
        match self {
            Self::Own(bell) => bell.ring(),
            Self::Shared(roster, who) => {
                roster.called.lock().unwrap_or_else(PoisonError::into_inner).push(*who);
                roster.bell.ring();
            }
        }
    }

    /// What there is to wait for.
    pub(super) fn bell(&self) -> &Bell {
        match self {
            Self::Own(bell) => bell,
            Self::Shared(roster, _) => &roster.bell,
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
