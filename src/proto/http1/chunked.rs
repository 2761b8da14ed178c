//! The chunked transfer coding (RFC 9112 §7.1), read and written. Reading is resumable at each byte.
//!
//! Stricter than its grammar where readers have been made to disagree: every line ends in CRLF, and
//! no whitespace stands between a size and its `;`. Extensions are read past, trailer fields are
//! validated and told; both are bounded over the whole body.

use std::ops::Range;

use super::fields::{is_token_byte, is_value_byte};
use super::trailers::TrailerName;
use super::{Fault, Limits};
use crate::limits::{HTTP_CHUNK_EXTENSION_BYTES_MAX, HTTP_TRAILER_BYTES_MAX};

/// Sixteen hexadecimal digits are the largest size that a `u64` holds whatever the digits.
const SIZE_DIGITS_MAX: u8 = 16;

/// What one call to [`ChunkDecoder::decode`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes dealt with, framing and data alike. Less than all of them only when there is data or
    /// the body is done.
    pub consumed: usize,
    /// Where in the given bytes the next piece of the body is; it ends at `consumed`, never empty.
    pub data: Option<Range<usize>>,
    /// Where in the given bytes the next piece of the trailer section is, without the blank line at
    /// its end. Lines may be cut anywhere: joined, the pieces are a block for
    /// [`field_lines`](super::field_lines) of at most `HTTP_TRAILER_BYTES_MAX` bytes.
    pub trailers: Option<Range<usize>>,
    /// Whether the body is whole; what follows `consumed` is the next request.
    pub done: bool,
}

/// Finds the data of a chunked body and its end.
///
/// Call [`decode`](Self::decode) with the bytes that have arrived, take `consumed` off their front,
/// and call again while any are left and the body is not done. Once it has returned a [`Fault`],
/// the body is lost and the decoder of no further use.
#[derive(Debug, Clone)]
pub struct ChunkDecoder {
    state: State,
    digits: u8,
    trailer_name: TrailerName,
    /// Of the current chunk: its size while that is being read, then what is still to come.
    chunk_bytes: u64,
    /// What the limits leave for further chunks, extensions, trailer fields.
    body_bytes_left: u64,
    extension_bytes_left: u16,
    trailer_bytes_left: u16,
}

const _: () = assert!(HTTP_CHUNK_EXTENSION_BYTES_MAX <= u16::MAX as u32);
const _: () = assert!(HTTP_TRAILER_BYTES_MAX <= u16::MAX as u32);
const _: () = assert!(size_of::<ChunkDecoder>() <= 32, "half of what a connection may have");

