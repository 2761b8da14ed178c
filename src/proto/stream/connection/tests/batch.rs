//! Short messages that share packets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::limits::{STREAM_BATCH_MESSAGES_MAX, STREAM_PACK_BYTES_MAX};
use crate::proto::stream::secure::handshake::{COMPRESS, ENCRYPT};

fn numbered(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number as u8; len]).collect()
}

/// Packets of DATA that an end has sent, and those of them that are batches.
fn data_packets(pair: &Pair, end: usize) -> (usize, usize) {
    let headers = pair.headers(end, 0);
    let data = headers.iter().filter(|header| header.packet_type == PacketType::Data);
    (data.clone().count(), data.filter(|header| header.flags.has(Flags::BATCHED)).count())
}

/// What becomes of a batch that nobody would send, on a stream in the clear.
fn hostile(mode: Mode, payload: &[u8]) -> Result<Received, Fault> {
    let (mut pair, channel) = Pair::with_channel(plain(mode));
    let packet = pair.forge(0, PacketType::Data, channel, Flags::BATCHED, payload);
    let outcome = pair.hostile(1, packet);
    if let Err(fault) = outcome {
        let dump = pair.ends[1].connection.channel(channel);
        assert!(dump.is_none_or(|dump| dump.statistics.received.packets == 0), "nothing counts");
        assert_eq!(pair.ends[1].cause(), Some(Cause::Fault(fault)));
    }
    outcome
}

fn list(count: usize, len: u16) -> Vec<u8> {
    [&len.to_le_bytes()[..], &vec![7; len.into()]].concat().repeat(count)
}

#[test]
fn short_messages_that_wait_share_a_packet_a_number_and_a_credit() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        pair.ends[1].consumes = false;
        let messages = numbered(STREAM_BATCH_MESSAGES_MAX + 3, 20);
        pair.say_all(0, channel, messages.clone());
        pair.run_ms(20);
        assert_eq!(pair.ends[1].messages(channel), messages);
        assert_eq!(data_packets(&pair, 0), (2, 2));
        let there = pair.ends[1].connection.channel(channel).unwrap();
        let here = pair.ends[0].connection.channel(channel).unwrap();
        assert_eq!(here.statistics.sent, there.statistics.received);
        assert_eq!(here.statistics.sent, Count { packets: 2, bytes: 19 * 20 });
        assert_eq!(there.unconsumed, 2);
        let left = pair.ends[0].connection.may_send(pair.now, channel);
        assert_eq!(left, u64::from(config.window_packets) - 2);
    }
}

#[test]
fn with_the_last_credit_goes_a_whole_batch_and_none_without() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(Config { window_packets: 2, ..config });
        pair.ends[1].consumes = false;
        let messages = numbered(3 * STREAM_BATCH_MESSAGES_MAX, 5);
        pair.say_all(0, channel, messages.clone());
        pair.run_ms(20);
        assert_eq!(pair.ends[1].messages(channel), messages[..32]);
        pair.consume(1, channel, 2);
        pair.run_ms(500);
        assert_eq!(pair.ends[1].messages(channel), messages);
        assert_eq!(data_packets(&pair, 0), (3, 3));
    }
}

#[test]
fn a_batch_fits_a_packet_and_long_messages_go_alone_in_their_place() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(Config { packet_bytes: 512, ..config });
        let mut messages = numbered(4, STREAM_PACK_BYTES_MAX);
        messages.push(vec![9; STREAM_PACK_BYTES_MAX + 1]);
        messages.extend(numbered(2, 0));
        messages.push(vec![8; 1000]);
        messages.extend(numbered(30, 60));
        pair.say_all(0, channel, messages.clone());
        pair.run_ms(100);
        assert_eq!(pair.ends[1].messages(channel), messages);
        assert!(pair.ends[0].log.iter().all(|(_, packet)| packet.len() <= 512));
        assert!(data_packets(&pair, 0).1 >= 5);
    }
}

#[test]
fn who_does_not_offer_it_gets_none_and_may_send_none() {
    for config in configs() {
        for [one, other] in [[config, apart(config)], [apart(config), config]] {
            let mut pair = Pair::new([one, other], GOOD, 0);
            pair.run_ms(100);
            let channel = pair.open(0, 0x10);
            pair.run_ms(50);
            assert!(pair.ends.iter().all(|end| !end.connection.may_batch()));
            let messages = numbered(20, 30);
            pair.say_all(0, channel, messages.clone());
            pair.run_ms(50);
            assert_eq!(pair.ends[1].messages(channel), messages);
            assert_eq!(data_packets(&pair, 0), (20, 0));
        }
        let (mut pair, channel) = Pair::with_channel(apart(plain(config.mode)));
        let packet = pair.forge(0, PacketType::Data, channel, Flags::BATCHED, &list(2, 3));
        assert_eq!(pair.hostile(1, packet), Err(Fault::Batch));
    }
    assert_eq!(Config::new(Mode::Stream).offer.offers, ENCRYPT | COMPRESS | BATCH);
    assert_eq!(Config::new(Mode::Stream).offer.requires & BATCH, 0);
}

