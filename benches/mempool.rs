//! Nanoseconds per buf of an allocation and its free through the lcore's cache, beside the heap and
//! a free list made of crossbeam's ArrayQueue.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use ringway::mem::{Burst, CacheClaim, Mempool};

const BURSTS: [usize; 6] = [1, 8, 32, 64, 128, 256];

fn mempool(c: &mut Criterion) {
    let pool = Mempool::small(8192).expect("a pool");
    let _claim = CacheClaim::register();
    let mut group = c.benchmark_group("mempool alloc+free");
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |b| b.iter(|| drop(black_box(pool.alloc(2048)))));
    for burst in BURSTS {
        group.throughput(Throughput::Elements(burst as u64));
        group.bench_with_input(BenchmarkId::new("burst", burst), &burst, |b, &burst| {
            let mut bursts: Vec<Burst> = (0..burst.div_ceil(64)).map(|_| Burst::new()).collect();
            b.iter(|| {
                let mut left = burst;
                for bufs in &mut bursts {
                    left -= pool.alloc_burst(2048, left.min(64), bufs);
                }
                bursts.iter_mut().for_each(|bufs| Mempool::free_burst(black_box(bufs)));
            });
        });
    }
    group.finish();
}

fn peers(c: &mut Criterion) {
    let mut group = c.benchmark_group("free list peers");
    let queue = ArrayQueue::new(8192);
    (0..8192u32).for_each(|slot| queue.push(slot).expect("room"));
    for burst in BURSTS {
        group.throughput(Throughput::Elements(burst as u64));
        group.bench_with_input(BenchmarkId::new("ArrayQueue", burst), &burst, |b, &burst| {
            let mut slots = Vec::with_capacity(burst);
            b.iter(|| {
                slots.extend((0..burst).map_while(|_| queue.pop()));
                slots.drain(..).for_each(|slot| queue.push(slot).expect("room"));
            });
        });
        group.bench_with_input(BenchmarkId::new("heap 2 KiB", burst), &burst, |b, &burst| {
            let mut boxes = Vec::with_capacity(burst);
            b.iter(|| {
                boxes.extend((0..burst).map(|_| black_box(Vec::<u8>::with_capacity(2048))));
                boxes.clear();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mempool, peers);
criterion_main!(benches);
