//! The contract of the spsc ring on one thread; threads are for `tests/ring_stress.rs`.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

#[test]
fn it_holds_its_capacity_and_not_one_more() {
    for capacity in [1, 2, 8, 64] {
        let (mut producer, mut consumer) = ring_at(capacity, u32::MAX - 1);
        for round in 0..3 {
            assert_eq!((producer.free(), consumer.len()), (capacity, 0));
            for element in 0..capacity {
                assert_eq!(producer.enqueue(round + element), Ok(()));
            }
            assert_eq!(producer.enqueue(99), Err(99));
            assert_eq!((producer.free(), producer.len(), consumer.len()), (0, capacity, capacity));
            for element in 0..capacity {
                assert_eq!(consumer.dequeue(), Some(round + element));
            }
            assert_eq!(consumer.dequeue(), None);
        }
    }
}

#[test]
fn a_burst_takes_what_fits_and_a_bulk_takes_all_or_nothing() {
    let (mut producer, mut consumer) = ring_at(8, u32::MAX - 3);
    assert!(!producer.enqueue_bulk(&[0; 9]));
    assert!(producer.enqueue_bulk(&[1, 2, 3, 4, 5]));
    assert!(!producer.enqueue_bulk(&[6, 7, 8, 9]));
    assert_eq!(producer.enqueue_burst(&[6, 7, 8, 9]), 3);
    let mut out = [0; 9];
    assert!(!consumer.dequeue_bulk(&mut out));
    assert!(consumer.dequeue_bulk(&mut out[..3]));
    assert_eq!(out[..3], [1, 2, 3]);
    assert!(!consumer.dequeue_bulk(&mut out[..6]));
    assert_eq!(out[..3], [1, 2, 3], "a failed bulk leaves the output as it was");
    assert_eq!(consumer.dequeue_burst(&mut out), 5);
    assert_eq!(out[..5], [4, 5, 6, 7, 8]);
    assert!(producer.enqueue_bulk(&[]) && consumer.dequeue_bulk(&mut []));
}

#[test]
fn views_cover_the_wrap_in_two_runs() {
    let (mut producer, mut consumer) = ring_at::<u16>(4, u32::MAX - 2);
    producer.enqueue_burst(&[0, 0]);
    consumer.peek(9).release(2);
    let mut slots = producer.reserve(9);
    let (first, second) = slots.as_mut_slices();
    assert_eq!((first.len(), second.len()), (1, 3));
    first[0] = 1;
    second[..2].copy_from_slice(&[2, 3]);
    slots.commit(3);
    let chunk = consumer.peek(9);
    assert_eq!(chunk.as_slices(), (&[1][..], &[2, 3][..]));
    chunk.release(1);
    assert_eq!(consumer.dequeue(), Some(2));
    assert_eq!(producer.reserve(2).len(), 2);
    assert_eq!(consumer.len(), 1, "a reservation that is dropped adds nothing");
}

#[test]
fn owned_elements_move_and_leftovers_are_dropped_once() {
    let counter = Arc::new(());
    let (mut producer, mut consumer) = ring_at(8, u32::MAX - 1);
    let mut source = std::iter::repeat_n(counter.clone(), 12);
    assert_eq!(producer.enqueue_burst_from(&mut source), 8);
    assert_eq!(source.len(), 4, "what does not fit stays in the source");
    drop(source);
    assert_eq!(Arc::strong_count(&counter), 9);
    consumer.peek(2).release(2);
    assert_eq!(consumer.dequeue_burst_with(2, drop), 2);
    let mut out = [const { MaybeUninit::uninit() }; 2];
    assert_eq!(consumer.dequeue_burst_uninit(&mut out), 2);
    // SAFETY: the burst initialised both.
    out.into_iter().for_each(|element| drop::<Arc<()>>(unsafe { element.assume_init() }));
    assert_eq!(Arc::strong_count(&counter), 3);
    let moved = [MaybeUninit::new(counter.clone()), MaybeUninit::new(counter.clone())];
    // SAFETY: both are initialised and not used again.
    assert_eq!(unsafe { producer.enqueue_burst_moving(&moved) }, 2);
    drop(producer);
    assert_eq!(consumer.len(), 4);
    drop(consumer);
    assert_eq!(Arc::strong_count(&counter), 1);
}

#[test]
fn a_panic_half_way_loses_nothing() {
    let counter = Arc::new(());
    let (mut producer, mut consumer) = ring(8);
    let mut source = (0..4).map(|index| {
        assert!(index < 2, "the source gives up");
        counter.clone()
    });
    let burst = AssertUnwindSafe(|| producer.enqueue_burst_from(&mut source));
    assert!(catch_unwind(burst).is_err());
    assert_eq!(consumer.len(), 2, "what was written before the panic is published");
    let burst =
        AssertUnwindSafe(|| consumer.dequeue_burst_with(2, |_| panic!("the taker gives up")));
    assert!(catch_unwind(burst).is_err());
    assert_eq!((consumer.len(), producer.free()), (1, 7), "what was taken is gone");
    drop((producer, consumer));
    assert_eq!(Arc::strong_count(&counter), 1);
}

#[test]
fn an_end_moves_between_threads_but_needs_send_elements() {
    fn is_send<T: Send>() {}
    is_send::<Producer<Box<u8>>>();
    is_send::<Consumer<Box<u8>>>();
    // `ring::<Rc<()>>` must not compile; that `Rc` is not `Send` is what the bound relies on.
    let _ = Rc::new(());
}

