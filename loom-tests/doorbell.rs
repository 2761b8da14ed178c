//! The sleeping consumer's bell. The eventfd is modelled by what it is: a flag that stays raised
//! until someone waits for it. A lost wake-up shows as a deadlock.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ringway::ring::doorbell::SleepFlag;
use ringway::ring::{mpmc, spsc};

#[derive(Default)]
struct Event {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn raise(&self) {
        let mut raised = self.raised.lock().unwrap();
        *raised = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
        *raised = false;
    }
}

#[derive(Default)]
struct Bell {
    flag: SleepFlag,
    event: Event,
}

impl Bell {
    fn ring(&self) {
        self.flag.ring(|| self.event.raise());
    }

    /// Sleeps until rung, unless `has_work`.
    fn sleep(&self, has_work: impl FnOnce() -> bool) {
        if self.flag.sleep_unless(has_work) {
            self.event.wait();
            self.flag.awake();
        }
    }
}

/// Hunts: a consumer that sleeps for ever on an element published just before it lay down.
#[test]
fn no_wake_up_is_lost() {
    crate::explore(|| {
        let bell = Arc::new(Bell::default());
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
                bell.sleep(|| !consumer.is_empty());
            }
        }
        filler.join().unwrap();
    });
}

/// Hunts: two producers of which each leaves the ringing to the other.
#[test]
fn of_two_producers_one_rings() {
    crate::explore(|| {
        let bell = Arc::new(Bell::default());
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
                None => bell.sleep(|| !ring.is_empty()),
            }
        }
        fillers.into_iter().for_each(|filler| filler.join().unwrap());
    });
}
