//! The chain with its echo behind it, and a peer made of the core alone.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::counters::Counter;
use crate::handler::stream::{Echo, Service, Streams};
use crate::limits::{
    SMALL_SLOT_BYTES, STREAM_BACKLOG_BUFS_MAX, STREAM_KEEPALIVE_NS, STREAM_WINDOW_PACKETS,
};
use crate::pipeline::Pipeline;
use crate::proto::stream::compress::{Compressor, room_bytes};
use crate::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT};
use crate::proto::stream::secure::trust::KnownNodes;
use crate::proto::stream::{
    Batch, Connection, Event, Framing, HEADROOM_BYTES, Mode, Piece, Received, Role, TAILROOM_BYTES,
    TRANSMIT_BYTES_MAX, channel_type, deframe,
};
use crate::testing::{End, Harness, SLOTS};

mod batch;
mod blocks;
mod rude;
mod times;

/// Largest packet: all slots of the harness are small.
const PACKET: usize = 1024;

fn identity(n: u8) -> Identity {
    Identity::from_secret(&[n; 32])
}

fn trusts(n: u8) -> SharedTrust {
    Arc::new(KnownNodes::from_iter([identity(n).public().address()]))
}

fn config(mode: Mode, features: u32) -> Config {
    let mut config = Config::new(mode);
    config.packet_bytes = PACKET;
    config.message_bytes_max = 1500;
    (config.offer.offers, config.offer.requires) = (features, features & ENCRYPT);
    config
}

fn settings(config: Config) -> Settings {
    let mut n = 0;
    Settings {
        config,
        identity: identity(1),
        trust: trusts(2),
        entropy: Box::new(move || {
            n = n % 100 + 1;
            (Secrets { nonce: [n; 32], ephemeral: [n + 1; 32] }, [n; 16])
        }),
        clock: Clock::start(),
        cookie_secret: [9; 32],
        upgrade: false,
        handler_consumes: false,
        window_budget: u32::MAX,
        idle_ns: 0,
        stashes: StashBounds { all: 16, large: 0 },
        share: Share::one_in(8, [256, 0, 0, 0]),
    }
}

fn harness(config: Config) -> Harness<Streams<Echo>> {
    harness_of(settings(config), Echo::default())
}

fn harness_of<S: Service>(settings: Settings, service: S) -> Harness<Streams<S>> {
    let chain = Stream::new(SLOTS, settings);
    Harness::build(|_| (Pipeline::Stream(Box::new(chain)), Streams::new(service)))
}

/// A peer, and what it has heard.
struct Peer {
    connection: Connection,
    conn: ConnId,
    /// Bytes that begin a packet.
    part: Vec<u8>,
    /// Messages by channel, pieces put together.
    heard: Vec<(u16, Vec<u8>)>,
    pieces: Vec<u8>,
    /// Messages in each packet of them.
    packets: Vec<usize>,
    events: Vec<Event>,
    /// Its packets reach the chain in pieces of at most so many bytes.
    cut: usize,
    /// It takes messages, and gives credit for more.
    consumes: bool,
}

impl Peer {
    fn connect<S: Service>(harness: &mut Harness<Streams<S>>, config: Config, cut: usize) -> Self {
        let mut peer = Self::new(harness, config, cut);
        peer.pump(harness);
        peer
    }

    /// One that has said nothing yet.
    fn new<S: Service>(harness: &mut Harness<Streams<S>>, config: Config, cut: usize) -> Self {
        let secrets = Secrets { nonce: [77; 32], ephemeral: [78; 32] };
        let (now, me) = (harness.cx.now, identity(2));
        let connection = Connection::new(now, Role::Initiator, config, &me, trusts(1), secrets);
        let conn = harness.open();
        Self {
            connection,
            conn,
            part: Vec::new(),
            heard: Vec::new(),
            pieces: Vec::new(),
            packets: Vec::new(),
            events: Vec::new(),
            cut,
            consumes: true,
        }
    }

