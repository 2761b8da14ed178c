//! The instance that is to be taken over from, as the new one sees it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::inherited::Inherited;
use super::offer::Offer;
use super::{ATTACH, CONFIRM, GO, PLACED, READY, STEP, STOPPED, VERSION, hear, say};
use crate::dataplane::ports::Ports;
use crate::error::{Error, Result};
use crate::limits::CONTROL_PLACE_TRIES_MAX;
use crate::sys::unix_stream;

/// How often who waits for a process looks.
const LOOK: Duration = Duration::from_millis(1);

/// A running instance that has offered its sockets, and goes on as if it had not until it hears that they are
/// served.
pub(in crate::dataplane) struct Predecessor {
    stream: UnixStream,
    path: PathBuf,
    pid: i32,
    /// Ports with processes that attach to the next instance by themselves.
    followed: Vec<String>,
}

/// How the predecessor stands to what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dataplane) enum Stand {
    /// It gives way.
    GivesWay,
    /// It has ended, without a word: nobody is in the way.
    Gone,
}

impl Predecessor {
    /// Asks the instance whose control socket is at `path` for its sockets; `None`: there is none.
    ///
    /// # Errors
    /// When it refuses, speaks another version, is another user's, or does not answer.
    pub fn ask(path: &Path) -> Result<Option<(Self, Inherited)>> {
        let mut tries = CONTROL_PLACE_TRIES_MAX;
        loop {
            tries -= 1;
            let stream = match unix_stream::connect(path, STEP) {
                Ok(stream) => stream,
                Err(e) if is_nobody(&e) => return Ok(None),
                Err(e) => return Err(refused(path, &e)),
            };
            match Self::offered(&stream) {
                Ok((pid, Offer { sockets, followed })) => {
                    let found = Self { stream, path: path.to_owned(), pid, followed };
                    return Ok(Some((found, Inherited::new(sockets))));
                }
                // One that ends just now; the next look finds nobody, or whoever came instead.
                Err(e) if has_ended(&e) && tries > 0 => thread::sleep(LOOK),
                Err(e) => return Err(refused(path, &e)),
            }
        }
    }

    fn offered(stream: &UnixStream) -> io::Result<(i32, Offer)> {
        let peer = unix_stream::peer(stream.as_fd())?;
        if ![nix::unistd::geteuid().as_raw(), 0].contains(&peer.uid) {
            return Err(io::Error::other(format!("user {} listens there", peer.uid)));
        }
        say(stream, &format!("takeover version={VERSION}"))?;
        Ok((peer.pid, Offer::receive(stream)?))
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Says that everything is built. From here on it stops as soon as it hears that its sockets are served.
    ///
    /// # Errors
    /// When it does not give way any more: somebody has told it to stop, or this took too long.
    pub fn announce(&self) -> Result<Stand> {
        self.tell(READY, GO)
    }

    /// Says that the control socket is in its place, and waits a little for the processes at its ports, which
    /// attach to `ports` then. It still serves.
    pub fn call_processes(&self, ports: &Ports) {
        // Whether it is still there, the next step tells.
        let _ = say(&self.stream, PLACED);
        let until = Instant::now() + ATTACH;
        for name in &self.followed {
            while !ports.is_attended(name) {
                if Instant::now() >= until {
                    tracing::warn!(port = name, "its process has not attached to this instance");
                    break;
                }
                thread::sleep(LOOK);
            }
        }
    }

    /// Says that its sockets are served, and its place is taken; returns when it accepts no more.
    ///
    /// # Errors
    /// When it has given up waiting, and goes on.
    pub fn confirm(&self) -> Result<Stand> {
        self.tell(CONFIRM, STOPPED)
    }

    fn tell(&self, word: &str, wanted: &str) -> Result<Stand> {
        // One that has ended, or given up, does not read it, and may have said why.
        let said = say(&self.stream, word);
        match hear(&self.stream, STEP) {
            Ok(Some(answer)) if answer == wanted && said.is_ok() => Ok(Stand::GivesWay),
            Ok(None) => Ok(Stand::Gone),
            Ok(Some(answer)) => {
                let why = answer.strip_prefix("error: ").unwrap_or(&answer).to_owned();
                Err(refused(&self.path, &io::Error::other(why)))
            }
            Err(e) => Err(refused(&self.path, &e)),
        }
    }
}

fn is_nobody(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn has_ended(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(why.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn refused(path: &Path, why: &io::Error) -> Error {
    let why = match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".to_owned(),
        _ if has_ended(why) => "it ended the connection".to_owned(),
        _ => why.to_string(),
    };
    Error::new(
        format!("take over from the instance at {}", path.display()),
        why,
        "it goes on as it did; try again, or stop it and start this one without --takeover",
    )
}
