//! What must hold of the dataplane's end of a port, whatever descriptors the attached process sends
//! and in whatever order it sends them. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ringway::mem::{
    Buf, ClassSize, ConnId, Descriptor, Ledger, Mempool, PortSegment, QueueEnds, Side, Trust, kind,
};
use ringway::port::kind::{BODY, RESPONSE, RETURN};
use ringway::port::{Lifeline, Queue, Received};
use ringway::ring::doorbell::Doorbell;

/// Slots of the pool, of which a shared port may have a quarter.
const POOL_SLOTS: u32 = 64;

/// Slots of an isolated port.
const CLASSES: [ClassSize; 2] =
    [ClassSize { slot_bytes: 2048, slots: 16 }, ClassSize { slot_bytes: 16384, slots: 4 }];

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 32;

/// Both ends of a queue, and what each has.
struct Bed {
    pool: Mempool,
    queue: Queue,
    peer: QueueEnds,
    /// What came down to the process, which it may send up again.
    known: Vec<Descriptor>,
    /// What was made of what it sent.
    received: Vec<Buf>,
    /// Slots that nobody else can have.
    hoard: Vec<Buf>,
    is_own: bool,
    faulted: bool,
}

impl Bed {
    fn new(is_own: bool) -> Self {
        let pool = Mempool::small(POOL_SLOTS).expect("memory");
        let trust = if is_own { Trust::Isolated } else { Trust::Shared };
        let classes = if is_own { &CLASSES[..] } else { &[] };
        let segment = PortSegment::create("ringway-fuzz", trust, 1, classes).expect("memory");
        let segment = Arc::new(segment);
        let event = || Doorbell::event().expect("an eventfd");
        let ends = |side| segment.ends(0, side, event(), event()).expect("it was laid out");
        let (ends, peer) = (ends(Side::Primary), ends(Side::Secondary));
        let ledger = if is_own {
            Ledger::of_segment(pool.clone(), segment.clone(), 0)
        } else {
            Ledger::of_pool(pool.clone(), 1)
        };
        let (ours, _) = UnixStream::pair().expect("a pair of sockets");
        let queue = Queue::new(ends, ledger, Arc::new(Lifeline::new(ours)));
        let (known, received, hoard) = (Vec::new(), Vec::new(), Vec::new());
        Self { pool, queue, peer, known, received, hoard, is_own, faulted: false }
    }

    /// Something comes down, if there is a slot for it.
    fn send(&mut self, argument: usize) {
        let Some(mut buf) = self.pool.alloc(1) else { return };
        assert!(buf.append(&[argument as u8; 100]));
        buf.set_conn(ConnId::new(0, argument as u32 % 4, 7));
        // A second share of the slot, which the process gets as well.
        if argument.is_multiple_of(2) {
            let _ = self.queue.send(buf.slice(10, 20), 1);
        }
        let _ = self.queue.send(buf, argument as u32);
    }

    /// The process takes some of what came down.
    fn take(&mut self, most: usize) {
        let left = most.min(self.peer.into.len());
        self.known.extend((0..left).filter_map(|_| self.peer.into.dequeue()));
    }

    /// The process sends something that it has or had, with one word of it changed.
    fn send_up(&mut self, which: usize, change: &[u8; 3]) {
        const KINDS: [u8; 8] =
            [RETURN, kind::DATA, kind::CLOSE, kind::PAUSE, BODY, RESPONSE, RETURN, kind::DATA];
        if self.known.is_empty() {
            return;
        }
        let at = self.known.len() - 1 - which % self.known.len();
        let mut up = self.known[at];
        up.tag = KINDS[usize::from(change[0] & 7)].into();
        let value = u32::from(change[2]) << (change[1] & 31);
        match change[0] >> 3 {
            1 => up.slot = value,
            2 => up.loan ^= value,
            3 => up.start = value,
            4 => up.len = value,
            5 => up.slot = Descriptor::NO_SLOT,
            6 => up.tag = value,
            7 => up.message = value,
            _ => {}
        }
        let _ = self.peer.out.enqueue(up);
    }

    /// The lcore looks at what came up.
    fn receive(&mut self) {
        loop {
            match self.queue.receive() {
                Received::Nothing => return,
                Received::Message(buf, _) => {
                    let kinds = [kind::DATA, kind::CLOSE, kind::ABORT, kind::PAUSE, kind::RESUME];
                    assert!(kinds.contains(&buf.kind()) || [BODY, RESPONSE].contains(&buf.kind()));
                    assert!(buf.len() <= buf.capacity());
                    // Whoever looks at them reads bytes that are there.
                    std::hint::black_box(buf.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
                    self.received.push(buf);
                }
                // The first ends it: nothing more is asked.
                Received::Fault(_) => return self.faulted = true,
            }
        }
    }

    fn audit(&self) {
        let most = if self.is_own { 20 } else { POOL_SLOTS / 4 + 2 };
        assert!(self.queue.lent() <= most, "{} are lent", self.queue.lent());
        let held = self.received.iter().chain(&self.hoard);
        let shares = held.filter(|buf| buf.capacity() > 0).count() as u32;
        let lent = if self.is_own { 0 } else { self.queue.lent() };
        assert!(self.pool.missing() <= lent + shares, "a slot is lost");
        assert!(!self.is_own || self.pool.missing() == shares, "a slot is there twice");
    }

    fn finish(self) {
        let Self { pool, queue, received, hoard, .. } = self;
        drop(queue);
        drop((received, hoard));
        assert_eq!(pool.missing(), 0, "all is home");
    }
}

/// The first byte says how the memory is shared; the others are operations, some with bytes of their own
/// behind them.
pub fn check(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let mut bed = Bed::new(first & 1 == 1);
    while let Some((&operation, after)) = rest.split_first()
        && !bed.faulted
    {
        rest = after;
        let argument = usize::from(operation & 31);
        match operation >> 5 {
            0 => {
                let (words, after) = rest.split_at(rest.len().min(DESCRIPTOR));
                let mut whole = [0; DESCRIPTOR];
                whole[..words.len()].copy_from_slice(words);
                let _ = bed.peer.out.enqueue(bytemuck::cast(whole));
                rest = after;
            }
            1 | 2 => {
                let (change, after) = rest.split_at(rest.len().min(3));
                let mut whole = [0; 3];
                whole[..change.len()].copy_from_slice(change);
                bed.send_up(argument, &whole);
                rest = after;
            }
            3 => bed.send(argument),
            4 => bed.take(argument + 1),
            5 => bed.receive(),
            6 if argument == 0 => {
                bed.hoard.extend(std::iter::from_fn(|| bed.pool.alloc(1)));
            }
            6 if argument == 1 => bed.hoard.clear(),
            6 => bed.received.truncate(argument / 2),
            _ => {
                bed.queue.flush();
            }
        }
        bed.audit();
    }
    bed.finish();
}
