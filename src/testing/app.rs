//! A router without a socket: requests in, answers out.

use std::ops::{Deref, DerefMut};

use super::{Harness, SLOTS};
use crate::handler::http::{Http, Routed, Router, Service as _};
use crate::mem::{ConnId, mask};
use crate::pipeline::chain::http1;
use crate::pipeline::chain::websocket::{self, WebSocket};
use crate::pipeline::{Extensions, Pipeline};
use crate::proto::websocket::Config;

/// A [`Router`] behind the chain of HTTP and WebSockets, in a [`Harness`].
///
/// ```
/// use ringway::handler::http::{Ctx, Router};
/// use ringway::testing::App;
///
/// let mut app = App::new(|_| Router::new().get("/hello/:name", |ctx: &mut Ctx<'_>| {
///     format!("hello, {}", ctx.param("name").unwrap_or_default())
/// }));
/// let answer = app.get("/hello/you");
/// assert_eq!((answer.status, answer.text()), (200, "hello, you"));
/// assert_eq!(app.post("/hello/you", "x").header("allow"), Some("GET, HEAD, OPTIONS"));
/// ```
pub struct App {
    harness: Harness<Http<Routed>>,
}

impl Deref for App {
    type Target = Harness<Http<Routed>>;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl DerefMut for App {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.harness
    }
}

impl App {
    /// The router that `make` makes, as at the start of an lcore.
    ///
    /// # Panics
    /// When its routes make no sense.
    pub fn new(make: impl FnOnce(&mut Extensions) -> Router) -> Self {
        let http = http1::Settings::for_slots(256, 64);
        let mut settings = websocket::Settings { http, websocket: Config::new(mask) };
        let harness = Harness::build(|extensions| {
            let routed = make(extensions).build().unwrap_or_else(|error| panic!("{error}"));
            let usual = settings.http.limits.body_bytes;
            settings.http.limits.body_bytes = routed.body_bytes_max().unwrap_or(usual);
            let chain = WebSocket::new(SLOTS, settings);
            (Pipeline::WebSocket(Box::new(chain)), Http::new(SLOTS, routed))
        });
        Self { harness }
    }

    /// What GET is answered with.
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"), b"")
    }

    /// What POST of a body is answered with.
    pub fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST", target, &[], body)
    }

    /// What any request is answered with: fields as `name: value`. `Host` and `Content-Length` are there already.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let body = body.as_ref();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let length = match body {
            [] => String::new(),
            body => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}{length}\r\n");
        self.ask(&head, body)
    }

    /// What a head and a body, as they are, are answered with on a connection of their own.
    ///
    /// # Panics
    /// When there is no answer yet: [`begin`](Self::begin) does not wait for one.
    pub fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        let conn = self.begin(head, body);
        let answer = self.answer(conn, head.starts_with("HEAD "));
        self.harness.reset(conn);
        answer.unwrap_or_else(|| panic!("no answer to {}", head.lines().next().unwrap_or_default()))
    }

    /// Sends a head and a body, and leaves their connection open.
    pub fn begin(&mut self, head: &str, body: &[u8]) -> ConnId {
        let conn = self.harness.open();
        self.harness.receive(conn, [head.as_bytes(), body].concat());
        conn
    }

    /// Takes the first answer of a connection, and leaves what is behind it; `None`: it is not whole.
    ///
    /// # Panics
    /// When what was sent is no HTTP.
    pub fn answer(&mut self, conn: ConnId, bodiless: bool) -> Option<Answer> {
        let (answer, bytes) = Answer::read(self.harness.sent(conn), bodiless)?;
        let left = self.harness.take_sent(conn).split_off(bytes);
        self.harness.unsend(conn, &left);
        Some(answer)
    }
}

/// A response, as its peer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields in their order.
    pub headers: Vec<(String, String)>,
    /// Its body without chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is no UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The first answer of `bytes`, and how many of them it is.
    fn read(bytes: &[u8], bodiless: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no head: {head}"));
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line}"));
            (name.to_owned(), value.to_owned())
        };
        let mut answer = Self { status, headers: lines.map(field).collect(), body: Vec::new() };
        if status == 100 {
            let (answer, behind) = Self::read(&bytes[end..], bodiless)?;
            return Some((answer, end + behind));
        }
        if bodiless || matches!(status, 101 | 204 | 304) {
            return Some((answer, end));
        }
        let rest = &bytes[end..];
        let (body, len) = match answer.header("content-length").and_then(|n| n.parse().ok()) {
            Some(length) => (rest.get(..length)?.to_vec(), length),
            None if answer.header("transfer-encoding") == Some("chunked") => unchunk(rest)?,
            None => (rest.to_vec(), rest.len()),
        };
        answer.body = body;
        Some((answer, end + len))
    }
}

/// What chunks carry (RFC 9112 §7.1), and how long they are with their trailers; `None`: their end is missing.
fn unchunk(all: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut bytes, mut body) = (all, Vec::new());
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hex");
        if size == 0 {
            let behind = &bytes[end..];
            let last = behind.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            return Some((body, all.len() - behind.len() + last));
        }
        body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_one_by_one_and_whole() {
        let mut app = App::new(|_| Router::new().get("/:word", |ctx| ctx.path().len().to_string()));
        let get = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let conn = app.begin(&(get("/a") + &get("/abc")), b"");
        let text = |answer: Option<Answer>| answer.map(|answer| answer.text().to_owned());
        assert_eq!(text(app.answer(conn, false)).as_deref(), Some("2"));
        let second = app.take_sent(conn);
        app.unsend(conn, &second[..second.len() - 1]);
        assert_eq!(app.answer(conn, false), None);
        assert_eq!(app.sent(conn).len(), second.len() - 1, "it is left until it is whole");
    }

    #[test]
    fn chunks_end_behind_their_trailers() {
        let chunks = b"2\r\nab\r\n0\r\nA: b\r\n\r\nnext";
        assert_eq!(unchunk(chunks), Some((b"ab".to_vec(), chunks.len() - 4)));
        assert_eq!(unchunk(b"1\r\na\r\n0\r\n\r\n"), Some((b"a".to_vec(), 11)));
        assert_eq!(unchunk(&chunks[..16]), None);
    }
}
