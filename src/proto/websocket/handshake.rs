//! The opening handshake over HTTP/1.1 (RFC 6455 §4): what both ends have in common. The server's part is in
//! `server`, the client's in `client`; what is said of extensions in `extension`.
//!
//! Over HTTP/2 (RFC 8441) there is no key and no answer to it, and `:protocol` stands for the upgrade; what
//! is said of protocols, origins and extensions is the same.

mod client;
mod server;

pub use client::{Client, ClientFault, Declined, Response, is_further_field};
pub use server::{Accepted, Refusal, Server, is_same_origin};

use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

/// Bytes of the client's nonce.
pub const NONCE_BYTES: usize = 16;

/// Bytes of the nonce in base64, as it stands in `Sec-WebSocket-Key`.
const KEY_BYTES: usize = 24;

/// Bytes of the answer to it in base64, as it stands in `Sec-WebSocket-Accept`.
pub const ACCEPT_BYTES: usize = 28;

/// What shows that whoever answers speaks WebSocket (§1.3).
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept_value(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut value = [0; ACCEPT_BYTES];
    Base64::encode(&digest, &mut value).expect("20 bytes are 28 in base64");
    value
}

/// The elements of a list in a field, blanks around them taken away and empty ones left out.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

/// Whether a field names `wanted` among others, in any case.
fn names(value: &[u8], wanted: &str) -> bool {
    list(value).any(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// A head that is being written. Once something does not fit, nothing more is.
struct Writer<'a> {
    out: &'a mut [u8],
    /// `None`: something did not fit.
    len: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: Some(0) }
    }

    fn put(&mut self, piece: impl AsRef<[u8]>) {
        let piece = piece.as_ref();
        self.len = self.len.and_then(|len| {
            self.out.get_mut(len..)?.get_mut(..piece.len())?.copy_from_slice(piece);
            Some(len + piece.len())
        });
    }

    fn field(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.put(name);
        self.put(": ");
        self.put(value);
        self.put("\r\n");
    }

    /// Ends the head: its length, if there was room.
    fn end(mut self) -> Option<usize> {
        self.put("\r\n");
        self.len
    }
}

#[cfg(test)]
mod tests;
