//! What was counted between two looks at a dataplane, and how much of it a second. Arithmetic alone: who looks, and how
//! often, is somebody else's business.

use std::slice;

use serde::{Serialize, Serializer};

use super::histogram::Histogram;
use super::snapshot::{
    LcoreSnapshot, ListenerSnapshot, PoolSnapshot, Snapshot, StageSnapshot, Values,
};

/// What was counted in a time.
#[derive(Debug, Clone, Default)]
pub struct Interval {
    /// How long it was; 0 where no time was seen to pass.
    pub seconds: f64,
    /// What was counted in it. What is no count (connections, slots in use, names, state) is as at its end.
    pub change: Snapshot,
}

/// How much happens, per second, over an [`Interval`].
///
/// In JSON an object; all numbers are per second but for those that say otherwise.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rates {
    /// Of the interval, in seconds. Where it is 0 all rates are.
    pub seconds: f64,
    /// Messages that reached a handler.
    pub messages: f64,
    /// Bytes received.
    pub rx_bytes: f64,
    /// Bytes sent.
    pub tx_bytes: f64,
    /// Connections accepted.
    pub accepted: f64,
    /// Bufs dropped, for whatever reason.
    pub dropped: f64,
    /// From receive to send in the interval, over all listeners: how many were counted, and quantiles in nanoseconds.
    pub latency: Histogram,
    /// By lcore.
    pub lcores: Vec<LcoreRates>,
    /// By listener.
    pub listeners: Vec<ListenerRates>,
    /// By pool and size of slots.
    pub pools: Vec<PoolRates>,
}

/// Those of an lcore.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LcoreRates {
    /// Its number.
    pub lcore_id: u32,
    /// How it spent its time.
    pub time: TimeShares,
    /// By counter.
    pub counters: PerSecond,
    /// Bufs dropped, by reason.
    pub dropped: PerSecond,
    /// By verb of its poll loop.
    pub stages: Vec<StageRates>,
}

/// Those of a listener.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListenerRates {
    /// Its number.
    pub index: u8,
    /// Where it listens.
    pub address: String,
    /// By counter.
    pub counters: PerSecond,
    /// Bufs dropped, by reason.
    pub dropped: PerSecond,
    /// By stage.
    pub stages: Vec<StageRates>,
    /// From receive to send in the interval.
    pub latency: Histogram,
}

/// Those of a stage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StageRates {
    /// Its name.
    pub name: String,
    /// Calls.
    pub calls: f64,
    /// Bufs.
    pub bufs: f64,
    /// On average; not per second.
    pub bufs_per_call: f64,
    /// On average; not per second.
    pub cycles_per_call: f64,
    /// On average; not per second.
    pub cycles_per_buf: f64,
    /// Of the time of its lcore, or for a listener of all lcores: from 0 to 1.
    pub share: f64,
}

/// Those of one size of slots.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PoolRates {
    /// NUMA node of the pool.
    pub numa_node: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Slots taken.
    pub allocated: f64,
    /// Slots given back.
    pub freed: f64,
    /// Times that none was left.
    pub exhausted: f64,
}

/// How an lcore spent its time: parts of 1, all 0 where nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimeShares {
    /// In passes that found work.
    pub busy: f64,
    /// In passes that found none.
    pub idle: f64,
    /// Asleep in the kernel.
    pub sleep: f64,
}

/// Rates by name, in the order of the counters. In JSON an object.
#[derive(Debug, Clone, Default)]
pub struct PerSecond(pub Vec<(String, f64)>);

impl Interval {
    /// From the start until it was looked at.
    pub fn whole(snapshot: &Snapshot) -> Self {
        Self { seconds: seconds(snapshot.uptime_ns), change: snapshot.clone() }
    }

    /// From one look to a later one. Where the instance was started again between them, that is the whole life of the
    /// new one; what began within the interval counts from its own beginning. So nothing is ever below 0.
    pub fn between(earlier: &Snapshot, later: &Snapshot) -> Self {
        if (earlier.pid, &earlier.instance) != (later.pid, &later.instance) {
            return Self::whole(later);
        }
        let seconds = seconds(since(later.uptime_ns, earlier.uptime_ns));
        let mut change = later.clone();
        for lcore in &mut change.lcores {
            let before = earlier.lcores.iter().find(|it| it.lcore_id == lcore.lcore_id);
            before.into_iter().for_each(|before| lcore_since(lcore, before));
        }
        for listener in &mut change.listeners {
            // Who came after one that has gone may have its number.
            let same = |it: &&ListenerSnapshot| {
                it.index == listener.index && it.address == listener.address
            };
            let before = earlier.listeners.iter().find(same);
            before.into_iter().for_each(|before| listener_since(listener, before));
        }
        for pool in &mut change.pools {
            let same = |it: &&PoolSnapshot| {
                (it.numa_node, it.slot_bytes) == (pool.numa_node, pool.slot_bytes)
            };
            let before = earlier.pools.iter().find(same);
            before.into_iter().for_each(|before| pool_since(pool, before));
        }
        Self { seconds, change }
    }

