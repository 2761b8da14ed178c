//! What is asked for, and the opening handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{Agreed, Deadline};
use super::{Client, Error, Socket, Url};
use crate::limits::{
    HTTP_HEAD_BYTES_MAX, WEBSOCKET_CLIENT_MESSAGE_BYTES_MAX, WEBSOCKET_CLIENT_REFUSAL_BYTES_MAX,
    WEBSOCKET_CLIENT_TIMEOUT_NS,
};
use crate::mem::mask;
use crate::proto::http1::{ChunkDecoder, Limits as HttpLimits, is_token};
use crate::proto::websocket::handshake::{
    Client as Request, ClientFault, Declined, NONCE_BYTES, is_further_field,
};
use crate::proto::websocket::{Config, Deflate, Limits};
use crate::sys::random;
use crate::sys::unix_stream::{self, Until};

/// What a WebSocket is to be like. Nothing of it is needed.
#[derive(Debug, Clone)]
pub struct Options {
    protocols: Vec<String>,
    origin: Option<String>,
    fields: Vec<(String, String)>,
    deflate: Option<Deflate>,
    message_bytes_max: u64,
    timeout: Duration,
    unix: Option<PathBuf>,
    nonce: Option<[u8; NONCE_BYTES]>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The usual: no protocol, no origin, no compression, messages of up to 64 MiB, 10 seconds a call.
    pub fn new() -> Self {
        Self {
            protocols: Vec::new(),
            origin: None,
            fields: Vec::new(),
            deflate: None,
            message_bytes_max: WEBSOCKET_CLIENT_MESSAGE_BYTES_MAX,
            timeout: Duration::from_nanos(WEBSOCKET_CLIENT_TIMEOUT_NS),
            unix: None,
            nonce: None,
        }
    }

    /// A protocol that may be spoken inside, behind those named before, which are preferred.
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Where the page comes from that connects, as browsers say: `http://example.com`.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// A further field of the request, such as Authorization or Cookie.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Whether compression is offered (permessage-deflate, RFC 7692), with the largest windows.
    pub fn compress(self, compress: bool) -> Self {
        self.deflate(compress.then(Deflate::default))
    }

    /// Compression that is offered; `None`: it is not.
    pub fn deflate(mut self, deflate: Option<Deflate>) -> Self {
        self.deflate = deflate;
        self
    }

    /// Largest message that is taken, in bytes.
    pub fn message_bytes_max(mut self, bytes: u64) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// How long a call may take: connecting with its handshake, sending, receiving, closing.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The Unix socket to connect to, or an abstract name after an `@`, in place of the host and port of the URL,
    /// which then only says what Host and path are.
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix = Some(path.into());
        self
    }

    /// For tests whose server's answer is written down: what is sent as the key, in place of randomness.
    pub fn nonce(mut self, nonce: [u8; NONCE_BYTES]) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Connects to a `ws://` URL and opens a WebSocket.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let deadline = Deadline::new(self.timeout, "connect");
        let url = Url::parse(url)?;
        self.check()?;
        let (socket, place) = match &self.unix {
            Some(path) => (unix(path, deadline.left()), path.display().to_string()),
            None => (Socket::connect(&url.host, url.port, deadline.left()), url.authority.clone()),
        };
        let socket = socket.map_err(|why| match why.kind() {
            io::ErrorKind::TimedOut => deadline.passed(),
            _ => Error::Connect { place, why },
        })?;
        self.open_within(&url, socket, deadline)
    }

    /// Opens a WebSocket over a socket that is connected.
    pub fn open(&self, url: &str, socket: impl Into<Socket>) -> Result<Client, Error> {
        let deadline = Deadline::new(self.timeout, "open a WebSocket");
        let url = Url::parse(url)?;
        self.check()?;
        self.open_within(&url, socket.into(), deadline)
    }

    /// Refuses what cannot be sent, and says which.
    fn check(&self) -> Result<(), Error> {
        let fail = |why: String| Err(Error::Request(why));
        if let Some(bad) = self.protocols.iter().find(|name| !is_token(name.as_bytes())) {
            return fail(format!(
                "the protocol {bad:?} is no token; name it with letters, digits, - or ."
            ));
        }
        let is_origin = |origin: &String| origin.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(origin) = self.origin.as_ref().filter(|origin| !is_origin(origin)) {
            return fail(format!("the origin {origin:?} is malformed; write http://HOST"));
        }
        for (name, value) in &self.fields {
            if !is_further_field(name, value) {
                return fail(format!(
                    "the field {name:?}: {value:?} is malformed, or one that the handshake has itself; leave it out"
                ));
            }
        }
        Ok(())
    }

    fn open_within(
        &self,
        url: &Url,
        mut socket: Socket,
        deadline: Deadline,
    ) -> Result<Client, Error> {
        socket.prepare()?;
        let protocols: Vec<&str> = self.protocols.iter().map(String::as_str).collect();
        let fields: Vec<_> = self.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = Request {
            host: &url.authority,
            target: &url.target,
            origin: self.origin.as_deref(),
            protocols: &protocols,
            deflate: self.deflate,
            fields: &fields,
        };
        let nonce = self.draw_nonce()?;
        let mut head = vec![0; HTTP_HEAD_BYTES_MAX as usize];
        let bytes = request.write_request(&nonce, &mut head).ok_or_else(|| {
            Error::Request("its head is longer than 16 KiB; send less in fields".to_owned())
        })?;
        write(&mut socket, &head[..bytes], deadline)?;
        let mut answer = Vec::new();
        loop {
            match request.read_response(&nonce, &answer) {
                Ok(Some(response)) => {
                    let (protocol, deflate) =
                        (response.protocol.map(str::to_owned), response.deflate);
                    let agreed = Agreed { protocol, deflate };
                    let ahead = &answer[response.head_bytes..];
                    return Ok(Client::new(socket, self.config(), self.timeout, agreed, ahead));
                }
                Ok(None) => {}
                Err(ClientFault::Status(status)) => {
                    return Err(refusal(&mut socket, status, answer, deadline));
                }
                Err(fault) => return Err(Error::Handshake(fault)),
            }
            if read(&mut socket, &mut answer, deadline)? == 0 {
                return Err(Error::Ended);
            }
        }
    }

    fn draw_nonce(&self) -> Result<[u8; NONCE_BYTES], Error> {
        let mut nonce = [0; NONCE_BYTES];
        random::fill(&mut nonce)?;
        Ok(self.nonce.unwrap_or(nonce))
    }

    fn config(&self) -> Config {
        let bytes = self.message_bytes_max;
        let limits = Limits { frame_bytes: u64::MAX, message_bytes: bytes, ..Limits::default() };
        // A program that does not call does not ping either.
        Config { limits, ping_interval_ns: 0, ..Config::new(mask) }
    }
}

