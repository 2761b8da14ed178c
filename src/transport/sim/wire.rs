//! One simulated connection between a peer and the transport: bytes under way in both directions.
//! Who may do what, and when, is decided by its two ends.

use std::collections::VecDeque;

use super::faults::{Faults, Rng};

/// How a direction of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Not,
    /// In order, after the last byte.
    Finished,
    /// At once.
    Reset,
}

/// What the transport meets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// So many bytes that came in one piece.
    Bytes(usize),
    /// The peer's end.
    Finished,
    /// The peer is gone.
    Reset,
}

/// A piece, or the peer's end, under way.
struct Flight {
    due: u64,
    /// `None`: the end.
    bytes: Option<usize>,
}

/// See the module.
pub(super) struct Wire {
    /// Sent by the peer and not taken by the transport.
    up: VecDeque<u8>,
    flights: VecDeque<Flight>,
    /// What the peer did last.
    pub up_end: End,
    /// Bytes that the transport took.
    pub taken: u64,
    /// Sent by the transport and not read by the peer.
    pub down: VecDeque<u8>,
    /// What the transport did last.
    pub down_end: End,
    /// Bytes of `down` before it takes no more.
    pub window: usize,
    /// The transport has accepted it.
    pub accepted: bool,
    /// The connection slot that it has while the transport knows it.
    pub slot: Option<u32>,
    /// In the list of wires that something happened to.
    pub touched: bool,
    /// The transport knows it no more.
    pub gone: bool,
}

impl Wire {
    pub fn new(window: usize) -> Self {
        Self {
            up: VecDeque::new(),
            flights: VecDeque::new(),
            up_end: End::Not,
            taken: 0,
            down: VecDeque::new(),
            down_end: End::Not,
            window,
            accepted: false,
            slot: None,
            touched: false,
            gone: false,
        }
    }

    fn launch(&mut self, step: u64, delay: u64, bytes: Option<usize>) {
        // Nothing overtakes what was sent before it.
        let due = self.flights.back().map_or(0, |flight| flight.due).max(step + delay);
        self.flights.push_back(Flight { due, bytes });
    }

    /// The peer sends.
    pub fn send(&mut self, bytes: &[u8], step: u64, faults: &Faults, rng: &mut Rng) {
        if self.up_end != End::Not || self.gone {
            return;
        }
        self.up.extend(bytes);
        let mut left = bytes.len();
        while left > 0 {
            let piece = faults.piece(rng, left);
            self.launch(step, rng.next_u64() % (faults.delay_steps + 1), Some(piece));
            left -= piece;
        }
    }

    /// The peer sends no more.
    pub fn finish(&mut self, step: u64) {
        if self.up_end == End::Not {
            self.up_end = End::Finished;
            self.launch(step, 0, None);
        }
    }

    /// The peer is gone; so is what was under way.
    pub fn reset(&mut self) {
        self.up_end = End::Reset;
        self.up.clear();
        self.flights.clear();
        self.down.clear();
    }

    /// What the transport meets at `step`.
    pub fn arrival(&self, step: u64) -> Option<Arrival> {
        if self.up_end == End::Reset {
            return Some(Arrival::Reset);
        }
        let flight = self.flights.front().filter(|flight| flight.due <= step)?;
        Some(flight.bytes.map_or(Arrival::Finished, Arrival::Bytes))
    }

    /// When what is next arrives, or did.
    pub fn next_due(&self) -> Option<u64> {
        self.flights.front().map(|flight| flight.due)
    }

    /// Takes the front of the piece that arrived, as much as `out` holds; returns how much.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let flight = self.flights.front_mut().expect("something has arrived");
        let left = flight.bytes.as_mut().expect("bytes have arrived");
        let count = out.len().min(*left);
        *left -= count;
        if *left == 0 {
            self.flights.pop_front();
        }
        for (to, from) in out.iter_mut().zip(self.up.drain(..count)) {
            *to = from;
        }
        self.taken += count as u64;
        count
    }

    /// Takes the peer's end.
    pub fn take_end(&mut self) {
        self.flights.pop_front();
    }

    /// Bytes that the peer takes now.
    pub fn room(&self) -> usize {
        self.window.saturating_sub(self.down.len())
    }
}
