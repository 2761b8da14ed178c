//! What one end hears, and what two ends say to each other. The categories are those of the conformance suite
//! that everybody runs (Autobahn).

mod closing;
mod compressed;
mod control;
mod data;
mod time;

use proptest::prelude::*;

use super::*;
use crate::proto::websocket::{Encoded, Event, Header, Limits, Piece, RSV1, Refused, Step};

/// Byte by byte, as the RFC says it.
pub fn mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[(phase + at) % 4];
    }
}

fn config() -> Config {
    Config::new(mask)
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn now() -> Instant {
    Instant::from_ns(1)
}

fn server() -> Connection {
    Connection::new(Role::Server, false, now())
}

/// A frame of a client's, whatever it says.
fn frame(fin: bool, rsv: u8, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    let header = Header { fin, rsv, opcode, mask: Some(KEY), payload_bytes: len }.encode();
    let mut bytes = [&*header, payload].concat();
    mask(&mut bytes[header.len()..], KEY, 0);
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(true, 0, Opcode::Text, payload)
}

fn close(payload: &[u8]) -> Vec<u8> {
    frame(true, 0, Opcode::Close, payload)
}

/// A message in pieces, a ping with its number before each but the first.
fn pieces(kind: Opcode, pieces: &[&[u8]], pings: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if pings && number > 0 {
            bytes.extend(frame(true, 0, Opcode::Ping, number.to_string().as_bytes()));
        }
        let opcode = if number == 0 { kind } else { Opcode::Continuation };
        bytes.extend(frame(number + 1 == pieces.len(), 0, opcode, piece));
    }
    bytes
}

/// What one end has heard; of messages, those that are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Message { kind: Kind, compressed: bool, frames: u32, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

fn message(kind: Kind, frames: u32, bytes: &[u8]) -> Heard {
    Heard::Message { kind, compressed: false, frames, bytes: bytes.to_vec() }
}

/// Hands `bytes` to one end, `cut` at a time, and answers nothing.
fn hear(end: &mut Connection, config: &Config, bytes: &[u8], cut: usize) -> Vec<Heard> {
    let (mut heard, mut begun, mut frames) = (Vec::new(), Vec::new(), 0);
    for piece in bytes.chunks(cut.max(1)) {
        let (mut piece, mut at) = (piece.to_vec(), 0);
        while at < piece.len() {
            let Step { consumed, event } = match end.receive(config, now(), &mut piece[at..]) {
                Ok(step) => step,
                Err(fault) => {
                    heard.push(Heard::Fault(fault));
                    break;
                }
            };
            let here = &piece[at..at + consumed];
            at += consumed;
            let Some(event) = event else {
                assert_eq!(at, piece.len(), "without an event all is consumed");
                break;
            };
            match event {
                Event::Data(data) => {
                    assert_eq!(data.first, begun.is_empty() && frames == 0 && data.frame_first);
                    assert!(data.frame_last || !data.last && !data.range.is_empty());
                    begun.extend_from_slice(&here[data.range]);
                    frames += u32::from(data.frame_last);
                    if data.last {
                        let bytes = std::mem::take(&mut begun);
                        let (kind, compressed) = (data.kind, data.compressed);
                        heard.push(Heard::Message { kind, compressed, frames, bytes });
                        frames = 0;
                    }
                }
                Event::Ping(range) => {
                    let payload = end.control_payload().to_vec();
                    assert!(range.is_none_or(|range| here[range] == payload));
                    heard.push(Heard::Ping(payload));
                }
                Event::Pong => heard.push(Heard::Pong(end.control_payload().to_vec())),
                Event::Close(code) => {
                    let reason = end.close_reason().to_owned();
                    heard.push(Heard::Close(code.map(CloseCode::number), reason));
                }
            }
        }
    }
    heard
}

