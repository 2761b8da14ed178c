//! A mempool under real threads: every slot carries a pattern that its owners verify, so that a slot
//! with two owners, or one that came back too early, shows. `MEM_STRESS_ROUNDS` scales it (default
//! 200 thousand, a tenth in debug builds), `MEM_STRESS_SEED` repeats a run. Runs under
//! ThreadSanitizer and AddressSanitizer: `scripts/sanitize.sh`.
#![cfg(not(loom))]

mod stress;

use std::sync::mpsc;
use std::thread;

use ringway::mem::{Buf, Burst, CacheClaim, Mempool};
use ringway::ring::{mpmc, spsc};

use stress::{Random, guarded, scaled};

/// Threads that hammer one pool.
const THREADS: usize = 4;

/// Small slots of the pool: few, so that it runs empty and its caches (one slot in eight) spill.
const SLOTS: u32 = 128;

fn rounds() -> u64 {
    scaled("MEM_STRESS_ROUNDS", 200_000)
}

fn random(salt: u64) -> Random {
    Random::seeded("MEM_STRESS_SEED", salt)
}

/// A range of a slot and what must be in it: words that count up from `first`.
struct Parcel {
    buf: Buf,
    first: u64,
}

impl Parcel {
    /// Fills a fresh buf with `words` words that no other parcel ever has.
    fn fill(mut buf: Buf, first: u64, words: usize) -> Self {
        assert!(buf.is_unique() && buf.is_empty(), "a fresh buf is nobody else's");
        for word in first..first + words as u64 {
            assert!(buf.append(&word.to_ne_bytes()));
        }
        Self { buf, first }
    }

    fn words(&self) -> usize {
        self.buf.len() / 8
    }

    fn verify(&self) {
        let (words, rest) = self.buf.bytes().as_chunks::<8>();
        assert!(rest.is_empty());
        for (word, expected) in words.iter().zip(self.first..) {
            assert_eq!(u64::from_ne_bytes(*word), expected, "a slot was changed by another owner");
        }
    }

    /// Writes other words over these, if no other owner can see them.
    fn rewrite(&mut self, first: u64) {
        if let Some(bytes) = self.buf.bytes_mut() {
            self.first = first;
            let (words, _) = bytes.as_chunks_mut::<8>();
            words.iter_mut().zip(first..).for_each(|(word, new)| *word = new.to_ne_bytes());
        }
    }

    /// The first `words` words as a parcel of their own, which shares the slot.
    fn split_to(&mut self, words: usize) -> Self {
        let front = Self { buf: self.buf.split_to(words * 8), first: self.first };
        self.first += words as u64;
        front
    }

    /// Words `from..to` once more.
    fn slice(&self, from: usize, to: usize) -> Self {
        Self { buf: self.buf.slice(from * 8, to * 8), first: self.first + from as u64 }
    }
}

/// One thread: it allocates, splits, passes on, and drops what the others passed on.
struct Worker<'a> {
    pool: &'a Mempool,
    random: Random,
    /// Words that its next parcel begins with.
    next: u64,
    held: Vec<Parcel>,
    to_next: spsc::Producer<Parcel>,
    from_last: spsc::Consumer<Parcel>,
    to_any: &'a mpmc::Ring<Parcel>,
    /// Its cache, if it has one at the moment.
    claim: Option<CacheClaim>,
}

impl Worker<'_> {
    fn run(mut self, rounds: u64) {
        for _ in 0..rounds {
            match self.random.below(16) {
                0..4 => self.alloc(),
                4 => self.alloc_burst(),
                5 => self.free_burst(),
                6..9 => self.share(),
                9..12 => self.pass_on(),
                12..15 => self.receive(),
                _ => self.change_cache(),
            }
            // Few enough that the pool is empty now and then, not always.
            while self.held.len() > 40 {
                self.drop_one();
            }
        }
    }

    fn parcel(&mut self, buf: Buf) {
        let words = 1 + self.random.below(buf.capacity().min(512) / 8);
        self.held.push(Parcel::fill(buf, self.next, words));
        self.next += 4096;
    }

    fn alloc(&mut self) {
        let bytes = if self.random.below(16) == 0 { 4096 } else { 512 };
        match self.pool.alloc(bytes) {
            Some(buf) => self.parcel(buf),
            None => self.drop_one(),
        }
    }

    fn alloc_burst(&mut self) {
        let mut burst = Burst::new();
        let wanted = 1 + self.random.below(24);
        assert!(self.pool.alloc_burst(512, wanted, &mut burst) <= wanted);
        while let Some(buf) = burst.pop() {
            self.parcel(buf);
        }
    }

    /// Drops up to a burst of what is held: some of it shared, some of the other class.
    fn free_burst(&mut self) {
        let mut burst = Burst::new();
        for _ in 0..self.random.below(24) {
            let Some(mut parcel) = self.take() else { break };
            parcel.verify();
            parcel.rewrite(self.next);
            assert!(burst.push(parcel.buf).is_ok());
        }
        Mempool::free_burst(&mut burst);
    }

    /// Any parcel that is held.
    fn take(&mut self) -> Option<Parcel> {
        let len = self.held.len();
        (len > 0).then(|| self.held.swap_remove(self.random.below(len)))
    }

    fn drop_one(&mut self) {
        if let Some(mut parcel) = self.take() {
            parcel.verify();
            // Not always: looking whether one is alone orders what the drop must order by itself.
            if self.random.below(2) == 0 {
                parcel.rewrite(self.next);
                parcel.verify();
            }
        }
    }

    fn share(&mut self) {
        let Some(mut parcel) = self.take() else { return };
        let at = self.random.below(parcel.words() + 1);
        let part = match self.random.below(2) {
            0 => parcel.split_to(at),
            _ => parcel.slice(at, parcel.words()),
        };
        self.held.extend([parcel, part]);
    }

    fn pass_on(&mut self) {
        let Some(parcel) = self.take() else { return };
        let refused = match self.random.below(2) {
            0 => self.to_next.enqueue(parcel).err(),
            _ => self.to_any.enqueue(parcel).err(),
        };
        self.held.extend(refused);
    }

    fn receive(&mut self) {
        let received = match self.random.below(2) {
            0 => self.from_last.dequeue(),
            _ => self.to_any.dequeue(),
        };
        let Some(mut parcel) = received else { return };
        parcel.verify();
        match self.random.below(4) {
            0 => self.held.push(parcel),
            1 => drop(parcel),
            _ => {
                parcel.rewrite(self.next);
                parcel.verify();
            }
        }
    }

    /// Goes on without a cache, or with one that another thread may have had.
    fn change_cache(&mut self) {
        if self.random.below(4) == 0 {
            self.claim = if self.claim.is_some() { None } else { CacheClaim::register() };
        }
    }
}

