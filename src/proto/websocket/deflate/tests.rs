//! The examples of the RFC, both directions against each other, and against a decoder of twenty lines a block.

mod plain;

use proptest::prelude::*;

use super::*;
use plain::Plain;

/// One message out of a compressor, with so much room at a time.
fn deflate(deflater: &mut Deflater, message: &[u8], cut: usize, room: usize) -> Vec<u8> {
    let (mut out, mut wire, mut at) = (vec![0; room], Vec::new(), 0);
    loop {
        let end = message.len().min(at + cut);
        let last = end == message.len();
        let progress = deflater.deflate(&message[at..end], last, &mut out);
        wire.extend_from_slice(&out[..progress.written]);
        at += progress.consumed;
        if progress.done && last {
            return wire;
        }
    }
}

/// One message into a decompressor.
fn inflate_to(
    inflater: &mut Inflater,
    most: u64,
    wire: &[u8],
    cut: usize,
    room: usize,
) -> Result<Vec<u8>, Fault> {
    let (mut out, mut message, mut at) = (vec![0; room], Vec::new(), 0);
    loop {
        let end = wire.len().min(at + cut);
        let last = end == wire.len();
        let progress = inflater.inflate(most, &wire[at..end], last, &mut out)?;
        message.extend_from_slice(&out[..progress.written]);
        at += progress.consumed;
        if progress.done && last {
            return Ok(message);
        }
    }
}

fn inflate(inflater: &mut Inflater, wire: &[u8]) -> Result<Vec<u8>, Fault> {
    inflate_to(inflater, 1 << 20, wire, usize::MAX / 2, 4096)
}

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];

// W-7: RFC 7692 §7.2.3.1 and §7.2.3.2.
#[test]
fn the_golden_messages_are_read_with_the_window_and_without() {
    let mut inflater = Inflater::new(false);
    assert_eq!(inflate(&mut inflater, HELLO), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut inflater, HELLO_AGAIN), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut inflater, HELLO), Ok(b"Hello".to_vec()));
    let mut afresh = Inflater::new(true);
    assert_eq!(inflate(&mut afresh, HELLO), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut afresh, HELLO), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut afresh, HELLO_AGAIN), Err(Fault::Deflate), "the window is gone");
}

// §7.2.3.3, §7.2.3.4, §7.2.3.5, §7.2.3.6.
#[test]
fn the_other_golden_messages_are_read_too() {
    let stored: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let final_block: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks: &[u8] =
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for wire in [stored, final_block, two_blocks] {
        for cut in 1..=wire.len() {
            for room in 1..8 {
                let mut inflater = Inflater::new(false);
                for _ in 0..2 {
                    let got = inflate_to(&mut inflater, 5, wire, cut, room);
                    assert_eq!(got, Ok(b"Hello".to_vec()), "{wire:x?} {cut} {room}");
                }
                assert_eq!(inflate(&mut inflater, &[0]), Ok(vec![]), "an empty one");
                assert_eq!(inflate(&mut inflater, HELLO), Ok(b"Hello".to_vec()));
            }
        }
    }
}

#[test]
fn the_golden_messages_are_written() {
    let mut deflater = Deflater::new(15, false, 6);
    assert_eq!(deflate(&mut deflater, b"Hello", 99, 64), HELLO);
    assert_eq!(deflate(&mut deflater, b"Hello", 99, 64), HELLO_AGAIN);
    let mut afresh = Deflater::new(15, true, 6);
    assert_eq!(deflate(&mut afresh, b"Hello", 99, 64), HELLO);
    assert_eq!(deflate(&mut afresh, b"Hello", 99, 64), HELLO);
}

#[test]
fn an_empty_message_is_one_byte_each_time() {
    for no_context_takeover in [false, true] {
        let mut deflater = Deflater::new(15, no_context_takeover, 1);
        let mut inflater = Inflater::new(no_context_takeover);
        for message in [&b""[..], b"", b"a", b"", b""] {
            let wire = deflate(&mut deflater, message, 99, 64);
            assert!(!message.is_empty() || wire == [0], "{wire:x?}");
            assert_eq!(inflate(&mut inflater, &wire).as_deref(), Ok(message));
        }
    }
}

#[test]
fn a_message_may_be_as_large_as_is_allowed_and_no_larger() {
    let message = vec![b'x'; 100_000];
    let wire = deflate(&mut Deflater::new(15, true, 1), &message, 1 << 20, 4096);
    assert!(wire.len() < 1000, "{}", wire.len());
    for room in [1, 100, 4096, 200_000] {
        let mut inflater = Inflater::new(false);
        let got = inflate_to(&mut inflater, 100_000, &wire, 1 << 20, room);
        assert_eq!(got.map(|got| got.len()), Ok(100_000), "{room}");
        let past = inflate_to(&mut inflater, 99_999, &wire, 1 << 20, room);
        assert_eq!(past, Err(Fault::MessageTooLarge), "{room}");
        inflater.reset();
        assert!(inflate_to(&mut inflater, 100_000, &wire, 1 << 20, room).is_ok());
        assert_eq!(inflate_to(&mut inflater, u64::MAX - 1, &wire, 7, room), Ok(message.clone()));
    }
}

