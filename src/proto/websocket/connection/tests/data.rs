//! Framing, reserved bits, opcodes, fragmentation, UTF-8 and limits.

use super::*;

// W-7: RFC 6455 §5.7, word for word.
#[test]
fn the_golden_frames_are_heard() {
    let unmasked: &[u8] = b"\x81\x05Hello";
    let hello = message(Kind::Text, 1, b"Hello");
    let mut client = Connection::new(Role::Client, false, now());
    assert_eq!(hear(&mut client, &config(), unmasked, 99), std::slice::from_ref(&hello));
    let masked: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(heard(masked), std::slice::from_ref(&hello));
    let fragmented: &[u8] = b"\x01\x03Hel\x80\x02lo";
    let in_two = message(Kind::Text, 2, b"Hello");
    assert_eq!(hear(&mut client, &config(), fragmented, 99), [in_two]);
    assert_eq!(
        hear(&mut client, &config(), b"\x89\x05Hello", 99),
        [Heard::Ping(b"Hello".to_vec())]
    );
    let pong: &[u8] = &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(heard(pong), [Heard::Pong(b"Hello".to_vec())]);
    let (medium, long) = ([7; 256], vec![7; 65_536]);
    let medium_frame = [&[0x82, 0x7e, 0x01, 0x00][..], &medium].concat();
    let long_frame = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &long].concat();
    assert_eq!(
        hear(&mut client, &config(), &[medium_frame, long_frame].concat(), 1000),
        [message(Kind::Binary, 1, &medium), message(Kind::Binary, 1, &long)]
    );
}

#[test]
fn the_golden_frames_are_said() {
    let mut server = server();
    let hello = Piece::whole(Kind::Text, 5);
    assert_eq!(say(&mut server, hello, b"Hello"), b"\x81\x05Hello");
    let begin = Piece { last: false, bytes: 3, ..hello };
    assert_eq!(say(&mut server, begin, b"Hel"), b"\x01\x03Hel");
    let end = Piece { first: false, bytes: 2, ..hello };
    assert_eq!(say(&mut server, end, b"lo"), b"\x80\x02lo");
    let mut client = Connection::new(Role::Client, false, now());
    assert_eq!(
        say(&mut client, hello, b"Hello"),
        [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
    );
}

// Category 1: framing.
#[test]
fn messages_of_every_length_are_heard() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![b'*'; len];
        for (opcode, kind) in [(Opcode::Text, Kind::Text), (Opcode::Binary, Kind::Binary)] {
            let bytes = [frame(true, 0, opcode, &payload), text(b"")].concat();
            let got = heard(&bytes);
            assert_eq!(got, [message(kind, 1, &payload), message(Kind::Text, 1, b"")], "{len}");
        }
    }
}

// Category 3: reserved bits.
#[test]
fn reserved_bits_are_refused_on_every_frame_behind_what_came_before() {
    for rsv in (0x10..=0x70).step_by(0x10) {
        for opcode in [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong, Opcode::Close] {
            let bytes = [text(b"a"), frame(true, rsv, opcode, b""), text(b"b")].concat();
            let got = heard(&bytes);
            let expected = [message(Kind::Text, 1, b"a"), Heard::Fault(Fault::ReservedBits)];
            assert_eq!(got, expected, "{rsv:x} {opcode:?}");
        }
    }
}

// Categories 12 and 13 begin here: what the bit of permessage-deflate may stand on (RFC 7692 §6.1).
#[test]
fn the_bit_of_an_agreed_extension_stands_on_the_first_frame_of_a_message_alone() {
    let taken = frame(true, RSV1, Opcode::Text, b"\xff no text yet");
    let got = heard_with(&config(), true, &taken);
    assert!(matches!(&got[..], [Heard::Message { compressed: true, .. }]), "{got:?}");
    let first = frame(false, RSV1, Opcode::Binary, b"a");
    let cases = [
        [&first[..], &frame(true, RSV1, Opcode::Continuation, b"b")].concat(),
        frame(true, RSV1, Opcode::Ping, b""),
        frame(true, RSV1 | 0x20, Opcode::Text, b""),
        frame(true, 0x10, Opcode::Text, b""),
    ];
    for bytes in cases {
        let got = heard_with(&config(), true, &bytes);
        assert_eq!(got, [Heard::Fault(Fault::ReservedBits)], "{bytes:x?}");
    }
    let more = [&first[..], &frame(true, 0, Opcode::Continuation, b"b")].concat();
    let got = heard_with(&config(), true, &[more, text(b"c")].concat());
    let [Heard::Message { compressed: true, frames: 2, .. }, plain] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(plain, &message(Kind::Text, 1, b"c"));
}

