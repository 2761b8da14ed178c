//! The client: one WebSocket that is open, and calls that wait.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::incoming::{Incoming, News};
use super::outgoing::Outgoing;
use super::{Error, Socket};
use crate::proto::websocket::{
    CONTROL_BYTES_MAX, CONTROL_FRAME_BYTES_MAX, CloseCode, Config, Connection, Deflate, Kind,
    Piece, Refused, Role, Utf8,
};
use crate::sys::unix_stream::Until;
use crate::time::Clock;

/// Times that a client which goes reads what nobody will hear: 1 MiB of an endless server.
const UNREAD_READS_MAX: usize = 256;

/// Something that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text.
    Text(&'a str),
    /// Other data.
    Binary(&'a [u8]),
    /// The answer to a ping, and its payload.
    Pong(&'a [u8]),
    /// The server has closed, which is answered. Nothing comes behind it.
    Close(&'a Close),
}

/// What a peer says when it closes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Close {
    /// Its code, if it gives any.
    pub code: Option<CloseCode>,
    /// Why, in words; mostly empty.
    pub reason: String,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{}", code.number())?,
            None => f.write_str("without a code")?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, " {}", self.reason.escape_debug()) }
    }
}

/// One WebSocket, made by [`Options::connect`](super::Options::connect). A drop alone ends the connection without a
/// close.
pub struct Client {
    socket: Socket,
    end: Connection,
    config: Config,
    clock: Clock,
    timeout: Duration,
    protocol: Option<String>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What was found while something was sent.
    pending: Option<News>,
    /// The payload of a ping that is to be answered; of several that come at once, the last (RFC 6455 §5.5.3).
    owed: Option<Vec<u8>>,
    /// What the peer has said when it closed.
    close: Option<Close>,
    /// A frame was sent in part, or not at all.
    cut: bool,
}

/// When a call is over, and what it was to do.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    began: Instant,
    timeout: Duration,
    what: &'static str,
}

impl Deadline {
    pub fn new(timeout: Duration, what: &'static str) -> Self {
        Self { began: Instant::now(), timeout, what }
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.began.elapsed())
    }

    pub fn passed(&self) -> Error {
        Error::Timeout { what: self.what, after: self.timeout }
    }
}

/// What was agreed on.
pub(super) struct Agreed {
    pub protocol: Option<String>,
    pub deflate: Option<Deflate>,
}

impl Client {
    /// Behind a handshake, with what came behind its head.
    pub(super) fn new(
        socket: Socket,
        config: Config,
        timeout: Duration,
        agreed: Agreed,
        ahead: &[u8],
    ) -> Self {
        let clock = Clock::start();
        Self {
            socket,
            end: Connection::new(Role::Client, agreed.deflate.is_some(), clock.now()),
            config,
            clock,
            timeout,
            protocol: agreed.protocol,
            incoming: Incoming::new(agreed.deflate, ahead),
            outgoing: Outgoing::new(agreed.deflate),
            pending: None,
            owed: None,
            close: None,
            cut: false,
        }
    }

    /// The protocol that the server has chosen of those that were asked for.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Whether compression was agreed on. Messages from 64 bytes on are compressed then, where that makes them
    /// shorter, and all that are sent in fragments.
    pub fn compresses(&self) -> bool {
        self.outgoing.compresses()
    }

