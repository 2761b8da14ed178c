//! Strangers, and what they may do (D-12).

use std::sync::Arc;

use super::*;
use crate::limits::*;
use crate::proto::stream::secure::handshake::{COMPRESS, ENCRYPT};
use crate::proto::stream::secure::identity::{PublicKey, Trust};

struct Nobody;

impl Trust for Nobody {
    fn accepts(&self, _peer: &PublicKey) -> bool {
        false
    }
}

#[test]
fn both_ends_know_each_other_after_two_round_trips() {
    for config in configs() {
        let mut pair = Pair::new([config; 2], GOOD, 0);
        pair.run_ms(39);
        assert!(!pair.ends[0].has(Event::Connected));
        assert_eq!(
            pair.ends[0].connection.open_channel(pair.now, 1, false),
            Err(Refused::NotConnected)
        );
        pair.run_ms(2);
        assert!(pair.ends.iter().all(|end| end.has(Event::Connected)));
    }
}

#[test]
fn what_is_lost_of_a_handshake_over_datagrams_is_said_again() {
    for lost in 0..6 {
        let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
        for _ in 0..lost {
            // One more packet comes through each time.
            pair.cut = true;
            pair.run_ms(5);
            pair.cut = false;
            pair.run_ms(12 * lost);
        }
        pair.run_ms(4_000);
        assert!(pair.ends.iter().all(|end| end.has(Event::Connected)), "{lost}");
    }
}

#[test]
fn a_responder_whose_ready_was_lost_says_it_again() {
    let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
    pair.run_ms(29);
    pair.cut = true;
    pair.run_ms(2);
    assert!(pair.ends[1].has(Event::Connected), "it has heard AUTH");
    pair.cut = false;
    pair.run_ms(200);
    assert!(!pair.ends[0].has(Event::Connected));
    pair.run_ms(100);
    assert!(pair.ends[0].has(Event::Connected));
    let (mut pair, channel) = (pair, 1);
    assert_eq!(pair.open(0, 0x10), channel);
    pair.run_ms(30);
    pair.say(1, channel, b"hello");
    pair.run_ms(30);
    assert_eq!(pair.ends[0].messages(channel), [b"hello"]);
}

#[test]
fn an_initiator_that_nobody_answers_tries_five_times_and_gives_up() {
    let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
    pair.cut = true;
    pair.run_ms(6_000);
    let hellos: Vec<u64> = pair.ends[0].log.iter().map(|(at, _)| at.as_ns() / MS - 1000).collect();
    assert_eq!(hellos[..5], [0, 250, 750, 1750, 3750]);
    assert_eq!(hellos.len(), 6, "and a last word");
    let silent = Some(Cause::Fault(Fault::HandshakeTimeout));
    assert_eq!([pair.ends[0].cause(), pair.ends[1].cause()], [silent; 2]);
    assert_eq!(pair.ends[1].sent_bytes, 0, "a responder says nothing unasked");
}

#[test]
fn a_peer_that_is_not_trusted_is_told_so_and_let_go() {
    for mode in MODES {
        for distrustful in 0..2 {
            let mut pair = Pair::new([config(mode); 2], GOOD, 0);
            pair.ends[distrustful].connection =
                connection(distrustful, config(mode), pair.now, Arc::new(Nobody));
            pair.run_ms(200);
            let cause = pair.ends[distrustful].cause();
            assert_eq!(cause, Some(Cause::Fault(Fault::NotTrusted)), "{mode:?}");
            let told = pair.ends[1 - distrustful].cause();
            assert_eq!(told, Some(Cause::Peer(Code::Unauthorised)), "{mode:?}");
        }
    }
}

#[test]
fn ends_that_have_no_version_or_feature_in_common_say_what_each_has() {
    for mode in MODES {
        let mut newer = config(mode);
        (newer.offer.version_min, newer.offer.version_max) = (2, 3);
        let mut pair = Pair::new([config(mode), newer], GOOD, 0);
        pair.run_ms(200);
        assert_eq!(pair.ends[0].cause(), Some(Cause::Peer(Code::Version)));
        let text = pair.ends[0].connection.peer_text();
        assert!(text.contains("1 to 1") && text.contains("2 to 3"), "{text}");

        let mut pair = Pair::new([plain(mode), config(mode)], GOOD, 0);
        pair.run_ms(200);
        assert_eq!(pair.ends[0].cause(), Some(Cause::Peer(Code::Features)));
        let text = pair.ends[0].connection.peer_text();
        assert!(text.contains("compress") && text.contains("encrypt"), "{text}");
        assert_eq!((COMPRESS, ENCRYPT), (2, 1));
    }
}