    /// Lets both talk until neither has more to say.
    fn pump<S: Service>(&mut self, harness: &mut Harness<Streams<S>>) {
        loop {
            let mut said = Vec::new();
            let mut out = [0; TRANSMIT_BYTES_MAX];
            while let Some(len) = self.connection.poll_transmit(harness.cx.now, &mut out) {
                said.extend(&out[..len]);
            }
            self.say(harness, &said);
            harness.run();
            let heard = harness.take_sent(self.conn);
            if heard.is_empty() && said.is_empty() {
                return;
            }
            self.hear(harness, &heard);
        }
    }

    fn say<S: Service>(&mut self, harness: &mut Harness<Streams<S>>, bytes: &[u8]) {
        if !bytes.is_empty() && harness.closed(self.conn).is_none() {
            harness.receive_cut(self.conn, bytes, self.cut);
        }
    }

    fn hear<S: Service>(&mut self, harness: &Harness<Streams<S>>, bytes: &[u8]) {
        let now = harness.cx.now;
        self.part.extend(bytes);
        while let Ok(Framing::Whole(len)) = deframe(&self.part) {
            let mut packet: Vec<u8> = self.part.drain(..len).collect();
            match self.connection.handle_packet(now, &mut packet) {
                Ok(Received::Data(data)) => {
                    for at in data.messages(&packet) {
                        self.pieces.extend(&packet[at]);
                        if data.last {
                            self.keep(data.channel, data.compressed);
                        }
                    }
                    self.packets.push(data.count.into());
                    if self.consumes {
                        self.connection.consume(now, data.channel, 1);
                    }
                }
                Ok(_) => {}
                Err(fault) => panic!("{fault:?}"),
            }
            while let Some(event) = self.connection.poll_event() {
                self.events.push(event);
            }
        }
    }

    fn keep(&mut self, channel: u16, compressed: bool) {
        let mut message = std::mem::take(&mut self.pieces);
        if compressed {
            let mut plain = vec![0; 1 << 20];
            let len = crate::proto::stream::compress::decompress(&message, 1 << 20, &mut plain);
            plain.truncate(len.unwrap());
            message = plain;
        }
        self.heard.push((channel, message));
    }

    fn open<S: Service>(&mut self, harness: &mut Harness<Streams<S>>) -> u16 {
        let now = harness.cx.now;
        let channel = self.connection.open_channel(now, channel_type::SERVICE, true).unwrap();
        self.pump(harness);
        assert!(self.connection.is_writable(channel));
        channel
    }

    /// A batch of messages.
    fn batch(&mut self, now: Instant, channel: u16, messages: &[Vec<u8>]) -> Vec<u8> {
        let (mut batch, mut room) = (Batch::new(), vec![0; 2 * PACKET]);
        messages.iter().for_each(|message| batch.put(&mut room, message));
        let sealed = self.connection.seal_batch(now, channel, &batch, &mut room);
        room[sealed.unwrap()].to_vec()
    }

    /// The packets of a message.
    fn packets<S: Service>(
        &mut self,
        harness: &Harness<Streams<S>>,
        channel: u16,
        message: &[u8],
    ) -> Vec<u8> {
        let mut room = vec![0; room_bytes(message.len())];
        let mut compressor = Compressor::new(u64::MAX);
        let now = harness.cx.now;
        let packed = self
            .connection
            .compresses(channel)
            .then(|| compressor.compress(&mut Tables::new(), message, &mut room, || now))
            .flatten();
        let (bytes, compressed) = match packed {
            Some(len) => (&room[..len], true),
            None => (message, false),
        };
        let mut packets = Vec::new();
        let pieces: Vec<Piece> = self.connection.pieces(bytes.len() as u32).collect();
        for piece in pieces {
            let payload = &bytes[piece.offset as usize..(piece.offset + piece.len) as usize];
            let mut packet = vec![0; HEADROOM_BYTES + payload.len() + TAILROOM_BYTES];
            let range = HEADROOM_BYTES..HEADROOM_BYTES + payload.len();
            packet[range.clone()].copy_from_slice(payload);
            let sealed = self.connection.seal(now, channel, piece, compressed, &mut packet, range);
            packets.extend(&packet[sealed.unwrap()]);
        }
        packets
    }

    fn send<S: Service>(
        &mut self,
        harness: &mut Harness<Streams<S>>,
        channel: u16,
        message: &[u8],
    ) {
        let packets = self.packets(harness, channel, message);
        self.say(harness, &packets);
    }
}

