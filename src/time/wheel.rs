//! Timers by the thousand: a hierarchical hashed wheel over a slab of fixed size. It is told the
//! time and never asks for it; what a timer means is its owner's business.
//!
//! Four levels of 64 slots. A slot of level 0 is one tick, of level 1 64 ticks, and so on: 67 ms,
//! 4.3 s, 275 s, 4.9 h for whole levels. A timer lives on the level where its tick first differs
//! from the cursor's, seen as base-64 digits; when the cursor reaches its slot it moves down, at
//! most three times in all. One further away than the top level waits in its last slot and is
//! looked at again there.
//!
//! The order this rests on: timers on a level are due before those of the level above, because they
//! share the cursor's slot there.

use super::Instant;

/// The wheel's resolution: 2²⁰ ns, about a millisecond.
pub const TICK_NS: u64 = 1 << TICK_SHIFT;

const TICK_SHIFT: u32 = 20;
const LEVELS: usize = 4;
const SLOTS: usize = 64;
const DIGIT_BITS: u32 = SLOTS.ilog2();

/// No node; also the end of a list.
const NONE: u32 = u32::MAX;

/// Names a scheduled timer. Stale after it has fired or been cancelled, and then matches none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId {
    node: u32,
    generation: u32,
}

/// A set of timers, each with a `T` to hand back when it is due.
///
/// ```
/// use ringway::time::{Instant, TICK_NS, TimerWheel};
///
/// let start = Instant::from_ns(0);
/// let mut wheel = TimerWheel::new(8);
/// let early = wheel.schedule(start, 3 * TICK_NS, "early").unwrap();
/// wheel.schedule(start, 5 * TICK_NS, "late").unwrap();
/// assert_eq!(wheel.cancel(early), Some("early"));
/// let mut fired = Vec::new();
/// let now = start.after_ns(6 * TICK_NS);
/// assert_eq!(wheel.expire(now, 32, |item| fired.push(item)), 1);
/// assert_eq!(fired, ["late"]);
/// ```
#[derive(Debug)]
pub struct TimerWheel<T> {
    /// The tick being worked on: everything before it has fired.
    cursor: u64,
    /// No slot needs a visit before this tick; `u64::MAX` when there is none.
    wake_tick: u64,
    /// Per level, which slots have timers.
    occupied: [u64; LEVELS],
    /// Per slot, its first and last node.
    lists: Box<[List; LEVELS * SLOTS]>,
    nodes: Box<[Node<T>]>,
    free: u32,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Node<T> {
    tick: u64,
    next: u32,
    previous: u32,
    generation: u32,
    list: u32,
    /// There while the timer is scheduled.
    item: Option<T>,
}

/// A slot that needs a visit, and when.
struct Visit {
    level: usize,
    slot: usize,
    tick: u64,
}

impl<T: Copy> TimerWheel<T> {
    /// A wheel for at most `capacity` timers at a time. All its memory is allocated here.
    ///
    /// # Panics
    /// If `capacity` does not fit in 32 bits.
    pub fn new(capacity: usize) -> Self {
        let end = u32::try_from(capacity).ok().filter(|&end| end < NONE);
        let end = end.expect("a timer wheel holds fewer than 2^32 - 1 timers");
        let node = |index: u32| Node {
            tick: 0,
            next: if index + 1 < end { index + 1 } else { NONE },
            previous: NONE,
            generation: 0,
            list: 0,
            item: None,
        };
        Self {
            cursor: 0,
            wake_tick: u64::MAX,
            occupied: [0; LEVELS],
            lists: Box::new([List { first: NONE, last: NONE }; LEVELS * SLOTS]),
            nodes: (0..end).map(node).collect(),
            free: if end == 0 { NONE } else { 0 },
            len: 0,
        }
    }

    /// Arms a timer for `delay_ns` after `now`; `None` when all are in use. O(1).
    ///
    /// It fires in the first [`expire`](Self::expire) at or after the first tick boundary at or
    /// after its deadline, so never early, and at most one tick late if `expire` is called in time.
    pub fn schedule(&mut self, now: Instant, delay_ns: u64, item: T) -> Option<TimerId> {
        let index = self.free;
        let node = self.nodes.get_mut(index as usize)?;
        self.free = node.next;
        node.item = Some(item);
        node.tick = now.after_ns(delay_ns).as_ns().div_ceil(TICK_NS);
        let id = TimerId { node: index, generation: node.generation };
        let now_tick = now.as_ns() >> TICK_SHIFT;
        if now_tick < self.wake_tick {
            self.cursor = self.cursor.max(now_tick); // nothing lies between
        }
        self.len += 1;
        self.insert(index);
        Some(id)
    }

