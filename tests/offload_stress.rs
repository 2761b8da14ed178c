//! The offload pool under real threads: lcores that spawn, cancel, drop and poll, threads that work, sleep and
//! wake; every task has one outcome, is counted once, and those of one connection keep their order.
//! `OFFLOAD_STRESS_TASKS` scales it (default 100 thousand, a tenth in debug builds), `OFFLOAD_STRESS_SEED`
//! repeats a run. Runs under ThreadSanitizer and AddressSanitizer: `scripts/sanitize.sh`.
#![cfg(not(loom))]

mod stress;

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread;

use ringway::counters::{Counter, Counters};
use ringway::mem::{Buf, ConnId, Mempool};
use ringway::offload::{CancelToken, Failed, Offload, Options, Order, Place, Pool, Task};

use stress::{Random, guarded, scaled};

const LCORES: u8 = 3;
const THREADS: usize = 4;
/// Few, so that it is full now and then.
const QUEUE: u32 = 32;
const CONNECTIONS: usize = 8;

fn pool() -> Pool {
    let place = |n| Place { name: format!("offload-{n}"), cpus: Vec::new() };
    let threads = (0..THREADS).map(place).collect();
    Pool::new(Options { threads, queue: QUEUE, lcores: LCORES.into() })
}

/// The task's number, as it was given and in a buf.
type Numbered = Task<(u64, Buf)>;

/// What one lcore counts itself.
#[derive(Default)]
struct Tally {
    spawned: u64,
    refused: u64,
    done: u64,
    failed: u64,
    dropped: u64,
}

/// One lcore and its tasks, by connection in the order of their spawning.
struct Lcore {
    id: u8,
    offload: Offload,
    memory: Mempool,
    tasks: Vec<VecDeque<(u64, Numbered)>>,
    woken: mpsc::Receiver<ConnId>,
    random: Random,
    tally: Tally,
}

impl Lcore {
    fn spawn(&mut self, number: u64) {
        let slot = self.random.below(CONNECTIONS);
        let (memory, panics) = (self.memory.clone(), self.random.below(50) == 0);
        let work = move |cancel: &CancelToken| {
            assert!(!panics || cancel.is_cancelled(), "as the test wants");
            let mut buf = memory.alloc(64).expect("more slots than tasks");
            assert!(buf.append(&number.to_ne_bytes()));
            (number, buf)
        };
        let conn = ConnId::new(self.id, slot as u32, 1);
        match self.offload.spawn(conn, Order::Connection, work) {
            Ok(task) => {
                self.tally.spawned += 1;
                self.tasks[slot].push_back((number, task));
            }
            Err(_full) => self.tally.refused += 1,
        }
    }

    fn meddle(&mut self) {
        let slot = self.random.below(CONNECTIONS);
        match (self.random.below(8), self.tasks[slot].back()) {
            (0, Some((_, task))) => task.cancel(),
            (1, Some(_)) => {
                self.tally.dropped += 1;
                drop(self.tasks[slot].pop_back());
            }
            _ => {}
        }
    }

    /// Takes what is done of each connection from its front.
    fn poll(&mut self) {
        for tasks in &mut self.tasks {
            while let Some((number, task)) = tasks.front_mut() {
                match task.poll() {
                    Some(Ok((got, buf))) => {
                        assert_eq!((got, &*buf), (*number, &number.to_ne_bytes()[..]));
                        self.tally.done += 1;
                    }
                    Some(Err(why)) => {
                        assert_ne!(why, Failed::Stopped);
                        self.tally.failed += 1;
                    }
                    None => break,
                }
                tasks.pop_front();
            }
        }
    }

    fn run(mut self, tasks: u64) -> Tally {
        let mut number = 0;
        while number < tasks {
            for _ in 0..=self.random.below(QUEUE as usize) {
                self.spawn(number);
                number += 1;
            }
            self.meddle();
            while self.woken.try_recv().is_ok() {}
            self.poll();
            if self.random.below(4) == 0 {
                thread::yield_now();
            }
        }
        // To the end by wakes alone: one that got lost would be waited for in vain.
        loop {
            while self.woken.try_recv().is_ok() {}
            self.poll();
            if self.tasks.iter().all(VecDeque::is_empty) {
                return self.tally;
            }
            let _ = self.woken.recv();
        }
    }
}

#[test]
fn every_task_has_one_outcome_and_no_wake_is_lost_g_9() {
    guarded(|| {
        let tasks = scaled("OFFLOAD_STRESS_TASKS", 100_000) / u64::from(LCORES);
        let (pool, memory) = (pool(), Mempool::small(1024).unwrap());
        let counters = [(); LCORES as usize].map(|()| Counters::default());
        let lcores: Vec<_> = (0..LCORES)
            .map(|id| {
                let (tell, woken) = mpsc::channel();
                let wake = move |conn| {
                    let _ = tell.send(conn); // the lcore may have all it wants
                    true
                };
                let lcore = Lcore {
                    id,
                    offload: pool.lcore(counters[usize::from(id)].clone(), wake),
                    memory: memory.clone(),
                    tasks: (0..CONNECTIONS).map(|_| VecDeque::new()).collect(),
                    woken,
                    random: Random::seeded("OFFLOAD_STRESS_SEED", id.into()),
                    tally: Tally::default(),
                };
                thread::spawn(move || lcore.run(tasks))
            })
            .collect();
        let tallies: Vec<_> = lcores.into_iter().map(|lcore| lcore.join().unwrap()).collect();
        assert_eq!(pool.stop(), 0);
        assert_eq!(memory.missing(), 0);
        for (tally, counters) in tallies.iter().zip(&counters) {
            let [offloaded, refused, done, cancelled, panicked] = [
                Counter::Offloaded,
                Counter::OffloadRefused,
                Counter::OffloadDone,
                Counter::OffloadCancelled,
                Counter::OffloadPanicked,
            ]
            .map(|counter| counters.get(counter));
            assert_eq!((offloaded, refused), (tally.spawned, tally.refused));
            assert_eq!(offloaded, done + cancelled + panicked);
            assert_eq!(offloaded, tally.done + tally.failed + tally.dropped);
            assert!(done >= tally.done && cancelled > 0 && tally.done > 0);
        }
    });
}

#[test]
fn threads_that_sleep_between_all_tasks_hear_of_each() {
    guarded(|| {
        let pool = pool();
        let (tell, woken) = mpsc::channel();
        let offload = pool.lcore(Counters::default(), move |conn| tell.send(conn).is_ok());
        for number in 0..scaled("OFFLOAD_STRESS_TASKS", 100_000) / 5 {
            let conn = ConnId::new(0, number as u32 % 8, 1);
            let order = if number % 2 == 0 { Order::Any } else { Order::Connection };
            let mut task = offload.spawn(conn, order, move |_| number).unwrap();
            assert_eq!(woken.recv(), Ok(conn));
            assert_eq!(task.poll(), Some(Ok(number)));
        }
    });
}
