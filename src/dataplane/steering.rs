//! How the lcores are told to drain and to stop, by whoever holds the dataplane and by its control
//! socket. Who waits for their end is elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::control::Stopping;
use crate::lcore::{Handle, Mail};

/// All lcores. The lock makes each hear of things in the same order.
pub(super) struct Steering {
    drain_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    lcores: Vec<Steered>,
    /// They were told to drain.
    draining: bool,
}

/// One lcore as who steers it sees it.
struct Steered {
    handle: Handle,
    /// Gone once its thread has ended, well or not.
    life: Weak<()>,
}

impl State {
    fn post_all(&self, mail: impl Fn() -> Mail) {
        for lcore in &self.lcores {
            let mut mail = mail();
            while let Err(back) = lcore.handle.post(mail) {
                if lcore.life.strong_count() == 0 {
                    break;
                }
                mail = back;
                std::thread::yield_now();
            }
        }
    }

    fn drain(&mut self, patience: Duration) {
        self.draining = true;
        self.post_all(|| Mail::Drain(patience));
    }
}

impl Steering {
    /// No lcore yet.
    pub fn new(drain_timeout: Duration) -> Self {
        let state = State { lcores: Vec::new(), draining: false };
        Self { drain_timeout, state: Mutex::new(state) }
    }

    pub fn add(&self, handle: Handle, life: Weak<()>) {
        self.lock().lcores.push(Steered { handle, life });
    }

    pub fn post_all(&self, mail: impl Fn() -> Mail) {
        self.lock().post_all(mail);
    }

    pub fn drain(&self) {
        self.lock().drain(self.drain_timeout);
    }

    /// Drains, or, where they were told that before, stops.
    pub fn drain_or_stop(&self) -> Stopping {
        let mut state = self.lock();
        if state.draining {
            state.post_all(|| Mail::Stop);
            return Stopping::AtOnce;
        }
        state.drain(self.drain_timeout);
        Stopping::Draining
    }

    /// Whether they were told to drain.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
