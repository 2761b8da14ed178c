//! A client that waits.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway::mem::mask;
use ringway::proto::websocket::handshake::{Client, ClientFault};
use ringway::proto::websocket::{
    CONTROL_FRAME_BYTES_MAX, CloseCode, Config, Connection, Deflate, Event, Inflater, Kind, Limits,
    Piece, Role,
};
use ringway::time::Instant;

use super::{patience, uninterrupted};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const NONCE: [u8; 16] = [7; 16];

/// What has come; of messages, those that are whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The connection below has ended.
    End,
}

pub fn text(text: &str) -> Heard {
    Heard::Message(Kind::Text, text.into())
}

pub fn closed(code: u16, reason: &str) -> Heard {
    Heard::Close(Some(code), reason.to_owned())
}

/// One WebSocket.
pub struct Peer {
    pub stream: TcpStream,
    /// What the server chose of what was asked for.
    pub protocol: Option<String>,
    end: Connection,
    config: Config,
    inflater: Inflater,
    /// Messages that came compressed.
    pub compressed: usize,
    message: Vec<u8>,
    heard: VecDeque<Heard>,
}

/// A request for a WebSocket.
pub fn request(host: &str) -> Client<'_> {
    Client { host, target: "/chat", origin: None, protocols: &[], deflate: None, fields: &[] }
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        Self::open(address, &request("localhost")).unwrap()
    }

    pub fn compressing(address: SocketAddr) -> Self {
        let deflate = Some(Deflate::default());
        Self::open(address, &Client { deflate, ..request("localhost") }).unwrap()
    }

    pub fn open(address: SocketAddr, client: &Client<'_>) -> Result<Self, ClientFault> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(patience()).unwrap();
        stream.set_write_timeout(patience()).unwrap();
        let (mut room, mut answer) = ([0; 4096], Vec::new());
        let len = client.write_request(&NONCE, &mut room).expect("a request that can be sent");
        stream.write_all(&room[..len]).unwrap();
        let response = loop {
            if let Some(response) = client.read_response(&NONCE, &answer)? {
                break response;
            }
            let len = uninterrupted(|| stream.read(&mut room)).unwrap();
            assert!(len > 0, "no answer");
            answer.extend(&room[..len]);
        };
        assert_eq!(response.deflate.is_some(), client.deflate.is_some());
        let limits = Limits { frame_bytes: 1 << 30, message_bytes: 1 << 30, ..Limits::default() };
        let mut peer = Self {
            stream,
            protocol: response.protocol.map(str::to_owned),
            end: Connection::new(Role::Client, response.deflate.is_some(), Instant::from_ns(1)),
            config: Config { limits, ..Config::new(mask) },
            inflater: Inflater::new(true),
            compressed: 0,
            message: Vec::new(),
            heard: VecDeque::new(),
        };
        peer.take(answer.split_off(response.head_bytes));
        Ok(peer)
    }

    /// The bytes of a whole message.
    pub fn frame(&mut self, kind: Kind, bytes: &[u8]) -> Vec<u8> {
        let piece = Piece::whole(kind, bytes.len());
        let header = self.end.message_header(piece, Some(KEY)).expect("it is open");
        let mut frame = [&*header, bytes].concat();
        mask(&mut frame[header.len()..], KEY, 0);
        frame
    }

    pub fn say(&mut self, kind: Kind, bytes: &[u8]) -> &mut Self {
        let frame = self.frame(kind, bytes);
        self.stream.write_all(&frame).unwrap();
        self
    }

    pub fn ping(&mut self, payload: &[u8]) -> &mut Self {
        let header = self.end.ping_header(payload.len(), Some(KEY)).expect("it is open");
        let mut frame = [&*header, payload].concat();
        mask(&mut frame[header.len()..], KEY, 0);
        self.stream.write_all(&frame).unwrap();
        self
    }

    pub fn close(&mut self, code: u16) -> &mut Self {
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        let (now, code) = (Instant::from_ns(1), CloseCode::new(code));
        let len = self.end.close(now, code, "", Some(KEY), &mut frame).expect("it is open");
        self.stream.write_all(&frame[..len]).unwrap();
        self
    }

    /// Answers what asks for one: pings, a close.
    pub fn answer(&mut self) -> &mut Self {
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        let now = Instant::from_ns(1);
        while let Some(len) = self.end.poll_transmit(now, Some(KEY), &mut frame) {
            self.stream.write_all(&frame[..len]).unwrap();
        }
        self
    }

    /// The next thing that comes.
    pub fn hear(&mut self) -> Heard {
        let mut room = vec![0; 65536];
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let len = uninterrupted(|| self.stream.read(&mut room)).unwrap();
            if len == 0 {
                return Heard::End;
            }
            self.take(room[..len].to_vec());
        }
    }

    /// Has a message come back.
    pub fn echoes(&mut self, kind: Kind, bytes: &[u8]) {
        let heard = self.say(kind, bytes).hear();
        assert!(heard == Heard::Message(kind, bytes.to_vec()), "of {} bytes", bytes.len());
    }

    /// Closes, and waits for the end.
    pub fn part(mut self) {
        self.close(1000);
        assert_eq!((self.hear(), self.hear()), (closed(1000, ""), Heard::End));
    }

    fn take(&mut self, mut bytes: Vec<u8>) {
        let mut at = 0;
        while at < bytes.len() {
            let now = Instant::from_ns(1);
            let step = self.end.receive(&self.config, now, &mut bytes[at..]).unwrap();
            let here = &bytes[at..at + step.consumed];
            at += step.consumed;
            match step.event {
                None => {}
                Some(Event::Data(data)) => {
                    let piece = here[data.range.clone()].to_vec();
                    if data.compressed {
                        self.compressed += usize::from(data.last);
                        self.inflate(&piece, data.last);
                    } else {
                        self.message.extend(piece);
                    }
                    if data.last {
                        let message = std::mem::take(&mut self.message);
                        self.heard.push_back(Heard::Message(data.kind, message));
                    }
                }
                Some(Event::Ping(_)) => {
                    self.heard.push_back(Heard::Ping(self.end.control_payload().to_vec()));
                }
                Some(Event::Pong) => {
                    self.heard.push_back(Heard::Pong(self.end.control_payload().to_vec()));
                }
                Some(Event::Close(code)) => {
                    let reason = self.end.close_reason().to_owned();
                    self.heard.push_back(Heard::Close(code.map(CloseCode::number), reason));
                }
            }
        }
    }

    fn inflate(&mut self, piece: &[u8], last: bool) {
        let (mut room, mut at) = (vec![0; 4096], 0);
        loop {
            let progress = self.inflater.inflate(1 << 30, &piece[at..], last, &mut room).unwrap();
            at += progress.consumed;
            self.message.extend(&room[..progress.written]);
            if progress.done {
                return;
            }
        }
    }
}
