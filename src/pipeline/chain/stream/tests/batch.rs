//! Short messages that share packets: what comes so, and what goes so.

use std::sync::Mutex;

use super::*;
use crate::handler::stream::Out;
use crate::limits::{STREAM_BATCH_MESSAGES_MAX, STREAM_PACK_BYTES_MAX};

const SEALED: u32 = ENCRYPT | BATCH;

fn numbered(messages: usize, len: usize) -> Vec<Vec<u8>> {
    (0..messages).map(|n| message(n, len)).collect()
}

fn bodies(peer: &Peer) -> Vec<Vec<u8>> {
    peer.heard.iter().map(|(_, message)| message.clone()).collect()
}

/// A peer with a channel to an echo.
fn echo(config: Config) -> (Harness<Streams<Echo>>, Peer, u16) {
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.packets.clear();
    (harness, peer, channel)
}

#[test]
fn a_burst_of_short_messages_comes_back_in_few_packets() {
    let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
    let sent = numbered(64, 10);
    let packets: Vec<u8> =
        sent.iter().flat_map(|body| peer.packets(&harness, channel, body)).collect();
    peer.say(&mut harness, &packets);
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent);
    assert!(peer.packets.contains(&STREAM_BATCH_MESSAGES_MAX));
    assert!(peer.packets.len() <= 7, "{:?}", peer.packets);
    harness.finish();
}

#[test]
fn a_batch_comes_back_as_one_and_its_messages_are_copied_once() {
    let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
    let sent = numbered(6 * STREAM_BATCH_MESSAGES_MAX, 8);
    let now = harness.cx.now;
    let packets: Vec<u8> = sent
        .chunks(STREAM_BATCH_MESSAGES_MAX)
        .flat_map(|messages| peer.batch(now, channel, messages))
        .collect();
    assert!(packets.len() <= SMALL_SLOT_BYTES as usize, "they come in one slot");
    peer.say(&mut harness, &packets);
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent);
    assert_eq!(peer.packets, [STREAM_BATCH_MESSAGES_MAX; 6]);
    let copied = harness.cx.counters.get(Counter::CopiedBytes);
    assert_eq!(copied, 8 * sent.len() as u64, "what did not fit a burst is opened where it lies");
    harness.finish();
}

#[test]
fn one_that_is_alone_goes_as_it_would_without() {
    let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
    for len in [0, 1, STREAM_PACK_BYTES_MAX] {
        peer.send(&mut harness, channel, &message(1, len));
        peer.pump(&mut harness);
        assert_eq!(peer.heard.last().unwrap().1, message(1, len));
    }
    assert_eq!(peer.packets, [1, 1, 1]);
    harness.finish();
}

#[test]
fn long_messages_between_short_ones_keep_their_place() {
    for features in [SEALED, BATCH, SEALED | COMPRESS] {
        let (mut harness, mut peer, channel) = echo(config(Mode::Stream, features));
        let lens = [5, 6, 256, 257, 7, 1400, 8, 0, 0, 900, 9, 130, 131, 10];
        let sent: Vec<_> = lens.iter().enumerate().map(|(n, &len)| message(n, len)).collect();
        let packets: Vec<u8> =
            sent.iter().flat_map(|body| peer.packets(&harness, channel, body)).collect();
        peer.say(&mut harness, &packets);
        peer.pump(&mut harness);
        assert_eq!(bodies(&peer), sent);
        assert!(peer.packets.iter().any(|&messages| messages > 1), "{:?}", peer.packets);
        harness.finish();
    }
}

#[test]
fn channels_do_not_share_packets_and_nor_do_sessions() {
    let config = config(Mode::Stream, SEALED);
    let (mut harness, mut peer, one) = echo(config);
    let other = peer.open(&mut harness);
    let mut stranger = Peer::connect(&mut harness, config, usize::MAX);
    let strange = stranger.open(&mut harness);
    for n in 0..12 {
        for channel in [one, one, other] {
            peer.send(&mut harness, channel, &message(n, 30));
        }
        stranger.send(&mut harness, strange, &message(n, 31));
    }
    peer.pump(&mut harness);
    stranger.pump(&mut harness);
    for (channel, times) in [(one, 2), (other, 1)] {
        let heard: Vec<_> = peer.heard.iter().filter(|(ch, _)| *ch == channel).collect();
        let sent: Vec<_> = (0..12).flat_map(|n| vec![(channel, message(n, 30)); times]).collect();
        assert!(heard.into_iter().eq(&sent));
    }
    assert_eq!(bodies(&stranger), (0..12).map(|n| message(n, 31)).collect::<Vec<_>>());
    harness.finish();
}

