//! Compressed messages of a stream: what LZ4 does with text, JSON and noise, and what trying costs a
//! channel whose messages cannot be compressed. Each round seals the same messages twice, plain and
//! through a compressor, one right after the other, so that both see the same machine.

use std::hint::black_box;
use std::time::Duration;

use ringway::proto::stream::compress::{Compressor, Tables, decompress, room_bytes};
use ringway::proto::stream::secure::aead::Sealer;
use ringway::time::Clock;

/// Rounds of which the median is printed.
const ROUNDS: usize = 31;

/// Bytes of messages in a round.
const ROUND_BYTES: usize = 16 << 20;

/// Most bytes of a packet that are sealed at once.
const PACKET_BYTES: usize = 16_356;

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Words in an order without a pattern.
fn text(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 32] = [
        "the", "a", "packet", "buffer", "of", "ring", "channel", "is", "sent", "to", "and", "with",
        "stream", "node", "key", "epoch", "which", "that", "core", "memory", "was", "by", "one",
        "message", "window", "credit", "for", "in", "handler", "queue", "burst", "poll",
    ];
    let picks = noise(bytes);
    let words =
        picks.iter().flat_map(|pick| [WORDS[usize::from(pick % 32)], " "].concat().into_bytes());
    words.take(bytes).collect()
}

fn json(bytes: usize) -> Vec<u8> {
    let picks = noise(bytes);
    let row = |(id, pick): (usize, &u8)| {
        format!("{{\"id\": {id}, \"name\": \"user{pick}\", \"active\": {}}},\n", pick % 2 == 0)
    };
    picks.iter().enumerate().flat_map(|pick| row(pick).into_bytes()).take(bytes).collect()
}

/// The times of some rounds, each of two things one right after the other, in nanoseconds.
fn rounds(clock: Clock, mut one: impl FnMut(), mut other: impl FnMut()) -> Vec<(u64, u64)> {
    let time = |work: &mut dyn FnMut()| {
        let began = clock.now();
        work();
        clock.now().ns_since(began).max(1)
    };
    let round = |at: usize| match at % 2 {
        0 => (time(&mut one), time(&mut other)),
        _ => {
            let second = time(&mut other);
            (time(&mut one), second)
        }
    };
    (0..ROUNDS).map(round).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn seal_all(sealer: &Sealer, counter: &mut u64, message: &mut [u8]) {
    for packet in message.chunks_mut(PACKET_BYTES) {
        *counter += 1;
        black_box(sealer.seal(*counter, &[1; 12], packet));
    }
}

/// Both ways of the codec alone.
fn codec(clock: Clock, name: &str, message: &[u8]) {
    let (mut tables, mut out) = (Tables::new(), vec![0; room_bytes(message.len())]);
    let mut back = vec![0; message.len()];
    let mut compressor = Compressor::new(u64::MAX);
    let standing = || clock.now();
    let Some(bytes) = compressor.compress(&mut tables, message, &mut out, standing) else {
        return println!("{name:>6} {:>6}: goes plain", message.len());
    };
    let (payload, count) = (out[..bytes].to_vec(), ROUND_BYTES / 8 / message.len());
    let times = rounds(
        clock,
        || {
            (0..count).for_each(|_| {
                _ = black_box(compressor.compress(&mut tables, message, &mut out, standing))
            })
        },
        || (0..count).for_each(|_| _ = black_box(decompress(&payload, message.len(), &mut back))),
    );
    let rate = |ns: u64| (count * message.len()) as f64 / ns as f64;
    let (there, back) =
        (median(times.iter().map(|t| rate(t.0))), median(times.iter().map(|t| rate(t.1))));
    let ratio = message.len() as f64 / bytes as f64;
    println!(
        "{name:>6} {:>6}: compress {there:5.2} GB/s, decompress {back:5.2} GB/s, ratio {ratio:.2}",
        message.len()
    );
}

/// What trying costs where it is in vain.
fn in_vain(clock: Clock, message_bytes: usize) {
    let (sealer, message) = (Sealer::new(&[7; 32], [0; 4]), noise(message_bytes));
    let (mut tables, mut out) = (Tables::new(), vec![0; room_bytes(message_bytes)]);
    let (mut plain, mut tried) = (message.clone(), message.clone());
    let (mut one, mut other) = (0, 0);
    let mut compressor = Compressor::default();
    let count = ROUND_BYTES / message_bytes;
    let times = rounds(
        clock,
        || (0..count).for_each(|_| seal_all(&sealer, &mut one, &mut plain)),
        || {
            for _ in 0..count {
                let read = || clock.now();
                assert!(compressor.compress(&mut tables, &message, &mut out, read).is_none());
                seal_all(&sealer, &mut other, &mut tried);
            }
        },
    );
    let rate = |ns: u64| (count * message_bytes) as f64 / ns as f64;
    let first = times[0].1 as f64 / times[0].0 as f64;
    let ratio = median(times.iter().map(|t| t.1 as f64 / t.0 as f64));
    println!(
        " noise {message_bytes:>6}: sealed plain {:5.2} GB/s, through a compressor {:5.2} GB/s: {:+.1} % \
         (the first 16 MiB {:+.1} %)",
        median(times.iter().map(|t| rate(t.0))),
        median(times.iter().map(|t| rate(t.1))),
        100.0 * (ratio - 1.0),
        100.0 * (first - 1.0),
    );
}

fn main() {
    let clock = Clock::start();
    std::thread::sleep(Duration::from_millis(50));
    for bytes in [1400, 16_384, 65_536] {
        codec(clock, "text", &text(bytes));
        codec(clock, "json", &json(bytes));
        codec(clock, "noise", &noise(bytes));
    }
    for bytes in [256, 1400, 16_384, 1 << 20] {
        in_vain(clock, bytes);
    }
}
