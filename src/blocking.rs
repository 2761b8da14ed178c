//! A TCP connection that waits, for tools and tests. Nothing of the dataplane is here.

use std::fmt::Display;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 * 1024;

/// A blocking connection (W-3). Every call ends within the connection's patience, however many
/// system calls it takes and however slowly the peer drips. An error says what was wanted of whom
/// and why it failed; bytes that had arrived until then are there for the next read.
///
/// ```
/// # use std::io::{Read, Write};
/// use std::time::Duration;
///
/// use ringway::blocking::Connection;
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # std::thread::spawn(move || {
/// #     let mut peer = listener.accept().unwrap().0;
/// #     peer.read_exact(&mut [0; 5]).unwrap();
/// #     peer.write_all(b"pong\nrest").unwrap();
/// # });
/// let mut connection = Connection::connect(address, Duration::from_secs(10))?;
/// connection.write_all(b"ping\n")?;
/// assert_eq!(connection.read_until(b"\n", 100)?, b"pong\n");
/// assert_eq!(connection.read_to_end(100)?, b"rest");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
    /// Received and not yet asked for.
    ahead: Vec<u8>,
    /// Where the socket reads to.
    room: Box<[u8]>,
}

impl Connection {
    /// Connects; that, and each later call, takes `patience` at most.
    pub fn connect(peer: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&peer, patience)
            .map_err(|error| explained("connect to", peer, &error))?;
        Self::over(stream, patience)
    }

    /// Over a connected socket.
    pub fn over(stream: TcpStream, patience: Duration) -> Result<Self> {
        let peer = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        let room = vec![0; READ_BYTES].into();
        Ok(Self { stream, peer, patience, ahead: Vec::new(), room })
    }

    /// The socket. What is read from it past this connection is missing in later reads.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of `bytes`.
    pub fn write_all(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let (bytes, begun, mut sent) = (bytes.as_ref(), Instant::now(), 0);
        while sent < bytes.len() {
            let left = self.left(begun);
            let ready = left.and_then(|left| self.stream.set_write_timeout(Some(left)));
            match ready.and_then(|()| self.stream.write(&bytes[sent..])) {
                Ok(count) => sent += count,
                Err(error) if is_to_be_repeated(&error) => {}
                Err(error) => {
                    let what = format!("write {} bytes, {sent} of them sent, to", bytes.len());
                    return Err(explained(what, self.peer, &error));
                }
            }
        }
        Ok(())
    }

    /// Says that no more will be sent.
    pub fn finish(&mut self) -> Result<()> {
        let done = self.stream.shutdown(Shutdown::Write);
        done.map_err(|error| explained("finish sending to", self.peer, &error))
    }

    /// The next bytes that come; none at the peer's end.
    pub fn read_some(&mut self) -> Result<Vec<u8>> {
        if self.ahead.is_empty() {
            let filled = self.fill(Instant::now());
            filled.map_err(|error| explained("read from", self.peer, &error))?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// The next `bytes`.
    pub fn read_exact(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let wanted = |ahead: &[u8], _| Ok((ahead.len() >= bytes).then_some(bytes));
        self.read_what(format_args!("{bytes} bytes"), wanted)
    }

    /// All through the first `end`, which has to come within `most` bytes.
    pub fn read_until(&mut self, end: &[u8], most: usize) -> Result<Vec<u8>> {
        self.read_what(format_args!("up to \"{}\"", end.escape_ascii()), |ahead, _| {
            let within = &ahead[..ahead.len().min(most)];
            match within.windows(end.len()).position(|part| part == end) {
                None if ahead.len() >= most => Err(too_long(most)),
                found => Ok(found.map(|at| at + end.len())),
            }
        })
    }

    /// All that comes through the peer's end, which has to come within `most` bytes.
    pub fn read_to_end(&mut self, most: usize) -> Result<Vec<u8>> {
        self.read_what("all", |ahead, ended| match ahead.len() {
            len if len > most => Err(too_long(most)),
            len => Ok(ended.then_some(len)),
        })
    }

    /// Waits for the peer's end, orderly or by a reset; what comes before it is dropped.
    pub fn wait_for_end(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.ahead.clear();
            match self.fill(begun) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(explained("wait for the end of", self.peer, &error)),
            }
        }
    }

    /// Closes once the peer has taken all that was sent and closed too. A drop alone closes now.
    pub fn close(mut self) -> Result<()> {
        self.finish()?;
        self.wait_for_end()
    }

    /// Reads until `wanted`, given what is there and whether the peer has ended, says how much of
    /// it is the answer.
    fn read_what(
        &mut self,
        what: impl Display,
        mut wanted: impl FnMut(&[u8], bool) -> Result<Option<usize>>,
    ) -> Result<Vec<u8>> {
        let (begun, mut ended) = (Instant::now(), false);
        loop {
            let step = match wanted(&self.ahead, ended) {
                Ok(Some(bytes)) => return Ok(self.ahead.drain(..bytes).collect()),
                Ok(None) if ended => Err(Error::new(ErrorKind::UnexpectedEof, "the peer closed")),
                Ok(None) => self.fill(begun),
                Err(error) => Err(error),
            };
            ended = step.map_err(|error| {
                let what = format!("read {what}, {} bytes there, from", self.ahead.len());
                explained(what, self.peer, &error)
            })? == 0;
        }
    }

    /// Waits for the next bytes and returns how many came; 0 at the peer's end.
    fn fill(&mut self, begun: Instant) -> Result<usize> {
        let count = loop {
            let left = self.left(begun);
            let ready = left.and_then(|left| self.stream.set_read_timeout(Some(left)));
            match ready.and_then(|()| self.stream.read(&mut self.room)) {
                Err(error) if is_to_be_repeated(&error) => {}
                read => break read?,
            }
        };
        self.ahead.extend_from_slice(&self.room[..count]);
        Ok(count)
    }

    /// What is left to a call that began at `begun`.
    fn left(&self, begun: Instant) -> Result<Duration> {
        let left = self.patience.saturating_sub(begun.elapsed());
        let up = || Error::new(ErrorKind::TimedOut, format!("not done in {:?}", self.patience));
        if left.is_zero() { Err(up()) } else { Ok(left) }
    }
}

/// A wait of the system was cut short, or was too short by a little: what is left decides.
fn is_to_be_repeated(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

fn too_long(most: usize) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not within {most} bytes"))
}

fn explained(what: impl Display, peer: SocketAddr, error: &Error) -> Error {
    Error::new(error.kind(), format!("{what} {peer}: {error}"))
}

#[cfg(test)]
mod tests;
