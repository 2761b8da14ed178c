//! The simulated network as a test sees it: peers that connect, send, read and go, in steps.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use super::faults::{Faults, Rng};
use super::wire::{End, Wire};

/// What both ends share.
pub(super) struct Net {
    pub step: u64,
    pub rng: Rng,
    pub faults: Faults,
    pub wires: Vec<Wire>,
    /// Wires that wait to be accepted.
    pub waiting: VecDeque<usize>,
    pub accepting: bool,
    /// Bufs that may still be received in this step.
    pub step_bufs_left: usize,
    /// Wires that something happened to since the transport last looked.
    touched: Vec<usize>,
    /// When what is next on a wire arrives, soonest first.
    under_way: BinaryHeap<Reverse<(u64, usize)>>,
    /// Wires that can be reset.
    live: Vec<usize>,
}

impl Net {
    /// Has the transport look at a wire, if it still knows it.
    pub fn touch(&mut self, wire: usize) {
        let Wire { touched, gone, .. } = &mut self.wires[wire];
        if !*gone && !std::mem::replace(touched, true) {
            self.touched.push(wire);
        }
    }

    /// A wire that something happened to.
    pub fn next_touched(&mut self) -> Option<usize> {
        let wire = self.touched.pop()?;
        self.wires[wire].touched = false;
        Some(wire)
    }

    /// Whether there is such a wire.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Touches a wire when what is next on it arrives, unless that is here.
    pub fn await_next(&mut self, wire: usize) {
        let due = self.wires[wire].next_due().filter(|&due| due > self.step);
        self.under_way.extend(due.map(|due| Reverse((due, wire))));
    }

    /// Lets a peer act on its wire.
    fn act(&mut self, wire: usize, act: impl FnOnce(&mut Wire, u64, &Faults, &mut Rng)) {
        let waits = self.wires[wire].next_due().is_some();
        act(&mut self.wires[wire], self.step, &self.faults, &mut self.rng);
        if !waits {
            self.await_next(wire);
            self.touch(wire);
        }
    }

    fn reset(&mut self, wire: usize) {
        self.wires[wire].reset();
        self.touch(wire);
    }

    fn pass_a_step(&mut self) {
        self.step += 1;
        self.step_bufs_left = self.faults.step_bufs;
        self.reset_some();
        while let Some(&Reverse((due, wire))) = self.under_way.peek()
            && due <= self.step
        {
            self.under_way.pop();
            self.touch(wire);
        }
    }

    fn reset_some(&mut self) {
        let chance = self.faults.reset_per_million;
        if chance == 0 {
            return;
        }
        let wires = &self.wires;
        self.live.retain(|&wire| !wires[wire].gone && wires[wire].up_end == End::Not);
        for at in 0..self.live.len() {
            if self.rng.chance(chance) {
                self.reset(self.live[at]);
            }
        }
    }

    /// Refuses a wire, or cuts it off.
    pub fn refuse(&mut self, wire: usize) {
        self.wires[wire].gone = true;
        self.wires[wire].down_end = End::Reset;
    }
}

/// A network with one listener, the [`Sim`](super::Sim) that is made for it. A handle: clones name
/// the same network. Nothing moves but by the calls of the one thread that has it.
#[derive(Clone)]
pub struct SimNet(pub(super) Rc<RefCell<Net>>);

impl SimNet {
    /// A network where chance follows `seed`.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(Net {
            step: 0,
            rng: Rng::new(seed),
            faults,
            wires: Vec::new(),
            waiting: VecDeque::new(),
            accepting: false,
            step_bufs_left: faults.step_bufs,
            touched: Vec::new(),
            under_way: BinaryHeap::new(),
            live: Vec::new(),
        })))
    }

    /// Lets one unit of time pass: what is under way comes nearer, and faults happen.
    pub fn step(&self) {
        self.0.borrow_mut().pass_a_step();
    }

    /// A peer that connects. It is refused when nobody listens.
    pub fn connect(&self) -> Peer {
        let net = &mut *self.0.borrow_mut();
        let wire = net.wires.len();
        net.wires.push(Wire::new(net.faults.window_bytes));
        net.live.push(wire);
        if net.accepting {
            net.waiting.push_back(wire);
        } else {
            net.refuse(wire);
        }
        Peer { net: self.clone(), wire }
    }

    /// Changes what goes wrong from here on; returns what did before.
    pub fn set_faults(&self, faults: Faults) -> Faults {
        std::mem::replace(&mut self.0.borrow_mut().faults, faults)
    }
}

/// The far end of one connection.
pub struct Peer {
    net: SimNet,
    wire: usize,
}

impl Peer {
    fn with<R>(&self, f: impl FnOnce(&mut Wire) -> R) -> R {
        f(&mut self.net.0.borrow_mut().wires[self.wire])
    }

    /// Sends; whatever the transport does, the network takes it.
    pub fn send(&self, bytes: &[u8]) {
        let net = &mut *self.net.0.borrow_mut();
        net.act(self.wire, |wire, step, faults, rng| wire.send(bytes, step, faults, rng));
    }

    /// Sends no more, and still reads.
    pub fn finish(&self) {
        let net = &mut *self.net.0.borrow_mut();
        net.act(self.wire, |wire, step, _, _| wire.finish(step));
    }

    /// Goes away at once.
    pub fn reset(&self) {
        self.net.0.borrow_mut().reset(self.wire);
    }

    /// Appends what arrived to `out`, at most `most` bytes; returns how many.
    pub fn read(&self, most: usize, out: &mut Vec<u8>) -> usize {
        let net = &mut *self.net.0.borrow_mut();
        let down = &mut net.wires[self.wire].down;
        let count = most.min(down.len());
        out.extend(down.drain(..count));
        if count > 0 {
            net.touch(self.wire);
        }
        count
    }

    /// From now on, holds so many bytes unread before it takes no more.
    pub fn set_window(&self, bytes: usize) {
        let net = &mut *self.net.0.borrow_mut();
        net.wires[self.wire].window = bytes;
        net.touch(self.wire);
    }

    /// The transport said its last, and all of it has been read.
    pub fn is_finished(&self) -> bool {
        self.with(|wire| wire.down.is_empty() && wire.down_end == End::Finished)
    }

    /// One of the two ends gave the connection up, or it was refused.
    pub fn is_reset(&self) -> bool {
        self.with(|wire| wire.up_end == End::Reset || wire.down_end == End::Reset)
    }

    /// The peer's own end is lost: by [`reset`](Self::reset), or by a fault.
    pub fn is_lost(&self) -> bool {
        self.with(|wire| wire.up_end == End::Reset)
    }

    /// The transport has accepted it.
    pub fn is_accepted(&self) -> bool {
        self.with(|wire| wire.accepted)
    }

    /// The transport knows it no more.
    pub fn is_gone(&self) -> bool {
        self.with(|wire| wire.gone)
    }

    /// Bytes that the transport has taken.
    pub fn bytes_taken(&self) -> u64 {
        self.with(|wire| wire.taken)
    }
}
