//! The offload pool's queues and the place in which work and results lie: no job stays in a ring while
//! threads sleep, which would show as a deadlock; none is done twice or lost when the pool stops. The code is
//! the production code; only the eventfd is a model.

use loom::sync::{Condvar, Mutex};
use loom::thread;
use ringway::offload::queues::Queues;
use ringway::ring::handoff::Handoff;
use ringway::sync::{Arc, AtomicU32, Ordering};

/// What the thread at `lane` does until the queues stop, and then with what is left.
fn work(queues: &Queues<u32>, lane: usize, mut run: impl FnMut(u32)) {
    while !queues.is_stopped() {
        match queues.take(lane, true) {
            Some(job) => run(job),
            None => queues.wait(lane),
        }
    }
    while let Some(job) = queues.take_any() {
        run(job);
    }
}

/// Hunts: a job whose pusher saw the thread awake while the thread saw its rings empty.
#[test]
fn offload_a_thread_that_sleeps_hears_of_every_job() {
    crate::explore(|| {
        let queues = Arc::new(Queues::new(1, 2).unwrap());
        let theirs = queues.clone();
        let thread = thread::spawn(move || {
            let (mut seen, mut count) = (0, 0);
            while count < 2 {
                match theirs.take(0, true) {
                    Some(job) => (seen, count) = (seen + job, count + 1),
                    None => theirs.wait(0),
                }
            }
            seen
        });
        queues.push(1, None).unwrap();
        queues.push(2, Some(0)).unwrap();
        assert_eq!(thread.join().unwrap(), 3);
    });
}

/// Hunts: a job for any thread left behind a long one of the thread that was woken for it, while another
/// sleeps. The long one ends when the other is done.
#[test]
fn offload_a_job_for_any_thread_does_not_wait_behind_another_while_one_sleeps() {
    const LONG: u32 = 1;
    const ANY: u32 = 2;
    crate::explore_within(2, || {
        let queues = Arc::new(Queues::new(2, 2).unwrap());
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let threads = [0, 1].map(|lane| {
            let (queues, done) = (queues.clone(), done.clone());
            thread::spawn(move || {
                loop {
                    match queues.take(lane, true) {
                        Some(ANY) => {
                            *done.0.lock().unwrap() = true;
                            done.1.notify_all();
                        }
                        Some(_) => {
                            let mut is_done = done.0.lock().unwrap();
                            while !*is_done {
                                is_done = done.1.wait(is_done).unwrap();
                            }
                        }
                        None if queues.is_stopped() => return,
                        None => queues.wait(lane),
                    }
                }
            })
        });
        queues.push(ANY, None).unwrap();
        queues.push(LONG, Some(0)).unwrap();
        let mut is_done = done.0.lock().unwrap();
        while !*is_done {
            is_done = done.1.wait(is_done).unwrap();
        }
        drop(is_done);
        queues.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Hunts: a job that is pushed while the pool stops, and that neither the thread nor its pusher finds.
#[test]
fn offload_a_job_is_found_by_a_thread_that_stops_or_its_pusher_hears_of_the_stop() {
    crate::explore(|| {
        let queues = Arc::new(Queues::new(1, 2).unwrap());
        let done = Arc::new(AtomicU32::new(0));
        let (theirs, count) = (queues.clone(), done.clone());
        let thread = thread::spawn(move || {
            work(&theirs, 0, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        let pusher = queues.clone();
        let pushes = thread::spawn(move || {
            pusher.push(1, None).unwrap();
            pusher.is_stopped()
        });
        queues.stop();
        let heard = pushes.join().unwrap();
        thread.join().unwrap();
        assert!(done.load(Ordering::Relaxed) == 1 || heard);
    });
}

/// Hunts: work that begins though it was taken back, or a result that is seen before it is written.
#[test]
fn offload_of_two_who_take_the_work_one_gets_it_and_its_result_is_whole() {
    crate::explore(|| {
        let work = Arc::new(Handoff::full(Box::new(7)));
        let result = Arc::new(Handoff::empty());
        let (theirs, their_result) = (work.clone(), result.clone());
        let thread = thread::spawn(move || {
            if let Some(work) = theirs.take() {
                their_result.put(Box::new(*work + 1)).unwrap();
            }
        });
        let cancelled = work.take();
        if cancelled.is_some() {
            result.put(Box::new(0)).unwrap();
        }
        let early = result.take().map(|result| *result);
        thread.join().unwrap();
        let got = early.unwrap_or_else(|| *result.take().unwrap());
        assert_eq!(got, if cancelled.is_some() { 0 } else { 8 });
    });
}
