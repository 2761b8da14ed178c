//! Which descriptors are ready (epoll(7)). What is done on them then is decided above.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::{Error, Result};
use crate::limits::EPOLL_EVENTS;

/// For what a descriptor is watched. Each is told of once when it begins (edge-triggered).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read or to accept, and the end of what there is to read.
    Read,
    /// That, and room to write.
    ReadAndWrite,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        let read = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        match self {
            Self::Read => read,
            Self::ReadAndWrite => read | EpollFlags::EPOLLOUT,
        }
    }
}

/// What was found of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number that it is watched under.
    pub key: u64,
    /// There is something to read or to accept, or an end or a failure, which reading tells.
    pub readable: bool,
    /// The peer has said its last, or the socket has failed: what there is to read ends.
    pub ended: bool,
    /// There is room to write, or a failure, which writing tells.
    pub writable: bool,
}

/// An epoll instance, with room for what it finds at a time.
pub struct Epoll {
    epoll: epoll::Epoll,
    events: Box<[EpollEvent]>,
    waits: u64,
}

impl Epoll {
    /// One that watches nothing.
    pub fn create() -> Result<Self> {
        let epoll = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|why| {
            let remedy = match why {
                Errno::EMFILE | Errno::ENFILE => "raise the limit on open files (`ulimit -n`)",
                _ => "allow the epoll calls in the container's seccomp profile",
            };
            Error::new("set up epoll", why, remedy)
        })?;
        Ok(Self { epoll, events: vec![EpollEvent::empty(); EPOLL_EVENTS].into(), waits: 0 })
    }

    /// Calls of epoll_wait(2) so far.
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// Watches `fd` under the number `key`, from what is the case now on. One that is watched already is
    /// looked at anew.
    pub fn watch(&self, fd: BorrowedFd<'_>, interest: Interest, key: u64) -> io::Result<()> {
        let event = || EpollEvent::new(interest.flags(), key);
        match self.epoll.add(fd, event()) {
            Err(Errno::EEXIST) => Ok(self.epoll.modify(fd, &mut event())?),
            outcome => Ok(outcome?),
        }
    }

    /// Changes what a watched descriptor is watched for, and looks at it anew.
    pub fn change(&self, fd: BorrowedFd<'_>, interest: Interest, key: u64) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(interest.flags(), key))?)
    }

    /// Watches `fd` no more; nothing where it is not watched. To be called before a descriptor is closed
    /// whose socket lives on in another.
    pub fn forget(&self, fd: BorrowedFd<'_>) {
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something is ready, at most for `timeout`, which is rounded up to milliseconds; an
    /// interrupted wait is a short one. How many descriptors [`found`](Self::found) tells of.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        self.waits += 1;
        let timeout = u16::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        match self.epoll.wait(&mut self.events, EpollTimeout::from(timeout)) {
            Err(Errno::EINTR) => Ok(0),
            outcome => Ok(outcome?),
        }
    }

    /// What the last wait found, at `index` below what that returned.
    #[inline]
    pub fn found(&self, index: usize) -> Ready {
        let (event, flags) = (&self.events[index], self.events[index].events());
        let failed = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let ended = failed || flags.contains(EpollFlags::EPOLLRDHUP);
        Ready {
            key: event.data(),
            readable: ended || flags.contains(EpollFlags::EPOLLIN),
            ended,
            writable: failed || flags.contains(EpollFlags::EPOLLOUT),
        }
    }
}

impl AsFd for Epoll {
    /// Readable when something is ready.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn found(epoll: &mut Epoll) -> Vec<Ready> {
        let count = epoll.wait(Duration::ZERO).unwrap();
        (0..count).map(|index| epoll.found(index)).collect()
    }

    #[test]
    fn what_begins_is_told_once_until_somebody_looks_anew() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut epoll = Epoll::create().unwrap();
        epoll.watch(near.as_fd(), Interest::Read, 7).unwrap();
        assert_eq!(found(&mut epoll), []);
        far.write_all(b"x").unwrap();
        let read = Ready { key: 7, readable: true, ended: false, writable: false };
        assert_eq!(found(&mut epoll), [read]);
        assert_eq!(found(&mut epoll), [], "it was told");
        epoll.watch(near.as_fd(), Interest::ReadAndWrite, 8).unwrap();
        assert_eq!(found(&mut epoll), [Ready { key: 8, writable: true, ..read }]);
        near.read_exact(&mut [0]).unwrap();
        drop(far);
        let end = found(&mut epoll)[0];
        assert!(end.readable && end.ended && end.writable, "{end:?}");
        epoll.forget(near.as_fd());
        epoll.forget(near.as_fd());
        assert!(epoll.change(near.as_fd(), Interest::Read, 9).is_err());
    }

    #[test]
    fn a_wait_ends_at_its_timeout_and_none_is_too_long() {
        let mut epoll = Epoll::create().unwrap();
        let start = std::time::Instant::now();
        assert_eq!(epoll.wait(Duration::from_nanos(1_000_001)).unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_millis(2));
        let (near, mut far) = UnixStream::pair().unwrap();
        epoll.watch(near.as_fd(), Interest::Read, 1).unwrap();
        far.write_all(b"x").unwrap();
        assert_eq!((epoll.wait(Duration::MAX).unwrap(), epoll.waits()), (1, 2));
    }
}
