//! A client of WebSockets that sends texts to who sends them back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway::mem::mask;
use ringway::proto::websocket::{Header, Opcode};

use super::load::{Load, Reply, Wait};

/// What a connection begins with, but for the empty line at its end.
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a connection begins with, with these lines more.
pub fn opening(lines: &str) -> Vec<u8> {
    format!("{UPGRADE}{lines}\r\n").into_bytes()
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A text in a client's frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    let payload_bytes = payload.len() as u64;
    let header = Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: Some(KEY), payload_bytes };
    let header = header.encode();
    let mut bytes = [&*header, payload].concat();
    mask(&mut bytes[header.len()..], KEY, 0);
    bytes
}

/// So many letters, and the frame in which a client sends them.
pub fn message(payload_bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let payload: Vec<u8> = (b'a'..=b'z').cycle().take(payload_bytes).collect();
    let frame = frame(&payload);
    (payload, frame)
}

/// Asks for a WebSocket, with these lines more, which has to be granted; returns the answer.
pub fn upgrade(stream: &mut TcpStream, lines: &str) -> String {
    stream.write_all(&opening(lines)).expect("sent");
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a reply");
        reply.extend(byte);
    }
    let reply = String::from_utf8(reply).expect("a text");
    assert!(reply.starts_with("HTTP/1.1 101"), "{reply}");
    reply
}

/// Opens `connections` on which `depth` messages of so many bytes will be in flight, in one send.
pub fn load(address: SocketAddr, connections: usize, depth: usize, payload_bytes: usize) -> Load {
    let mut streams = super::connect(address, connections, || ());
    for stream in &mut streams {
        upgrade(stream, "");
    }
    let (payload, request) = message(payload_bytes);
    Load::over(streams, &request, Reply::message(payload), depth, Wait::Block)
}
