//! How other threads reach an lcore: they post, it looks in once a pass. An lcore that sleeps is
//! woken by its doorbell.

#[cfg(not(loom))]
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::limits::MAILBOX_SLOTS;
use crate::ring::doorbell::Doorbell;
use crate::ring::mpmc;
use crate::sync::{Arc, AtomicBool, Ordering};

/// The lcore's end. The lcore owns it; [`Sender`]s are made from it.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

/// The other threads' end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// Nobody reads any more.
    closed: AtomicBool,
    ring: mpmc::Ring<T>,
    bell: Doorbell,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: Send> Mailbox<T> {
    /// An empty mailbox of [`MAILBOX_SLOTS`].
    pub fn new() -> Result<Self> {
        let bell = Doorbell::new().map_err(|e| {
            Error::new(
                "make a doorbell (eventfd)",
                e,
                "raise the limit on open files (`ulimit -n`)",
            )
        })?;
        let ring = mpmc::Ring::new(MAILBOX_SLOTS);
        Ok(Self { shared: Arc::new(Shared { closed: AtomicBool::new(false), ring, bell }) })
    }

    /// An end for other threads.
    pub fn sender(&self) -> Sender<T> {
        Sender { shared: self.shared.clone() }
    }

    /// Takes the oldest mail. Never blocks.
    #[inline]
    pub fn take(&self) -> Option<T> {
        if self.shared.ring.is_empty() {
            return None;
        }
        self.shared.ring.dequeue()
    }

    /// Refuses all further mail. What a sender is just posting may still arrive.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    /// Announces sleep; `false` when there is mail after all. After `true`, wait for
    /// [`bell`](Self::bell) and then call [`awake`](Self::awake).
    #[must_use = "sleep only when this returns true"]
    pub fn sleep_unless_mail(&self) -> bool {
        self.shared.bell.sleep_unless(|| !self.shared.ring.is_empty())
    }

    /// Ends the announcement of sleep, whatever ended the sleep.
    pub fn awake(&self) {
        self.shared.bell.awake();
    }

    /// Readable when a sender rang.
    #[cfg(not(loom))]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }

    /// Waits until a sender rang.
    #[cfg(loom)]
    pub fn wait(&self) {
        self.shared.bell.wait();
    }
}

impl<T: Send> Sender<T> {
    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Posts to the lcore; gives the mail back when its box is full or closed. Never blocks; one system call
    /// when the lcore sleeps, none when it does not.
    pub fn post(&self, mail: T) -> std::result::Result<(), T> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(mail);
        }
        self.shared.ring.enqueue(mail)?;
        self.shared.bell.ring();
        Ok(())
    }
}