    /// From here on a call takes so long at most.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The socket. What is read from it past this client is missing here.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends a text.
    pub fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.send(Kind::Text, text.as_bytes())
    }

    /// Sends other data.
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.send(Kind::Binary, bytes)
    }

    fn send(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        let deadline = self.deadline("send a message");
        self.say_what_is_owed(deadline)?;
        let whole = |compressed, bytes| Piece { compressed, ..Piece::whole(kind, bytes) };
        if self.end.is_writable() && self.outgoing.pack(bytes) {
            let packed = std::mem::take(&mut self.outgoing.packed);
            let sent = self.send_piece(whole(true, packed.len()), &packed, deadline);
            self.outgoing.packed = packed;
            return sent;
        }
        self.send_piece(whole(false, bytes.len()), bytes, deadline)
    }

    /// Begins a message that is sent piece by piece, each a frame. Until it is ended no other can be sent; what
    /// comes meanwhile is taken in by the calls.
    pub fn begin(&mut self, kind: Kind) -> Fragments<'_> {
        let compressed = self.compresses();
        Fragments { client: self, kind, first: true, compressed, utf8: Utf8::new() }
    }

    /// Asks the server whether it is there: [`Message::Pong`] has the same payload, of up to 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > CONTROL_BYTES_MAX {
            return Err(Error::Payload("a ping has at most 125 bytes"));
        }
        let deadline = self.deadline("send a ping");
        self.say_what_is_owed(deadline)?;
        let key = self.outgoing.keys.next()?;
        let header = self.end.ping_header(payload.len(), Some(key)).map_err(refused)?;
        self.outgoing.first_part(&header, payload, key);
        self.write_part(deadline)
    }

    /// The next thing that comes.
    pub fn receive(&mut self) -> Result<Message<'_>, Error> {
        let deadline = self.deadline("receive a message");
        match self.news(deadline)? {
            Some(news) => Ok(self.message(news)),
            None => Err(deadline.passed()),
        }
    }

    /// The next thing that comes within a time of its own, which may be none: `None` then.
    pub fn receive_within(&mut self, timeout: Duration) -> Result<Option<Message<'_>>, Error> {
        let deadline = Deadline::new(timeout, "receive a message");
        Ok(self.news(deadline)?.map(|news| self.message(news)))
    }

    /// Says that nothing more will be sent. What the server still has to say is received as before, up to its
    /// [`Message::Close`]. Of the reason, as many characters as fit 123 bytes are sent.
    pub fn begin_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let deadline = self.deadline("send a close");
        self.say_what_is_owed(deadline)?;
        let key = self.outgoing.keys.next()?;
        let (now, mut frame) = (self.clock.now(), [0; CONTROL_FRAME_BYTES_MAX]);
        let said = self.end.close(now, Some(code), reason, Some(key), &mut frame);
        let bytes = said.map_err(refused)?;
        self.write_or_cut(&frame[..bytes], deadline)
    }

    /// Closes: says so unless that was done, waits for what the server says to it, dropping what comes before, and
    /// for the end of the connection, which is the server's to bring about (RFC 6455 §7.1.1).
    pub fn close(mut self, code: CloseCode, reason: &str) -> Result<Close, Error> {
        let deadline = self.deadline("close");
        if self.end.is_writable() {
            match self.begin_close(code, reason) {
                // The server may have closed, and gone, before this end did.
                Err(Error::Io(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        while self.close.is_none() {
            match self.news(deadline)? {
                Some(news) => _ = self.message(news),
                None => return Err(deadline.passed()),
            }
        }
        self.wait_for_the_end(deadline)?;
        Ok(self.close.take().unwrap_or_default())
    }

    fn deadline(&self, what: &'static str) -> Deadline {
        Deadline::new(self.timeout, what)
    }

    /// The next thing for the user; `None`: the time is over.
    fn news(&mut self, deadline: Deadline) -> Result<Option<News>, Error> {
        let mut has_waited = false;
        loop {
            match self.take_in()? {
                Some(News::Ping) => self.owe_a_pong(),
                Some(news) => {
                    if let News::Close(code) = news {
                        let reason = self.end.close_reason().to_owned();
                        self.close = Some(Close { code, reason });
                        // It may be gone already, and that it closed is what counts.
                        let _ = self.say_what_is_owed(deadline);
                    }
                    return Ok(Some(news));
                }
                None if self.incoming.ended => return Err(self.over()),
                // Whatever keeps coming: a call has an end. One without any time looks once.
                None if has_waited && deadline.left().is_zero() => return Ok(None),
                None if self.wait_to_receive(deadline)? => has_waited = true,
                None => return Ok(None),
            }
            self.say_what_is_owed(deadline)?;
        }
    }

    /// What was found before, or is found now. A rule that the server breaks is told to it.
    fn take_in(&mut self) -> Result<Option<News>, Error> {
        if let Some(news) = self.pending.take() {
            return Ok(Some(news));
        }
        if let Some(fault) = self.end.fault() {
            return Err(Error::Fault(fault));
        }
        if let Some(close) = &self.close {
            return Err(Error::Closed(close.clone()));
        }
        let found = self.incoming.next(&mut self.end, &self.config, self.clock.now());
        found.map_err(|fault| {
            let _ = self.say_what_is_owed(self.deadline("tell of a fault"));
            Error::Fault(fault)
        })
    }

    /// Why nothing more comes.
    fn over(&self) -> Error {
        match &self.close {
            Some(close) => Error::Closed(close.clone()),
            None => Error::Ended,
        }
    }

    fn message(&self, news: News) -> Message<'_> {
        match news {
            News::Message(Kind::Binary) => Message::Binary(&self.incoming.message),
            News::Message(Kind::Text) => {
                let text = simdutf8::basic::from_utf8(&self.incoming.message);
                Message::Text(text.expect("it was checked as it came"))
            }
            News::Pong | News::Ping => Message::Pong(&self.incoming.pong),
            News::Close(_) => Message::Close(self.close.as_ref().expect("it is kept")),
        }
    }

    fn owe_a_pong(&mut self) {
        // The connection need not answer it as well.
        let _ = self.end.take_ping();
        let payload = self.owed.get_or_insert_default();
        payload.clear();
        payload.extend_from_slice(self.end.control_payload());
    }

    /// Sends the pong that is owed, and what the connection has to say by itself. A pong for which there is no room in
    /// time stays owed.
    fn say_what_is_owed(&mut self, deadline: Deadline) -> Result<(), Error> {
        while let Some(payload) = self.owed.take() {
            let key = self.outgoing.keys.next()?;
            let Ok(header) = self.end.pong_header(payload.len(), Some(key)) else { break };
            self.outgoing.first_part(&header, &payload, key);
            match self.write_part(deadline) {
                Err(Error::Timeout { .. }) if !self.cut => {
                    // Of those that came meanwhile the last is answered.
                    self.owed.get_or_insert(payload);
                    return Ok(());
                }
                written => written?,
            }
        }
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        loop {
            let (now, key) = (self.clock.now(), self.outgoing.keys.next()?);
            match self.end.poll_transmit(now, Some(key), &mut frame) {
                Some(bytes) => self.write_or_cut(&frame[..bytes], deadline)?,
                None => return Ok(()),
            }
        }
    }

    /// Sends one frame of a message.
    fn send_piece(&mut self, piece: Piece, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        self.refuse_if_cut()?;
        let key = self.outgoing.keys.next()?;
        let header = self.end.message_header(piece, Some(key)).map_err(refused)?;
        let mut done = self.outgoing.first_part(&header, bytes, key);
        let mut written = self.write_part(deadline);
        while done < bytes.len() && written.is_ok() {
            done += self.outgoing.next_part(bytes, key, done);
            written = self.write_part(deadline);
        }
        written.inspect_err(|_| self.cut = true)
    }

    fn write_part(&mut self, deadline: Deadline) -> Result<(), Error> {
        let part = std::mem::take(&mut self.outgoing.part);
        let written = self.write(&part, deadline);
        self.outgoing.part = part;
        written
    }

    /// Sends what the connection takes for sent: unless all of it is, nothing can follow.
    fn write_or_cut(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        self.write(bytes, deadline).inspect_err(|_| self.cut = true)
    }

    /// Sends all of `bytes`, taking in what comes while that has to wait. Nothing can follow what was sent in part.
    fn write(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        self.refuse_if_cut()?;
        let mut sent = 0;
        let outcome = loop {
            if sent == bytes.len() {
                return Ok(());
            }
            match self.socket.send(&bytes[sent..]).map_err(Error::Io) {
                Ok(Some(count)) => sent += count,
                Ok(None) => match self.wait_to_send(deadline) {
                    Ok(true) => {}
                    Ok(false) => break Err(deadline.passed()),
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        self.cut = sent > 0;
        outcome
    }

    fn refuse_if_cut(&self) -> Result<(), Error> {
        if self.cut { Err(Error::NotWritable) } else { Ok(()) }
    }

    /// Waits until something may be sent, and takes in what comes meanwhile; `false`: the time is over.
    fn wait_to_send(&mut self, deadline: Deadline) -> Result<bool, Error> {
        if self.pending.is_none() && self.end.is_listening() {
            let now = self.clock.now();
            match self.incoming.next(&mut self.end, &self.config, now) {
                Ok(Some(News::Ping)) => self.owe_a_pong(),
                Ok(found) => self.pending = found,
                // It is told once this frame is out, or by the next call.
                Err(_) => {}
            }
        }
        let left = deadline.left();
        if left.is_zero() {
            return Ok(false);
        }
        let reads = self.incoming.has_room();
        let until = if reads { Until::Either } else { Until::Writable };
        let ready = self.socket.wait(until, left)?;
        if ready && reads {
            self.incoming.fill(&mut self.socket)?;
        }
        Ok(ready)
    }

    /// Waits for more to come; `false`: the time is over.
    fn wait_to_receive(&mut self, deadline: Deadline) -> Result<bool, Error> {
        while !self.incoming.fill(&mut self.socket)? {
            let left = deadline.left();
            if !self.socket.wait(Until::Readable, left)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Both ends have closed: what comes now is of no interest but for its end.
    fn wait_for_the_end(&mut self, deadline: Deadline) -> Result<(), Error> {
        let mut room = [0; 4096];
        while !self.incoming.ended {
            match self.socket.receive(&mut room) {
                Ok(Some(0)) | Err(_) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    let left = deadline.left();
                    if left.is_zero() || !self.socket.wait(Until::Readable, left)? {
                        return Err(deadline.passed());
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Client {
    /// Takes what lies unread: a close over it would reset the connection, and what was said last might be lost.
    fn drop(&mut self) {
        self.socket.finish();
        let mut room = [0; 4096];
        for _ in 0..UNREAD_READS_MAX {
            if !matches!(self.socket.receive(&mut room), Ok(Some(1..))) {
                return;
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsFd for Client {
    /// To wait for more to come, beside other things: once it is readable, or has not been waited for yet,
    /// [`receive_within`](Client::receive_within) a time of zero until that gives `None`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn refused(why: Refused) -> Error {
    match why {
        Refused::Closed => Error::NotWritable,
        Refused::OutOfTurn => Error::Unended,
    }
}

/// A message that is being sent piece by piece. If it is dropped before its [`end`](Self::end), the client can only
/// close: there is no taking back what was sent.
pub struct Fragments<'a> {
    client: &'a mut Client,
    kind: Kind,
    /// Nothing of it was sent.
    first: bool,
    compressed: bool,
    utf8: Utf8,
}

impl Fragments<'_> {
    /// Sends a piece. One of a text may be cut within a character. A piece that is compressed may wait for those
    /// behind it.
    pub fn send(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.push(piece, false)
    }

    /// Sends the last piece, which may be empty.
    pub fn end(mut self, piece: &[u8]) -> Result<(), Error> {
        self.push(piece, true)
    }

    fn push(&mut self, piece: &[u8], last: bool) -> Result<(), Error> {
        if self.kind == Kind::Text {
            let checked = self.utf8.push(piece);
            let checked = if last { checked.and_then(|()| self.utf8.end()) } else { checked };
            checked.map_err(|_| Error::Payload("a text has to be UTF-8"))?;
        }
        let deadline = self.client.deadline("send a piece of a message");
        self.client.say_what_is_owed(deadline)?;
        if !self.compressed {
            return self.send_frame(piece, last, deadline);
        }
        self.client.outgoing.pack_piece(piece, last);
        let packed = std::mem::take(&mut self.client.outgoing.packed);
        let sent = match packed.is_empty() {
            true => Ok(()),
            false => self.send_frame(&packed, last, deadline),
        };
        self.client.outgoing.packed = packed;
        sent
    }

    fn send_frame(&mut self, bytes: &[u8], last: bool, deadline: Deadline) -> Result<(), Error> {
        let (kind, first, compressed) = (self.kind, self.first, self.compressed);
        let piece = Piece { kind, first, last, compressed, bytes: bytes.len() };
        self.client.send_piece(piece, bytes, deadline)?;
        self.first = false;
        Ok(())
    }
}
