//! The other end of a WebSocket of an [`App`].

use super::App;
use crate::mem::{ConnId, mask};
use crate::proto::websocket::handshake::Client;
use crate::proto::websocket::{
    CONTROL_FRAME_BYTES_MAX, CloseCode, Config, Connection, Event, Kind, Limits, Piece, Role,
};
use crate::time::Instant;

/// What a peer's messages are masked with.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What its handshake is about.
const NONCE: [u8; 16] = [7; 16];

/// When its end believes all to happen: it has no timeouts.
const NOW: Instant = Instant::from_ns(1);

/// What a peer has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A whole text.
    Text(String),
    /// Any other message.
    Binary(Vec<u8>),
    /// A ping, which was answered.
    Ping,
    /// A pong.
    Pong,
    /// A close with its code, which was answered.
    Close(Option<u16>),
}

impl Heard {
    /// A text that was heard.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A client of a WebSocket, without a socket: see [`App::websocket`].
pub struct Peer {
    conn: ConnId,
    end: Connection,
    config: Config,
    message: Vec<u8>,
}

impl App {
    /// Opens a WebSocket at `target`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn websocket(&mut self, target: &str) -> Peer {
        let client = Client {
            host: "test",
            target,
            origin: None,
            protocols: &[],
            fields: &[],
            deflate: None,
        };
        let mut request = vec![0; 1024 + target.len()];
        let len = client.write_request(&NONCE, &mut request).expect("a target that can be sent");
        let conn = self.open();
        self.receive(conn, &request[..len]);
        let answer = self.take_sent(conn);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let response = client.read_response(&NONCE, &answer);
        let response = response.unwrap_or_else(|why| panic!("{why:?}: {text}"));
        let head_bytes = response.unwrap_or_else(|| panic!("half a head: {text}")).head_bytes;
        let most = u64::from(u32::MAX);
        let limits = Limits { frame_bytes: most, message_bytes: most, ..Limits::default() };
        let peer = Peer {
            conn,
            end: Connection::new(Role::Client, false, NOW),
            config: Config { limits, ..Config::new(mask) },
            message: Vec::new(),
        };
        // What came behind the head is heard first.
        self.unsend(conn, &answer[head_bytes..]);
        peer
    }
}

impl Peer {
    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Sends a text.
    pub fn say(&mut self, app: &mut App, text: &str) {
        self.send(app, Kind::Text, text.as_bytes(), usize::MAX);
    }

    /// Sends any bytes.
    pub fn send_binary(&mut self, app: &mut App, bytes: &[u8]) {
        self.send(app, Kind::Binary, bytes, usize::MAX);
    }

    /// Sends a message in fragments of at most so many bytes.
    ///
    /// # Panics
    /// When it has closed.
    pub fn send(&mut self, app: &mut App, kind: Kind, bytes: &[u8], most: usize) {
        let mut at = 0_usize;
        loop {
            let end = at.saturating_add(most).min(bytes.len());
            let payload = &bytes[at..end];
            let (first, last) = (at == 0, end == bytes.len());
            let piece = Piece { kind, first, last, compressed: false, bytes: payload.len() };
            let header = self.end.message_header(piece, Some(KEY)).expect("it is open");
            let mut frame = [&*header, payload].concat();
            mask(&mut frame[header.len()..], KEY, 0);
            app.receive(self.conn, frame);
            at = end;
            if last {
                return;
            }
        }
    }

    /// Closes.
    ///
    /// # Panics
    /// When it has closed.
    pub fn close(&mut self, app: &mut App, code: u16) {
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        let len = self.end.close(NOW, CloseCode::new(code), "", Some(KEY), &mut frame);
        let len = len.expect("it is open");
        app.receive(self.conn, &frame[..len]);
    }

    /// All that has come since it last listened.
    ///
    /// # Panics
    /// When it broke a rule of RFC 6455.
    pub fn heard(&mut self, app: &mut App) -> Vec<Heard> {
        let (mut bytes, mut heard) = (app.take_sent(self.conn), Vec::new());
        let mut at = 0;
        while at < bytes.len() {
            let step = self.end.receive(&self.config, NOW, &mut bytes[at..]);
            let step = step.unwrap_or_else(|fault| panic!("{fault:?}"));
            let here = &bytes[at..at + step.consumed];
            at += step.consumed;
            match step.event {
                None => {}
                Some(Event::Data(data)) => {
                    self.message.extend(&here[data.range.clone()]);
                    if data.last {
                        heard.push(whole(data.kind, std::mem::take(&mut self.message)));
                    }
                }
                Some(Event::Ping(_)) => heard.push(Heard::Ping),
                Some(Event::Pong) => heard.push(Heard::Pong),
                Some(Event::Close(code)) => heard.push(Heard::Close(code.map(CloseCode::number))),
            }
        }
        self.answer(app);
        heard
    }

    /// Answers pings, and a close.
    fn answer(&mut self, app: &mut App) {
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        while let Some(len) = self.end.poll_transmit(NOW, Some(KEY), &mut frame) {
            app.receive(self.conn, &frame[..len]);
        }
    }
}

fn whole(kind: Kind, bytes: Vec<u8>) -> Heard {
    match kind {
        Kind::Text => Heard::Text(String::from_utf8(bytes).expect("text is UTF-8")),
        Kind::Binary => Heard::Binary(bytes),
    }
}