#[test]
fn a_list_that_is_none_is_a_fault_of_which_nothing_counts() {
    for mode in MODES {
        assert!(matches!(hostile(mode, &list(2, 3)), Ok(Received::Data(Data { count: 2, .. }))));
        assert!(matches!(hostile(mode, &list(16, 0)), Ok(Received::Data(Data { count: 16, .. }))));
        for none in [
            vec![],
            list(1, 3),
            list(17, 0),
            [list(2, 3), vec![0]].concat(),
            [list(2, 3), vec![4, 0, 1, 2, 3]].concat(),
            vec![0xff; 40],
        ] {
            assert_eq!(hostile(mode, &none), Err(Fault::Batch), "{none:?}");
        }
    }
    let (mut pair, channel) =
        Pair::with_channel(Config { message_bytes_max: 9, ..plain(MODES[0]) });
    let packet = pair.forge(0, PacketType::Data, channel, Flags::BATCHED, &list(2, 10));
    assert_eq!(pair.hostile(1, packet), Err(Fault::MessageTooLarge));
}

#[test]
fn a_batch_before_the_one_that_had_begun_has_ended_is_as_a_whole_message_there() {
    for mode in MODES {
        let (mut pair, channel) = Pair::with_channel(plain(mode));
        let head = Fragment { frag_size: 1, offset: 0, full_size: 9 }.encode();
        let piece = [&head[..], b"x"].concat();
        let first = pair.forge(0, PacketType::Data, channel, Flags::FRAGMENTED, &piece);
        let mut batch = pair.forge(0, PacketType::Data, channel, Flags::BATCHED, &list(2, 3));
        batch[5] = 1;
        assert!(pair.hostile(1, first).is_ok());
        let outcome = pair.hostile(1, batch);
        match mode {
            Mode::Stream => assert_eq!(outcome, Err(Fault::Fragment)),
            Mode::Datagram => {
                assert!(matches!(outcome, Ok(Received::Data(Data { count: 2, first: true, .. }))));
                assert_eq!(pair.ends[1].connection.statistics().torn, 1);
            }
        }
    }
}

#[test]
fn one_message_alone_is_no_batch() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        let (mut batch, mut room) = (Batch::new(), [0xee; 100]);
        batch.put(&mut room, b"alone");
        let this = &mut pair.ends[0].connection;
        let sealed = this.seal_batch(pair.now, channel, &batch, &mut room).unwrap();
        let packet = room[sealed].to_vec();
        pair.transmit(0, packet);
        pair.run_ms(20);
        assert_eq!(data_packets(&pair, 0), (1, 0));
        assert_eq!(pair.ends[1].messages(channel), [b"alone"]);
    }
}

#[test]
fn no_bit_of_a_batch_can_be_changed() {
    for mode in MODES {
        let (mut pair, channel) = Pair::with_channel(config(mode));
        pair.cut = true;
        pair.say_all(0, channel, numbered(3, 5));
        let packet = pair.ends[0].log.last().unwrap().1.clone();
        assert!(is_batch(&packet));
        for at in 0..packet.len() {
            for bit in 0..8 {
                let mut pair = Pair::with_channel(config(mode)).0;
                let mut packet = packet.clone();
                packet[at] ^= 1 << bit;
                let outcome = pair.hostile(1, packet);
                assert!(!matches!(outcome, Ok(Received::Data(_) | Received::Consumed)));
                assert!(pair.ends[1].messages(channel).is_empty());
            }
        }
        assert!(matches!(pair.hostile(1, packet), Ok(Received::Data(Data { count: 3, .. }))));
    }
}

#[test]
fn a_batch_over_datagrams_comes_whole_or_not_at_all() {
    for seed in 0..20 {
        let network = Network { delay_ms: 5, jitter_ms: 20, loss: 0, doubled: 30 };
        let mut pair = Pair::new([config(Mode::Datagram); 2], network, seed);
        pair.run_ms(200);
        let channel = pair.open(0, 0x10);
        pair.run_ms(200);
        pair.network.loss = 30;
        let mut batches = BTreeSet::new();
        for round in 0..40u8 {
            let of = |number: u8| vec![round, number];
            pair.say_all(0, channel, (0..10).map(of));
            batches.insert(round);
            pair.run_ms(30);
        }
        pair.run_ms(5_000);
        let came = pair.ends[1].messages(channel);
        let rounds: BTreeSet<u8> = came.iter().map(|message| message[0]).collect();
        let whole: Vec<Vec<u8>> =
            rounds.iter().flat_map(|&round| (0..10).map(move |n| vec![round, n])).collect();
        assert_eq!(came, whole, "seed {seed}");
        assert!(rounds.len() < batches.len() && rounds.len() > 5, "seed {seed}: {}", rounds.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_come_out_the_same_with_batches_and_without(
        messages in prop::collection::vec(prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..300),
            1 => (0usize..3000).prop_map(|len| vec![3; len]),
        ], 0..120),
        cuts in prop::collection::vec(1usize..40, 120),
        window_packets in 1u32..20,
        sealed: bool,
    ) {
        let base = if sealed { config(Mode::Stream) } else { plain(Mode::Stream) };
        for settings in [base, apart(base)] {
            let settings = Config { window_packets, packet_bytes: 700, ..settings };
            let (mut pair, channel) = Pair::with_channel(settings);
            let mut rest = &messages[..];
            for cut in &cuts {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                pair.say_all(0, channel, now.to_vec());
                pair.run_ms(3);
                rest = later;
            }
            pair.run_ms(60_000);
            prop_assert_eq!(&pair.ends[1].messages(channel), &messages);
        }
    }
}
