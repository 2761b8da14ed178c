use proptest::prelude::*;

use super::*;

/// A clock that goes on by so many nanoseconds each time it is read.
fn ticking(step_ns: u64) -> impl FnMut() -> Instant {
    let mut now_ns = 0;
    move || {
        now_ns += step_ns;
        Instant::from_ns(now_ns)
    }
}

fn text(bytes: usize) -> Vec<u8> {
    b"words that come again, and words that come again "
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// A channel with what it needs.
struct Bed {
    compressor: Compressor,
    tables: Tables,
    out: Vec<u8>,
    tried: u64,
}

impl Bed {
    fn new(ns_per_byte_max: u64) -> Self {
        let (compressor, tables) = (Compressor::new(ns_per_byte_max), Tables::new());
        Self { compressor, tables, out: vec![0; room_bytes(200_000)], tried: 0 }
    }

    /// Sends one message; whether it was compressed. `tried` counts those that took time.
    fn send(&mut self, message: &[u8], took_ns: u64) -> bool {
        let mut clock = ticking(took_ns);
        let (tried, out) = (&mut self.tried, &mut self.out);
        let mut reads = 0;
        let count = || {
            reads += 1;
            clock()
        };
        let compressed = self.compressor.compress(&mut self.tables, message, out, count);
        *tried += u64::from(reads > 0);
        if let Some(bytes) = compressed {
            let mut original = vec![0; message.len()];
            let size = decompress(&self.out[..bytes], message.len(), &mut original);
            assert!(size == Ok(message.len()) && original == message);
        }
        compressed.is_some()
    }
}

#[test]
fn what_has_repetitions_is_compressed_and_comes_back() {
    let mut bed = Bed::new(u64::MAX);
    for bytes in [128, 1400, 16_384, 65_534, 65_535, 65_536, 200_000] {
        assert!(bed.send(&text(bytes), 1), "{bytes}");
    }
}

#[test]
fn a_short_message_is_never_compressed() {
    let mut bed = Bed::new(u64::MAX);
    assert!(!bed.send(&text(STREAM_COMPRESS_BYTES_MIN - 1), 1));
    assert!(!bed.send(&[], 1));
    assert_eq!(bed.tried, 0);
}

#[test]
fn what_saves_less_than_a_sixteenth_goes_plain() {
    let mut bed = Bed::new(u64::MAX);
    // A part of the message that has repetitions, and noise.
    let message = |part| [text(part), noise(4096 - part, 3)].concat();
    assert!(bed.send(&message(512), 1));
    assert!(!bed.send(&message(200), 1));
}

#[test]
fn a_channel_of_noise_is_tried_less_and_less() {
    let mut bed = Bed::new(u64::MAX);
    let message = noise(1400, 1);
    let mut tried_in = |messages| {
        let before = bed.tried;
        (0..messages).for_each(|_| assert!(!bed.send(&message, 1)));
        bed.tried - before
    };
    assert_eq!(tried_in(8), 8);
    assert_eq!(tried_in(8 * STREAM_COMPRESS_REST_MIN), 0);
    assert_eq!(tried_in(8), 8);
    assert_eq!(tried_in(16 * STREAM_COMPRESS_REST_MIN), 0);
    assert_eq!(tried_in(8), 8);
    // At last one in so many, and a few for where the count begins.
    tried_in(100_000);
    assert!(tried_in(8 * STREAM_COMPRESS_REST_MAX) <= 8);
}

#[test]
fn a_channel_that_turns_to_text_is_found_and_stays_compressed() {
    let mut bed = Bed::new(u64::MAX);
    for _ in 0..1000 {
        bed.send(&noise(1400, 2), 1);
    }
    let message = text(1400);
    let plain = (0..100_000).take_while(|_| !bed.send(&message, 1)).count();
    assert!(plain < 8 * STREAM_COMPRESS_REST_MAX as usize, "{plain}");
    assert!((0..1000).all(|_| bed.send(&message, 1)));
    // Backing off begins anew.
    let mut tries = 0;
    for _ in 0..16 {
        let before = bed.tried;
        bed.send(&noise(1400, 2), 1);
        tries += bed.tried - before;
    }
    assert!(tries <= 16);
    assert_eq!(bed.compressor.rest_share, 2 * STREAM_COMPRESS_REST_MIN);
}

#[test]
fn what_takes_longer_to_compress_than_to_send_is_sent_plain() {
    // 1400 bytes of which some 1300 are saved in 20 µs: about 15 ns each.
    let (mut slow, mut fast, message) = (Bed::new(8), Bed::new(30), text(1400));
    for _ in 0..STREAM_COMPRESS_WINDOW.0 {
        assert!(slow.send(&message, 20_000) && fast.send(&message, 20_000));
    }
    assert!(!slow.send(&message, 20_000) && fast.send(&message, 20_000));
}

#[test]
fn while_it_pays_the_clock_is_read_for_one_message_in_a_window() {
    let (mut bed, message) = (Bed::new(u64::MAX), text(1400));
    (0..8).for_each(|_| _ = bed.send(&message, 1));
    let before = bed.tried;
    (0..800).for_each(|_| _ = bed.send(&message, 1));
    assert_eq!(bed.tried - before, 100);
}

#[test]
fn of_a_long_message_only_a_sample_is_tried_in_vain() {
    let (mut bed, message) = (Bed::new(u64::MAX), noise(200_000, 4));
    assert!(!bed.send(&message, 1));
    assert_eq!(bed.compressor.window.bytes, STREAM_COMPRESS_SAMPLE_BYTES as u64);
}

#[test]
fn a_message_without_room_goes_plain() {
    let (mut compressor, mut tables) = (Compressor::default(), Tables::default());
    let mut out = vec![0; room_bytes(1400) - 1];
    assert_eq!(compressor.compress(&mut tables, &text(1400), &mut out, ticking(1)), None);
}

#[test]
fn nothing_is_larger_than_the_cap_or_the_room_says() {
    let mut bed = Bed::new(u64::MAX);
    assert!(bed.send(&text(1400), 1));
    let mut out = vec![0xee; 1400];
    assert_eq!(decompress(&bed.out, 1399, &mut out), Err(CompressFault::TooLarge));
    assert_eq!(decompress(&bed.out, 1400, &mut out[..1399]), Err(CompressFault::TooLarge));
    assert!(out.iter().all(|&byte| byte == 0xee), "memory was touched");
}

#[test]
fn a_size_that_no_block_of_its_length_has_is_refused_before_there_is_memory() {
    let payload = [0xff, 0xff, 0xff, 0x7f, 0x1f, b'a', 1, 0, 255, 255];
    assert_eq!(original_bytes(&payload, usize::MAX), Err(CompressFault::Garbage));
    assert_eq!(original_bytes(&payload, 1 << 20), Err(CompressFault::TooLarge));
}

#[test]
fn a_block_of_another_size_than_was_said_is_refused() {
    let mut bed = Bed::new(u64::MAX);
    let message = text(1400);
    let (compressor, tables) = (&mut bed.compressor, &mut bed.tables);
    let bytes = compressor.compress(tables, &message, &mut bed.out, ticking(1)).unwrap();
    let mut out = vec![0; 2000];
    for said in [0u32, 1, 1399, 1401, 2000] {
        bed.out[..4].copy_from_slice(&said.to_le_bytes());
        let fault = decompress(&bed.out[..bytes], 2000, &mut out);
        assert_eq!(fault, Err(CompressFault::Garbage), "{said}");
    }
}

#[test]
fn a_payload_without_a_block_is_refused() {
    for payload in [&[][..], &[1, 0, 0]] {
        assert_eq!(decompress(payload, 100, &mut [0; 100]), Err(CompressFault::Truncated));
    }
    assert_eq!(decompress(&[1, 0, 0, 0], 100, &mut [0; 100]), Err(CompressFault::Garbage));
}

#[test]
fn a_match_before_the_beginning_reads_nothing_of_who_was_there_before() {
    // One literal, then 20 bytes from 2 before.
    let payload = [26, 0, 0, 0, 0x1f, b'a', 2, 0, 1, 0x50, b'a', b'b', b'c', b'd', b'e'];
    assert_eq!(decompress(&payload, 100, &mut [7; 100]), Err(CompressFault::Garbage));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_give_what_they_say(
        size in 0u32..400,
        block in prop::collection::vec(prop_oneof![0u8..4, 0x10u8..0x20, Just(255), any::<u8>()], 0..80),
    ) {
        let payload = [&size.to_le_bytes()[..], &block].concat();
        let mut out = [0; 400];
        if let Ok(bytes) = decompress(&payload, 400, &mut out) {
            prop_assert_eq!(bytes, size as usize);
        }
    }

    #[test]
    fn a_byte_changed_never_gives_another_length(
        at in any::<prop::sample::Index>(),
        to: u8,
        seed: u64,
    ) {
        let message = [text(700), noise(300, seed), text(400)].concat();
        let (mut tables, mut out) = (Tables::new(), vec![0; room_bytes(1400)]);
        let bytes = Compressor::default().compress(&mut tables, &message, &mut out, ticking(0));
        let mut payload = out[..bytes.unwrap()].to_vec();
        let at = at.index(payload.len());
        payload[at] = to;
        if let Ok(bytes) = decompress(&payload, 1400, &mut out) {
            prop_assert_eq!(bytes, 1400);
        }
    }
}
