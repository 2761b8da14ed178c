//! The request line (RFC 9112 §3): a method, a target and a version, one space between them.

use super::fields::is_token_byte;
use super::{Fault, Limits, Method, Stop, TargetForm, Version, scan};
use crate::limits::HTTP_METHOD_BYTES_MAX;

/// What follows a target, most often.
const HTTP11: &[u8; 11] = b" HTTP/1.1\r\n";

/// A request line that is whole, as offsets into the bytes it was decoded from.
pub(super) struct RequestLine {
    pub method: Method,
    pub method_len: usize,
    pub target_at: usize,
    pub target_len: usize,
    pub version: Version,
    pub target_form: TargetForm,
    /// Where the line after it starts.
    pub end: usize,
}

impl RequestLine {
    /// Decodes the line at the start of `bytes`, or after the one CRLF that may come before it.
    #[inline(always)]
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, Stop> {
        if bytes.first_chunk() == Some(b"GET ") {
            return Self::after_method(bytes, 4, Method::Get, 3, limits);
        }
        Self::unusual(bytes, limits)
    }

    #[inline(never)]
    fn unusual(bytes: &[u8], limits: &Limits) -> Result<Self, Stop> {
        let (skipped, method, method_len) = unusual_start(bytes)?;
        Self::after_method(bytes, skipped + method_len + 1, method, method_len, limits)
    }

    #[inline(always)]
    fn after_method(
        bytes: &[u8],
        target_at: usize,
        method: Method,
        method_len: usize,
        limits: &Limits,
    ) -> Result<Self, Stop> {
        let target_on = &bytes[target_at..];
        let target_len = scan::target_end(target_on);
        if target_len > limits.target_bytes as usize {
            return Err(Fault::TargetTooLong.into());
        }
        let (target, rest) = target_on.split_at(target_len);
        let Some(version) = version(rest) else { return Err(version_stop(target, rest)) };
        let target_form = TargetForm::of(method, target)?;
        let end = target_at + target_len + HTTP11.len();
        Ok(Self { method, method_len, target_at, target_len, version, target_form, end })
    }
}

/// The bytes before the method, the method and its length, where it is neither GET nor POST or
/// there is something before it (RFC 9112 §2.2).
fn unusual_start(bytes: &[u8]) -> Result<(usize, Method, usize), Stop> {
    let (skipped, line) = match bytes {
        [b'\n', ..] | [b'\r', b'\n', b'\r' | b'\n', ..] => return Err(Fault::EmptyLines.into()),
        [b'\r', b'\n', line @ ..] => (2, line),
        [b'\r', _, ..] => return Err(Fault::LineEnd.into()),
        [b'\r'] => return Err(Stop::More),
        line => (0, line),
    };
    let method_len = line.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(line.len());
    if method_len > HTTP_METHOD_BYTES_MAX as usize {
        return Err(Fault::MethodTooLong.into());
    }
    match line.get(method_len) {
        Some(b' ') if method_len > 0 => Ok((skipped, Method::of(&line[..method_len]), method_len)),
        Some(_) => Err(Fault::Method.into()),
        None => Err(Stop::More),
    }
}

/// The version that `rest`, what follows the target, begins with: two words that overlap.
#[inline(always)]
fn version(rest: &[u8]) -> Option<Version> {
    let end: &[u8; HTTP11.len()] = rest.first_chunk()?;
    let (start, last) = (end.first_chunk()?, end.last_chunk()?);
    if start != b" HTTP/1." {
        return None;
    }
    if last == b"TP/1.1\r\n" {
        return Some(Version::Http11);
    }
    (last == b"TP/1.0\r\n").then_some(Version::Http10)
}

/// Why `rest`, what follows the target, does not begin with a version of ours and CRLF. RFC 9110
/// §15.6.6: a version we do not speak is not the same as no version.
#[cold]
fn version_stop(target: &[u8], rest: &[u8]) -> Stop {
    for (at, &byte) in rest.iter().enumerate() {
        let (legal, fault) = match at {
            0 => (byte == b' ' && !target.is_empty(), Fault::Target),
            1..6 => (byte == HTTP11[at], Fault::VersionSyntax),
            6 if !byte.is_ascii_digit() => (false, Fault::VersionSyntax),
            6 | 7 => (byte == HTTP11[at], Fault::VersionUnsupported),
            8 => (matches!(byte, b'0' | b'1'), Fault::VersionUnsupported),
            _ => (HTTP11.get(at) == Some(&byte), Fault::LineEnd),
        };
        if !legal {
            return fault.into();
        }
    }
    Stop::More
}
