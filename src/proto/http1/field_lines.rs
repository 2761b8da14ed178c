//! The field lines of a head (RFC 9112 §5), in one pass: grammar, number, and what they say about
//! the framing.
//!
//! What most requests carry is known by the first letters of its line. A line that is not so usual,
//! not legal or not whole is read again by `other`, from its first byte to its last, so that an
//! answer never depends on how much of a line is there.

use super::fields::is_value_byte;
use super::framing::Framing;
use super::{Fault, Stop, scan, target};

/// Reads `lines`, what follows a request line, through the blank line, and returns how many bytes
/// that was.
#[inline(always)]
pub(super) fn decode(lines: &[u8], fields_max: usize) -> Result<(usize, Framing), Stop> {
    let mut rest = lines;
    let mut framing = Framing::default();
    let mut fields_left = fields_max;
    loop {
        let start = match rest.first_chunk() {
            Some(start) => u64::from_le_bytes(*start),
            None if rest.starts_with(b"\r\n") => u64::from(CRLF),
            None => 0,
        };
        if start as u16 == CRLF {
            return Ok((lines.len() - rest.len() + 2, framing));
        }
        let Some(left) = fields_left.checked_sub(1) else { return Err(too_many(rest)) };
        fields_left = left;
        (rest, framing) = match usual(rest, start, framing) {
            Some(after) => after,
            None => other(rest, framing)?,
        };
    }
}

/// What follows the line at the start of `rest` and what is known after it, if that is one of those that usually come.
#[inline(always)]
fn usual(rest: &[u8], start: u64, framing: Framing) -> Option<(&[u8], Framing)> {
    let value_at = match start as u32 | 0x2020_2020 {
        HOST => return host(rest, framing),
        CONN if is_at(rest, 3, b"nection:") => return keep_alive(&rest[11..], framing),
        ACCE if is(start, b"accept: ") => 8,
        ACCE if is_at(rest, 8, b"ncoding:") && is(start, b"accept-e") => 16,
        ACCE if is_at(rest, 8, b"anguage:") && is(start, b"accept-l") => 16,
        USER if is_at(rest, 3, b"r-agent:") => 11,
        _ => return None,
    };
    let value = &rest[value_at..];
    let after = value.get(scan::text_end(value)..)?.strip_prefix(b"\r\n")?;
    Some((after, framing))
}

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const HOST: u32 = u32::from_le_bytes(*b"host");
const USER: u32 = u32::from_le_bytes(*b"user");
const ACCE: u32 = u32::from_le_bytes(*b"acce");
const CONN: u32 = u32::from_le_bytes(*b"conn");

/// Whether eight bytes of `line` from `at` on are `lower`, letters in any case.
#[inline(always)]
fn is_at(line: &[u8], at: usize, lower: &[u8; 8]) -> bool {
    let found = line.get(at..at + 8).and_then(<[u8]>::first_chunk);
    found.is_some_and(|found| is(u64::from_le_bytes(*found), lower))
}

#[inline(always)]
fn is(word: u64, lower: &[u8; 8]) -> bool {
    let mut exact = [0xff; 8];
    for index in 0..8 {
        if lower[index].is_ascii_lowercase() {
            exact[index] = !0x20;
        }
    }
    (word ^ u64::from_le_bytes(*lower)) & u64::from_le_bytes(exact) == 0
}

#[inline(always)]
fn host(line: &[u8], mut framing: Framing) -> Option<(&[u8], Framing)> {
    let value = line[4..].strip_prefix(b": ")?;
    let after = value[target::host_and_port_end(value)?..].strip_prefix(b"\r\n")?;
    framing.first_host().then_some((after, framing))
}

#[inline(always)]
fn keep_alive(value: &[u8], mut framing: Framing) -> Option<(&[u8], Framing)> {
    let after = value.strip_prefix(b" keep-alive\r\n")?;
    framing.keep_alive();
    Some((after, framing))
}

/// What follows the line at the start of `rest`, whatever line that is.
#[inline(never)]
fn other(rest: &[u8], mut framing: Framing) -> Result<(&[u8], Framing), Stop> {
    let name_len = scan::token_end(rest);
    let (name, from_colon) = rest.split_at(name_len);
    let value = match from_colon {
        [b':', value @ ..] if name_len > 0 => value,
        [] => return Err(Stop::More),
        [b'\r'] if name_len == 0 => return Err(Stop::More),
        [b'\r' | b'\n', ..] if name_len == 0 => return Err(Fault::LineEnd.into()),
        _ => return Err(Fault::HeaderName.into()),
    };
    let (value, end) = value.split_at(value_end(value));
    match end {
        [b'\r', b'\n', after @ ..] => {
            framing.add(name, value)?;
            Ok((after, framing))
        }
        [] | [b'\r'] => Err(Stop::More),
        [b'\n', ..] => Err(Fault::LineEnd.into()),
        _ => Err(Fault::HeaderValue.into()),
    }
}

/// Length of the longest prefix of `bytes` that may stand in a field value.
#[inline(always)]
fn value_end(bytes: &[u8]) -> usize {
    let end = scan::text_end(bytes);
    let more = bytes[end..].iter().position(|&byte| !is_value_byte(byte));
    more.map_or(bytes.len(), |more| end + more)
}

/// One line more than there may be, unless it is the blank one.
#[cold]
fn too_many(rest: &[u8]) -> Stop {
    match rest {
        [] | [b'\r'] => Stop::More,
        [b'\r' | b'\n', ..] => Fault::LineEnd.into(),
        _ => Fault::TooManyHeaders.into(),
    }
}