/// Which byte may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl ChunkDecoder {
    /// A body of which nothing has arrived yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            digits: 0,
            chunk_bytes: 0,
            body_bytes_left: limits.body_bytes,
            extension_bytes_left: HTTP_CHUNK_EXTENSION_BYTES_MAX as u16,
            trailer_bytes_left: HTTP_TRAILER_BYTES_MAX as u16,
            trailer_name: TrailerName::EMPTY,
        }
    }

    /// Whether the body is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on, up to the end of the first piece of data, of the body, or of `bytes`.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let mut at = 0;
        let mut trailers: Option<Range<usize>> = None;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Data => return Ok(self.take_data(at, bytes.len())),
                State::Done => break,
                State::DataCr if bytes[at..].starts_with(b"\r\n") => {
                    self.state = State::Size;
                    at += 2;
                    continue;
                }
                State::Size if self.digits == 0 => {
                    if let Some((size, len)) = plain_size_line(&bytes[at..]) {
                        self.chunk_bytes = size;
                        self.state = self.begin_chunk()?;
                        at += len;
                        continue;
                    }
                }
                _ => {}
            }
            if self.is_in_trailers(byte) {
                let start = trailers.map_or(at, |trailers| trailers.start);
                trailers = Some(start..at + 1);
            }
            self.state = self.after(self.state, byte)?;
            at += 1;
        }
        Ok(Step { consumed: at, data: None, trailers, done: self.is_done() })
    }

    /// Whether `byte`, which comes next, belongs to the lines of the trailer section.
    fn is_in_trailers(&self, byte: u8) -> bool {
        match self.state {
            State::TrailerStart => byte != b'\r',
            State::TrailerName | State::TrailerValue | State::TrailerLf => true,
            _ => false,
        }
    }

    fn take_data(&mut self, start: usize, len: usize) -> Step {
        let taken = self.chunk_bytes.min((len - start) as u64);
        self.chunk_bytes -= taken;
        if self.chunk_bytes == 0 {
            self.state = State::DataCr;
        }
        let end = start + taken as usize;
        Step { consumed: end, data: Some(start..end), trailers: None, done: false }
    }

    /// One byte of framing.
    fn after(&mut self, state: State, byte: u8) -> Result<State, Fault> {
        match (state, byte) {
            (State::Size, _) => self.after_size(byte),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, _) => self.after_extension(byte),
            (State::SizeLf, b'\n') => self.begin_chunk(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::SizeLf | State::DataCr | State::DataLf | State::EndLf, _) => {
                Err(Fault::ChunkLineEnd)
            }
            (State::Data | State::Done, _) => Ok(state),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            _ => self.after_trailer(state, byte),
        }
    }

    fn after_size(&mut self, byte: u8) -> Result<State, Fault> {
        match (byte as char).to_digit(16) {
            Some(digit) if self.digits < SIZE_DIGITS_MAX => {
                self.digits += 1;
                self.chunk_bytes = self.chunk_bytes << 4 | u64::from(digit);
                Ok(State::Size)
            }
            None if byte == b'\r' && self.digits > 0 => Ok(State::SizeLf),
            None if byte == b';' && self.digits > 0 => self.after_extension(byte),
            _ => Err(Fault::ChunkSize),
        }
    }

    fn after_extension(&mut self, byte: u8) -> Result<State, Fault> {
        if !is_value_byte(byte) {
            return Err(Fault::ChunkExtension);
        }
        let left = self.extension_bytes_left.checked_sub(1);
        self.extension_bytes_left = left.ok_or(Fault::ChunkExtensionsTooLong)?;
        Ok(State::Extension)
    }

    /// The size line is whole: data follows, or the trailer section after the last chunk.
    fn begin_chunk(&mut self) -> Result<State, Fault> {
        self.digits = 0;
        if self.chunk_bytes == 0 {
            return Ok(State::TrailerStart);
        }
        let left = self.body_bytes_left.checked_sub(self.chunk_bytes);
        self.body_bytes_left = left.ok_or(Fault::BodyTooLarge)?;
        Ok(State::Data)
    }

    fn after_trailer(&mut self, state: State, byte: u8) -> Result<State, Fault> {
        let left = self.trailer_bytes_left.checked_sub(1);
        self.trailer_bytes_left = left.ok_or(Fault::TrailersTooLong)?;
        match (state, byte) {
            (State::TrailerName, b':') if self.trailer_name.end() => Ok(State::TrailerValue),
            (State::TrailerName, b':') => Err(Fault::TrailerForbidden),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                self.trailer_name.push(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerValue, _) if is_value_byte(byte) => Ok(State::TrailerValue),
            _ => Err(Fault::Trailer),
        }
    }
}

/// The size in a line of nothing but digits and CRLF, and the length of that line. Any other line,
/// and one that is not whole, is read byte by byte.
#[inline]
fn plain_size_line(line: &[u8]) -> Option<(u64, usize)> {
    let mut size = 0;
    for (at, &byte) in line.iter().take(usize::from(SIZE_DIGITS_MAX) + 1).enumerate() {
        match (byte as char).to_digit(16) {
            Some(digit) if at < usize::from(SIZE_DIGITS_MAX) => size = size << 4 | u64::from(digit),
            None if at > 0 && line[at..].starts_with(b"\r\n") => return Some((size, at + 2)),
            _ => return None,
        }
    }
    None
}

/// Longest line that [`encode_chunk_size`] writes: a digit for each four bits, and CRLF.
pub const CHUNK_SIZE_BYTES_MAX: usize = usize::BITS as usize / 4 + 2;

/// The line of the last chunk. Trailer lines may follow it; a blank line ends the body.
pub const LAST_CHUNK: &[u8; 3] = b"0\r\n";

/// Writes the line before a chunk of `bytes` bytes to the front of `out` and returns its length.
/// After the data there has to be a CRLF. A chunk of no bytes would be the last.
#[inline]
pub fn encode_chunk_size(out: &mut [u8; CHUNK_SIZE_BYTES_MAX], bytes: usize) -> usize {
    let digits = (bytes.max(1).ilog2() / 4 + 1) as usize;
    for (at, place) in out[..digits].iter_mut().rev().enumerate() {
        *place = b"0123456789abcdef"[bytes >> (4 * at) & 15];
    }
    out[digits..digits + 2].copy_from_slice(b"\r\n");
    digits + 2
}

#[cfg(test)]
mod tests;
