//! The server side of HTTP/1.1 (RFC 9110, RFC 9112): heads in, body framing, response heads out.
//!
//! The order of calls for one request:
//!
//! 1. [`HeadDecoder::decode`], or [`decode_head`] for one head alone, over the bytes received so
//!    far. `Ok(None)` asks for more; remember how many bytes it has seen and go on with
//!    [`resume_head`], which does not parse again until the head can be complete or a limit is hit.
//! 2. [`Head::body`] says how the body is delimited: nothing, [`Body`] or [`ChunkDecoder`].
//! 3. [`Encoder`] writes the head of the answer; the caller sends the body after it.
//!
//! Any [`Fault`] ends the connection after its answer: where the next request would start can no
//! longer be trusted (RFC 9112 §6.3). Which resource is asked for, which method it has and whether
//! to answer `100 Continue` are the caller's business, as are timeouts.

mod body;
mod chunked;
mod date;
mod decoder;
mod fault;
mod field_lines;
mod fields;
mod framing;
mod head;
mod lifecycle;
mod request_line;
mod response;
mod scan;
mod target;
mod trailers;

pub use body::{Body, BodyLength};
pub use chunked::{CHUNK_SIZE_BYTES_MAX, ChunkDecoder, LAST_CHUNK, Step, encode_chunk_size};
pub use date::{http_date, parse_http_date};
pub use decoder::HeadDecoder;
pub use fault::Fault;
pub use fields::{Headers, header, headers, is_token, is_value};
pub use head::{Head, Method, Version, decode_head, head_may_be_complete, resume_head};
pub use lifecycle::{Inbound, Lifecycle, Parsing, Seen};
pub use response::{
    BodyFrame, Connection, Encoder, ResponseHead, is_field, is_response_field_block, reason,
};
pub use target::{TargetForm, authority, path};
pub use trailers::{field_lines, is_field_line_block};

use head::Stop;

use crate::limits;

/// What a listener allows a peer to send. Each bound holds from the first byte past it, not only
/// once the message is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request target in bytes; past it, 414.
    pub target_bytes: u32,
    /// Longest head in bytes, blank line included; past it, 431.
    pub head_bytes: u32,
    /// Most header fields, at most [`HTTP_HEADERS_MAX`](limits::HTTP_HEADERS_MAX); past it, 431.
    pub headers: u32,
    /// Largest body in bytes, chunk framing not counted; past it, 413.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target_bytes: limits::HTTP_TARGET_BYTES_MAX,
            head_bytes: limits::HTTP_HEAD_BYTES_MAX,
            headers: limits::HTTP_HEADERS_MAX as u32,
            body_bytes: limits::HTTP_BODY_BYTES_MAX,
        }
    }
}
