//! Waiting for many sockets at once (poll(2)). What is done with those that are ready is decided above.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::unix_stream::Until;

/// Sockets to wait for, in the order in which they were added.
#[derive(Default)]
pub struct Waiting<'a> {
    polled: Vec<PollFd<'a>>,
}

impl<'a> Waiting<'a> {
    /// Adds one; its number for [`is_ready`](Self::is_ready).
    pub fn add(&mut self, socket: BorrowedFd<'a>, until: Until) -> usize {
        let wanted = match until {
            Until::Readable => PollFlags::POLLIN,
            Until::Writable => PollFlags::POLLOUT,
            Until::Either => PollFlags::POLLIN | PollFlags::POLLOUT,
        };
        self.polled.push(PollFd::new(socket, wanted));
        self.polled.len() - 1
    }

    /// Waits until one of them is ready, or has failed, for at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            // Rounded up: a wait of less than a millisecond must not become a busy loop.
            let left = timeout.saturating_sub(begin.elapsed()).as_nanos().div_ceil(1_000_000);
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut self.polled, left) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// Whether it was ready, or has failed, when the wait ended.
    pub fn is_ready(&self, number: usize) -> bool {
        self.polled[number].any() == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_ends_with_any_of_them_and_says_which_it_was() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let (_silent, idle) = UnixStream::pair().unwrap();
        let ready = |timeout, until| {
            let mut waiting = Waiting::default();
            let numbers =
                [waiting.add(idle.as_fd(), Until::Readable), waiting.add(other.as_fd(), until)];
            waiting.wait(timeout).unwrap();
            numbers.map(|number| waiting.is_ready(number))
        };
        let long = Duration::from_secs(60);
        assert_eq!(ready(Duration::from_nanos(1), Until::Readable), [false, false]);
        assert_eq!(ready(long, Until::Writable), [false, true]);
        one.write_all(b"a").unwrap();
        assert_eq!(ready(long, Until::Readable), [false, true]);
        drop(one);
        assert_eq!(ready(long, Until::Either), [false, true], "its peer has ended");
    }
}
