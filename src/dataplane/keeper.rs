//! The thread that keeps the statistics true where no lcore does: pools and ports are looked at, and lcores whether they
//! come round. It runs beside the lcores, and asks none of them anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Ports;
use super::watchdog::Watched;
use crate::config::Current;
use crate::counters::Segment;
use crate::counters::snapshot::{PoolSnapshot, PortSnapshot};
use crate::error::{Error, Result};
use crate::limits::STATS_PUBLISH_NS;
use crate::mem::Mempool;
use crate::sys::affinity;
use crate::time::{Clock, Instant};

/// What it looks at.
pub(super) struct Looks {
    pub segment: Arc<Segment>,
    pub clock: Clock,
    /// By NUMA node.
    pub pools: Vec<(u32, Mempool)>,
    pub ports: Ports,
    /// Says how long an lcore may be in one pass.
    pub current: Current,
    /// Where it may run.
    pub cpus: Vec<u32>,
}

/// The thread, until it is dropped.
pub(super) struct Keeper {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it. What it looks at has been published once when this returns.
    pub fn start(looks: Looks) -> Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = over.clone();
        looks.publish(&mut Stalls::default());
        let thread =
            thread::Builder::new().name("stats".to_owned()).spawn(move || looks.run(&theirs));
        let thread = thread.map_err(|e| {
            Error::new("start the statistics' thread", e, "raise the limit `ulimit -u`")
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of its own was printed.
            let _ = thread.join();
        }
    }
}

impl Looks {
    fn run(self, over: &(Mutex<bool>, Condvar)) {
        if let Err(error) = affinity::pin(&self.cpus) {
            tracing::debug!("the statistics' thread floats: {error}");
        }
        let mut stalls = Stalls::default();
        let mut watched: Vec<Watched> = self.segment.lcores().map(|_| Watched::default()).collect();
        let mut is_over = over.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over {
            drop(is_over);
            self.publish(&mut stalls);
            let (now, config) = (self.clock.now(), self.current.get().config.clone());
            for (lcore, watched) in self.segment.lcores().zip(&mut watched) {
                watched.look(lcore, now, &config.stats);
            }
            is_over = over.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !*is_over {
                let wait = over.1.wait_timeout(is_over, Duration::from_nanos(STATS_PUBLISH_NS));
                is_over = wait.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn publish(&self, stalls: &mut Stalls) {
        let pools: Vec<_> =
            self.pools.iter().flat_map(|(node, pool)| of_pool(*node, pool)).collect();
        let (now, waiting) = (self.clock.now(), self.ports.waiting());
        let ports = self.ports.list().into_iter().map(|(port, attached)| {
            let (waits, taken) = waiting.get(&port.name).copied().unwrap_or_default();
            PortSnapshot {
                role: port.role.name().to_owned(),
                pid: attached.map(|process| process.pid.max(0) as u32).filter(|pid| *pid > 0),
                trust: attached.map(|process| process.trust.name().to_owned()),
                waiting: waits,
                stalled_ns: stalls.look(&port.name, waits, taken, now),
                name: port.name,
            }
        });
        let ports: Vec<_> = ports.collect();
        stalls.tell(&ports, self.current.get().config.stats.watchdog);
        self.segment.publish(now.as_ns(), &pools, &ports);
    }
}

/// Processes at ports that take nothing of what they were told, and since when.
#[derive(Default)]
struct Stalls(BTreeMap<String, Stall>);

struct Stall {
    taken: u32,
    since: Instant,
    /// It was said.
    said: bool,
}

impl Stalls {
    /// For how long the process at port `name` has taken nothing while something waits for it, in nanoseconds.
    fn look(&mut self, name: &str, waits: u64, taken: u32, now: Instant) -> u64 {
        if waits == 0 {
            self.0.remove(name);
            return 0;
        }
        match self.0.get(name) {
            Some(stall) if stall.taken == taken => now.ns_since(stall.since),
            _ => {
                self.0.insert(name.to_owned(), Stall { taken, since: now, said: false });
                0
            }
        }
    }

    /// Names those for which that is longer than `most`, each once.
    fn tell(&mut self, ports: &[PortSnapshot], most: Duration) {
        for port in ports.iter().filter(|port| u128::from(port.stalled_ns) >= most.as_nanos()) {
            if let Some(stall) = self.0.get_mut(&port.name)
                && !std::mem::replace(&mut stall.said, true)
            {
                let (ms, pid) = (port.stalled_ns / 1_000_000, port.pid.unwrap_or(0));
                tracing::warn!(
                    port = port.name,
                    pid,
                    "its process has taken nothing for {ms} ms, and {} messages wait for it",
                    port.waiting
                );
            }
        }
    }
}

fn of_pool(node: u32, pool: &Mempool) -> impl Iterator<Item = PoolSnapshot> {
    pool.sizes().into_iter().enumerate().map(move |(index, size)| {
        let stats = pool.stats(index).expect("each size has its counts");
        PoolSnapshot {
            numa_node: node,
            pages: pool.pages().to_string(),
            slot_bytes: size.slot_bytes,
            slots: size.slots,
            in_use: stats.allocated.saturating_sub(stats.freed),
            allocated: stats.allocated,
            freed: stats.freed,
            exhausted: stats.exhausted,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stalled_while_it_takes_nothing_of_what_waits() {
        let (mut stalls, at) = (Stalls::default(), Instant::from_ns);
        assert_eq!(stalls.look("app", 0, 5, at(10)), 0);
        assert_eq!(stalls.look("app", 3, 5, at(20)), 0);
        assert_eq!(stalls.look("app", 4, 5, at(50)), 30);
        assert_eq!(stalls.look("other", 1, 5, at(50)), 0);
        assert_eq!(stalls.look("app", 4, 6, at(60)), 0, "it took one");
        assert_eq!(stalls.look("app", 4, 6, at(90)), 30);
        assert_eq!(stalls.look("app", 0, 10, at(95)), 0);
        assert_eq!(stalls.look("app", 1, 10, at(99)), 0);
    }
}
