//! What must hold of the chain of streams and its echo, whatever peers, strangers, the pool and time do in
//! whichever order. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringway::handler::stream::{Echo, Streams};
use ringway::mem::{Buf, Burst, ConnId, Share, kind};
use ringway::pipeline::chain::StashBounds;
use ringway::pipeline::chain::stream::{
    CONSUMED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL, REKEY, SHUT_CHANNEL, Settings,
};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};
use ringway::proto::stream::compress::{Compressor, Tables, decompress, room_bytes};
use ringway::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, ChannelTypes, Code, Config, Connection, Event, Framing, HEADROOM_BYTES, Mode, Received,
    Role, TAILROOM_BYTES, TRANSMIT_BYTES_MAX, deframe,
};
use ringway::testing::{Harness, SLOTS};
use ringway::time::Clock;

/// Peers that a list of operations can name.
const PEERS: usize = 3;
const PACKET: usize = 1024;
const MESSAGE_MAX: usize = 1500;
/// Bufs that may wait in front of the chain before the pool is given back.
const WAITING_MAX: usize = 100;

/// A peer that keeps to the rules, as long as nobody speaks in its name.
struct Peer {
    conn: ConnId,
    connection: Connection,
    /// Bytes that begin a packet.
    part: Vec<u8>,
    /// Pieces of messages, by channel.
    pieces: HashMap<u16, Vec<u8>>,
    /// Messages that are still to come back, and how many have, by channel and incarnation.
    sent: HashMap<(u16, u32), Vec<Vec<u8>>>,
    heard: HashMap<(u16, u32), usize>,
    /// Packets of a channel that credit is owed for.
    owed: Vec<u16>,
    consumes: bool,
    honest: bool,
}

/// An echo in another process, which says when it is done with a message, and whatever else comes to its mind.
struct Process {
    echo: Streams<Echo>,
    consumes: bool,
    words: VecDeque<Buf>,
}

impl Process {
    fn say(&mut self, conn: ConnId, kind: u8, meta: u32) {
        let mut word = Buf::marker(conn, kind);
        word.set_kind(kind, meta);
        self.words.push_back(word);
    }
}

impl Handler for Process {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() > 8
            && let Some(word) = self.words.pop_front()
        {
            assert!(output.push(word).is_ok(), "room was checked");
        }
        let heard: Vec<_> = input.iter().map(|b| (b.conn(), b.kind(), b.meta())).collect();
        self.echo.process(cx, input, output);
        let done = heard.len() - input.len();
        for (conn, kind, meta) in heard.into_iter().take(done) {
            if self.consumes && kind == MESSAGE && meta & MessageMeta::GOES_ON == 0 {
                self.say(conn, CONSUMED, meta & 0xffff | 1 << 16);
            }
        }
    }

    fn poll(&mut self, _cx: &mut Cx, output: &mut Burst) -> bool {
        let said = self.words.len();
        while output.room() > 8
            && let Some(word) = self.words.pop_front()
        {
            assert!(output.push(word).is_ok(), "room was checked");
        }
        said > self.words.len()
    }

    fn is_polled(&self) -> bool {
        true
    }
}

struct Bed {
    harness: Harness<Process>,
    peers: Vec<Peer>,
    current: usize,
    config: Config,
    hoard: Vec<Buf>,
    opened: u8,
    number: u32,
    /// Nothing ever took slots away, nor credit, nor stopped the dataplane: all messages come back.
    calm: bool,
}

/// The first byte says what is agreed on, and whether a process serves; each other is an operation and its argument, some with bytes of
/// their own behind them.
pub fn check(bytes: &[u8]) {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let mut bed = Bed::new(first);
    while let Some((&byte, after)) = rest.split_first() {
        let argument = usize::from(byte & 31);
        rest = after;
        bed.make_room();
        match byte >> 5 {
            0 => rest = bed.garbage(argument, rest),
            1 | 2 => bed.say(argument + usize::from(byte >> 5)),
            3 => bed.ask(argument),
            4 => bed.starve(argument),
            5 => bed.pass(argument),
            6 => bed.current = argument % PEERS,
            _ => bed.pump(argument),
        }
    }
    bed.finish();
}

