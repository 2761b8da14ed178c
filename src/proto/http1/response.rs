//! From a status and a length to the bytes of a response head (RFC 9112 §4, §6). Bodies are not here.

use super::fields::{is_token, is_value};
use super::http_date;
use super::scan::is_text;

/// What the Connection field of a response says (RFC 9112 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connection<'a> {
    /// No such field: the version's default holds.
    #[default]
    Implicit,
    /// `close`: the server ends the connection after this response.
    Close,
    /// `keep-alive`: needed to keep a peer that speaks HTTP/1.0.
    KeepAlive,
    /// `upgrade`, and an Upgrade field with these protocols (RFC 9110 §7.8).
    Upgrade(&'a str),
}

/// How the body of a response is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFrame {
    /// Content-Length with so many bytes. It is left out where it must not stand: 1xx and 204 (RFC
    /// 9110 §8.6).
    Length(u64),
    /// `Transfer-Encoding: chunked`; neither for 1xx and 204, nor for a peer that speaks HTTP/1.0.
    Chunked,
    /// By the end of the connection, which [`Connection::Close`] has to announce.
    UntilClose,
    /// No body and no word about one: 1xx, 204, an upgrade, a 304 that does not tell the length.
    None,
}

/// A response without its body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// Three digits.
    pub status: u16,
    /// The value of Content-Type. That it is always there lets an [`Encoder`] know it again.
    pub content_type: Option<&'static str>,
    /// How the body is delimited.
    pub body: BodyFrame,
    /// What becomes of the connection.
    pub connection: Connection<'a>,
    /// Any other fields.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// `HTTP/1.1 200 OK`, its CRLF with it.
const OK_BYTES: usize = 17;
/// `Date: ` and a date, its CRLF with it.
const DATE_LINE_BYTES: usize = 37;
const LENGTH_NAME: &[u8; 16] = b"Content-Length: ";

/// Content types for which the usual head is kept ready.
const READY: usize = 4;
/// Room for one that is; copied whole, since that is a few moves.
pub const READY_BYTES: usize = 128;
/// A length, its CRLF and the blank line.
const LENGTH_END_BYTES_MAX: usize = 20 + 4;

/// Writes response heads. What is the same in most of them for a second is kept ready.
#[derive(Debug, Clone)]
pub struct Encoder {
    second: u64,
    ok_and_date: [u8; OK_BYTES + DATE_LINE_BYTES],
    /// By the length of their content type.
    ready: [Ready; READY],
}

/// The head of a response of 200 with this content type and body length.
#[derive(Debug, Clone)]
struct Ready {
    /// `None`: nothing is ready.
    content_type: Option<&'static str>,
    body_bytes: u64,
    head: [u8; READY_BYTES],
    head_bytes: usize,
    /// Where the length starts.
    length_at: usize,
}

impl Ready {
    const NOTHING: Self = Self {
        content_type: None,
        body_bytes: 0,
        head: [0; READY_BYTES],
        head_bytes: 0,
        length_at: 0,
    };

    /// Whether it is for this content type: the same bytes at the same place, which do not change.
    #[inline(always)]
    fn is_for(&self, content_type: &'static str) -> bool {
        self.content_type.is_some_and(|ready| std::ptr::eq(ready, content_type))
    }

