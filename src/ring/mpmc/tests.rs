//! The contract of the mpmc ring on one thread; threads are for `tests/ring_stress.rs`.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

#[test]
fn it_holds_its_capacity_and_not_one_more() {
    for capacity in [1, 2, 8, 64] {
        let ring = Ring::new_at(capacity, u32::MAX - 1);
        for round in 0..3 {
            for element in 0..capacity {
                assert_eq!(ring.enqueue(round + element), Ok(()));
            }
            assert_eq!(ring.enqueue(99), Err(99));
            assert_eq!(ring.len(), capacity);
            for element in 0..capacity {
                assert_eq!(ring.dequeue(), Some(round + element));
            }
            assert_eq!(ring.dequeue(), None);
            assert!(ring.is_empty());
        }
    }
}

#[test]
fn a_burst_takes_what_fits_and_a_bulk_takes_all_or_nothing() {
    let ring = Ring::new_at(8, u32::MAX - 3);
    assert!(!ring.enqueue_bulk(&[0; 9]));
    assert!(ring.enqueue_bulk(&[1, 2, 3, 4, 5]));
    assert!(!ring.enqueue_bulk(&[6, 7, 8, 9]));
    assert_eq!(ring.enqueue_burst(&[6, 7, 8, 9]), 3);
    let mut out = [0; 9];
    assert!(!ring.dequeue_bulk(&mut out));
    assert!(ring.dequeue_bulk(&mut out[..3]));
    assert_eq!(out[..3], [1, 2, 3]);
    assert!(!ring.dequeue_bulk(&mut out[..6]));
    assert_eq!(ring.dequeue_burst(&mut out), 5);
    assert_eq!(out[..5], [4, 5, 6, 7, 8]);
    assert!(ring.enqueue_bulk(&[]) && ring.dequeue_bulk(&mut []));
}

#[test]
fn owned_elements_move_and_leftovers_are_dropped_once() {
    let counter = Arc::new(());
    let ring = Ring::new_at(4, u32::MAX - 1);
    let moved = [(); 5].map(|()| MaybeUninit::new(counter.clone()));
    // SAFETY: all are initialised; those taken are not used again.
    assert_eq!(unsafe { ring.enqueue_burst_moving(&moved) }, 4);
    let [.., last] = moved;
    // SAFETY: the fifth did not fit and is still ours.
    let last = unsafe { last.assume_init() };
    assert!(ring.enqueue(last).is_err());
    let mut out = [const { MaybeUninit::uninit() }; 2];
    assert_eq!(ring.dequeue_burst_uninit(&mut out), 2);
    // SAFETY: the burst initialised both.
    out.into_iter().for_each(|element| drop::<Arc<()>>(unsafe { element.assume_init() }));
    assert_eq!(Arc::strong_count(&counter), 3);
    drop(ring);
    assert_eq!(Arc::strong_count(&counter), 1);
}

proptest! {
    #[test]
    fn it_behaves_like_a_bounded_queue(
        log2 in 0..4u32,
        back in 0..20u32,
        steps in prop::collection::vec((any::<(bool, bool)>(), 0..12usize), 0..80),
    ) {
        let ring = Ring::new_at(1 << log2, 0u32.wrapping_sub(back));
        let mut oracle = VecDeque::<u32>::new();
        let mut next = 0u32;
        for ((puts, exact), n) in steps {
            let there = if puts { ring.capacity() - oracle.len() } else { oracle.len() };
            let expected = if exact && n > there { 0 } else { n.min(there) };
            let mut block: Vec<u32> = (next..next + n as u32).collect();
            let moved = match (puts, exact) {
                (true, true) => ring.enqueue_bulk(&block) as usize * n,
                (true, false) => ring.enqueue_burst(&block),
                (false, true) => ring.dequeue_bulk(&mut block) as usize * n,
                (false, false) => ring.dequeue_burst(&mut block),
            };
            prop_assert_eq!(moved, expected);
            if puts {
                next += n as u32;
                oracle.extend(&block[..moved]);
            } else {
                prop_assert!(oracle.drain(..moved).eq(block[..moved].iter().copied()));
            }
            prop_assert_eq!(ring.len(), oracle.len());
        }
    }
}
