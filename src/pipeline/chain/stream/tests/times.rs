//! What time brings about comes in time, in a time that is made up.

use std::time::Duration;

use super::*;
use crate::limits::BURST_MAX;
use crate::proto::stream::{Header, PacketType, Rate};
use crate::time::TICK_NS;

const MS: u64 = 1_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Packets of a type among `bytes`, none of which is cut.
fn count(bytes: &[u8], wanted: PacketType) -> usize {
    let (mut rest, mut count) = (bytes, 0);
    while let Ok(Framing::Whole(len)) = deframe(rest) {
        let header = Header::decode(rest.first_chunk().unwrap()).unwrap();
        count += usize::from(header.packet_type == wanted);
        rest = &rest[len..];
    }
    count
}

#[test]
fn a_silent_peer_is_asked_after_a_tenth_of_a_second_where_that_is_the_period() {
    let config = Config { keepalive_ns: 100 * MS, ..config(Mode::Stream, ENCRYPT) };
    let mut harness = harness(config);
    let peer = Peer::connect(&mut harness, config, usize::MAX);
    harness.advance(ms(99));
    for asked in 0..4 {
        assert_eq!(harness.take_sent(peer.conn).len(), 0, "{asked}");
        assert_eq!(harness.closed(peer.conn), None, "it was asked {asked} times");
        // A tick of the clock late, each time.
        harness.advance(ms(6));
        let probes = count(&harness.take_sent(peer.conn), PacketType::Keepalive);
        assert_eq!(probes, usize::from(asked < 3));
        harness.advance(ms(94));
    }
    assert_eq!(harness.closed(peer.conn), Some(End::Linger), "400 ms, and a few for the ticks");
    harness.finish();
}

#[test]
fn a_round_trip_within_one_pass_of_the_loop_takes_as_long_as_it_takes() {
    let config = Config { keepalive_ns: 100 * MS, ..config(Mode::Stream, ENCRYPT) };
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    harness.advance(ms(102));
    let ping = harness.take_sent(peer.conn);
    assert_eq!(count(&ping, PacketType::Keepalive), 1);
    // The clock goes on while the loop does not look at it.
    let (clock, hand) = Clock::by_hand();
    hand.advance_ns(harness.cx.now.as_ns() + 2_500);
    harness.cx.clock = clock;
    peer.hear(&harness, &ping);
    peer.pump(&mut harness);
    let (now, conn) = (harness.cx.now, peer.conn);
    let Pipeline::Stream(chain) = harness.pipeline() else { unreachable!() };
    let rtt = chain.dump(now, conn).unwrap().statistics.rtt;
    // It went out at a tick of the wheel, before the harness was at 102 ms.
    let since = now.as_ns() - (100 * MS).div_ceil(TICK_NS) * TICK_NS;
    assert_eq!((rtt.count(), rtt.last_ns()), (1, since + 2_500));
    harness.finish();
}

#[test]
fn who_may_not_send_says_so_over_datagrams_every_tenth_of_a_second() {
    let config = config(Mode::Datagram, ENCRYPT);
    let mut harness = harness(config);
    let miser = Config { window_packets: 1, ..config };
    let mut peer = Peer::connect(&mut harness, miser, usize::MAX);
    let channel = peer.open(&mut harness);
    peer.consumes = false;
    for n in 0..2 {
        peer.send(&mut harness, channel, &message(n, 100));
    }
    peer.pump(&mut harness);
    harness.take_sent(peer.conn);
    harness.advance(ms(1005));
    let said = count(&harness.take_sent(peer.conn), PacketType::Control);
    assert!((9..=10).contains(&said), "{said} times in a second");
    harness.finish();
}