#[test]
fn no_more_than_a_byte_is_made_of_a_bomb_beyond_what_is_allowed() {
    let wire = deflate(&mut Deflater::new(15, true, 9), &vec![0; 1 << 24], 1 << 24, 1 << 16);
    let mut inflater = Inflater::new(true);
    let mut out = vec![0; 1 << 20];
    assert_eq!(inflater.inflate(1000, &wire, true, &mut out), Err(Fault::MessageTooLarge));
    assert_eq!(inflater.inflate.total_out(), 1001);
}

#[test]
fn what_is_not_compressed_is_a_fault() {
    for wire in [&b"\xff\xff"[..], b"\x06", b"\x01\x05\x00\x00\x00Hello"] {
        assert_eq!(inflate(&mut Inflater::new(false), wire), Err(Fault::Deflate), "{wire:x?}");
    }
}

/// Noise whose every part comes again after `distance` bytes.
fn repeated(distance: usize, bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let noise: Vec<u8> = (0..distance)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    noise.into_iter().cycle().take(bytes).collect()
}

// W-7: RFC 7692 §7.1.2.
#[test]
fn a_window_that_was_agreed_on_is_kept_to_at_every_level() {
    for bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
        for level in [1, 6, 9] {
            let mut deflater = Deflater::new(bits, false, level);
            let (mut plain, mut farthest) = (Plain::new(), 0);
            // Distances within the window, at its edge and past it; then text.
            let window = 1usize << bits;
            let texts = "some words that come again and again ".repeat(300).into_bytes();
            for distance in
                [100, window / 2, window.saturating_sub(262).max(1), window - 1, window, window + 1]
            {
                let message = [repeated(distance, 4 * window), texts.clone()].concat();
                let wire = deflate(&mut deflater, &message, 5000, 3000);
                let got = plain.message(&wire);
                assert!(got == message, "bits {bits} level {level} distance {distance}");
                farthest = farthest.max(plain.farthest);
                assert!(plain.farthest <= window, "{} with {bits} bits", plain.farthest);
            }
            // It is used as well.
            let least = if bits == WINDOW_BITS_MIN { 1 } else { window / 4 };
            assert!(farthest >= least, "{farthest} with {bits} bits at level {level}");
        }
    }
}

fn some_message() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        ("[a-c]{1,9}", 1usize..300).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

#[test]
fn after_a_reset_nothing_before_it_is_referred_to_wherever_it_came() {
    let message = b"round and round ".repeat(40);
    let mut fresh = Deflater::new(15, false, 6);
    let expected = deflate(&mut fresh, &message, usize::MAX / 2, 4096);
    assert_ne!(deflate(&mut fresh, &message, usize::MAX / 2, 4096), expected, "it refers back");
    let mut deflater = Deflater::new(15, false, 6);
    for before in 0..4 {
        let mut out = [0; 4096];
        match before {
            0 => {}
            1 => _ = deflater.deflate(&message, false, &mut out),
            // Cut off for want of room.
            2 => assert!(!deflater.deflate(&message, true, &mut out[..16]).done),
            _ => assert!(deflater.deflate(&message, true, &mut out).done),
        }
        deflater.reset();
        assert_eq!(deflate(&mut deflater, &message, usize::MAX / 2, 4096), expected, "{before}");
        deflater.reset();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // W-7
    #[test]
    fn messages_come_back_however_they_are_cut(
        messages in prop::collection::vec(some_message(), 1..5),
        no_context_takeover: bool,
        bits in 8u8..16,
        level in 0u8..10,
        (cut, room) in (1usize..3000, DEFLATE_ROOM_BYTES_MIN..3000),
        (cut_in, room_in) in (1usize..3000, 1usize..3000),
    ) {
        let mut deflater = Deflater::new(bits, no_context_takeover, level);
        let mut inflater = Inflater::new(no_context_takeover);
        let mut plain = Plain::new();
        for message in messages {
            let wire = deflate(&mut deflater, &message, cut, room);
            prop_assert!(wire.len() < message.len() + message.len() / 8 + 1024);
            if no_context_takeover {
                plain = Plain::new();
            }
            prop_assert!(plain.message(&wire) == message);
            let most = message.len() as u64;
            prop_assert!(inflate_to(&mut inflater, most, &wire, cut_in, room_in) == Ok(message));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_the_same_however_they_are_cut(
        wire in prop::collection::vec(any::<u8>(), 0..100),
        first in 0u8..3,
        (cut, room) in (1usize..20, 1usize..200),
    ) {
        let wire = [&[first << 1], &wire[..]].concat();
        let whole = inflate(&mut Inflater::new(false), &wire);
        let cut = inflate_to(&mut Inflater::new(false), 1 << 20, &wire, cut, room);
        prop_assert_eq!(cut, whole);
    }
}
