//! Random valid HTTP requests of every kind, and the replies that `Served` owes for them, byte for
//! byte but for the date.

use ringway::transport::sim::Rng;

use crate::reply::{Framing, Head, Reply};
use crate::service::{stream_of, sum_of};

/// What a request asks for.
struct Case {
    method: &'static str,
    target: &'static str,
    status: &'static str,
    content_type: &'static str,
    body: &'static str,
    allow: &'static str,
    /// Where the body of the reply comes from.
    gives: Gives,
    /// Requests of it carry a body.
    sends: bool,
}

/// Where the body of a reply comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Text,
    /// The body of the request.
    Echo,
    /// What `Served` makes of the body of the request.
    Sum,
    /// Bytes in parts, of a length that the head tells.
    Sized,
    /// The same, and their end alone tells.
    Stream,
    /// No body, and no length of one.
    Nothing,
}

const OK: Case = Case {
    method: "GET",
    target: "/",
    status: "200 OK",
    content_type: "text/plain",
    body: "hello! I'm go server !",
    allow: "",
    gives: Gives::Text,
    sends: false,
};
const REFUSED: Case = Case {
    method: "POST",
    status: "405 Method Not Allowed",
    body: "method not allowed\n",
    allow: "GET, HEAD, OPTIONS",
    sends: true,
    ..OK
};
const ECHO: Case = Case {
    method: "POST",
    target: "/echo",
    content_type: "application/octet-stream",
    gives: Gives::Echo,
    sends: true,
    ..OK
};
const SUM: Case = Case { target: "/sum", content_type: "text/plain", gives: Gives::Sum, ..ECHO };
const PING: Case = Case { method: "POST", target: "/ping", body: "pong", ..OK };
const OPTIONS: Case = Case {
    method: "OPTIONS",
    status: "204 No Content",
    content_type: "",
    allow: "GET, HEAD, OPTIONS",
    gives: Gives::Nothing,
    ..OK
};
const UNKNOWN: Case =
    Case { target: "/nowhere?x=1", status: "404 Not Found", body: "not found\n", ..OK };

/// The cases, those that matter most more often.
const CASES: [Case; 17] = [
    OK,
    Case { method: "HEAD", ..OK },
    PING,
    Case { sends: true, ..PING },
    ECHO,
    ECHO,
    ECHO,
    SUM,
    SUM,
    UNKNOWN,
    Case { method: "HEAD", ..UNKNOWN },
    REFUSED,
    Case { target: "/echo", method: "GET", allow: "POST, OPTIONS", sends: false, ..REFUSED },
    OPTIONS,
    Case { target: "/echo", allow: "POST, OPTIONS", ..OPTIONS },
    Case { target: "*", allow: "GET, HEAD, POST, OPTIONS", ..OPTIONS },
    Case {
        target: "/health",
        content_type: "application/json",
        body: "{\"status\":\"ok\"}\n",
        ..OK
    },
];

/// Those whose replies are made in parts; they hold others up, so they are rarer.
const STREAMS: [Case; 4] = [
    Case { target: "/sized", content_type: "", gives: Gives::Sized, ..OK },
    Case { target: "/stream", content_type: "", gives: Gives::Stream, ..OK },
    Case { target: "/stream", content_type: "", gives: Gives::Stream, ..OK },
    Case { method: "HEAD", target: "/stream", content_type: "", gives: Gives::Stream, ..OK },
];

/// What requests may be like.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    pub body_max: usize,
    /// Bytes that a field may be padded with. Past what a small slot holds, a head is refused when
    /// there is no large one.
    pub padding_max: usize,
    /// One in so many is answered in parts.
    pub streams_one_in: usize,
}

/// A request on its way.
pub struct Asked {
    pub reply: Reply,
    /// Bytes of it after which the client waits for `100 Continue`.
    pub waits_at: Option<usize>,
}

/// How the body of a request is told from what follows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Length,
    Chunks,
}

/// One request before it is written.
struct Choice {
    case: &'static Case,
    /// It is HTTP/1.0.
    old: bool,
    /// The last of its connection.
    close: bool,
    sent: Sent,
    body: Vec<u8>,
    /// Bytes of a reply that is made in parts.
    bytes: usize,
    expects: bool,
}

/// Appends a random request to `out`; the last of its connection when `close`.
pub fn request(rng: &mut Rng, kinds: Kinds, close: bool, out: &mut Vec<u8>) -> Asked {
    let choice = Choice::make(rng, kinds, close);
    let start = out.len();
    choice.write_head(rng, kinds, out);
    let head_bytes = out.len() - start;
    if choice.sent == Sent::Chunks {
        chunks(rng, &choice.body, out);
    } else {
        out.extend(&choice.body);
    }
    let waits = choice.expects && rng.below(2) == 0;
    Asked { waits_at: waits.then_some(head_bytes), reply: choice.reply() }
}

