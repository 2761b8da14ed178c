//! A [`SleepFlag`] with what a loom model takes for an eventfd: a flag that stays raised until it is
//! read, and that can be waited for.

use std::convert::Infallible;

use crate::ring::doorbell::SleepFlag;
use crate::sync::{Condvar, Mutex};

/// A consumer's bell, shared by reference.
#[derive(Default)]
pub struct Doorbell {
    flag: SleepFlag,
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Doorbell {
    /// Creates a bell, its consumer awake.
    pub fn new() -> Result<Self, Infallible> {
        Ok(Self::default())
    }

    /// Producer: wakes the consumer if it sleeps, and returns whether it did.
    pub fn ring(&self) -> bool {
        self.flag.ring(|| {
            *self.raised.lock().unwrap() = true;
            self.changed.notify_one();
        })
    }

    /// Consumer: see [`SleepFlag::sleep_unless`].
    #[must_use = "wait for the bell only when this returns true"]
    pub fn sleep_unless(&self, has_work: impl FnOnce() -> bool) -> bool {
        self.flag.sleep_unless(has_work)
    }

    /// Consumer: waits until the bell was rung, and leaves it ringing.
    pub fn wait(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
    }

    /// Consumer: announces that it is awake and silences the bell.
    pub fn awake(&self) {
        self.flag.awake();
        *self.raised.lock().unwrap() = false;
    }
}