#[test]
fn a_stranger_gets_no_further_than_the_first_packet_that_is_not_due() {
    let greetings: [(PacketType, u16, Vec<u8>); 6] = [
        (PacketType::Data, 1, b"hello".to_vec()),
        (PacketType::Keepalive, 0, vec![0; 13]),
        (PacketType::Close, 0, vec![0; 2]),
        (PacketType::Control, 0, vec![op::AUTH; 113]),
        (PacketType::Control, 0, vec![op::REPLY; 183]),
        (PacketType::Control, 0, vec![]),
    ];
    for (packet_type, ch_id, payload) in greetings {
        let mut pair = Pair::new([config(Mode::Stream); 2], GOOD, 0);
        let packet = pair.forge(0, packet_type, ch_id, Flags::NONE, &payload);
        let outcome = pair.hostile(1, packet.clone());
        let refused = [Err(Fault::HandshakeOrder), Err(Fault::HandshakeSyntax)];
        assert!(refused.contains(&outcome), "{outcome:?}");
        assert!(pair.ends[1].connection.is_over());

        // Over datagrams somebody else may have sent it.
        let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
        assert_eq!(pair.hostile(1, packet), Ok(Received::Dropped(Dropped::Malformed)));
        pair.run_ms(100);
        assert!(pair.ends.iter().all(|end| end.has(Event::Connected)));
    }
}

#[test]
fn a_stranger_may_send_so_many_bytes_and_not_one_more() {
    let bounds = [STREAM_HANDSHAKE_BYTES_MAX, STREAM_HANDSHAKE_DATAGRAM_BYTES_MAX];
    for (mode, bound) in MODES.into_iter().zip(bounds) {
        let mut pair = Pair::new([config(mode); 2], GOOD, 0);
        let mut bytes = 0;
        if mode == Mode::Stream {
            let junk = |pair: &Pair, len| {
                pair.forge(0, PacketType::Control, 0, Flags::NONE, &vec![1; len])
            };
            let packet = junk(&pair, bound - HEADER_BYTES);
            assert_eq!(pair.hostile(1, packet), Err(Fault::HandshakeSyntax));
            let mut pair = Pair::new([config(mode); 2], GOOD, 0);
            let packet = junk(&pair, bound - HEADER_BYTES + 1);
            assert_eq!(pair.hostile(1, packet), Err(Fault::HandshakeTooLong));
            continue;
        }
        let packet = pair.forge(0, PacketType::Control, 0, Flags::NONE, &[1; 500]);
        while bytes + packet.len() <= bound {
            bytes += packet.len();
            assert_eq!(pair.hostile(1, packet.clone()), Ok(Received::Dropped(Dropped::Malformed)));
        }
        assert_eq!(pair.hostile(1, packet), Err(Fault::HandshakeTooLong));
    }
}

#[test]
fn a_stranger_has_so_much_time_and_no_more() {
    for mode in MODES {
        let mut pair = Pair::new([config(mode); 2], GOOD, 0);
        pair.run_ms(15);
        pair.cut = true;
        pair.run_ms(5_000 - 16);
        assert_eq!(pair.ends[1].cause(), None);
        pair.run_ms(1);
        assert_eq!(pair.ends[1].cause(), Some(Cause::Fault(Fault::HandshakeTimeout)));
    }
}

#[test]
fn a_stream_given_up_before_it_is_connected_is_over_at_both_ends() {
    for mode in MODES {
        let mut pair = Pair::new([config(mode); 2], GOOD, 0);
        pair.run_ms(15);
        pair.close(0, Code::None);
        assert_eq!(pair.ends[0].cause(), Some(Cause::Abandoned));
        pair.run_ms(6_000);
        assert!(pair.ends[1].cause().is_some());
    }
}

#[test]
fn a_hello_that_is_lost_is_said_again_when_its_time_comes() {
    let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
    let begin = pair.now;
    pair.cut = true;
    pair.run_ms(4_990);
    let times = pair.ends[0].log.iter().map(|(at, _)| at.ns_since(begin) / MS);
    assert_eq!(times.collect::<Vec<_>>(), [0, 250, 750, 1750, 3750]);
    pair.run_ms(20);
    assert!(pair.ends[0].cause().is_some());
}

#[test]
fn an_initiator_that_is_sent_a_cookie_says_hello_again_with_it() {
    let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
    pair.flush(0);
    let first = pair.ends[0].log[0].1.clone();
    pair.cut = true;
    pair.run_ms(20);
    pair.cut = false;
    let mut retry = vec![op::RETRY; 33];
    retry[1..].fill(0xc0);
    let packet = pair.forge(1, PacketType::Control, 0, Flags::NONE, &retry);
    assert_eq!(pair.hostile(0, packet), Ok(Received::Consumed));
    let second = pair.ends[0].log.last().unwrap().1.clone();
    assert_eq!(second.len(), first.len());
    assert!(second.windows(32).any(|bytes| bytes == [0xc0; 32]));
    pair.run_ms(200);
    assert!(pair.ends.iter().all(|end| end.has(Event::Connected)));
}

#[test]
fn what_overtakes_a_ready_that_was_lost_does_not_end_the_handshake() {
    let mut pair = Pair::new([config(Mode::Datagram); 2], GOOD, 0);
    pair.run_ms(25);
    pair.cut = true;
    pair.run_ms(10);
    pair.cut = false;
    assert!(pair.ends[1].has(Event::Connected) && !pair.ends[0].has(Event::Connected));
    let channels: Vec<u16> = (0..200).map(|_| pair.open(1, 0x10)).collect();
    pair.flush(1);
    assert!(pair.ends[1].sent_bytes > 2 * STREAM_HANDSHAKE_DATAGRAM_BYTES_MAX);
    pair.run_ms(2_000);
    assert_eq!(pair.ends[0].cause(), None);
    assert_eq!(pair.ends[1].writable(), channels);
}
