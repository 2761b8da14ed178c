//! How far a sender may go (D-21).

use super::*;

#[test]
fn a_sender_stops_at_its_credit_and_goes_on_when_there_is_more() {
    for mut config in configs() {
        config.window_packets = 4;
        let (mut pair, channel) = Pair::with_channel(config);
        pair.ends[1].consumes = false;
        (0..10).for_each(|i| pair.say(0, channel, &[i; 5]));
        pair.run_ms(50);
        assert_eq!(pair.ends[1].messages(channel).len(), 4);
        assert_eq!(pair.ends[0].connection.channel(channel).unwrap().send_credit, 0);
        let dump = pair.ends[1].connection.channel(channel).unwrap();
        assert_eq!((dump.unconsumed, dump.receive_credit), (4, 0));
        pair.consume(1, channel, 1);
        pair.run_ms(150);
        assert!(pair.ends[0].has(Event::ChannelWritable { channel }));
        assert_eq!(pair.ends[1].messages(channel).len(), 5);
        for _ in 0..6 {
            pair.consume(1, channel, 4);
            pair.run_ms(150);
        }
        assert_eq!(pair.ends[1].messages(channel).len(), 10);
    }
}

#[test]
fn a_packet_past_the_credit_is_fatal_and_the_last_of_it_is_not() {
    for config in [plain(Mode::Stream), plain(Mode::Datagram)] {
        for (number, outcome) in [(63, None), (64, Some(Fault::Flow))] {
            let (mut pair, channel) = Pair::with_channel(config);
            let mut packet = pair.forge(0, PacketType::Data, channel, Flags::NONE, b"far");
            packet[5] = number;
            let received = pair.hostile(1, packet);
            assert_eq!(received.err(), outcome);
            pair.run_ms(30);
            let told = outcome.map(|_| Cause::Peer(Code::Flow));
            assert_eq!(pair.ends[0].cause(), told);
        }
    }
}

#[test]
fn a_sender_whose_last_packets_are_all_lost_gets_credit_again() {
    let mut settings = config(Mode::Datagram);
    settings.window_packets = 8;
    let (mut pair, channel) = Pair::with_channel(settings);
    pair.cut = true;
    (0..8).for_each(|i| pair.say(0, channel, &[i; 5]));
    pair.run_ms(500);
    pair.cut = false;
    pair.say(0, channel, b"after them");
    pair.run_ms(300);
    assert_eq!(pair.ends[1].messages(channel), [b"after them"]);
    assert_eq!(pair.ends[1].connection.statistics().lost, 8);
}

#[test]
fn credit_that_was_lost_is_asked_for_again() {
    let mut settings = config(Mode::Datagram);
    settings.window_packets = 8;
    let (mut pair, channel) = Pair::with_channel(settings);
    pair.ends[1].consumes = false;
    (0..12).for_each(|i| pair.say(0, channel, &[i; 5]));
    pair.run_ms(50);
    pair.cut = true;
    pair.consume(1, channel, 8);
    pair.run_ms(250);
    pair.cut = false;
    assert_eq!(pair.ends[1].messages(channel).len(), 8);
    pair.run_ms(150);
    assert_eq!(pair.ends[1].messages(channel).len(), 12);
}

#[test]
fn whoever_asks_on_and_on_without_sending_fills_no_more_than_a_window() {
    let mut settings = plain(Mode::Datagram);
    settings.window_packets = 4;
    let (mut pair, channel) = Pair::with_channel(settings);
    pair.ends[1].consumes = false;
    let mut crowded = 0;
    for round in 0..5u8 {
        let blocked = [op::BLOCKED, channel as u8, 0, 1, 0, 0, 0, 4 * (round + 1), 0, 0, 0];
        let mut packet = pair.forge(0, PacketType::Control, 0, Flags::NONE, &blocked);
        packet[5] += round;
        assert_eq!(pair.hostile(1, packet), Ok(Received::Consumed));
    }
    for number in 0..20 {
        let mut packet = pair.forge(0, PacketType::Data, channel, Flags::NONE, b"late");
        packet[5] = number;
        match pair.hostile(1, packet) {
            Ok(Received::Data(_)) => {}
            outcome => {
                assert_eq!(outcome, Ok(Received::Dropped(Dropped::Crowded)));
                crowded += 1;
            }
        }
    }
    assert_eq!(crowded, 16);
    assert_eq!(pair.ends[1].connection.statistics().crowded, 16);
}

#[test]
fn a_rate_paces_credit_of_a_channel_or_of_all() {
    for of_session in [false, true] {
        for mode in MODES {
            let mut settings = apart(config(mode));
            settings.window_packets = 10;
            let rate = Rate { packets: 50, bytes: 0 };
            match of_session {
                true => settings.session_rate = rate,
                false => settings.channel_rate = rate,
            }
            let (mut pair, channel) = Pair::with_channel(settings);
            (0..1000u32).for_each(|i| pair.say(0, channel, &i.to_le_bytes()));
            let mut arrived = Vec::new();
            for _ in 0..10 {
                pair.run_ms(1_000);
                arrived.push(pair.ends[1].messages(channel).len());
            }
            // A second's worth at once, a window that was given before, and then the rate.
            let last = *arrived.last().unwrap();
            assert!((450..=50 * 11 + 20).contains(&last), "{mode:?}: {arrived:?}");
        }
    }
}

