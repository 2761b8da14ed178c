//! The chain with a service behind it, and a peer made of the core alone.

use std::time::Duration;

use super::*;
use crate::handler::http::Http;
use crate::handler::websocket::{Echo, Out, Service, WebSockets};
use crate::limits::SMALL_SLOT_BYTES;
use crate::mem::{ClassSize, Mempool, mask};
use crate::pipeline::Pipeline;
use crate::proto::websocket::{
    CloseCode, Deflater, Event, Fault, Header, Inflater, Kind, Opcode, RSV1,
};
use crate::sys::mapping::Request;
use crate::testing::{End, Harness, SLOTS};

mod closing;
mod compressed;
mod data;
mod frames;
mod scarce;

type Bed<S> = Harness<Http<WebSockets<S>>>;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// RFC 6455 §1.3.
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn settings() -> Settings {
    Settings { http: http1::Settings::for_slots(256, 64), websocket: Config::new(mask) }
}

fn parts<S: Service>(settings: Settings, service: S) -> (Pipeline, Http<WebSockets<S>>) {
    let chain = WebSocket::new(SLOTS, settings);
    let handler = Http::new(SLOTS, WebSockets::new(service));
    (Pipeline::WebSocket(Box::new(chain)), handler)
}

fn bed_of<S: Service>(settings: Settings, service: S) -> Bed<S> {
    Harness::build(|_| parts(settings, service))
}

fn bed() -> Bed<Echo> {
    bed_of(settings(), Echo)
}

/// All slots of its pool are small.
fn narrow() -> Bed<Echo> {
    let request = Request { no_huge: true, ..Request::new("test", 0) };
    let sizes = [ClassSize { slot_bytes: SMALL_SLOT_BYTES, slots: 256 }];
    let pool = Mempool::create(&request, &sizes, None).unwrap();
    Harness::build_on(pool, |_| parts(settings(), Echo))
}

fn chain<S: Service>(bed: &mut Bed<S>) -> &mut WebSocket {
    match bed.pipeline() {
        Pipeline::WebSocket(chain) => chain,
        _ => unreachable!("it was made so"),
    }
}

/// A frame of a client's, whatever it says.
fn frame(fin: bool, rsv: u8, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    let header = Header { fin, rsv, opcode, mask: Some(KEY), payload_bytes: len }.encode();
    let mut bytes = [&*header, payload].concat();
    mask(&mut bytes[header.len()..], KEY, 0);
    bytes
}

fn text(payload: &str) -> Vec<u8> {
    frame(true, 0, Opcode::Text, payload.as_bytes())
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(true, 0, Opcode::Binary, payload)
}

fn ping(payload: &[u8]) -> Vec<u8> {
    frame(true, 0, Opcode::Ping, payload)
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(true, 0, Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What a peer has heard; of messages, those that are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

fn echo_of(text: &str) -> Heard {
    Heard::Message(Kind::Text, text.into())
}

fn closed(code: u16, reason: &str) -> Heard {
    Heard::Close(Some(code), reason.to_owned())
}

/// Listens to one end, and puts messages together.
struct Listener {
    end: Connection,
    inflater: Inflater,
    message: Vec<u8>,
    /// Messages that came compressed.
    compressed: usize,
    heard: Vec<Heard>,
}

impl Listener {
    fn new(role: Role, deflate: bool) -> Self {
        Self {
            end: Connection::new(role, deflate, Instant::from_ns(1)),
            inflater: Inflater::new(true),
            message: Vec::new(),
            compressed: 0,
            heard: Vec::new(),
        }
    }

    /// `Err`: a rule was broken, and nothing more is heard.
    fn hear(&mut self, config: &Config, bytes: &[u8]) -> Result<(), Fault> {
        let (mut bytes, mut at) = (bytes.to_vec(), 0);
        while at < bytes.len() {
            let step = self.end.receive(config, Instant::from_ns(1), &mut bytes[at..])?;
            let here = bytes[at..at + step.consumed].to_vec();
            at += step.consumed;
            match step.event {
                None => {}
                Some(Event::Data(data)) => {
                    let piece = &here[data.range.clone()];
                    if data.compressed {
                        self.inflate(config, data.kind, piece, data.last)?;
                        self.compressed += usize::from(data.last);
                    } else {
                        self.message.extend(piece);
                    }
                    if data.last {
                        let message = std::mem::take(&mut self.message);
                        self.heard.push(Heard::Message(data.kind, message));
                    }
                }
                Some(Event::Ping(_)) => {
                    self.heard.push(Heard::Ping(self.end.control_payload().to_vec()));
                }
                Some(Event::Pong) => {
                    self.heard.push(Heard::Pong(self.end.control_payload().to_vec()));
                }
                Some(Event::Close(code)) => {
                    let reason = self.end.close_reason().to_owned();
                    self.heard.push(Heard::Close(code.map(CloseCode::number), reason));
                }
            }
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        config: &Config,
        kind: Kind,
        piece: &[u8],
        last: bool,
    ) -> Result<(), Fault> {
        let (mut room, mut at) = ([0; 1000], 0);
        loop {
            let most = config.limits.message_bytes;
            let progress = self.inflater.inflate(most, &piece[at..], last, &mut room)?;
            at += progress.consumed;
            let plain = &room[..progress.written];
            self.message.extend(plain);
            self.end.take_inflated(&mut self.inflater, kind, plain, last && progress.done)?;
            if progress.done {
                return Ok(());
            }
        }
    }
}

/// A client whose WebSocket is open.
struct Peer {
    conn: ConnId,
    listener: Listener,
}

impl Peer {
    fn connect<S: Service>(bed: &mut Bed<S>) -> Self {
        Self::request(bed, REQUEST)
    }

    fn compressing<S: Service>(bed: &mut Bed<S>) -> Self {
        let fields = "Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
        Self::request(bed, &REQUEST.replace("Version: 13\r\n", fields))
    }

    fn request<S: Service>(bed: &mut Bed<S>, request: &str) -> Self {
        let conn = bed.open();
        bed.receive(conn, request);
        Self::answered(bed, conn, request.contains("permessage-deflate"))
    }

    /// Reads the answer to a request.
    fn answered<S: Service>(bed: &mut Bed<S>, conn: ConnId, deflate: bool) -> Self {
        let sent = bed.take_sent(conn);
        let end = sent.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        let head = std::str::from_utf8(&sent[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        assert_eq!(head.contains("Sec-WebSocket-Extensions: permessage-deflate"), deflate);
        let mut listener = Listener::new(Role::Client, deflate);
        listener.hear(&Config::new(mask), &sent[end..]).unwrap();
        Self { conn, listener }
    }

    /// Says something, and gives what it hears then.
    fn say<S: Service>(&mut self, bed: &mut Bed<S>, bytes: impl AsRef<[u8]>) -> Vec<Heard> {
        bed.receive(self.conn, bytes);
        self.hear(bed)
    }

    fn hear<S: Service>(&mut self, bed: &mut Bed<S>) -> Vec<Heard> {
        let sent = bed.take_sent(self.conn);
        self.listener.hear(&Config::new(mask), &sent).unwrap();
        std::mem::take(&mut self.listener.heard)
    }
}