#[test]
fn with_the_last_credit_goes_a_whole_batch_and_the_next_message_waits() {
    let config = config(Mode::Stream, SEALED);
    let mut harness = harness(config);
    let miser = Config { window_packets: 1, ..config };
    let mut peer = Peer::connect(&mut harness, miser, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.consumes = false;
    let (now, sent) = (harness.cx.now, numbered(2 * STREAM_BATCH_MESSAGES_MAX + 1, 12));
    let packets: Vec<u8> = sent
        .chunks(STREAM_BATCH_MESSAGES_MAX)
        .flat_map(|messages| peer.batch(now, channel, messages))
        .collect();
    peer.say(&mut harness, &packets);
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent[..STREAM_BATCH_MESSAGES_MAX]);
    peer.connection.consume(now, channel, 1);
    peer.consumes = true;
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent);
    assert_eq!(peer.packets, [16, 16, 1]);
    harness.finish();
}

#[test]
fn who_sends_a_window_of_batches_and_reads_then_is_not_cut_off() {
    let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
    peer.consumes = false;
    let (now, mut sent) = (harness.cx.now, 0);
    while peer.connection.may_send(now, channel) > 0 {
        let batch: Vec<_> = (sent..sent + 16).map(|n| message(n, 5)).collect();
        let packet = peer.batch(now, channel, &batch);
        peer.say(&mut harness, &packet);
        peer.pump(&mut harness);
        sent += batch.len();
        assert!(sent < 10_000, "it ends");
    }
    assert_eq!(harness.closed(peer.conn), None);
    assert!(sent > 16 * STREAM_WINDOW_PACKETS as usize, "{sent}");
    peer.consumes = true;
    peer.connection.consume(now, channel, STREAM_WINDOW_PACKETS);
    peer.pump(&mut harness);
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), numbered(sent, 5));
    harness.finish();
}

#[test]
fn a_pool_without_slots_costs_no_message_of_a_batch() {
    for free in 1..6 {
        let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
        let (now, sent) = (harness.cx.now, numbered(48, 30));
        let packets: Vec<u8> =
            sent.chunks(16).flat_map(|messages| peer.batch(now, channel, messages)).collect();
        assert!(packets.len() <= SMALL_SLOT_BYTES as usize, "they come in one slot");
        let cx = &harness.cx;
        let mut held: Vec<_> = std::iter::from_fn(|| cx.alloc(1, peer.conn)).collect();
        held.truncate(held.len() - free);
        peer.say(&mut harness, &packets);
        drop(held);
        peer.pump(&mut harness);
        assert_eq!(bodies(&peer), sent, "{free} free");
        harness.finish();
    }
}

#[test]
fn the_last_messages_of_a_channel_and_of_a_session_go_before_its_end() {
    for closes in [false, true] {
        let (mut harness, mut peer, channel) = echo(config(Mode::Stream, SEALED));
        let (now, sent) = (harness.cx.now, numbered(5, 20));
        let mut packets = peer.batch(now, channel, &sent);
        match closes {
            true => peer.connection.close(now, Code::None, "done"),
            false => peer.connection.close_channel(channel).unwrap(),
        }
        let mut out = [0; TRANSMIT_BYTES_MAX];
        let len = peer.connection.poll_transmit(now, &mut out).unwrap();
        packets.extend(&out[..len]);
        peer.say(&mut harness, &packets);
        peer.pump(&mut harness);
        assert_eq!(bodies(&peer), sent);
        assert_eq!(peer.packets, [5]);
        let ended = Event::ChannelClosed { channel };
        assert!(peer.connection.is_over() == closes && (closes || peer.events.contains(&ended)));
        harness.finish();
    }
}

