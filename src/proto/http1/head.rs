//! From bytes to a [`Head`]: what a head is, when it is whole, and what it says. Its grammar stands
//! in `request_line` and `field_lines`, the rules of its end in `framing`.

use std::ops::Range;

use super::framing::Framing;
use super::request_line::RequestLine;
use super::{BodyLength, Fault, Headers, Limits, TargetForm, authority, field_lines};
use crate::limits::HTTP_HEADERS_MAX;

/// `HTTP/1.1`.
const VERSION_BYTES: usize = 8;

/// A request method (RFC 9110 §9, RFC 5789).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// CONNECT
    Connect,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH
    Patch,
    /// Any other token; its bytes are at [`Head::method_range`].
    Other,
}

impl Method {
    /// How many there are.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// Methods are case-sensitive: `get` is [`Method::Other`].
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The versions this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A decoded head: offsets into the bytes it was decoded from, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes through the blank line: the body, or the next request, starts here.
    pub head_len: u32,
    /// Where the target starts, right after the method and one space.
    pub target_at: u32,
    /// Bytes of the target.
    pub target_len: u32,
    /// How the body is delimited; a length is within [`Limits::body_bytes`].
    pub body: BodyLength,
    /// The method.
    pub method: Method,
    /// Bytes of the method, which ends one byte before `target_at`.
    pub method_len: u8,
    /// The version.
    pub version: Version,
    /// The form of the target, legal for this method.
    pub target_form: TargetForm,
    /// Whether the connection may carry another request after this one.
    pub keep_alive: bool,
    /// Whether the peer holds the body back until it sees `100 Continue`.
    pub expect_continue: bool,
    /// Whether there is a Host; HTTP/1.0 may do without.
    pub has_host: bool,
    /// Whether the peer offers to go on in another protocol: Upgrade names it, Connection says so.
    pub upgrade: bool,
    /// Whether it is what most heads are: HTTP/1.1 with a Host, without a body or an expectation, on a
    /// connection that goes on as it is.
    pub plain: bool,
}

impl Head {
    /// Where the method is.
    pub fn method_range(&self) -> Range<usize> {
        let end = self.target_at as usize - 1;
        end - usize::from(self.method_len)..end
    }

    /// Where the target is.
    pub fn target_range(&self) -> Range<usize> {
        let start = self.target_at as usize;
        start..start + self.target_len as usize
    }

    /// The host that the target names, which goes before what Host says: see [`authority`]. `bytes`
    /// are those the head was decoded from.
    pub fn authority<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        authority(&bytes[self.target_range()])
    }

    /// Where the field lines are, the blank line after them included.
    pub fn headers_range(&self) -> Range<usize> {
        self.target_range().end + 1 + VERSION_BYTES + 2..self.head_len as usize
    }

    /// The fields. `bytes` are those the head was decoded from.
    pub fn headers<'a>(&self, bytes: &'a [u8]) -> Headers<'a> {
        Headers::from_lines(&bytes[self.headers_range()])
    }

    /// The value of the first field called `name`, in any case. `bytes` as for [`Head::headers`].
    pub fn header<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.headers(bytes).get(name)
    }
}

/// Why a head could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is legal as far as it goes.
    More,
    /// A rule is broken, whatever comes next.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Decodes the head at the start of `bytes`, which may go on with a body and further requests.
///
/// `Ok(None)` means that all is well so far and the blank line is still to come. A broken rule is
/// found, and a limit enforced, at the byte that breaks or passes it: so the answer does not depend
/// on how the bytes were cut, and a peer cannot make the caller buffer more than
/// [`Limits::head_bytes`]. One CRLF before the request line is skipped and counted in every offset.
pub fn decode_head(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Fault> {
    decode_with(bytes, limits, field_lines::decode)
}

/// [`decode_head`] with `read_lines` to read the lines behind the request line, as
/// [`field_lines::decode`] does.
#[inline(always)]
pub(super) fn decode_with(
    bytes: &[u8],
    limits: &Limits,
    read_lines: impl FnOnce(&[u8], usize) -> Result<(usize, Framing), Stop>,
) -> Result<Option<Head>, Fault> {
    let window = &bytes[..bytes.len().min(limits.head_bytes as usize)];
    match decode(window, limits, read_lines) {
        Ok(head) => Ok(Some(head)),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::More) if bytes.len() >= limits.head_bytes as usize => Err(Fault::HeadTooLong),
        Err(Stop::More) => Ok(None),
    }
}

#[inline(always)]
fn decode(
    bytes: &[u8],
    limits: &Limits,
    read_lines: impl FnOnce(&[u8], usize) -> Result<(usize, Framing), Stop>,
) -> Result<Head, Stop> {
    let line = RequestLine::decode(bytes, limits)?;
    let fields_max = HTTP_HEADERS_MAX.min(limits.headers as usize);
    let (lines_len, framing) = read_lines(&bytes[line.end..], fields_max)?;
    let plain = Head {
        head_len: (line.end + lines_len) as u32,
        target_at: line.target_at as u32,
        target_len: line.target_len as u32,
        body: BodyLength::None,
        method: line.method,
        method_len: line.method_len as u8, // within HTTP_METHOD_BYTES_MAX
        version: Version::Http11,
        target_form: line.target_form,
        keep_alive: true,
        expect_continue: false,
        has_host: true,
        upgrade: false,
        plain: true,
    };
    if line.version == Version::Http11 && framing.is_plain() {
        return Ok(plain);
    }
    if line.version == Version::Http11 && !framing.has_host() {
        return Err(Fault::HostMissing.into());
    }
    Ok(Head {
        body: framing.body(line.version, limits.body_bytes)?,
        version: line.version,
        keep_alive: framing.keeps_alive(line.version),
        expect_continue: framing.expects_continue(line.version),
        has_host: framing.has_host(),
        upgrade: framing.upgrades(line.version),
        plain: false,
        ..plain
    })
}

/// Goes on where [`decode_head`] or this answered `Ok(None)`, having seen `seen_bytes` of the same
/// bytes. The answer is that of [`decode_head`], except that a syntax error in a head that has not
/// reached its blank line may be reported only when it does.
///
/// So a head that trickles in byte by byte is not parsed byte by byte: but for the few bytes around
/// a limit, the work of a call is in proportion to the new bytes and the request line.
pub fn resume_head(
    bytes: &[u8],
    seen_bytes: usize,
    limits: &Limits,
) -> Result<Option<Head>, Fault> {
    let full = bytes.len() >= limits.head_bytes as usize;
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let endless_line = line.len() > limits.target_bytes as usize && !line.contains(&b'\n');
    if full || endless_line || head_may_be_complete(bytes, seen_bytes) {
        decode_head(bytes, limits)
    } else {
        Ok(None)
    }
}

/// Whether a blank line ends at or after `scan_from`: without one, decoding again is in vain.
///
/// `scan_from` is how many of the same bytes an earlier call has seen. A blank line of bare LFs
/// counts, so that a peer who sends them gets its 400 instead of a timeout, and so does one before
/// the request line. Cost: one look at each new byte.
pub fn head_may_be_complete(bytes: &[u8], scan_from: usize) -> bool {
    let start = scan_from.min(bytes.len());
    bytes[start..].iter().enumerate().any(|(at, &byte)| {
        byte == b'\n' && matches!(bytes[..start + at], [.., b'\n'] | [.., b'\n', b'\r'])
    })
}

#[cfg(test)]
mod tests;
