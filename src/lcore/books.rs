//! Whose numbers are counted: the lcore's own, or those of the listener whose turn it is. What lends counters to
//! transports and stages ([`Io`], [`Cx`]) has them of one at a time.

use crate::counters::Counters;
use crate::limits::LISTENERS_MAX;
use crate::pipeline::Cx;
use crate::sync::Ordering;
use crate::transport::Io;

/// The lcore itself.
const OWN: usize = LISTENERS_MAX;

impl Drop for Books {
    /// The lcore has ended, well or not: nobody is to wonder that it does not come round.
    fn drop(&mut self) {
        self.own.block().rests.store(1, Ordering::Relaxed);
    }
}

/// How a listener stands, as the segment has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Standing {
    /// It accepts.
    Serving = 1,
    /// It does not, and is gone with its last connection.
    Retired = 2,
}

/// The counters of an lcore and of its listeners.
pub(super) struct Books {
    own: Counters,
    /// Those that are not lent; of the listener that is counted for: the lcore's own.
    io: [Counters; LISTENERS_MAX],
    cx: [Counters; LISTENERS_MAX],
    counted: usize,
}

impl Books {
    /// Those of the lcore that `io` counts for.
    pub fn new(io: &Io) -> Self {
        let own = io.counters.clone();
        let of = |index: usize| own.listener(index as u8);
        let (io, cx) = (std::array::from_fn(of), std::array::from_fn(of));
        Self { own, io, cx, counted: OWN }
    }

    /// The lcore's own.
    #[inline]
    pub fn own(&self) -> &Counters {
        &self.own
    }

    /// From here on, what is counted is that of the listener at `index`.
    #[inline]
    pub fn count_for(&mut self, index: usize, io: &mut Io, cx: &mut Cx) {
        if self.counted != index {
            self.turn_to(index, io, cx);
        }
    }

    /// From here on, it is the lcore's own.
    #[inline]
    pub fn count_for_lcore(&mut self, io: &mut Io, cx: &mut Cx) {
        self.count_for(OWN, io, cx);
    }

    #[inline(never)]
    fn turn_to(&mut self, index: usize, io: &mut Io, cx: &mut Cx) {
        for index in [self.counted, index] {
            if index != OWN {
                std::mem::swap(&mut self.io[index], &mut io.counters);
                std::mem::swap(&mut self.cx[index], &mut cx.counters);
            }
        }
        self.counted = index;
    }

    /// Says how a listener stands.
    pub fn stand(&self, index: u8, standing: Standing) {
        self.own.block().listener(index).state.store(standing as u64, Ordering::Relaxed);
    }

    /// What the listener counted is the lcore's: it is gone, and its index free.
    pub fn close(&mut self, index: u8, io: &mut Io, cx: &mut Cx) {
        self.count_for_lcore(io, cx);
        self.own.block().fold(index);
    }
}
