//! What must hold of the chain of WebSockets and its handler, whatever happens in which order: peers hear what a
//! server of the core alone would say, and no buf is lost. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::time::Duration;

use ringway::handler::http::Http;
use ringway::handler::websocket::{Out, Service, WebSockets};
use ringway::mem::{Buf, ConnId, kind, mask};
use ringway::pipeline::chain::http1;
use ringway::pipeline::chain::websocket::{MessageMeta, Settings};
use ringway::pipeline::{Cx, Pipeline, chain};
use ringway::proto::websocket::{
    CloseCode, Config, Connection, Event, Fault, Inflater, Kind, Limits, Role,
};
use ringway::testing::{End, Harness, SLOTS};
use ringway::time::Instant;

/// Connections that a list of operations can name.
const CONNS: usize = 4;

/// Bufs that may wait in front of the chain: fewer than the pool has, which may be starved.
const WAITING_MAX: usize = 100;

const LIMITS: Limits = Limits { frame_bytes: 3000, message_bytes: 4000, fragments: 6 };

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// What peers say, beside bytes of any kind: the first byte of a frame, and its payload.
const WORDS: [(u8, &[u8]); 27] = [
    (0x81, b"hello"),
    (0x82, b"\x00\xff"),
    (0x81, b""),
    (0x01, b"be"),
    (0x00, b"tw"),
    (0x80, b"een"),
    (0x02, b""),
    (0x80, b""),
    (0x89, b"ping"),
    (0x89, b""),
    (0x8a, b"pong"),
    (0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
    (0x41, &[0xf2, 0x48, 0xcd]),
    (0x80, &[0xc9, 0xc9, 0x07, 0x00]),
    (0xc2, &[0x00]),
    (0xc2, BOMB),
    (0xc1, &[0xff, 0xff]),
    (0xc1, &[0x4a, 0xfc, 0x0f, 0x00]),
    (0x81, &[0xc3]),
    (0xa1, b""),
    (0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
    (0x88, b""),
    (0x81, b"pause"),
    (0x81, b"resume"),
    (0x41, &[0x4a, 0x4e, 0x4c, 0x3b, 0x0c, 0x00, 0x00, 0x00, 0xff, 0xff]),
    (0x80, &[0x5a, 0x09, 0x00]),
    (0x01, &[b'a', 0xc3]),
];

/// 65,537 zeros, compressed.
const BOMB: &[u8] = &[
    0xec, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x82, 0x20, 0xff, 0xaf, 0xae, 0x21, 0x40, 0x01, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x0d,
];

/// Echoes, and stops listening to whoever asks for it.
#[derive(Default)]
struct Echo {
    paused: Vec<ConnId>,
}

impl Service for Echo {
    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        let conn = message.conn();
        match &*message {
            b"pause" => {
                out.send(Buf::marker(conn, kind::PAUSE));
                self.paused.push(conn);
            }
            b"resume" => {
                let first = self.paused.len().saturating_sub(CONNS);
                self.paused
                    .drain(first..)
                    .for_each(|conn| out.send(Buf::marker(conn, kind::RESUME)));
            }
            _ => {}
        }
        out.send(message);
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.paused.retain(|&paused| paused != conn);
    }
}

/// A connection, what its peer has said on it, and whether anything but that may have a say.
struct Conn {
    id: ConnId,
    said: Vec<u8>,
    disturbed: bool,
}

type Bed = Harness<Http<WebSockets<Echo>>>;

fn config() -> Config {
    Config { limits: LIMITS, ..Config::new(mask) }
}

fn bed() -> Bed {
    let settings = Settings { http: http1::Settings::for_slots(64, 64), websocket: config() };
    let chain = chain::WebSocket::new(SLOTS, settings);
    let handler = Http::new(SLOTS, WebSockets::new(Echo::default()));
    Harness::build(|_| (Pipeline::WebSocket(Box::new(chain)), handler))
}

/// Each byte is an operation and its argument, some with bytes of their own behind them.
pub fn check(bytes: &[u8]) {
    let mut bed = bed();
    let mut conns: Vec<Conn> = Vec::new();
    let (mut current, mut rest, mut starved) = (0, bytes, false);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let argument = usize::from(first & 31);
        if conns.len() <= current {
            let id = bed.open();
            bed.receive(id, REQUEST);
            // While the dataplane stops, nobody who comes is answered.
            let disturbed = bed.cx.draining;
            conns.push(Conn { id, said: Vec::new(), disturbed });
            current = conns.len() - 1;
        }
        let conn = &mut conns[current];
        if bed.waiting() > WAITING_MAX {
            bed.starve(false);
            bed.run();
        }
        match first >> 5 {
            0 => {
                let (raw, after) = rest.split_at(rest.len().min(argument + 1));
                say(&mut bed, conn, raw, 2048);
                rest = after;
            }
            1 => say(&mut bed, conn, &word(argument), 2048),
            2 => say(&mut bed, conn, &word(argument), 1),
            // Many at once, behind each other in their slots.
            3 => {
                let words: Vec<u8> = rest.iter().take(argument).copied().flat_map(many).collect();
                rest = &rest[rest.len().min(argument)..];
                say(&mut bed, conn, &words, usize::MAX);
            }
            4 => current = argument % CONNS,
            5 if argument > 15 => {
                say(
                    &mut bed,
                    conn,
                    &frame(0x82, &vec![argument as u8; 190 * (argument - 15)]),
                    2048,
                );
            }
            5 => {
                bed.starve(argument % 2 == 1);
                starved |= argument % 2 == 1;
            }
            6 => {
                bed.advance(Duration::from_secs(argument as u64));
                conns.iter_mut().for_each(|conn| conn.disturbed = true);
            }
            _ => {
                match argument {
                    0 => bed.eof(conn.id),
                    1 => bed.reset(conn.id),
                    2 => bed.drain(),
                    _ => bed.run(),
                }
                let all = argument == 2;
                conn.disturbed |= argument < 2;
                conns.iter_mut().for_each(|conn| conn.disturbed |= all);
            }
        }
    }
    bed.starve(false);
    // What waited for a slot goes on now.
    (0..64).for_each(|_| bed.run());
    assert_eq!(bed.waiting(), 0, "there are slots enough");
    conns.iter().for_each(|conn| check_conn(&bed, conn, starved));
    bed.finish();
}

