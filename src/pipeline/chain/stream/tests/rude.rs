//! Peers that do what none should, and pools that have nothing left.

use std::sync::Mutex;

use super::*;
use crate::handler::stream::{Out, Service};
use crate::mem::Buf;
use crate::pipeline::Cx;

/// Says words on each channel as soon as it is open, and notes those that end or take more.
struct Eager {
    words: usize,
    ended: Arc<Mutex<Vec<u16>>>,
    writable: Arc<Mutex<Vec<u16>>>,
}

impl Service for Eager {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, channel: u16, _: u8, out: &mut Out<'_>) {
        for _ in 0..self.words {
            let mut word = alloc(cx, conn, channel, 5).unwrap();
            assert!(word.append(b"hello"));
            out.send(word);
        }
    }

    fn message(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        _: MessageMeta,
        _: &mut Out<'_>,
    ) -> Result<(), Buf> {
        cx.drop_buf(message, Reason::Protocol);
        Ok(())
    }

    fn ended(&mut self, _: &mut Cx, _: ConnId, channel: u16) {
        self.ended.lock().unwrap().push(channel);
    }

    fn writable(&mut self, _: &mut Cx, _: ConnId, channel: u16, _: &mut Out<'_>) {
        self.writable.lock().unwrap().push(channel);
    }
}

/// Takes all slots of the pool but so many.
fn hoard<S: Service>(harness: &Harness<Streams<S>>, left: usize) -> Vec<Buf> {
    let mut hoard: Vec<Buf> = std::iter::from_fn(|| harness.cx.pool.alloc(1)).collect();
    hoard.truncate(hoard.len().saturating_sub(left));
    hoard
}

#[test]
fn many_channels_that_end_at_once_are_told_in_the_room_there_is() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channels: Vec<u16> = (0..48).map(|_| peer.open(&mut harness)).collect();
    let mut other = Peer::connect(&mut harness, config, usize::MAX);
    let loud = [other.open(&mut harness), other.open(&mut harness)];
    for &channel in &channels {
        peer.connection.close_channel(channel).unwrap();
    }
    peer.pump(&mut harness);
    // What others say fills the burst before the handler, but for a part.
    harness.starve(true);
    for channel in loud {
        let packets = (0..40).flat_map(|_| other.packets(&harness, channel, b"-"));
        let packets: Vec<u8> = packets.collect();
        other.say(&mut harness, &packets);
    }
    peer.connection.ping();
    peer.pump(&mut harness);
    harness.starve(false);
    peer.pump(&mut harness);
    other.pump(&mut harness);
    assert_eq!(other.heard.len(), 80);
    assert_eq!(peer.connection.channels().count(), 0);
    harness.finish();
}

/// Says compressed messages while the pool has so many slots left, which come again before the peer looks for
/// its answers, if `recovers`; they all have to come back.
fn echoes_compressed(messages: u8, left: usize, recovers: bool) {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    let bodies: Vec<_> = (0..messages).map(|n| vec![b'a' + n; 200]).collect();
    let packets = bodies.iter().flat_map(|body| peer.packets(&harness, channel, body));
    let packets: Vec<u8> = packets.collect();
    let mut hoard = hoard(&harness, left);
    peer.say(&mut harness, &packets);
    if recovers {
        hoard.clear();
    }
    peer.pump(&mut harness);
    let heard: Vec<_> = peer.heard.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(heard.len(), bodies.len(), "{left} slots");
    assert!(heard == bodies, "{left} slots");
    drop(hoard);
    harness.finish();
}

#[test]
fn a_compressed_message_that_had_to_wait_for_a_slot_is_still_known_for_one() {
    (1..12).for_each(|left| echoes_compressed(6, left, true));
}

/// Such a service, a peer of it, and what it has noted.
struct Listener {
    harness: Harness<Streams<Eager>>,
    peer: Peer,
    ended: Arc<Mutex<Vec<u16>>>,
    writable: Arc<Mutex<Vec<u16>>>,
}

impl Listener {
    fn connect(config: Config, words: usize) -> Self {
        let eager = Eager { words, ended: Arc::default(), writable: Arc::default() };
        let (ended, writable) = (eager.ended.clone(), eager.writable.clone());
        let mut harness = harness_of(settings(config), eager);
        let peer = Peer::connect(&mut harness, config, usize::MAX);
        Self { harness, peer, ended, writable }
    }

    /// Opens a channel; the messages that come of it.
    fn open(&mut self) -> (u16, Vec<Vec<u8>>) {
        let channel = self.peer.open(&mut self.harness);
        (channel, self.peer.heard.drain(..).map(|(_, message)| message).collect())
    }
}

#[test]
fn a_channel_is_said_to_be_open_before_anything_is_said_on_it() {
    let mut listener = Listener::connect(config(Mode::Stream, ENCRYPT), 1);
    let (channel, messages) = listener.open();
    assert_eq!(messages, [b"hello"]);
    listener.peer.connection.close_channel(channel).unwrap();
    listener.peer.pump(&mut listener.harness);
    assert_eq!(*listener.ended.lock().unwrap(), [channel], "without another word of the peer's");
    listener.harness.finish();
}

