//! What goes over the wire, byte by byte; and what of it may be changed: nothing.

use super::*;

/// The last packet that an end has sent.
fn last(pair: &Pair, end: usize) -> &[u8] {
    &pair.ends[end].log.last().unwrap().1
}

#[test]
fn the_golden_bytes_of_each_packet_in_the_clear() {
    let mut settings = plain(Mode::Stream);
    settings.packet_bytes = 512;
    let (mut pair, channel) = Pair::with_channel(settings);
    assert_eq!(channel, 1);
    // OPEN channel 1, its first incarnation, type 0x10, which may be compressed, with 64 packets of credit.
    let open = [13, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 1, 0, 0, 0, 0x10, 1, 64, 0, 0, 0];
    assert_eq!(last(&pair, 0), open);
    // The responder's own first incarnation, and as much credit.
    let opened =
        [15, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0x11, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0];
    assert_eq!(last(&pair, 1), opened);

    pair.say(0, channel, b"hello");
    let data = [5, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, b'h', b'e', b'l', b'l', b'o'];
    assert_eq!(last(&pair, 0), data);

    pair.say(0, channel, &[9; 501]);
    let whole = 512 - 24;
    let head = [25, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 4];
    let fragment = [13, 0, 0, 0, 0xe8, 1, 0, 0, 0xf5, 1, 0, 0];
    assert_eq!(last(&pair, 0), [&head[..], &fragment, &[9; 501 - 488]].concat());
    assert_eq!(pair.ends[0].log[pair.ends[0].log.len() - 2].1.len(), 24 + whole);

    pair.run_ms(3_200);
    let ping = [13, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(last(&pair, 0), ping);
    let pong = [13, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(pair.ends[1].log.iter().any(|(_, packet)| *packet == pong));

    pair.close(0, Code::Limit);
    let close = [8, 0, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 10, 0, b'e', b'n', b'o', b'u', b'g', b'h'];
    assert_eq!(last(&pair, 0), &close[..]);
    let packet = pair.forge(0, PacketType::Control, 0, Flags::NONE, &[0xff; 7]);
    assert_eq!(pair.hostile(1, packet), Err(Fault::Control));
    let error = [18, 0, 0, 0, 5];
    assert_eq!(last(&pair, 1)[..5], error);
    assert_eq!(last(&pair, 1)[9..], [&[0, 0, 0, 1, 0, 0, 0][..], b"control packet"].concat());
}

/// Two ends of a session whose keys are always the same, and packets of every kind that the first has sent
/// in it after the handshake.
fn recorded(settings: Config) -> (Pair, Vec<Vec<u8>>) {
    let (mut pair, channel) = Pair::with_channel(Config { packet_bytes: 512, ..settings });
    pair.cut = true;
    let from = pair.ends[0].log.len();
    pair.say(0, channel, b"short");
    pair.say(0, channel, &[7; 600]);
    _ = pair.ends[0].connection.rekey(channel);
    pair.say(0, channel, b"with another key");
    pair.ends[0].connection.consume(pair.now, channel, 1);
    pair.open(0, 0x10);
    pair.flush(0);
    pair.ends[0].connection.ping();
    pair.shut(0, channel);
    pair.close(0, Code::None);
    let packets = pair.ends[0].log[from..].iter().map(|(_, packet)| packet.clone()).collect();
    (pair, packets)
}

/// What the second end makes of packets.
fn hear(mode: Mode, packets: &[Vec<u8>]) -> Vec<Result<Received, Fault>> {
    let mut settings = config(mode);
    settings.packet_bytes = 512;
    let (mut pair, _) = Pair::with_channel(settings);
    packets.iter().map(|packet| pair.hostile(1, packet.clone())).collect()
}

#[test]
fn each_byte_of_a_sealed_session_is_caught_when_it_is_changed() {
    for mode in MODES {
        let (pair, packets) = recorded(config(mode));
        let kinds: Vec<_> = packets.iter().map(|packet| packet[4]).collect();
        assert!([1, 2, 3, 4].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        drop(pair);
        let right = hear(mode, &packets);
        assert!(
            right
                .iter()
                .all(|outcome| { matches!(outcome, Ok(Received::Data(_) | Received::Consumed)) })
        );
        for (index, packet) in packets.iter().enumerate() {
            let mut settings = config(mode);
            settings.packet_bytes = 512;
            let (mut pair, _) = Pair::with_channel(settings);
            packets[..index].iter().for_each(|packet| _ = pair.hostile(1, packet.clone()));
            for at in 0..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 1 << (at % 8);
                let outcome = pair.hostile(1, changed);
                assert!(
                    matches!(outcome, Err(_) | Ok(Received::Dropped(_))),
                    "byte {at} of packet {index}: {outcome:?}"
                );
                if mode == Mode::Stream && outcome.is_err() {
                    // It is over, and begins anew.
                    pair = Pair::with_channel(settings).0;
                    packets[..index].iter().for_each(|packet| _ = pair.hostile(1, packet.clone()));
                }
            }
            if mode == Mode::Datagram {
                assert_eq!(pair.hostile(1, packet.clone()), right[index], "what is right is taken");
            }
        }
    }
}

#[test]
fn what_has_been_is_dropped_and_counted_however_often_it_comes() {
    for settings in [config(Mode::Datagram), plain(Mode::Datagram), plain(Mode::Stream)] {
        let (_, packets) = recorded(settings);
        let (mut pair, _) = Pair::with_channel(Config { packet_bytes: 512, ..settings });
        // But the end, behind which nothing is heard.
        let packets = &packets[..packets.len() - 2];
        for (index, packet) in packets.iter().enumerate() {
            assert!(!matches!(pair.hostile(1, packet.clone()), Ok(Received::Dropped(_))));
            for old in &packets[..=index] {
                let outcome = pair.hostile(1, old.clone());
                assert_eq!(outcome, Ok(Received::Dropped(Dropped::Replayed)));
            }
        }
        let count = packets.len() as u64;
        let statistics = pair.ends[1].connection.statistics();
        assert_eq!(statistics.replayed, count * (count + 1) / 2);
        assert_eq!((statistics.lost, statistics.forged), (0, 0));
    }
}

#[test]
fn a_packet_that_is_missing_or_comes_again_ends_a_sealed_byte_stream() {
    let (_, packets) = recorded(config(Mode::Stream));
    let fault = Err(Fault::Sequence);
    for index in 0..packets.len() - 1 {
        let channel = packets[index][9];
        let next = packets[index + 1..].iter().position(|packet| packet[9] == channel);
        if let Some(next) = next.map(|next| index + 1 + next) {
            let mut heard = packets[..=next].to_vec();
            heard.remove(index);
            assert_eq!(hear(Mode::Stream, &heard).last(), Some(&fault), "without {index}");
        }
        let again = [&packets[..=index], &packets[index..=index]].concat();
        assert_eq!(hear(Mode::Stream, &again).last(), Some(&fault), "{index} twice");
    }
}

#[test]
fn the_peer_is_told_that_packets_were_missing() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Stream));
    pair.cut = true;
    pair.say(0, channel, b"taken away");
    pair.cut = false;
    pair.say(0, channel, b"and what follows");
    pair.run_ms(30);
    assert!(pair.ends[1].messages(channel).is_empty());
    assert_eq!(pair.ends[1].cause(), Some(Cause::Fault(Fault::Sequence)));
    assert_eq!(pair.ends[0].cause(), Some(Cause::Peer(Code::Decrypt)));
}

#[test]
fn a_packet_of_one_direction_channel_or_session_is_not_one_of_another() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Datagram));
    let other = pair.open(0, 0x10);
    pair.run_ms(50);
    pair.cut = true;
    pair.say(0, channel, b"hello");
    let packet = last(&pair, 0).to_vec();
    assert_eq!(pair.hostile(0, packet.clone()), Ok(Received::Dropped(Dropped::Forged)));
    let mut elsewhere = packet.clone();
    elsewhere[9] = other as u8;
    assert_eq!(pair.hostile(1, elsewhere), Ok(Received::Dropped(Dropped::Forged)));
    assert!(matches!(pair.hostile(1, packet), Ok(Received::Data(_))));
}
