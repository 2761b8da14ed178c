//! The client's part: the request, and whether what comes back is the answer to it.

use base64ct::{Base64, Encoding};

use super::{KEY_BYTES, NONCE_BYTES, Writer, accept_value, names};
use crate::limits::HTTP_HEAD_BYTES_MAX;
use crate::proto::http1::{Headers, field_lines, is_token, is_value};
use crate::proto::websocket::extension::{Deflate, EXTENSION_BYTES_MAX};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientFault {
    /// What came is no head of HTTP/1.1, or longer than any.
    Malformed,
    /// The server answers with this status.
    Status(u16),
    /// It does not say that it goes over to WebSocket.
    NoUpgrade,
    /// `Sec-WebSocket-Accept` is missing, or twice there, or not that of the key.
    Accept,
    /// A protocol that was not asked for.
    Protocol,
    /// An extension, or parameters of one, that were not offered.
    Extension,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The value of Host.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The value of Origin, if one is to be sent.
    pub origin: Option<&'a str>,
    /// Protocols that are spoken inside, the best first.
    pub protocols: &'a [&'a str],
    /// How messages may be compressed; `None`: not at all.
    pub deflate: Option<Deflate>,
    /// Further fields, each a name and a value; none of those that are written anyway.
    pub fields: &'a [(&'a str, &'a str)],
}

/// Fields that a request has of its own, or that would make it another: no further field is called so.
const OWN_FIELDS: [&str; 12] = [
    "Host",
    "Upgrade",
    "Connection",
    "Origin",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
];

/// Whether a request may have this as one of its further fields.
pub fn is_further_field(name: &str, value: &str) -> bool {
    let is_own = OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name));
    !is_own && is_token(name.as_bytes()) && is_value(value.as_bytes())
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Bytes through the blank line: frames start here.
    pub head_bytes: usize,
    /// The protocol.
    pub protocol: Option<&'a str>,
    /// How messages are compressed.
    pub deflate: Option<Deflate>,
}

impl<'a> Client<'a> {
    /// Writes the request (RFC 6455 §4.1) to the front of `out` and returns its length. `nonce`: fresh
    /// randomness. `None`: there is no room, or something of it cannot be sent.
    pub fn write_request(&self, nonce: &[u8; NONCE_BYTES], out: &mut [u8]) -> Option<usize> {
        let is_target = self.target.starts_with('/') && !self.target.contains([' ', '#']);
        let values = [self.host, self.target].into_iter().chain(self.origin);
        let is_legal = is_target && !self.host.is_empty();
        if !is_legal || !values.into_iter().all(|value| value.is_ascii() && is_plain(value)) {
            return None;
        }
        if !self.protocols.iter().all(|protocol| is_token(protocol.as_bytes())) {
            return None;
        }
        if !self.fields.iter().all(|(name, value)| is_further_field(name, value)) {
            return None;
        }
        let mut writer = Writer::new(out);
        writer.put("GET ");
        writer.put(self.target);
        writer.put(" HTTP/1.1\r\n");
        writer.field("Host", self.host);
        writer.put("Upgrade: websocket\r\nConnection: Upgrade\r\n");
        writer.field("Sec-WebSocket-Key", key_value(nonce));
        writer.put("Sec-WebSocket-Version: 13\r\n");
        if let Some(origin) = self.origin {
            writer.field("Origin", origin);
        }
        for protocol in self.protocols {
            writer.field("Sec-WebSocket-Protocol", protocol);
        }
        if let Some(deflate) = self.deflate {
            let mut value = [0; EXTENSION_BYTES_MAX];
            writer.field("Sec-WebSocket-Extensions", deflate.write_offer(&mut value));
        }
        for (name, value) in self.fields {
            writer.field(name, value);
        }
        writer.end()
    }

    /// Reads the answer at the front of `bytes`, which may go on with frames; `Ok(None)`: its end has not
    /// come. Other statuses of 100 to 199 before it are passed over (RFC 9110 §15.2).
    pub fn read_response(
        &self,
        nonce: &[u8; NONCE_BYTES],
        bytes: &[u8],
    ) -> Result<Option<Response<'a>>, ClientFault> {
        let mut at = 0;
        loop {
            let Some(head) = Head::find(bytes, at)? else { return Ok(None) };
            at = head.end;
            match head.status {
                101 => return self.check(nonce, &head).map(Some),
                100..200 => {}
                status => return Err(ClientFault::Status(status)),
            }
        }
    }

    fn check(
        &self,
        nonce: &[u8; NONCE_BYTES],
        head: &Head<'_>,
    ) -> Result<Response<'a>, ClientFault> {
        let expected = accept_value(&key_value(nonce));
        let (mut upgrades, mut connects, mut accepts) = (false, false, 0);
        let (mut protocol, mut deflate) = (None, None);
        for (name, value) in head.fields() {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            if is("Upgrade") {
                upgrades |= value.eq_ignore_ascii_case(b"websocket");
            } else if is("Connection") {
                connects |= names(value, "upgrade");
            } else if is("Sec-WebSocket-Accept") {
                accepts += if value == expected { 1 } else { 2 };
            } else if is("Sec-WebSocket-Protocol") {
                let asked = self.protocols.iter().find(|asked| asked.as_bytes() == value);
                let asked = *asked.ok_or(ClientFault::Protocol)?;
                if protocol.replace(asked).is_some() {
                    return Err(ClientFault::Protocol);
                }
            } else if is("Sec-WebSocket-Extensions") {
                let offer = self.deflate.unwrap_or_default();
                let agreed = offer.read_answer(value).map_err(|_| ClientFault::Extension)?;
                let unasked = agreed.is_some() && self.deflate.is_none();
                if unasked || agreed.is_some() && deflate.is_some() {
                    return Err(ClientFault::Extension);
                }
                deflate = deflate.or(agreed);
            }
        }
        if !upgrades || !connects {
            return Err(ClientFault::NoUpgrade);
        }
        if accepts != 1 {
            return Err(ClientFault::Accept);
        }
        Ok(Response { head_bytes: head.end, protocol, deflate })
    }
}

