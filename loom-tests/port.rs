//! Both sides of a port asleep, over several queues. What `PortTable::sleep_unless_input` and
//! `Attachment::prepare_sleep` do is done here by hand, over the same flags and rings: each flag in
//! turn, and one event for all of a side. A lost wake-up shows as a deadlock.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ringway::ring::doorbell::SleepFlag;
use ringway::ring::spsc::{self, Consumer, Producer};

/// What a process waits for: one for all of its queues.
#[derive(Default)]
struct Event {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn raise(&self) {
        *self.raised.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
    }

    fn silence(&self) {
        *self.raised.lock().unwrap() = false;
    }
}

/// A queue's flag, and the event that belongs to it and to others.
#[derive(Clone)]
struct Bell(Arc<SleepFlag>, Arc<Event>);

impl Bell {
    fn new(event: &Arc<Event>) -> Self {
        Self(Arc::new(SleepFlag::new()), event.clone())
    }

    fn ring(&self) {
        self.0.ring(|| self.1.raise());
    }
}

/// Sleeps until one of the queues has something.
fn sleep(queues: &[(Consumer<u32>, Bell)]) {
    let asleep = |(into, bell): &(Consumer<u32>, Bell)| bell.0.sleep_unless(|| into.has_moved());
    if queues.iter().all(asleep) {
        queues[0].1.1.wait();
    }
    for (_, bell) in queues {
        bell.0.awake();
        bell.1.silence();
    }
}

fn send(out: &mut Producer<u32>, element: u32, bell: &Bell) {
    out.enqueue(element).unwrap();
    bell.ring();
}

/// Hunts: an event that is silenced for one queue after another has raised it, and a queue whose flag is
/// not up yet when the first is looked at.
#[test]
fn who_sleeps_on_two_queues_hears_of_both() {
    crate::explore(|| {
        let event = Arc::new(Event::default());
        let mut queues = Vec::new();
        let mut senders = Vec::new();
        for element in [1, 2] {
            let (mut out, into) = spsc::ring::<u32>(2);
            let bell = Bell::new(&event);
            queues.push((into, bell.clone()));
            senders.push(thread::spawn(move || send(&mut out, element, &bell)));
        }
        let mut sum = 0;
        while sum < 3 {
            sum += queues.iter_mut().filter_map(|(into, _)| into.dequeue()).sum::<u32>();
            if sum < 3 {
                sleep(&queues);
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// Hunts: two sides that lie down at the same moment, each with a word for the other on its way.
#[test]
fn two_sides_that_sleep_wake_each_other() {
    crate::explore(|| {
        let [ours, theirs] = [(); 2].map(|()| Bell::new(&Arc::new(Event::default())));
        let (mut down, from) = spsc::ring::<u32>(2);
        let (mut up, into) = spsc::ring::<u32>(2);
        let (near, far) = (ours.clone(), theirs.clone());
        let process = thread::spawn(move || {
            let mut queues = [(from, far)];
            for _ in 0..2 {
                let element = loop {
                    match queues[0].0.dequeue() {
                        Some(element) => break element,
                        None => sleep(&queues),
                    }
                };
                send(&mut up, element, &near);
            }
        });
        let mut queues = [(into, ours)];
        for element in [1, 2] {
            send(&mut down, element, &theirs);
            let answer = loop {
                match queues[0].0.dequeue() {
                    Some(answer) => break answer,
                    None => sleep(&queues),
                }
            };
            assert_eq!(answer, element);
        }
        process.join().unwrap();
    });
}
