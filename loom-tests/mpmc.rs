//! The ring shared by many threads: claims, publishing in order, and the promise a free list needs.

use loom::sync::Arc;
use loom::thread;
use ringway::ring::mpmc::Ring;

/// One step before the indices pass 2³².
const START: u32 = u32::MAX;

fn dequeue(ring: &Ring<u32>) -> u32 {
    loop {
        if let Some(element) = ring.dequeue() {
            return element;
        }
        thread::yield_now();
    }
}

/// Hunts: two producers that claim one slot, and an element published by a later producer before
/// the earlier one's element was written.
#[test]
fn two_producers_lose_and_double_nothing() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        let other = ring.clone();
        let filler = thread::spawn(move || other.enqueue(1u32).unwrap());
        ring.enqueue(2).unwrap();
        // What this finds it may read; the rest is there once both have returned.
        let mut seen: Vec<_> = ring.dequeue().into_iter().collect();
        filler.join().unwrap();
        seen.extend(ring.dequeue());
        seen.extend(ring.dequeue());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

/// Hunts: an element seen by a third thread before its producer wrote it, because a later producer
/// published both.
#[test]
fn a_later_producer_publishes_the_earlier_one_too() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        let fillers = [1u32, 2].map(|element| {
            let ring = ring.clone();
            thread::spawn(move || ring.enqueue(element).unwrap())
        });
        let mut seen = [0; 2];
        let count = ring.dequeue_burst(&mut seen);
        assert!(seen[..count].iter().all(|element| [1, 2].contains(element)));
        fillers.into_iter().for_each(|filler| filler.join().unwrap());
        assert_eq!(ring.len(), 2 - count);
    });
}

/// Hunts: two consumers that take one element, and a slot given back by a later consumer while the
/// earlier one still reads.
#[test]
fn two_consumers_lose_and_double_nothing() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        assert!(ring.enqueue_bulk(&[1u32, 2]));
        let other = ring.clone();
        let taker = thread::spawn(move || dequeue(&other));
        let third = ring.clone();
        let filler = thread::spawn(move || third.enqueue_burst(&[3, 4]));
        let mut seen = vec![dequeue(&ring), taker.join().unwrap()];
        let added = filler.join().unwrap();
        seen.extend((0..added).map(|_| dequeue(&ring)));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4][..2 + added]);
    });
}

/// Hunts: bulks of two producers that interleave, or a bulk seen in part.
#[test]
fn a_bulk_stays_together() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(4, START));
        let other = ring.clone();
        let filler = thread::spawn(move || assert!(other.enqueue_bulk(&[1u32, 2])));
        assert!(ring.enqueue_bulk(&[3, 4]));
        let mut out = [0; 2];
        assert!(ring.dequeue_bulk(&mut out));
        assert!(out == [1, 2] || out == [3, 4]);
        filler.join().unwrap();
    });
}

/// Hunts: a full ring reported to a thread that returns what it took. A free list has room for all
/// of its elements, so giving one back must never fail; it does if a head moved by another thread
/// can be seen without the tail that this thread moved before.
#[test]
fn what_was_taken_can_always_be_given_back() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        assert!(ring.enqueue_bulk(&[1u32, 2]));
        let other = ring.clone();
        let borrower = thread::spawn(move || {
            let element = other.dequeue().expect("two elements for two threads");
            other.enqueue(element).expect("room for both elements");
        });
        let element = ring.dequeue().expect("two elements for two threads");
        ring.enqueue(element).expect("room for both elements");
        borrower.join().unwrap();
        assert_eq!(ring.len(), 2);
    });
}

/// Hunts: the same, where the other thread has gone round the ring meanwhile, so that a stale head
/// is met by a tail beyond it.
#[test]
fn what_is_held_finds_room_whatever_went_round() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        assert!(ring.enqueue_bulk(&[1u32, 2]));
        let held = ring.dequeue().expect("an element to hold");
        let other = ring.clone();
        let holder = thread::spawn(move || other.enqueue(held).expect("room for what is held"));
        for _ in 0..3 {
            let element = ring.dequeue().expect("the other element, or both");
            ring.enqueue(element).expect("room for both elements");
        }
        holder.join().unwrap();
        assert_eq!(ring.len(), 2);
    });
}

/// Hunts: a length computed from a consumers' tail that is newer than the producers' tail, which
/// makes an almost empty ring look full.
#[test]
fn the_length_is_never_more_than_was_put_in() {
    crate::explore(|| {
        let ring = Arc::new(Ring::new_at(2, START));
        let other = ring.clone();
        let looker = thread::spawn(move || assert!(other.len() <= 1));
        ring.enqueue(1u32).unwrap();
        ring.dequeue().unwrap();
        looker.join().unwrap();
        assert!(ring.is_empty());
    });
}