/// What is passed on is verified by whoever has it, and all of it comes home.
#[test]
fn slots_have_one_writer_and_all_come_home() {
    guarded(|| {
        let pool = &Mempool::small(SLOTS).expect("a pool");
        let to_any = &mpmc::Ring::new(64);
        let (mut producers, mut consumers): (Vec<_>, Vec<_>) =
            (0..THREADS).map(|_| spsc::ring(32)).unzip();
        consumers.rotate_left(1);
        thread::scope(|scope| {
            for number in 0..THREADS as u64 {
                let to_next = producers.pop().expect("one per thread");
                let from_last = consumers.pop().expect("one per thread");
                scope.spawn(move || {
                    let worker = Worker {
                        pool,
                        random: random(number),
                        next: (number + 1) << 48,
                        held: Vec::new(),
                        to_next,
                        from_last,
                        to_any,
                        claim: CacheClaim::register().filter(|_| number > 0),
                    };
                    worker.run(rounds());
                });
            }
        });
        while let Some(parcel) = to_any.dequeue() {
            parcel.verify();
        }
        assert_eq!(pool.missing(), 0);
        for class in 0..2 {
            let stats = pool.stats(class).expect("two classes");
            assert!(stats.allocated > 0);
            assert_eq!(stats.allocated, stats.freed);
        }
    });
}

/// Many readers of one slot that leave at the same time: the last one writes.
#[test]
fn the_last_of_many_owners_has_the_slot_to_itself() {
    guarded(|| {
        let pool = &Mempool::small(8).expect("a pool");
        let mut ends: Vec<_> = (0..THREADS).map(|_| spsc::ring::<Parcel>(8)).collect();
        thread::scope(|scope| {
            let mut producers = Vec::new();
            for (producer, mut consumer) in ends.drain(..) {
                producers.push(producer);
                scope.spawn(move || {
                    let _claim = CacheClaim::register();
                    for round in 0..rounds() {
                        let mut parcel = loop {
                            match consumer.dequeue() {
                                Some(parcel) => break parcel,
                                None => thread::yield_now(),
                            }
                        };
                        parcel.verify();
                        if round % 2 == 0 {
                            parcel.rewrite(u64::MAX / 2);
                            parcel.verify();
                        }
                    }
                });
            }
            for round in 0..rounds() {
                let buf = loop {
                    match pool.alloc(64) {
                        Some(buf) => break buf,
                        None => thread::yield_now(),
                    }
                };
                let parcel = Parcel::fill(buf, round << 8, 8);
                for producer in &mut producers {
                    let mut share = parcel.slice(0, 8);
                    while let Err(refused) = producer.enqueue(share) {
                        share = refused;
                        thread::yield_now();
                    }
                }
            }
        });
        assert_eq!(pool.missing(), 0);
    });
}

/// A pool that is whole may be unmapped at once: whoever freed the last slot has left it.
#[test]
fn a_whole_pool_can_be_dropped_at_once() {
    guarded(|| {
        let (to_freer, freer) = mpsc::channel::<Vec<Buf>>();
        let freer = thread::spawn(move || {
            let mut claim = CacheClaim::register();
            for bufs in freer {
                drop(bufs);
                claim = if claim.is_some() { None } else { CacheClaim::register() };
            }
        });
        let mut random = random(100);
        for _ in 0..rounds().div_ceil(100) {
            let pool = Mempool::small(64).expect("a pool");
            let bufs = (0..1 + random.below(64)).filter_map(|_| pool.alloc(1)).collect();
            to_freer.send(bufs).expect("the freer runs");
            while pool.missing() > 0 {
                std::hint::spin_loop();
            }
        }
        drop(to_freer);
        freer.join().expect("the freer passes");
    });
}
