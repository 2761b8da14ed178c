//! Ways for two to exchange messages of 64 bytes, the one on core 1, the other on core 0. Both look at
//! every byte, and spin in their turn; out of it the other sleeps, so that pairs can take turns.

pub mod iceoryx2;
pub mod port;
pub mod rings;
pub mod socket;

use std::time::Instant;

pub use super::support::attached::{BURST, MESSAGE_BYTES};

/// What a message says.
pub const MESSAGE: [u8; MESSAGE_BYTES] = [7; MESSAGE_BYTES];

/// One way. All figures are in nanoseconds for each message, or trip.
pub trait Pair {
    /// What tables call it.
    fn name(&self) -> &'static str;

    /// So many messages to the other and back, one at a time.
    fn trips(&mut self, count: u64) -> f64;

    /// So many messages to the other, in bursts.
    fn down(&mut self, count: u64) -> f64;

    /// So many messages from the other, in bursts.
    fn up(&mut self, count: u64) -> Option<f64>;
}

/// The trips before those that count: the other has to wake up first.
pub fn warm_up(count: u64) -> u64 {
    count / 8 + 1
}

/// Nanoseconds for each of `count` since `start`.
pub fn each(start: Instant, count: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}
