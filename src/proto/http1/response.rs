//! From a status and a length to the bytes of a response head (RFC 9112 §4, §6). Bodies are not here.

use super::fields::{is_token_byte, is_value};

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
    /// u
    Upgrade(&'a str),
}

/// Writes a response head to the front of `out` and returns its length.
///
/// `None` when it does not fit in `out`, the status is not three digits, or a field is not legal on
/// the wire: a name that is no token, a value with CR, LF, NUL or another control character. So no
/// handler can end a head early. Nor can it contradict the framing: `extra` may hold neither
/// Content-Length nor Transfer-Encoding. `out` may have been written to in either case.
///
/// Content-Length is left out of the responses that must not have one: 1xx and 204 (RFC 9110 §8.6).
/// Fields come in the order Date, Content-Type, Content-Length, Connection, `extra`.
pub fn encode_head(
    out: &mut [u8],
    status: u16,
    content_type: Option<&str>,
    content_length: u64,
    connection: Connection<'_>,
    extra: &[(&str, &[u8])],
    date: Option<&[u8; 29]>,
) -> Option<usize> {
    let mut out = Cursor { bytes: out, len: 0 };
    match status_line(status) {
        Some(line) => out.put(line)?,
        None => out.put_plain_status(status)?,
    }
    if let Some(date) = date {
        out.put_date(date)?;
    }
    if let Some(content_type) = content_type {
        out.put(b"Content-Type: ")?;
        out.put_value(content_type.as_bytes())?;
    }
    if status >= 200 && status != 204 && content_length != u64::MAX {
        out.put_length(content_length)?;
    }
    match connection {
        Connection::Implicit => {}
        Connection::Upgrade(p) => {
            out.put(b"Connection: upgrade\r\nUpgrade: ")?;
            out.put(p.as_bytes())?;
            out.put(b"\r\n")?;
        }
        Connection::Close => out.put(b"Connection: close\r\n")?,
        Connection::KeepAlive => out.put(b"Connection: keep-alive\r\n")?,
    }
    for (name, value) in extra {
        out.put_field(name.as_bytes(), value)?;
    }
    out.put(b"\r\n")?;
    Some(out.len)
}

/// The reason phrase of a status (RFC 9110 §15), empty where there is none.
pub fn reason(status: u16) -> &'static str {
    const BEFORE: usize = b"HTTP/1.1 200 ".len();
    let line = status_line(status).unwrap_or_default();
    let phrase = line.get(BEFORE..line.len().saturating_sub(2)).unwrap_or_default();
    str::from_utf8(phrase).unwrap_or_default()
}

/// The part of `out` that has been written.
struct Cursor<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn put(&mut self, piece: &[u8]) -> Option<()> {
        let room = self.bytes.get_mut(self.len..)?.get_mut(..piece.len())?;
        room.copy_from_slice(piece);
        self.len += piece.len();
        Some(())
    }

    #[inline]
    fn put_value(&mut self, value: &[u8]) -> Option<()> {
        if !is_value(value) {
            return None;
        }
        self.put(value)?;
        self.put(b"\r\n")
    }

    fn put_field(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let token = !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte));
        if !token || is_framing(name) {
            return None;
        }
        self.put(name)?;
        self.put(b": ")?;
        self.put_value(value)
    }

    #[inline]
    fn put_date(&mut self, date: &[u8; 29]) -> Option<()> {
        let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        line[6..35].copy_from_slice(date);
        self.put(&line)
    }

    #[inline]
    fn put_length(&mut self, mut number: u64) -> Option<()> {
        self.put(b"Content-Length: ")?;
        let mut text = *b"00000000000000000000\r\n";
        let mut start = 20;
        loop {
            start -= 1;
            text[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break self.put(&text[start..]);
            }
        }
    }

    /// RFC 9112 §4: the space stays when there is no phrase after it.
    #[cold]
    fn put_plain_status(&mut self, status: u16) -> Option<()> {
        if !(100..=999).contains(&status) {
            return None;
        }
        let mut line = *b"HTTP/1.1 000 \r\n";
        for (place, unit) in [(9, 100), (10, 10), (11, 1)] {
            line[place] += (status / unit % 10) as u8;
        }
        self.put(&line)
    }
}

/// Whether the field says where a body ends, which is [`encode_head`]'s alone to say.
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
