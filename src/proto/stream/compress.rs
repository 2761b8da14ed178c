//! Compressed messages: an LZ4 block behind the size of what was compressed, and whether compressing
//! pays at all.
//!
//! Compressing pays where a byte that is not sent takes less time to save than the wire would have
//! taken to carry it. What a channel carries decides that, so each channel tries, looks at what came of
//! it, and where it did not pay lets so many bytes go plain before it tries again: twice as many each
//! time, up to a bound.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use crate::limits::{
    STREAM_COMPRESS_BYTES_MIN, STREAM_COMPRESS_NS_PER_BYTE_MAX, STREAM_COMPRESS_REST_MAX,
    STREAM_COMPRESS_REST_MIN, STREAM_COMPRESS_SAMPLE_BYTES, STREAM_COMPRESS_SAVING_SHARE,
    STREAM_COMPRESS_WINDOW,
};
use crate::time::Instant;

#[cfg(test)]
mod tests;

/// Bytes of the original size before a block.
const SIZE_BYTES: usize = 4;

/// Most bytes that one byte of a block stands for: a match's length grows by 255 with each.
const RATIO_MAX: usize = 255;

/// Room that compressing a message of so many bytes needs, though what comes of it is shorter.
pub const fn room_bytes(message_bytes: usize) -> usize {
    SIZE_BYTES + get_maximum_output_size(message_bytes)
}

/// What compressing looks repetitions up in: 24 KiB, of which nothing stays from one message to the
/// next. One serves all channels of a thread.
pub struct Tables {
    /// For messages below 64 KiB.
    small: CompressTable,
    large: CompressTable,
}

impl Tables {
    /// Allocates them.
    pub fn new() -> Self {
        Self { small: CompressTable::small(), large: CompressTable::large() }
    }

    fn of(&mut self, message_bytes: usize) -> &mut CompressTable {
        // One that is too small would be replaced, with an allocation.
        if message_bytes < usize::from(u16::MAX) { &mut self.small } else { &mut self.large }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether messages of one channel are worth compressing, as far as is known.
#[derive(Debug, Clone)]
pub struct Compressor {
    ns_per_byte_max: u64,
    phase: Phase,
    window: Window,
    /// Bytes that go plain for each that was compressed in vain, the next time.
    rest_share: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Compressing, to see what comes of it.
    Trying,
    /// Compressing, because it pays.
    Paying,
    /// Sending plain until so many bytes have passed.
    Resting { bytes: u64 },
}

/// What the messages since the last decision came to.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    messages: u32,
    bytes: u64,
    saved: u64,
    /// The part of it whose time was taken.
    timed_saved: u64,
    timed_ns: u64,
}

impl Compressor {
    /// One that has yet to try. `ns_per_byte_max` is what saving a byte may take; the default is
    /// [`STREAM_COMPRESS_NS_PER_BYTE_MAX`].
    pub fn new(ns_per_byte_max: u64) -> Self {
        Self {
            ns_per_byte_max,
            phase: Phase::Trying,
            window: Window::default(),
            rest_share: STREAM_COMPRESS_REST_MIN,
        }
    }

    /// Whether the next message, of so many bytes, is worth a try. Of one that is not, it takes note: it is asked once of
    /// each message, and before there is room for what comes of it.
    pub fn tries(&mut self, message_bytes: usize) -> bool {
        let is_possible =
            message_bytes >= STREAM_COMPRESS_BYTES_MIN && u32::try_from(message_bytes).is_ok();
        is_possible && !self.rests(message_bytes as u64)
    }

    /// Compresses a message into `out`, which has [`room_bytes`] for it, if it is worth a [try](Self::tries), and says how
    /// many bytes came of it. `None`: it goes plain. `clock` is read around some of the messages; one that stands still
    /// makes time count for nothing.
    pub fn compress(
        &mut self,
        tables: &mut Tables,
        message: &[u8],
        out: &mut [u8],
        clock: impl FnMut() -> Instant,
    ) -> Option<usize> {
        self.tries(message.len()).then(|| self.try_it(tables, message, out, clock)).flatten()
    }

    /// The same of a message that is worth a try.
    pub fn try_it(
        &mut self,
        tables: &mut Tables,
        message: &[u8],
        out: &mut [u8],
        mut clock: impl FnMut() -> Instant,
    ) -> Option<usize> {
        if out.len() < room_bytes(message.len()) {
            return None;
        }
        let sample = &message[..message.len().min(STREAM_COMPRESS_SAMPLE_BYTES)];
        if self.phase == Phase::Trying && sample.len() < message.len() {
            self.attempt(tables, sample, out, &mut clock)?;
        }
        self.attempt(tables, message, out, &mut clock)
    }

