//! Two ends of a stream in virtual time, over a network that a seed makes as bad as it may be; and an
//! application on each that says what the other can check. For tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::secure::handshake::{BATCH, COMPRESS, Secrets};
use super::secure::identity::Identity;
use super::secure::trust::Anyone;
use super::*;
use crate::time::Instant;

/// A millisecond.
pub(super) const MS: u64 = 1_000_000;

/// Numbers that a seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What happens to what is sent. A byte stream only knows delay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) delay_ms: u64,
    /// Up to so much more, so that datagrams overtake each other.
    pub(super) jitter_ms: u64,
    pub(super) loss: u64,
    pub(super) doubled: u64,
}

pub(super) const GOOD: Network = Network { delay_ms: 10, jitter_ms: 0, loss: 0, doubled: 0 };

/// One end with its application.
pub(super) struct End {
    pub(super) connection: Connection,
    /// What happened, oldest first.
    pub(super) events: Vec<Event>,
    /// Messages that wait to be sent, and that of which pieces went.
    outgoing: BTreeMap<u16, Outgoing>,
    /// Messages that came, by channel and incarnation.
    pub(super) inbox: BTreeMap<(u16, u32), Vec<Vec<u8>>>,
    /// Pieces of messages that have not ended.
    partial: BTreeMap<u16, Vec<u8>>,
    /// Delivered and not consumed.
    pub(super) unconsumed: BTreeMap<u16, u32>,
    /// Whether whatever comes is consumed at once.
    pub(super) consumes: bool,
    /// Messages that went out whole.
    pub(super) sent: BTreeMap<(u16, u32), Vec<Vec<u8>>>,
    /// On its way here.
    wire: Vec<(Instant, u64, Vec<u8>)>,
    /// Bytes of a packet that is not whole.
    stream: Vec<u8>,
    /// Each packet that was sent from here.
    pub(super) log: Vec<(Instant, Vec<u8>)>,
    pub(super) received_bytes: usize,
    pub(super) sent_bytes: usize,
    pub(super) dropped: Vec<Dropped>,
}

#[derive(Default)]
struct Outgoing {
    queue: VecDeque<Vec<u8>>,
    current: Option<(Vec<u8>, Pieces, Option<Piece>)>,
    /// To be closed when all has gone.
    closes: bool,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            events: Vec::new(),
            outgoing: BTreeMap::new(),
            inbox: BTreeMap::new(),
            partial: BTreeMap::new(),
            unconsumed: BTreeMap::new(),
            consumes: true,
            sent: BTreeMap::new(),
            wire: Vec::new(),
            stream: Vec::new(),
            log: Vec::new(),
            received_bytes: 0,
            sent_bytes: 0,
            dropped: Vec::new(),
        }
    }

    pub(super) fn has(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(cause) => Some(*cause),
            _ => None,
        })
    }

    /// All messages that came on channels of a number.
    pub(super) fn messages(&self, channel: u16) -> Vec<Vec<u8>> {
        let of = self.inbox.iter().filter(|((ch, _), _)| *ch == channel);
        of.flat_map(|(_, messages)| messages.clone()).collect()
    }

    /// Channels on which messages may be sent.
    pub(super) fn writable(&self) -> Vec<u16> {
        let open = self.connection.channels().filter(|dump| dump.is_open && !dump.is_shut);
        let mut open: Vec<u16> = open.map(|dump| dump.channel).collect();
        open.retain(|ch| self.outgoing.get(ch).is_none_or(|outgoing| !outgoing.closes));
        open.sort_unstable();
        open
    }

    /// Whether all messages have gone.
    pub(super) fn is_drained(&self) -> bool {
        self.outgoing.values().all(|o| o.queue.is_empty() && o.current.is_none())
    }

    fn incarnation(&self, channel: u16) -> u32 {
        self.connection.channel(channel).expect("it is open").incarnation
    }
}

/// Both ends and what is between them.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
    pub(super) mode: Mode,
    pub(super) network: Network,
    pub(super) random: Random,
    /// Whether nothing gets through.
    pub(super) cut: bool,
    order: u64,
}

pub(super) fn config(mode: Mode) -> Config {
    Config { types: ChannelTypes::WELL_KNOWN.with(0x10), ..Config::new(mode) }
}

/// A configuration without encryption.
pub(super) fn plain(mode: Mode) -> Config {
    let mut config = config(mode);
    (config.offer.offers, config.offer.requires) = (COMPRESS | BATCH, 0);
    config
}

