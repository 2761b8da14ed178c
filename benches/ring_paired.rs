//! Our rings against their peers on a noisy machine: rounds are interleaved, and each ring's time is
//! compared with its peer's in the same round. Prints nanoseconds per element.
//!
//! usage: cargo bench --bench ring_paired -- [ROUNDS]     (at least 9, default 15)

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

mod rings;

use rings::{Fill, Take};

/// Elements moved per measurement.
const SAME_THREAD: u64 = 8 << 20;
const ACROSS: u64 = 2 << 20;

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    let pinned = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if pinned.is_err() {
        eprintln!("cannot pin to cpu {cpu}: the figures across threads will wander");
    }
}

fn same_thread<const BURST: usize>(ends: (impl Fill, impl Take)) -> f64 {
    let (mut fill, mut take) = ends;
    let mut block = [7; BURST];
    let start = Instant::now();
    for _ in 0..SAME_THREAD / BURST as u64 {
        assert_eq!(fill.put(black_box(&block)), BURST);
        assert_eq!(take.take(black_box(&mut block)), BURST);
    }
    start.elapsed().as_nanos() as f64 / SAME_THREAD as f64
}

fn across<const BURST: usize>(ends: (impl Fill, impl Take)) -> f64 {
    let (mut fill, mut take) = ends;
    let barrier = Barrier::new(2);
    let nanoseconds = thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            barrier.wait();
            repeat::<BURST>(|block, want| fill.put(&block[..want]));
        });
        let taker = scope.spawn(|| {
            pin(0);
            barrier.wait();
            let start = Instant::now();
            repeat::<BURST>(|block, want| take.take(&mut block[..want]));
            start.elapsed().as_nanos()
        });
        taker.join().expect("the taker ends")
    });
    nanoseconds as f64 / ACROSS as f64
}

fn repeat<const BURST: usize>(mut step: impl FnMut(&mut [u64; BURST], usize) -> usize) {
    let mut block = [7; BURST];
    let mut left = ACROSS as usize;
    while left > 0 {
        match step(black_box(&mut block), BURST.min(left)) {
            0 => spin_loop(),
            moved => left -= moved,
        }
    }
}

type Run = fn() -> f64;

/// Interleaves `rounds` rounds of all runs; ratios are to the run named by `peer`.
fn table(title: &str, rounds: usize, runs: &[(&str, usize, Run)]) {
    let mut times = vec![Vec::new(); runs.len()];
    for round in 0..rounds {
        // A different one goes first each round.
        for step in 0..runs.len() {
            let index = (round + step) % runs.len();
            times[index].push(runs[index].2());
        }
    }
    println!("\n{title}, {rounds} interleaved rounds, ns per element");
    println!("{:<22} {:>7} {:>7} {:>7}   ratio to peer min/med/max", "", "min", "med", "max");
    for (index, (name, peer, _)) in runs.iter().enumerate() {
        let [low, middle, high] = spread(times[index].clone());
        print!("{name:<22} {low:>7.3} {middle:>7.3} {high:>7.3}");
        if *peer != index {
            let pairs = times[index].iter().zip(&times[*peer]).map(|(ours, theirs)| ours / theirs);
            let [low, middle, high] = spread(pairs.collect());
            print!("   {low:.2} / {middle:.2} / {high:.2} of {}", runs[*peer].0);
        }
        println!();
    }
}

fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn main() {
    let rounds = std::env::args().filter_map(|text| text.parse().ok()).next().unwrap_or(15).max(9);
    let table = |title: &str, runs: &[(&str, usize, Run)]| table(title, rounds, runs);
    table(
        "same thread",
        &[
            ("rtrb slices 32", 0, || same_thread::<32>(rings::rtrb_burst())),
            ("rtrb chunks 32", 1, || same_thread::<32>(rings::rtrb_bulk())),
            ("spsc burst 32", 0, || same_thread::<32>(rings::spsc_burst())),
            ("spsc bulk 32", 1, || same_thread::<32>(rings::spsc_bulk())),
            ("rtrb slices 8", 4, || same_thread::<8>(rings::rtrb_burst())),
            ("spsc burst 8", 4, || same_thread::<8>(rings::spsc_burst())),
            ("rtrb slices 1", 6, || same_thread::<1>(rings::rtrb_burst())),
            ("spsc burst 1", 6, || same_thread::<1>(rings::spsc_burst())),
            ("ArrayQueue 32", 8, || same_thread::<32>(rings::array_queue())),
            ("mpmc burst 32", 8, || same_thread::<32>(rings::mpmc_burst())),
            ("mpmc burst 8", 8, || same_thread::<8>(rings::mpmc_burst())),
        ],
    );
    table(
        "two threads, cpu 1 to cpu 0",
        &[
            ("rtrb slices 32", 0, || across::<32>(rings::rtrb_burst())),
            ("rtrb chunks 32", 1, || across::<32>(rings::rtrb_bulk())),
            ("spsc burst 32", 0, || across::<32>(rings::spsc_burst())),
            ("spsc bulk 32", 1, || across::<32>(rings::spsc_bulk())),
            ("rtrb slices 1", 4, || across::<1>(rings::rtrb_burst())),
            ("spsc burst 1", 4, || across::<1>(rings::spsc_burst())),
            ("ArrayQueue 32", 6, || across::<32>(rings::array_queue())),
            ("mpmc burst 32", 6, || across::<32>(rings::mpmc_burst())),
        ],
    );
}