    /// Changes the length.
    #[inline(never)]
    fn set_length(&mut self, body_bytes: u64) {
        let room = &mut self.head[self.length_at..];
        let room_bytes = room.len();
        let rest = put_number(room, body_bytes).and_then(|room| put(room, b"\r\n"));
        let left = rest.expect("there is room for any length").len();
        self.body_bytes = body_bytes;
        self.head_bytes = self.length_at + (room_bytes - left);
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// One whose responses are of 1970, until it is told the time.
    pub fn new() -> Self {
        let ok_and_date = *b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        Self { second: 0, ok_and_date, ready: [const { Ready::NOTHING }; READY] }
    }

    /// The responses that follow are of this second (RFC 9110 §6.6.1).
    #[inline]
    pub fn set_second(&mut self, unix_seconds: u64) {
        if unix_seconds != self.second {
            self.begin_second(unix_seconds);
        }
    }

    #[inline(never)]
    fn begin_second(&mut self, unix_seconds: u64) {
        const DATE_AT: usize = OK_BYTES + b"Date: ".len();
        self.second = unix_seconds;
        self.ok_and_date[DATE_AT..DATE_AT + 29].copy_from_slice(&http_date(unix_seconds));
        self.ready = [const { Ready::NOTHING }; READY];
    }

    /// Writes a response head to the front of `out` and returns its length.
    ///
    /// `None` when it does not fit in `out`, the status is not three digits, or a field is not legal
    /// on the wire: a name that is no token, a value with CR, LF, NUL or another control character.
    /// So no handler can end a head early. Nor can it contradict the framing: `fields` may hold
    /// neither Content-Length nor Transfer-Encoding, and [`BodyFrame`] tells what it cannot be
    /// combined with. `out` may have been written to in either case.
    ///
    /// Fields come in the order Date, Content-Type, the body's, Connection, `fields`.
    #[inline]
    pub fn encode(&mut self, out: &mut [u8], head: &ResponseHead) -> Option<usize> {
        if let (200, BodyFrame::Length(bytes), Connection::Implicit, Some(content_type), []) =
            (head.status, head.body, head.connection, head.content_type, head.fields)
            && let Some((ready, head_bytes)) = self.ready(content_type, bytes)
            && let Some(start) = out.first_chunk_mut()
        {
            *start = *ready;
            return Some(head_bytes);
        }
        self.encode_any(out, head)
    }

    /// The head of a response of 200 with nothing but this content type and body length, and its
    /// length, if one like it was written this second. It is to be copied whole, which is a few moves.
    #[inline(always)]
    pub fn ready(
        &mut self,
        content_type: &'static str,
        body_bytes: u64,
    ) -> Option<(&[u8; READY_BYTES], usize)> {
        let ready = &mut self.ready[content_type.len() % READY];
        if !ready.is_for(content_type) {
            return None;
        }
        if ready.body_bytes != body_bytes {
            ready.set_length(body_bytes);
        }
        Some((&ready.head, ready.head_bytes))
    }

    #[inline(never)]
    fn encode_any(&mut self, out: &mut [u8], head: &ResponseHead) -> Option<usize> {
        let room_bytes = out.len();
        let rest = if head.status == 200 {
            put(out, &self.ok_and_date)?
        } else {
            let date: &[u8; DATE_LINE_BYTES] = self.ok_and_date.last_chunk()?;
            put(put_status(out, head.status)?, date)?
        };
        let head_bytes = room_bytes - put_fields(rest, head)?.len();
        if let (200, BodyFrame::Length(bytes), Some(content_type)) =
            (head.status, head.body, head.content_type)
        {
            self.make_ready(content_type, bytes, &out[..head_bytes]);
        }
        Some(head_bytes)
    }

    /// Keeps the start of `head`, which is of this content type, for the next of that kind.
    fn make_ready(&mut self, content_type: &'static str, body_bytes: u64, head: &[u8]) {
        let before_length =
            self.ok_and_date.len() + b"Content-Type: \r\n".len() + content_type.len();
        let length_at = before_length + LENGTH_NAME.len();
        if length_at + LENGTH_END_BYTES_MAX <= READY_BYTES {
            let ready = &mut self.ready[content_type.len() % READY];
            ready.content_type = Some(content_type);
            ready.head[..length_at].copy_from_slice(&head[..length_at]);
            ready.length_at = length_at;
            ready.set_length(body_bytes);
        }
    }
}

/// Whether a response may carry this field: its name is a token, its value has no control character,
/// and it does not say where the body ends, which is [`BodyFrame`]'s alone to say.
pub fn is_field(name: &[u8], value: &[u8]) -> bool {
    is_token(name) && !is_framing(name) && is_value(value)
}

/// Whether `block` is nothing but field lines that a response may carry ([`is_field`]), each with its
/// CRLF; the blank line after them is not part of it. An empty block is one.
pub fn is_response_field_block(block: &[u8]) -> bool {
    let mut rest = block;
    while !rest.is_empty() {
        let Some(end) = rest.iter().position(|&byte| byte == b'\r') else { return false };
        let (line, after) = rest.split_at(end);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
        let legal = is_field(&line[..colon], &line[colon + 1..]);
        let Some(after) = after.strip_prefix(b"\r\n").filter(|_| legal) else { return false };
        rest = after;
    }
    true
}

/// The reason phrase of a status (RFC 9110 §15), empty where there is none.
pub fn reason(status: u16) -> &'static str {
    const BEFORE: usize = b"HTTP/1.1 200 ".len();
    let line = status_line(status).unwrap_or_default();
    let phrase = line.get(BEFORE..line.len().saturating_sub(2)).unwrap_or_default();
    str::from_utf8(phrase).unwrap_or_default()
}