/// The answer of a server that does not want to: what [`ClientFault::Status`] is about.
#[derive(Debug, Clone)]
pub struct Declined<'a> {
    /// Its status.
    pub status: u16,
    /// Its fields; none, where they are malformed.
    pub fields: Headers<'a>,
    /// Bytes through the blank line: a body starts here.
    pub head_bytes: usize,
}

impl<'a> Declined<'a> {
    /// Reads it at the front of `bytes`; `None`: it is none, or its end has not come.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        loop {
            let head = Head::find(bytes, at).ok()??;
            at = head.end;
            match head.status {
                101 => return None,
                100..200 => {}
                status => {
                    let is_legal = is_field_block(head.lines);
                    let fields = field_lines(if is_legal { head.lines } else { &[] });
                    return Some(Self { status, fields, head_bytes: head.end });
                }
            }
        }
    }

    /// The value of a field, by its name in any case.
    pub fn field(&self, wanted: &str) -> Option<&'a [u8]> {
        self.fields.clone().get(wanted)
    }
}

/// The value of `Sec-WebSocket-Key`.
fn key_value(nonce: &[u8; NONCE_BYTES]) -> [u8; KEY_BYTES] {
    let mut value = [0; KEY_BYTES];
    Base64::encode(nonce, &mut value).expect("16 bytes are 24 in base64");
    value
}

/// Whether it has nothing that would end a line.
fn is_plain(value: &str) -> bool {
    is_value(value.as_bytes()) && !value.contains('\t')
}

/// Whether a block is nothing but field lines, each with its CRLF. Some servers say how long the body of a 101 is,
/// which has none; no harm is in it.
fn is_field_block(block: &[u8]) -> bool {
    let is_field = |line: &[u8]| {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
        is_token(&line[..colon]) && is_value(&line[colon + 1..])
    };
    let is_line = |line: &[u8]| line.strip_suffix(b"\r\n").is_some_and(is_field);
    block.split_inclusive(|&byte| byte == b'\n').all(is_line)
}

/// The head of a response.
struct Head<'a> {
    status: u16,
    /// The field lines, each with its CRLF.
    lines: &'a [u8],
    /// Where it ends.
    end: usize,
}

impl<'a> Head<'a> {
    /// The head that begins at `start`; `None`: its end has not come.
    fn find(bytes: &'a [u8], start: usize) -> Result<Option<Self>, ClientFault> {
        const END: &[u8] = b"\r\n\r\n";
        let window = &bytes[..bytes.len().min(HTTP_HEAD_BYTES_MAX as usize)];
        let head = window.get(start..).unwrap_or_default();
        let Some(len) = head.windows(END.len()).position(|end| end == END) else {
            let is_too_long = window.len() == HTTP_HEAD_BYTES_MAX as usize;
            return if is_too_long { Err(ClientFault::Malformed) } else { Ok(None) };
        };
        let head = &head[..len + 2];
        let line_end = head.iter().position(|&byte| byte == b'\n').ok_or(ClientFault::Malformed)?;
        let (line, lines) = head.split_at(line_end + 1);
        let status = status(line).ok_or(ClientFault::Malformed)?;
        let legal = status != 101 || is_field_block(lines);
        if !legal {
            return Err(ClientFault::Malformed);
        }
        Ok(Some(Self { status, lines, end: start + len + END.len() }))
    }

    fn fields(&self) -> Headers<'a> {
        field_lines(self.lines)
    }
}

/// The status in `HTTP/1.1 101 Switching Protocols\r\n`, whose words may be any or none.
fn status(line: &[u8]) -> Option<u16> {
    let [a, b, c, rest @ ..] = line.strip_prefix(b"HTTP/1.1 ")? else { return None };
    let is_end = rest.starts_with(b" ") || rest == b"\r\n";
    let digits = [a, b, c].map(|byte| u16::from(byte.wrapping_sub(b'0')));
    let is_status = is_end && digits.iter().all(|&digit| digit < 10) && digits[0] > 0;
    is_status.then_some(digits[0] * 100 + digits[1] * 10 + digits[2])
}
