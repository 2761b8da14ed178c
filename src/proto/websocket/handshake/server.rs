//! The server's part: whether a request is one for a WebSocket, and the answer.

use base64ct::{Base64, Encoding};

use super::{ACCEPT_BYTES, KEY_BYTES, NONCE_BYTES, Writer, accept_value, list, names};
use crate::proto::http1::{BodyLength, Head, Headers, Method, is_token};
use crate::proto::websocket::extension::{Deflate, EXTENSION_BYTES_MAX, Malformed};

/// Why a request is not answered with 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It is no GET.
    Method,
    /// It does not ask for a WebSocket, or not in HTTP/1.1.
    NoUpgrade,
    /// It wants another version than 13.
    Version,
    /// `Sec-WebSocket-Key` is missing, or twice there, or not 16 bytes in base64.
    Key,
    /// It has a body, or a field that says something illegal.
    Malformed,
    /// Whoever asks comes from a place that is not welcome.
    Origin,
}

impl Refusal {
    /// The status code of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::NoUpgrade | Self::Version => 426,
            Self::Key | Self::Malformed => 400,
            Self::Origin => 403,
        }
    }

    /// The whole answer. The connection ends with it.
    pub const fn response(self) -> &'static [u8] {
        match self {
            Self::Method => {
                b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\n\
                  Content-Length: 0\r\n\r\n"
            }
            Self::NoUpgrade => {
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\
                  Connection: upgrade, close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Version => {
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\
                  Connection: upgrade, close\r\nSec-WebSocket-Version: 13\r\n\
                  Content-Length: 0\r\n\r\n"
            }
            Self::Key | Self::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Origin => {
                b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
        }
    }
}

/// What a listener offers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Server<'a> {
    /// The protocols that are spoken inside. Of those that a client names, in the order of its preference,
    /// the first that is here is chosen; none, where none is.
    pub protocols: &'a [&'a str],
    /// How messages are compressed where a client offers it; `None`: they are not.
    pub deflate: Option<Deflate>,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The value of `Sec-WebSocket-Accept`: base64.
    pub accept: [u8; ACCEPT_BYTES],
    /// The protocol, and the value of `Sec-WebSocket-Protocol`.
    pub protocol: Option<&'a str>,
    /// How messages are compressed, which is
    /// [written](Deflate::write_answer) as `Sec-WebSocket-Extensions`.
    pub deflate: Option<Deflate>,
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Fields<'a> {
    key: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    websocket: bool,
    /// Some field that may be there once is there twice.
    repeated: bool,
}

impl<'a> Fields<'a> {
    fn gather(fields: Headers<'a>) -> Self {
        let mut found = Self::default();
        for (name, value) in fields {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            let once = match name.len() {
                4 if is("Host") => &mut found.host,
                6 if is("Origin") => &mut found.origin,
                7 if is("Upgrade") => {
                    found.websocket |= names(value, "websocket");
                    continue;
                }
                17 if is("Sec-WebSocket-Key") => &mut found.key,
                21 if is("Sec-WebSocket-Version") => &mut found.version,
                _ => continue,
            };
            found.repeated |= once.replace(value).is_some();
        }
        found
    }
}

impl<'a> Server<'a> {
    /// Looks at a request whose head was decoded from `bytes` (RFC 6455 §4.2.1). `is_welcome` is told its
    /// Origin and its Host, where there are such (§10.2): browsers send both, and others what they like.
    pub fn accept(
        &self,
        bytes: &[u8],
        head: &Head,
        is_welcome: impl FnOnce(Option<&[u8]>, Option<&[u8]>) -> bool,
    ) -> Result<Accepted<'a>, Refusal> {
        if head.method != Method::Get {
            return Err(Refusal::Method);
        }
        if !head.upgrade {
            return Err(Refusal::NoUpgrade);
        }
        if head.body != BodyLength::None {
            return Err(Refusal::Malformed);
        }
        self.accept_fields(head.headers(bytes), is_welcome)
    }

    /// The same of a GET that asks for an upgrade and has no body.
    pub fn accept_fields(
        &self,
        headers: Headers<'_>,
        is_welcome: impl FnOnce(Option<&[u8]>, Option<&[u8]>) -> bool,
    ) -> Result<Accepted<'a>, Refusal> {
        let fields = Fields::gather(headers.clone());
        if !fields.websocket {
            return Err(Refusal::NoUpgrade);
        }
        if fields.repeated {
            return Err(Refusal::Malformed);
        }
        if fields.version != Some(b"13") {
            return Err(Refusal::Version);
        }
        let key = fields.key.filter(|key| is_key(key)).ok_or(Refusal::Key)?;
        if !is_welcome(fields.origin, fields.host) {
            return Err(Refusal::Origin);
        }
        let protocol = self.choose_protocol(headers.clone())?;
        let deflate = self.choose_deflate(headers).map_err(|_| Refusal::Malformed)?;
        Ok(Accepted { accept: accept_value(key), protocol, deflate })
    }

    fn choose_protocol(&self, fields: Headers<'_>) -> Result<Option<&'a str>, Refusal> {
        let mut chosen = None;
        for part in fields_called(fields, "Sec-WebSocket-Protocol").flat_map(list) {
            if !is_token(part) {
                return Err(Refusal::Malformed);
            }
            let spoken = || self.protocols.iter().find(|protocol| protocol.as_bytes() == part);
            chosen = chosen.or_else(spoken);
        }
        Ok(chosen.copied())
    }

    fn choose_deflate(&self, fields: Headers<'_>) -> Result<Option<Deflate>, Malformed> {
        let policy = self.deflate.unwrap_or_default();
        let mut chosen = None;
        for field in fields_called(fields, "Sec-WebSocket-Extensions") {
            let found = policy.choose(field)?;
            chosen = chosen.or(found);
        }
        Ok(chosen.filter(|_| self.deflate.is_some()))
    }
}

fn fields_called<'a>(fields: Headers<'a>, wanted: &str) -> impl Iterator<Item = &'a [u8]> {
    let is_wanted = |(name, _): &(&[u8], _)| name.eq_ignore_ascii_case(wanted.as_bytes());
    fields.filter(is_wanted).map(|(_, value)| value)
}

impl Accepted<'_> {
    /// Writes the whole answer (RFC 6455 §4.2.2) to the front of `out` and returns its length; `None`: there
    /// is no room.
    pub fn write_response(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        writer.put("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
        writer.put("Connection: Upgrade\r\n");
        writer.field("Sec-WebSocket-Accept", self.accept);
        if let Some(protocol) = self.protocol {
            writer.field("Sec-WebSocket-Protocol", protocol);
        }
        if let Some(deflate) = self.deflate {
            let mut value = [0; EXTENSION_BYTES_MAX];
            writer.field("Sec-WebSocket-Extensions", deflate.write_answer(&mut value));
        }
        writer.end()
    }
}

/// Whether it is 16 bytes in base64.
fn is_key(value: &[u8]) -> bool {
    let mut nonce = [0; NONCE_BYTES];
    value.len() == KEY_BYTES
        && Base64::decode(value, &mut nonce).is_ok_and(|nonce| nonce.len() == NONCE_BYTES)
}

/// Whether an Origin is a page of the host that is asked, over http or https: a check that keeps other
/// sites' pages out. Who sends none is no browser.
pub fn is_same_origin(origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
    let Some(origin) = origin else { return true };
    let place = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (front, place) = origin.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(place)
    });
    place.zip(host).is_some_and(|(place, host)| place.eq_ignore_ascii_case(host))
}
