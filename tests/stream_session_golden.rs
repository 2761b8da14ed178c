//! A recorded session of a stream, byte for byte, in `tests/golden/stream`: what both ends say from
//! fixed secrets, and what is in it. No byte of it can be changed without being caught.
//!
//! `RINGWAY_WRITE_GOLDEN=1 cargo test --test stream_session_golden` writes the files anew: a change of
//! them is a change of the wire.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use ringway::proto::stream::compress::decompress;
use ringway::proto::stream::secure::handshake::Secrets;
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, ChannelTypes, Close, Code, Config, Connection, Control, Data, Dropped, FRAGMENT_BYTES,
    Fault, Flags, Fragment, HEADER_BYTES, HEADROOM_BYTES, Header, Mode, PacketType, Probe,
    Received, Role, TAILROOM_BYTES, TRANSMIT_BYTES_MAX, Word,
};
use ringway::time::Instant;
use sha2::{Digest, Sha256};

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;

/// The channels, and the types that they are of.
const CHANNEL: u16 = 1;
const BACK: u16 = 4;
const CUSTOM: u8 = 0x10;
const SECURITY: u8 = 3;
const UNWANTED: u8 = 0x77;

/// 32 bytes that count up from `first`.
fn bytes(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + at as u8)
}

fn identity(end: usize) -> Identity {
    Identity::from_secret(&bytes([0x00, 0x20][end]))
}

fn session_id() -> [u8; 16] {
    std::array::from_fn(|at| 0xc0 + at as u8)
}

fn connection(end: usize, mode: Mode, now: Instant) -> Connection {
    let role = [Role::Initiator, Role::Responder { session_id: session_id() }].into_iter().nth(end);
    let first = [0x40, 0x80][end];
    let secrets = Secrets { nonce: bytes(first), ephemeral: bytes(first + 32) };
    let config = Config {
        packet_bytes: 512,
        window_packets: 8,
        types: ChannelTypes::WELL_KNOWN.with(CUSTOM),
        ..Config::new(mode)
    };
    Connection::new(now, role.unwrap(), config, &identity(end), Arc::new(Anyone), secrets)
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let step = |n: &u32| Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), step).map(|n: u32| (n >> 24) as u8).take(len).collect()
}

/// A compressed message: one sequence of literals and a match, and the literals that end a block. Made
/// here so that the files do not change with whoever compresses.
fn compressed(literals: &[u8], offset: u16, length: usize, end: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn nibble(value: usize) -> u8 {
        value.min(15) as u8
    }
    fn more(value: usize, out: &mut Vec<u8>) {
        if let Some(mut rest) = value.checked_sub(15) {
            while rest >= 255 {
                out.push(255);
                rest -= 255;
            }
            out.push(rest as u8);
        }
    }
    let mut block = vec![nibble(literals.len()) << 4 | nibble(length - 4)];
    more(literals.len(), &mut block);
    block.extend(literals);
    block.extend(offset.to_le_bytes());
    more(length - 4, &mut block);
    block.push(nibble(end.len()) << 4);
    more(end.len(), &mut block);
    block.extend(end);

    let mut message = literals.to_vec();
    for _ in 0..length {
        message.push(message[message.len() - usize::from(offset)]);
    }
    message.extend(end);
    let sent = [&(message.len() as u32).to_le_bytes(), &block[..]].concat();
    (sent, message)
}

/// A bit of a packet that is changed on its way.
#[derive(Debug, Clone, Copy)]
struct Flip {
    packet: usize,
    byte: usize,
    bit: usize,
}

/// Both ends, and what has passed between them.
struct Play {
    now: Instant,
    ends: [Connection; 2],
    packets: Vec<(usize, Vec<u8>)>,
    /// What was in each packet.
    said: Vec<String>,
    /// Pieces of messages that have not ended, by who gets them and channel.
    parts: BTreeMap<(usize, u16), Vec<u8>>,
    /// Packets that wait to be consumed at each end.
    unconsumed: [u32; 2],
    flip: Option<Flip>,
    /// What became of the packet that was changed. From then on nothing passes.
    outcome: Option<Result<Received, Fault>>,
}

impl Play {
    fn new(mode: Mode, flip: Option<Flip>) -> Self {
        let now = Instant::from_ns(1_000_000_000);
        Self {
            now,
            ends: [INITIATOR, RESPONDER].map(|end| connection(end, mode, now)),
            packets: Vec::new(),
            said: Vec::new(),
            parts: BTreeMap::new(),
            unconsumed: [0; 2],
            flip,
            outcome: None,
        }
    }