    /// How much a second.
    pub fn per_second(&self, n: u64) -> f64 {
        if self.seconds > 0.0 { n as f64 / self.seconds } else { 0.0 }
    }

    /// The part of the time of these lcores that so many of their cycles are, from 0 to 1. Cycles are estimates, in which
    /// a pass that the system interrupted weighs as much as all that it stands for; the time that an lcore was awake is
    /// known, so no more than that is said.
    pub fn share_of(&self, cycles: u64, lcores: &[LcoreSnapshot]) -> f64 {
        let awake = lcores.iter().map(|lcore| TimeShares::of(lcore).awake()).sum::<f64>();
        let all = self.seconds * self.change.cycles_per_second as f64 * lcores.len() as f64;
        if all > 0.0 { (cycles as f64 / all).min(awake / lcores.len() as f64) } else { 0.0 }
    }

    /// From receive to send, over all listeners.
    pub fn latency(&self) -> Histogram {
        let mut all = Histogram::default();
        self.change.listeners.iter().for_each(|listener| all.merge(&listener.latency));
        all
    }

    /// All of it per second.
    pub fn rates(&self) -> Rates {
        let change = &self.change;
        let dropped = change.dropped().iter().map(|(_, n)| n).sum();
        Rates {
            seconds: rounded(self.seconds),
            messages: self.rate(change.sum("messages")),
            rx_bytes: self.rate(change.sum("rx_bytes")),
            tx_bytes: self.rate(change.sum("tx_bytes")),
            accepted: self.rate(change.sum("accepted")),
            dropped: self.rate(dropped),
            latency: self.latency(),
            lcores: change.lcores.iter().map(|lcore| self.lcore(lcore)).collect(),
            listeners: change.listeners.iter().map(|listener| self.listener(listener)).collect(),
            pools: change.pools.iter().map(|pool| self.pool(pool)).collect(),
        }
    }

    fn rate(&self, n: u64) -> f64 {
        rounded(self.per_second(n))
    }

    fn values(&self, values: &Values) -> PerSecond {
        PerSecond(values.iter().map(|(name, n)| (name.to_owned(), self.rate(n))).collect())
    }

    fn lcore(&self, lcore: &LcoreSnapshot) -> LcoreRates {
        LcoreRates {
            lcore_id: lcore.lcore_id,
            time: TimeShares::of(lcore),
            counters: self.values(&lcore.counters),
            dropped: self.values(&lcore.dropped),
            stages: lcore
                .stages
                .iter()
                .map(|stage| self.stage(stage, slice::from_ref(lcore)))
                .collect(),
        }
    }

    fn listener(&self, listener: &ListenerSnapshot) -> ListenerRates {
        let lcores = &self.change.lcores;
        ListenerRates {
            index: listener.index,
            address: listener.address.clone(),
            counters: self.values(&listener.counters),
            dropped: self.values(&listener.dropped),
            stages: listener.stages.iter().map(|stage| self.stage(stage, lcores)).collect(),
            latency: listener.latency.clone(),
        }
    }

    fn stage(&self, stage: &StageSnapshot, lcores: &[LcoreSnapshot]) -> StageRates {
        StageRates {
            name: stage.name.clone(),
            calls: self.rate(stage.calls),
            bufs: self.rate(stage.bufs),
            bufs_per_call: rounded(stage.bufs_a_call()),
            cycles_per_call: rounded(stage.cycles_a_call()),
            cycles_per_buf: rounded(stage.cycles_a_buf()),
            share: self.share_of(stage.cycles, lcores),
        }
    }

    fn pool(&self, pool: &PoolSnapshot) -> PoolRates {
        PoolRates {
            numa_node: pool.numa_node,
            slot_bytes: pool.slot_bytes,
            allocated: self.rate(pool.allocated),
            freed: self.rate(pool.freed),
            exhausted: self.rate(pool.exhausted),
        }
    }
}

impl TimeShares {
    /// All but sleep.
    fn awake(&self) -> f64 {
        self.busy + self.idle
    }

