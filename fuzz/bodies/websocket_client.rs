//! What must hold of the WebSocket client whatever a server sends: it hears what one end of the core hears, and says
//! nothing that breaks a rule. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ringway::mem::mask;
use ringway::proto::websocket::{
    CloseCode, Config, Connection, Event, Fault, Inflater, Kind, Limits, Role,
};
use ringway::time::Instant;
use ringway::websocket::{Client, Error, Message, Options};

const NONCE: &[u8; 16] = b"the sample nonce";
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const DEFLATE: &[u8] = b"Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Largest message that the client takes.
const MESSAGE_BYTES_MAX: u64 = 3000;

/// Longest input, which a socket takes at once.
const INPUT_BYTES_MAX: usize = 60_000;

/// The first byte says what the bytes behind it are: 0, the whole answer; 1, frames behind a good one; 2, the same with
/// compression. Bit 2: the client sends something itself.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    let (behind, deflate) = (first & 3 != 0, first & 3 == 2);
    let (socket, mut server) = UnixStream::pair().unwrap();
    if behind {
        server.write_all(ACCEPTED).unwrap();
        server.write_all(if deflate { DEFLATE } else { b"" }).unwrap();
        server.write_all(b"\r\n").unwrap();
    }
    server.write_all(bytes).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    // Else many pongs would find no room.
    let reads = std::thread::spawn(move || {
        let mut said = Vec::new();
        server.read_to_end(&mut said).expect("no reset: the client has read all");
        said
    });
    // Everything is there: a wait that is not over at once is one in vain.
    let options = Options::new()
        .nonce(*NONCE)
        .protocol("chat")
        .compress(deflate || !behind)
        .message_bytes_max(MESSAGE_BYTES_MAX)
        .timeout(Duration::from_secs(20));
    match options.open("ws://a/", socket) {
        Ok(client) if behind => {
            let talks = first & 4 != 0;
            let heard = hear(client, talks);
            check_said(&mut reads.join().unwrap(), talks, &heard);
            let expected = expected(bytes, deflate);
            assert_eq!(forget_which_was_first(heard), forget_which_was_first(expected));
        }
        Ok(client) => {
            hear(client, false);
        }
        Err(error) => {
            assert!(!behind, "{error}");
            assert!(!matches!(error, Error::Timeout { .. } | Error::Request(_)), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message(Kind, Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
    End,
}

/// Compressed data that is broken behind a text that is none: which of the two is seen first depends on how it was cut.
/// Both have the same code.
fn forget_which_was_first(mut heard: Vec<Heard>) -> Vec<Heard> {
    if let Some(fault @ Heard::Fault(Fault::Text)) = heard.last_mut() {
        *fault = Heard::Fault(Fault::Deflate);
    }
    heard
}

/// All that a client hears.
fn hear(mut client: Client, talks: bool) -> Vec<Heard> {
    let mut heard = Vec::new();
    loop {
        let one = match client.receive() {
            Ok(Message::Text(text)) => Heard::Message(Kind::Text, text.into()),
            Ok(Message::Binary(bytes)) => Heard::Message(Kind::Binary, bytes.into()),
            Ok(Message::Pong(bytes)) => Heard::Pong(bytes.into()),
            Ok(Message::Close(close)) => {
                Heard::Close(close.code.map(CloseCode::number), close.reason.clone())
            }
            Err(Error::Fault(fault)) => Heard::Fault(fault),
            Err(Error::Ended) => Heard::End,
            Err(error) => panic!("{error}"),
        };
        heard.push(one);
        match heard.last() {
            Some(Heard::Message(..)) if talks => client.send_text("and so on").unwrap(),
            Some(Heard::Message(..) | Heard::Pong(_)) => {}
            _ => return heard,
        }
    }
}

/// The same of the core alone.
fn expected(bytes: &[u8], deflate: bool) -> Vec<Heard> {
    let limits =
        Limits { frame_bytes: u64::MAX, message_bytes: MESSAGE_BYTES_MAX, ..Limits::default() };
    let (config, now) = (Config { limits, ..Config::new(mask) }, Instant::from_ns(1));
    let mut end = Connection::new(Role::Client, deflate, now);
    let (mut inflater, mut message, mut heard) = (Inflater::new(false), Vec::new(), Vec::new());
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while at < bytes.len() {
        let step = match end.receive(&config, now, &mut bytes[at..]) {
            Ok(step) => step,
            Err(fault) => {
                heard.push(Heard::Fault(fault));
                return heard;
            }
        };
        let here = &bytes[at..at + step.consumed];
        at += step.consumed;
        match step.event {
            None | Some(Event::Ping(_)) => {}
            Some(Event::Data(data)) => {
                let start = message.len();
                let piece = &here[data.range.clone()];
                let taken = match data.compressed {
                    true => inflate(&mut inflater, piece, data.last, &mut message).and_then(|()| {
                        end.take_inflated(&mut inflater, data.kind, &message[start..], data.last)
                    }),
                    false => {
                        message.extend_from_slice(piece);
                        Ok(())
                    }
                };
                if let Err(fault) = taken {
                    heard.push(Heard::Fault(fault));
                    return heard;
                }
                if data.last {
                    heard.push(Heard::Message(data.kind, std::mem::take(&mut message)));
                }
            }
            Some(Event::Pong) => heard.push(Heard::Pong(end.control_payload().to_vec())),
            Some(Event::Close(code)) => {
                let reason = end.close_reason().to_owned();
                heard.push(Heard::Close(code.map(CloseCode::number), reason));
                return heard;
            }
        }
    }
    heard.push(Heard::End);
    heard
}

fn inflate(
    inflater: &mut Inflater,
    piece: &[u8],
    last: bool,
    message: &mut Vec<u8>,
) -> Result<(), Fault> {
    let (mut room, mut at) = ([0; 1000], 0);
    loop {
        let progress = inflater.inflate(MESSAGE_BYTES_MAX, &piece[at..], last, &mut room)?;
        at += progress.consumed;
        message.extend_from_slice(&room[..progress.written]);
        if progress.done {
            return Ok(());
        }
    }
}

/// What the client has said is legal, and ends as it has to.
fn check_said(said: &mut [u8], talks: bool, heard: &[Heard]) {
    let head = said.windows(4).position(|end| end == b"\r\n\r\n").expect("a request") + 4;
    let bytes = &mut said[head..];
    let mut end = Connection::new(Role::Server, true, Instant::from_ns(1));
    let (mut at, mut texts, mut close) = (0, 0, None);
    while at < bytes.len() {
        assert!(close.is_none(), "nothing behind a close");
        let step = end
            .receive(&Config::new(mask), Instant::from_ns(1), &mut bytes[at..])
            .expect("a client that breaks no rule");
        at += step.consumed;
        match step.event.expect("whole frames") {
            Event::Data(_) => texts += 1,
            Event::Close(code) => close = Some(code.map(CloseCode::number)),
            Event::Ping(_) | Event::Pong => {}
        }
    }
    let messages = heard.iter().filter(|one| matches!(one, Heard::Message(..))).count();
    assert_eq!(texts, if talks { messages } else { 0 });
    let answer = match heard.last() {
        Some(Heard::Close(code, _)) => Some(*code),
        Some(Heard::Fault(fault)) => Some(fault.code().map(CloseCode::number)),
        _ => None,
    };
    assert_eq!(close, answer);
}