    /// The whole session.
    fn run(mut self) -> Self {
        let steps: &[fn(&mut Self)] = &[
            Self::greet_and_open,
            Self::say_messages,
            Self::say_short_ones,
            Self::run_out_of_credit,
            Self::fall_silent,
            Self::turn_keys,
            Self::open_back,
            Self::end,
        ];
        for step in steps {
            if self.outcome.is_none() {
                step(&mut self);
            }
        }
        self
    }

    fn greet_and_open(&mut self) {
        self.flush(INITIATOR);
        self.open(INITIATOR, CUSTOM);
    }

    fn say_messages(&mut self) {
        self.say(INITIATOR, CHANNEL, b"hello");
        self.say(INITIATOR, CHANNEL, &noise(600));
        self.consume(RESPONDER, CHANNEL);
        let (sent, message) = compressed(b"to and fro ", 11, 400, b"and so it ended");
        self.send(INITIATOR, CHANNEL, &sent, true);
        assert_eq!(message.len(), 426);
        let (sent, _) = compressed(&noise(480), 480, 100, b"the end");
        self.send(RESPONDER, CHANNEL, &sent, true);
        self.say(RESPONDER, CHANNEL, b"");
    }

    /// Several in one packet, each way.
    fn say_short_ones(&mut self) {
        self.say_all(INITIATOR, CHANNEL, &[b"one", b"", &noise(256)]);
        self.say_all(RESPONDER, CHANNEL, &[&b"two"[..]; 16]);
    }

    /// As many as there is credit for, and one that has to wait.
    fn run_out_of_credit(&mut self) {
        self.consume(RESPONDER, CHANNEL);
        for number in 0..8 {
            self.say(INITIATOR, CHANNEL, &[b'0' + number]);
        }
        self.say(INITIATOR, CHANNEL, b"at last");
        self.consume(RESPONDER, CHANNEL);
        self.say(INITIATOR, CHANNEL, b"at last");
    }

    /// Until each asks whether the other is there.
    fn fall_silent(&mut self) {
        self.now = self.now.after_ns(3_000_000_000);
        self.ends[INITIATOR].handle_timeout(self.now);
        self.flush(INITIATOR);
    }

    /// New keys in each direction of the channel, a second one for one of them, and for channel 0.
    fn turn_keys(&mut self) {
        for (end, message) in [(INITIATOR, "once"), (RESPONDER, "over there"), (INITIATOR, "twice")]
        {
            self.rekey(end, CHANNEL);
            self.say(end, CHANNEL, message.as_bytes());
            self.consume(1 - end, CHANNEL);
        }
        self.rekey(RESPONDER, 0);
        self.ping(RESPONDER);
    }

    /// A channel that is not wanted, and one that is.
    fn open_back(&mut self) {
        self.open(RESPONDER, UNWANTED);
        self.open(RESPONDER, SECURITY);
        self.say(RESPONDER, BACK, b"a channel of my own");
    }

    fn end(&mut self) {
        self.shut(INITIATOR, CHANNEL);
        self.say(RESPONDER, CHANNEL, b"what was still to be said");
        self.shut(RESPONDER, CHANNEL);
        self.close(INITIATOR, "enough");
        self.say(RESPONDER, BACK, b"and this");
        self.close(RESPONDER, "");
    }

    fn open(&mut self, end: usize, channel_type: u8) {
        if self.outcome.is_none() {
            self.ends[end].open_channel(self.now, channel_type, true).unwrap();
            self.flush(end);
        }
    }

    fn say(&mut self, end: usize, channel: u16, message: &[u8]) {
        self.send(end, channel, message, false);
    }

    /// Sends the pieces of a message; where the credit ends, the peer is told.
    fn send(&mut self, end: usize, channel: u16, message: &[u8], compressed: bool) {
        for piece in self.ends[end].pieces(message.len() as u32) {
            if self.outcome.is_some() {
                return;
            }
            let bytes = &message[piece.offset as usize..(piece.offset + piece.len) as usize];
            let mut room = [&[0; HEADROOM_BYTES][..], bytes, &[0; TAILROOM_BYTES]].concat();
            let payload = HEADROOM_BYTES..HEADROOM_BYTES + bytes.len();
            let sealed =
                self.ends[end].seal(self.now, channel, piece, compressed, &mut room, payload);
            match sealed {
                Ok(packet) => self.deliver(end, room[packet].to_vec()),
                Err(_) => self.flush(end),
            }
        }
    }

    fn say_all(&mut self, end: usize, channel: u16, messages: &[&[u8]]) {
        if self.outcome.is_some() {
            return;
        }
        let (mut batch, mut room) = (Batch::new(), [0; 512]);
        messages.iter().for_each(|message| batch.put(&mut room, message));
        let packet = self.ends[end].seal_batch(self.now, channel, &batch, &mut room).unwrap();
        self.deliver(end, room[packet].to_vec());
    }