// Category 4: opcodes.
#[test]
fn reserved_opcodes_are_refused() {
    for opcode in (3..8).chain(11..16) {
        let bytes = [&text(b"a")[..], &[0x80 | opcode, 0x80, 0, 0, 0, 0], &text(b"b")].concat();
        let expected = [message(Kind::Text, 1, b"a"), Heard::Fault(Fault::ReservedOpcode)];
        assert_eq!(heard(&bytes), expected);
    }
}

#[test]
fn who_has_to_mask_and_who_must_not() {
    assert_eq!(heard(b"\x81\x00"), [Heard::Fault(Fault::NotMasked)]);
    assert_eq!(heard(b"\x88\x00"), [Heard::Fault(Fault::NotMasked)]);
    let mut client = Connection::new(Role::Client, false, now());
    assert_eq!(hear(&mut client, &config(), &text(b"a"), 99), [Heard::Fault(Fault::Masked)]);
}

// Category 5: fragmentation.
#[test]
fn fragments_are_one_message_with_control_frames_between_them() {
    let parts: [&[u8]; 4] = [b"frag", b"", b"men", b"ts"];
    let pings = (1..4).map(|number: u8| Heard::Ping(number.to_string().into_bytes()));
    let whole = message(Kind::Text, 4, b"fragments");
    assert_eq!(heard(&pieces(Opcode::Text, &parts, false)), std::slice::from_ref(&whole));
    let got = heard(&pieces(Opcode::Text, &parts, true));
    assert_eq!(got, pings.chain([whole]).collect::<Vec<_>>());
    let empty: [&[u8]; 3] = [b"", b"", b""];
    assert_eq!(heard(&pieces(Opcode::Binary, &empty, false)), [message(Kind::Binary, 3, b"")]);
}

#[test]
fn what_continues_nothing_and_what_does_not_wait_for_the_end_is_refused() {
    for fin in [false, true] {
        let lone = frame(fin, 0, Opcode::Continuation, b"more");
        assert_eq!(heard(&lone), [Heard::Fault(Fault::NothingToContinue)]);
        let after = [text(b"a"), lone].concat();
        let expected = [message(Kind::Text, 1, b"a"), Heard::Fault(Fault::NothingToContinue)];
        assert_eq!(heard(&after), expected);
        for opcode in [Opcode::Text, Opcode::Binary] {
            let begun = frame(false, 0, Opcode::Text, b"begun");
            let bytes = [begun, frame(fin, 0, opcode, b"another")].concat();
            assert_eq!(heard(&bytes), [Heard::Fault(Fault::Interleaved)]);
        }
    }
}

// Category 6: UTF-8.
#[test]
fn a_text_is_checked_over_its_fragments_and_a_fault_is_found_in_the_fragment_that_has_it() {
    let good = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{10ffff}".as_bytes();
    for cut in 1..good.len() {
        let parts: Vec<_> = good.chunks(cut).collect();
        let whole = message(Kind::Text, parts.len() as u32, good);
        assert_eq!(heard(&pieces(Opcode::Text, &parts, false)), [whole]);
    }
    let bad: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    assert_eq!(heard(&text(bad)), [Heard::Fault(Fault::Text)]);
    // 6.4: two fragments, of which the first already cannot be; the second never comes.
    let first = frame(false, 0, Opcode::Text, &bad[..13]);
    assert_eq!(heard(&first), [Heard::Fault(Fault::Text)]);
    assert_eq!(heard(&frame(false, 0, Opcode::Text, &bad[..12])), [], "it could still be");
    // Within a frame as well, as soon as the byte is there.
    let mut server = server();
    let part = &text(&[bad, &[b'x'; 200]].concat())[..8 + 13];
    assert_eq!(hear(&mut server, &config(), part, 99), [Heard::Fault(Fault::Text)]);
    assert_eq!(heard(&text(b"\xf0\x9f\x98")), [Heard::Fault(Fault::Text)], "it ends within one");
    assert_eq!(heard(&frame(true, 0, Opcode::Binary, bad)), [message(Kind::Binary, 1, bad)]);
}

