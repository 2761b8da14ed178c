//! One end of a WebSocket, from the opening handshake on: bytes and time in; ranges of those bytes, events
//! and words out. What is received stands in `receive`, what is sent in `send`.

mod receive;
mod send;

pub use send::CONTROL_FRAME_BYTES_MAX;

use super::header::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Opcode};
use super::{CloseCode, Config, Fault, Inflater, Kind, NotUtf8, Role, Utf8};
use crate::time::Instant;

/// What the next byte from the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inbound {
    /// The first of a header, or a later one.
    Header,
    /// Payload.
    Payload,
    /// Of no interest: the peer has closed.
    Closed,
    /// Of no interest: a rule was broken.
    Failed,
}

/// What may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outbound {
    /// Anything.
    Open,
    /// Anything, and then a close.
    CloseDue,
    /// What answers those messages that came before the fault, and then a close.
    FailDue,
    /// Nothing.
    Closed,
}

/// The watch over a silent peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// It was heard not long ago.
    Heard,
    /// It is to be pinged.
    Due,
    /// It was, at `since`.
    Pinged,
}

/// The last control frame, if it is a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    /// So far it has come in one piece.
    Whole,
    /// It came in pieces.
    Cut,
    /// The same, and it is to be sent back.
    Due,
}

/// One end of a connection.
///
/// The order of calls: [`receive`](Self::receive) with what has come, until all of it is consumed; then
/// [`poll_transmit`](Self::poll_transmit), until it has nothing more to say.
/// [`message_header`](Self::message_header), [`close`](Self::close) when there is something to send;
/// [`handle_timeout`](Self::handle_timeout) not before [`poll_timeout`](Self::poll_timeout). Once
/// [`is_over`](Self::is_over), what was said is to be sent, and then a server closes the connection below; a
/// client waits until the server does, or the time for that has passed (RFC 6455 §7.1.1).
///
/// A [`Fault`] ends the connection: there is a close frame to transmit, and nothing more to receive.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    /// Payload of the current frame that is still to come.
    frame_left: u64,
    /// Payload of the current message, its current frame's with it.
    message_bytes: u64,
    /// When the peer was heard last.
    heard: Instant,
    /// When it was pinged, or a close was sent.
    since: Instant,
    /// The key of the current frame, turned so that its first byte is for the next byte.
    key: [u8; 4],
    /// Frames of the current message so far.
    fragments: u32,
    /// Of an uncompressed text as received.
    utf8: Utf8,
    /// The code of the peer's close.
    peer_code: Option<CloseCode>,
    fault: Option<Fault>,
    role: Role,
    inbound: Inbound,
    outbound: Outbound,
    watch: Watch,
    /// Of the current frame: what it is, whether it is the last of its message, and whether none of it has
    /// been told.
    opcode: Opcode,
    fin: bool,
    frame_first: bool,
    /// The message that has not ended, and whether none of it has been told.
    message: Option<Kind>,
    message_first: bool,
    compressed: bool,
    /// A message that is being sent has not ended.
    sending: bool,
    /// `permessage-deflate` was agreed on.
    deflate: bool,
    /// How much of `head` means something.
    head_len: u8,
    // Nothing below is looked at for a frame of data whose header came whole.
    /// The beginning of a header that has not ended.
    head: [u8; HEADER_BYTES_MAX - 1],
    /// The payload of the last control frame, and how long it is.
    control: [u8; CONTROL_BYTES_MAX],
    control_len: u8,
    ping: Ping,
}

const _: () = assert!(std::mem::offset_of!(Connection, head) <= 64, "one cache line is hot");
const _: () = assert!(size_of::<Connection>() <= 200);

impl Connection {
    /// A connection whose handshake has just ended; `deflate`: with `permessage-deflate`.
    pub const fn new(role: Role, deflate: bool, now: Instant) -> Self {
        Self {
            frame_left: 0,
            message_bytes: 0,
            heard: now,
            since: now,
            key: [0; 4],
            fragments: 0,
            utf8: Utf8::new(),
            peer_code: None,
            fault: None,
            role,
            inbound: Inbound::Header,
            outbound: Outbound::Open,
            watch: Watch::Heard,
            opcode: Opcode::Continuation,
            fin: false,
            frame_first: false,
            message: None,
            message_first: false,
            compressed: false,
            sending: false,
            deflate,
            head_len: 0,
            head: [0; HEADER_BYTES_MAX - 1],
            control: [0; CONTROL_BYTES_MAX],
            control_len: 0,
            ping: Ping::Whole,
        }
    }

