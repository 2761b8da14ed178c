//! What each rule forbids, at its bound and one past it, on a stream in the clear, where a peer can say
//! anything.

use super::*;
use crate::limits::*;

/// What becomes of a packet on a stream with one channel.
fn outcome(
    packet_type: PacketType,
    channel: u16,
    flags: Flags,
    payload: &[u8],
) -> Result<Received, Fault> {
    let mut settings = plain(Mode::Stream);
    settings.message_bytes_max = 40_000;
    let (mut pair, open) = Pair::with_channel(settings);
    assert_eq!(open, 1);
    let packet = pair.forge(0, packet_type, channel, flags, payload);
    let outcome = pair.hostile(1, packet);
    if let Err(fault) = outcome {
        pair.run_ms(30);
        assert_eq!(pair.ends[1].cause(), Some(Cause::Fault(fault)));
        assert_eq!(pair.ends[0].cause(), Some(Cause::Peer(fault.code())));
        assert_eq!(pair.ends[0].connection.peer_text(), fault.name());
    }
    outcome
}

fn data(flags: Flags, payload: &[u8]) -> Result<Received, Fault> {
    outcome(PacketType::Data, 1, flags, payload)
}

fn control(payload: &[u8]) -> Result<Received, Fault> {
    outcome(PacketType::Control, 0, Flags::NONE, payload)
}

fn fragment(frag_size: u32, offset: u32, full_size: u32, len: usize) -> Vec<u8> {
    let head = Fragment { frag_size, offset, full_size }.encode();
    [&head[..], &vec![0; len]].concat()
}

fn is_data(outcome: Result<Received, Fault>) -> bool {
    matches!(outcome, Ok(Received::Data(_)))
}

#[test]
fn a_packet_is_as_long_as_it_says() {
    for mode in MODES {
        for change in [-1i32, 1] {
            let (mut pair, _) = Pair::with_channel(plain(mode));
            let mut packet = pair.forge(0, PacketType::Data, 1, Flags::NONE, b"hello");
            packet[0] = (5 + change) as u8;
            let expected = match mode {
                Mode::Stream => Err(Fault::PacketLength),
                Mode::Datagram => Ok(Received::Dropped(Dropped::Malformed)),
            };
            assert_eq!(pair.hostile(1, packet), expected);
        }
    }
}

#[test]
fn a_message_in_one_packet_of_the_largest_size_is_taken() {
    assert!(is_data(data(Flags::NONE, &[0; STREAM_PACKET_BYTES_MAX - HEADER_BYTES])));
    assert!(is_data(data(Flags::NONE, &[])));
}

#[test]
fn a_message_of_the_largest_size_is_taken_and_none_past_it() {
    assert!(is_data(data(Flags::FRAGMENTED, &fragment(100, 0, 40_000, 100))));
    let too_large = Err(Fault::MessageTooLarge);
    assert_eq!(data(Flags::FRAGMENTED, &fragment(100, 0, 40_001, 100)), too_large);
    assert!(is_data(data(Flags::COMPRESSED, &[&40_000u32.to_le_bytes()[..], b"x"].concat())));
    let past = [&40_001u32.to_le_bytes()[..], b"x"].concat();
    assert_eq!(data(Flags::COMPRESSED, &past), too_large);
    assert_eq!(data(Flags::COMPRESSED, b"123"), Err(Fault::Compression));
    let piece = [&fragment(104, 0, 500, 0)[..], &past, &[0; 99]].concat();
    assert_eq!(data(Flags::COMPRESSED.with(Flags::FRAGMENTED, true), &piece), too_large);
}

#[test]
fn a_piece_that_is_not_due_is_fatal_on_a_byte_stream() {
    assert_eq!(data(Flags::FRAGMENTED, &fragment(10, 10, 30, 10)), Err(Fault::Fragment));
    assert_eq!(data(Flags::FRAGMENTED, &fragment(10, 0, 30, 9)), Err(Fault::Fragment));
    assert_eq!(data(Flags::FRAGMENTED, &[0; 11]), Err(Fault::PayloadLength));
    let (mut pair, channel) = Pair::with_channel(plain(Mode::Stream));
    let piece = |number: u8, offset| {
        let mut packet = pair.forge(
            0,
            PacketType::Data,
            channel,
            Flags::FRAGMENTED,
            &fragment(10, offset, 30, 10),
        );
        packet[5] = number;
        packet
    };
    let (first, again) = (piece(0, 0), piece(1, 0));
    assert!(is_data(pair.hostile(1, first)));
    assert_eq!(pair.hostile(1, again), Err(Fault::Fragment), "the first was not whole");
}