fn message(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (n * 31 + at * at / 7) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_back_whole_and_in_order_however_they_are_cut(
        lengths in prop::collection::vec(prop_oneof![0usize..300, 0usize..1400], 1..60),
        cut in 1usize..3000,
        features in 0u32..8,
        text in any::<bool>(),
    ) {
        let config = config(Mode::Stream, features);
        let mut harness = harness(config);
        let mut peer = Peer::connect(&mut harness, config, cut);
        let channels = [peer.open(&mut harness), peer.open(&mut harness)];
        let mut sent = [Vec::new(), Vec::new()];
        for (n, &len) in lengths.iter().enumerate() {
            let (which, body) = (n % 2, if text { vec![b'a'; len] } else { message(n, len) });
            peer.send(&mut harness, channels[which], &body);
            peer.pump(&mut harness);
            sent[which].push(body);
        }
        for (which, channel) in channels.into_iter().enumerate() {
            let heard: Vec<_> = peer.heard.iter().filter(|(ch, _)| *ch == channel).map(|(_, m)| m.clone()).collect();
            prop_assert_eq!(&heard, &sent[which]);
        }
        prop_assert_eq!(harness.closed(peer.conn), None);
        harness.finish();
    }
}

#[test]
fn over_datagrams_each_packet_is_one_buf() {
    let config = config(Mode::Datagram, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    for len in [0, 1, 100, 900, 1400] {
        let packets = peer.packets(&harness, channel, &message(len, len));
        let mut rest = &packets[..];
        while let Ok(Framing::Whole(packet)) = deframe(rest) {
            harness.receive(peer.conn, &rest[..packet]);
            rest = &rest[packet..];
        }
        peer.pump(&mut harness);
    }
    let lengths: Vec<_> = peer.heard.iter().map(|(_, message)| message.len()).collect();
    assert_eq!(lengths, [0, 1, 100, 900, 1400]);
    harness.finish();
}

#[test]
fn what_is_left_of_a_buf_that_makes_more_messages_than_a_burst_holds_is_not_copied() {
    const MESSAGES: usize = 100;
    let config = Config { window_packets: 256, ..config(Mode::Stream, 0) };
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    let packets: Vec<_> =
        (0..MESSAGES).flat_map(|n| peer.packets(&harness, channel, &message(n, 8))).collect();
    assert!(packets.len() <= SMALL_SLOT_BYTES as usize, "they come in one slot");
    peer.say(&mut harness, &packets);
    peer.pump(&mut harness);
    assert_eq!(peer.heard.len(), MESSAGES);
    let copied = harness.cx.counters.get(Counter::CopiedBytes);
    assert_eq!(copied, 8 * MESSAGES as u64, "each message once, behind others on its way out");
    harness.finish();
}

#[test]
fn a_packet_with_any_byte_changed_ends_the_stream_and_is_never_handed_on() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut changed = 0;
    for at in 0.. {
        let mut harness = harness(config);
        let mut peer = Peer::connect(&mut harness, config, usize::MAX);
        let channel = peer.open(&mut harness);
        let mut packets = peer.packets(&harness, channel, b"a message that somebody changes");
        if at == packets.len() {
            harness.finish();
            break;
        }
        packets[at] ^= 1 << (at % 8);
        peer.say(&mut harness, &packets);
        harness.run();
        // A length that has grown waits for the rest.
        if harness.closed(peer.conn).is_some() {
            changed += 1;
        }
        assert!(peer.heard.is_empty());
        harness.finish();
    }
    assert!(changed > 50, "{changed}");
}

#[test]
fn what_is_no_handshake_is_told_why_and_closed() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let conn = harness.open();
    harness.receive(conn, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(harness.closed(conn), Some(End::Linger));
    harness.finish();
}

#[test]
fn a_node_that_is_not_known_is_refused() {
    let config = config(Mode::Stream, ENCRYPT);
    let settings = Settings { trust: trusts(9), ..settings(config) };
    let mut harness = harness_of(settings, Echo::default());
    let peer = Peer::connect(&mut harness, config, 4096);
    assert!(!peer.connection.is_open());
    assert_eq!(harness.closed(peer.conn), Some(End::Linger));
    harness.finish();
}