#[test]
fn who_does_not_offer_it_gets_none() {
    let with = config(Mode::Stream, SEALED);
    let mut harness = harness(with);
    let mut peer = Peer::connect(&mut harness, config(Mode::Stream, ENCRYPT), usize::MAX);
    let channel = peer.open(&mut harness);
    let sent = numbered(40, 10);
    let packets: Vec<u8> =
        sent.iter().flat_map(|body| peer.packets(&harness, channel, body)).collect();
    peer.say(&mut harness, &packets);
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent);
    assert_eq!(peer.packets, [1; 40]);
    harness.finish();
}

#[test]
fn over_datagrams_a_batch_is_one_datagram_that_fits() {
    let (mut harness, mut peer, channel) = echo(config(Mode::Datagram, SEALED));
    let (now, sent) = (harness.cx.now, numbered(30, 100));
    for messages in sent.chunks(9) {
        let packet = peer.batch(now, channel, messages);
        assert!(packet.len() <= PACKET);
        harness.receive(peer.conn, packet);
    }
    peer.pump(&mut harness);
    assert_eq!(bodies(&peer), sent);
    assert!(peer.packets.len() <= 4, "{:?}", peer.packets);
    harness.finish();
}

/// A service that only looks at the metas of its messages.
struct Metas(Arc<Mutex<Vec<u32>>>);

impl Service for Metas {
    fn message(
        &mut self,
        _cx: &mut Cx,
        message: Buf,
        _meta: MessageMeta,
        _out: &mut Out<'_>,
    ) -> Result<(), Buf> {
        self.0.lock().unwrap().push(message.meta());
        Ok(())
    }
}

#[test]
fn where_the_handler_gives_credit_the_last_message_stands_for_the_packet() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let config = Config { window_packets: 4, ..config(Mode::Stream, SEALED) };
    let settings = Settings { handler_consumes: true, ..settings(config) };
    let mut harness = harness_of(settings, Metas(seen.clone()));
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    let now = harness.cx.now;
    for messages in [3, 1] {
        let packet = peer.batch(now, channel, &numbered(messages, 5));
        peer.say(&mut harness, &packet);
    }
    peer.pump(&mut harness);
    let whole = MessageMeta::whole(channel).to_meta();
    let goes_on = whole | MessageMeta::GOES_ON;
    assert_eq!(*seen.lock().unwrap(), [goes_on, goes_on, whole, whole]);
    assert_eq!(peer.connection.may_send(now, channel), 2, "two packets are not done with");
    harness.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_back_is_the_same_with_batches_and_without(
        groups in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(prop_oneof![4 => 0usize..80, 1 => 0usize..1400], 1..8)),
            1..25,
        ),
        cut in 1usize..3000,
        features in 0u32..8,
    ) {
        for features in [features, features & !BATCH] {
            let config = config(Mode::Stream, features);
            let mut harness = harness(config);
            let mut peer = Peer::connect(&mut harness, config, cut);
            let channels = [peer.open(&mut harness), peer.open(&mut harness)];
            let mut sent = [Vec::new(), Vec::new()];
            for (n, (other, lens)) in groups.iter().enumerate() {
                let which = usize::from(*other);
                let bodies: Vec<_> = lens.iter().map(|&len| message(n, len)).collect();
                let now = harness.cx.now;
                if peer.connection.may_batch() && lens.iter().all(|&len| len < 80) {
                    let packet = peer.batch(now, channels[which], &bodies);
                    peer.say(&mut harness, &packet);
                } else {
                    bodies.iter().for_each(|body| peer.send(&mut harness, channels[which], body));
                }
                sent[which].extend(bodies);
                if n % 3 == 0 {
                    peer.pump(&mut harness);
                }
            }
            peer.pump(&mut harness);
            for (which, channel) in channels.into_iter().enumerate() {
                let of = peer.heard.iter().filter(|(ch, _)| *ch == channel);
                prop_assert_eq!(&of.map(|(_, m)| m.clone()).collect::<Vec<_>>(), &sent[which]);
            }
            prop_assert_eq!(harness.closed(peer.conn), None);
            harness.finish();
        }
    }
}
