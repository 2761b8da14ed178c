//! Time per element of each ring: same thread at every burst size, and across two threads at a few.
//! On a noisy machine read `ring_paired` instead.

use std::hint::{black_box, spin_loop};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};

mod rings;

use rings::{Fill, Take};

const BURSTS: [usize; 6] = [1, 8, 32, 64, 128, 256];

fn same_thread(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    (mut fill, mut take): (impl Fill, impl Take),
) {
    for burst in BURSTS {
        let mut block = [7; 256];
        group.throughput(Throughput::Elements(burst as u64));
        group.bench_function(format!("{name}/{burst}"), |bencher| {
            bencher.iter(|| {
                let put = fill.put(black_box(&block[..burst]));
                put + take.take(black_box(&mut block[..burst]))
            });
        });
    }
}

fn move_all(mut elements: u64, burst: usize, mut step: impl FnMut(&mut [u64]) -> usize) {
    let mut block = [7; 256];
    while elements > 0 {
        let want = elements.min(burst as u64) as usize;
        match step(&mut block[..want]) {
            0 => spin_loop(),
            moved => elements -= moved as u64,
        }
    }
}

fn across(elements: u64, burst: usize, ends: (impl Fill, impl Take)) -> Duration {
    let (mut fill, mut take) = ends;
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || move_all(elements, burst, |block| fill.put(block)));
        move_all(elements, burst, |block| take.take(block));
    });
    start.elapsed()
}

fn two_threads<F: Fill, T: Take>(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    make: impl Fn() -> (F, T),
) {
    group.throughput(Throughput::Elements(1));
    for burst in [1, 32, 128] {
        group.bench_function(format!("{name}/{burst}"), |bencher| {
            bencher.iter_custom(|elements| across(elements, burst, make()));
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut group = criterion.benchmark_group("ring/same_thread");
    same_thread(&mut group, "spsc", rings::spsc_burst());
    same_thread(&mut group, "spsc_bulk", rings::spsc_bulk());
    same_thread(&mut group, "rtrb", rings::rtrb_burst());
    same_thread(&mut group, "rtrb_bulk", rings::rtrb_bulk());
    same_thread(&mut group, "mpmc", rings::mpmc_burst());
    same_thread(&mut group, "array_queue", rings::array_queue());
    group.finish();
    let mut group = criterion.benchmark_group("ring/two_threads");
    two_threads(&mut group, "spsc", rings::spsc_burst);
    two_threads(&mut group, "spsc_bulk", rings::spsc_bulk);
    two_threads(&mut group, "rtrb", rings::rtrb_burst);
    two_threads(&mut group, "rtrb_bulk", rings::rtrb_bulk);
    two_threads(&mut group, "mpmc", rings::mpmc_burst);
    two_threads(&mut group, "array_queue", rings::array_queue);
    group.finish();
}