#[test]
fn a_service_hears_that_nothing_waits_any_more() {
    let config = Config { window_packets: 4, ..config(Mode::Stream, ENCRYPT) };
    let mut listener = Listener::connect(config, 5);
    let (channel, messages) = listener.open();
    assert_eq!(messages.len(), 5);
    assert_eq!(listener.writable.lock().unwrap().last(), Some(&channel));
    listener.harness.finish();
}

#[test]
fn messages_for_a_peer_that_gives_no_credit_leave_slots_to_others() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let miser = Config { window_packets: 1, ..config };
    let mut miser = Peer::connect(&mut harness, miser, usize::MAX);
    miser.consumes = false;
    let mut honest = Peer::connect(&mut harness, config, usize::MAX);
    let channels: Vec<u16> = (0..8).map(|_| miser.open(&mut harness)).collect();
    for channel in channels {
        for n in 0..STREAM_WINDOW_PACKETS as usize {
            if miser.connection.may_send(harness.cx.now, channel) > 0 {
                miser.send(&mut harness, channel, &message(n, 900));
            }
        }
    }
    assert_eq!(harness.closed(miser.conn), Some(End::Abort));
    let channel = honest.open(&mut harness);
    honest.send(&mut harness, channel, b"hello");
    honest.pump(&mut harness);
    assert_eq!(honest.heard, [(channel, b"hello".to_vec())]);
    harness.finish();
}

#[test]
fn compressed_messages_that_never_end_leave_slots_to_others() {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let mut rude = Peer::connect(&mut harness, config, usize::MAX);
    let mut honest = Peer::connect(&mut harness, config, usize::MAX);
    for _ in 0..250 {
        if harness.closed(rude.conn).is_some() {
            break;
        }
        let channel = rude.open(&mut harness);
        let piece = rude.connection.pieces(1400).next().unwrap();
        let mut packet = vec![1; HEADROOM_BYTES + piece.len as usize + TAILROOM_BYTES];
        let payload = HEADROOM_BYTES..HEADROOM_BYTES + piece.len as usize;
        packet[payload.start..][..4].copy_from_slice(&1400u32.to_le_bytes());
        let now = harness.cx.now;
        let sealed = rude.connection.seal(now, channel, piece, true, &mut packet, payload);
        let sealed = sealed.unwrap();
        rude.say(&mut harness, &packet[sealed]);
    }
    assert_eq!(harness.closed(rude.conn), Some(End::Linger));
    let channel = honest.open(&mut harness);
    honest.send(&mut harness, channel, b"hello");
    honest.pump(&mut harness);
    assert_eq!(honest.heard, [(channel, b"hello".to_vec())]);
    harness.finish();
}

#[test]
fn what_waits_for_credit_is_still_said_when_the_dataplane_stops() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let slow = Config { window_packets: 2, ..config };
    let mut peer = Peer::connect(&mut harness, slow, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.consumes = false;
    for n in 0..9 {
        peer.send(&mut harness, channel, &message(n, 40));
    }
    peer.pump(&mut harness);
    assert_eq!(peer.heard.len(), 2);
    harness.drain();
    peer.consumes = true;
    peer.connection.consume(harness.cx.now, channel, 2);
    peer.pump(&mut harness);
    assert_eq!(peer.heard.len(), 9);
    assert!(peer.events.contains(&Event::Closing { code: Code::None }), "{:?}", peer.events);
    harness.finish();
}

#[test]
fn long_messages_that_never_end_leave_slots_and_the_echo_to_others() {
    let config = config(Mode::Stream, ENCRYPT);
    let mut harness = harness(config);
    let mut rude = Peer::connect(&mut harness, config, usize::MAX);
    let mut honest = Peer::connect(&mut harness, config, usize::MAX);
    let channel = honest.open(&mut harness);
    for _ in 0..70 {
        let open = rude.open(&mut harness);
        let packets = rude.packets(&harness, open, &message(7, 1400));
        rude.say(&mut harness, &packets[..PACKET]);
    }
    harness.starve(true);
    let packets = honest.packets(&harness, channel, &message(8, 1400));
    honest.say(&mut harness, &packets);
    harness.reset(rude.conn);
    harness.starve(false);
    honest.pump(&mut harness);
    // Its own may be the one that is too much, of which it hears.
    assert!(
        honest.heard == [(channel, message(8, 1400))]
            || honest.events.contains(&Event::ChannelShut { channel })
    );
    assert_eq!(harness.waiting(), 0);
    harness.finish();
}

#[test]
fn compressed_messages_come_back_through_a_pool_with_few_slots() {
    (4..16).for_each(|left| echoes_compressed(30, left, false));
}

