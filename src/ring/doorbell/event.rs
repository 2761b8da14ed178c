//! A [`SleepFlag`] with the eventfd that wakes its consumer. The protocol lives in the flag.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ring::doorbell::SleepFlag;
use crate::sync::{AtomicU32, KeepAlive};

/// A consumer's bell: a flag, on the heap or in a segment, and an eventfd. Both sides hold one over
/// the same flag and the same (duplicated) file descriptor.
pub struct Doorbell {
    flag: NonNull<SleepFlag>,
    event: OwnedFd,
    _keep: KeepAlive,
}

// SAFETY: the flag is an atomic word that `_keep` keeps in place.
unsafe impl Send for Doorbell {}
// SAFETY: as above; all access goes through the atomic.
unsafe impl Sync for Doorbell {}

impl Doorbell {
    /// Creates a bell for threads of this process, its consumer awake.
    ///
    /// # Errors
    /// If the kernel gives no eventfd.
    pub fn new() -> nix::Result<Self> {
        let flag: KeepAlive = std::sync::Arc::new(SleepFlag::new());
        let place = flag.downcast_ref::<SleepFlag>().expect("just made").into();
        Ok(Self { flag: place, event: Self::event()?, _keep: flag })
    }

    /// Creates a further handle on the same bell, for another thread.
    ///
    /// # Errors
    /// If the file descriptor cannot be duplicated.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        let event = self.event.try_clone()?;
        Ok(Self { flag: self.flag, event, _keep: self._keep.clone() })
    }

    /// Uses the four-byte flag at `flag`, zero at first, and `event`, an eventfd from
    /// [`event`](Self::event) that may have come from another process. `keep` keeps the flag mapped.
    ///
    /// # Safety
    /// `flag` is aligned to four bytes and valid for reads and writes until `keep` is dropped, and
    /// all who share it use it atomically. What a peer writes there only costs wake-ups.
    pub unsafe fn attach(flag: NonNull<u8>, keep: KeepAlive, event: OwnedFd) -> Self {
        debug_assert!(flag.cast::<AtomicU32>().is_aligned());
        Self { flag: flag.cast(), event, _keep: keep }
    }

    /// Makes an eventfd fit for a bell: non-blocking, closed on exec.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn event() -> nix::Result<OwnedFd> {
        Ok(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?.into())
    }

    /// Producer: wakes the consumer if it sleeps, with one system call, and returns whether it did.
    /// Without a sleeper it costs a fence and a load. Call it after publishing.
    #[inline]
    pub fn ring(&self) -> bool {
        self.flag().ring(|| self.signal())
    }

    /// Consumer: see [`SleepFlag::sleep_unless`]. When it returns true, wait until
    /// [`as_fd`](AsFd::as_fd) is readable, with a timeout if the producers may die.
    #[must_use = "wait for the bell only when this returns true"]
    pub fn sleep_unless(&self, has_work: impl FnOnce() -> bool) -> bool {
        self.flag().sleep_unless(has_work)
    }

    /// Consumer: announces that it is awake and silences the bell. Call it after every wait, however
    /// that ended. Never blocks.
    pub fn awake(&self) {
        self.flag().awake();
        let mut count = [0; 8];
        // An error means that the bell was silent.
        let _ = nix::unistd::read(&self.event, &mut count);
    }

    #[cold]
    fn signal(&self) {
        // An error means that the counter is full, and so that the descriptor is readable already.
        let _ = nix::unistd::write(&self.event, &1u64.to_ne_bytes());
    }

    #[inline]
    fn flag(&self) -> &SleepFlag {
        // SAFETY: `_keep` keeps the word in place, and it is only ever used atomically.
        unsafe { self.flag.as_ref() }
    }
}

impl AsFd for Doorbell {
    /// The eventfd: readable when the bell was rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, poll};

    use super::*;

    fn readable(bell: &Doorbell) -> bool {
        let mut fds = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, 0u8).expect("poll") == 1
    }

    #[test]
    fn rings_only_for_a_sleeper_and_only_once() {
        let bell = Doorbell::new().expect("eventfd");
        let other = bell.try_clone().expect("dup");
        assert!(!other.ring() && !readable(&bell));
        assert!(bell.sleep_unless(|| false));
        assert!(other.ring() && readable(&bell));
        assert!(!other.ring(), "the sleeper is already being woken");
        bell.awake();
        assert!(!readable(&bell));
    }

    #[test]
    fn work_found_at_the_last_look_keeps_the_consumer_awake() {
        let bell = Doorbell::new().expect("eventfd");
        assert!(!bell.sleep_unless(|| true));
        assert!(!bell.ring());
    }

    #[test]
    fn a_flag_in_shared_memory_serves_two_handles() {
        let word: KeepAlive = std::sync::Arc::new(AtomicU32::new(0));
        let place = NonNull::from(word.downcast_ref::<AtomicU32>().expect("word")).cast();
        let event = Doorbell::event().expect("eventfd");
        let twin = event.try_clone().expect("dup");
        // SAFETY: the word is aligned, and the handles keep it.
        let consumer = unsafe { Doorbell::attach(place, word.clone(), event) };
        // SAFETY: as above.
        let producer = unsafe { Doorbell::attach(place, word, twin) };
        assert!(consumer.sleep_unless(|| false));
        assert!(producer.ring() && readable(&consumer));
    }
}
