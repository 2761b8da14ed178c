//! What must hold of the chain of HTTP/1.1 and its handler, whatever happens in which order. The fuzz
//! target and `tests/fuzz_corpus.rs` share it.

use ringway::handler::Http;
use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::mem::{Buf, Burst, ConnId, kind};
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::pipeline::{Cx, Pipeline};
use ringway::testing::{Harness, SLOTS};
use std::time::Duration;

/// Connections that a list of operations can name.
const CONNS: usize = 4;

/// What peers say, beside bytes of any kind. `#` stands for the number of the request.
const WORDS: [&str; 21] = [
    "GET /number/# HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /number/# HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "HEAD /number/# HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /number/# HTTP/1.0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "POST /number/# HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /stream HTTP/1.0\r\n\r\n",
    "GET /length HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\nX-Check: 1\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Pieces that arrive at most while the pool is starved: each may wait in a slot of its own, and one
/// operation brings up to 100 more.
const PIECES_MAX: usize = 100;

/// What the service says, and the chain of those who break a rule.
const STATUSES: [u16; 13] = [100, 101, 200, 400, 408, 413, 414, 417, 431, 500, 501, 503, 505];

/// Parts of `/stream` and `/length`.
const PARTS: u32 = 3;
const LARGE_BYTES: usize = 100_000;

/// Answers by path, and keeps account of its streams.
struct Paths {
    /// Parts that each connection is still to get.
    parts: [u32; SLOTS as usize],
    /// Those that wait to be woken before each.
    sleepers: [bool; SLOTS as usize],
    awake: bool,
}

impl Service for Paths {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        let slot = request.conn().slot() as usize;
        self.parts[slot] = PARTS;
        self.sleepers[slot] = request.path() == b"/sleep";
        let response = match request.path() {
            b"/echo" => Response::echo(),
            b"/read" => return Reply::Body,
            b"/stream" | b"/sleep" => Response::new(200, Body::Stream(None)),
            b"/length" => Response::new(200, Body::Stream(Some(u64::from(PARTS) * 5))),
            b"/large" => Response::new(200, Body::Bytes(vec![b'-'; LARGE_BYTES].into())),
            b"/upgrade" if request.wants_upgrade() => Response::upgrade("x"),
            path => Response::text(200, String::from_utf8_lossy(path).into_owned()),
        };
        response.into()
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, _part: &Buf, last: bool) -> Reply {
        if last { Response::text(200, "read").into() } else { Reply::Body }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let slot = conn.slot() as usize;
        if self.sleepers[slot] && !cx.draining {
            self.awake = !self.awake;
            if self.awake {
                return Pull::Wait;
            }
        }
        let left = &mut self.parts[slot];
        if *left == 0 {
            return Pull::End;
        }
        let Some(mut part) = cx.alloc(5, conn) else { return Pull::Busy };
        assert!(part.append(b"part."));
        *left -= 1;
        Pull::Part(part)
    }

    fn upgraded(&mut self, _cx: &mut Cx, mut bytes: Buf, output: &mut Burst) {
        bytes.set_kind(kind::DATA, 0);
        assert!(output.push(bytes).is_ok(), "room for 8 was promised");
    }
}

/// One peer.
struct Peer {
    conn: ConnId,
    requests: u32,
}

