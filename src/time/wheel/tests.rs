use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TOP_LEVEL_NS: u64 = TICK_NS << 24;

fn at(ns: u64) -> Instant {
    Instant::from_ns(ns)
}

fn expire(wheel: &mut TimerWheel<u32>, now_ns: u64, budget: usize) -> Vec<u32> {
    let mut fired = Vec::new();
    let count = wheel.expire(at(now_ns), budget, |item| fired.push(item));
    assert_eq!(count, fired.len());
    fired
}

//
#[test]
fn a_timer_fires_once_and_not_before_its_deadline() {
    let mut wheel = TimerWheel::new(4);
    let deadline = 5 + 10 * TICK_NS;
    wheel.schedule(at(5), 10 * TICK_NS, 7).expect("room");
    assert_eq!(expire(&mut wheel, deadline - 1, 100), [0; 0]);
    assert_eq!(expire(&mut wheel, deadline + TICK_NS, 100), [7]);
    assert_eq!(expire(&mut wheel, deadline + TOP_LEVEL_NS, 100), [0; 0]);
}

#[test]
fn a_deadline_on_a_tick_boundary_fires_right_there() {
    let mut wheel = TimerWheel::new(4);
    for (item, ticks) in [(1, 0), (2, 1), (3, 64), (4, 4096)] {
        wheel.schedule(at(0), ticks * TICK_NS, item).expect("room");
    }
    assert_eq!(expire(&mut wheel, 0, 100), [1]);
    assert_eq!(expire(&mut wheel, TICK_NS, 100), [2]);
    assert_eq!(expire(&mut wheel, 64 * TICK_NS - 1, 100), [0; 0]);
    assert_eq!(expire(&mut wheel, 64 * TICK_NS, 100), [3]);
    assert_eq!(expire(&mut wheel, 4096 * TICK_NS, 100), [4]);
}

//
#[test]
fn a_cancelled_timer_gives_its_item_back_and_its_id_is_stale_for_good() {
    let mut wheel = TimerWheel::new(1);
    let first = wheel.schedule(at(0), TICK_NS, 1).expect("room");
    assert_eq!(wheel.cancel(first), Some(1));
    assert_eq!(wheel.cancel(first), None);
    let second = wheel.schedule(at(0), TICK_NS, 2).expect("the node is free again");
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(expire(&mut wheel, TICK_NS, 100), [2]);
    assert_eq!(wheel.cancel(second), None);
}

#[test]
fn a_full_wheel_refuses_and_an_empty_one_has_no_deadline() {
    let mut wheel = TimerWheel::new(2);
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
    assert!(wheel.schedule(at(0), 0, 1).is_some());
    assert!(wheel.schedule(at(0), 0, 2).is_some());
    assert!(wheel.schedule(at(0), 0, 3).is_none());
    assert_eq!(wheel.len(), 2);
    assert!(TimerWheel::new(0).schedule(at(0), 0, 1).is_none());
}

#[test]
fn timers_of_one_tick_fire_in_the_order_they_were_armed_however_small_the_budget() {
    let mut wheel = TimerWheel::new(100);
    for item in 0..50 {
        wheel.schedule(at(0), 70 * TICK_NS, item).expect("room");
    }
    let now_ns = 71 * TICK_NS;
    let mut fired = Vec::new();
    let mut calls = 0;
    while !wheel.is_empty() {
        let some = expire(&mut wheel, now_ns, 3);
        assert!(some.len() <= 3);
        fired.extend(some);
        calls += 1;
    }
    assert_eq!(fired, (0..50).collect::<Vec<_>>());
    assert_eq!(calls, 34); // 50 timers moved down and fired, three steps a call
}

#[test]
fn a_timer_armed_while_a_slot_is_half_done_takes_its_turn() {
    let mut wheel = TimerWheel::new(10);
    for item in 0..3 {
        wheel.schedule(at(0), 100 * TICK_NS, item).expect("room");
    }
    assert_eq!(expire(&mut wheel, 100 * TICK_NS, 2), [0; 0]);
    wheel.schedule(at(99 * TICK_NS), 0, 9).expect("room");
    assert_eq!(expire(&mut wheel, 100 * TICK_NS, 100), [9, 0, 1, 2]);
}

#[test]
fn the_first_deadline_is_exact_within_a_level_and_early_above_it() {
    let mut wheel = TimerWheel::new(10);
    wheel.schedule(at(0), 200 * TICK_NS, 1).expect("room");
    assert_eq!(wheel.next_deadline(), Some(at(192 * TICK_NS)));
    let near = wheel.schedule(at(0), 3 * TICK_NS - 5, 2).expect("room");
    assert_eq!(wheel.next_deadline(), Some(at(3 * TICK_NS)));
    wheel.cancel(near);
    assert_eq!(expire(&mut wheel, 192 * TICK_NS, 100), [0; 0]);
    assert_eq!(wheel.next_deadline(), Some(at(200 * TICK_NS)));
}