    /// Disarms a timer and hands its item back; `None` if it has fired or been cancelled. O(1).
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let node = self.nodes.get(id.node as usize)?;
        if node.generation != id.generation {
            return None;
        }
        let list = node.list as usize;
        self.unlink(id.node, list);
        self.release(id.node)
    }

    /// Fires what is due at `now`, earliest tick first, and returns how many timers that was.
    ///
    /// A call does at most `budget` steps, each firing a timer or moving one down a level; what is
    /// left is done by the next calls. With nothing due it costs one comparison.
    #[inline]
    pub fn expire(&mut self, now: Instant, budget: usize, fire: impl FnMut(T)) -> usize {
        let now_tick = now.as_ns() >> TICK_SHIFT;
        if now_tick < self.wake_tick { 0 } else { self.expire_due(now_tick, budget, fire) }
    }

    /// When `expire` next has something to do, for an lcore about to sleep: no timer fires before.
    /// It may be earlier than the first timer, which then moves down a level.
    pub fn next_deadline(&self) -> Option<Instant> {
        // saturates within the last tick of 584 years only
        self.next_visit().map(|visit| Instant::from_ns(visit.tick.saturating_mul(TICK_NS)))
    }

    /// Timers scheduled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is scheduled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn expire_due(&mut self, now_tick: u64, budget: usize, mut fire: impl FnMut(T)) -> usize {
        let mut fired = 0;
        let mut steps = 0;
        while let Some(visit) = self.next_visit().filter(|visit| visit.tick <= now_tick) {
            self.cursor = visit.tick;
            let list = visit.level * SLOTS + visit.slot;
            while self.lists[list].first != NONE {
                if steps == budget {
                    self.wake_tick = visit.tick;
                    return fired;
                }
                steps += 1;
                let index = self.lists[list].first;
                self.unlink(index, list);
                if self.nodes[index as usize].tick > self.cursor {
                    self.insert(index);
                } else if let Some(item) = self.release(index) {
                    fired += 1;
                    fire(item);
                }
            }
        }
        self.cursor = self.cursor.max(now_tick);
        self.wake_tick = self.next_visit().map_or(u64::MAX, |visit| visit.tick);
        fired
    }

    /// The first slot to visit. One in the cursor's own slot above level 0 has been entered and not
    /// emptied for want of budget: it goes before everything below.
    fn next_visit(&self) -> Option<Visit> {
        for level in (1..LEVELS).rev() {
            let slot = digit(self.cursor, level);
            if self.occupied[level] >> slot & 1 != 0 {
                return Some(Visit { level, slot, tick: self.cursor });
            }
        }
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let from = digit(self.cursor, level);
        // only the top level wraps; on the others no timer is behind the cursor
        let ahead = self.occupied[level].rotate_right(from as u32).trailing_zeros();
        let shift = DIGIT_BITS * level as u32;
        let tick = ((self.cursor >> shift) + u64::from(ahead)) << shift;
        Some(Visit { level, slot: (from + ahead as usize) % SLOTS, tick })
    }

    /// Puts an unlinked node where its tick belongs as seen from the cursor.
    fn insert(&mut self, index: u32) {
        const FARTHEST: u64 = ((SLOTS - 1) as u64) << (DIGIT_BITS * (LEVELS as u32 - 1));
        let tick = self.nodes[index as usize].tick.clamp(self.cursor, self.cursor + FARTHEST);
        let differing_bits = u64::BITS - (tick ^ self.cursor).leading_zeros();
        let level = (differing_bits.saturating_sub(1) / DIGIT_BITS).min(LEVELS as u32 - 1);
        let shift = DIGIT_BITS * level;
        self.wake_tick = self.wake_tick.min((tick >> shift) << shift);
        self.append(index, level as usize, digit(tick, level as usize));
    }

    fn append(&mut self, index: u32, level: usize, slot: usize) {
        let list = level * SLOTS + slot;
        let last = std::mem::replace(&mut self.lists[list].last, index);
        match self.nodes.get_mut(last as usize) {
            Some(node) => node.next = index,
            None => self.lists[list].first = index,
        }
        let node = &mut self.nodes[index as usize];
        (node.previous, node.next, node.list) = (last, NONE, list as u32);
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32, list: usize) {
        let Node { previous, next, .. } = self.nodes[index as usize];
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.lists[list].first = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(node) => node.previous = previous,
            None => self.lists[list].last = previous,
        }
        if self.lists[list].first == NONE {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    /// Gives an unlinked node back; ids that name it match no more.
    fn release(&mut self, index: u32) -> Option<T> {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        node.item.take()
    }
}

/// The base-64 digit of `tick` that is the slot on `level`.
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (DIGIT_BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