    fn consume(&mut self, end: usize, channel: u16) {
        if self.outcome.is_none() {
            let packets = std::mem::take(&mut self.unconsumed[end]);
            self.ends[end].consume(self.now, channel, packets);
            self.flush(end);
        }
    }

    fn rekey(&mut self, end: usize, channel: u16) {
        if self.outcome.is_none() {
            self.ends[end].rekey(channel).unwrap();
        }
    }

    fn ping(&mut self, end: usize) {
        self.ends[end].ping();
        self.flush(end);
    }

    fn shut(&mut self, end: usize, channel: u16) {
        if self.outcome.is_none() {
            self.ends[end].close_channel(channel).unwrap();
            self.flush(end);
        }
    }

    fn close(&mut self, end: usize, text: &str) {
        if self.outcome.is_none() {
            self.ends[end].close(self.now, Code::None, text);
            self.flush(end);
        }
    }

    /// Hands on what an end has to say by itself.
    fn flush(&mut self, end: usize) {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        while self.outcome.is_none()
            && let Some(len) = self.ends[end].poll_transmit(self.now, &mut out)
        {
            self.deliver(end, out[..len].to_vec());
        }
    }

    fn deliver(&mut self, from: usize, mut packet: Vec<u8>) {
        let (index, to) = (self.packets.len(), 1 - from);
        self.packets.push((from, packet.clone()));
        let flip = self.flip.filter(|flip| flip.packet == index);
        if let Some(Flip { byte, bit, .. }) = flip {
            packet[byte] ^= 1 << bit;
        }
        let outcome = self.ends[to].handle_packet(self.now, &mut packet);
        if flip.is_some() {
            self.outcome = Some(outcome);
            return;
        }
        self.note(from, &packet, outcome.unwrap());
        while self.ends[to].poll_event().is_some() {}
        self.flush(to);
    }

    /// Writes down what a packet was that was taken, and now lies open.
    fn note(&mut self, from: usize, packet: &[u8], received: Received) {
        let header = Header::decode(packet.first_chunk().unwrap()).unwrap();
        let tag = if header.flags.has(Flags::ENCRYPTED) { TAILROOM_BYTES } else { 0 };
        let body = &packet[HEADER_BYTES..packet.len() - tag];
        let to = &self.ends[1 - from];
        let epoch = match header.ch_id {
            0 => to.epochs().1,
            channel => to.channel(channel).unwrap().receive_epoch,
        };
        let words = match (header.packet_type, received) {
            (PacketType::Data, Received::Data(data)) => self.note_data(from, header, packet, &data),
            (PacketType::Control, _) if tag == 0 => part(from, body[0]),
            (PacketType::Control, _) => word(&Control::decode(body).unwrap()),
            (PacketType::Keepalive, _) => {
                let Probe { pong, token, epoch } = Probe::decode(body).unwrap();
                format!("{} token {token} epoch {epoch}", if pong { "PONG" } else { "PING" })
            }
            (PacketType::Close, _) => {
                let Close { code, text } = Close::decode(body).unwrap();
                format!("CLOSE code {} \"{text}\"", code.to_wire())
            }
            other => panic!("{other:?} is not in the session"),
        };
        let (index, end) = (self.said.len(), ["i", "r"][from]);
        let ch = header.ch_id;
        self.said.push(format!("{index} {end} channel {ch} epoch {epoch}: {words}\n"));
    }

    fn note_data(&mut self, from: usize, header: Header, packet: &[u8], data: &Data) -> String {
        let to = 1 - from;
        self.unconsumed[to] += 1;
        if header.flags.has(Flags::BATCHED) {
            let said = |at| format!(", {}", message(&packet[at]));
            return format!("DATA batch of {}", data.count)
                + &data.messages(packet).map(said).collect::<String>();
        }
        let piece = &packet[data.range.clone()];
        let dress = if data.compressed { "DATA compressed" } else { "DATA" };
        let mut words = match packet[HEADER_BYTES..].first_chunk::<FRAGMENT_BYTES>() {
            Some(head) if header.flags.has(Flags::FRAGMENTED) => {
                let Fragment { frag_size, offset, full_size } =
                    Fragment::decode(head, piece.len()).unwrap();
                format!("{dress} {offset}+{frag_size} of {full_size}")
            }
            _ => dress.to_owned(),
        };
        let whole = self.parts.entry((to, data.channel)).or_default();
        whole.extend(piece);
        if data.last {
            let mut whole = self.parts.remove(&(to, data.channel)).unwrap();
            if data.compressed {
                let mut room = vec![0; 1000];
                let len = decompress(&whole, room.len(), &mut room).unwrap();
                whole = room[..len].to_vec();
            }
            words += &format!(", {}", message(&whole));
        }
        words
    }
}