#[test]
fn channels_share_what_may_be_under_way_and_each_has_some_d_21() {
    let mut settings = settings(config(Mode::Stream, ENCRYPT));
    settings.window_budget = 40;
    let config = settings.config;
    let mut harness = harness_of(settings, Echo::default());
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let credit: Vec<u64> = (0..6)
        .map(|_| {
            let channel = peer.open(&mut harness);
            peer.connection.channel(channel).unwrap().send_credit
        })
        .collect();
    assert_eq!(credit, [40, 20, 13, 10, 8, 8]);
    // Who has had more than its part gets less, once it has used it.
    let first = peer.connection.channels().map(|dump| dump.channel).min().unwrap();
    for n in 0..200 {
        peer.send(&mut harness, first, &message(n, 10));
        peer.pump(&mut harness);
    }
    assert!(peer.connection.channel(first).unwrap().send_credit <= 8);
    harness.reset(peer.conn);
    harness.run();
    let mut next = Peer::connect(&mut harness, config, usize::MAX);
    let channel = next.open(&mut harness);
    assert_eq!(next.connection.channel(channel).unwrap().send_credit, 40, "they are gone");
}

#[test]
fn echoes_wait_for_credit_and_the_peer_gets_none_meanwhile() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.consumes = false;
    let mut sent = 0;
    while peer.connection.may_send(harness.cx.now, channel) > 0 {
        peer.send(&mut harness, channel, &message(sent, 40));
        peer.pump(&mut harness);
        sent += 1;
        assert!(sent < 1000, "it ends");
    }
    assert_eq!(peer.heard.len() as u32, STREAM_WINDOW_PACKETS, "as many as it gave credit for");
    assert!(sent as u32 > STREAM_WINDOW_PACKETS);
    peer.consumes = true;
    peer.connection.consume(harness.cx.now, channel, STREAM_WINDOW_PACKETS);
    peer.pump(&mut harness);
    peer.pump(&mut harness);
    assert_eq!(peer.heard.len(), sent);
    for (n, (_, body)) in peer.heard.iter().enumerate() {
        assert_eq!(body, &message(n, 40));
    }
    assert!(peer.connection.may_send(harness.cx.now, channel) > 0);
    assert!(u64::from(STREAM_BACKLOG_BUFS_MAX) > u64::from(STREAM_WINDOW_PACKETS));
    harness.finish();
}

#[test]
fn a_pool_without_slots_costs_nothing_but_time() {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, 700);
    let channel = peer.open(&mut harness);
    let mut packets = Vec::new();
    for n in 0..20 {
        packets.extend(peer.packets(&harness, channel, &message(n, 50 * n)));
        packets.extend(peer.packets(&harness, channel, &vec![b'x'; 50 * n]));
    }
    peer.say(&mut harness, &packets[..packets.len() / 2]);
    harness.starve(true);
    peer.say(&mut harness, &packets[packets.len() / 2..]);
    harness.run();
    harness.starve(false);
    peer.pump(&mut harness);
    assert_eq!(peer.heard.len(), 40);
    for (n, pair) in peer.heard.chunks(2).enumerate() {
        assert_eq!(pair[0].1, message(n, 50 * n));
        assert_eq!(pair[1].1, vec![b'x'; 50 * n]);
    }
    harness.finish();
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let peer = Peer::connect(&mut harness, config, usize::MAX);
    for _ in 0..6 {
        harness.advance(std::time::Duration::from_nanos(STREAM_KEEPALIVE_NS));
        harness.run();
    }
    assert!(harness.closed(peer.conn).is_some());
    harness.finish();
}

#[test]
fn both_ends_close_in_order() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.send(&mut harness, channel, b"the last word");
    peer.connection.close(harness.cx.now, Code::None, "done");
    peer.pump(&mut harness);
    assert_eq!(peer.heard, [(channel, b"the last word".to_vec())]);
    assert!(peer.connection.is_over(), "{:?}", peer.events);
    assert_eq!(harness.closed(peer.conn), Some(End::Linger));
    harness.finish();
}