    /// Of what an lcore counted. One that says nothing for a while has slept, unless it is known to be stuck.
    pub fn of(change: &LcoreSnapshot) -> Self {
        let [busy, idle, sleep] =
            ["busy_ns", "idle_ns", "sleep_ns"].map(|name| change.counters.get(name) as f64);
        match busy + idle + sleep {
            0.0 if change.doing.is_some() => Self { busy: 1.0, ..Self::default() },
            0.0 => Self { sleep: 1.0, ..Self::default() },
            all => Self { busy: busy / all, idle: idle / all, sleep: sleep / all },
        }
    }
}

impl Serialize for PerSecond {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, rate)| (name, rate)))
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// To thousandths: more digits than anybody reads make JSON long.
fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

/// What was counted since a counter was at `earlier`. One that went backwards began anew.
fn since(later: u64, earlier: u64) -> u64 {
    later.checked_sub(earlier).unwrap_or(later)
}

fn values_since(later: &mut Values, earlier: &Values) {
    for (place, (name, value)) in later.0.iter_mut().enumerate() {
        let before = match earlier.0.get(place) {
            Some((there, before)) if there == name => *before,
            _ => earlier.get(name),
        };
        *value = since(*value, before);
    }
}

fn stages_since(later: &mut [StageSnapshot], earlier: &[StageSnapshot]) {
    for stage in later {
        let Some(before) = earlier.iter().find(|it| it.name == stage.name) else { continue };
        if stage.calls < before.calls {
            continue;
        }
        stage.calls -= before.calls;
        stage.bufs = since(stage.bufs, before.bufs);
        stage.cycles = since(stage.cycles, before.cycles);
        for (count, before) in stage.bufs_per_call.iter_mut().zip(before.bufs_per_call) {
            *count = since(*count, before);
        }
    }
}

fn lcore_since(later: &mut LcoreSnapshot, earlier: &LcoreSnapshot) {
    values_since(&mut later.counters, &earlier.counters);
    values_since(&mut later.dropped, &earlier.dropped);
    stages_since(&mut later.stages, &earlier.stages);
    later.stalls = since(later.stalls, earlier.stalls);
}

fn listener_since(later: &mut ListenerSnapshot, earlier: &ListenerSnapshot) {
    values_since(&mut later.counters, &earlier.counters);
    values_since(&mut later.dropped, &earlier.dropped);
    stages_since(&mut later.stages, &earlier.stages);
    if later.latency.count() >= earlier.latency.count() {
        later.latency = later.latency.since(&earlier.latency);
    }
}

