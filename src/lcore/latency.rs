//! How long what was received takes until something is sent to the same peer: of some messages, which stand for the others.

use crate::counters::ListenerBlock;
use crate::mem::{Batch, Buf, ConnId, kind};
use crate::sync::Ordering;
use crate::sys::cycles;
use crate::time::Instant;

/// Messages of a listener that are waited for at a time. A burst gives one at most.
const WAITING_MAX: usize = 8;

/// Who has said nothing for so long is not waited for any more: 10 s.
const GIVEN_UP_NS: u64 = 10_000_000_000;

/// For how long the slowest is the slowest.
const SLOWEST_NS: u64 = 10_000_000_000;

/// A message that was received.
struct Waiting {
    conn: ConnId,
    /// When its pass began, in cycles.
    began: u64,
    /// How many it stands for.
    weight: u64,
    /// What was said to its peer is about to be sent.
    answered: bool,
}

/// Those of a listener that are waited for.
#[derive(Default)]
pub(super) struct Latency {
    waiting: Batch<Waiting, WAITING_MAX>,
    answered: bool,
    /// Turns which message of a burst is taken.
    next: usize,
}

impl Latency {
    /// Whether anybody waits.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes one of those that came in a pass that began at `began` and stands for `weight`.
    pub fn sample(
        &mut self,
        came: &[Buf],
        began: u64,
        weight: u64,
        lives: impl Fn(ConnId) -> bool,
    ) {
        let is_message = |buf: &&Buf| buf.kind() == kind::DATA && !buf.is_empty();
        let messages = came.iter().filter(is_message).count();
        if messages == 0 {
            return;
        }
        if self.waiting.is_full() {
            self.give_up(lives);
        }
        self.next = self.next.wrapping_add(1);
        if let Some(buf) = came.iter().filter(is_message).nth(self.next % messages) {
            let weight = weight * messages as u64;
            // Where all are still waited for, this one is not.
            let _ = self.waiting.push(Waiting { conn: buf.conn(), began, weight, answered: false });
        }
    }

    /// Forgets those whose peers are gone, or have heard nothing for long.
    #[cold]
    fn give_up(&mut self, lives: impl Fn(ConnId) -> bool) {
        let now = cycles::now();
        self.keep(|one| {
            lives(one.conn) && cycles::to_ns(now.saturating_sub(one.began)) < GIVEN_UP_NS
        });
    }

    /// Notes to whom something is said: `tx` is on its way to the transport.
    #[cold]
    pub fn see(&mut self, tx: &[Buf]) {
        for one in self.waiting.as_mut_slice() {
            let says = |buf: &Buf| buf.conn() == one.conn && buf.kind() == kind::DATA;
            one.answered |= tx.iter().any(says);
            self.answered |= one.answered;
        }
    }

    /// Whether somebody has been answered.
    #[inline]
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// The sends have begun: records those who have been answered.
    #[cold]
    pub fn settle(&mut self, block: &ListenerBlock, now: Instant) {
        let end = cycles::now();
        for one in self.waiting.as_slice().iter().filter(|one| one.answered) {
            let ns = cycles::to_ns(end.saturating_sub(one.began));
            block.record_latency(ns, one.weight);
            note_slowest(block, one.conn, ns, now);
        }
        self.keep(|one| !one.answered);
        self.answered = false;
    }

    fn keep(&mut self, keep: impl Fn(&Waiting) -> bool) {
        for _ in 0..self.waiting.len() {
            let Some(one) = self.waiting.pop() else { return };
            if keep(&one) {
                let kept = self.waiting.push(one);
                debug_assert!(kept.is_ok(), "it was just taken out");
            }
        }
    }
}

/// Notes the slowest of some seconds, so that whoever looks learns whose it was.
fn note_slowest(block: &ListenerBlock, conn: ConnId, ns: u64, now: Instant) {
    let at = Instant::from_ns(block.slowest_at_ns.load(Ordering::Relaxed));
    if ns >= block.slowest_ns.load(Ordering::Relaxed) || now.ns_since(at) > SLOWEST_NS {
        block.slowest_ns.store(ns, Ordering::Relaxed);
        block.slowest_conn.store(bytemuck::cast(conn), Ordering::Relaxed);
        block.slowest_at_ns.store(now.as_ns(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;

    fn data(slot: u32) -> Buf {
        let pool = crate::mem::Mempool::small(4).unwrap();
        let mut buf = pool.alloc(1).unwrap();
        buf.append(b"x");
        buf.set_conn(ConnId::new(0, slot, 1));
        buf
    }

    #[test]
    fn one_of_a_burst_stands_for_all_of_it_once_its_peer_is_answered() {
        let counters = Counters::default();
        let block = counters.block().listener(0);
        let mut latency = Latency::default();
        let came = [data(1), Buf::marker(ConnId::new(0, 9, 1), kind::OPEN)];
        latency.sample(&came, cycles::now(), 16, |_| true);
        latency.see(&[data(2), Buf::marker(ConnId::new(0, 1, 1), kind::FLUSH)]);
        assert!(latency.is_waiting() && !latency.is_answered());
        latency.see(&[data(1)]);
        assert!(latency.is_answered());
        latency.settle(block, Instant::from_ns(5));
        assert!(!latency.is_waiting() && !latency.is_answered());
        let slowest = block.slowest_conn.load(Ordering::Relaxed);
        assert_eq!(slowest, bytemuck::cast::<ConnId, u64>(ConnId::new(0, 1, 1)));
    }

    #[test]
    fn those_who_are_gone_make_room_and_the_others_do_not() {
        let mut latency = Latency::default();
        for slot in 0..20 {
            latency.sample(&[data(slot)], cycles::now(), 1, |_| true);
        }
        assert_eq!(latency.waiting.len(), WAITING_MAX);
        latency.sample(&[data(77)], cycles::now(), 1, |conn| conn.slot() % 2 == 0);
        assert_eq!(latency.waiting.len(), WAITING_MAX / 2 + 1);
    }
}