/// Writes a piece of known length, which is a few moves, and returns the room after it. `None`, here
/// and below, if there is too little.
#[inline(always)]
fn put<'a, const N: usize>(room: &'a mut [u8], piece: &[u8; N]) -> Option<&'a mut [u8]> {
    let (place, room) = room.split_first_chunk_mut()?;
    *place = *piece;
    Some(room)
}

fn put_bytes<'a>(room: &'a mut [u8], piece: &[u8]) -> Option<&'a mut [u8]> {
    let (place, room) = room.split_at_mut_checked(piece.len())?;
    place.copy_from_slice(piece);
    Some(room)
}

/// Writes a field value and CRLF, if it is one. Up to 16 bytes go as two words that overlap.
#[inline(always)]
fn put_value<'a>(room: &'a mut [u8], value: &[u8]) -> Option<&'a mut [u8]> {
    if let (Some(first), Some(last), 8..=16) =
        (value.first_chunk(), value.last_chunk(), value.len())
        && is_text(first, last)
    {
        let (place, room) = room.split_at_mut_checked(value.len())?;
        *place.first_chunk_mut()? = *first;
        *place.last_chunk_mut()? = *last;
        return put(room, b"\r\n");
    }
    put_any_value(room, value)
}

#[inline(never)]
fn put_any_value<'a>(room: &'a mut [u8], value: &[u8]) -> Option<&'a mut [u8]> {
    if !is_value(value) {
        return None;
    }
    put(put_bytes(room, value)?, b"\r\n")
}

/// Writes a number and CRLF.
#[inline(always)]
fn put_number(room: &mut [u8], number: u64) -> Option<&mut [u8]> {
    let digit = |number: u64| b'0' + (number % 10) as u8;
    match number {
        0..=9 => put(room, &[digit(number), b'\r', b'\n']),
        10..=99 => put(room, &[digit(number / 10), digit(number), b'\r', b'\n']),
        _ => put_long_number(room, number),
    }
}

#[inline(never)]
fn put_long_number(room: &mut [u8], mut number: u64) -> Option<&mut [u8]> {
    let (place, room) = room.split_at_mut_checked(number.ilog10() as usize + 1)?;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    put(room, b"\r\n")
}

/// What comes after the Date, to the end of the head.
#[inline(always)]
fn put_fields<'a>(mut room: &'a mut [u8], head: &ResponseHead) -> Option<&'a mut [u8]> {
    if let Some(content_type) = head.content_type {
        room = put_value(put(room, b"Content-Type: ")?, content_type.as_bytes())?;
    }
    match head.body {
        BodyFrame::Length(bytes) if has_content(head.status) => {
            room = put_number(put(room, LENGTH_NAME)?, bytes)?;
        }
        BodyFrame::Length(_) | BodyFrame::None => {}
        BodyFrame::Chunked | BodyFrame::UntilClose => room = put_rare_frame(room, head)?,
    }
    if head.connection != Connection::Implicit {
        room = put_connection(room, head.connection)?;
    }
    for (name, value) in head.fields {
        room = put_field(room, name.as_bytes(), value)?;
    }
    put(room, b"\r\n")
}

#[inline(never)]
fn put_rare_frame<'a>(room: &'a mut [u8], head: &ResponseHead) -> Option<&'a mut [u8]> {
    match head.body {
        BodyFrame::Chunked if has_content(head.status) => {
            put(room, b"Transfer-Encoding: chunked\r\n")
        }
        BodyFrame::UntilClose if head.connection == Connection::Close => Some(room),
        _ => None,
    }
}

#[inline(never)]
fn put_connection<'a>(room: &'a mut [u8], connection: Connection) -> Option<&'a mut [u8]> {
    match connection {
        Connection::Implicit => Some(room),
        Connection::Close => put(room, b"Connection: close\r\n"),
        Connection::KeepAlive => put(room, b"Connection: keep-alive\r\n"),
        Connection::Upgrade("") => None,
        Connection::Upgrade(protocols) => {
            put_any_value(put(room, b"Connection: upgrade\r\nUpgrade: ")?, protocols.as_bytes())
        }
    }
}

