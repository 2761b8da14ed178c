//! A [`SleepFlag`] with the eventfd that wakes its consumer. The protocol lives in the flag.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::limits::LCORES_MAX;
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

    /// Uses the four-byte flag at `flag`, zero at first, and `event`: an eventfd from
    /// [`event`](Self::event), or this side's end of a [`pipe`](Self::pipe). It may have come from
    /// another process.
    /// `keep` keeps the flag mapped.
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

    /// Makes a pipe fit for a bell whose consumer is not trusted: its end to wait on, and the one to ring
    /// with. Flags of an eventfd belong to all who share it, so that a consumer which makes it
    /// blocking, and fills it, stops who rings; of a pipe each end has flags of its own.
    ///
    /// Whoever rings keeps a copy of the other end: a pipe that nobody reads is an error to write to, and
    /// a signal.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
        nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
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
        // An eventfd gives 8 bytes for all that rang, a pipe as many for each.
        let mut rung = [0; 8 * LCORES_MAX];
        // An error means that the bell was silent.
        let _ = read_now(self.event.as_fd(), &mut rung);
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
    /// The eventfd, or the pipe's end: readable when the bell was rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Reads what is there. Never blocks, even where a peer that shares the description has made it
/// blocking.
fn read_now(fd: BorrowedFd<'_>, out: &mut [u8]) -> nix::Result<usize> {
    let vector = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    // SAFETY: the vector describes `out`, which nobody else uses meanwhile; at -1 there is no offset.
    let read = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const vector, 1, -1, libc::RWF_NOWAIT) };
    match Errno::result(read) {
        // A pipe of an old kernel, whose flags are this side's own.
        Err(Errno::EOPNOTSUPP) => nix::unistd::read(fd, out),
        outcome => outcome.map(|bytes| bytes as usize),
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{FcntlArg, fcntl};
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
    fn a_peer_that_makes_an_eventfd_blocking_does_not_stop_its_reader() {
        let bell = Doorbell::new().expect("eventfd");
        fcntl(&bell.event, FcntlArg::F_SETFL(OFlag::empty())).expect("fcntl");
        bell.awake();
    }

    #[test]
    fn a_peer_that_never_reads_a_pipe_does_not_stop_who_rings() {
        let word: KeepAlive = std::sync::Arc::new(AtomicU32::new(0));
        let place = NonNull::from(word.downcast_ref::<AtomicU32>().expect("word")).cast();
        let (wait, ring) = Doorbell::pipe().expect("pipe");
        fcntl(&wait, FcntlArg::F_SETFL(OFlag::empty())).expect("fcntl");
        // SAFETY: the word is aligned, and the handles keep it.
        let consumer = unsafe { Doorbell::attach(place, word.clone(), wait) };
        // SAFETY: as above.
        let producer = unsafe { Doorbell::attach(place, word, ring) };
        for _ in 0..20_000 {
            assert!(consumer.flag().sleep_unless(|| false));
            assert!(producer.ring());
        }
        assert!(readable(&consumer));
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