pub(super) fn identity(end: usize) -> Identity {
    Identity::from_secret(&[end as u8 + 1; 32])
}

pub(super) fn connection(
    end: usize,
    config: Config,
    now: Instant,
    trust: SharedTrust,
) -> Connection {
    let role = match end {
        0 => Role::Initiator,
        _ => Role::Responder { session_id: [7; 16] },
    };
    let secrets = Secrets { nonce: [end as u8 + 10; 32], ephemeral: [end as u8 + 20; 32] };
    Connection::new(now, role, config, &identity(end), trust, secrets)
}

impl Pair {
    pub(super) fn new(configs: [Config; 2], network: Network, seed: u64) -> Self {
        let now = Instant::from_ns(1_000 * MS);
        let end = |end| End::new(connection(end, configs[end], now, Arc::new(Anyone)));
        Self {
            now,
            ends: [end(0), end(1)],
            mode: configs[0].mode,
            network,
            random: Random(seed),
            cut: false,
            order: 0,
        }
    }

    /// Both ends connected over a good network.
    pub(super) fn connected(config: Config) -> Self {
        let mut pair = Self::new([config; 2], GOOD, 0);
        pair.run_ms(100);
        assert!(pair.ends.iter().all(|end| end.has(Event::Connected)));
        pair
    }

    /// The same with a channel that the initiator opened.
    pub(super) fn with_channel(config: Config) -> (Self, u16) {
        let mut pair = Self::connected(config);
        let channel = pair.open(0, 0x10);
        pair.run_ms(50);
        assert_eq!(pair.ends[1].writable(), [channel]);
        (pair, channel)
    }

    pub(super) fn open(&mut self, end: usize, channel_type: u8) -> u16 {
        self.ends[end].connection.open_channel(self.now, channel_type, true).unwrap()
    }

    /// Has a message sent as soon as there is credit.
    pub(super) fn say(&mut self, end: usize, channel: u16, message: &[u8]) {
        self.say_all(end, channel, [message.to_vec()]);
    }

    /// The same of several at once: short ones share packets where that was agreed.
    pub(super) fn say_all(
        &mut self,
        end: usize,
        channel: u16,
        messages: impl IntoIterator<Item = Vec<u8>>,
    ) {
        let outgoing = self.ends[end].outgoing.entry(channel).or_default();
        outgoing.queue.extend(messages);
        self.send(end);
        self.flush(end);
    }

    /// Has a channel closed when all that waits has gone.
    pub(super) fn shut(&mut self, end: usize, channel: u16) {
        self.ends[end].outgoing.entry(channel).or_default().closes = true;
        self.send(end);
        self.flush(end);
    }

    pub(super) fn close(&mut self, end: usize, code: Code) {
        self.ends[end].connection.close(self.now, code, "enough");
        self.flush(end);
    }

    /// Sends what waits, as far as credit goes.
    fn send(&mut self, end: usize) {
        let mut outgoing = std::mem::take(&mut self.ends[end].outgoing);
        outgoing.retain(|&channel, outgoing| {
            let open = self.ends[end].connection.channel(channel);
            if open.is_none_or(|dump| dump.is_shut) {
                return false;
            }
            if !open.is_some_and(|dump| dump.is_open) {
                return true;
            }
            while self
                .send_batch(end, channel, outgoing)
                .unwrap_or_else(|| self.send_piece(end, channel, outgoing))
            {}
            let is_empty = outgoing.queue.is_empty() && outgoing.current.is_none();
            if outgoing.closes && is_empty {
                self.ends[end].connection.close_channel(channel).unwrap();
                return false;
            }
            true
        });
        self.ends[end].outgoing = outgoing;
    }

    /// Sends short messages at the front of what waits in one packet; `None`: there are no two.
    fn send_batch(&mut self, end: usize, channel: u16, outgoing: &mut Outgoing) -> Option<bool> {
        let this = &mut self.ends[end];
        if !this.connection.may_batch() || outgoing.current.is_some() {
            return None;
        }
        let bytes_max = this.connection.batch_bytes_max();
        let (mut batch, mut room) =
            (Batch::new(), vec![0xee; HEADER_BYTES + bytes_max + TAILROOM_BYTES]);
        for message in &outgoing.queue {
            if !batch.takes(message.len(), bytes_max) {
                break;
            }
            batch.put(&mut room, message);
        }
        if batch.messages() < 2 {
            return None;
        }
        let sealed = this.connection.seal_batch(self.now, channel, &batch, &mut room);
        let Ok(range) = sealed else { return Some(false) };
        let key = (channel, this.incarnation(channel));
        let sent = outgoing.queue.drain(..batch.messages());
        this.sent.entry(key).or_default().extend(sent);
        self.transmit(end, room[range].to_vec());
        Some(true)
    }

