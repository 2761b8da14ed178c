//! What is sent: frames under keys that nobody can guess (RFC 6455 §5.3), and messages compressed where that was
//! agreed on.

use std::io;

use crate::limits::{WEBSOCKET_CLIENT_CHUNK_BYTES, WEBSOCKET_DEFLATE_BYTES_MIN};
use crate::mem::mask;
use crate::proto::websocket::{DEFLATE_ROOM_BYTES_MIN, Deflate, Deflater, Encoded};
use crate::sys::random;

/// How hard compressing is tried: what zlib has as its usual.
const LEVEL: u8 = 6;

/// Bytes of keys that are drawn at a time: one system call for as many frames as they are quarters.
const KEYS_BYTES: usize = 256;

/// Unmasking keys, from the kernel's randomness.
pub(super) struct Keys {
    drawn: [u8; KEYS_BYTES],
    /// Those before it were used.
    at: usize,
}

impl Keys {
    pub const fn new() -> Self {
        Self { drawn: [0; KEYS_BYTES], at: KEYS_BYTES }
    }

    /// One that was never used.
    pub fn next(&mut self) -> io::Result<[u8; 4]> {
        if self.at == KEYS_BYTES {
            random::fill(&mut self.drawn)?;
            self.at = 0;
        }
        let key = self.drawn[self.at..].first_chunk().copied().expect("a quarter is left");
        self.at += 4;
        Ok(key)
    }
}

/// The sending half.
pub(super) struct Outgoing {
    pub keys: Keys,
    /// What compresses, where that was agreed on.
    deflater: Option<Box<Deflater>>,
    /// What was made of a message, or a piece of one.
    pub packed: Vec<u8>,
    /// A part of a frame, masked.
    pub part: Vec<u8>,
}

impl Outgoing {
    pub fn new(deflate: Option<Deflate>) -> Self {
        let deflater = deflate.map(|deflate| {
            let bits = deflate.client_max_window_bits;
            Box::new(Deflater::new(bits, deflate.client_no_context_takeover, LEVEL))
        });
        Self { keys: Keys::new(), deflater, packed: Vec::new(), part: Vec::new() }
    }

    pub fn compresses(&self) -> bool {
        self.deflater.is_some()
    }

    /// Compresses a whole message into `packed`; `false`: it is to go as it is.
    pub fn pack(&mut self, message: &[u8]) -> bool {
        if !self.compresses() || message.len() < WEBSOCKET_DEFLATE_BYTES_MIN {
            return false;
        }
        self.pack_piece(message, true);
        let pays = self.packed.len() < message.len();
        if !pays && let Some(deflater) = &mut self.deflater {
            // What is not sent may not be referred to.
            deflater.reset();
        }
        pays
    }

    /// Compresses a piece of a message into `packed`. One that is not the last may yield nothing yet.
    pub fn pack_piece(&mut self, mut piece: &[u8], last: bool) {
        let deflater = self.deflater.as_mut().expect("compression was agreed on");
        let mut made = 0;
        loop {
            let room =
                made + DEFLATE_ROOM_BYTES_MIN + piece.len().min(WEBSOCKET_CLIENT_CHUNK_BYTES);
            self.packed.resize(self.packed.len().max(room), 0);
            let progress = deflater.deflate(piece, last, &mut self.packed[made..]);
            piece = &piece[progress.consumed..];
            made += progress.written;
            if progress.done {
                self.packed.truncate(made);
                return;
            }
        }
    }

    /// Puts into `part` the header of a frame and as much of its payload as a part has, masked; how much that is.
    pub fn first_part(&mut self, header: &Encoded, payload: &[u8], key: [u8; 4]) -> usize {
        self.part.clear();
        self.part.extend_from_slice(header);
        self.mask_behind(header.len(), payload, key, 0)
    }

    /// The same of what is left of it behind `done` bytes.
    pub fn next_part(&mut self, payload: &[u8], key: [u8; 4], done: usize) -> usize {
        self.part.clear();
        self.mask_behind(0, &payload[done..], key, done)
    }

    fn mask_behind(&mut self, at: usize, payload: &[u8], key: [u8; 4], phase: usize) -> usize {
        let bytes = payload.len().min(WEBSOCKET_CLIENT_CHUNK_BYTES);
        self.part.extend_from_slice(&payload[..bytes]);
        mask(&mut self.part[at..], key, phase);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_comes_twice_in_a_row_of_them() {
        let mut keys = Keys::new();
        let drawn: HashSet<_> = (0..1000).map(|_| keys.next().unwrap()).collect();
        // Of 2³² two among a thousand are alike once in 8,600 runs; ten never.
        assert!(drawn.len() > 990, "{}", drawn.len());
    }

    #[test]
    fn a_payload_in_parts_is_masked_as_the_whole() {
        let payload: Vec<u8> = (0..3 * WEBSOCKET_CLIENT_CHUNK_BYTES + 5).map(|n| n as u8).collect();
        let (mut out, key) = (Outgoing::new(None), [1, 2, 3, 4]);
        let header = crate::proto::websocket::Header {
            fin: true,
            rsv: 0,
            opcode: crate::proto::websocket::Opcode::Binary,
            mask: Some(key),
            payload_bytes: payload.len() as u64,
        };
        let header = header.encode();
        let mut done = out.first_part(&header, &payload, key);
        let mut sent = out.part.clone();
        while done < payload.len() {
            done += out.next_part(&payload, key, done);
            sent.extend_from_slice(&out.part);
        }
        let mut expected = [&*header, &payload].concat();
        mask(&mut expected[header.len()..], key, 0);
        assert!(sent == expected);
    }
}
