//! Where the time goes: some passes of the poll loop are measured, verb by verb and stage by stage, and each stands for
//! those since the last one. A pass that is not measured pays for counting down to the next.

use crate::counters::{Counters, Stage, Verb};
use crate::sync::Ordering;
use crate::sys::cycles;

/// Passes between two looks whether measuring was turned on.
const OFF_PASSES: u32 = 1024;

/// What a pass tells of itself.
pub(super) trait Measure {
    /// A verb is done, and did so much; which it gives back.
    fn did(&mut self, verb: Verb, work: usize) -> usize;

    /// A listener's turn begins.
    fn begin_turn(&mut self);

    /// A stage of its is done, with so many bufs.
    fn passed(&mut self, listener: u8, stage: Stage, bufs: usize);

    /// When the pass began, in cycles, and for how many it stands; `None`: it is not measured.
    fn sample(&self) -> Option<(u64, u64)>;
}

/// A pass like most.
pub(super) struct Unmeasured;

impl Measure for Unmeasured {
    #[inline(always)]
    fn did(&mut self, _: Verb, work: usize) -> usize {
        work
    }

    #[inline(always)]
    fn begin_turn(&mut self) {}

    #[inline(always)]
    fn passed(&mut self, _: u8, _: Stage, _: usize) {}

    #[inline(always)]
    fn sample(&self) -> Option<(u64, u64)> {
        None
    }
}

/// One that is measured.
pub(super) struct Measured {
    counters: Counters,
    weight: u64,
    began: u64,
    verb_began: u64,
    stage_began: u64,
    /// Of reading the clock: what most verbs do costs less.
    reading: u64,
}

impl Measured {
    /// One that begins now, and stands for `weight` passes of the lcore that has these counters.
    pub fn begin(counters: &Counters, weight: u32) -> Self {
        let now = cycles::now();
        let (counters, reading) = (counters.clone(), cycles::cost_of_reading());
        let (began, verb_began, stage_began) = (now, now, now);
        Self { counters, weight: weight.into(), began, verb_began, stage_began, reading }
    }
}

impl Measure for Measured {
    fn did(&mut self, verb: Verb, work: usize) -> usize {
        let now = cycles::now();
        let took = now.saturating_sub(self.verb_began + self.reading);
        self.verb_began = now;
        self.counters.verb(verb).record(work, took, self.weight);
        work
    }

    fn begin_turn(&mut self) {
        self.stage_began = cycles::now();
    }

    fn passed(&mut self, listener: u8, stage: Stage, bufs: usize) {
        let now = cycles::now();
        let took = now.saturating_sub(self.stage_began + self.reading);
        self.stage_began = now;
        self.counters.block().listener(listener).stage(stage).record(bufs, took, self.weight);
    }

    fn sample(&self) -> Option<(u64, u64)> {
        Some((self.began, self.weight))
    }
}

/// Says which passes are measured.
pub(super) struct Meter {
    /// Passes until the next, that one included.
    left: u32,
    /// Passes that it will stand for.
    weight: u32,
    /// Chooses, the same way each time.
    chance: u64,
}

impl Meter {
    pub fn new() -> Self {
        Self { left: 1, weight: 0, chance: 0 }
    }

    /// Whether this pass may be measured: [`begin`](Self::begin) says.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// A measured pass where one in so many is to be ([`LcoreBlock::sampling`](crate::counters::LcoreBlock)), and chooses
    /// the next: not always after as many, or what repeats itself would always be met at the same place.
    #[cold]
    pub fn begin(&mut self, counters: &Counters) -> Option<Measured> {
        let weight = self.weight;
        let one_in = counters.block().sampling.load(Ordering::Relaxed).min(1 << 30) as u32;
        if one_in == 0 {
            (self.left, self.weight) = (OFF_PASSES, 0);
            return None;
        }
        // From 1 to as many more than `one_in` as 1 is fewer.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let next = 1 + (self.chance >> 33) as u32 % (2 * one_in - 1);
        (self.left, self.weight) = (next, next);
        // The first after a time without any stands for itself.
        Some(Measured::begin(counters, weight.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(one_in: u64, passes: u32) -> (u64, u64) {
        let counters = Counters::default();
        counters.block().sampling.store(one_in, Ordering::Relaxed);
        let (mut meter, mut measured, mut weight) = (Meter::new(), 0, 0);
        for _ in 0..passes {
            if meter.is_due()
                && let Some(pass) = meter.begin(&counters)
            {
                measured += 1;
                weight += pass.sample().unwrap().1;
            }
        }
        (measured, weight)
    }

    #[test]
    fn the_measured_passes_stand_for_all() {
        for one_in in [1, 2, 16, 100] {
            let (count, weight) = measured(one_in, 100_000);
            let expected = 100_000 / one_in;
            assert!(
                (expected * 9 / 10..=expected * 11 / 10 + 1).contains(&count),
                "{one_in}: {count}"
            );
            assert!((100_000 - 2 * one_in..=100_001).contains(&weight), "{one_in}: {weight}");
        }
        assert_eq!(measured(0, 100_000), (0, 0));
    }

    #[test]
    fn a_pass_books_its_verbs_and_stages() {
        let counters = Counters::default();
        let mut pass = Measured::begin(&counters, 3);
        assert_eq!(pass.did(Verb::Mail, 5), 5);
        pass.begin_turn();
        pass.passed(2, Stage::Handler, 4);
        assert!(Unmeasured.sample().is_none());
        let seen = format!("{:?}", counters.verb(Verb::Mail));
        assert!(seen.contains("calls: 3, bufs: 15"), "{seen}");
        let seen = format!("{:?}", counters.block().listener(2).stage(Stage::Handler));
        assert!(seen.contains("calls: 3, bufs: 12"), "{seen}");
    }
}