    fn send_piece(&mut self, end: usize, channel: u16, outgoing: &mut Outgoing) -> bool {
        let this = &mut self.ends[end];
        if outgoing.current.is_none() {
            let Some(message) = outgoing.queue.pop_front() else { return false };
            let mut pieces = this.connection.pieces(message.len() as u32);
            let first = pieces.next();
            outgoing.current = Some((message, pieces, first));
        }
        let Some((message, pieces, piece)) = &mut outgoing.current else { return false };
        let this_piece = piece.expect("a message without pieces is done");
        let (start, end_at) =
            (this_piece.offset as usize, (this_piece.offset + this_piece.len) as usize);
        let mut room = vec![0xee; HEADROOM_BYTES];
        room.extend(&message[start..end_at]);
        room.extend([0xee; TAILROOM_BYTES]);
        let payload = HEADROOM_BYTES..room.len() - TAILROOM_BYTES;
        let sealed = this.connection.seal(self.now, channel, this_piece, false, &mut room, payload);
        let Ok(range) = sealed else { return false };
        *piece = pieces.next();
        if piece.is_none() {
            let key = (channel, this.incarnation(channel));
            let (message, ..) = outgoing.current.take().expect("it was just sent");
            this.sent.entry(key).or_default().push(message);
        }
        let packet = room[range].to_vec();
        self.transmit(end, packet);
        true
    }

    /// Has everything sent that an end's connection has to say, and hears what happened.
    pub(super) fn flush(&mut self, end: usize) {
        loop {
            let mut out = [0; TRANSMIT_BYTES_MAX];
            let now = self.now;
            let this = &mut self.ends[end];
            let len = this.connection.poll_transmit(now, &mut out);
            while let Some(event) = this.connection.poll_event() {
                this.events.push(event);
                if let Event::ChannelClosed { channel } = event {
                    this.partial.remove(&channel);
                    this.unconsumed.remove(&channel);
                    this.outgoing.remove(&channel);
                }
            }
            let Some(len) = len else { break };
            self.transmit(end, out[..len].to_vec());
        }
    }

    /// Puts a packet on its way.
    pub(super) fn transmit(&mut self, from: usize, packet: Vec<u8>) {
        let this = &mut self.ends[from];
        this.log.push((self.now, packet.clone()));
        this.sent_bytes += packet.len();
        if from == 1 && self.mode == Mode::Datagram && this.connection.peer().is_none() {
            assert!(this.sent_bytes <= this.received_bytes, "a stranger is sent more than came");
        }
        if self.cut {
            return;
        }
        let times = match self.mode {
            Mode::Stream => 1,
            Mode::Datagram if self.random.percent(self.network.loss) => 0,
            Mode::Datagram => 1 + u64::from(self.random.percent(self.network.doubled)),
        };
        for _ in 0..times {
            let jitter = match self.mode {
                Mode::Stream => 0,
                Mode::Datagram => self.random.below(self.network.jitter_ms + 1),
            };
            let at = self.now.after_ns((self.network.delay_ms + jitter) * MS);
            self.order += 1;
            self.ends[1 - from].wire.push((at, self.order, packet.clone()));
        }
        self.ends[1 - from].wire.sort_unstable_by_key(|&(at, order, _)| (at, order));
    }