impl Choice {
    fn make(rng: &mut Rng, kinds: Kinds, close: bool) -> Self {
        let case = match rng.below(kinds.streams_one_in) {
            0 => &STREAMS[rng.below(STREAMS.len())],
            _ => &CASES[rng.below(CASES.len())],
        };
        // A stream of no known length ends the connection of such a peer.
        let old = rng.below(8) == 0 && (close || case.gives != Gives::Stream);
        let body = if case.sends { random_body(rng, kinds.body_max) } else { Vec::new() };
        let sent = match (case.sends, rng.below(3)) {
            (true, 0) if !old => Sent::Chunks,
            (true, _) => Sent::Length,
            (false, 0) => Sent::Length,
            (false, _) => Sent::Nothing,
        };
        let has_body = sent == Sent::Chunks || !body.is_empty();
        let reads = matches!(case.gives, Gives::Echo | Gives::Sum);
        let expects = has_body && reads && !old && rng.below(4) == 0;
        let bytes = rng.below(4 * kinds.body_max + 1);
        Self { case, old, close, sent, body, bytes, expects }
    }

    fn write_head(&self, rng: &mut Rng, kinds: Kinds, out: &mut Vec<u8>) {
        let Case { method, target, gives, .. } = self.case;
        let in_parts = matches!(gives, Gives::Sized | Gives::Stream);
        let query = if in_parts { format!("?{}", self.bytes) } else { String::new() };
        let version = if self.old { "1.0" } else { "1.1" };
        out.extend(format!("{method} {target}{query} HTTP/{version}\r\nHost: sim\r\n").bytes());
        fields(rng, kinds, self.sent, self.body.len(), out);
        if self.expects {
            out.extend(b"Expect: 100-continue\r\n");
        }
        out.extend(match (self.old, self.close) {
            (true, false) => &b"Connection: keep-alive\r\n"[..],
            (false, true) => b"Connection: close\r\n",
            _ => b"",
        });
        out.extend(b"\r\n");
    }

    fn reply(self) -> Reply {
        let Self { case, old, close, sent, body, bytes, expects } = self;
        let framing = framing(case, sent, old);
        let given = match case.gives {
            Gives::Text => case.body.as_bytes().to_vec(),
            Gives::Echo => body,
            Gives::Sum => sum_of(&body).into_bytes(),
            Gives::Sized | Gives::Stream => stream_of(bytes),
            Gives::Nothing => Vec::new(),
        };
        let stays = match (close, old) {
            (true, _) => "close",
            (false, true) => "keep-alive",
            (false, false) => "",
        };
        let streamed = case.gives == Gives::Stream;
        let silent = case.method == "HEAD";
        Reply {
            plain: head(case, framing, given.len(), stays),
            closing: head(case, framing, given.len(), "close"),
            continues: expects,
            framing: if silent { Framing::Length } else { framing },
            trailers: if streamed { format!("X-Bytes: {bytes}\r\n\r\n") } else { "\r\n".into() },
            body: if silent { Vec::new() } else { given },
        }
    }
}

fn fields(rng: &mut Rng, kinds: Kinds, sent: Sent, body_bytes: usize, out: &mut Vec<u8>) {
    if rng.chance(150_000) {
        let padding = "p".repeat(rng.below(kinds.padding_max.max(1)));
        out.extend(format!("X-Padding: {padding}\r\n").bytes());
    }
    match sent {
        Sent::Nothing => {}
        Sent::Length => out.extend(format!("Content-Length: {body_bytes}\r\n").bytes()),
        Sent::Chunks => out.extend(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn framing(case: &Case, sent: Sent, old: bool) -> Framing {
    match case.gives {
        Gives::Echo if sent == Sent::Chunks => Framing::Chunks,
        Gives::Stream if old => Framing::UntilClose,
        Gives::Stream => Framing::Chunks,
        _ => Framing::Length,
    }
}

/// `body` as chunks of random sizes, some with an extension, sometimes with trailers.
fn chunks(rng: &mut Rng, body: &[u8], out: &mut Vec<u8>) {
    let mut left = body;
    while !left.is_empty() {
        let (chunk, rest) = left.split_at(1 + rng.below(left.len()));
        let extension = ["", "", ";a=b"][rng.below(3)];
        out.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        left = rest;
    }
    out.extend(b"0\r\n");
    out.extend(if rng.below(3) == 0 { &b"X-Trailer: t\r\n"[..] } else { b"" });
    out.extend(b"\r\n");
}

fn random_body(rng: &mut Rng, most: usize) -> Vec<u8> {
    let bytes = match rng.below(4) {
        0 => 0,
        1 => rng.below(32.min(most + 1)),
        _ => rng.below(most + 1),
    };
    (0..bytes).map(|_| rng.next_u64() as u8).collect()
}

fn head(case: &Case, framing: Framing, bytes: usize, connection: &str) -> Head {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    };
    field("Content-Type", case.content_type);
    match framing {
        _ if case.gives == Gives::Nothing => {}
        Framing::Length => field("Content-Length", &bytes.to_string()),
        Framing::Chunks => field("Transfer-Encoding", "chunked"),
        Framing::UntilClose | Framing::Bare => {}
    }
    field("Connection", connection);
    field("Allow", case.allow);
    Head::new(format!("HTTP/1.1 {}", case.status), lines)
}
