//! The rings under real threads: order, no loss and no double, the same memory at two addresses, and
//! a peer that writes garbage. `RING_STRESS_ITEMS` scales it (default two million, a tenth in debug
//! builds), `RING_STRESS_SEED` repeats a run. Runs under ThreadSanitizer and AddressSanitizer: `scripts/sanitize.sh`.
#![cfg(not(loom))]

mod stress;

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use ringway::ring::{AttachError, LINE_BYTES, doorbell::Doorbell, mpmc, spsc};
use ringway::sync::{AtomicU32, KeepAlive, Ordering};

use stress::{Random, guarded, scaled};

fn items() -> u64 {
    scaled("RING_STRESS_ITEMS", 2_000_000)
}

fn random(salt: u64) -> Random {
    Random::seeded("RING_STRESS_SEED", salt)
}

/// An element that fills a whole descriptor, so that a torn copy shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Wide([u64; 4]);

impl Wide {
    fn new(number: u64) -> Self {
        Self([number, !number, number.rotate_left(17), number ^ 0x5555])
    }
}

fn produce(mut producer: spsc::Producer<Wide>, last: u64, mut random: Random) {
    let mut next = 0;
    while next < last {
        let want = (1 + random.below(40)).min((last - next) as usize);
        let block: Vec<Wide> = (next..next + want as u64).map(Wide::new).collect();
        let put = match random.below(5) {
            0 => producer.enqueue(block[0]).is_ok() as usize,
            1 => producer.enqueue_bulk(&block) as usize * want,
            2 => producer.enqueue_burst_from(&mut block.iter().copied()),
            3 => {
                let mut slots = producer.reserve(want);
                let (first, second) = slots.as_mut_slices();
                let put = first.len() + second.len();
                first.iter_mut().chain(second).zip(&block).for_each(|(slot, new)| *slot = *new);
                slots.commit(put);
                put
            }
            _ => producer.enqueue_burst(&block),
        };
        next += put as u64;
        if put == 0 {
            thread::yield_now();
        }
    }
    assert!(!producer.peer_fault());
}

fn consume(mut consumer: spsc::Consumer<Wide>, last: u64, mut random: Random) {
    let mut next = 0;
    while next < last {
        let mut block = [Wide::new(0); 40];
        let want = 1 + random.below(40);
        let taken = match random.below(5) {
            0 => consumer.dequeue().map(|element| block[0] = element).iter().count(),
            1 => consumer.dequeue_bulk(&mut block[..want]) as usize * want,
            2 => {
                let mut slots = block.iter_mut();
                consumer.dequeue_burst_with(want, |element| *slots.next().expect("40") = element)
            }
            3 => {
                let chunk = consumer.peek(want);
                let (first, second) = chunk.as_slices();
                block.iter_mut().zip(first.iter().chain(second)).for_each(|(to, from)| *to = *from);
                let count = chunk.len();
                chunk.release(count);
                count
            }
            _ => consumer.dequeue_burst(&mut block[..want]),
        };
        for element in &block[..taken] {
            assert_eq!(*element, Wide::new(next));
            next += 1;
        }
        if taken == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(consumer.dequeue(), None);
    assert!(!consumer.peer_fault());
}

#[test]
fn spsc_on_the_heap_keeps_order_and_loses_nothing() {
    // A ring of one slot changes threads for every element.
    for (capacity, last) in [(1, items() / 40), (16, items()), (1024, items())] {
        guarded(move || {
            let (producer, consumer) = spsc::ring(capacity);
            thread::scope(|scope| {
                scope.spawn(|| produce(producer, last, random(1)));
                consume(consumer, last, random(2));
            });
        });
    }
}

/// One mapping of a shared memory file.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is memory that any thread may use and unmap.
unsafe impl Send for Mapping {}
// SAFETY: as above; it is reached through rings and atomics alone.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &OwnedFd, bytes: usize) -> Arc<Self> {
        let (length, access) =
            (NonZeroUsize::new(bytes), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        let length = length.expect("not empty");
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) };
        Arc::new(Self { start: start.expect("mmap").cast(), bytes })
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.bytes);
        // SAFETY: the offset was just checked.
        let place = unsafe { self.start.add(offset) };
        // SAFETY: mapped, aligned by its offset, and any bytes are an atomic word.
        unsafe { place.cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and nothing outlives the keeper.
        unsafe { munmap(self.start.cast(), self.bytes) }.expect("munmap");
    }
}