fn unix(path: &Path, timeout: Duration) -> io::Result<Socket> {
    unix_stream::connect(path, timeout).map(Socket::Unix)
}

fn write(socket: &mut Socket, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.send(&bytes[sent..])? {
            Some(count) => sent += count,
            None if deadline.left().is_zero() => return Err(deadline.passed()),
            None => _ = socket.wait(Until::Writable, deadline.left())?,
        }
    }
    Ok(())
}

/// Reads what comes next; 0 at the server's end.
fn read(socket: &mut Socket, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, Error> {
    let mut room = [0; 4096];
    loop {
        match socket.receive(&mut room)? {
            Some(count) => {
                into.extend_from_slice(&room[..count]);
                return Ok(count);
            }
            None if deadline.left().is_zero() => return Err(deadline.passed()),
            None => _ = socket.wait(Until::Readable, deadline.left())?,
        }
    }
}

/// An answer that refuses, with what can be had of its body.
fn refusal(socket: &mut Socket, status: u16, mut answer: Vec<u8>, deadline: Deadline) -> Error {
    const MOST: usize = WEBSOCKET_CLIENT_REFUSAL_BYTES_MAX;
    let (mut location, mut head_bytes, mut chunked, mut wanted) = (None, answer.len(), false, MOST);
    if let Some(declined) = Declined::read(&answer) {
        let text =
            |name| declined.field(name).map(|value| String::from_utf8_lossy(value).into_owned());
        location = text("location").filter(|_| (300..400).contains(&status));
        chunked = text("transfer-encoding").is_some();
        let length = text("content-length").and_then(|length| length.parse().ok());
        wanted = if chunked { MOST } else { length.unwrap_or(MOST).min(MOST) };
        head_bytes = declined.head_bytes;
    }
    let is_whole = |answer: &[u8]| {
        let body = &answer[head_bytes..];
        body.len() >= wanted || chunked && dechunked(body).is_none_or(|(_, whole)| whole)
    };
    while !is_whole(&answer) && read(socket, &mut answer, deadline).is_ok_and(|count| count > 0) {}
    let mut body = answer.split_off(head_bytes);
    if chunked && let Some((plain, _)) = dechunked(&body) {
        body = plain;
    }
    body.truncate(wanted);
    Error::Refused { status, location, body }
}

/// What of a chunked body is there, and whether that is all; `None`: it is none.
fn dechunked(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut decoder = ChunkDecoder::new(&HttpLimits::default());
    let (mut plain, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let step = decoder.decode(rest).ok()?;
        plain.extend_from_slice(&rest[step.data.unwrap_or(0..0)]);
        rest = &rest[step.consumed..];
        if step.done {
            return Some((plain, true));
        }
    }
    Some((plain, false))
}
