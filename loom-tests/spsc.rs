//! The ring between one producer and one consumer: slots, wrap-around, views, attaching.

// A count of drops that lives outside every model.
#![allow(clippy::disallowed_types)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use ringway::ring::spsc::{self, Consumer, Producer};
use ringway::sync::KeepAlive;

/// One step before the indices pass 2³².
const START: u32 = u32::MAX;

fn enqueue_all(producer: &mut Producer<u32>, mut elements: &[u32]) {
    while !elements.is_empty() {
        let taken = producer.enqueue_burst(elements);
        elements = &elements[taken..];
        if taken == 0 {
            thread::yield_now();
        }
    }
    assert!(!producer.peer_fault());
}

fn dequeue_all(consumer: &mut Consumer<u32>, count: usize) -> Vec<u32> {
    let mut out = vec![0; count];
    let mut taken = 0;
    while taken < count {
        let burst = consumer.dequeue_burst(&mut out[taken..]);
        taken += burst;
        if burst == 0 {
            thread::yield_now();
        }
    }
    assert!(!consumer.peer_fault());
    out
}

/// Hunts: an element read before it was written (the tail published too early).
#[test]
fn an_element_is_written_before_it_is_seen() {
    crate::explore(|| {
        let (mut producer, mut consumer) = spsc::ring_at(2, START);
        let filler = thread::spawn(move || producer.enqueue(7u32));
        loop {
            if let Some(element) = consumer.dequeue() {
                break assert_eq!(element, 7);
            }
            thread::yield_now();
        }
        filler.join().unwrap().unwrap();
    });
}

/// Hunts: an element seen before it was published, or one that a publication leaves out.
#[test]
fn what_was_staged_is_seen_once_it_is_published() {
    crate::explore(|| {
        let (mut producer, mut consumer) = spsc::ring_at(2, START);
        let filler = thread::spawn(move || {
            assert_eq!(producer.stage(1u32), Ok(()));
            assert_eq!(producer.stage(2), Ok(()));
            assert_eq!(producer.stage(3), Err(3), "there is no room");
            producer.publish();
        });
        let mut out = [0; 2];
        while consumer.is_empty() {
            thread::yield_now();
        }
        assert_eq!((consumer.dequeue_burst(&mut out), out), (2, [1, 2]), "both, or none");
        filler.join().unwrap();
    });
}

/// Hunts: a slot filled again while its old element is still being read (the head published too
/// early), and an index that goes astray where it passes 2³².
#[test]
fn a_slot_is_read_before_it_is_filled_again() {
    crate::explore(|| {
        let (mut producer, mut consumer) = spsc::ring_at(2, START);
        let filler = thread::spawn(move || enqueue_all(&mut producer, &[1, 2, 3, 4]));
        assert_eq!(dequeue_all(&mut consumer, 4), [1, 2, 3, 4]);
        filler.join().unwrap();
    });
}

/// Hunts: the same two bugs in the zero-copy views, whose slots are held between two calls.
#[test]
fn views_hold_their_slots_until_committed_or_released() {
    crate::explore(|| {
        let (mut producer, mut consumer) = spsc::ring_at(2, START);
        let filler = thread::spawn(move || {
            for element in [1, 2, 3] {
                loop {
                    let mut slots = producer.reserve(1);
                    if let Some(slot) = slots.as_mut_slices().0.first_mut() {
                        *slot = element;
                        break slots.commit(1);
                    }
                    thread::yield_now();
                }
            }
        });
        let mut next = 1u32;
        while next <= 3 {
            let chunk = consumer.peek(2);
            let count = chunk.len();
            let (first, second) = chunk.as_slices();
            for &element in first.iter().chain(second) {
                assert_eq!(element, next);
                next += 1;
            }
            chunk.release(count);
            if count == 0 {
                thread::yield_now();
            }
        }
        filler.join().unwrap();
    });
}

/// Hunts: an element dropped twice, or never, when the ends go in either order.
#[test]
fn what_is_left_is_dropped_once_with_the_last_end() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    crate::explore(|| {
        DROPS.store(0, Ordering::Relaxed);
        let (mut producer, mut consumer) = spsc::ring_at(2, START);
        let filler = thread::spawn(move || {
            assert!(producer.enqueue(Counted).is_ok());
            assert!(producer.enqueue(Counted).is_ok());
        });
        drop(consumer.dequeue());
        drop(consumer);
        filler.join().unwrap();
        assert_eq!(DROPS.load(Ordering::Relaxed), 2);
    });
}

#[repr(align(128))]
struct Page(#[allow(dead_code)] [u8; 4096]);

/// A ring of two slots in memory of its own.
fn segment() -> (NonNull<u8>, usize, KeepAlive) {
    let page: KeepAlive = std::sync::Arc::new(Page([0; 4096]));
    let memory = NonNull::from(page.downcast_ref::<Page>().unwrap()).cast();
    // SAFETY: the page is fresh and as large as we say.
    unsafe { spsc::create_in::<u32>(memory, 4096, 2) }.unwrap();
    (memory, 4096, page)
}

fn attach_producer((memory, bytes, keep): &(NonNull<u8>, usize, KeepAlive)) -> Producer<u32> {
    // SAFETY: the page lives as long as `keep`; the tests attach one producer at a time.
    unsafe { Producer::attach(*memory, *bytes, keep.clone()) }.unwrap()
}

fn attach_consumer((memory, bytes, keep): &(NonNull<u8>, usize, KeepAlive)) -> Consumer<u32> {
    // SAFETY: the page lives as long as `keep`; the tests attach one consumer at a time.
    unsafe { Consumer::attach(*memory, *bytes, keep.clone()) }.unwrap()
}

/// Hunts: a consumer that attaches to a running ring and reads elements not yet written.
#[test]
fn a_late_consumer_finds_elements_written() {
    crate::explore(|| {
        let segment = segment();
        let mut producer = attach_producer(&segment);
        let filler = thread::spawn(move || enqueue_all(&mut producer, &[1, 2]));
        let mut consumer = attach_consumer(&segment);
        assert_eq!(dequeue_all(&mut consumer, 2), [1, 2]);
        filler.join().unwrap();
    });
}

/// Hunts: a producer that attaches to a running ring and fills a slot still being read.
#[test]
fn a_late_producer_finds_slots_read() {
    crate::explore(|| {
        let segment = segment();
        enqueue_all(&mut attach_producer(&segment), &[1, 2]);
        let mut consumer = attach_consumer(&segment);
        let taker = thread::spawn(move || {
            assert_eq!(dequeue_all(&mut consumer, 1), [1]);
            assert_eq!(dequeue_all(&mut consumer, 1), [2]);
        });
        let mut producer = attach_producer(&segment);
        let room = producer.free();
        assert!(producer.enqueue_burst(&[3, 4]) >= room);
        taker.join().unwrap();
    });
}