fn message(bytes: &[u8]) -> String {
    format!("message {} bytes {}", bytes.len(), hex(&Sha256::digest(bytes)))
}

/// A part of the handshake, and what it proves.
fn part(from: usize, op: u8) -> String {
    let node = || identity(from).public().address();
    match op {
        1 => "HELLO".to_owned(),
        2 => format!("REPLY node {}", node()),
        3 => format!("AUTH node {}", node()),
        4 => format!("READY session {}", hex(&session_id())),
        _ => panic!("{op} is not in the session"),
    }
}

fn word(control: &Control) -> String {
    let Control { ch, incarnation, word } = *control;
    let (name, fields) = match word {
        Word::Open { channel_type, may_compress, credit } => {
            let flags = u8::from(may_compress);
            ("OPEN", format!(" type {channel_type} flags {flags} credit {credit}"))
        }
        Word::Opened { own, credit } => ("OPENED", format!(" own {own} credit {credit}")),
        Word::Refused { code } => ("REFUSED", format!(" code {code}")),
        Word::Shut { last } => ("SHUT", format!(" last {last}")),
        Word::Gone => ("GONE", String::new()),
        Word::Credit { limit, epoch } => ("CREDIT", format!(" limit {limit} epoch {epoch}")),
        Word::Blocked { limit } => ("BLOCKED", format!(" limit {limit}")),
    };
    format!("{name} {ch}.{incarnation}{fields}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream").join(name);
    if env::var_os("RINGWAY_WRITE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == found, "{} holds\n{kept}and now it is\n{found}", path.display());
}

#[test]
fn fixed_secrets_give_the_session_that_is_kept() {
    let play = Play::new(Mode::Stream, None).run();
    assert!(play.ends.iter().all(Connection::is_over));
    let line =
        |(from, packet): &(usize, Vec<u8>)| format!("{} {}\n", ["i", "r"][*from], hex(packet));
    compare("session.txt", &play.packets.iter().map(line).collect::<String>());
    compare("session_said.txt", &play.said.concat());
}

#[test]
fn the_session_has_packets_of_every_kind() {
    let said = Play::new(Mode::Stream, None).run().said.concat();
    let words =
        ["OPEN ", "OPENED", "REFUSED", "SHUT", "CREDIT", "BLOCKED", "PING", "PONG", "CLOSE"];
    let data = ["DATA,", "DATA 0+", "DATA compressed,", "DATA compressed 0+", "message 0 bytes"];
    let batches = ["DATA batch of 3, message 3 bytes", "DATA batch of 16,"];
    let keys = ["channel 1 epoch 2", "channel 0 epoch 1"];
    for kind in [&words[..], &data, &batches, &keys].concat() {
        assert!(said.contains(kind), "{kind:?} is not in\n{said}");
    }
}

/// What becomes of the session when one bit of it is changed on its way.
fn flipped(mode: Mode, flip: Flip) -> Play {
    let mut play = Play::new(mode, Some(flip)).run();
    // Nothing in a HELLO is proved before the REPLY, which answers another one then.
    if flip.packet == 0 && play.outcome == Some(Ok(Received::Consumed)) {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        let len = play.ends[RESPONDER].poll_transmit(play.now, &mut out).expect("its answer");
        play.outcome = Some(play.ends[INITIATOR].handle_packet(play.now, &mut out[..len]));
    }
    play
}

#[test]
fn no_byte_of_the_session_can_be_changed_without_being_caught() {
    let kept = Play::new(Mode::Stream, None).run();
    for (packet, (_, bytes)) in kept.packets.iter().enumerate() {
        // Every bit of a header, and one of each byte behind it.
        let bits = |byte| if byte < HEADER_BYTES { 0..8 } else { byte % 8..byte % 8 + 1 };
        let flips = (0..bytes.len()).flat_map(|byte| bits(byte).map(move |bit| (byte, bit)));
        for (byte, bit) in flips {
            let flip = Flip { packet, byte, bit };
            let play = flipped(Mode::Stream, flip);
            let is_caught = match play.outcome {
                Some(Err(_)) => true,
                // That of a channel that is not open; the next of its own is not the next then.
                Some(Ok(Received::Dropped(Dropped::Unknown))) => (9..11).contains(&byte),
                _ => false,
            };
            assert!(is_caught, "{flip:?}: {:?}", play.outcome);
            assert!(play.packets[..packet] == kept.packets[..packet], "{flip:?}");
            assert_eq!(play.said, kept.said[..packet], "{flip:?}");
        }
    }
}