#[test]
fn of_many_strangers_over_datagrams_only_who_is_where_it_says_gets_in() {
    let config = config(Mode::Datagram, ENCRYPT);
    let mut harness = harness(config);
    // So many begin a handshake, and say no more.
    let secrets = |n| Secrets { nonce: [n; 32], ephemeral: [n; 32] };
    let strangers: Vec<_> = (0..SLOTS as u8 - 1)
        .map(|n| {
            let me = identity(3);
            let (now, role) = (harness.cx.now, Role::Initiator);
            let mut stranger = Connection::new(now, role, config, &me, trusts(1), secrets(n));
            let mut hello = [0; TRANSMIT_BYTES_MAX];
            let len = stranger.poll_transmit(now, &mut hello).unwrap();
            let conn = harness.open();
            harness.receive(conn, &hello[..len]);
            assert!(harness.take_sent(conn).len() <= len, "no more than came");
            conn
        })
        .collect();
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    assert!(peer.connection.is_open());
    assert_eq!(harness.cx.counters.dropped(Reason::Protocol), 1, "it was asked once");
    let channel = peer.open(&mut harness);
    peer.send(&mut harness, channel, b"hello");
    peer.pump(&mut harness);
    assert_eq!(peer.heard, [(channel, b"hello".to_vec())]);
    assert_eq!(strangers.len(), SLOTS as usize - 1);
    harness.finish();
}

#[test]
fn a_stream_may_begin_as_http_and_goes_on_with_what_came_behind_the_request_d_19() {
    let config = config(Mode::Stream, ENCRYPT);
    for cut in [1, 7, 100, 2000] {
        let settings = Settings { upgrade: true, ..settings(config) };
        let mut harness = harness_of(settings, Echo::default());
        let mut peer = Peer::new(&mut harness, config, cut);
        let request = "GET /?session=0102030405060708090a0b0c0d0e0f10 HTTP/1.1\r\nHost: a\r\n\
                       Connection: upgrade\r\nUpgrade: ringway-stream\r\n\r\n";
        let mut hello = [0; TRANSMIT_BYTES_MAX];
        let len = peer.connection.poll_transmit(harness.cx.now, &mut hello).unwrap();
        peer.say(&mut harness, &[request.as_bytes(), &hello[..len]].concat());
        let answer = harness.take_sent(peer.conn);
        let packets = answer.strip_prefix(upgrade::SWITCHING).expect("it switches");
        peer.hear(&harness, packets);
        peer.pump(&mut harness);
        assert!(peer.connection.is_open());
        assert_eq!(peer.connection.session_id().unwrap()[15], 0x10);
        let channel = peer.open(&mut harness);
        peer.send(&mut harness, channel, b"over HTTP");
        peer.pump(&mut harness);
        assert_eq!(peer.heard, [(channel, b"over HTTP".to_vec())]);
        let other = harness.open();
        harness.receive_cut(other, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", cut);
        assert!(harness.sent(other).starts_with(b"HTTP/1.1 426 "));
        assert_eq!(harness.closed(other), Some(End::Linger));
        harness.finish();
    }
}

#[test]
fn a_message_that_found_no_slot_behind_its_compression_arrives_as_it_was() {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let message = vec![b'x'; 600];
    for free in 1..6 {
        let mut harness = harness(config);
        let mut peer = Peer::connect(&mut harness, config, usize::MAX);
        let channel = peer.open(&mut harness);
        let (now, piece) = (harness.cx.now, Piece::whole(message.len() as u32));
        let mut packets = Vec::new();
        // Plain, and two in a slot, so that none comes back while the first is on its way out.
        for _ in 0..2 {
            let mut room = [&[0; HEADROOM_BYTES][..], &message, &[0; TAILROOM_BYTES]].concat();
            let payload = HEADROOM_BYTES..HEADROOM_BYTES + message.len();
            let packet = peer.connection.seal(now, channel, piece, false, &mut room, payload);
            packets.extend(&room[packet.unwrap()]);
        }
        let cx = &harness.cx;
        let mut held: Vec<_> = std::iter::from_fn(|| cx.alloc(1, peer.conn)).collect();
        held.truncate(held.len() - free);
        peer.say(&mut harness, &packets);
        drop(held);
        peer.pump(&mut harness);
        let twice = [(channel, message.clone()), (channel, message.clone())];
        assert!(peer.heard == twice, "{free} free: {:?}", peer.heard);
        harness.finish();
    }
}