/// What a server hears, the same however the bytes are cut.
fn heard_with(config: &Config, deflate: bool, bytes: &[u8]) -> Vec<Heard> {
    let end = || Connection::new(Role::Server, deflate, now());
    let whole = hear(&mut end(), config, bytes, bytes.len());
    for cut in (1..20).chain([64, 1000]) {
        assert_eq!(hear(&mut end(), config, bytes, cut), whole, "cut to {cut}");
    }
    whole
}

fn heard(bytes: &[u8]) -> Vec<Heard> {
    heard_with(&config(), false, bytes)
}

/// What an end has to say itself.
fn words(end: &mut Connection) -> Vec<Vec<u8>> {
    let key = (end.role() == Role::Client).then_some(KEY);
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    let next = || end.poll_transmit(now(), key, &mut out).map(|len| out[..len].to_vec());
    std::iter::from_fn(next).collect()
}

/// The bytes of a close frame of a server's.
fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    [&[0x88, 2 + reason.len() as u8], &code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// A message of some end's in a frame of its own.
fn say(end: &mut Connection, piece: Piece, payload: &[u8]) -> Vec<u8> {
    let key = (end.role() == Role::Client).then_some(KEY);
    let header: Encoded = end.message_header(piece, key).expect("it is open");
    let mut bytes = [&*header, payload].concat();
    if let Some(key) = key {
        mask(&mut bytes[header.len()..], key, 0);
    }
    bytes
}

/// Whether it is a text, its pieces, and a ping behind the first.
type Said = (bool, Vec<Vec<u8>>, Option<Vec<u8>>);

fn any_messages() -> impl Strategy<Value = Vec<Said>> {
    let letters = prop::collection::vec(b'a'..b'{', 0..300);
    let ping = prop::option::of(prop::collection::vec(any::<u8>(), 0..126));
    let pieces = prop::collection::vec(letters, 1..4);
    prop::collection::vec((any::<bool>(), pieces, ping), 0..6)
}

proptest! {
    // W-7: what one end says, the other hears, whoever they are and however it is cut.
    #[test]
    fn the_other_end_hears_what_one_says(
        messages in any_messages(),
        client: bool,
        cut in 1usize..600,
    ) {
        let roles = if client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let mut from = Connection::new(roles.0, false, now());
        let mut to = Connection::new(roles.1, false, now());
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for (is_text, pieces, ping) in &messages {
            let kind = if *is_text { Kind::Text } else { Kind::Binary };
            for (number, bytes) in pieces.iter().enumerate() {
                let (first, last) = (number == 0, number + 1 == pieces.len());
                let piece = Piece { first, last, ..Piece::whole(kind, bytes.len()) };
                wire.extend(say(&mut from, piece, bytes));
                if let (true, Some(ping)) = (first, ping) {
                    let key = client.then_some(KEY);
                    let header = from.ping_header(ping.len(), key).expect("it is open");
                    let mut ping_bytes = ping.clone();
                    mask(&mut ping_bytes, key.unwrap_or_default(), 0);
                    wire.extend([&*header, &*ping_bytes].concat());
                }
            }
            let whole = message(kind, pieces.len() as u32, &pieces.concat());
            let ping = ping.clone().map(Heard::Ping);
            // A ping behind the first piece comes before the end of a message in more.
            let in_order = if pieces.len() > 1 { [ping, Some(whole)] } else { [Some(whole), ping] };
            expected.extend(in_order.into_iter().flatten());
        }
        prop_assert_eq!(hear(&mut to, &config(), &wire, cut), expected);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        frames in prop::collection::vec((any::<u8>(), 0u8..140, any::<u8>()), 0..6),
        deflate: bool,
    ) {
        let mut bytes = Vec::new();
        for (first, length, filler) in frames {
            let first = if first % 4 == 0 { first } else { 0x80 | (first % 3) };
            bytes.extend([first, 0x80 | (length % 128), 0, 0, 0, 0]);
            bytes.extend(vec![filler % 0x80; usize::from(length)]);
        }
        heard_with(&config(), deflate, &bytes);
    }
}
