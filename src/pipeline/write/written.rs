//! What became of a write, and the two ways to hear of it: a callback, or something to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::sync::{AtomicU8, Ordering};

/// What became of a write from beside the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All its bytes were handed to the system, in order with those before.
    Sent,
    /// The connection was gone, or was lost before the bytes were out.
    Lost,
    /// It was dropped: too much waits for that peer already ([`SlowPolicy`](super::SlowPolicy)), or
    /// [`PENDING_WRITES_MAX`](crate::limits::PENDING_WRITES_MAX) writes for that lcore, or what the connection
    /// speaks has no place for it. Nothing of it was sent.
    Refused,
}

/// Told once, on the lcore's thread: keep it short.
pub type WriteCallback = Box<dyn FnOnce(Written) + Send>;

const WAITS: u8 = 0;

/// A write under way. It is a [`Future`] for any executor, and can be waited for by a thread. Dropping it
/// changes nothing: the write goes on.
#[must_use = "a write that nobody asks about needs no completion"]
pub struct Completion {
    shared: Arc<Shared>,
}

struct Shared {
    /// [`WAITS`], or what became of it.
    state: AtomicU8,
    /// Held for the length of a move, and never waited for by the lcore.
    waker: Mutex<Option<Waker>>,
}

/// The other end: tells once, and `Lost` where it is dropped untold.
struct Teller {
    shared: Option<Arc<Shared>>,
}

/// A completion and what settles it.
pub(super) fn completion() -> (Completion, WriteCallback) {
    let shared = Arc::new(Shared { state: AtomicU8::new(WAITS), waker: Mutex::new(None) });
    let mut teller = Teller { shared: Some(shared.clone()) };
    (Completion { shared }, Box::new(move |written| teller.tell(written)))
}

impl Teller {
    fn tell(&mut self, written: Written) {
        let Some(shared) = self.shared.take() else { return };
        // Release: whoever sees it sees all that the lcore did before.
        shared.state.store(1 + written as u8, Ordering::SeqCst);
        // Where the lock is held, its holder looks at the state again behind it.
        let waker = match shared.waker.try_lock() {
            Ok(mut waker) => waker.take(),
            Err(_) => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(Written::Lost);
    }
}

impl Completion {
    /// What became of it; `None` while it is under way.
    pub fn outcome(&self) -> Option<Written> {
        match self.shared.state.load(Ordering::SeqCst) {
            WAITS => None,
            1 => Some(Written::Sent),
            2 => Some(Written::Lost),
            _ => Some(Written::Refused),
        }
    }

    /// Whether it is decided.
    pub fn is_done(&self) -> bool {
        self.outcome().is_some()
    }

    /// Waits until it is decided. Not for an lcore's thread, which would wait for itself.
    pub fn wait(mut self) -> Written {
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(written) = Pin::new(&mut self).poll(&mut context) {
                return written;
            }
            thread::park();
        }
    }
}

impl Future for Completion {
    type Output = Written;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Written> {
        if let Some(written) = self.outcome() {
            return Poll::Ready(written);
        }
        let waker = context.waker().clone();
        // The old waker is dropped outside of the lock: what that does is its executor's.
        let old = self.shared.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        drop(old);
        // It may have been decided while the lock was held: then nobody was woken.
        match self.outcome() {
            Some(written) => Poll::Ready(written),
            None => Poll::Pending,
        }
    }
}

/// Wakes a thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_write_is_heard_by_who_polls_and_by_who_waits_a_9() {
        for written in [Written::Sent, Written::Lost, Written::Refused] {
            let (completion, tell) = completion();
            assert!(!completion.is_done());
            tell(written);
            assert_eq!((completion.outcome(), completion.wait()), (Some(written), written));
            let (completion, tell) = super::completion();
            let waiting = thread::spawn(move || completion.wait());
            thread::yield_now();
            tell(written);
            assert_eq!(waiting.join().unwrap(), written);
        }
    }

    #[test]
    fn a_write_whose_lcore_is_gone_is_lost_a_9() {
        let (completion, tell) = completion();
        drop(tell);
        assert_eq!(completion.wait(), Written::Lost);
    }

    #[test]
    fn a_waker_that_was_replaced_is_not_the_one_that_is_woken_a_9() {
        struct Count(crate::sync::AtomicU8);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (mut completion, tell) = completion();
        let counts = [0, 1].map(|_| Arc::new(Count(crate::sync::AtomicU8::new(0))));
        for count in &counts {
            let waker = Waker::from(count.clone());
            let polled = Pin::new(&mut completion).poll(&mut Context::from_waker(&waker));
            assert_eq!(polled, Poll::Pending);
        }
        tell(Written::Sent);
        assert_eq!(counts.map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
    }
}
