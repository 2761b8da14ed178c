//! Masking: each way of doing it at three sizes, interleaved, in GB/s, min / median / max of 41 rounds. The
//! buffers lie in the first cache, each behind a header as a client writes it, so that they begin anywhere.
//!
//! `cargo bench --bench mask`

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use ringway::mem::mask;

use support::stats;

const ROUNDS: usize = 41;
/// What is masked in a round.
const ROUND_BYTES: usize = 1 << 20;
const AREA_BYTES: usize = 16 * 1024;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

type Way = fn(&mut [u8], [u8; 4]);

const WAYS: [(&str, Way); 4] =
    [("bytes", by_bytes), ("u64", by_words), ("32 bytes", by_lanes), ("ringway", ours)];

#[inline(never)]
fn by_bytes(bytes: &mut [u8], key: [u8; 4]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

#[inline(never)]
fn by_words(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word_key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = black_box(u64::from_ne_bytes(*word) ^ word_key).to_ne_bytes();
    }
    by_bytes(rest, key);
}

#[inline(never)]
fn by_lanes(bytes: &mut [u8], key: [u8; 4]) {
    let lane_key: [u8; 32] = std::array::from_fn(|at| key[at % 4]);
    let (lanes, rest) = bytes.as_chunks_mut::<32>();
    for lane in lanes {
        lane.iter_mut().zip(lane_key).for_each(|(byte, key)| *byte ^= key);
    }
    by_bytes(rest, key);
}

#[inline(never)]
fn ours(bytes: &mut [u8], key: [u8; 4]) {
    mask(bytes, key, 0);
}

/// GB/s over buffers of `len` bytes that lie `stride` apart.
fn round(way: Way, area: &mut [u8], len: usize, first: usize) -> f64 {
    let stride = len.next_multiple_of(64) + 64;
    let slots = (AREA_BYTES / stride).max(1);
    let calls = ROUND_BYTES / len;
    let mut slot = 0;
    let started = Instant::now();
    for _ in 0..calls {
        let at = slot * stride + first;
        way(black_box(&mut area[at..at + len]), black_box(KEY));
        slot = if slot + 1 == slots { 0 } else { slot + 1 };
    }
    (calls * len) as f64 / started.elapsed().as_nanos() as f64
}

fn main() {
    let mut room = vec![0x5a; 2 * AREA_BYTES];
    let aligned = room.as_ptr().align_offset(64);
    for first in [0, 6, 8] {
        for len in [16, 64, 100, 1024, 16 * 1024] {
            let mut rates = [const { Vec::new() }; WAYS.len()];
            for _ in 0..ROUNDS {
                for ((_, way), rates) in WAYS.iter().zip(&mut rates) {
                    rates.push(round(*way, &mut room[aligned..], len, first));
                }
            }
            for ((name, _), rates) in WAYS.iter().zip(&mut rates) {
                println!("{len:6} bytes at {first}: {name:8} {} GB/s", stats::cell(rates, 1));
            }
        }
    }
}
