//! Messages of `permessage-deflate` (RFC 7692 §7.2): compressed bytes in, pieces of plain ones out into a
//! slice of the caller's, and the other way round. What was agreed on is in `extension`.
//!
//! Both hold their memory on the heap from their making on, and take none later. Where an end begins each
//! message with an empty window, what belongs to one connection may serve another between two messages.

use zlib_rs::{DeflateConfig, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::utf8::Utf8;
use super::{Fault, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// What a flush ends in, and a message on the wire does not (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Least room that a [`Deflater`] is given: below that much a flush would be begun anew (zlib.h), and what is
/// held back would not fit.
pub const DEFLATE_ROOM_BYTES_MIN: usize = 16;

/// What one call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// Bytes that were written to the front of the output.
    pub written: usize,
    /// All of the input is used up, and all that it yields is written. Until then the call is to be
    /// repeated, with the rest of the input and room.
    pub done: bool,
}

/// Decompresses messages of one peer. Has 47 KiB: the largest window, whatever was agreed on.
pub struct Inflater {
    inflate: Inflate,
    no_context_takeover: bool,
    /// How much of the tail has been read behind the message.
    tail: u8,
    /// The last block of a stream has ended: what follows is another's (§7.2.3.4).
    ended: bool,
    /// Bytes of the current message so far.
    message_bytes: u64,
    /// Of the current message, if it is a text: [`Connection::take_inflated`](super::Connection::take_inflated).
    pub(super) text: Utf8,
}

impl Inflater {
    /// One whose peer begins each message with an empty window, or does not.
    pub fn new(no_context_takeover: bool) -> Self {
        Self {
            inflate: Inflate::new(false, WINDOW_BITS_MAX),
            no_context_takeover,
            tail: 0,
            ended: false,
            message_bytes: 0,
            text: Utf8::new(),
        }
    }

    /// Takes a piece of a message; `last`: the message ends with it. What does not decompress is a fault, and
    /// so is a message that becomes larger than `message_bytes_max`, from its first byte too many on.
    ///
    /// Where a stream ends within a message, another begins with an empty window: whoever ends one has
    /// nothing that could go on.
    ///
    /// # Panics
    /// When there is no room at all.
    pub fn inflate(
        &mut self,
        message_bytes_max: u64,
        input: &[u8],
        last: bool,
        output: &mut [u8],
    ) -> Result<Progress, Fault> {
        assert!(!output.is_empty(), "too little room");
        let (mut consumed, mut written) = (0, 0);
        loop {
            let in_tail = consumed == input.len() && last;
            let source = match in_tail {
                true => &TAIL[usize::from(self.tail)..],
                false => &input[consumed..],
            };
            let left = message_bytes_max.saturating_sub(self.message_bytes).saturating_add(1);
            let room = (output.len() - written).min(usize::try_from(left).unwrap_or(usize::MAX));
            let (read, made, whole) = self.step(source, &mut output[written..written + room]);
            written += made;
            self.message_bytes += made as u64;
            // First: whether what is broken behind the last byte was seen as well depends on the cut.
            if self.message_bytes > message_bytes_max {
                return Err(Fault::MessageTooLarge);
            }
            whole.map_err(|_| Fault::Deflate)?;
            if in_tail {
                self.tail += read as u8;
            } else {
                consumed += read;
            }
            let all_read =
                consumed == input.len() && (!last || usize::from(self.tail) == TAIL.len());
            if all_read && written < output.len() {
                if last {
                    self.end_message();
                }
                return Ok(Progress { consumed, written, done: true });
            }
            if written == output.len() {
                return Ok(Progress { consumed, written, done: false });
            }
        }
    }

    /// How many bytes were read and written, and whether it went well.
    fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> (usize, usize, Result<(), InflateError>) {
        if self.ended && !input.is_empty() {
            self.inflate.reset(false);
            self.ended = false;
        }
        let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, InflateFlush::SyncFlush);
        self.ended |= status == Ok(Status::StreamEnd);
        let read = (self.inflate.total_in() - read) as usize;
        (read, (self.inflate.total_out() - made) as usize, status.map(drop))
    }

    fn end_message(&mut self) {
        (self.tail, self.message_bytes) = (0, 0);
        if self.no_context_takeover {
            self.forget();
        }
    }

    /// Whether the text is one may still be asked, of its last piece.
    fn forget(&mut self) {
        self.inflate.reset(false);
        (self.tail, self.ended, self.message_bytes) = (0, false, 0);
    }

    /// Forgets the message and the window, as after a fault.
    pub fn reset(&mut self) {
        self.forget();
        self.text = Utf8::new();
    }
}

