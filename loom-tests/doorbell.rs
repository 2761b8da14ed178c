//! The sleeping consumer's bell. A lost wake-up shows as a deadlock.

use loom::sync::Arc;
use loom::thread;
use ringway::ring::doorbell::Doorbell;
use ringway::ring::{mpmc, spsc};

/// Sleeps until rung, unless `has_work`.
fn sleep(bell: &Doorbell, has_work: impl FnOnce() -> bool) {
    if bell.sleep_unless(has_work) {
        bell.wait();
        bell.awake();
    }
}

/// Hunts: a consumer that sleeps for ever on an element published just before it lay down.
#[test]
fn no_wake_up_is_lost() {
    crate::explore(|| {
        let bell = Arc::new(Doorbell::default());
        let (mut producer, mut consumer) = spsc::ring::<u32>(2);
        let far = bell.clone();
        let filler = thread::spawn(move || {
            for element in [1, 2] {
                producer.enqueue(element).unwrap();
                far.ring();
            }
        });
        for element in [1, 2] {
            loop {
                if let Some(found) = consumer.dequeue() {
                    break assert_eq!(found, element);
                }
                sleep(&bell, || !consumer.is_empty());
            }
        }
        filler.join().unwrap();
    });
}

/// Hunts: two producers of which each leaves the ringing to the other.
#[test]
fn of_two_producers_one_rings() {
    crate::explore(|| {
        let bell = Arc::new(Doorbell::default());
        let ring = Arc::new(mpmc::Ring::<u32>::new(2));
        let fillers = [1, 2].map(|element| {
            let (bell, ring) = (bell.clone(), ring.clone());
            thread::spawn(move || {
                ring.enqueue(element).unwrap();
                bell.ring();
            })
        });
        let mut sum = 0;
        while sum < 3 {
            match ring.dequeue() {
                Some(element) => sum += element,
                None => sleep(&bell, || !ring.is_empty()),
            }
        }
        fillers.into_iter().for_each(|filler| filler.join().unwrap());
    });
}