/// The same file mapped twice: what two processes see. ThreadSanitizer takes the mappings for
/// different memory and finds no order between them, so `RING_STRESS_ONE_MAPPING` hands out one.
fn two_mappings(bytes: usize) -> [Arc<Mapping>; 2] {
    let file = memfd_create("ring_stress", MFdFlags::MFD_CLOEXEC).expect("memfd");
    nix::unistd::ftruncate(&file, bytes as i64).expect("ftruncate");
    let first = Mapping::new(&file, bytes);
    if std::env::var_os("RING_STRESS_ONE_MAPPING").is_some() {
        return [first.clone(), first];
    }
    let mappings = [first, Mapping::new(&file, bytes)];
    assert_ne!(mappings[0].start, mappings[1].start);
    mappings
}

fn producer<T: bytemuck::Pod>(map: &Arc<Mapping>) -> Result<spsc::Producer<T>, AttachError> {
    // SAFETY: the ring keeps the mapping; the tests attach one producer at a time.
    unsafe { spsc::Producer::attach(map.start, map.bytes, map.clone() as KeepAlive) }
}

fn consumer<T: bytemuck::Pod>(map: &Arc<Mapping>) -> Result<spsc::Consumer<T>, AttachError> {
    // SAFETY: the ring keeps the mapping; the tests attach one consumer at a time.
    unsafe { spsc::Consumer::attach(map.start, map.bytes, map.clone() as KeepAlive) }
}

fn spsc_segment<T: bytemuck::Pod>(capacity: usize) -> [Arc<Mapping>; 2] {
    let maps = two_mappings(spsc::bytes_for::<T>(capacity).expect("a power of two"));
    // SAFETY: fresh pages that nobody else uses yet.
    unsafe { spsc::create_in::<T>(maps[0].start, maps[0].bytes, capacity) }.expect("room");
    maps
}

#[test]
fn spsc_in_shared_memory_keeps_order_over_the_end_of_its_indices() {
    guarded(|| {
        let [one, two] = spsc_segment::<Wide>(64);
        // Both indices shortly before 2³²: a ring that has been used for long.
        one.word(spsc::TAIL_OFFSET).store(u32::MAX - 500, Ordering::Relaxed);
        one.word(spsc::HEAD_OFFSET).store(u32::MAX - 500, Ordering::Relaxed);
        let (producer, consumer) =
            (producer(&one).expect("attach"), consumer(&two).expect("attach"));
        drop((one, two));
        let last = items();
        thread::scope(|scope| {
            scope.spawn(|| produce(producer, last, random(3)));
            consume(consumer, last, random(4));
        });
    });
}

