//! Silence (D-10).

use super::*;

/// Kinds of the packets that both ends have sent since they had sent so many.
fn probes(pair: &Pair, from: [usize; 2]) -> usize {
    let headers = (0..2).flat_map(|end| pair.headers(end, from[end]));
    headers.filter(|header| header.packet_type == PacketType::Keepalive).count()
}

fn sent(pair: &Pair) -> [usize; 2] {
    pair.ends.each_ref().map(|end| end.log.len())
}

#[test]
fn a_silent_stream_is_asked_after_each_period_and_the_round_trip_is_measured() {
    for config in configs() {
        let (mut pair, _) = Pair::with_channel(config);
        let from = sent(&pair);
        pair.run_ms(10_000);
        let probes = probes(&pair, from);
        assert!((6..=8).contains(&probes), "{probes} in three periods, there and back");
        let rtts = pair.ends.each_ref().map(|end| end.connection.statistics().rtt);
        let count: u64 = rtts.iter().map(Rtt::count).sum();
        assert_eq!(count, probes as u64 / 2);
        let rtt = rtts.iter().find(|rtt| rtt.count() > 0).unwrap();
        assert_eq!((rtt.mean_ns(), rtt.mean_ms()), (20 * MS, 20.0));
        assert_eq!(rtt.histogram()[15], rtt.count() as u32, "below 32.768 ms");
        assert!(pair.ends.iter().all(|end| end.cause().is_none()));
    }
}

#[test]
fn nothing_is_sent_where_there_is_traffic_but_to_measure_it_now_and_then() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        let from = sent(&pair);
        let mut talk = |rounds| {
            for _ in 0..rounds {
                pair.say(0, channel, b"traffic");
                pair.run_ms(1_500);
                pair.say(1, channel, b"traffic");
                pair.run_ms(1_500);
            }
            let rtts = pair.ends.each_ref().map(|end| end.connection.statistics().rtt);
            (probes(&pair, from), rtts)
        };
        let (asked, rtts) = talk(9);
        assert_eq!((asked, rtts[0].count(), rtts[1].count()), (0, 0, 0));
        let (asked, rtts) = talk(22);
        assert_eq!(asked, 3 * 2 * 2, "each end three times, and the answers");
        for rtt in rtts {
            assert_eq!((rtt.count(), rtt.mean_ns()), (3, 20 * MS));
        }
    }
}

#[test]
fn a_peer_that_is_gone_is_given_up_after_three_questions() {
    for config in configs() {
        let (mut pair, _) = Pair::with_channel(config);
        pair.cut = true;
        let from = sent(&pair);
        pair.run_ms(11_900);
        assert_eq!(probes(&pair, from), 6, "three of each end");
        assert!(pair.ends.iter().all(|end| end.cause().is_none()));
        pair.run_ms(150);
        for end in &pair.ends {
            assert_eq!(end.cause(), Some(Cause::Fault(Fault::Silent)));
        }
    }
}

#[test]
fn a_peer_that_is_gone_is_found_by_one_that_goes_on_sending() {
    let mut config = config(Mode::Datagram);
    config.window_packets = 1000;
    let (mut pair, channel) = Pair::with_channel(config);
    pair.cut = true;
    for _ in 0..20 {
        pair.say(0, channel, b"is anybody there");
        pair.run_ms(1_000);
    }
    assert_eq!(pair.ends[0].cause(), Some(Cause::Fault(Fault::Silent)));
}

#[test]
fn answers_that_are_lost_twice_are_no_end() {
    let (mut pair, _) = Pair::with_channel(config(Mode::Datagram));
    for _ in 0..5 {
        pair.cut = true;
        pair.run_ms(5_000);
        pair.cut = false;
        pair.run_ms(4_000);
    }
    assert!(pair.ends.iter().all(|end| end.cause().is_none()));
}
