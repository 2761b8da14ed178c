//! Ends of channels and of the stream (D-11).

use super::*;
use crate::limits::*;

#[test]
fn a_channel_ends_when_both_have_said_all() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        pair.say(0, channel, b"all that I have");
        pair.shut(0, channel);
        pair.run_ms(30);
        assert!(pair.ends[1].has(Event::ChannelShut { channel }));
        assert_eq!(pair.ends[1].messages(channel), [b"all that I have"]);
        pair.say(1, channel, b"and what I have");
        pair.run_ms(30);
        assert_eq!(pair.ends[0].messages(channel), [b"and what I have"]);
        pair.shut(1, channel);
        pair.run_ms(30);
        for end in &pair.ends {
            assert!(end.has(Event::ChannelClosed { channel }));
            assert!(end.connection.channel(channel).is_none());
        }
    }
}

#[test]
fn a_channel_that_both_shut_at_once_ends() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        pair.shut(0, channel);
        pair.shut(1, channel);
        pair.run_ms(30);
        assert!(pair.ends.iter().all(|end| end.has(Event::ChannelClosed { channel })));
    }
}

#[test]
fn a_channel_whose_last_words_are_lost_ends_all_the_same() {
    for lost in 0..40 {
        let (mut pair, channel) = Pair::with_channel(config(Mode::Datagram));
        pair.shut(0, channel);
        pair.run_ms(lost);
        pair.cut = true;
        pair.shut(1, channel);
        pair.run_ms(25);
        pair.cut = false;
        pair.run_ms(9_000);
        for end in &pair.ends {
            assert!(end.has(Event::ChannelClosed { channel }), "{lost}: {:?}", end.events);
            assert!(end.cause().is_none());
        }
    }
}

#[test]
fn a_channel_closed_before_it_is_open_is_shut_as_soon_as_it_is() {
    for config in configs() {
        let mut pair = Pair::connected(config);
        let channel = pair.open(0, 0x10);
        pair.ends[0].connection.close_channel(channel).unwrap();
        assert_eq!(pair.ends[0].connection.close_channel(channel), Err(Refused::NotOpen));
        pair.run_ms(60);
        assert!(pair.ends[1].has(Event::ChannelShut { channel }));
        pair.shut(1, channel);
        pair.run_ms(30);
        assert!(pair.ends.iter().all(|end| end.has(Event::ChannelClosed { channel })));
    }
}

#[test]
fn a_number_comes_back_with_another_incarnation_and_other_keys() {
    let mut settings = config(Mode::Stream);
    settings.channels_max = 1;
    let mut pair = Pair::connected(settings);
    for round in 0..3 {
        let channel = pair.open(0, 0x10);
        assert_eq!(channel, 1 + 2 * round);
        pair.run_ms(30);
        pair.say(0, channel, b"hello");
        assert_eq!(pair.ends[0].connection.channel(channel).unwrap().incarnation, round as u32 + 1);
        pair.shut(0, channel);
        pair.shut(1, channel);
        pair.run_ms(30);
    }
}

#[test]
fn a_stream_is_closed_when_both_have_said_all() {
    for config in configs() {
        for first in 0..2 {
            let (mut pair, channel) = Pair::with_channel(config);
            let second = 1 - first;
            pair.say(first, channel, b"the last");
            pair.close(first, Code::None);
            assert!(!pair.ends[first].connection.is_open());
            let opened = pair.ends[first].connection.open_channel(pair.now, 1, false);
            assert_eq!(opened, Err(Refused::NotConnected));
            pair.run_ms(30);
            assert!(pair.ends[second].has(Event::Closing { code: Code::None }));
            assert_eq!(pair.ends[second].connection.peer_text(), "enough");
            assert_eq!(pair.ends[second].messages(channel), [b"the last"]);
            pair.say(second, channel, b"what was left");
            pair.close(second, Code::Limit);
            assert_eq!(pair.ends[second].cause(), Some(Cause::Closed(Code::None)));
            pair.run_ms(30);
            assert_eq!(pair.ends[first].messages(channel), [b"what was left"]);
            assert_eq!(pair.ends[first].cause(), Some(Cause::Closed(Code::Limit)));
            assert!(pair.ends.iter().all(|end| end.connection.poll_timeout().is_none()));
        }
    }
}

#[test]
fn two_ends_that_close_at_once_are_closed() {
    for config in configs() {
        let (mut pair, _) = Pair::with_channel(config);
        pair.close(0, Code::None);
        pair.close(1, Code::None);
        pair.run_ms(30);
        assert!(pair.ends.iter().all(|end| end.cause() == Some(Cause::Closed(Code::None))));
    }
}

#[test]
fn a_close_over_datagrams_is_said_three_times_at_most() {
    let (mut pair, _) = Pair::with_channel(config(Mode::Datagram));
    pair.cut = true;
    let from = pair.ends[0].log.len();
    pair.close(0, Code::None);
    pair.run_ms(6_000);
    let headers = pair.headers(0, from);
    let closes = headers.iter().filter(|header| header.packet_type == PacketType::Close);
    assert_eq!(closes.count() as u32, STREAM_CLOSE_TRIES_MAX);
    assert_eq!(pair.ends[0].cause(), Some(Cause::Fault(Fault::CloseTimeout)));
}

#[test]
fn a_peer_that_does_not_end_what_it_says_is_cut_off() {
    let (mut pair, _) = Pair::with_channel(config(Mode::Stream));
    pair.close(0, Code::None);
    pair.run_ms(4_900);
    assert_eq!(pair.ends[0].cause(), None);
    pair.run_ms(200);
    assert_eq!(pair.ends[0].cause(), Some(Cause::Fault(Fault::CloseTimeout)));
    assert_eq!(pair.ends[1].cause(), Some(Cause::Peer(Code::Timeout)));
}

#[test]
fn a_text_of_any_length_is_said_as_far_as_it_fits() {
    for (len, said) in [(256, 256), (257, 256)] {
        let (mut pair, _) = Pair::with_channel(config(Mode::Stream));
        let now = pair.now;
        pair.ends[0].connection.close(now, Code::None, &"x".repeat(len));
        pair.run_ms(30);
        assert_eq!(pair.ends[1].connection.peer_text().len(), said);
    }
}

#[test]
fn an_error_of_the_stream_ends_it_and_one_of_a_channel_does_not() {
    for config in [plain(Mode::Stream), plain(Mode::Datagram)] {
        let (mut pair, channel) = Pair::with_channel(config);
        let error = |ch: u16| [&[8, 0, ch as u8, 0][..], b"oh"].concat();
        let packet = pair.forge(0, PacketType::Error, 0, Flags::NONE, &error(channel));
        assert_eq!(pair.hostile(1, packet), Ok(Received::Consumed));
        assert!(pair.ends[1].has(Event::ChannelError { channel, code: Code::UnknownChannel }));
        assert!(pair.ends[1].connection.is_open());
        let mut packet = pair.forge(0, PacketType::Error, 0, Flags::NONE, &error(0));
        packet[5] += 1;
        assert_eq!(pair.hostile(1, packet.clone()), Ok(Received::Consumed));
        assert_eq!(pair.ends[1].cause(), Some(Cause::Peer(Code::UnknownChannel)));
        assert_eq!(pair.ends[1].connection.peer_text(), "oh");
        assert_eq!(pair.hostile(1, packet), Ok(Received::Dropped(Dropped::Over)));
    }
}
