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

#[test]
fn a_compressed_message_that_had_to_wait_for_a_slot_is_still_known_for_one() {
    for left in 1..12 {
        let config = config(Mode::Stream, ENCRYPT | COMPRESS);
        let mut harness = harness(config);
        let mut peer = Peer::connect(&mut harness, config, usize::MAX);
        let channel = peer.open(&mut harness);
        let bodies: Vec<_> = (0..6).map(|n| vec![b'a' + n; 200]).collect();
        let packets = bodies.iter().flat_map(|body| peer.packets(&harness, channel, body));
        let packets: Vec<u8> = packets.collect();
        let hoard = hoard(&harness, left);
        peer.say(&mut harness, &packets);
        drop(hoard);
        peer.pump(&mut harness);
        let heard: Vec<_> = peer.heard.iter().map(|(_, body)| body.clone()).collect();
        assert_eq!(heard, bodies, "{left} slots");
        harness.finish();
    }
}

/// A peer of such a service.
struct Listener {
    harness: Harness<Streams<Eager>>,
    connection: Connection,
    conn: ConnId,
    ended: Arc<Mutex<Vec<u16>>>,
    writable: Arc<Mutex<Vec<u16>>>,
}

impl Listener {
    fn connect(config: Config, words: usize) -> Self {
        let chain = Stream::new(SLOTS, settings(config));
        let eager = Eager { words, ended: Arc::default(), writable: Arc::default() };
        let (ended, writable) = (eager.ended.clone(), eager.writable.clone());
        let mut harness =
            Harness::build(|_| (Pipeline::Stream(Box::new(chain)), Streams::new(eager)));
        let secrets = Secrets { nonce: [77; 32], ephemeral: [78; 32] };
        let (now, me) = (harness.cx.now, identity(2));
        let connection = Connection::new(now, Role::Initiator, config, &me, trusts(1), secrets);
        let conn = harness.open();
        let mut listener = Self { harness, connection, conn, ended, writable };
        listener.talk();
        listener
    }

    /// Lets both talk, and gives the messages that came.
    fn talk(&mut self) -> Vec<Vec<u8>> {
        let (now, mut messages) = (self.harness.cx.now, Vec::new());
        loop {
            let mut out = [0; TRANSMIT_BYTES_MAX];
            while let Some(len) = self.connection.poll_transmit(now, &mut out) {
                self.harness.receive(self.conn, &out[..len]);
            }
            let mut heard = self.harness.take_sent(self.conn);
            if heard.is_empty() {
                return messages;
            }
            while let Ok(Framing::Whole(len)) = deframe(&heard) {
                let mut packet: Vec<u8> = heard.drain(..len).collect();
                let received = self.connection.handle_packet(now, &mut packet).unwrap();
                if let Received::Data(data) = received {
                    messages.push(packet[data.range].to_vec());
                    self.connection.consume(now, data.channel, 1);
                }
            }
        }
    }

    fn open(&mut self) -> u16 {
        let now = self.harness.cx.now;
        self.connection.open_channel(now, channel_type::SERVICE, false).unwrap()
    }
}

#[test]
fn a_channel_is_said_to_be_open_before_anything_is_said_on_it() {
    let mut listener = Listener::connect(config(Mode::Stream, ENCRYPT), 1);
    let channel = listener.open();
    assert_eq!(listener.talk(), [b"hello"]);
    listener.connection.close_channel(channel).unwrap();
    listener.talk();
    assert_eq!(*listener.ended.lock().unwrap(), [channel], "without another word of the peer's");
    listener.harness.finish();
}

#[test]
fn a_service_hears_that_nothing_waits_any_more() {
    let config = Config { window_packets: 4, ..config(Mode::Stream, ENCRYPT) };
    let mut listener = Listener::connect(config, 5);
    let channel = listener.open();
    assert_eq!(listener.talk().len(), 5);
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
    for left in 4..16 {
        let config = config(Mode::Stream, ENCRYPT | COMPRESS);
        let mut harness = harness(config);
        let mut peer = Peer::connect(&mut harness, config, usize::MAX);
        let channel = peer.open(&mut harness);
        let bodies: Vec<_> = (0..30).map(|n| vec![b'a' + n; 200]).collect();
        let packets = bodies.iter().flat_map(|body| peer.packets(&harness, channel, body));
        let packets: Vec<u8> = packets.collect();
        let hoard = hoard(&harness, left);
        peer.say(&mut harness, &packets);
        peer.pump(&mut harness);
        let heard: Vec<_> = peer.heard.iter().map(|(_, body)| body.clone()).collect();
        assert_eq!(heard.len(), bodies.len(), "{left} slots");
        assert!(heard == bodies, "{left} slots");
        drop(hoard);
        harness.finish();
    }
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
