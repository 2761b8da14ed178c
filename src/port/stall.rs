//! How long an attached process has taken nothing of what lies in its ring. One that has taken all, and
//! thinks about it, is not stalled.

use super::Queue;
use crate::time::Instant;

/// What was last seen of a process that leaves something lying.
#[derive(Debug, Default)]
pub struct Stall(Option<(u64, Instant)>);

impl Stall {
    /// Looks at the process, which there is no room for now; whether it has taken nothing for
    /// `most_ns` nanoseconds.
    pub fn look(&mut self, queue: &Queue, now: Instant, most_ns: u64) -> bool {
        let Some(taken) = queue.taken() else {
            self.0 = None;
            return false;
        };
        match self.0 {
            Some((before, since)) if before == taken => now.ns_since(since) >= most_ns,
            _ => {
                self.0 = Some((taken, now));
                false
            }
        }
    }

    /// There is room, or another process.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}
