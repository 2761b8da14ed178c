//! A client: one command, one connection, and the whole reply or an error.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use crate::limits::{IPC_COMMAND_BYTES_MAX, IPC_CONNECTIONS_MAX};
use crate::sys::unix_stream::{self, Peer, Until, Waited};

/// How an error begins, in text and in JSON. A result in JSON has no space behind that colon, or
/// does not begin with that key.
const ERROR_STARTS: [&[u8]; 2] = [b"error: ", b"{\"error\": "];

/// Bytes of a reply that are looked at as an error.
const ERROR_BYTES_MAX: u64 = 16 * IPC_COMMAND_BYTES_MAX as u64;

/// Sends `command` to the server at `path` and returns its whole reply, all within `timeout` (I-1,
/// I-5). For replies that are long, or take long, see [`Client::stream`].
pub fn send(path: &Path, command: &str, timeout: Duration) -> Result<Vec<u8>, Error> {
    Client::new(path).timeout(timeout).send(command)
}

/// Sends commands to one server. Clones share a bound on connections; threads may share a client.
///
/// Each command has a connection of its own: the protocol ends a connection with its reply, which is
/// how the client knows that the reply is whole, so there is nothing to use again. What a pool of
/// connections is for is here without one: many commands in flight at a time, and no more than the
/// server should bear (I-11).
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
    reply_bytes_max: usize,
    half_close: bool,
    places: Arc<Places>,
}

/// Connections that may still be opened.
#[derive(Debug)]
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One connection that may be open.
#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

impl Client {
    /// A client of the server at `path`, or at an abstract name after an `@`. Connects to nobody yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            timeout: Duration::from_secs(10),
            reply_bytes_max: usize::MAX,
            half_close: false,
            places: Arc::new(Places {
                free: Mutex::new(IPC_CONNECTIONS_MAX),
                freed: Condvar::new(),
            }),
        }
    }

    /// How long [`send`](Self::send) may take; for [`stream`](Self::stream), until the reply begins,
    /// and between two parts of it. 10 s unless changed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest reply that [`send`](Self::send) keeps, in bytes. No bound unless given.
    pub fn reply_bytes_max(mut self, bytes: usize) -> Self {
        self.reply_bytes_max = bytes;
        self
    }

    /// Connections open at a time, over this client and its later clones; past it callers wait, for
    /// no longer than the timeout. 64 unless changed.
    pub fn connections_max(mut self, connections: usize) -> Self {
        let free = Mutex::new(connections.max(1));
        self.places = Arc::new(Places { free, freed: Condvar::new() });
        self
    }

    /// For a server that is no [`Server`](super::Server) but a listener of protocol `ipc`, or another
    /// one that half-closes behind a whole reply and closes behind no other. An end of file on a
    /// connection that is closed both ways is then an error: also where this client comes to it
    /// later than its server waits, which is 2 s on an lcore.
    pub fn expect_half_close(mut self) -> Self {
        self.half_close = true;
        self
    }

    /// Sends `command`, without a newline, and returns the whole reply. An error that the server
    /// answers with is [`Error::Handler`].
    pub fn send(&self, command: &str) -> Result<Vec<u8>, Error> {
        let mut stream = self.open(command, Patience::Until(Instant::now() + self.timeout))?;
        let mut reply = Vec::new();
        let most = (self.reply_bytes_max as u64).saturating_add(1);
        stream.by_ref().take(most).read_to_end(&mut reply)?;
        if reply.len() > self.reply_bytes_max {
            return Err(Error::TooLarge { what: "reply", bytes_max: self.reply_bytes_max });
        }
        Ok(reply)
    }

    /// Sends `command`, without a newline, and returns once the reply has begun: what is read is as
    /// new as the server's writing.
    pub fn stream(&self, command: &str) -> Result<ReplyStream, Error> {
        self.open(command, Patience::Each(self.timeout))
    }

    fn open(&self, command: &str, patience: Patience) -> Result<ReplyStream, Error> {
        check(command)?;
        let deadline = Instant::now() + patience.left();
        let place = self.place(deadline)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = unix_stream::connect(&self.path, left).map_err(|why| match why.kind() {
            io::ErrorKind::TimedOut => Error::Timeout,
            _ => Error::Connect { path: self.path.clone(), why },
        })?;
        let peer = unix_stream::peer(stream.as_fd())?;
        // A command fits what a socket takes at once; a server that refuses it unread may have closed
        // already, and its reply says why.
        let sent = (&stream).write_all(format!("{command}\n").as_bytes());
        stream.set_nonblocking(true)?;
        let (start, half_close) = (Vec::new(), self.half_close);
        let mut reply =
            ReplyStream { stream, peer, patience, half_close, start, given: 0, _place: place };
        reply.begin()?;
        if reply.start.is_empty() {
            sent?;
        }
        Ok(reply)
    }

    fn place(&self, deadline: Instant) -> Result<Place, Error> {
        let free = self.places.free.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.places.freed.wait_timeout_while(free, left, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            return Err(Error::Timeout);
        }
        *free -= 1;
        Ok(Place(self.places.clone()))
    }
}