impl Bed {
    fn new(first: u8) -> Self {
        let mode = if first & 1 == 0 { Mode::Stream } else { Mode::Datagram };
        let mut config = Config::new(mode);
        config.types = ChannelTypes::WELL_KNOWN;
        config.offer.offers = u32::from(first >> 1) & (ENCRYPT | COMPRESS);
        config.offer.requires = config.offer.offers & ENCRYPT;
        config.offer.offers |= if first & 32 == 0 { 0 } else { BATCH };
        (config.packet_bytes, config.message_bytes_max) = (PACKET, MESSAGE_MAX as u32);
        (config.channels_max, config.window_packets) = (6, if first & 8 == 0 { 8 } else { 64 });
        let mut n = 100;
        let settings = Settings {
            config,
            identity: Identity::from_secret(&[1; 32]),
            trust: Arc::new(Anyone),
            entropy: Box::new(move || {
                n += 1;
                (Secrets { nonce: [n; 32], ephemeral: [n; 32] }, [n; 16])
            }),
            clock: Clock::start(),
            cookie_secret: [9; 32],
            upgrade: false,
            handler_consumes: first & 16 != 0,
            window_budget: if first & 8 == 0 { u32::MAX } else { 20 },
            idle_ns: 0,
            stashes: StashBounds { all: 16, large: 0 },
            share: Share::one_in(8, [256, 0, 0, 0]),
        };
        let chain = chain::Stream::new(SLOTS, settings);
        let (echo, consumes) = (Streams::new(Echo::default()), first & 16 != 0);
        let process = Process { echo, consumes, words: VecDeque::new() };
        let harness = Harness::build(|_| (Pipeline::Stream(Box::new(chain)), process));
        Self {
            harness,
            peers: Vec::new(),
            current: 0,
            config,
            hoard: Vec::new(),
            opened: 0,
            number: 0,
            calm: true,
        }
    }

    fn make_room(&mut self) {
        if self.harness.waiting() > WAITING_MAX || self.hoard.len() > 200 {
            self.hoard.clear();
            self.harness.run();
        }
        while self.peers.len() <= self.current {
            let peer = self.peer();
            self.peers.push(peer);
        }
        if self.harness.closed(self.peers[self.current].conn).is_some() && self.opened < 40 {
            self.peers[self.current] = self.peer();
        }
    }

    fn peer(&mut self) -> Peer {
        self.opened += 1;
        let secrets = Secrets { nonce: [self.opened; 32], ephemeral: [self.opened; 32] };
        let me = Identity::from_secret(&[self.opened + 1; 32]);
        let (now, trust) = (self.harness.cx.now, Arc::new(Anyone));
        let config = Config { window_packets: 1 + u32::from(self.opened % 7), ..self.config };
        Peer {
            conn: self.harness.open(),
            connection: Connection::new(now, Role::Initiator, config, &me, trust, secrets),
            part: Vec::new(),
            pieces: HashMap::new(),
            sent: HashMap::new(),
            heard: HashMap::new(),
            owed: Vec::new(),
            consumes: true,
            honest: true,
        }
    }

    fn is_datagram(&self) -> bool {
        self.config.mode == Mode::Datagram
    }