/// Each byte is an operation and its argument, some with bytes of their own behind them.
pub fn check(bytes: &[u8]) {
    let chain = Http1::new(SLOTS, Settings::for_slots(64, 64));
    let (parts, sleepers) = ([0; SLOTS as usize], [false; SLOTS as usize]);
    let handler = Http::new(SLOTS, Paths { parts, sleepers, awake: false });
    let mut harness = Harness::build(|_| (Pipeline::Http1(Box::new(chain)), handler));
    let mut peers: Vec<Peer> = Vec::new();
    let (mut current, mut pieces, mut rest) = (0, 0, bytes);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let argument = usize::from(first & 31);
        if peers.len() <= current {
            peers.push(Peer { conn: harness.open(), requests: 0 });
            current = peers.len() - 1;
        }
        if pieces > PIECES_MAX {
            settle(&mut harness, &peers);
            pieces = 0;
        }
        let peer = &mut peers[current];
        match first >> 5 {
            0 => {
                let (raw, after) = rest.split_at(rest.len().min(argument + 1));
                harness.receive(peer.conn, raw);
                pieces += 1;
                rest = after;
            }
            1 => {
                harness.receive(peer.conn, peer.word(argument));
                pieces += 1;
            }
            2 => {
                let word = peer.word(argument);
                pieces += word.len();
                harness.receive_cut(peer.conn, word, 1);
            }
            3 => current = argument % CONNS,
            4 => harness.starve(argument % 2 == 1),
            5 if argument == 0 => harness.eof(peer.conn),
            5 if argument == 1 => harness.reset(peer.conn),
            5 if argument == 2 => harness.wake(peer.conn),
            5 => harness.run(),
            6 => harness.advance(Duration::from_secs(argument as u64 * 4)),
            _ if argument == 31 => harness.drain(),
            _ => harness.run(),
        }
    }
    settle(&mut harness, &peers);
    assert_eq!(harness.waiting(), 0, "there are slots enough");
    for peer in &peers {
        check_responses(harness.sent(peer.conn), harness.closed(peer.conn).is_some());
    }
    harness.finish();
}

/// What waited for a slot goes on.
fn settle(harness: &mut Harness<Http<Paths>>, peers: &[Peer]) {
    harness.starve(false);
    for _ in 0..64 {
        peers.iter().for_each(|peer| harness.wake(peer.conn));
    }
}

impl Peer {
    fn word(&mut self, index: usize) -> String {
        self.requests += 1;
        WORDS[index % WORDS.len()].replace('#', &self.requests.to_string())
    }
}

/// What a peer got is whole responses, in the order of their requests, until the connection ends or
/// another protocol begins.
fn check_responses(mut rest: &[u8], closed: bool) {
    let mut last_number = 0;
    while !rest.is_empty() {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = rest.split_at(end.expect("heads are sent whole") + 4);
        let head = std::str::from_utf8(head).expect("heads are ASCII");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status: u16 = status.and_then(|status| status.parse().ok()).expect("a status");
        assert!(STATUSES.contains(&status), "{head}");
        assert_ne!(status, 500, "no service of ours fails: {head}");
        rest = match field(head, "Content-Length: ").map(|n| n.parse::<usize>().expect("digits")) {
            _ if status == 101 => return,
            _ if status == 100 => body,
            // The answer to HEAD has a length and no body: the next head follows at once.
            Some(_) if body.starts_with(b"HTTP/1.1 ") => body,
            Some(length) if body.len() >= length => {
                let (body, rest) = body.split_at(length);
                if let Some(number) = body.strip_prefix(b"/number/") {
                    let number = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok());
                    let number: u32 = number.expect("the number of a request");
                    assert!(number > last_number, "{number} after {last_number}");
                    last_number = number;
                }
                rest
            }
            // Cut off by the end, not there yet, or the last one's to HEAD.
            Some(_) => return,
            None if field(head, "Transfer-Encoding: chunked").is_some() => match chunked(body) {
                Some(rest) => rest,
                None => return,
            },
            None => {
                assert!(closed || body.len() < 15, "it ends with the connection");
                return;
            }
        };
    }
}

fn field<'a>(head: &'a str, start: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(start))
}

/// What follows a chunked body; `None` when it is not whole.
fn chunked(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let line = rest.iter().position(|&byte| byte == b'\r')?;
        let size = std::str::from_utf8(&rest[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return rest.strip_prefix(b"\r\n");
        }
        rest = rest.get(size + 2..)?;
    }
}