#[test]
fn a_deadline_days_away_goes_round_the_top_level_and_still_fires_on_time() {
    let mut wheel = TimerWheel::new(2);
    let start_ns = 12_345 * TICK_NS;
    let delay_ns = 7 * TOP_LEVEL_NS + 77;
    wheel.schedule(at(start_ns), delay_ns, 1).expect("room");
    wheel.schedule(at(start_ns), u64::MAX, 2).expect("room");
    let mut visits = 0;
    while wheel.len() == 2 {
        let now = wheel.next_deadline().expect("two timers");
        let fired = expire(&mut wheel, now.as_ns(), 100);
        assert!(fired.is_empty() || now.as_ns() >= start_ns + delay_ns);
        assert!(now.as_ns() < start_ns + delay_ns + TICK_NS);
        visits += 1;
    }
    assert!(visits < 30, "{visits} visits");
}

#[derive(Debug, Clone)]
enum Op {
    Schedule { delay_ns: u64 },
    Cancel { pick: usize },
    Advance { by_ns: u64, budget: usize },
    Sleep,
}

fn duration_ns() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..3 * TICK_NS,
        (0..200u64).prop_map(|ticks| ticks * TICK_NS),
        0..100 * 64 * TICK_NS,
        0..TOP_LEVEL_NS,
        0..5 * TOP_LEVEL_NS,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => duration_ns().prop_map(|delay_ns| Op::Schedule { delay_ns }),
        1 => any::<usize>().prop_map(|pick| Op::Cancel { pick }),
        2 => (duration_ns(), prop_oneof![0..4usize, Just(usize::MAX)])
            .prop_map(|(by_ns, budget)| Op::Advance { by_ns, budget }),
        1 => Just(Op::Sleep),
    ]
}

/// The wheel beside what it claims to be: a map from id to deadline.
struct Pair {
    wheel: TimerWheel<u32>,
    oracle: BTreeMap<u32, (u64, TimerId)>,
    now_ns: u64,
    next_item: u32,
}

impl Pair {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Schedule { delay_ns } => self.schedule(delay_ns),
            Op::Cancel { pick } => self.cancel(pick),
            Op::Advance { by_ns, budget } => {
                self.now_ns += by_ns;
                self.expire(budget);
            }
            Op::Sleep => self.sleep(),
        }
        assert_eq!(self.wheel.len(), self.oracle.len());
        assert_eq!(self.wheel.next_deadline().is_none(), self.oracle.is_empty());
    }

    fn schedule(&mut self, delay_ns: u64) {
        let id = self.wheel.schedule(at(self.now_ns), delay_ns, self.next_item);
        assert_eq!(id.is_some(), self.oracle.len() < 32);
        if let Some(id) = id {
            self.oracle.insert(self.next_item, (self.now_ns + delay_ns, id));
        }
        self.next_item += 1;
    }

    fn cancel(&mut self, pick: usize) {
        let item = self.oracle.keys().nth(pick % self.oracle.len().max(1)).copied();
        if let Some((item, (_, id))) = item.and_then(|item| self.oracle.remove_entry(&item)) {
            assert_eq!(self.wheel.cancel(id), Some(item));
            assert_eq!(self.wheel.cancel(id), None);
        }
    }

    fn sleep(&mut self) {
        let Some(deadline) = self.wheel.next_deadline() else { return };
        let latest_ns = self.oracle.values().map(|(due_ns, _)| due_ns + TICK_NS).min();
        assert!(latest_ns.is_some_and(|latest_ns| deadline.as_ns() < latest_ns));
        self.now_ns = self.now_ns.max(deadline.as_ns());
        self.expire(usize::MAX);
    }

    fn expire(&mut self, budget: usize) {
        let fired = expire(&mut self.wheel, self.now_ns, budget);
        assert!(fired.len() <= budget);
        for item in fired {
            let (due_ns, id) = self.oracle.remove(&item).expect("fires once, and only if armed");
            assert!(due_ns <= self.now_ns, "{item} fired early");
            assert_eq!(self.wheel.cancel(id), None);
        }
        let on_time = |(due_ns, _): &(u64, TimerId)| due_ns + TICK_NS > self.now_ns;
        assert!(budget < usize::MAX || self.oracle.values().all(on_time), "one was left behind");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_wheel_does_what_a_sorted_map_would(
        start_ns in duration_ns(),
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let wheel = TimerWheel::new(32);
        let mut pair = Pair { wheel, oracle: BTreeMap::new(), now_ns: start_ns, next_item: 0 };
        for op in ops {
            pair.apply(op);
        }
        pair.now_ns += 6 * TOP_LEVEL_NS;
        pair.expire(usize::MAX);
        prop_assert!(pair.wheel.is_empty());
    }
}