#[test]
fn the_beginning_of_one_message_is_not_joined_to_the_end_of_another() {
    for config in [config(Mode::Datagram), plain(Mode::Datagram)] {
        let (mut pair, channel) = Pair::with_channel(Config { packet_bytes: 512, ..config });
        pair.cut = true;
        let from = pair.ends[0].log.len();
        pair.say(0, channel, &[1; 900]);
        pair.say(0, channel, &[2; 900]);
        let packets: Vec<_> = pair.ends[0].log[from..].iter().map(|(_, p)| p.clone()).collect();
        assert_eq!(packets.len(), 4);
        assert!(is_data(pair.hostile(1, packets[0].clone())));
        assert_eq!(pair.hostile(1, packets[3].clone()), Ok(Received::Torn { channel }));
        let dump = pair.ends[1].connection.channel(channel).unwrap();
        assert_eq!((dump.statistics.lost, dump.statistics.torn), (2, 1));
    }
}

#[test]
fn what_was_not_agreed_on_is_fatal() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Stream));
    let packet = pair.forge(0, PacketType::Data, channel, Flags::NONE, b"hello");
    assert_eq!(pair.hostile(1, packet), Err(Fault::NotEncrypted));
    let (mut pair, _) = Pair::with_channel(config(Mode::Stream));
    let packet = pair.forge(0, PacketType::Keepalive, 0, Flags::NONE, &[0; 13]);
    assert_eq!(pair.hostile(1, packet), Err(Fault::NotEncrypted));
    assert_eq!(data(Flags::ENCRYPTED, &[0; 30]), Err(Fault::NotAgreed));

    let mut settings = plain(Mode::Stream);
    settings.offer.offers = 0;
    let (mut pair, channel) = Pair::with_channel(settings);
    let packet = pair.forge(0, PacketType::Data, channel, Flags::COMPRESSED, &[0; 8]);
    assert_eq!(pair.hostile(1, packet), Err(Fault::Compression));
}

#[test]
fn a_tag_that_does_not_hold_is_fatal_on_a_byte_stream_and_nothing_over_datagrams() {
    for len in [0, 15, 16, 40] {
        for (mode, expected) in [
            (Mode::Stream, Err(Fault::Forged)),
            (Mode::Datagram, Ok(Received::Dropped(Dropped::Forged))),
        ] {
            for phase in [Flags::NONE, Flags::KEY_PHASE] {
                let (mut pair, channel) = Pair::with_channel(config(mode));
                let flags = Flags::ENCRYPTED.with(phase, true);
                let packet = pair.forge(0, PacketType::Data, channel, flags, &vec![3; len]);
                assert_eq!(pair.hostile(1, packet), expected);
                assert_eq!(pair.ends[1].connection.is_over(), mode == Mode::Stream);
            }
        }
    }
}

#[test]
fn data_of_a_channel_that_is_not_open_is_counted_and_answered_and_no_end() {
    let (mut pair, _) = Pair::with_channel(plain(Mode::Stream));
    let packet = pair.forge(0, PacketType::Data, 77, Flags::NONE, b"late");
    assert_eq!(pair.hostile(1, packet), Ok(Received::Dropped(Dropped::Unknown)));
    pair.run_ms(30);
    assert!(pair.ends[0].has(Event::ChannelError { channel: 77, code: Code::UnknownChannel }));
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
    assert_eq!(pair.ends[1].connection.statistics().unknown, 1);
}

#[test]
fn channels_past_the_bound_or_of_unknown_types_are_refused() {
    for config in configs() {
        let settings = Config { channels_max: 3, ..config };
        let mut pair = Pair::new([config, settings], GOOD, 0);
        pair.run_ms(100);
        let channels: Vec<u16> = (0..4).map(|_| pair.open(0, 0x10)).collect();
        pair.run_ms(50);
        assert_eq!(pair.ends[1].writable(), channels[..3]);
        let [.., last] = channels[..] else { panic!() };
        let refused = |channel, code| Event::ChannelRefused { channel, code };
        assert!(pair.ends[0].has(refused(last, Code::Limit)));
        assert_eq!(pair.ends[1].connection.open_channel(pair.now, 1, false), Err(Refused::TooMany));
        pair.shut(0, channels[0]);
        pair.shut(1, channels[0]);
        pair.run_ms(50);
        let unknown = pair.open(0, 0x11);
        pair.run_ms(50);
        assert!(pair.ends[0].has(refused(unknown, Code::Refused)));
        let known = pair.open(0, 0x04);
        pair.run_ms(50);
        assert!(pair.ends[1].writable().contains(&known));
    }
}