    /// Bytes that nobody means, alone or behind a header, in a peer's name.
    fn garbage<'a>(&mut self, argument: usize, rest: &'a [u8]) -> &'a [u8] {
        let (raw, after) = rest.split_at(rest.len().min(argument % 16 + 4));
        if self.harness.handler.consumes && argument % 16 < 4 {
            self.hear_process(raw);
            return after;
        }
        let mut packet = raw.to_vec();
        if argument >= 16
            && let [kind, number, channel, flags, payload @ ..] = raw
        {
            let size = (payload.len() as u32).to_le_bytes();
            packet = [&size[..], &[kind % 6, *number, 0, 0, 0, *channel, 0, flags % 32], payload]
                .concat();
        }
        let peer = &mut self.peers[self.current];
        peer.honest = false;
        self.harness.receive(peer.conn, packet);
        after
    }

    /// Words that a process may say, about anything.
    fn hear_process(&mut self, raw: &[u8]) {
        self.calm = false;
        let kinds = [
            MESSAGE,
            OPEN_CHANNEL,
            SHUT_CHANNEL,
            GOODBYE,
            CONSUMED,
            REKEY,
            kind::FLUSH,
            kind::ABORT,
        ];
        for word in raw.chunks_exact(4) {
            let conn = self.peers[usize::from(word[1]) % self.peers.len()].conn;
            let kind = kinds[usize::from(word[0]) % kinds.len()];
            let meta = u32::from(word[2] % 16) | u32::from(word[3]) << 16;
            let meta = if kind == MESSAGE { meta & 0xffff | 3 << 16 } else { meta };
            self.peers.iter_mut().for_each(|peer| peer.honest &= peer.conn != conn);
            self.harness.handler.say(conn, kind, meta);
        }
        self.harness.run();
    }

    /// A message on one of the channels, as far as there is credit.
    fn say(&mut self, what: usize) {
        let now = self.harness.cx.now;
        self.number += 1;
        let number = self.number;
        let peer = &mut self.peers[self.current];
        let channels: Vec<_> =
            peer.connection.channels().filter(|dump| dump.is_open && !dump.is_shut).collect();
        let Some(dump) = channels.get(what % channels.len().max(1)) else {
            _ = peer.connection.open_channel(now, 2, !what.is_multiple_of(3));
            return self.pump(31);
        };
        if peer.connection.may_batch() && what.is_multiple_of(5) {
            return self.say_batch(dump.channel, dump.incarnation, what);
        }
        let len = [0, 5, 100, 200, 900, 1400][what % 6];
        let message: Vec<u8> = match what % 4 {
            0 => (0..len).map(|at| (at * at / 7 + number as usize) as u8).collect(),
            _ => vec![number as u8; len],
        };
        let mut room = vec![0; room_bytes(len)];
        let packed = peer.connection.compresses(dump.channel).then(|| {
            Compressor::new(u64::MAX).compress(&mut Tables::new(), &message, &mut room, || now)
        });
        let (bytes, compressed) = match packed.flatten() {
            Some(len) => (&room[..len], true),
            None => (&message[..], false),
        };
        let pieces = peer.connection.pieces(bytes.len() as u32);
        if peer.connection.may_send(now, dump.channel) < pieces.len() as u64 {
            return;
        }
        let mut packets = Vec::new();
        for piece in pieces {
            let mut packet = vec![0; HEADROOM_BYTES + piece.len as usize + TAILROOM_BYTES];
            let place = HEADROOM_BYTES..HEADROOM_BYTES + piece.len as usize;
            packet[place.clone()]
                .copy_from_slice(&bytes[piece.offset as usize..][..piece.len as usize]);
            let sealed =
                peer.connection.seal(now, dump.channel, piece, compressed, &mut packet, place);
            packets.push(packet[sealed.expect("there is credit")].to_vec());
        }
        peer.sent.entry((dump.channel, dump.incarnation)).or_default().push(message);
        self.send(self.current, &packets, what);
    }

    /// Short messages in one packet.
    fn say_batch(&mut self, channel: u16, incarnation: u32, what: usize) {
        let (now, number) = (self.harness.cx.now, self.number);
        let peer = &mut self.peers[self.current];
        if peer.connection.may_send(now, channel) == 0 {
            return;
        }
        let (mut batch, mut room) = (Batch::new(), vec![0; PACKET + TAILROOM_BYTES]);
        for n in 0..1 + what / 2 {
            let message = vec![number as u8 ^ n as u8; [3, 60, 0][n % 3]];
            if batch.takes(message.len(), peer.connection.batch_bytes_max()) {
                batch.put(&mut room, &message);
                peer.sent.entry((channel, incarnation)).or_default().push(message);
            }
        }
        let sealed = peer.connection.seal_batch(now, channel, &batch, &mut room);
        let packet = room[sealed.expect("there is credit")].to_vec();
        self.send(self.current, &[packet], what);
    }

    /// Packets reach the chain: each alone, or all together and cut somewhere.
    fn send(&mut self, index: usize, packets: &[Vec<u8>], what: usize) {
        let conn = self.peers[index].conn;
        if self.is_datagram() {
            packets.iter().for_each(|packet| self.harness.receive(conn, packet));
        } else if !packets.is_empty() {
            let cut = [1, 7, 100, 2000][what % 4];
            self.harness.receive_cut(conn, packets.concat(), cut);
        }
    }

    fn ask(&mut self, argument: usize) {
        let now = self.harness.cx.now;
        let peer = &mut self.peers[self.current];
        let channels: Vec<u16> = peer.connection.channels().map(|dump| dump.channel).collect();
        match argument {
            0..12 => {
                _ = peer.connection.open_channel(
                    now,
                    argument as u8 % 4,
                    argument.is_multiple_of(2),
                )
            }
            12 => peer.connection.ping(),
            13..17 => {
                let channel = channels.get(argument % channels.len().max(1));
                _ = channel.map(|&channel| peer.connection.close_channel(channel));
            }
            17 => channels.iter().for_each(|&channel| _ = peer.connection.close_channel(channel)),
            18 => peer.connection.close(now, Code::None, "as it was asked to"),
            19..23 => peer.consumes = false,
            23..28 => {
                peer.consumes = true;
                for channel in std::mem::take(&mut peer.owed) {
                    peer.connection.consume(now, channel, 1);
                }
            }
            28 => self.harness.eof(peer.conn),
            29 => self.harness.reset(peer.conn),
            30 => channels.iter().for_each(|&channel| _ = peer.connection.rekey(channel)),
            _ => {
                self.calm = false;
                self.harness.drain();
            }
        }
    }

    /// So few slots are left to the chain, or all.
    fn starve(&mut self, argument: usize) {
        self.hoard.clear();
        if argument > 3 {
            self.calm = false;
            let pool = &self.harness.cx.pool;
            self.hoard.extend(std::iter::from_fn(|| pool.alloc(1)));
            // What arrives comes in some.
            let left = self.hoard.len().saturating_sub(argument.max(6));
            self.hoard.truncate(left);
        }
        self.harness.run();
    }

    fn pass(&mut self, argument: usize) {
        self.harness.advance(Duration::from_millis(50 << (argument % 8)));
        let now = self.harness.cx.now;
        self.peers.iter_mut().for_each(|peer| peer.connection.handle_timeout(now));
    }

    /// Lets all peers talk until nobody has more to say.
    fn pump(&mut self, what: usize) {
        for _ in 0..200 {
            let mut quiet = true;
            for index in 0..self.peers.len() {
                quiet &= self.talk(index, what);
            }
            if quiet {
                return;
            }
        }
        panic!("two ends talk for ever");
    }

    fn talk(&mut self, index: usize, what: usize) -> bool {
        let (now, mut out) = (self.harness.cx.now, [0; TRANSMIT_BYTES_MAX]);
        let mut packets = Vec::new();
        while let Some(len) = self.peers[index].connection.poll_transmit(now, &mut out) {
            packets.push(out[..len].to_vec());
        }
        self.send(index, &packets, what);
        self.harness.run();
        let heard = self.harness.take_sent(self.peers[index].conn);
        self.hear(index, &heard);
        packets.is_empty() && heard.is_empty()
    }

    fn hear(&mut self, index: usize, bytes: &[u8]) {
        let (now, peer) = (self.harness.cx.now, &mut self.peers[index]);
        peer.part.extend(bytes);
        loop {
            let packet = match deframe(&peer.part) {
                Ok(Framing::Whole(len)) => peer.part.drain(..len),
                Ok(Framing::Need(_)) => return,
                Err(fault) => panic!("the chain says what it may not: {fault:?}"),
            };
            let mut packet: Vec<u8> = packet.collect();
            assert!(packet.len() <= PACKET, "a packet of {} bytes", packet.len());
            match peer.connection.handle_packet(now, &mut packet) {
                Ok(Received::Data(data)) => {
                    let pieces = peer.pieces.entry(data.channel).or_default();
                    if data.first {
                        pieces.clear();
                    }
                    if data.count > 1 {
                        assert!(peer.connection.may_batch());
                    }
                    for at in data.messages(&packet) {
                        peer.pieces.entry(data.channel).or_default().extend(&packet[at]);
                        if data.last {
                            peer.come_back(data.channel, data.compressed);
                        }
                    }
                    if peer.consumes {
                        peer.connection.consume(now, data.channel, 1);
                    } else {
                        peer.owed.push(data.channel);
                    }
                }
                Ok(_) => {}
                Err(fault) => assert!(!peer.honest, "{fault:?}"),
            }
            while let Some(event) = peer.connection.poll_event() {
                if let Event::ChannelClosed { channel } = event {
                    peer.owed.retain(|&other| other != channel);
                }
            }
        }
    }

    fn finish(mut self) {
        self.hoard.clear();
        for peer in &mut self.peers {
            peer.consumes = true;
            for channel in std::mem::take(&mut peer.owed) {
                peer.connection.consume(self.harness.cx.now, channel, 1);
            }
        }
        self.pump(3);
        assert_eq!(self.harness.waiting(), 0, "there are slots enough");
        let datagram = self.is_datagram();
        for peer in self.peers.iter().filter(|peer| peer.honest && self.calm && !datagram) {
            for (flow, sent) in &peer.sent {
                let open = peer.connection.channel(flow.0).is_some_and(|dump| {
                    dump.incarnation == flow.1 && dump.is_open && !dump.is_shut
                });
                let heard = peer.heard.get(flow).copied().unwrap_or(0);
                assert!(!open || heard == sent.len(), "{heard} of {} came back", sent.len());
            }
        }
        self.harness.drain();
        for _ in 0..40 {
            self.pass(7);
            self.pump(3);
        }
        for peer in &self.peers {
            assert!(self.harness.closed(peer.conn).is_some(), "a session that never ends");
        }
        self.harness.finish();
    }
}

impl Peer {
    /// What comes back is what was said, in order: over datagrams, and where the echo had no room, not all.
    fn come_back(&mut self, channel: u16, compressed: bool) {
        let mut message = self.pieces.remove(&channel).expect("it has a last piece");
        if compressed {
            let mut plain = vec![0; MESSAGE_MAX];
            let len = decompress(&message, MESSAGE_MAX, &mut plain).expect("it is compressed");
            plain.truncate(len);
            message = plain;
        }
        if !self.honest {
            return;
        }
        let incarnation = self.connection.channel(channel).expect("it is open").incarnation;
        let sent = &self.sent[&(channel, incarnation)];
        let heard = self.heard.entry((channel, incarnation)).or_default();
        let at = sent[*heard..].iter().position(|sent| *sent == message);
        *heard += 1 + at.expect("it was said, and has not come back yet");
    }
}
