//! Requests as an attached process gets them: heads that the dataplane has found legal, in the slots
//! they came in. Several of one connection may be here at a time, told apart by their numbers; they are
//! answered in any order.

use super::{Message, Queue};
use crate::pipeline::chain::http1::HeadMeta;
use crate::proto::http1::{self, Headers, Method};

/// The head of a request, in a [`Message`] of kind [`HEAD`](crate::pipeline::chain::http1::HEAD).
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
    meta: HeadMeta,
}

impl<'a> Request<'a> {
    pub(super) fn new(bytes: &'a [u8], meta: u32) -> Self {
        Self { bytes, meta: HeadMeta::of_meta(meta) }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.meta.method()
    }

    /// The target, with its query.
    pub fn target(&self) -> &'a [u8] {
        let start = self.bytes.iter().position(|&b| b == b' ').map_or(0, |at| at + 1);
        self.bytes.get(start..start + self.meta.target_bytes()).unwrap_or_default()
    }

    /// The target up to its query.
    pub fn path(&self) -> &'a [u8] {
        http1::path(self.target())
    }

    /// The header fields, in order.
    pub fn headers(&self) -> Headers<'a> {
        http1::headers(self.bytes)
    }

    /// The value of the first header field called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        http1::header(self.bytes, name)
    }

    /// Whether parts of a body follow: messages of kind [`BODY`](crate::port::kind::BODY) with the same
    /// [`number`](Message::number), the last with meta 1.
    pub fn has_body(&self) -> bool {
        self.meta.has_body()
    }
}

/// A response that waits for a slot.
pub(super) struct Deferred {
    head: Message,
    bytes: Vec<u8>,
    status: u16,
    fields_bytes: usize,
}

impl Queue {
    /// Answers `request` with whole field lines (each with its CRLF) and a body, in one message. Where no
    /// slot is free now, a copy waits until the dataplane has lent one.
    ///
    /// # Panics
    /// When both together are larger than the largest slot
    /// ([`slot_bytes_max`](Self::slot_bytes_max)): send that in parts ([`Message::respond`]).
    pub fn respond(&mut self, request: &Message, status: u16, fields: &str, body: &[u8]) {
        let bytes = fields.len() + body.len();
        assert!(bytes <= self.slot_bytes_max(), "a response of {bytes} bytes fits no slot");
        let mut response = match bytes {
            0 => Message::marker(request.conn, 0),
            _ => match self.alloc_any(request.conn, bytes) {
                Some(response) if self.deferred.is_empty() => response,
                _ => return self.defer(request, status, fields, body),
            },
        };
        let fits = bytes == 0 || response.append(fields.as_bytes()) && response.append(body);
        debug_assert!(fits, "the slot was chosen for them");
        response.respond(request, status, fields.len(), true);
        self.send(response);
    }

    #[cold]
    fn defer(&mut self, request: &Message, status: u16, fields: &str, body: &[u8]) {
        let mut head = Message::marker(request.conn, 0);
        head.number = request.number;
        let bytes = [fields.as_bytes(), body].concat();
        self.deferred.push_back(Deferred { head, bytes, status, fields_bytes: fields.len() });
    }

    /// Sends what waited for slots, as far as there are some.
    #[cold]
    pub(super) fn send_deferred(&mut self) {
        while let Some(next) = self.deferred.pop_front() {
            let Some(mut response) = self.alloc_any(next.head.conn, next.bytes.len()) else {
                return self.deferred.push_front(next);
            };
            let fits = response.append(&next.bytes);
            debug_assert!(fits, "the slot was chosen for them");
            response.respond(&next.head, next.status, next.fields_bytes, true);
            self.send(response);
        }
    }
}
