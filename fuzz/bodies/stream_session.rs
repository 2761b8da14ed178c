//! What must hold of the two ends of a stream, whatever their applications, the network and strangers do
//! in whichever order. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ringway::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, ChannelTypes, Code, Config, Connection, Event, HEADER_BYTES, HEADROOM_BYTES, Mode, Rate,
    Received, Role, TAILROOM_BYTES, TRANSMIT_BYTES_MAX,
};
use ringway::time::Instant;

const MS: u64 = 1_000_000;

/// A channel in one direction: who sends, its number, and which of those that had it.
type Flow = (usize, u16, u32);

struct Bed {
    ends: [Connection; 2],
    config: Config,
    /// Packets on their way to each end.
    wires: [VecDeque<Vec<u8>>; 2],
    now: Instant,
    /// Pieces that were sealed, and how many of them the other end has seen or given up.
    sent: HashMap<Flow, Vec<Vec<u8>>>,
    seen: HashMap<Flow, usize>,
    closed: [bool; 2],
    bytes: [usize; 2],
    number: u32,
}

/// The first byte says what the ends agree on; each other is an operation and its argument, some with
/// bytes of their own behind them.
pub fn check(bytes: &[u8]) {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let mut bed = Bed::new(first);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let argument = usize::from(byte & 31);
        let (end, what) = (argument & 1, argument >> 1);
        match byte >> 5 {
            0 => rest = bed.hostile(end, what, rest),
            1 => bed.open(end, what),
            2 | 3 => bed.say(end, what + 16 * usize::from(byte >> 5 & 1)),
            4 => bed.ask(end, what),
            5 => bed.deliver(end, what),
            6 => bed.pass(argument as u64 * 200),
            _ => bed.deliver_all(),
        }
        bed.poll();
        bed.check();
    }
    bed.finish();
}

impl Bed {
    fn new(first: u8) -> Self {
        let now = Instant::from_ns(0);
        let mode = if first & 1 == 0 { Mode::Stream } else { Mode::Datagram };
        let mut config = Config::new(mode);
        config.types = ChannelTypes::WELL_KNOWN;
        config.offer.offers = if first & 2 == 0 { ENCRYPT | COMPRESS } else { COMPRESS };
        config.offer.requires = config.offer.offers & ENCRYPT;
        config.offer.offers |= if first & 32 == 0 { 0 } else { BATCH };
        (config.packet_bytes, config.message_bytes_max) = (512, 2000);
        (config.channels_max, config.window_packets) = (3, 4);
        config.rekey_packets = if first & 4 == 0 { 1 << 24 } else { 3 };
        if first & 8 != 0 {
            config.channel_rate = Rate { packets: 10, bytes: 0 };
        }
        let connection = |number: u8, role| {
            let secrets = Secrets { nonce: [number; 32], ephemeral: [number + 1; 32] };
            let identity = Identity::from_secret(&[number; 32]);
            Connection::new(now, role, config, &identity, Arc::new(Anyone), secrets)
        };
        let ends = [
            connection(1, Role::Initiator),
            connection(3, Role::Responder { session_id: [0; 16] }),
        ];
        let mut bed = Self {
            ends,
            config,
            wires: [VecDeque::new(), VecDeque::new()],
            now,
            sent: HashMap::new(),
            seen: HashMap::new(),
            closed: [false; 2],
            bytes: [0; 2],
            number: 0,
        };
        bed.poll();
        if first & 16 == 0 {
            bed.deliver_all();
            assert!(bed.ends.iter().all(Connection::is_open));
        }
        bed
    }