#[test]
fn a_close_that_nobody_answers_is_said_again_over_datagrams_when_its_time_comes() {
    let config = config(Mode::Datagram, ENCRYPT);
    let mut harness = harness(config);
    let peer = Peer::connect(&mut harness, config, usize::MAX);
    harness.drain();
    let mut said = Vec::new();
    for _ in 0..12 {
        said.push(count(&harness.take_sent(peer.conn), PacketType::Close));
        harness.advance(ms(51));
    }
    // At once, and a quarter of a second after each.
    assert_eq!(said, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
    harness.finish();
}

#[test]
fn credit_that_a_rate_holds_back_comes_as_soon_as_the_rate_allows() {
    const RATE: u32 = 100;
    let session_rate = Rate { packets: RATE, bytes: 0 };
    let config = Config { session_rate, ..config(Mode::Stream, ENCRYPT) };
    let mut harness = harness(config);
    let mut peer = Peer::connect(&mut harness, Config::new(Mode::Stream), usize::MAX);
    let channel = peer.open(&mut harness);
    let mut sent = 0;
    for _ in 0..4000 / 5 {
        while peer.connection.may_send(harness.cx.now, channel) > 0 {
            peer.send(&mut harness, channel, b"-");
            sent += 1;
        }
        harness.advance(ms(5));
        peer.pump(&mut harness);
    }
    // A second's worth at once, then as the seconds go. Words are packets too.
    assert!((450..=564).contains(&sent), "{sent} in four seconds");
    harness.finish();
}

#[test]
fn sessions_whose_time_is_far_are_not_looked_at() {
    const MANY: u32 = 5000;
    let config = config(Mode::Stream, ENCRYPT);
    let mut chain = Stream::new(MANY + 1, settings(config));
    let mut harness = harness(config);
    let conn = |slot| ConnId::new(0, slot, 1);
    let after = |ns| Instant::from_ns(ns);
    let patience = config.handshake_timeout_ns;
    chain.open(&harness.cx, conn(MANY));
    harness.cx.now = after(patience / 2);
    (0..MANY).for_each(|slot| chain.open(&harness.cx, conn(slot)));
    let mut messages = Burst::new();
    // Whatever the wheel wants to be turned for, nobody is told of.
    while let Some(at) = chain.next_tick().filter(|at| at.as_ns() <= patience) {
        harness.cx.now = at.max(harness.cx.now);
        assert!(!chain.tick(&mut harness.cx, &mut messages));
        assert!(messages.is_empty());
    }
    let at = chain.next_tick().unwrap();
    assert!(at.as_ns() < patience + TICK_NS);
    let mut looked_at = Vec::new();
    chain.alarms.expire(at, usize::MAX, |conn| looked_at.push(conn));
    assert_eq!(looked_at, [conn(MANY)], "of {MANY}");
    // All of the others come in one tick of the clock, some at a time.
    harness.cx.now = after(patience / 2 + patience + 2 * TICK_NS);
    let mut told = 0;
    while chain.tick(&mut harness.cx, &mut messages) || !messages.is_empty() {
        told += std::iter::from_fn(|| messages.pop()).count();
    }
    assert_eq!(told as u32, MANY);
    assert!(chain.news.capacity() < 4 * BURST_MAX, "{}", chain.news.capacity());
    harness.finish();
}

#[test]
fn a_session_that_is_gone_leaves_no_alarm() {
    let config = config(Mode::Stream, ENCRYPT);
    let harness = harness(config);
    let mut chain = Stream::new(2, settings(config));
    for n in 0..100 {
        let conn = ConnId::new(0, n % 2, n);
        chain.open(&harness.cx, conn);
        assert_eq!(chain.alarms.len(), 1);
        chain.close(&harness.cx, conn);
        assert!(chain.alarms.is_empty() && chain.next_tick().is_none());
    }
    harness.finish();
}

#[test]
fn a_session_on_which_no_message_moves_expires_though_keepalives_go_on_d_3() {
    let config = Config { keepalive_ns: 100 * MS, ..config(Mode::Stream, ENCRYPT) };
    let idle = Settings { idle_ns: 1000 * MS, ..settings(config) };
    let mut harness = harness_of(idle, Echo::default());
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let channel = peer.open(&mut harness);
    let passes = |harness: &mut Harness<Streams<Echo>>, peer: &mut Peer| {
        for _ in 0..18 {
            harness.advance(ms(50));
            peer.pump(harness);
        }
    };
    for n in 0..3usize {
        passes(&mut harness, &mut peer);
        peer.send(&mut harness, channel, &message(n, 100));
        peer.pump(&mut harness);
        assert_eq!(peer.heard.len(), n + 1);
    }
    passes(&mut harness, &mut peer);
    assert_eq!(harness.closed(peer.conn), None, "900 ms since the last");
    harness.advance(ms(110));
    peer.pump(&mut harness);
    let said = Event::Closing { code: Code::Timeout };
    assert!(peer.events.contains(&said), "{:?}", peer.events);
    harness.finish();
}
