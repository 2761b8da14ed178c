//! A peer of a stream listener: the core of the protocol over a plain socket, and nothing of the chain.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use ringway::proto::stream::secure::handshake::{ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::{Identity, NodeAddress};
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Config, Connection, Framing, HEADROOM_BYTES, Mode, Piece, Received, Role, TAILROOM_BYTES,
    TRANSMIT_BYTES_MAX, channel_type, deframe,
};
use ringway::sys::random;
use ringway::time::Clock;
use tempfile::TempDir;

use super::{patience, uninterrupted};

/// The identity of a listener, in a file.
pub struct Listener(TempDir);

impl Listener {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        fs::write(&path, Identity::from_secret(&[1; 32]).to_text().as_bytes()).unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, own).unwrap();
        Self(directory)
    }

    /// The settings of a listener that has it, and lets anybody in.
    pub fn settings(&self) -> String {
        let path = self.0.path().join("identity");
        format!("identity = \"{}\", trust = \"anyone\"", path.display())
    }
}

/// What packets travel over.
enum Socket {
    Bytes(TcpStream),
    Datagrams(UdpSocket),
}

impl Socket {
    fn send(&mut self, packet: &[u8]) {
        match self {
            Self::Bytes(socket) => socket.write_all(packet).unwrap(),
            Self::Datagrams(socket) => assert_eq!(socket.send(packet).unwrap(), packet.len()),
        }
    }

    /// What comes next; for datagrams one of them.
    fn receive(&mut self, room: &mut [u8]) -> usize {
        let received = uninterrupted(|| match self {
            Self::Bytes(socket) => socket.read(room),
            Self::Datagrams(socket) => socket.recv(room),
        });
        received.unwrap()
    }
}

/// One end of a stream.
pub struct Peer {
    pub connection: Connection,
    socket: Socket,
    clock: Clock,
    part: Vec<u8>,
    /// Bytes of messages that were heard, and whole messages.
    pub heard_bytes: usize,
    pub heard: usize,
    /// It gives credit for what it hears.
    pub consumes: bool,
}

impl Peer {
    /// Connects, and waits until it is.
    pub fn connect(address: SocketAddr, node: u8) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(patience()).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(Socket::Bytes(socket), Mode::Stream, node)
    }

    /// The same over datagrams.
    pub fn connect_udp(address: SocketAddr, node: u8) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(patience()).unwrap();
        Self::over(Socket::Datagrams(socket), Mode::Datagram, node)
    }

    fn over(socket: Socket, mode: Mode, node: u8) -> Self {
        let mut config = Config::new(mode);
        (config.offer.offers, config.offer.requires) = (ENCRYPT, ENCRYPT);
        config.keepalive_ns = 0;
        let (mut secrets, clock) = (Secrets { nonce: [0; 32], ephemeral: [0; 32] }, Clock::start());
        random::fill(&mut secrets.nonce).unwrap();
        random::fill(&mut secrets.ephemeral).unwrap();
        let (me, trust) = (Identity::from_secret(&[node; 32]), Arc::new(Anyone));
        let connection = Connection::new(clock.now(), Role::Initiator, config, &me, trust, secrets);
        let (part, heard_bytes, heard, consumes) = (Vec::new(), 0, 0, true);
        let mut peer = Self { connection, socket, clock, part, heard_bytes, heard, consumes };
        peer.until(|peer| peer.connection.is_open());
        peer
    }

    /// The address of a node.
    pub fn address(node: u8) -> NodeAddress {
        Identity::from_secret(&[node; 32]).public().address()
    }

    /// The session's id, as it is shown.
    pub fn session_id(&self) -> String {
        let id = self.connection.session_id().expect("it is connected");
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Opens a channel, and waits until it is.
    pub fn open(&mut self) -> u16 {
        let opened = self.connection.open_channel(self.clock.now(), channel_type::SERVICE, false);
        let channel = opened.unwrap();
        self.until(|peer| peer.connection.is_writable(channel));
        channel
    }

    /// Sends a message, for all of which there has to be credit.
    pub fn send(&mut self, channel: u16, message: &[u8]) {
        for packet in self.packets(channel, message) {
            self.socket.send(&packet);
        }
    }

    /// The packets of a message.
    pub fn packets(&mut self, channel: u16, message: &[u8]) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let pieces: Vec<Piece> = self.connection.pieces(message.len() as u32).collect();
        for piece in pieces {
            let payload = &message[piece.offset as usize..(piece.offset + piece.len) as usize];
            let mut packet = vec![0; HEADROOM_BYTES + payload.len() + TAILROOM_BYTES];
            let range = HEADROOM_BYTES..HEADROOM_BYTES + payload.len();
            packet[range.clone()].copy_from_slice(payload);
            let now = self.clock.now();
            let sealed = self.connection.seal(now, channel, piece, false, &mut packet, range);
            packets.push(packet[sealed.unwrap()].to_vec());
        }
        packets
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.socket.send(bytes);
    }

    /// Sends a message and waits until as many bytes are back.
    pub fn echo(&mut self, channel: u16, bytes: usize) {
        let wanted = self.heard_bytes + bytes;
        self.send(channel, &vec![7; bytes]);
        self.until(|peer| peer.heard_bytes >= wanted);
    }

    /// Measures a round trip.
    pub fn ping(&mut self) {
        let count = self.connection.statistics().rtt.count();
        self.connection.ping();
        self.until(|peer| peer.connection.statistics().rtt.count() > count);
    }

    /// Talks until it is so.
    pub fn until(&mut self, so: impl Fn(&Self) -> bool) {
        self.say();
        while !so(self) {
            let mut room = [0; 16 * 1024];
            let count = self.socket.receive(&mut room);
            assert!(count > 0, "the other side has closed");
            self.part.extend(&room[..count]);
            self.hear();
            self.say();
        }
    }

    /// Sends what the connection has to say.
    pub fn say(&mut self) {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        while let Some(len) = self.connection.poll_transmit(self.clock.now(), &mut out) {
            self.socket.send(&out[..len]);
        }
    }

    fn hear(&mut self) {
        while let Ok(Framing::Whole(len)) = deframe(&self.part) {
            let mut packet: Vec<u8> = self.part.drain(..len).collect();
            let now = self.clock.now();
            if let Received::Data(data) = self.connection.handle_packet(now, &mut packet).unwrap() {
                self.heard_bytes += data.range.len();
                self.heard += usize::from(data.last);
                if self.consumes {
                    self.connection.consume(now, data.channel, 1);
                }
            }
            while self.connection.poll_event().is_some() {}
        }
    }
}