fn say(bed: &mut Bed, conn: &mut Conn, bytes: &[u8], cut: usize) {
    // A transport would not receive it.
    if bed.paused(conn.id) {
        return;
    }
    conn.said.extend(bytes);
    match cut {
        usize::MAX => bed.receive(conn.id, bytes),
        _ => bed.receive_cut(conn.id, bytes, cut),
    }
    conn.disturbed |= bed.paused(conn.id);
}

fn word(number: usize) -> Vec<u8> {
    let (first, payload) = WORDS[number % WORDS.len()];
    frame(first, payload)
}

/// A word as often as the high bits of its byte say, which fills bursts.
fn many(byte: u8) -> Vec<u8> {
    word(usize::from(byte & 31)).repeat(1 + 7 * usize::from(byte >> 5))
}

/// A frame under a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => bytes.extend([0xfe, (len >> 8) as u8, len as u8]),
    }
    let (key, start) = ([1, 2, 3, 4], bytes.len() + 4);
    bytes.extend(key);
    bytes.extend(payload);
    mask(&mut bytes[start..], key, 0);
    bytes
}

/// What has come; of messages, those that are whole.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message(Kind, Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Hears all of `bytes`; what it hears, and the rule that ends it.
fn hear(role: Role, config: &Config, bytes: &[u8]) -> (Vec<Heard>, Option<Fault>) {
    let mut end = Connection::new(role, true, Instant::from_ns(1));
    let (mut inflater, mut message, mut heard) = (Inflater::new(true), Vec::new(), Vec::new());
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while at < bytes.len() {
        let step = match end.receive(config, Instant::from_ns(1), &mut bytes[at..]) {
            Ok(step) => step,
            Err(fault) => return (heard, Some(fault)),
        };
        let here = &bytes[at..at + step.consumed];
        at += step.consumed;
        match step.event {
            None => {}
            Some(Event::Data(data)) => {
                let piece = &here[data.range.clone()];
                if data.compressed {
                    let most = config.limits.message_bytes;
                    let start = message.len();
                    let done = inflate(&mut inflater, most, piece, data.last, &mut message)
                        .and_then(|()| {
                            end.take_inflated(
                                &mut inflater,
                                data.kind,
                                &message[start..],
                                data.last,
                            )
                        });
                    if let Err(fault) = done {
                        return (heard, Some(fault));
                    }
                } else {
                    message.extend(piece);
                }
                if data.last {
                    heard.push(Heard::Message(data.kind, std::mem::take(&mut message)));
                }
            }
            Some(Event::Ping(_)) if role == Role::Client => heard.push(Heard::Ping),
            Some(Event::Ping(_)) => heard.push(Heard::Pong(end.control_payload().to_vec())),
            Some(Event::Pong) if role == Role::Server => {}
            Some(Event::Pong) => heard.push(Heard::Pong(end.control_payload().to_vec())),
            Some(Event::Close(code)) => {
                let reason = if role == Role::Client { end.close_reason() } else { "" };
                heard.push(Heard::Close(code.map(CloseCode::number), reason.to_owned()));
            }
        }
    }
    (heard, None)
}

