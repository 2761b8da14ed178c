//! One connection of a server: its command is read, its handler called, its reply ended. Nothing
//! that goes wrong here reaches another connection.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::error::Error;
use super::reply::{Reply, Taker};
use super::server::{Handler, Options, Stop};
use crate::limits::IPC_COMMAND_BYTES_MAX;
use crate::proto::ipc::{self, Command, Fault, Line};
use crate::sys::unix_stream::{self, Peer, Until, Waited};

/// A client, and what its server wants of it.
pub(super) struct Connection<'a> {
    pub stream: UnixStream,
    pub options: &'a Options,
    pub stop: &'a Stop,
}

/// A command's line, all but its newline taken from the socket.
struct Asked {
    bytes: Vec<u8>,
    line: Line,
}

/// Why there is no command to answer.
enum Unasked {
    /// The client is told.
    Fault(Fault),
    /// Nobody is left to tell.
    Gone,
}

impl From<io::Error> for Unasked {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Connection<'_> {
    /// Serves the client; what is left is somebody else's from here on.
    pub fn serve(self, handler: &Handler) -> Option<(UnixStream, Taker)> {
        let peer = self.prepare().ok()?;
        let mut bytes = Vec::new();
        let line = match self.read_command(&mut bytes) {
            Ok(line) => line,
            Err(Unasked::Fault(fault)) => {
                let json = ipc::wants_json(&bytes);
                self.refuse(peer, json, fault.message(), fault.code());
                return None;
            }
            Err(Unasked::Gone) => return None,
        };
        let asked = Asked { bytes, line };
        let taker = self.answer(peer, &asked, handler)?;
        Some((self.hand_over().ok()?, taker))
    }

    /// Tells a client whom the server does not serve so, without waiting for his command: he must not
    /// hold a place. In text, unless he has asked for JSON by now.
    pub fn deny(self) {
        let Ok(peer) = self.prepare() else { return };
        let mut room = [0; 16];
        let seen = unix_stream::peek(&self.stream, &mut room).unwrap_or(0);
        let message = format!("user {} may not use this socket", peer.uid);
        self.refuse(peer, ipc::wants_json(&room[..seen]), &message, 403);
    }

    fn prepare(&self) -> io::Result<Peer> {
        self.stream.set_nonblocking(true)?;
        unix_stream::peer(self.stream.as_fd())
    }

    /// Reads up to the newline of the command, which stays in the socket: see the module `ipc`.
    fn read_command(&self, bytes: &mut Vec<u8>) -> Result<Line, Unasked> {
        let deadline = Instant::now() + self.options.command_timeout;
        let mut room = [0; IPC_COMMAND_BYTES_MAX + 1];
        loop {
            let seen = match unix_stream::peek(&self.stream, &mut room) {
                Ok(0) if bytes.is_empty() => return Err(Unasked::Gone),
                Ok(0) => return Err(Unasked::Fault(Fault::Unended)),
                Ok(seen) => seen,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_more(deadline)?;
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let before = bytes.len();
            bytes.extend_from_slice(&room[..seen]);
            let found = ipc::decode_command(bytes).map_err(Unasked::Fault)?;
            let taken = found.as_ref().map_or(seen, |line| line.consumed - 1 - before);
            (&self.stream).read_exact(&mut room[..taken])?;
            if let Some(line) = found {
                return Ok(line);
            }
        }
    }

    fn wait_for_more(&self, deadline: Instant) -> Result<(), Unasked> {
        let left = deadline.saturating_duration_since(Instant::now());
        let bell = Some(self.stop.bell());
        match unix_stream::wait(self.stream.as_fd(), Until::Readable, bell, left)? {
            Waited::Ready => Ok(()),
            Waited::Rung => Err(Unasked::Gone),
            Waited::TimedOut => Err(Unasked::Fault(Fault::Timeout)),
        }
    }

    /// Calls the handler and ends the reply, whole or not.
    fn answer(&self, peer: Peer, asked: &Asked, handler: &Handler) -> Option<Taker> {
        let text = std::str::from_utf8(&asked.bytes[asked.line.text.clone()]);
        let command = Command::parse(text.expect("it was decoded"));
        let mut reply = self.reply(peer);
        let call = AssertUnwindSafe(|| handler(&command, &mut reply));
        let outcome = catch_unwind(call)
            .unwrap_or_else(|_| Err(Error::handler(500, "the command panicked, which is a bug")));
        match outcome {
            Ok(()) => {
                let taker = reply.into_taker();
                if taker.is_none() {
                    self.finish();
                }
                taker
            }
            Err(error) => {
                if reply.bytes_written() == 0 {
                    let (message, code) = error.told();
                    self.refuse(peer, command.json, &message, code);
                }
                None
            }
        }
    }

    fn reply(&self, peer: Peer) -> Reply<'_> {
        Reply::new(&self.stream, self.stop, self.options.reply_timeout, peer)
    }

    /// An error is a whole reply.
    fn refuse(&self, peer: Peer, json: bool, message: &str, code: u16) {
        let mut text = String::new();
        ipc::write_error(&mut text, json, message, code).expect("a string takes everything");
        if io::Write::write_all(&mut self.reply(peer), text.as_bytes()).is_ok() {
            self.finish();
        }
    }

    /// Ends a whole reply: what is unread is taken first, or the close would reset the client.
    fn finish(&self) {
        // From here on nothing more can arrive, so the loop has an end.
        let _ = self.stream.shutdown(Shutdown::Both);
        let mut room = [0; IPC_COMMAND_BYTES_MAX];
        while (&self.stream).read(&mut room).is_ok_and(|count| count > 0) {}
    }

    /// The socket as its taker wants it, behind the command's newline.
    fn hand_over(self) -> io::Result<UnixStream> {
        (&self.stream).read_exact(&mut [0])?;
        self.stream.set_nonblocking(false)?;
        Ok(self.stream)
    }
}