    /// Which end it is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether anything that comes is still looked at.
    #[inline]
    pub const fn is_listening(&self) -> bool {
        matches!(self.inbound, Inbound::Header | Inbound::Payload)
    }

    /// Whether messages may still be sent.
    #[inline]
    pub const fn is_writable(&self) -> bool {
        !matches!(self.outbound, Outbound::Closed)
    }

    /// Whether a message that is being sent has not ended.
    #[inline]
    pub const fn is_sending(&self) -> bool {
        self.sending
    }

    /// Whether there is nothing more to receive or to say.
    pub const fn is_over(&self) -> bool {
        !self.is_listening() && matches!(self.outbound, Outbound::Closed)
    }

    /// The rule that was broken, if one was.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The payload of the last control frame, until the next one begins.
    pub fn control_payload(&self) -> &[u8] {
        &self.control[..usize::from(self.control_len)]
    }

    /// The payload of a ping that came in pieces, for whoever answers it: the connection does not.
    pub fn take_ping(&mut self) -> Option<&[u8]> {
        self.take_due().then(|| self.control_payload())
    }

    /// Whether a ping is to be sent back; it is not any more.
    fn take_due(&mut self) -> bool {
        let is_due = self.ping == Ping::Due;
        if is_due {
            self.ping = Ping::Cut;
        }
        is_due
    }

    /// What the peer's close says in words; empty before it.
    pub fn close_reason(&self) -> &str {
        let reason = match self.inbound {
            Inbound::Closed => self.control_payload().get(2..),
            _ => None,
        };
        std::str::from_utf8(reason.unwrap_or_default()).unwrap_or_default()
    }

    /// Ends the connection for a fault that its owner has found.
    #[cold]
    pub fn fail(&mut self, fault: Fault) {
        // What the owner finds was before what is known here.
        if self.inbound != Inbound::Failed || self.outbound == Outbound::FailDue {
            self.fault = Some(fault);
            self.inbound = Inbound::Failed;
        }
        self.take_due();
        let is_told = fault.code().is_some() && self.outbound != Outbound::Closed;
        self.outbound = if is_told { Outbound::FailDue } else { Outbound::Closed };
    }

    /// The peer counts as heard: what it may have said meanwhile could not be received.
    pub fn hear(&mut self, now: Instant) {
        (self.heard, self.watch) = (now, Watch::Heard);
    }

    /// Takes a piece of a message that was told in its compressed pieces, decompressed, in the order of such messages;
    /// what is behind it may have been received before. `last`: it ends with this piece. A text that is not UTF-8 is a
    /// fault, and ends the connection. How far that is known, the inflater remembers, which others need not have.
    pub fn take_inflated(
        &mut self,
        inflater: &mut Inflater,
        kind: Kind,
        plain: &[u8],
        last: bool,
    ) -> Result<(), Fault> {
        if kind != Kind::Text {
            return Ok(());
        }
        let text = &mut inflater.text;
        let checked = text.push(plain);
        let checked = if last { checked.and_then(|()| text.end()) } else { checked };
        checked.map_err(|NotUtf8| {
            self.fail(Fault::Text);
            Fault::Text
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None`: nothing waits for time to pass.
    pub fn poll_timeout(&self, config: &Config) -> Option<Instant> {
        match (self.outbound, self.watch) {
            (Outbound::Closed, _) if self.awaits_end() => {
                Some(self.since.after_ns(config.close_timeout_ns))
            }
            (Outbound::Open, Watch::Pinged) => Some(self.since.after_ns(config.pong_timeout_ns)),
            (Outbound::Open, Watch::Heard) if config.ping_interval_ns > 0 => {
                Some(self.heard.after_ns(config.ping_interval_ns))
            }
            _ => None,
        }
    }

    /// Whether it has closed, and something is still to come: the peer's close, or the server's end.
    const fn awaits_end(&self) -> bool {
        match self.inbound {
            Inbound::Header | Inbound::Payload => true,
            Inbound::Closed => matches!(self.role, Role::Client),
            Inbound::Failed => false,
        }
    }

    /// Time has passed: there may be a ping to transmit. A peer that is gone is a fault.
    pub fn handle_timeout(&mut self, config: &Config, now: Instant) -> Result<(), Fault> {
        if self.poll_timeout(config).is_none_or(|at| at > now) {
            return Ok(());
        }
        let fault = match (self.outbound, self.watch) {
            (Outbound::Closed, _) => Fault::CloseTimeout,
            (_, Watch::Pinged) => Fault::PongTimeout,
            _ => {
                self.watch = Watch::Due;
                return Ok(());
            }
        };
        self.fail(fault);
        Err(fault)
    }
}

#[cfg(test)]
mod tests;