#[test]
#[should_panic(expected = "power of two")]
fn a_capacity_that_is_no_power_of_two_is_a_bug() {
    ring::<u32>(12);
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue,
    Burst(usize),
    Bulk(usize),
    From(usize),
    Reserve(usize, usize),
    Stage(usize),
    Publish,
    Dequeue,
    TakeBurst(usize),
    TakeBulk(usize),
    TakeWith(usize),
    Peek(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..12usize;
    prop_oneof![
        Just(Step::Enqueue),
        n().prop_map(Step::Burst),
        n().prop_map(Step::Bulk),
        n().prop_map(Step::From),
        n().prop_map(Step::Stage),
        Just(Step::Publish),
        (n(), n()).prop_map(|(max, commit)| Step::Reserve(max, commit)),
        Just(Step::Dequeue),
        n().prop_map(Step::TakeBurst),
        n().prop_map(Step::TakeBulk),
        n().prop_map(Step::TakeWith),
        (n(), n()).prop_map(|(max, release)| Step::Peek(max, release)),
    ]
}

/// The ring, the queue it must behave like, and the next element.
struct Pair {
    producer: Producer<u64>,
    consumer: Consumer<u64>,
    oracle: VecDeque<u64>,
    /// What the consumer does not see yet.
    staged: Vec<u64>,
    next: u64,
}

impl Pair {
    fn fresh(&mut self, count: usize) -> Vec<u64> {
        let start = self.next;
        self.next += count as u64;
        (start..self.next).collect()
    }

    fn put(&mut self, step: &Step) {
        let free = self.producer.capacity() - self.oracle.len() - self.staged.len();
        if let Step::Stage(n) = *step {
            return self.stage(n, free);
        }
        let (elements, expected) = match *step {
            Step::Publish => (Vec::new(), 0),
            Step::Enqueue => (self.fresh(1), free.min(1)),
            Step::Burst(n) | Step::From(n) => (self.fresh(n), free.min(n)),
            Step::Bulk(n) => (self.fresh(n), if n <= free { n } else { 0 }),
            Step::Reserve(max, commit) => (self.fresh(max), free.min(max).min(commit)),
            _ => return,
        };
        let producer = &mut self.producer;
        let put = match *step {
            Step::Enqueue => producer.enqueue(elements[0]).is_ok() as usize,
            Step::Burst(_) => producer.enqueue_burst(&elements),
            Step::From(_) => producer.enqueue_burst_from(&mut elements.iter().copied()),
            Step::Bulk(n) => producer.enqueue_bulk(&elements) as usize * n,
            Step::Publish => {
                producer.publish();
                0
            }
            _ => {
                let mut slots = producer.reserve(elements.len());
                assert_eq!(slots.len(), free.min(elements.len()));
                let (first, second) = slots.as_mut_slices();
                let split = first.len();
                first.copy_from_slice(&elements[..split]);
                second.copy_from_slice(&elements[split..split + second.len()]);
                slots.commit(expected);
                expected
            }
        };
        assert_eq!(put, expected);
        // Whatever is shown shows what was staged before it.
        if put > 0 || matches!(step, Step::Publish | Step::Reserve(..)) {
            self.oracle.extend(self.staged.drain(..));
        }
        self.oracle.extend(&elements[..put]);
    }

    fn stage(&mut self, n: usize, free: usize) {
        let elements = self.fresh(n);
        let staged = elements.iter().take_while(|&&e| self.producer.stage(e).is_ok()).count();
        assert_eq!(staged, n.min(free));
        self.staged.extend(&elements[..staged]);
    }

    fn take(&mut self, step: &Step) {
        let ready = self.oracle.len();
        let mut out = [0; 12];
        let consumer = &mut self.consumer;
        let taken = match *step {
            Step::Dequeue => consumer.dequeue().map(|element| out[0] = element).iter().count(),
            Step::TakeBurst(n) => consumer.dequeue_burst(&mut out[..n]),
            Step::TakeBulk(n) => consumer.dequeue_bulk(&mut out[..n]) as usize * n,
            Step::TakeWith(n) => {
                let mut slots = out.iter_mut();
                consumer.dequeue_burst_with(n, |element| *slots.next().expect("n") = element)
            }
            Step::Peek(max, release) => {
                let chunk = consumer.peek(max);
                assert_eq!(chunk.len(), ready.min(max));
                let count = chunk.len().min(release);
                let (first, second) = chunk.as_slices();
                let all = [first, second].concat();
                out[..count].copy_from_slice(&all[..count]);
                chunk.release(count);
                count
            }
            _ => return,
        };
        let expected = match *step {
            Step::Dequeue => ready.min(1),
            Step::TakeBurst(n) | Step::TakeWith(n) => ready.min(n),
            Step::TakeBulk(n) => {
                if n <= ready {
                    n
                } else {
                    0
                }
            }
            _ => taken,
        };
        assert_eq!(taken, expected);
        assert!(self.oracle.drain(..taken).eq(out[..taken].iter().copied()));
    }
}

proptest! {
    #[test]
    fn it_behaves_like_a_bounded_queue(
        log2 in 0..4u32,
        back in 0..20u32,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let (producer, consumer) = ring_at(1 << log2, 0u32.wrapping_sub(back));
        let mut pair = Pair { producer, consumer, oracle: VecDeque::new(), staged: Vec::new(), next: 0 };
        for step in &steps {
            pair.put(step);
            pair.take(step);
            prop_assert_eq!(pair.producer.len(), pair.oracle.len() + pair.staged.len());
            prop_assert_eq!(pair.consumer.len(), pair.oracle.len());
        }
    }
}