#[test]
fn a_long_text_is_checked_part_by_part() {
    let mut long = "€".repeat(20_000).into_bytes();
    let whole = message(Kind::Text, 1, &long);
    assert_eq!(hear(&mut server(), &config(), &text(&long), 1 << 20), [whole]);
    *long.last_mut().unwrap() = b'x';
    assert_eq!(hear(&mut server(), &config(), &text(&long), 1 << 20), [Heard::Fault(Fault::Text)]);
}

#[test]
fn a_compressed_text_is_checked_as_it_is_inflated() {
    let mut end = Connection::new(Role::Server, true, now());
    let mut inflater = Inflater::new(true);
    let mut take = |kind, plain, last| end.take_inflated(&mut inflater, kind, plain, last);
    assert_eq!(take(Kind::Text, b"\xe2\x82", false), Ok(()));
    assert_eq!(take(Kind::Text, b"\xac", true), Ok(()));
    assert_eq!(take(Kind::Binary, b"\xff", true), Ok(()));
    assert_eq!(take(Kind::Text, b"a\xe2", true), Err(Fault::Text));
    assert_eq!(words(&mut end), [close_frame(1007, "text is not UTF-8")]);
    assert!(end.is_over());
}

// Category 9: limits.
#[test]
fn each_limit_holds_and_one_past_it_is_refused_from_the_header_on() {
    let limits = Limits { frame_bytes: 100, message_bytes: 150, fragments: 3 };
    let config = Config { limits, ..config() };
    let full = [&[b'a'; 100][..], &[b'b'; 50]];
    let got = heard_with(&config, false, &pieces(Opcode::Text, &full, false));
    assert_eq!(got, [message(Kind::Text, 2, &full.concat())]);
    let three: [&[u8]; 3] = [b"a", b"", b""];
    let got = heard_with(&config, false, &pieces(Opcode::Text, &three, true));
    assert!(matches!(got.last(), Some(Heard::Message { frames: 3, .. })), "{got:?}");

    let full_of_all = pieces(Opcode::Text, &[&[b'a'; 100], &[b'b'; 50], b""], false);
    let got = heard_with(&config, false, &full_of_all.repeat(3));
    assert!(got.len() == 3 && !got.iter().any(|one| matches!(one, Heard::Fault(_))), "{got:?}");

    let header_of = |bytes: &[u8], len: usize| bytes[..len].to_vec();
    let frame_past = header_of(&text(&[b'a'; 101]), 6);
    assert_eq!(heard_with(&config, false, &frame_past), [Heard::Fault(Fault::FrameTooLarge)]);
    let second = header_of(&frame(true, 0, Opcode::Continuation, &[b'b'; 51]), 6);
    let message_past = [frame(false, 0, Opcode::Text, &[b'a'; 100]), second].concat();
    assert_eq!(heard_with(&config, false, &message_past), [Heard::Fault(Fault::MessageTooLarge)]);
    let four = pieces(Opcode::Text, &[b"", b"", b"", b""], false);
    assert_eq!(heard_with(&config, false, &four), [Heard::Fault(Fault::TooManyFragments)]);
    let huge = [&[0x82, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &KEY].concat();
    assert_eq!(heard(&huge), [Heard::Fault(Fault::FrameTooLarge)]);
}

#[test]
fn lengths_that_add_up_past_every_number_are_too_large() {
    let most = u64::MAX >> 1;
    let limits = Limits { frame_bytes: most, message_bytes: most, fragments: 9 };
    let config = Config { limits, ..config() };
    let mut end = server();
    (end.message, end.message_bytes) = (Some(Kind::Binary), u64::MAX);
    let bytes = frame(true, 0, Opcode::Continuation, b"ab");
    assert_eq!(hear(&mut end, &config, &bytes, 99), [Heard::Fault(Fault::MessageTooLarge)]);
}

#[test]
fn a_compressed_message_may_be_somewhat_longer_on_the_wire_and_no_more() {
    let limits = Limits { frame_bytes: 4096, message_bytes: 800, fragments: 9 };
    let config = Config { limits, ..config() };
    let most = frame(true, RSV1, Opcode::Binary, &[0; 800 + 100 + 1024]);
    assert!(matches!(heard_with(&config, true, &most)[..], [Heard::Message { .. }]));
    let past = frame(true, RSV1, Opcode::Binary, &[0; 800 + 100 + 1025]);
    assert_eq!(heard_with(&config, true, &past), [Heard::Fault(Fault::MessageTooLarge)]);
}
