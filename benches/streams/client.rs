//! A client of ringway's streams that does nothing but exchange messages: the sans-I/O connection over a socket
//! that blocks. What came in one read is answered in one write, as the clients of the others do.

use std::io::{BufRead, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use ringway::proto::stream::secure::handshake::{BATCH, ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, Config, Connection, Event, Framing, HEADER_BYTES, HEADROOM_BYTES, LENGTH_BYTES, Mode,
    Received, Role, TAILROOM_BYTES, TRANSMIT_BYTES_MAX, channel_type, deframe,
};
use ringway::time::Clock;

/// Packets of credit, of this end and of the server: more than are ever under way.
pub const WINDOW_PACKETS: u32 = 1024;

/// Largest datagram: quinn finds that it may send as much, and looks no further.
pub const DATAGRAM_BYTES: usize = 1452;

/// Largest packet.
fn packet_bytes(mode: Mode) -> usize {
    match mode {
        Mode::Stream => Config::new(mode).packet_bytes,
        Mode::Datagram => DATAGRAM_BYTES,
    }
}

/// What is read at a time, as by the others.
const BUFFER_BYTES: usize = 64 * 1024;

/// What lies below: it blocks, for a while at least.
pub trait Wire {
    const MODE: Mode;

    /// Bytes of one packet or more; none where it has waited for long enough.
    fn receive(&mut self, room: &mut [u8]) -> Option<usize>;

    /// Sends packets that lie one behind the other.
    fn send(&mut self, packets: &[u8]);
}

impl Wire for TcpStream {
    const MODE: Mode = Mode::Stream;

    fn receive(&mut self, room: &mut [u8]) -> Option<usize> {
        let bytes = self.read(room).expect("bytes");
        assert!(bytes > 0, "it has hung up");
        Some(bytes)
    }

    fn send(&mut self, packets: &[u8]) {
        self.write_all(packets).expect("sent");
    }
}

/// Datagrams that the kernel puts together and takes apart.
struct Trains(UdpSocket);

/// Most that go in one call.
const TRAIN_DATAGRAMS: usize = 64;
const TRAIN_BYTES: usize = 60_000;

/// After so long without an answer those that are under way are lost.
const PATIENCE: Duration = Duration::from_secs(1);

impl Trains {
    fn connect(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        setsockopt(&socket, sockopt::UdpGroSegment, &true).expect("UDP_GRO");
        Self(socket)
    }
}

impl Wire for Trains {
    const MODE: Mode = Mode::Datagram;

    /// Each packet tells its size, so that a train is one behind the other as over TCP.
    fn receive(&mut self, room: &mut [u8]) -> Option<usize> {
        self.0.recv(room).ok()
    }

    fn send(&mut self, mut packets: &[u8]) {
        while let Ok(Framing::Whole(len)) = deframe(packets) {
            let mut end = len;
            // The last of a train may be shorter than the others.
            for _ in 1..TRAIN_DATAGRAMS.min(TRAIN_BYTES / len) {
                let Ok(Framing::Whole(next)) = deframe(&packets[end..]) else { break };
                end += if next <= len { next } else { 0 };
                if next != len {
                    break;
                }
            }
            let (train, size) = ([IoSlice::new(&packets[..end])], len as u16);
            let apart = [ControlMessage::UdpGsoSegments(&size)];
            let sent = sendmsg::<()>(self.0.as_raw_fd(), &train, &apart, MsgFlags::empty(), None);
            assert_eq!(sent, Ok(end), "it goes out whole");
            packets = &packets[end..];
        }
    }
}

/// Bytes that came, and where the next packet begins.
pub struct Input {
    bytes: Vec<u8>,
    next: usize,
    end: usize,
}

impl Input {
    fn new() -> Self {
        Self { bytes: vec![0; 2 * BUFFER_BYTES], next: 0, end: 0 }
    }

    /// Waits for more, behind what is left of those before.
    fn read(&mut self, wire: &mut impl Wire) -> bool {
        self.bytes.copy_within(self.next..self.end, 0);
        (self.next, self.end) = (0, self.end - self.next);
        let room = &mut self.bytes[self.end..self.end + BUFFER_BYTES];
        let bytes = wire.receive(room);
        self.end += bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// The next whole packet.
    fn packet(&mut self) -> Option<&mut [u8]> {
        let rest = &mut self.bytes[self.next..self.end];
        let Ok(Framing::Whole(len)) = deframe(rest) else { return None };
        self.next += len;
        Some(&mut rest[..len])
    }
}

/// Channels that are opened, of which an order uses some.
const CHANNELS: usize = 64;

/// One stream.
struct Client<W> {
    wire: W,
    connection: Connection,
    clock: Clock,
    channels: Vec<u16>,
    /// The channels of messages that came back, each to be followed by another.
    due: Vec<u16>,
    input: Input,
    output: Vec<u8>,
}

impl<W: Wire> Client<W> {
    fn connect(wire: W) -> Self {
        let clock = Clock::start();
        let mut config = Config::new(W::MODE);
        (config.offer.offers, config.offer.requires) = (ENCRYPT | BATCH, ENCRYPT);
        // Between orders it is silent for as long as others take.
        (config.window_packets, config.keepalive_ns) = (WINDOW_PACKETS, 0);
        config.packet_bytes = packet_bytes(W::MODE);
        let secrets = Secrets { nonce: [6; 32], ephemeral: [7; 32] };
        let identity = Identity::from_secret(&[2; 32]);
        let trust = Arc::new(Anyone);
        let connection =
            Connection::new(clock.now(), Role::Initiator, config, &identity, trust, secrets);
        let (input, output) = (Input::new(), Vec::with_capacity(2 * BUFFER_BYTES));
        let (channels, due) = (Vec::new(), Vec::new());
        let mut client = Self { wire, connection, clock, channels, due, input, output };
        client.wait_for(|event| matches!(event, Event::Connected));
        for _ in 0..CHANNELS {
            let now = client.clock.now();
            let opened = client.connection.open_channel(now, channel_type::SERVICE, false);
            client.channels.push(opened.expect("it is connected"));
            client.wait_for(|event| matches!(event, Event::ChannelOpened { .. }));
        }
        client
    }

    fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) {
        loop {
            while let Some(event) = self.connection.poll_event() {
                if wanted(&event) {
                    return;
                }
            }
            self.flush();
            self.hear(&[]);
        }
    }

    /// Waits for packets, and takes all that came; whether any did.
    fn hear(&mut self, message: &[u8]) -> bool {
        let Self { wire, connection, clock, due, input, .. } = self;
        if !input.read(wire) {
            return false;
        }
        let now = clock.now();
        while let Some(packet) = input.packet() {
            let received = connection.handle_packet(now, packet).expect("the server is no fool");
            let Received::Data(data) = received else { continue };
            for at in data.messages(packet) {
                // Of one in pieces the offset of each is the connection's to check.
                assert!(message.starts_with(&packet[at]), "it is not what was sent");
                if data.last {
                    due.push(data.channel);
                }
            }
            connection.consume(now, data.channel, 1);
        }
        true
    }

    /// Says a message so many times: short ones share packets, as those of the others share records.
    fn say_all(&mut self, channel: u16, message: &[u8], mut times: usize) {
        let bytes_max = self.connection.batch_bytes_max();
        while times > 1 && Batch::new().takes(message.len(), bytes_max) {
            let (at, mut batch) = (self.output.len(), Batch::new());
            let list = (times.min(16) * (LENGTH_BYTES + message.len())).min(bytes_max);
            self.output.resize(at + HEADER_BYTES + list + TAILROOM_BYTES, 0);
            while times > 0 && batch.takes(message.len(), list) {
                batch.put(&mut self.output[at..], message);
                times -= 1;
            }
            let (now, room) = (self.clock.now(), &mut self.output[at..]);
            let sealed = self.connection.seal_batch(now, channel, &batch, room);
            self.output.truncate(at + sealed.expect("credit").end);
        }
        (0..times).for_each(|_| self.say(channel, message));
    }

    fn say(&mut self, channel: u16, message: &[u8]) {
        let now = self.clock.now();
        for piece in self.connection.pieces(message.len() as u32) {
            let (at, len) = (self.output.len(), piece.len as usize);
            self.output.resize(at + HEADROOM_BYTES + len + TAILROOM_BYTES, 0);
            let room = &mut self.output[at..];
            let head = if piece.is_whole() { HEADER_BYTES } else { HEADROOM_BYTES };
            room[head..head + len].copy_from_slice(&message[piece.offset as usize..][..len]);
            let sealed = self.connection.seal(now, channel, piece, false, room, head..head + len);
            self.output.truncate(at + sealed.expect("credit").end);
        }
    }

    /// Sends what was said, and what the connection has to say itself.
    fn flush(&mut self) {
        loop {
            let at = self.output.len();
            self.output.resize(at + TRANSMIT_BYTES_MAX, 0);
            let said = self.connection.poll_transmit(self.clock.now(), &mut self.output[at..]);
            self.output.truncate(at + said.unwrap_or(0));
            if said.is_none() {
                break;
            }
        }
        self.wire.send(&self.output);
        self.output.clear();
    }

    /// Keeps `window` messages under way on each of so many channels until then; how many came back.
    fn exchange(&mut self, message: &[u8], channels: usize, window: usize, until: Instant) -> u64 {
        let all = |channel: &u16| std::iter::repeat_n(*channel, window);
        let all: Vec<u16> = self.channels[..channels].iter().flat_map(all).collect();
        let (mut sent, mut heard) = (0, 0);
        self.due.clone_from(&all);
        loop {
            if Instant::now() < until {
                let due = std::mem::take(&mut self.due);
                for same in due.chunk_by(|one, other| one == other) {
                    self.say_all(same[0], message, same.len());
                }
                sent += due.len() as u64;
                self.due = due;
                self.flush();
            } else if heard >= sent {
                self.due.clear();
                return heard;
            }
            self.due.clear();
            if self.hear(message) {
                heard += self.due.len() as u64;
            } else {
                // What was only late may come yet.
                eprintln!("{} messages are lost", sent.saturating_sub(heard));
                sent = sent.min(heard);
                self.due.clone_from(&all);
            }
        }
    }

    fn obey(mut self) {
        println!("ready");
        for order in std::io::stdin().lock().lines() {
            let order = order.expect("a line");
            let mut numbers = order.split(' ').map(|word| word.parse::<u64>().expect("a number"));
            let mut number = || numbers.next().expect("four of them") as usize;
            let (message, channels, window) = (vec![b'x'; number()], number(), number());
            let time = Duration::from_millis(number() as u64);
            let start = Instant::now();
            let heard = self.exchange(&message, channels, window, start + time);
            println!("{heard} {}", start.elapsed().as_nanos());
        }
    }
}

/// Obeys orders from standard input, each "BYTES CHANNELS WINDOW MILLISECONDS", as the clients in benches/peers do.
pub fn drive(transport: &str, port: u16) {
    match transport {
        "tcp" => {
            let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
            socket.set_nodelay(true).expect("TCP_NODELAY");
            Client::connect(socket).obey();
        }
        _ => Client::connect(Trains::connect(port)).obey(),
    }
}