#[test]
fn each_end_opens_its_own_numbers() {
    let open = |ch: u8| [op::OPEN, ch, 0, 1, 0, 0, 0, 0x10, 0, 64, 0, 0, 0];
    assert_eq!(control(&open(2)), Err(Fault::ChannelNumber));
    assert_eq!(control(&open(1)), Err(Fault::ChannelNumber), "it is open");
    assert_eq!(control(&open(3)), Ok(Received::Consumed));
    assert_eq!(control(&open(0)), Err(Fault::ChannelNumber));
}

#[test]
fn words_that_cannot_be_are_fatal_on_a_byte_stream() {
    let word = |op: u8, incarnation: u8, rest: &[u8]| {
        control(&[&[op, 1, 0, incarnation, 0, 0, 0][..], rest].concat())
    };
    let fatal = Err(Fault::Control);
    assert_eq!(word(op::OPENED, 1, &[1, 0, 0, 0, 1, 0, 0, 0]), fatal, "the initiator opened it");
    assert_eq!(word(op::REFUSED, 1, &[1, 0]), fatal);
    assert_eq!(word(op::SHUT, 1, &[1, 0, 0, 0]), fatal, "no packet came");
    assert_eq!(word(op::SHUT, 2, &[0, 0, 0, 0]), fatal, "there is no such incarnation");
    assert_eq!(word(op::BLOCKED, 1, &[65, 0, 0, 0]), Err(Fault::Flow));
    assert_eq!(word(op::BLOCKED, 1, &[64, 0, 0, 0]), Ok(Received::Consumed));
    assert_eq!(word(op::SHUT, 1, &[0, 0, 0, 0]), Ok(Received::Consumed));
    assert_eq!(word(op::CREDIT, 2, &[0; 8]), Ok(Received::Consumed), "it may have been under way");
    assert_eq!(word(op::GONE, 1, &[]), fatal, "a channel ends with SHUT");
    assert_eq!(word(op::GONE, 2, &[]), fatal, "nothing was said of that one");
    assert_eq!(control(&[op::HELLO; 256]), fatal, "once is enough");
}

#[test]
fn data_behind_the_end_of_its_channel_or_stream_is_fatal() {
    let (mut pair, channel) = Pair::with_channel(plain(Mode::Stream));
    let packet = pair.forge(0, PacketType::Data, channel, Flags::NONE, b"more");
    pair.shut(0, channel);
    pair.run_ms(30);
    assert_eq!(pair.hostile(1, packet), Err(Fault::ChannelEnded));
    let (mut pair, channel) = Pair::with_channel(plain(Mode::Stream));
    let packet = pair.forge(0, PacketType::Data, channel, Flags::NONE, b"more");
    pair.close(0, Code::None);
    pair.run_ms(30);
    assert_eq!(pair.hostile(1, packet), Err(Fault::ChannelEnded));
}

#[test]
fn requests_without_end_are_held_back_and_then_fatal() {
    let (mut pair, _) = Pair::with_channel(plain(Mode::Stream));
    for number in 0..=STREAM_ANSWERS_MAX {
        assert_eq!(pair.ends[1].connection.may_receive(), number < STREAM_ANSWERS_MAX);
        let mut packet = pair.forge(0, PacketType::Data, 77, Flags::NONE, b"");
        packet[5] = number as u8;
        let now = pair.now;
        let outcome = pair.ends[1].connection.handle_packet(now, &mut packet);
        assert_eq!(outcome.is_err(), number == STREAM_ANSWERS_MAX);
    }
    pair.run_ms(30);
    assert_eq!(pair.ends[1].cause(), Some(Cause::Fault(Fault::Answers)));
}

#[test]
#[should_panic(expected = "sent in order")]
fn pieces_are_sent_in_order() {
    let (mut pair, channel) = Pair::with_channel(config(Mode::Stream));
    let piece = pair.ends[0].connection.pieces(40_000).nth(1).unwrap();
    let len = piece.len as usize;
    let mut room = vec![0; HEADROOM_BYTES + len + TAILROOM_BYTES];
    let place = HEADROOM_BYTES..HEADROOM_BYTES + len;
    _ = pair.ends[0].connection.seal(pair.now, channel, piece, false, &mut room, place);
}
