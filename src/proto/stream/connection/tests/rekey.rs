//! New keys under traffic (D-13).

use super::*;

fn epochs(pair: &Pair, end: usize, channel: u16) -> (u32, u32) {
    let dump = pair.ends[end].connection.channel(channel).unwrap();
    (dump.send_epoch, dump.receive_epoch)
}

#[test]
fn keys_change_under_traffic_both_ways_and_nothing_is_missed() {
    for mode in MODES {
        let mut settings = config(mode);
        settings.rekey_packets = 10;
        let (mut pair, channel) = Pair::with_channel(settings);
        for round in 0..100u32 {
            for end in 0..2 {
                pair.say(end, channel, &round.to_le_bytes());
                pair.say(end, channel, &[round as u8; 40]);
            }
            pair.run_ms(7);
        }
        pair.run_ms(1_000);
        for end in 0..2 {
            let (here, there) = (epochs(&pair, end, channel), epochs(&pair, 1 - end, channel));
            assert_eq!(here.0, there.1);
            assert!(here.0 > 3, "{mode:?}: {here:?}");
            assert_eq!(pair.ends[1 - end].messages(channel).len(), 200);
            let statistics = pair.ends[end].connection.statistics();
            assert_eq!((statistics.lost, statistics.forged), (0, 0));
        }
    }
}

#[test]
fn the_key_of_channel_0_changes_when_its_answer_has_come() {
    for mode in MODES {
        let (mut pair, channel) = Pair::with_channel(config(mode));
        for round in 1..=5 {
            for end in 0..2 {
                pair.ends[end].connection.rekey(0).unwrap();
                // Something of channel 0 goes out, and shows it.
                pair.ends[end].connection.consume(pair.now, channel, 0);
            }
            pair.run_ms(10_000);
            for end in 0..2 {
                assert_eq!(pair.ends[end].connection.epochs(), (round, round), "{mode:?}");
            }
        }
    }
}

#[test]
fn a_second_key_waits_until_the_peer_has_shown_that_it_has_the_first() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Datagram));
    pair.cut = true;
    for _ in 0..4 {
        pair.ends[0].connection.rekey(channel).unwrap();
        pair.say(0, channel, b"lost");
    }
    assert_eq!(epochs(&pair, 0, channel).0, 1);
    pair.cut = false;
    pair.say(0, channel, b"not lost");
    pair.run_ms(30);
    assert_eq!(epochs(&pair, 1, channel).1, 1);
    pair.say(0, channel, b"with the next");
    pair.run_ms(30);
    assert_eq!(epochs(&pair, 0, channel).0, 2);
    assert_eq!(pair.ends[1].messages(channel), [&b"not lost"[..], b"with the next"]);
}

#[test]
fn an_epoch_that_has_not_been_is_a_fault() {
    let (mut pair, channel) = Pair::with_channel(plain(Mode::Stream));
    let credit = [op::CREDIT, channel as u8, 0, 1, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0];
    let packet = pair.forge(0, PacketType::Control, 0, Flags::NONE, &credit);
    assert_eq!(pair.hostile(1, packet), Ok(Received::Consumed), "without keys there is none");
    assert!(pair.ends[0].connection.rekey(channel).is_err());
}

#[test]
fn an_answer_that_was_lost_does_not_keep_channel_0_from_its_next_key() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Datagram));
    pair.ends[0].connection.rekey(0).unwrap();
    pair.cut = true;
    pair.ends[0].connection.ping();
    pair.run_ms(30);
    pair.cut = false;
    // Traffic both ways: nobody asks whether the other is there.
    for _ in 0..200 {
        pair.say(0, channel, b"traffic");
        pair.say(1, channel, b"traffic");
        pair.run_ms(40);
    }
    assert_eq!(pair.ends[0].connection.epochs().0, 1);
    pair.ends[0].connection.rekey(0).unwrap();
    for _ in 0..400 {
        pair.say(0, channel, b"traffic");
        pair.say(1, channel, b"traffic");
        pair.run_ms(40);
    }
    assert_eq!(pair.ends[0].connection.epochs().0, 2);
    assert_eq!(pair.ends[1].connection.epochs().1, 2);
}