#[test]
fn a_batch_is_one_packet_to_a_rate() {
    for mode in MODES {
        let channel_rate = Rate { packets: 10, bytes: 0 };
        let settings = Config { window_packets: 10, channel_rate, ..config(mode) };
        let (mut pair, channel) = Pair::with_channel(settings);
        pair.say_all(0, channel, (0..2_000u32).map(|i| i.to_le_bytes().to_vec()));
        pair.run_ms(5_000);
        let dump = pair.ends[1].connection.channel(channel).unwrap();
        let arrived = pair.ends[1].messages(channel).len();
        assert_eq!(arrived as u64, 16 * dump.statistics.received.packets);
        assert!((45..=80).contains(&dump.statistics.received.packets), "{mode:?}: {arrived}");
    }
}

#[test]
fn bytes_pace_as_packets_do() {
    let mut settings = config(Mode::Stream);
    settings.channel_rate = Rate { packets: 0, bytes: 10_000 };
    settings.window_packets = 2;
    let (mut pair, channel) = Pair::with_channel(settings);
    (0..100).for_each(|_| pair.say(0, channel, &[0; 1000]));
    pair.run_ms(5_000);
    let arrived = pair.ends[1].messages(channel).len();
    assert!((45..=65).contains(&arrived), "{arrived} KB in 5 s");
}

#[test]
fn a_new_key_with_each_packet_is_no_way_past_a_rate() {
    for mode in MODES {
        let mut settings = apart(config(mode));
        settings.channel_rate = Rate { packets: 10, bytes: 0 };
        let (mut pair, channel) = Pair::with_channel(settings);
        for round in 0..1_000u32 {
            pair.ends[0].connection.rekey(channel).unwrap();
            pair.say(0, channel, &round.to_le_bytes());
            pair.run_ms(30);
        }
        // 30 s: the rate, a second's worth at once, and two windows.
        let arrived = pair.ends[1].messages(channel).len();
        assert!((250..=31 * 10 + 2 * 64).contains(&arrived), "{mode:?}: {arrived}");
    }
}

/// A session whose second end holds the first to a rate.
fn paced(mode: Mode) -> Pair {
    let free = Config { window_packets: 10, ..apart(config(mode)) };
    let session_rate = Rate { packets: 50, bytes: 0 };
    let mut pair = Pair::new([free, Config { session_rate, ..free }], GOOD, 0);
    pair.run_ms(100);
    pair
}

#[test]
fn a_channel_after_the_other_is_no_way_past_the_rate_of_a_session() {
    for mode in MODES {
        let mut pair = paced(mode);
        let end = pair.now.after_ns(20_000 * MS);
        while pair.now < end {
            let channel = pair.open(0, 0x10);
            (0..10).for_each(|i| pair.say(0, channel, &[i; 5]));
            pair.shut(0, channel);
            while pair.ends[0].connection.channel(channel).is_some() {
                pair.run_ms(15);
                pair.shut(1, channel);
            }
        }
        // Words are counted as well, so it is less than the rate.
        let arrived: usize = pair.ends[1].inbox.values().map(Vec::len).sum();
        assert!((500..=22 * 50).contains(&arrived), "{mode:?}: {arrived}");
    }
}

#[test]
fn a_channel_that_is_opened_while_a_bucket_is_empty_gets_its_credit_when_it_has_filled() {
    for mode in MODES {
        for opener in 0..2 {
            let mut pair = paced(mode);
            // Pings are counted, and answered all the same.
            for _ in 0..80 {
                pair.ends[0].connection.ping();
                pair.flush(0);
            }
            pair.run_ms(15);
            let channel = pair.open(opener, 0x10);
            pair.flush(opener);
            pair.run_ms(25);
            let credit =
                |pair: &Pair, end: usize| pair.ends[end].connection.channel(channel).unwrap();
            assert_eq!(credit(&pair, 0).send_credit, 0, "{mode:?}");
            assert_eq!(credit(&pair, 1).receive_credit, 0);
            assert_eq!(credit(&pair, 1).send_credit, 10, "that end was not asked so often");
            pair.say(0, channel, b"as soon as may be");
            pair.run_ms(400);
            assert!(pair.ends[1].messages(channel).is_empty());
            pair.run_ms(600);
            assert_eq!(pair.ends[1].messages(channel), [b"as soon as may be"]);
        }
    }
}

#[test]
fn whoever_says_that_it_waits_does_not_wait_longer_for_it() {
    let mut pair = paced(Mode::Datagram);
    let channels: Vec<u16> = (0..30).map(|_| pair.open(0, 0x10)).collect();
    pair.run_ms(50);
    for &channel in &channels {
        (0..20).for_each(|i| pair.say(0, channel, &[i; 5]));
    }
    // 300 packets a second, each saying that it waits.
    pair.run_ms(20_000);
    let arrived: usize = pair.ends[1].inbox.values().map(Vec::len).sum();
    assert_eq!(arrived, 600);
}
