//! Two rings of descriptors by hand, between two threads: no book of what is lent, no bell, no flow
//! control. What a port adds is seen against it.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use bytemuck::Zeroable;
use ringway::limits::{PORT_RING_SLOTS, SMALL_SLOT_BYTES};
use ringway::mem::Descriptor;
use ringway::ring::spsc::{Consumer, Producer, ring};
use ringway::sync::{AtomicU64, Ordering, spin_loop};

use super::{BURST, Pair, each, warm_up};

/// Slots that one side fills.
const SLOTS: u32 = 384;

/// The bytes of a message, as far from the next as those of a pool are.
#[repr(align(2048))]
#[derive(Default)]
struct Slot([AtomicU64; 8]);

const _: () = assert!(size_of::<Slot>() == SMALL_SLOT_BYTES as usize);

impl Slot {
    fn write(&self) {
        // Relaxed: the ring orders them.
        self.0.iter().for_each(|word| word.store(7, Ordering::Relaxed));
    }

    fn look(&self) {
        let right = self.0.iter().all(|word| word.load(Ordering::Relaxed) == 7);
        assert!(right, "it is not what was sent");
    }
}

/// One side.
struct End {
    out: Producer<Descriptor>,
    into: Consumer<Descriptor>,
    slots: Arc<[Slot]>,
    /// Those of its own that are here; the one used last is used next.
    free: Vec<u32>,
}

impl End {
    fn describe(&mut self) -> Descriptor {
        let slot = self.free.pop().expect("a slot is free");
        self.slots[slot as usize].write();
        Descriptor { slot, len: 64, ..Descriptor::zeroed() }
    }

    fn next(&mut self) -> Descriptor {
        loop {
            if let Some(descriptor) = self.into.dequeue() {
                self.slots[descriptor.slot as usize].look();
                return descriptor;
            }
            spin_loop();
        }
    }

    fn trip(&mut self) {
        let descriptor = self.describe();
        self.out.enqueue(descriptor).expect("the ring is long");
        let back = self.next();
        self.free.push(back.slot);
    }

    fn echo(&mut self, count: u64) {
        for _ in 0..count {
            let descriptor = self.next();
            self.out.enqueue(descriptor).expect("the ring is long");
        }
    }

    fn give(&mut self, count: u64) {
        let mut burst = [Descriptor::zeroed(); BURST];
        let (mut left, all) = (count, self.free.len());
        while left > 0 || self.free.len() < all {
            let wanted = (left.min(BURST as u64) as usize).min(self.free.len());
            burst[..wanted].fill_with(|| self.describe());
            assert_eq!(self.out.enqueue_burst(&burst[..wanted]), wanted, "the ring is long");
            left -= wanted as u64;
            let back = self.into.dequeue_burst(&mut burst);
            self.free.extend(burst[..back].iter().map(|descriptor| descriptor.slot));
        }
    }

    fn take(&mut self, count: u64) {
        let mut burst = [Descriptor::zeroed(); BURST];
        let mut left = count;
        while left > 0 {
            let most = left.min(BURST as u64) as usize;
            let came = self.into.dequeue_burst(&mut burst[..most]);
            burst[..came].iter().for_each(|it| self.slots[it.slot as usize].look());
            assert_eq!(self.out.enqueue_burst(&burst[..came]), came, "the ring is long");
            left -= came as u64;
        }
    }
}

type Order = Box<dyn FnOnce(&mut End) + Send>;

/// This end, and the thread that has the other.
pub struct Rings {
    end: End,
    orders: Sender<Order>,
}

impl Rings {
    /// Both ends.
    pub fn start() -> Self {
        let slots: Arc<[Slot]> = (0..2 * SLOTS).map(|_| Slot::default()).collect();
        let ((down, theirs), (up, ours)) = (ring(PORT_RING_SLOTS), ring(PORT_RING_SLOTS));
        let mut other =
            End { out: up, into: theirs, slots: slots.clone(), free: (SLOTS..2 * SLOTS).collect() };
        let (orders, incoming) = channel::<Order>();
        thread::spawn(move || {
            super::super::support::pin(0);
            incoming.into_iter().for_each(|order| order(&mut other));
        });
        Self { end: End { out: down, into: ours, slots, free: (0..SLOTS).collect() }, orders }
    }

    fn order(&self, order: impl FnOnce(&mut End) + Send + 'static) {
        self.orders.send(Box::new(order)).expect("it runs until it hears no more");
    }
}

impl Pair for Rings {
    fn name(&self) -> &'static str {
        "two rings by hand"
    }

    fn trips(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.order(move |other| other.echo(before + count));
        (0..before).for_each(|_| self.end.trip());
        let start = Instant::now();
        (0..count).for_each(|_| self.end.trip());
        each(start, count)
    }

    fn down(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.order(move |other| other.take(before + count));
        self.end.give(before);
        let start = Instant::now();
        self.end.give(count);
        each(start, count)
    }

    fn up(&mut self, count: u64) -> Option<f64> {
        let before = warm_up(count);
        self.order(move |other| other.give(before + count));
        self.end.take(before);
        let start = Instant::now();
        self.end.take(count);
        Some(each(start, count))
    }
}
