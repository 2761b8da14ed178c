//! From bytes to a [`Head`]: the request line, the rules that keep every reader of a message agreed
//! on where it ends, and the limits. httparse does the grammar; what it tolerates is refused here.

use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::Status;

use super::fields::{Framing, is_token_byte};
use super::{BodyLength, Fault, Headers, Limits, TargetForm};
use crate::limits::{HTTP_HEADERS_MAX, HTTP_METHOD_BYTES_MAX};

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
    /// Methods are case-sensitive: `get` is [`Method::Other`].
    #[inline]
    fn of(name: &[u8]) -> Self {
        if name == b"GET" { Self::Get } else { Self::of_others(name) }
    }

    fn of_others(name: &[u8]) -> Self {
        match name {
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
    /// u
    pub upgrade: bool,
    /// Whether there is a Host; HTTP/1.0 may do without.
    pub has_host: bool,
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

/// Decodes the head at the start of `bytes`, which may go on with a body and further requests.
///
/// `Ok(None)` means that all is well so far and the blank line is still to come. A limit is
/// enforced as soon as it is passed, so a peer cannot make the caller buffer more than
/// [`Limits::head_bytes`]. One CRLF before the request line is skipped and counted in every offset.
pub fn decode_head(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Fault> {
    let mut slots = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
    let slots = &mut slots[..HTTP_HEADERS_MAX.min(limits.headers as usize)];
    let mut request = httparse::Request::new(&mut []);
    let window = &bytes[..bytes.len().min(limits.head_bytes as usize)];
    match request.parse_with_uninit_headers(window, slots) {
        Ok(Status::Complete(head_len)) => complete(&window[..head_len], &request, limits).map(Some),
        Ok(Status::Partial) => incomplete(window, &request, limits).map(|()| None),
        Err(error) => Err(refusal(window, &request, error, limits)),
    }
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

/// Judges a head whose grammar httparse has accepted; `head` ends with its blank line.
#[inline(always)]
fn complete(head: &[u8], request: &httparse::Request, limits: &Limits) -> Result<Head, Fault> {
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Fault::VersionSyntax); // httparse sets all three before it completes
    };
    check_request_line(head, request, limits)?;
    let (method, target) = (method.as_bytes(), target.as_bytes());
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut framing = Framing::default();
    read_fields(head, request, &mut framing)?;
    if version == Version::Http11 && !framing.has_host {
        return Err(Fault::HostMissing);
    }
    let body = framing.body(version, limits.body_bytes)?;
    let method_code = Method::of(method);
    Ok(Head {
        head_len: head.len() as u32,
        target_at: offset(head, target) as u32,
        target_len: target.len() as u32,
        body,
        method: method_code,
        method_len: method.len() as u8, // within HTTP_METHOD_BYTES_MAX
        version,
        target_form: TargetForm::of(method_code, target)?,
        keep_alive: framing.keeps_alive(version),
        expect_continue: framing.expects_continue(version, body),
        upgrade: framing.upgrade,
        has_host: framing.has_host,
    })
}

/// One pass over the fields. httparse lets a bare LF end a line, but no CR into a line; so every
/// line ends in CRLF if a CR stands two bytes before the next line's first byte.
#[inline(always)]
fn read_fields(
    head: &[u8],
    request: &httparse::Request,
    framing: &mut Framing,
) -> Result<(), Fault> {
    for field in request.headers.iter() {
        let name = field.name.as_bytes();
        if head.get(offset(head, name).wrapping_sub(2)) != Some(&b'\r') {
            return Err(Fault::LineEnd);
        }
        framing.add(name, field.value)?;
    }
    if head.ends_with(b"\r\n\r\n") { Ok(()) } else { Err(Fault::LineEnd) }
}

/// Where `part`, a sub-slice of `whole`, starts in it.
#[inline]
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())
}

/// The limits that hold before a head is whole. Everything httparse has read so far is legal.
fn incomplete(bytes: &[u8], request: &httparse::Request, limits: &Limits) -> Result<(), Fault> {
    check_request_line(bytes, request, limits)?;
    if bytes.len() >= limits.head_bytes as usize { Err(Fault::HeadTooLong) } else { Ok(()) }
}

/// Why httparse stopped; a limit passed before that point goes first, so that the answer does not
/// depend on how the bytes were cut.
#[cold]
fn refusal(
    bytes: &[u8],
    request: &httparse::Request,
    error: httparse::Error,
    limits: &Limits,
) -> Fault {
    if let Err(fault) = check_request_line(bytes, request, limits) {
        return fault;
    }
    match error {
        httparse::Error::Token if request.method.is_none() => Fault::Method,
        httparse::Error::Token => Fault::Target,
        httparse::Error::Version => version_fault(bytes, request),
        httparse::Error::HeaderName => Fault::HeaderName,
        httparse::Error::HeaderValue => Fault::HeaderValue,
        httparse::Error::TooManyHeaders => Fault::TooManyHeaders,
        httparse::Error::NewLine | httparse::Error::Status => Fault::LineEnd,
    }
}

/// RFC 9110 §15.6.6: a version we do not speak is not the same as no version.
fn version_fault(bytes: &[u8], request: &httparse::Request) -> Fault {
    let target = request.path.unwrap_or_default().as_bytes();
    let version = &bytes[offset(bytes, target) + target.len() + 1..];
    match version.strip_prefix(b"HTTP/").and_then(<[u8]>::first) {
        Some(b'0'..=b'9') => Fault::VersionUnsupported,
        _ => Fault::VersionSyntax,
    }
}

/// What holds of a request line however much of it is there.
#[inline(always)]
fn check_request_line(
    bytes: &[u8],
    request: &httparse::Request,
    limits: &Limits,
) -> Result<(), Fault> {
    if let (Some(method), Some(target)) = (request.method, request.path)
        && offset(bytes, method.as_bytes()) == 0
        && method.len() <= HTTP_METHOD_BYTES_MAX as usize
        && target.len() <= limits.target_bytes as usize
    {
        return Ok(());
    }
    check_unusual_request_line(bytes, request, limits)
}

/// The same for a line that is not whole, starts late or is too long.
#[cold]
fn check_unusual_request_line(
    bytes: &[u8],
    request: &httparse::Request,
    limits: &Limits,
) -> Result<(), Fault> {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    if line.starts_with(b"\n") || line.starts_with(b"\r") && line.len() < bytes.len() {
        return Err(Fault::EmptyLines);
    }
    let method_bytes =
        request.method.map_or_else(|| run(line, is_token_byte), |method| method.len());
    if method_bytes > HTTP_METHOD_BYTES_MAX as usize {
        return Err(Fault::MethodTooLong);
    }
    if request.method.is_none() {
        return Ok(());
    }
    let target = &line[method_bytes + 1..];
    let target_bytes = request.path.map_or_else(|| run(target, is_target_byte), str::len);
    if target_bytes > limits.target_bytes as usize {
        return Err(Fault::TargetTooLong);
    }
    Ok(())
}

/// Length of the longest prefix of `bytes` that `belongs`.
fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !belongs(byte)).unwrap_or(bytes.len())
}

/// As httparse sees it: anything but controls and space.
fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests;