#[test]
fn who_is_gone_makes_room_although_others_wait_for_a_slot() {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let miser = Config { window_packets: 1, ..config };
    let mut miser = Peer::connect(&mut harness, miser, usize::MAX);
    miser.consumes = false;
    let mut honest = Peer::connect(&mut harness, config, usize::MAX);
    let channel = miser.open(&mut harness);
    let to = honest.open(&mut harness);
    for n in 0..20 {
        miser.send(&mut harness, channel, &message(n, 900));
    }
    harness.starve(true);
    let packets = honest.packets(&harness, to, &[b'a'; 500]);
    honest.say(&mut harness, &packets);
    assert!(harness.waiting() > 0, "there is none for what it becomes");
    let held = harness.cx.pool.missing();
    harness.reset(miser.conn);
    assert!(harness.cx.pool.missing() <= held - 19, "what waited for who is gone is free");
    harness.starve(false);
    honest.pump(&mut harness);
    assert_eq!(honest.heard, [(to, vec![b'a'; 500])]);
    harness.finish();
}

#[test]
fn who_is_given_up_makes_room_although_its_end_waits_behind_others() {
    let config = config(Mode::Stream, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let miser = Config { window_packets: 1, ..config };
    let mut miser = Peer::connect(&mut harness, miser, usize::MAX);
    miser.consumes = false;
    let mut honest = Peer::connect(&mut harness, config, usize::MAX);
    let (from, to) = (miser.open(&mut harness), honest.open(&mut harness));
    for n in 0..20 {
        miser.send(&mut harness, from, &message(n, 900));
    }
    let period = std::time::Duration::from_nanos(STREAM_KEEPALIVE_NS);
    for _ in 0..2 {
        harness.advance(period);
        honest.send(&mut harness, to, b"still here");
        honest.pump(&mut harness);
    }
    let first = honest.packets(&harness, to, &[b'a'; 500]);
    let rest: Vec<u8> = (0..60).flat_map(|_| honest.packets(&harness, to, b"-")).collect();
    harness.starve(true);
    honest.say(&mut harness, &first);
    // More than a burst.
    harness.receive_cut(honest.conn, &rest, 1 + rest.len() / 100);
    assert!(harness.waiting() > 64);
    let held = harness.cx.pool.missing();
    harness.advance(period * 5 / 2);
    assert_eq!(harness.closed(miser.conn), Some(End::Linger));
    assert_eq!(harness.closed(honest.conn), None);
    let now = harness.cx.pool.missing();
    assert!(now <= held - 19, "{now} of {held} are still out");
    harness.finish();
}

/// What a chain has counted of packets that it dropped for what they were, but for none at all.
fn dropped<S: Service>(harness: &Harness<Streams<S>>) -> Vec<(Reason, u64)> {
    let counters = &harness.cx.counters;
    let all = Reason::ALL.map(|(reason, _)| (reason, counters.dropped(reason)));
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// What is counted of a packet that a peer seals, and that `change` makes another of.
fn counted(
    mode: Mode,
    message: &[u8],
    compressed: bool,
    change: impl Fn(&mut Vec<u8>),
) -> Vec<(Reason, u64)> {
    let config = config(mode, ENCRYPT | COMPRESS);
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    let (now, piece) = (harness.cx.now, Piece::whole(message.len() as u32));
    let mut room = [&[0; HEADROOM_BYTES][..], message, &[0; TAILROOM_BYTES]].concat();
    let payload = HEADROOM_BYTES..HEADROOM_BYTES + message.len();
    let sealed = peer.connection.seal(now, channel, piece, compressed, &mut room, payload);
    let mut packet = room[sealed.unwrap()].to_vec();
    change(&mut packet);
    peer.say(&mut harness, &packet);
    harness.run();
    let found = dropped(&harness);
    harness.finish();
    found
}

#[test]
fn whatever_is_dropped_of_a_stream_is_counted_by_its_reason() {
    let unchanged = |_: &mut Vec<u8>| {};
    let last = |packet: &mut Vec<u8>| *packet.last_mut().unwrap() ^= 1;
    let channel = |packet: &mut Vec<u8>| packet[9] ^= 6;
    let short = |packet: &mut Vec<u8>| packet.truncate(20);
    let twice = |packet: &mut Vec<u8>| packet.extend_from_within(..);
    let huge = |packet: &mut Vec<u8>| packet[2] = 1;
    for mode in [Mode::Stream, Mode::Datagram] {
        assert_eq!(counted(mode, b"message", false, unchanged), []);
        assert_eq!(counted(mode, b"message", false, last), [(Reason::Forged, 1)]);
        assert_eq!(counted(mode, b"message", false, channel), [(Reason::UnknownChannel, 1)]);
        let bad = [&100u32.to_le_bytes()[..], b"no block"].concat();
        assert_eq!(counted(mode, &bad, true, unchanged), [(Reason::Compression, 1)]);
        let bomb = [&2_000u32.to_le_bytes()[..], &[0; 100]].concat();
        assert_eq!(counted(mode, &bomb, true, unchanged), [(Reason::TooLarge, 1)]);
    }
    assert_eq!(counted(Mode::Stream, b"message", false, huge), [(Reason::TooLarge, 1)]);
    // The first was right, and its echo has nowhere to go.
    let both = [(Reason::AfterClose, 1), (Reason::Forged, 1)];
    assert_eq!(counted(Mode::Stream, b"message", false, twice), both);
    assert_eq!(counted(Mode::Datagram, b"message", false, short), [(Reason::Protocol, 1)]);
}
