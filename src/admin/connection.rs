//! One client: its request is read, answered, and its end waited for. Nothing here blocks: whoever has many of them asks
//! each what it waits for.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::request::Request;
use super::site::Site;
use crate::limits::{
    ADMIN_ANSWER_TIMEOUT_NS, ADMIN_GRACE_NS, ADMIN_HEAD_BYTES_MAX, ADMIN_LINGER_NS,
    ADMIN_REQUEST_TIMEOUT_NS, ADMIN_STALL_TIMEOUT_NS,
};
use crate::proto::http1::Method;
use crate::sys::unix_stream::Until;

/// Bytes that are read at a time.
const READ_BYTES: usize = 4096;

/// A client that is connected.
pub struct Connection {
    stream: TcpStream,
    phase: Phase,
    /// When it is given up.
    deadline: Instant,
    /// When the whole of it is, whatever it does.
    last_call: Instant,
    /// When something was last done for it.
    served: Instant,
}

enum Phase {
    /// Of the request so much has come.
    Reading(Vec<u8>),
    /// Of the answer so much has gone.
    Writing { answer: Vec<u8>, sent: usize },
    /// The answer has gone, and the peer's close is waited for: a close over unread bytes would reset it.
    Lingering,
}

/// Whether a client is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is not done.
    Wait,
    /// It is, well or not.
    Close,
}

impl Connection {
    /// A client that has connected just now.
    pub fn new(stream: TcpStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            phase: Phase::Reading(Vec::new()),
            deadline: now + Duration::from_nanos(ADMIN_REQUEST_TIMEOUT_NS),
            last_call: now + Duration::from_nanos(ADMIN_ANSWER_TIMEOUT_NS),
            served: now,
        })
    }

    /// What it waits for.
    pub fn wants(&self) -> (BorrowedFd<'_>, Until) {
        let until = match self.phase {
            Phase::Writing { .. } => Until::Writable,
            Phase::Reading(_) | Phase::Lingering => Until::Readable,
        };
        (self.stream.as_fd(), until)
    }

    /// When it is given up.
    pub fn deadline(&self) -> Instant {
        self.deadline.min(self.last_call)
    }

    /// Since when nothing has been done for it, if that is so long ago that a newcomer may have its place.
    pub fn idle_since(&self, now: Instant) -> Option<Instant> {
        let grace = Duration::from_nanos(ADMIN_GRACE_NS);
        (now.saturating_duration_since(self.served) >= grace).then_some(self.served)
    }

    /// Goes as far as it can.
    pub fn advance(&mut self, site: &Site, now: Instant) -> Then {
        match self.try_advance(site, now) {
            Ok(then) => then,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Then::Wait,
            // The peer has gone.
            Err(_) => Then::Close,
        }
    }

    fn try_advance(&mut self, site: &Site, now: Instant) -> io::Result<Then> {
        loop {
            match &mut self.phase {
                Phase::Reading(bytes) => {
                    let Some(answer) = read_request(&self.stream, bytes, site)? else {
                        return Ok(Then::Close);
                    };
                    self.phase = Phase::Writing { answer, sent: 0 };
                    self.deadline = now + Duration::from_nanos(ADMIN_STALL_TIMEOUT_NS);
                    self.served = now;
                }
                Phase::Writing { answer, sent } => {
                    while *sent < answer.len() {
                        *sent += retried(|| (&self.stream).write(&answer[*sent..]))?;
                        self.deadline = now + Duration::from_nanos(ADMIN_STALL_TIMEOUT_NS);
                        self.served = now;
                    }
                    self.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Lingering;
                    self.deadline = now + Duration::from_nanos(ADMIN_LINGER_NS);
                }
                Phase::Lingering => {
                    // What a peer sends without end does not hold up the others: one piece a turn.
                    let count = retried(|| (&self.stream).read(&mut [0; READ_BYTES]))?;
                    return Ok(if count == 0 { Then::Close } else { Then::Wait });
                }
            }
        }
    }
}

/// Reads on to the end of the request's head; the answer to it, or `None` where the peer has gone before.
fn read_request(
    stream: &TcpStream,
    bytes: &mut Vec<u8>,
    site: &Site,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut room = [0; READ_BYTES];
        let count = retried(|| (&*stream).read(&mut room))?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&room[..count]);
        match Request::decode(bytes) {
            Ok(Some(request)) => return Ok(Some(site.answer(&request))),
            Ok(None) => debug_assert!(bytes.len() <= ADMIN_HEAD_BYTES_MAX as usize),
            Err(fault) => {
                let answer =
                    Answer::line(fault.status(), "this is no request that is understood here");
                return Ok(Some(answer.into_bytes(Method::Get)));
            }
        }
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