#[test]
fn an_end_that_attaches_again_goes_on_where_it_stopped() {
    let [one, two] = spsc_segment::<u32>(8);
    let mut first = producer(&one).expect("attach");
    assert_eq!(first.enqueue_burst(&[1, 2, 3]), 3);
    assert_eq!(consumer(&two).expect("attach").dequeue(), Some(1));
    drop(first);
    assert_eq!(producer(&two).expect("attach").enqueue_burst(&[4, 5, 6, 7, 8, 9, 10]), 6);
    let mut out = [0; 8];
    assert_eq!(consumer(&one).expect("attach").dequeue_burst(&mut out), 8);
    assert_eq!(out, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn memory_that_is_no_such_ring_is_refused() {
    let [map, _] = spsc_segment::<u32>(8);
    let error = |result: Result<spsc::Producer<u32>, _>| result.err().expect("refused");
    assert_eq!(producer::<u64>(&map).err(), Some(AttachError::ElementBytes));
    // SAFETY: a smaller part of the mapping.
    let short = unsafe { spsc::Producer::attach(map.start, map.bytes - 1, map.clone()) };
    assert_eq!(error(short), AttachError::TooSmall);
    // SAFETY: one byte into the mapping.
    let odd = unsafe { map.start.add(1) };
    // SAFETY: the rest of the mapping.
    let odd = unsafe { spsc::Producer::attach(odd, map.bytes - 1, map.clone()) };
    assert_eq!(error(odd), AttachError::Misaligned);
    // SAFETY: any bytes of the mapping will do.
    let other = unsafe { mpmc::Ring::<u32>::attach(map.start, map.bytes, map.clone()) };
    assert_eq!(other.err(), Some(AttachError::NotARing));
    map.word(spsc::TAIL_OFFSET).store(9, Ordering::Relaxed);
    assert_eq!(error(producer(&map)), AttachError::Indices);
    assert_eq!(consumer::<u32>(&map).err(), Some(AttachError::Indices));
    for capacity in [0, 3, 16, u32::MAX] {
        map.word(4).store(capacity, Ordering::Relaxed);
        let expected = if capacity == 16 { AttachError::TooSmall } else { AttachError::Capacity };
        assert_eq!(error(producer(&map)), expected);
    }
    // SAFETY: the mapping is ours alone.
    let again = unsafe { spsc::create_in::<u32>(map.start, LINE_BYTES, 8) };
    assert_eq!(again, Err(AttachError::TooSmall));
}

#[test]
fn a_peer_with_impossible_indices_is_shut_out_for_ever() {
    for lie in [9, 1_000, u32::MAX, 1 << 31] {
        let [one, two] = spsc_segment::<u32>(8);
        let mut victim = consumer::<u32>(&one).expect("attach");
        two.word(spsc::TAIL_OFFSET).store(lie, Ordering::Release);
        assert_eq!((victim.len(), victim.dequeue(), victim.peer_fault()), (0, None, true));
        two.word(spsc::TAIL_OFFSET).store(1, Ordering::Release);
        assert_eq!((victim.dequeue_burst(&mut [0; 8]), victim.len()), (0, 0));
        assert!(victim.peek(8).is_empty());

        let [one, two] = spsc_segment::<u32>(8);
        let mut victim = producer::<u32>(&one).expect("attach");
        assert_eq!(victim.enqueue_burst(&[0; 8]), 8);
        two.word(spsc::HEAD_OFFSET).store(lie, Ordering::Release);
        assert_eq!((victim.free(), victim.enqueue(1), victim.peer_fault()), (0, Err(1), true));
        two.word(spsc::HEAD_OFFSET).store(8, Ordering::Release);
        assert_eq!((victim.enqueue_burst(&[0; 8]), victim.free()), (0, 0));
        assert!(victim.reserve(8).is_empty());
    }
}

/// Garbage in every word that a peer can reach, while both ends run: nothing outside the ring is
/// touched (the pages around it are not mapped, and AddressSanitizer watches the buffers).
#[test]
fn a_peer_that_scribbles_reaches_nothing_outside() {
    guarded(|| {
        let mut random = random(5);
        for _ in 0..items() / 2_000 {
            let [one, two] = spsc_segment::<u32>(8);
            let mut fill = producer::<u32>(&one).expect("attach");
            let mut take = consumer::<u32>(&one).expect("attach");
            let mut out = [0; 12];
            for _ in 0..20 {
                let offset = random.below(two.bytes / 4) * 4;
                let near = two.word(spsc::TAIL_OFFSET).load(Ordering::Relaxed);
                let value =
                    if random.below(2) == 0 { random.below(1 << 32) as u32 } else { near + 3 };
                two.word(offset).store(value, Ordering::Relaxed);
                if random.below(2) == 0 {
                    let index = [spsc::TAIL_OFFSET, spsc::HEAD_OFFSET][random.below(2)];
                    two.word(index).store(value, Ordering::Release);
                }
                let n = random.below(13);
                assert!(fill.enqueue_burst(&out[..n]) <= 8);
                assert!(take.dequeue_burst(&mut out[..n]) <= 8);
                assert!(take.peek(12).len() <= 8 && fill.reserve(12).len() <= 8);
            }
        }
    });
}

/// Every thread fills with its own numbers in order, or empties and checks the order per filler.
fn mpmc_exchange(rings: [&mpmc::Ring<u64>; 2], fillers: u64, takers: u64) {
    let total = if rings[0].capacity() == 1 { items() / 40 } else { items() };
    let per_filler = total / fillers;
    let left = ringway::sync::AtomicU64::new(per_filler * fillers);
    let sums: Vec<u64> = thread::scope(|scope| {
        for filler in 0..fillers {
            scope.spawn(move || mpmc_fill(rings[0], filler, per_filler));
        }
        let left = &left;
        let takers: Vec<_> = (0..takers)
            .map(|taker| scope.spawn(move || mpmc_take(rings[1], taker, left)))
            .collect();
        takers.into_iter().map(|taker| taker.join().expect("taker")).collect()
    });
    let expected: u64 = (0..fillers).map(|filler| per_filler * (filler << 40)).sum::<u64>()
        + fillers * (per_filler * (per_filler - 1) / 2);
    assert_eq!(sums.iter().sum::<u64>(), expected);
    assert!(rings[0].is_empty() && rings[1].dequeue().is_none());
}

fn mpmc_fill(ring: &mpmc::Ring<u64>, filler: u64, count: u64) {
    let mut random = random(10 + filler);
    let mut next = 0;
    while next < count {
        let want = (1 + random.below(40)).min((count - next) as usize);
        let block: Vec<u64> = (next..next + want as u64).map(|n| filler << 40 | n).collect();
        let put = match random.below(3) {
            0 => ring.enqueue(block[0]).is_ok() as usize,
            1 => ring.enqueue_bulk(&block) as usize * want,
            _ => ring.enqueue_burst(&block),
        };
        next += put as u64;
        if put == 0 {
            thread::yield_now();
        }
    }
}

fn mpmc_take(ring: &mpmc::Ring<u64>, taker: u64, left: &ringway::sync::AtomicU64) -> u64 {
    let mut random = random(20 + taker);
    let (mut sum, mut seen) = (0u64, [None; 8]);
    while left.load(Ordering::Relaxed) > 0 {
        let mut block = [0; 40];
        let want = 1 + random.below(40);
        let taken = match random.below(3) {
            0 => ring.dequeue().map(|element| block[0] = element).iter().count(),
            1 => ring.dequeue_bulk(&mut block[..want]) as usize * want,
            _ => ring.dequeue_burst(&mut block[..want]),
        };
        for element in &block[..taken] {
            let last = &mut seen[(element >> 40) as usize];
            assert!(last.is_none_or(|last| last < *element), "one filler's elements stay in order");
            *last = Some(*element);
            sum += element;
        }
        left.fetch_sub(taken as u64, Ordering::Relaxed);
        if taken == 0 {
            thread::yield_now();
        }
    }
    sum
}

#[test]
fn mpmc_on_the_heap_loses_and_doubles_nothing() {
    for (capacity, fillers, takers) in [(1, 2, 2), (64, 3, 1), (64, 1, 3), (1024, 2, 2)] {
        guarded(move || {
            let ring = mpmc::Ring::new(capacity);
            mpmc_exchange([&ring, &ring], fillers, takers);
        });
    }
}

#[test]
fn mpmc_in_shared_memory_works_over_the_end_of_its_indices() {
    guarded(|| {
        let [one, two] = two_mappings(mpmc::bytes_for::<u64>(64).expect("a power of two"));
        // SAFETY: fresh pages that nobody else uses yet.
        unsafe { mpmc::create_in::<u64>(one.start, one.bytes, 64) }.expect("room");
        for side in [mpmc::PRODUCERS_OFFSET, mpmc::CONSUMERS_OFFSET] {
            one.word(side).store(u32::MAX - 500, Ordering::Relaxed);
            one.word(side + 4).store(u32::MAX - 500, Ordering::Relaxed);
        }
        let rings = [one, two].map(|map| {
            // SAFETY: the ring keeps the mapping, which only rings of `u64` use.
            unsafe { mpmc::Ring::<u64>::attach(map.start, map.bytes, map.clone()) }.expect("attach")
        });
        mpmc_exchange([&rings[0], &rings[1]], 2, 2);
    });
}

#[test]
fn mpmc_with_impossible_indices_returns_empty_handed() {
    let [one, two] = two_mappings(mpmc::bytes_for::<u32>(8).expect("a power of two"));
    // SAFETY: fresh pages that nobody else uses yet.
    unsafe { mpmc::create_in::<u32>(one.start, one.bytes, 8) }.expect("room");
    // SAFETY: the ring keeps the mapping.
    let ring = unsafe { mpmc::Ring::<u32>::attach(one.start, one.bytes, one.clone()) };
    let ring = ring.expect("attach");
    two.word(mpmc::PRODUCERS_OFFSET + 4).store(1 << 20, Ordering::Relaxed);
    assert_eq!((ring.dequeue_burst(&mut [0; 8]), ring.len()), (0, 8));
    two.word(mpmc::CONSUMERS_OFFSET + 4).store(77, Ordering::Relaxed);
    assert_eq!(ring.enqueue(1), Err(1));
}

/// A free list keeps its promise under load: what was taken always finds room again.
#[test]
fn mpmc_as_a_free_list_always_has_room_for_its_own() {
    guarded(|| {
        let list = mpmc::Ring::new(16);
        assert!(list.enqueue_bulk(&std::array::from_fn::<u32, 16, _>(|slot| slot as u32)));
        let list = &list;
        let borrow = |salt| {
            let mut random = random(salt);
            for _ in 0..items() / 8 {
                let mut slots = [0; 6];
                let want = 1 + random.below(6);
                let taken = list.dequeue_burst(&mut slots[..want]);
                assert_eq!(list.enqueue_burst(&slots[..taken]), taken);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| borrow(30));
            scope.spawn(|| borrow(31));
            borrow(32);
        });
        let mut slots = [0; 16];
        assert!(list.dequeue_bulk(&mut slots));
        slots.sort_unstable();
        assert!(slots.iter().copied().eq(0..16));
    });
}

/// A consumer that sleeps whenever it can, for ever if a wake-up is lost.
#[test]
fn a_sleeping_consumer_misses_no_element() {
    guarded(|| {
        let bell = Doorbell::new().expect("eventfd");
        let far = bell.try_clone().expect("dup");
        let (mut producer, mut consumer) = spsc::ring(64);
        let last = items() / 40;
        let filler = thread::spawn(move || {
            let mut random = random(40);
            for number in 0..last {
                while producer.enqueue(number).is_err() {
                    thread::yield_now();
                }
                far.ring();
                if random.below(8) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < last {
            match consumer.dequeue() {
                Some(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                None if bell.sleep_unless(|| !consumer.is_empty()) => {
                    use std::os::fd::AsFd;
                    let fd = nix::poll::PollFd::new(bell.as_fd(), nix::poll::PollFlags::POLLIN);
                    nix::poll::poll(&mut [fd], nix::poll::PollTimeout::NONE).expect("poll");
                    bell.awake();
                }
                None => {}
            }
        }
        filler.join().expect("filler");
    });
}