fn put_field<'a>(room: &'a mut [u8], name: &[u8], value: &[u8]) -> Option<&'a mut [u8]> {
    if !is_field(name, value) {
        return None;
    }
    put(put_bytes(put(put_bytes(room, name)?, b": ")?, value)?, b"\r\n")
}

#[inline(never)]
fn put_status(room: &mut [u8], status: u16) -> Option<&mut [u8]> {
    match status_line(status) {
        Some(line) => put_bytes(room, line),
        None => put_plain_status(room, status),
    }
}

/// RFC 9112 §4: the space stays when there is no phrase after it.
fn put_plain_status(room: &mut [u8], status: u16) -> Option<&mut [u8]> {
    if !(100..=999).contains(&status) {
        return None;
    }
    let mut line = *b"HTTP/1.1 000 \r\n";
    for (place, unit) in [(9, 100), (10, 10), (11, 1)] {
        line[place] = b'0' + (status / unit % 10) as u8;
    }
    put(room, &line)
}

/// Whether a response of this status may have content (RFC 9110 §6.4.1); a 304 says how much it
/// would be. The usual status is asked for first.
#[inline(always)]
fn has_content(status: u16) -> bool {
    status == 200 || (status > 200 && status != 204)
}

/// Whether the field says where a body ends, which is [`BodyFrame`]'s alone to say.
fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Whole lines, so that the usual status is one copy.
fn status_line(status: u16) -> Option<&'static [u8]> {
    Some(match status {
        100 => b"HTTP/1.1 100 Continue\r\n",
        101 => b"HTTP/1.1 101 Switching Protocols\r\n",
        200 => b"HTTP/1.1 200 OK\r\n",
        201 => b"HTTP/1.1 201 Created\r\n",
        202 => b"HTTP/1.1 202 Accepted\r\n",
        203 => b"HTTP/1.1 203 Non-Authoritative Information\r\n",
        204 => b"HTTP/1.1 204 No Content\r\n",
        205 => b"HTTP/1.1 205 Reset Content\r\n",
        206 => b"HTTP/1.1 206 Partial Content\r\n",
        300 => b"HTTP/1.1 300 Multiple Choices\r\n",
        301 => b"HTTP/1.1 301 Moved Permanently\r\n",
        302 => b"HTTP/1.1 302 Found\r\n",
        303 => b"HTTP/1.1 303 See Other\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        305 => b"HTTP/1.1 305 Use Proxy\r\n",
        307 => b"HTTP/1.1 307 Temporary Redirect\r\n",
        308 => b"HTTP/1.1 308 Permanent Redirect\r\n",
        400 => b"HTTP/1.1 400 Bad Request\r\n",
        401 => b"HTTP/1.1 401 Unauthorized\r\n",
        402 => b"HTTP/1.1 402 Payment Required\r\n",
        403 => b"HTTP/1.1 403 Forbidden\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        406 => b"HTTP/1.1 406 Not Acceptable\r\n",
        407 => b"HTTP/1.1 407 Proxy Authentication Required\r\n",
        408 => b"HTTP/1.1 408 Request Timeout\r\n",
        409 => b"HTTP/1.1 409 Conflict\r\n",
        410 => b"HTTP/1.1 410 Gone\r\n",
        411 => b"HTTP/1.1 411 Length Required\r\n",
        412 => b"HTTP/1.1 412 Precondition Failed\r\n",
        413 => b"HTTP/1.1 413 Content Too Large\r\n",
        414 => b"HTTP/1.1 414 URI Too Long\r\n",
        415 => b"HTTP/1.1 415 Unsupported Media Type\r\n",
        416 => b"HTTP/1.1 416 Range Not Satisfiable\r\n",
        417 => b"HTTP/1.1 417 Expectation Failed\r\n",
        421 => b"HTTP/1.1 421 Misdirected Request\r\n",
        422 => b"HTTP/1.1 422 Unprocessable Content\r\n",
        426 => b"HTTP/1.1 426 Upgrade Required\r\n",
        428 => b"HTTP/1.1 428 Precondition Required\r\n",
        429 => b"HTTP/1.1 429 Too Many Requests\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        500 => b"HTTP/1.1 500 Internal Server Error\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        502 => b"HTTP/1.1 502 Bad Gateway\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        504 => b"HTTP/1.1 504 Gateway Timeout\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        511 => b"HTTP/1.1 511 Network Authentication Required\r\n",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
