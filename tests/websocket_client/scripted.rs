//! A server that says what a test has written down, whatever it is asked.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ringway::mem::mask;
use ringway::proto::websocket::{
    CloseCode, Config, Connection, Encoded, Event, Header, Opcode, Role,
};
use ringway::time::Instant;
use ringway::websocket::{Client, Error, Options};

pub const URL: &str = "ws://server.example.com/chat";

/// RFC 6455 §1.3.
pub const NONCE: &[u8; 16] = b"the sample nonce";
pub const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// The server's end of a connection.
#[derive(Debug)]
pub struct Server(pub UnixStream);

pub fn options() -> Options {
    Options::new().nonce(*NONCE).timeout(Duration::from_secs(60))
}

/// A client whose server has said `said`, which has to fit a socket, and the server.
pub fn open(options: &Options, said: impl AsRef<[u8]>) -> Result<(Client, Server), Error> {
    let (socket, mut server) = UnixStream::pair().unwrap();
    server.write_all(said.as_ref()).unwrap();
    let client = options.open(URL, socket)?;
    Ok((client, Server(server)))
}

/// One that is open, behind an answer with no field more than it needs.
pub fn opened(frames: impl AsRef<[u8]>) -> (Client, Server) {
    opened_with(&options(), "", frames)
}

pub fn opened_with(options: &Options, fields: &str, frames: impl AsRef<[u8]>) -> (Client, Server) {
    let head = format!("{ACCEPTED}{fields}\r\n");
    open(options, [head.as_bytes(), frames.as_ref()].concat()).unwrap()
}

/// A frame of a server's, whatever it says.
pub fn frame(fin: bool, rsv: u8, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    [&*header(fin, rsv, opcode, payload.len() as u64), payload].concat()
}

pub fn header(fin: bool, rsv: u8, opcode: Opcode, payload_bytes: u64) -> Encoded {
    Header { fin, rsv, opcode, mask: None, payload_bytes }.encode()
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(true, 0, Opcode::Text, payload.as_bytes())
}

pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(true, 0, Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What a server has heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Message(Vec<u8>),
    Pong(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<u16>, String),
}

impl Server {
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    pub fn end(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// What the client, which is gone, has said behind its request.
    pub fn heard(mut self) -> Vec<Heard> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a request") + 4;
        heard(&mut bytes[head..])
    }
}

/// What a server of ours makes of a client's frames, none of which may be compressed or break a rule.
pub fn heard(bytes: &mut [u8]) -> Vec<Heard> {
    let mut end = Connection::new(Role::Server, false, Instant::from_ns(1));
    let (mut heard, mut message, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let step = end.receive(&Config::new(mask), Instant::from_ns(1), &mut bytes[at..]).unwrap();
        let here = &bytes[at..at + step.consumed];
        at += step.consumed;
        match step.event {
            None => {}
            Some(Event::Data(data)) => {
                message.extend_from_slice(&here[data.range]);
                if data.last {
                    heard.push(Heard::Message(std::mem::take(&mut message)));
                }
            }
            Some(Event::Ping(_)) => heard.push(Heard::Ping(end.control_payload().to_vec())),
            Some(Event::Pong) => heard.push(Heard::Pong(end.control_payload().to_vec())),
            Some(Event::Close(code)) => {
                let reason = end.close_reason().to_owned();
                heard.push(Heard::Close(code.map(CloseCode::number), reason));
            }
        }
    }
    heard
}
