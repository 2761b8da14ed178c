//! Random valid HTTP requests and the replies that `Builtin` owes for them, byte for byte but for
//! the date.

use ringway::transport::sim::Rng;

/// Stands for any byte.
pub const ANY: u16 = 256;

/// The reply to one request: as it is, and as it is when the server is about to close.
pub struct Reply {
    pub plain: Vec<u16>,
    pub closing: Vec<u16>,
}

/// What there is to ask for.
struct Case {
    line: &'static str,
    status: &'static str,
    content_type: &'static str,
    body: &'static str,
    allow: &'static str,
    /// The body of the reply is that of the request.
    echoes: bool,
    /// Requests of it carry a body.
    sends: bool,
}

const OK: Case = Case {
    line: "GET / ",
    status: "200 OK",
    content_type: "text/plain",
    body: "hello! I'm go server !",
    allow: "",
    echoes: false,
    sends: false,
};
const REFUSED: Case = Case {
    line: "POST / ",
    status: "405 Method Not Allowed",
    body: "method not allowed\n",
    allow: "GET, HEAD, OPTIONS",
    sends: true,
    ..OK
};
const UNKNOWN: Case =
    Case { line: "GET /nowhere?x=1 ", status: "404 Not Found", body: "not found\n", ..OK };
const ECHO: Case = Case {
    line: "POST /echo ",
    content_type: "application/octet-stream",
    body: "",
    echoes: true,
    sends: true,
    ..OK
};

/// The cases, those that matter most more often.
const CASES: [Case; 8] = [
    OK,
    Case { line: "POST /ping ", body: "pong", ..OK },
    Case { line: "POST /ping ", body: "pong", sends: true, ..OK },
    ECHO,
    ECHO,
    UNKNOWN,
    REFUSED,
    Case { line: "GET /echo ", allow: "POST, OPTIONS", sends: false, ..REFUSED },
];

/// Appends a random request to `out`, with a body of at most `body_max` bytes; returns the reply
/// that it must get.
pub fn request(rng: &mut Rng, body_max: usize, close: bool, out: &mut Vec<u8>) -> Reply {
    let case = &CASES[rng.below(CASES.len())];
    let body = if case.sends { random_body(rng, body_max) } else { Vec::new() };
    out.extend(format!("{}HTTP/1.1\r\nHost: sim\r\n", case.line).bytes());
    if rng.chance(150_000) {
        // A head that one small slot cannot hold.
        out.extend(format!("X-Padding: {}\r\n", "p".repeat(rng.below(body_max.max(1)))).bytes());
    }
    if case.sends || rng.chance(100_000) {
        out.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    if close {
        out.extend(b"Connection: close\r\n");
    }
    out.extend(b"\r\n");
    out.extend(&body);
    let body = if case.echoes { &body } else { case.body.as_bytes() };
    Reply { plain: reply(case, body, close), closing: reply(case, body, true) }
}

fn random_body(rng: &mut Rng, most: usize) -> Vec<u8> {
    let bytes = match rng.below(4) {
        0 => 0,
        1 => rng.below(32),
        _ => rng.below(most + 1),
    };
    (0..bytes).map(|_| rng.next_u64() as u8).collect()
}

fn reply(case: &Case, body: &[u8], close: bool) -> Vec<u16> {
    let mut out: Vec<u16> = Vec::new();
    let mut text = |text: &str| out.extend(text.bytes().map(u16::from));
    text(&format!("HTTP/1.1 {}\r\nDate: ", case.status));
    let date = "#".repeat(29);
    text(&date);
    text(&format!("\r\nContent-Type: {}\r\n", case.content_type));
    text(&format!("Content-Length: {}\r\n", body.len()));
    if close {
        text("Connection: close\r\n");
    }
    if !case.allow.is_empty() {
        text(&format!("Allow: {}\r\n", case.allow));
    }
    text("\r\n");
    let at = out.windows(29).position(|bytes| bytes.iter().all(|&b| b == u16::from(b'#')));
    let at = at.expect("the date was just written");
    out[at..at + 29].fill(ANY);
    out.extend(body.iter().copied().map(u16::from));
    out
}