fn pool_since(later: &mut PoolSnapshot, earlier: &PoolSnapshot) {
    later.allocated = since(later.allocated, earlier.allocated);
    later.freed = since(later.freed, earlier.freed);
    later.exhausted = since(later.exhausted, earlier.exhausted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::snapshot::State;

    fn values(values: &[(&str, u64)]) -> Values {
        Values(values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    fn lcore(values: Values) -> LcoreSnapshot {
        LcoreSnapshot { lcore_id: 1, counters: values, ..LcoreSnapshot::default() }
    }

    /// Process 7 after so many milliseconds.
    fn snapshot(uptime_ms: u64, counters: &[(&str, u64)]) -> Snapshot {
        Snapshot {
            pid: 7,
            state: State::Running,
            uptime_ns: uptime_ms * 1_000_000,
            cycles_per_second: 1_000_000_000,
            lcores: vec![lcore(values(counters))],
            ..Snapshot::default()
        }
    }

    #[test]
    fn rates_are_of_the_time_that_really_passed() {
        let earlier = snapshot(1000, &[("messages", 100), ("rx_bytes", 10)]);
        let later = snapshot(1250, &[("messages", 150), ("rx_bytes", 10)]);
        let interval = Interval::between(&earlier, &later);
        assert_eq!((interval.seconds, interval.change.sum("messages")), (0.25, 50));
        let rates = interval.rates();
        assert_eq!((rates.messages, rates.rx_bytes), (200.0, 0.0));
        assert_eq!(rates.lcores[0].counters.0[0], ("messages".to_owned(), 200.0));
    }

    #[test]
    fn an_instance_that_was_started_again_counts_from_its_own_start() {
        let earlier = snapshot(9000, &[("messages", 1000)]);
        let other = Snapshot { pid: 8, ..snapshot(500, &[("messages", 10)]) };
        assert_eq!(Interval::between(&earlier, &other).rates().messages, 20.0);
        // A process number may come again.
        let again = snapshot(500, &[("messages", 10)]);
        assert_eq!(Interval::between(&earlier, &again).rates().messages, 20.0);
    }

    #[test]
    fn a_counter_that_went_backwards_began_anew_and_a_new_one_counts_whole() {
        let earlier = snapshot(1000, &[("messages", 100)]);
        let later = snapshot(2000, &[("messages", 30), ("mails", 5)]);
        let change = Interval::between(&earlier, &later).change;
        assert_eq!((change.sum("messages"), change.sum("mails")), (30, 5));
    }

    #[test]
    fn a_listener_that_has_the_number_of_one_that_is_gone_counts_from_0() {
        let with = |uptime, address: &str, messages| {
            let counters = values(&[("messages", messages)]);
            let address = address.to_owned();
            let mut latency = Histogram::default();
            latency.record(1000, messages);
            let listener = ListenerSnapshot { address, counters, latency, ..Default::default() };
            Snapshot { listeners: vec![listener], ..snapshot(uptime, &[]) }
        };
        let earlier = with(1000, "a:1", 100);
        let same = Interval::between(&earlier, &with(2000, "a:1", 130)).change;
        assert_eq!(same.listeners[0].counters.get("messages"), 30);
        assert_eq!(same.listeners[0].latency.count(), 30);
        let other = Interval::between(&earlier, &with(2000, "b:1", 130)).change;
        assert_eq!(other.listeners[0].counters.get("messages"), 130);
        let anew = Interval::between(&earlier, &with(2000, "a:1", 20)).change;
        assert_eq!(anew.listeners[0].latency.count(), 20);
    }

    #[test]
    fn nothing_passes_where_no_time_does() {
        let dead = Snapshot { state: State::Died, ..snapshot(1000, &[("messages", 5)]) };
        let interval = Interval::between(&snapshot(1000, &[("messages", 3)]), &dead);
        assert_eq!((interval.seconds, interval.rates().messages), (0.0, 0.0));
        assert_eq!(interval.share_of(5, &interval.change.lcores), 0.0);
    }

    #[test]
    fn the_whole_life_of_one_that_died_is_an_interval() {
        let dead = Snapshot { state: State::Died, ..snapshot(2000, &[("messages", 5)]) };
        assert_eq!(Interval::whole(&dead).rates().messages, 2.5);
    }

    #[test]
    fn stages_have_shares_of_their_lcores_time_and_averages() {
        let stage = |calls, bufs, cycles| StageSnapshot {
            name: "ingress".to_owned(),
            calls,
            bufs,
            cycles,
            bufs_per_call: [calls, 0, 0, 0, 0, 0, 0],
        };
        let with = |uptime, stage| {
            let half = uptime * 500_000;
            let mut snapshot = snapshot(uptime, &[("busy_ns", half), ("sleep_ns", half)]);
            snapshot.lcores[0].stages = vec![stage];
            snapshot
        };
        let earlier = with(1000, stage(10, 100, 5_000));
        let interval = Interval::between(&earlier, &with(2000, stage(20, 140, 250_005_000)));
        let rates = &interval.rates().lcores[0].stages[0];
        assert_eq!((rates.calls, rates.bufs, rates.bufs_per_call), (10.0, 40.0, 4.0));
        assert_eq!((rates.share, rates.cycles_per_call), (0.25, 25_000_000.0));
        assert_eq!(interval.change.lcores[0].stages[0].bufs_per_call[0], 10);
        // A measured pass that was interrupted for long, and stands for others that were not.
        let interval = Interval::between(&earlier, &with(2000, stage(20, 140, 900_000_000)));
        assert_eq!(
            interval.rates().lcores[0].stages[0].share,
            0.5,
            "it slept for half of the time"
        );
    }

    #[test]
    fn an_lcore_that_counts_no_time_sleeps_or_is_stuck() {
        let half = lcore(values(&[("busy_ns", 50), ("idle_ns", 25), ("sleep_ns", 25)]));
        assert_eq!(TimeShares::of(&half), TimeShares { busy: 0.5, idle: 0.25, sleep: 0.25 });
        let silent = lcore(Values::default());
        assert_eq!(TimeShares::of(&silent).sleep, 1.0);
        let stuck = LcoreSnapshot { doing: Some("handler".to_owned()), ..silent };
        assert_eq!(TimeShares::of(&stuck).busy, 1.0);
    }

    #[test]
    fn rates_in_json_are_an_object_by_name() {
        let earlier = snapshot(0, &[("messages", 0)]);
        let rates = Interval::between(&earlier, &snapshot(3000, &[("messages", 10)])).rates();
        let json = serde_json::to_value(&rates).unwrap();
        assert_eq!(json["lcores"][0]["counters"]["messages"], 3.333);
        assert_eq!(json["latency"]["count"], 0);
    }
}
