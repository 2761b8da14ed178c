//! What a connection tells its owner.

use std::ops::Range;

use super::CloseCode;

/// What one call to [`receive`](super::Connection::receive) has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes dealt with, framing and payload alike: all of them where there is no event.
    pub consumed: usize,
    /// What they hold.
    pub event: Option<Event>,
}

/// Something that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, or the next piece of one.
    Data(Data),
    /// A ping, and where in the given bytes its payload is. It is to be answered with as much
    /// ([`pong_header`](super::Connection::pong_header)). `None`: it came in pieces, and the connection
    /// [answers](super::Connection::poll_transmit) by itself.
    Ping(Option<Range<usize>>),
    /// A pong, asked for or not. Its payload is
    /// [`control_payload`](super::Connection::control_payload).
    Pong,
    /// The peer closes, with this code or without any, and sends nothing more. Why, in words, is
    /// [`close_reason`](super::Connection::close_reason). What is still to be sent goes before the
    /// [answer](super::Connection::poll_transmit).
    Close(Option<CloseCode>),
}

/// What the data of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8, which is checked, but for what is compressed:
    /// see [`take_inflated`](super::Connection::take_inflated).
    Text,
    /// Anything.
    Binary,
}

/// A message, or a piece of one: as much of a frame as is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Where in the given bytes it is, unmasked. Empty only where a frame is.
    pub range: Range<usize>,
    /// What the message is.
    pub kind: Kind,
    /// The message begins with it.
    pub first: bool,
    /// The message ends with it.
    pub last: bool,
    /// A frame begins with it.
    pub frame_first: bool,
    /// A frame ends with it.
    pub frame_last: bool,
    /// The message is compressed.
    pub compressed: bool,
}

/// A message that is to be sent, or a piece of one: each goes in a frame of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// What the message is.
    pub kind: Kind,
    /// It begins with this piece.
    pub first: bool,
    /// It ends with this piece.
    pub last: bool,
    /// It is compressed, which was agreed on.
    pub compressed: bool,
    /// Bytes of the piece.
    pub bytes: usize,
}

impl Piece {
    /// A whole message, as it is.
    pub const fn whole(kind: Kind, bytes: usize) -> Self {
        Self { kind, first: true, last: true, compressed: false, bytes }
    }
}

/// Why nothing can be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// This end has closed.
    Closed,
    /// It begins a message within another, or goes on with none.
    OutOfTurn,
}