/// How long a reply is waited for.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// For all of it.
    Until(Instant),
    /// For each part.
    Each(Duration),
}

impl Patience {
    fn left(self) -> Duration {
        match self {
            Self::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
            Self::Each(timeout) => timeout,
        }
    }
}

/// A reply that is no error, as it arrives. An end of file is the end of a whole reply; one that
/// ended too early is an error behind what was read of it.
#[derive(Debug)]
pub struct ReplyStream {
    stream: UnixStream,
    peer: Peer,
    patience: Patience,
    half_close: bool,
    /// The first bytes, by which an error is told.
    start: Vec<u8>,
    /// Bytes of `start` that were read.
    given: usize,
    _place: Place,
}

impl ReplyStream {
    /// The server's process.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The end of a reply that is whole if the server still listens.
    fn end(&self) -> io::Result<usize> {
        match unix_stream::is_closed_both_ways(self.stream.as_fd())? {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(0),
        }
    }

    /// Reads until an error can be told from a result; of an error, all.
    fn begin(&mut self) -> Result<(), Error> {
        let mut start = Vec::new();
        let mut room = [0; 16];
        while ERROR_STARTS
            .iter()
            .any(|error| error.len() > start.len() && error.starts_with(&start))
        {
            match self.read(&mut room) {
                Ok(0) => break,
                Ok(count) => start.extend_from_slice(&room[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        if ERROR_STARTS.iter().any(|error| start.starts_with(error)) {
            // A result that begins like an error in JSON may be long; an error is not.
            self.by_ref().take(ERROR_BYTES_MAX).read_to_end(&mut start)?;
            if let Some(error) = read_error(&start) {
                return Err(error);
            }
        }
        self.start = start;
        Ok(())
    }
}

impl Read for ReplyStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given < self.start.len() {
            let count = (&self.start[self.given..]).read(out)?;
            self.given += count;
            return Ok(count);
        }
        loop {
            match (&self.stream).read(out) {
                Ok(0) if !out.is_empty() && self.half_close => return self.end(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            let left = self.patience.left();
            if unix_stream::wait(self.stream.as_fd(), Until::Readable, None, left)?
                == Waited::TimedOut
            {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Refuses what the server would not read as one command.
fn check(command: &str) -> Result<(), Error> {
    if command.len() >= IPC_COMMAND_BYTES_MAX {
        return Err(Error::TooLarge { what: "command", bytes_max: IPC_COMMAND_BYTES_MAX - 1 });
    }
    if command.contains(['\n', '\0']) {
        let why = "a command has neither newlines nor NUL bytes";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
    }
    Ok(())
}

/// Reads a whole reply as an error; `None` where it is a result after all.
fn read_error(reply: &[u8]) -> Option<Error> {
    if let Some(message) = reply.strip_prefix(ERROR_STARTS[0]) {
        let message = String::from_utf8_lossy(message).trim_end().to_owned();
        return Some(Error::Handler { message, code: None });
    }
    let reply: serde_json::Value = serde_json::from_slice(reply).ok()?;
    let code = reply.get("code")?.as_u64().and_then(|code| u16::try_from(code).ok())?;
    Some(Error::handler(code, reply.get("error")?.as_str()?))
}
