//! The chunked transfer coding (RFC 9112 §7.1), read byte by byte and resumable at each of them.
//!
//! Stricter than its grammar where readers have been made to disagree: every line ends in CRLF, and
//! no whitespace stands between a size and its `;`. Extensions are read past, trailer fields are
//! validated and dropped; both are bounded over the whole body.

use std::ops::Range;

use super::fields::{is_token_byte, is_value_byte};
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
    /// t
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
    /// Of the current chunk: its size while that is being read, then what is still to come.
    chunk_bytes: u64,
    /// What the limits leave for further chunks, extensions, trailer fields.
    body_bytes_left: u64,
    extension_bytes_left: u32,
    trailer_bytes_left: u32,
}

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
            extension_bytes_left: HTTP_CHUNK_EXTENSION_BYTES_MAX,
            trailer_bytes_left: HTTP_TRAILER_BYTES_MAX,
        }
    }

    /// Whether the body is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on, up to the end of the first piece of data, of the body, or of `bytes`.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        for (at, &byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => return Ok(self.take_data(at, bytes.len())),
                State::Done => {
                    return Ok(Step { consumed: at, data: None, trailers: None, done: true });
                }
                state => self.state = self.after(state, byte)?,
            }
        }
        Ok(Step { consumed: bytes.len(), data: None, trailers: None, done: self.is_done() })
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
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerValue, _) if is_value_byte(byte) => Ok(State::TrailerValue),
            _ => Err(Fault::Trailer),
        }
    }
}

#[cfg(test)]
mod tests;