    fn attempt(
        &mut self,
        tables: &mut Tables,
        message: &[u8],
        out: &mut [u8],
        clock: &mut impl FnMut() -> Instant,
    ) -> Option<usize> {
        // While it pays, one message of a window stands for the time of all.
        let is_timed = self.phase == Phase::Trying || self.window.messages == 0;
        let began = is_timed.then(&mut *clock);
        let (front, room) = out.split_first_chunk_mut().expect("there is room for it");
        let block = compress_into_with_table(message, room, tables.of(message.len())).ok()?;
        *front = u32::try_from(message.len()).ok()?.to_le_bytes();
        let compressed = SIZE_BYTES + block;
        let saved = message.len().saturating_sub(compressed);
        let took_ns = began.map(|began| clock().ns_since(began));
        self.note(message.len() as u64, saved as u64, took_ns);
        (saved * STREAM_COMPRESS_SAVING_SHARE >= message.len()).then_some(compressed)
    }

    /// Whether a message goes plain without a try.
    fn rests(&mut self, size: u64) -> bool {
        let Phase::Resting { bytes } = &mut self.phase else { return false };
        *bytes = bytes.saturating_sub(size);
        if *bytes == 0 {
            self.phase = Phase::Trying;
        }
        true
    }

    fn note(&mut self, size: u64, saved: u64, took_ns: Option<u64>) {
        let window = &mut self.window;
        window.messages += 1;
        window.bytes += size;
        window.saved += saved;
        if let Some(took_ns) = took_ns {
            window.timed_saved += saved;
            window.timed_ns += took_ns;
        }
        if window.bytes >= STREAM_COMPRESS_WINDOW.1 || window.messages >= STREAM_COMPRESS_WINDOW.0 {
            self.decide();
        }
    }

    fn decide(&mut self) {
        let Window { bytes, saved, timed_saved, timed_ns, .. } = std::mem::take(&mut self.window);
        let is_smaller = saved * STREAM_COMPRESS_SAVING_SHARE as u64 >= bytes;
        if is_smaller && timed_ns <= timed_saved.saturating_mul(self.ns_per_byte_max) {
            self.phase = Phase::Paying;
            self.rest_share = STREAM_COMPRESS_REST_MIN;
        } else {
            self.phase = Phase::Resting { bytes: bytes.saturating_mul(self.rest_share) };
            self.rest_share = (2 * self.rest_share).min(STREAM_COMPRESS_REST_MAX);
        }
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new(STREAM_COMPRESS_NS_PER_BYTE_MAX)
    }
}

/// Why a compressed message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressFault {
    /// It ends before its block begins.
    Truncated,
    /// The original is said to be larger than may be, or than there is room for.
    TooLarge,
    /// What follows is no LZ4 block, or one of another size than was said.
    Garbage,
}

impl std::fmt::Display for CompressFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a compressed message ends before its block",
            Self::TooLarge => "a compressed message is too large",
            Self::Garbage => "a compressed message is not the LZ4 block that it says it is",
        })
    }
}

impl std::error::Error for CompressFault {}

/// Bytes that a compressed message will have, if they are no more than `cap` and can come of it at
/// all: known before there is any memory for them.
pub fn original_bytes(payload: &[u8], cap: usize) -> Result<usize, CompressFault> {
    let (size, block) = payload.split_first_chunk().ok_or(CompressFault::Truncated)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > cap {
        return Err(CompressFault::TooLarge);
    }
    if size > block.len().saturating_mul(RATIO_MAX) {
        return Err(CompressFault::Garbage);
    }
    Ok(size)
}

/// Decompresses a message to the front of `out`, and says how many bytes it has. Where it fails, what
/// is in `out` is of no use.
pub fn decompress(payload: &[u8], cap: usize, out: &mut [u8]) -> Result<usize, CompressFault> {
    let size = original_bytes(payload, cap)?;
    let room = out.get_mut(..size).ok_or(CompressFault::TooLarge)?;
    match decompress_into(&payload[SIZE_BYTES..], room) {
        Ok(bytes) if bytes == size => Ok(size),
        _ => Err(CompressFault::Garbage),
    }
}
