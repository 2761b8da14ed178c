//! The simulated network as a test sees it: peers that connect, send, read and go, in steps.

use std::cell::RefCell;
use std::collections::VecDeque;
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
}

impl Net {
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
        })))
    }

    /// Lets one unit of time pass: what is under way comes nearer, and faults happen.
    pub fn step(&self) {
        let net = &mut *self.0.borrow_mut();
        net.step += 1;
        let chance = net.faults.reset_per_million;
        for wire in net.wires.iter_mut().filter(|wire| !wire.gone && wire.up_end == End::Not) {
            if net.rng.chance(chance) {
                wire.reset();
            }
        }
    }

    /// A peer that connects. It is refused when nobody listens.
    pub fn connect(&self) -> Peer {
        let net = &mut *self.0.borrow_mut();
        let wire = net.wires.len();
        net.wires.push(Wire::new(net.faults.window_bytes));
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
        let Net { step, rng, faults, wires, .. } = &mut *self.net.0.borrow_mut();
        wires[self.wire].send(bytes, *step, faults, rng);
    }

    /// Sends no more, and still reads.
    pub fn finish(&self) {
        let net = &mut *self.net.0.borrow_mut();
        net.wires[self.wire].finish(net.step);
    }

    /// Goes away at once.
    pub fn reset(&self) {
        self.with(Wire::reset);
    }

    /// Appends what arrived to `out`, at most `most` bytes; returns how many.
    pub fn read(&self, most: usize, out: &mut Vec<u8>) -> usize {
        self.with(|wire| {
            let count = most.min(wire.down.len());
            out.extend(wire.down.drain(..count));
            count
        })
    }

    /// From now on, holds so many bytes unread before it takes no more.
    pub fn set_window(&self, bytes: usize) {
        self.with(|wire| wire.window = bytes);
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
