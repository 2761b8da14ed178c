//! One message of a port, as an attached process reads and writes it. How it travels, the queue knows.

use super::http::Request;
use crate::mem::{ConnId, Lent};
use crate::pipeline::chain::http1::{HEAD, TRAILERS};
use crate::port::{ResponseMeta, kind};
use crate::proto::http1::{self, Headers};

/// What passes through a port: something about a connection, with bytes or without. One that is
/// dropped gives its slot back at the next [`Queue::flush`](super::Queue::flush).
#[derive(Debug)]
pub struct Message {
    /// The connection; a program passes it back as it came.
    pub conn: ConnId,
    /// Number of the request that it is of, to be repeated in what answers it; 0: of none.
    pub number: u32,
    /// What it is: see [`mem::kind`](crate::mem::kind), [`port::kind`](crate::port::kind) and, for
    /// HTTP, [`chain::http1`](crate::pipeline::chain::http1).
    pub kind: u8,
    /// 24 bits that the kind explains.
    pub meta: u32,
    pub(super) lent: Option<Lent>,
}

impl Message {
    /// One without bytes.
    pub fn marker(conn: ConnId, kind: u8) -> Self {
        Self { conn, number: 0, kind, meta: 0, lent: None }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.lent.as_ref().map_or(&[], Lent::bytes)
    }

    /// Copies `bytes` behind those that are there; `false`, and nothing done, when they do not fit or
    /// the message did not come from [`Queue::alloc`](super::Queue::alloc).
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        self.lent.as_mut().is_some_and(|lent| lent.append(bytes))
    }

    /// The room behind the bytes, to fill before [`grow`](Self::grow).
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.lent.as_mut().map_or(&mut [], Lent::spare_mut)
    }

    /// Takes `bytes` of that room in.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn grow(&mut self, bytes: usize) {
        self.lent.as_mut().expect("a message with a slot").grow(bytes);
    }

    /// Drops `bytes` from the front.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        if bytes > 0 {
            self.lent.as_mut().expect("a message with a slot").advance(bytes);
        }
    }

    /// Shortens the bytes to the first `bytes` of them; longer is no change.
    pub fn truncate(&mut self, bytes: usize) {
        if let Some(lent) = &mut self.lent {
            lent.truncate(bytes);
        }
    }

    /// The end of the body of the response to `request`, or, with bytes from
    /// [`Queue::alloc`](super::Queue::alloc), see [`part_of`](Self::part_of).
    pub fn end_of(request: &Message) -> Self {
        let number = request.number;
        Self { conn: request.conn, number, kind: kind::BODY, meta: 1, lent: None }
    }

    /// Makes it the next part of the body of the response to `request`, or the last.
    pub fn part_of(&mut self, request: &Message, last: bool) {
        (self.conn, self.number) = (request.conn, request.number);
        (self.kind, self.meta) = (kind::BODY, u32::from(last));
    }

    /// The request that it is the head of; `None`: it is something else.
    #[inline]
    pub fn request(&self) -> Option<Request<'_>> {
        (self.kind == HEAD).then(|| Request::new(self.bytes(), self.meta))
    }

    /// The trailer fields of a request's body, which come before its last part; `None`: it is something
    /// else.
    pub fn trailers(&self) -> Option<Headers<'_>> {
        (self.kind == TRAILERS).then(|| http1::field_lines(self.bytes()))
    }

    /// Makes it the response to `request`: its bytes are `fields_bytes` of field lines, and then the
    /// body, which is `whole` or goes on.
    ///
    /// # Panics
    /// When the message has fewer bytes than fields, or those are more than
    /// [`FIELDS_BYTES_MAX`](ResponseMeta::FIELDS_BYTES_MAX).
    pub fn respond(&mut self, request: &Message, status: u16, fields_bytes: usize, whole: bool) {
        let fits = fields_bytes <= self.bytes().len().min(ResponseMeta::FIELDS_BYTES_MAX.into());
        assert!(fits, "the fields are bytes of the message, and not too many");
        let fields_bytes = fields_bytes as u16;
        (self.conn, self.number) = (request.conn, request.number);
        self.kind = kind::RESPONSE;
        self.meta = ResponseMeta { status, whole, fields_bytes }.to_meta();
    }
}