fn inflate(
    inflater: &mut Inflater,
    most: u64,
    piece: &[u8],
    last: bool,
    message: &mut Vec<u8>,
) -> Result<(), Fault> {
    let (mut room, mut at) = ([0; 4096], 0);
    loop {
        let progress = inflater.inflate(most, &piece[at..], last, &mut room)?;
        at += progress.consumed;
        message.extend(&room[..progress.written]);
        if progress.done {
            return Ok(());
        }
    }
}

/// Compressed data that is broken behind a text that is none: which of the two is seen first depends on how it was cut.
/// Both have the same code.
fn forget_which_was_first(heard: &mut [Heard]) {
    if let Some(Heard::Close(Some(1007), reason)) = heard.last_mut()
        && *reason == Fault::Text.name()
    {
        *reason = Fault::Deflate.name().to_owned();
    }
}

fn check_conn(bed: &Bed, conn: &Conn, starved: bool) {
    let sent = bed.sent(conn.id);
    let Some(head) = sent.windows(4).position(|end| end == b"\r\n\r\n") else {
        assert!(sent.is_empty() && conn.disturbed, "an answer in part");
        return;
    };
    assert!(sent.starts_with(b"HTTP/1.1 101 "));
    let (mut heard, fault) = hear(Role::Client, &Config::new(mask), &sent[head + 4..]);
    assert_eq!(fault, None, "a server that breaks a rule");
    let closes = heard.iter().filter(|one| matches!(one, Heard::Close(..))).count();
    assert!(closes <= 1, "once");
    assert!(closes == 0 || matches!(heard.last(), Some(Heard::Close(..))), "and last");
    // What waited for a slot behind a word to pause waits on.
    if conn.disturbed || bed.paused(conn.id) {
        return;
    }
    let (mut expected, fault) = hear(Role::Server, &config(), &conn.said);
    if let Some(fault) = fault {
        let code = fault.code().map(CloseCode::number);
        expected.push(Heard::Close(code, fault.name().to_owned()));
    }
    if starved {
        // Of pings that come in pieces while there is no slot, the last is answered.
        [&mut heard, &mut expected]
            .into_iter()
            .for_each(|all| all.retain(|one| !matches!(one, Heard::Pong(_))));
    }
    [&mut heard, &mut expected].into_iter().for_each(|all| forget_which_was_first(all));
    assert_eq!(heard, expected);
    assert_eq!(bed.closed(conn.id), (closes == 1).then_some(End::Linger));
}
