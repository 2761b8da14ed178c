//! Messages of WebSocket.

use ringway::proto::websocket::{Deflater, Header, Opcode, RSV1};

use crate::common::{Client, Start, pattern};
use crate::serves_copying;

pub const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A client's frame with a whole message, under a mask of zeros.
pub fn frame(rsv: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        fin: true,
        rsv,
        opcode: Opcode::Binary,
        mask: Some([0; 4]),
        payload_bytes: payload.len() as u64,
    };
    [&*header.encode(), payload].concat()
}

/// Takes a message in as many frames as it comes in: its bytes, and whether it is compressed.
pub fn message(client: &mut Client) -> (Vec<u8>, bool) {
    let (mut bytes, mut compressed) = (Vec::new(), false);
    loop {
        let head = client.receive(2);
        let long = match head[1] {
            126 => client.receive(2),
            127 => client.receive(8),
            short => vec![short],
        };
        let len = long.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        compressed |= head[0] & 0x40 != 0;
        bytes.extend(client.receive(len));
        if head[0] & 0x80 != 0 {
            return (bytes, compressed);
        }
    }
}

#[test]
fn websocket_messages_allocate_nothing_and_copy_what_is_short_a_15() {
    let server = Start::new().listener("websocket", "").start();
    for (bytes, copied) in [(1, 1), (256, 256), (257, 0), (1000, 0), (10_000, 0)] {
        let payload = pattern(bytes, bytes as usize);
        let (frame, mut open) = (frame(0, &payload), false);
        serves_copying(&server, &format!("a message of {bytes} bytes"), copied, |client| {
            if !std::mem::replace(&mut open, true) {
                assert_eq!(client.send(UPGRADE).send("\r\n").head().status(), 101);
            }
            assert!(message(client.send(&frame)) == (payload.clone(), false));
        });
    }
    server.stop();
}

#[test]
fn compressed_websocket_messages_allocate_nothing_a_15() {
    let server = Start::new().listener("websocket", "").start();
    let (plain, mut packed) = (b"round and round ".repeat(100), vec![0; 4096]);
    let progress = Deflater::new(15, true, 1).deflate(&plain, true, &mut packed);
    let (frame, mut open) = (frame(RSV1, &packed[..progress.written]), false);
    let copied = progress.written as u64; // it is short, and goes behind others
    serves_copying(&server, "a compressed message", copied, |client| {
        if !std::mem::replace(&mut open, true) {
            let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            assert_eq!(client.send(UPGRADE).send(offer).head().status(), 101);
        }
        let (heard, compressed) = message(client.send(&frame));
        assert!(compressed && heard == packed[..progress.written]);
    });
    server.stop();
}

/// What the server makes of a message.
fn packed(window_bits: u8, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let progress = Deflater::new(window_bits, true, 1).deflate(plain, true, &mut out);
    out.truncate(progress.written);
    out
}

#[test]
fn messages_that_compressing_makes_no_shorter_allocate_nothing_a_15() {
    let server = Start::new().listener("websocket", "").start();
    let (noise, zeros) = (pattern(1, 1000), [0; 1000]);
    let short = packed(15, &zeros);
    let mut open = false;
    serves_copying(&server, "noise and zeros", short.len() as u64, |client| {
        if !std::mem::replace(&mut open, true) {
            let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            assert_eq!(client.send(UPGRADE).send(offer).head().status(), 101);
        }
        assert!(message(client.send(frame(0, &noise))) == (noise.clone(), false));
        // Behind such a one the next goes as it is, and the one behind that is compressed.
        assert!(message(client.send(frame(0, &zeros))) == (zeros.to_vec(), false));
        assert!(message(client.send(frame(0, &zeros))) == (short.clone(), true));
    });
    server.stop();
}

#[test]
fn messages_in_windows_that_few_ask_for_allocate_nothing_a_15() {
    let server = Start::new().listener("websocket", "").start();
    let plain = b"round and round ".repeat(100);
    let short = packed(9, &plain);
    let mut open = false;
    serves_copying(&server, "a window of 9 bits", short.len() as u64, |client| {
        if !std::mem::replace(&mut open, true) {
            let offer = "permessage-deflate; server_max_window_bits=9\r\n\r\n";
            let offer = format!("Sec-WebSocket-Extensions: {offer}");
            assert_eq!(client.send(UPGRADE).send(offer).head().status(), 101);
        }
        assert!(message(client.send(frame(0, &plain))) == (short.clone(), true));
    });
    server.stop();
}