/// Compresses messages for one peer. Has 135 KiB with a window of 9 bits, 371 KiB with one of 15.
pub struct Deflater {
    deflate: zlib_rs::Deflate,
    config: DeflateConfig,
    no_context_takeover: bool,
    /// The last bytes that were made: the tail, if the message ends there.
    held: [u8; TAIL.len()],
    held_len: u8,
    /// A message has begun, and its end was not written.
    is_within: bool,
}

impl Deflater {
    /// One with a window of 2 to the `window_bits` bytes, which begins each message with an empty one, or
    /// does not. `level`: from 0, which only frames, over 1, which is fast, to 9, which is slow.
    ///
    /// # Panics
    /// When `window_bits` is not within 8 to 15, or `level` not within 0 to 9.
    pub fn new(window_bits: u8, no_context_takeover: bool, level: u8) -> Self {
        let is_window = (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits);
        assert!(is_window && level <= 9, "no such window or level");
        // The library has no window as small as the smallest: there, only the byte before is repeated.
        let smallest = window_bits == WINDOW_BITS_MIN;
        let window_bits = i32::from(window_bits.max(WINDOW_BITS_MIN + 1));
        let config = DeflateConfig {
            level: level.into(),
            window_bits: -window_bits,
            // As much for what waits as goes with the window (zlib.h).
            mem_level: window_bits - 7,
            strategy: if smallest { zlib_rs::Strategy::Rle } else { zlib_rs::Strategy::Default },
            ..DeflateConfig::default()
        };
        let deflate = zlib_rs::Deflate::new_with_config(config);
        Self {
            deflate,
            config,
            no_context_takeover,
            held: [0; TAIL.len()],
            held_len: 0,
            is_within: false,
        }
    }

    /// Takes a piece of a message; `last`: the message ends with it. A piece that is not the last need not
    /// yield anything yet.
    ///
    /// # Panics
    /// When there is less room than [`DEFLATE_ROOM_BYTES_MIN`].
    pub fn deflate(&mut self, input: &[u8], last: bool, output: &mut [u8]) -> Progress {
        assert!(output.len() >= DEFLATE_ROOM_BYTES_MIN, "too little room");
        let held = usize::from(self.held_len);
        output[..held].copy_from_slice(&self.held[..held]);
        let flush = if last { DeflateFlush::SyncFlush } else { DeflateFlush::NoFlush };
        let (read, made) = (self.deflate.total_in(), self.deflate.total_out());
        let status = self.deflate.compress(input, &mut output[held..], flush);
        assert!(status.is_ok(), "a raw stream is never in a wrong state: {status:?}");
        let consumed = (self.deflate.total_in() - read) as usize;
        let end = held + (self.deflate.total_out() - made) as usize;
        let done = consumed == input.len() && end < output.len();
        self.is_within = !(done && last);
        if done && last {
            return Progress { consumed, written: self.end_message(end, output), done };
        }
        let written = end.saturating_sub(TAIL.len());
        let rest = &output[written..end];
        self.held[..rest.len()].copy_from_slice(rest);
        self.held_len = rest.len() as u8;
        Progress { consumed, written, done }
    }

    /// Takes the tail off what was made of a message: how many bytes of it are left.
    fn end_message(&mut self, end: usize, output: &mut [u8]) -> usize {
        self.held_len = 0;
        if self.no_context_takeover {
            self.deflate.reset();
        }
        match output[..end].strip_suffix(&TAIL) {
            Some(message) => message.len(),
            // Behind one flush another yields nothing; but an empty message is a block without bytes
            // (§7.2.3.6).
            None => {
                assert!(end == 0, "a flush ends in its tail");
                output[0] = 0;
                1
            }
        }
    }

    /// Forgets the message and the window: what of the message has been sent cannot be gone on with. Within a message it
    /// takes fresh memory: the library's own reset, up to version 0.6.8 at least, keeps what it had no room to write,
    /// and panics over it later.
    pub fn reset(&mut self) {
        if std::mem::take(&mut self.is_within) {
            self.deflate = zlib_rs::Deflate::new_with_config(self.config);
            self.held_len = 0;
        } else if !self.no_context_takeover {
            self.deflate.reset();
        }
    }
}

#[cfg(test)]
mod tests;
