//! A peer that says what no program of this library would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ringway::proto::stream::secure::handshake::Secrets;
use ringway::proto::stream::{
    Config, Connection, Event, Framing, HEADER_BYTES, Mode, Piece, Role, TAILROOM_BYTES,
    TRANSMIT_BYTES_MAX, deframe,
};
use ringway::stream::{Address, Anyone, Cause, Channel, Code, Fault, Listener, Stream, Why};
use ringway::time::Clock;

use super::rig::{TYPE, identity, listener, options};
use crate::common::{Watchdog, patience, uninterrupted};

/// One end of a stream over a socket, without anything between it and its test.
struct Raw {
    connection: Connection,
    socket: TcpStream,
    clock: Clock,
    came: Vec<u8>,
}

impl Raw {
    fn connect(address: &Address, config: Config) -> Self {
        let Address::Tcp(at) = address else { panic!("{address} is not TCP") };
        let socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(patience()).unwrap();
        let clock = Clock::start();
        let secrets = Secrets { nonce: [1; 32], ephemeral: [2; 32] };
        let trust = Arc::new(Anyone);
        let connection =
            Connection::new(clock.now(), Role::Initiator, config, &identity(1), trust, secrets);
        Self { connection, socket, clock, came: Vec::new() }
    }

    fn flush(&mut self) {
        let mut room = [0; TRANSMIT_BYTES_MAX];
        while let Some(len) = self.connection.poll_transmit(self.clock.now(), &mut room) {
            // It fails where the other end has had enough.
            let _ = self.socket.write_all(&room[..len]);
        }
    }

    /// Goes on until this happens, or the stream is over.
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            self.flush();
            while let Some(event) = self.connection.poll_event() {
                if wanted(&event) || matches!(event, Event::Closed(_)) {
                    return event;
                }
            }
            let mut room = [0; 4096];
            let count = uninterrupted(|| self.socket.read(&mut room)).unwrap();
            assert!(count > 0, "the other end closed without a word");
            self.came.extend_from_slice(&room[..count]);
            while let Ok(Framing::Whole(len)) = deframe(&self.came) {
                let mut packet: Vec<u8> = self.came.drain(..len).collect();
                let _ = self.connection.handle_packet(self.clock.now(), &mut packet);
            }
        }
    }

    /// Opens a channel; its number.
    fn open(&mut self) -> u16 {
        self.until(|event| *event == Event::Connected);
        let now = self.clock.now();
        let channel = self.connection.open_channel(now, TYPE, true).unwrap();
        self.until(|event| matches!(event, Event::ChannelOpened { .. }));
        channel
    }

    /// Sends bytes as a message that is said to be compressed.
    fn send_compressed(&mut self, channel: u16, bytes: &[u8]) {
        let mut room = [&[0; HEADER_BYTES][..], bytes, &[0; TAILROOM_BYTES]].concat();
        let (piece, now) = (Piece::whole(bytes.len() as u32), self.clock.now());
        let payload = HEADER_BYTES..HEADER_BYTES + bytes.len();
        let sealed = self.connection.seal(now, channel, piece, true, &mut room, payload);
        self.socket.write_all(&room[sealed.unwrap()]).unwrap();
    }
}

fn listening() -> Listener {
    listener("tcp", &std::env::temp_dir(), &options())
}

/// A channel of a peer of a listener of this library.
struct Open {
    raw: Raw,
    channel: u16,
    received: Channel,
    _ends: (Listener, Stream, Watchdog),
}

impl Open {
    fn start() -> Self {
        let watchdog = Watchdog::start();
        let listener = listening();
        let mut raw = Raw::connect(listener.address(), Config::new(Mode::Stream));
        let channel = raw.open();
        let server = listener.accept().unwrap();
        let received = server.accept().unwrap();
        Self { raw, channel, received, _ends: (listener, server, watchdog) }
    }
}

#[test]
fn a_version_that_is_not_spoken_is_refused_naming_both() {
    let _watchdog = Watchdog::start();
    let listener = listening();
    let mut config = Config::new(Mode::Stream);
    (config.offer.version_min, config.offer.version_max) = (8, 9);
    let mut raw = Raw::connect(listener.address(), config);
    let end = raw.until(|_| false);
    assert_eq!(end, Event::Closed(Cause::Peer(Code::Version)));
    let text = raw.connection.peer_text();
    assert!(text.contains("1 to 1") && text.contains("8 to 9"), "{text}");
    let error = listener.accept().unwrap_err();
    assert_eq!(error.end().unwrap().why, Why::Cause(Cause::Fault(Fault::Version)), "{error}");
}

#[test]
fn a_message_that_does_not_decompress_ends_the_stream_when_it_is_taken() {
    let Open { mut raw, channel, received, _ends } = Open::start();
    // It says that 1000 bytes come of it.
    raw.send_compressed(channel, &[0xe8, 3, 0, 0, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8]);
    let error = received.recv().unwrap_err();
    assert_eq!(error.end().unwrap().why, Why::Cause(Cause::Fault(Fault::Compression)), "{error}");
    let told = raw.until(|event| matches!(event, Event::Closing { .. }));
    assert_eq!(told, Event::Closing { code: Code::Compression });
}

#[test]
fn messages_that_would_become_large_take_no_more_memory_than_came_until_they_are_taken() {
    let Open { mut raw, channel, received, _ends } = Open::start();
    let bomb = {
        use ringway::proto::stream::compress::{Compressor, Tables, room_bytes};
        let (message, mut out) = (vec![0; 1 << 20], vec![0; room_bytes(1 << 20)]);
        let clock = Clock::by_hand().0;
        let mut compressor = Compressor::default();
        let len = compressor.compress(&mut Tables::new(), &message, &mut out, || clock.now());
        out[..len.unwrap()].to_vec()
    };
    assert!(bomb.len() < 8192, "{}", bomb.len());
    for _ in 0..60 {
        raw.send_compressed(channel, &bomb);
    }
    crate::common::wait_until(|| received.waiting() == 60);
    let mut room = vec![1; 1 << 20];
    let needed = ringway::stream::Error::TooSmall { needed: 1 << 20 };
    assert_eq!(received.read(&mut room[1..]), Err(needed));
    assert_eq!(received.read(&mut room), Ok(Some(1 << 20)));
    assert!(room.iter().all(|&byte| byte == 0));
}
