//! The reply to one command as its handler writes it: every write goes out at once, so that a long
//! one is read while it is made. When it begins and ends is the connection's.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::server::Stop;
use crate::sys::unix_stream::{self, Peer, Until, Waited};

/// Who has a connection from its handler on.
pub(super) type Taker = Box<dyn FnOnce(UnixStream) + Send>;

/// The reply to one command.
///
/// What is written goes to the client in the same call, without a buffer between: join small pieces
/// first (`std::io::BufWriter`, or a `String`). A write waits while the client takes nothing, and
/// fails as `TimedOut` when that lasts too long.
pub struct Reply<'a> {
    stream: &'a UnixStream,
    stop: &'a Stop,
    timeout: Duration,
    peer: Peer,
    bytes_written: u64,
    taker: Option<Taker>,
}

impl<'a> Reply<'a> {
    pub(super) fn new(
        stream: &'a UnixStream,
        stop: &'a Stop,
        timeout: Duration,
        peer: Peer,
    ) -> Self {
        Self { stream, stop, timeout, peer, bytes_written: 0, taker: None }
    }

    /// Who sent the command, as the kernel knows it.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Bytes of the reply so far. An error that a handler returns is sent where there are none;
    /// otherwise the client gets a reset, and knows that its reply is not whole.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Whether the server stops: what would go on for long should come to an end. Writes fail a
    /// second later.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }

    /// Whether somebody still has the other end: the client has not closed both ways, as it does when it dies. For a
    /// reply that has nothing to say for long.
    pub fn is_heard(&self) -> bool {
        !unix_stream::is_closed_both_ways(self.stream.as_fd()).unwrap_or(true)
    }

    /// Hands the connection over: once the handler has returned well, `taker` is called on the same
    /// thread with the socket, blocking and without time limits, behind what was written and what
    /// was read of the command. It stays open for as long as the taker keeps it, counts no longer
    /// among the server's connections, and a stop does not end it.
    pub fn take_over(&mut self, taker: impl FnOnce(UnixStream) + Send + 'static) {
        self.taker = Some(Box::new(taker));
    }

    pub(super) fn into_taker(self) -> Option<Taker> {
        self.taker
    }

    /// Waits until the client has taken something.
    fn wait(&self) -> io::Result<()> {
        let (stream, bell) = (self.stream.as_fd(), self.stop.bell());
        let until = Until::Writable;
        let mut waited = unix_stream::wait(stream, until, Some(bell), self.timeout)?;
        if waited == Waited::Rung {
            let left = self.stop.grace_left().min(self.timeout);
            waited = unix_stream::wait(stream, until, None, left)?;
        }
        match waited {
            Waited::Ready => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")),
        }
    }
}

impl Write for Reply<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_asked() && self.stop.grace_left().is_zero() {
                return Err(io::Error::other("the server has stopped"));
            }
            match self.stream.write(bytes) {
                Ok(count) => {
                    self.bytes_written += count as u64;
                    return Ok(count);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(e) => return Err(e),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