    /// A packet that nobody has sent: any bytes, or such with a header.
    fn hostile<'a>(&mut self, end: usize, what: usize, rest: &'a [u8]) -> &'a [u8] {
        let len = what % 8 * 4;
        let (raw, after) = rest.split_at(rest.len().min(len + 4));
        let mut packet = raw.to_vec();
        if what >= 8
            && let [kind, number, channel, flags, payload @ ..] = raw
        {
            let size = (payload.len() as u32).to_le_bytes();
            packet = [&size[..], &[kind % 6, *number, 0, 0, 0, *channel, 0, flags % 32], payload]
                .concat();
        }
        self.handle(end, packet);
        after
    }

    fn open(&mut self, end: usize, what: usize) {
        let opened = self.ends[end].open_channel(self.now, what as u8 % 6, what < 8);
        assert!(opened.is_err() || self.ends[end].is_open());
    }

    /// Sends a message on one of the channels, as far as there is credit.
    fn say(&mut self, end: usize, what: usize) {
        let channels: Vec<_> = self.ends[end].channels().collect();
        if channels.is_empty() {
            return;
        }
        let dump = channels[what % channels.len()];
        let message = vec![what as u8; [0, 5, 100, 1500][what % 4]];
        let left = self.ends[end].may_send(self.now, dump.channel);
        if what >= 16 && self.ends[end].may_batch() {
            if left > 0 {
                self.say_batch(end, dump.channel, dump.incarnation, what % 16 + 1);
            }
            return;
        }
        let pieces = self.ends[end].pieces(message.len() as u32);
        if left < pieces.len() as u64 {
            return;
        }
        for piece in pieces {
            self.number += 1;
            let mut data = vec![what as u8; piece.len as usize];
            let name = self.number.to_le_bytes();
            let named = data.len().min(4);
            data[..named].copy_from_slice(&name[..named]);
            let mut room = vec![0; HEADROOM_BYTES + data.len() + TAILROOM_BYTES];
            let place = HEADROOM_BYTES..HEADROOM_BYTES + data.len();
            room[place.clone()].copy_from_slice(&data);
            let sealed =
                self.ends[end].seal(self.now, dump.channel, piece, false, &mut room, place);
            let packet = room[sealed.expect("there is credit")].to_vec();
            assert!(packet.len() <= self.config.packet_bytes);
            self.sent.entry((end, dump.channel, dump.incarnation)).or_default().push(data);
            self.wires[1 - end].push_back(packet);
        }
    }

    /// Sends as many short messages as fit one packet, but no more than that.
    fn say_batch(&mut self, end: usize, channel: u16, incarnation: u32, count: usize) {
        let bytes_max = self.ends[end].batch_bytes_max();
        let mut room = vec![0; HEADER_BYTES + bytes_max + TAILROOM_BYTES];
        let mut batch = Batch::new();
        for _ in 0..count {
            self.number += 1;
            let data = [&self.number.to_le_bytes()[..], &vec![7; count * 9]].concat();
            if !batch.takes(data.len(), bytes_max) {
                break;
            }
            batch.put(&mut room, &data);
            self.sent.entry((end, channel, incarnation)).or_default().push(data);
        }
        let sealed = self.ends[end].seal_batch(self.now, channel, &batch, &mut room);
        let packet = room[sealed.expect("there is credit")].to_vec();
        assert!(packet.len() <= self.config.packet_bytes);
        self.wires[1 - end].push_back(packet);
    }

    fn ask(&mut self, end: usize, what: usize) {
        let now = self.now;
        let channels: Vec<u16> = self.ends[end].channels().map(|dump| dump.channel).collect();
        let channel = channels.first().copied().unwrap_or(1);
        let this = &mut self.ends[end];
        match what {
            0..6 => channels.iter().for_each(|&channel| this.consume(now, channel, what as u32)),
            6 | 7 => _ = this.rekey(channel),
            8 => _ = this.rekey(0),
            9 => this.ping(),
            10 | 11 => _ = this.close_channel(channel),
            12 => this.close(now, Code::None, "as it was asked to"),
            _ => channels.iter().for_each(|&channel| _ = this.close_channel(channel)),
        }
    }

    /// Something becomes of the next packet.
    fn deliver(&mut self, end: usize, what: usize) {
        let Some(mut packet) = self.wires[end].pop_front() else { return };
        match what {
            0..8 => {}
            8 => return,
            9 => self.handle(end, packet.clone()),
            10 => return self.wires[end].push_back(packet),
            _ => {
                let at = self.number as usize * 7 % packet.len();
                packet[at] ^= 1 << (what % 8);
            }
        }
        self.handle(end, packet);
    }

    fn deliver_all(&mut self) {
        for _ in 0..1000 {
            for end in 0..2 {
                let Some(packet) = self.wires[end].pop_front() else { continue };
                self.handle(end, packet);
                self.poll();
            }
            if self.wires.iter().all(VecDeque::is_empty) {
                return;
            }
        }
        panic!("two ends talk for ever");
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ns(ms * MS);
        for end in 0..2 {
            self.ends[end].handle_timeout(self.now);
        }
    }

    fn handle(&mut self, end: usize, mut packet: Vec<u8>) {
        self.bytes[end] += packet.len();
        if !self.ends[end].may_receive() {
            return;
        }
        match self.ends[end].handle_packet(self.now, &mut packet) {
            Ok(Received::Data(data)) => {
                assert!(data.range.end <= packet.len() && data.message_bytes <= 2000);
                let dump = self.ends[end].channel(data.channel).expect("it is open");
                let flow = (1 - end, data.channel, dump.incarnation);
                assert!(data.count == 1 || self.ends[end].may_batch());
                for at in data.messages(&packet) {
                    self.check_data(flow, &packet[at]);
                }
            }
            Ok(_) => {}
            Err(fault) => {
                assert!(self.ends[end].is_over(), "{fault:?}");
                assert_ne!(fault.code(), Code::None);
            }
        }
    }

    /// On a sealed stream only what was sent arrives, in order, and nothing twice.
    fn check_data(&mut self, flow: Flow, bytes: &[u8]) {
        if self.config.offer.offers & ENCRYPT == 0 {
            return;
        }
        let sent = self.sent.get(&flow).expect("something was sent");
        let seen = self.seen.entry(flow).or_default();
        let at = sent[*seen..].iter().position(|sent| sent == bytes);
        *seen += 1 + at.expect("it was sent, and not seen yet");
    }

    /// Lets both ends say what they have to, and looks at what happened.
    fn poll(&mut self) {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        for end in 0..2 {
            let unknown = self.ends[end].peer().is_none();
            while let Some(len) = self.ends[end].poll_transmit(self.now, &mut out) {
                let wire = &mut self.wires[1 - end];
                wire.push_back(out[..len].to_vec());
                if end == 1 && unknown && self.config.mode == Mode::Datagram {
                    self.bytes[1] = self.bytes[1].checked_sub(len).expect("no more than came");
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                assert!(!self.closed[end], "nothing follows the end: {event:?}");
                self.closed[end] = matches!(event, Event::Closed(_));
            }
            assert_eq!(self.closed[end], self.ends[end].is_over());
        }
    }

    fn check(&self) {
        for end in &self.ends {
            assert!(end.statistics().channels <= self.config.channels_max);
            for dump in end.channels() {
                assert!(dump.unconsumed <= self.config.window_packets, "{dump:?}");
            }
            assert!(end.poll_timeout().is_some() || end.is_over());
        }
    }

    /// Both ends close, and are over when they have had the time.
    fn finish(mut self) {
        for end in 0..2 {
            self.ends[end].close(self.now, Code::None, "the end");
        }
        for _ in 0..80 {
            self.poll();
            self.deliver_all();
            self.pass(200);
        }
        self.poll();
        assert_eq!(self.closed, [true; 2]);
    }
}
