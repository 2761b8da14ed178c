//! WebSocket (RFC 6455) without I/O, both ends.
//!
//! 1. [`handshake`] opens: [`Server::accept`](handshake::Server::accept) looks at a head that `http1` has
//!    decoded, [`Client`](handshake::Client) writes a request and reads the answer. Bytes behind either head are
//!    frames.
//! 2. [`Connection`] is one end from there on: bytes in; ranges of them, where the payload lies unmasked, events
//!    and words out. It allocates nothing, and holds no payload but that of control frames. All connections of
//!    an owner share one [`Config`].
//! 3. Where `permessage-deflate` was agreed on ([`Deflate`]), pieces that are
//!    [`compressed`](Data::compressed) go through an [`Inflater`], and what comes out of it, piece by piece, to
//!    [`Connection::take_inflated`]. A [`Deflater`] makes such messages.
//!
//! Which messages are compressed, where clients get their keys from, and what becomes of a message are the
//! owner's business.

mod close_code;
mod config;
mod connection;
mod deflate;
mod event;
mod extension;
mod fault;
pub mod handshake;
mod header;
mod utf8;

pub use close_code::CloseCode;
pub use config::{Config, Limits, Mask, Role};
pub use connection::{CONTROL_FRAME_BYTES_MAX, Connection};
pub use deflate::{DEFLATE_ROOM_BYTES_MIN, Deflater, Inflater, Progress};
pub use event::{Data, Event, Kind, Piece, Refused, Step};
pub use extension::{Deflate, EXTENSION_BYTES_MAX, Malformed, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
pub use fault::Fault;
pub use header::{
    CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX, Decoded, Encoded, HEADER_BYTES_MAX, Header, Opcode,
    RSV1,
};
pub use utf8::{NotUtf8, Utf8};