    /// Goes on to the next moment at which anything happens, but not beyond `end`.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        for end in 0..2 {
            self.send(end);
            self.flush(end);
        }
        let arrival = |end: &End| end.wire.first().map(|(at, ..)| *at);
        let timeout = |end: &End| end.connection.poll_timeout();
        let moments = self.ends.iter().flat_map(|end| [arrival(end), timeout(end)]).flatten();
        let Some(next) = moments.min().filter(|&next| next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        for end in 0..2 {
            while arrival(&self.ends[end]).is_some_and(|at| at <= self.now) {
                let (_, _, bytes) = self.ends[end].wire.remove(0);
                self.arrive(end, bytes);
            }
            let now = self.now;
            self.ends[end].connection.handle_timeout(now);
            self.flush(end);
        }
        true
    }

    /// Bytes arrive; those of a byte stream cut anywhere.
    pub(super) fn arrive(&mut self, end: usize, mut bytes: Vec<u8>) {
        self.ends[end].received_bytes += bytes.len();
        if self.mode == Mode::Datagram {
            self.packet(end, &mut bytes);
            return;
        }
        let mut stream = std::mem::take(&mut self.ends[end].stream);
        for piece in bytes.chunks(1 + self.random.below(300) as usize) {
            stream.extend(piece);
            loop {
                match deframe(&stream) {
                    Ok(Framing::Whole(len)) => {
                        let rest = stream.split_off(len);
                        self.packet(end, &mut stream);
                        stream = rest;
                    }
                    Ok(Framing::Need(more)) => {
                        assert!(more > stream.len());
                        break;
                    }
                    // handle_packet says the same, and ends it.
                    Err(_) => {
                        self.packet(end, &mut stream);
                        break;
                    }
                }
            }
        }
        self.ends[end].stream = stream;
    }

    /// One packet arrives.
    pub(super) fn packet(&mut self, end: usize, packet: &mut [u8]) {
        let this = &mut self.ends[end];
        match this.connection.handle_packet(self.now, packet) {
            Ok(Received::Data(data)) => {
                self.data(end, &data, packet);
            }
            Ok(Received::Torn { channel }) => {
                this.partial.remove(&channel).expect("it had begun");
            }
            Ok(Received::Dropped(dropped)) => this.dropped.push(dropped),
            Ok(Received::Consumed) | Err(_) => {}
        }
        self.flush(end);
    }

    fn data(&mut self, end: usize, data: &Data, packet: &[u8]) {
        let this = &mut self.ends[end];
        let key = (data.channel, this.incarnation(data.channel));
        let partial = this.partial.entry(data.channel).or_default();
        if data.first {
            partial.clear();
        }
        if data.count > 1 {
            let messages = data.messages(packet).map(|at| packet[at].to_vec());
            this.inbox.entry(key).or_default().extend(messages);
            this.partial.remove(&data.channel);
        } else {
            partial.extend(&packet[data.range.clone()]);
        }
        if data.last
            && let Some(message) = this.partial.remove(&data.channel)
        {
            assert_eq!(message.len(), data.message_bytes as usize);
            this.inbox.entry(key).or_default().push(message);
        }
        if this.consumes {
            this.connection.consume(self.now, data.channel, 1);
        } else {
            *this.unconsumed.entry(data.channel).or_default() += 1;
        }
    }

    /// Consumes what waits on a channel.
    pub(super) fn consume(&mut self, end: usize, channel: u16, packets: u32) {
        if let Some(waiting) = self.ends[end].unconsumed.get_mut(&channel) {
            let packets = packets.min(*waiting);
            *waiting -= packets;
            self.ends[end].connection.consume(self.now, channel, packets);
            self.flush(end);
        }
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let until = self.now.after_ns(ms * MS);
        while self.step(until) {}
    }

    /// Headers of what an end has sent since its `from`th packet.
    pub(super) fn headers(&self, end: usize, from: usize) -> Vec<Header> {
        let log = self.ends[end].log[from..].iter();
        log.map(|(_, packet)| Header::decode(packet.first_chunk().unwrap()).unwrap()).collect()
    }

    /// A packet in the clear as `from` would number it next, which it has not sent.
    pub(super) fn forge(
        &self,
        from: usize,
        packet_type: PacketType,
        ch_id: u16,
        flags: Flags,
        payload: &[u8],
    ) -> Vec<u8> {
        let sent = self.headers(from, 0).iter().filter(|header| header.ch_id == ch_id).count();
        let size = payload.len() as u32;
        let header = Header { size, packet_type, seq_id: sent as u32, ch_id, flags };
        [&header.encode()[..], payload].concat()
    }

    /// What becomes of a packet that the other end has never sent.
    pub(super) fn hostile(&mut self, to: usize, mut packet: Vec<u8>) -> Result<Received, Fault> {
        self.ends[to].received_bytes += packet.len();
        let outcome = self.ends[to].connection.handle_packet(self.now, &mut packet);
        self.flush(to);
        outcome
    }
}
