//! How the lcores are told to drain and to stop, by whoever holds the dataplane and by its control
//! socket. Who waits for their end is elsewhere.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::Stopping;
use crate::counters::Segment;
use crate::counters::snapshot::State as Said;
use crate::lcore::{Handle, Lcore, Mail};
use crate::limits::{LCORE_CHANGE_NS, TAKEOVER_LCORES_NS, TAKEOVER_SPARED_NS};

/// How often mail is tried again that an lcore has no room for.
const RETRY: Duration = Duration::from_millis(1);

/// All lcores. The lock makes each hear of things in the same order.
pub(super) struct Steering {
    /// Where others read how it is.
    segment: Arc<Segment>,
    state: Mutex<State>,
    /// Told when they are so no longer.
    changed: Condvar,
}

/// While there is one, no other instance takes over.
pub(super) struct Changing(Arc<Steering>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.lock().changing = false;
        self.0.changed.notify_all();
    }
}

struct State {
    drain_timeout: Duration,
    lcores: Vec<Steered>,
    /// They were told to drain.
    draining: bool,
    /// Another instance builds on their sockets, or this one does on another's.
    asked: bool,
    /// Their listeners are about to change.
    changing: bool,
    /// The process that has taken over.
    successor: Option<i32>,
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

    fn drain(&mut self) {
        self.draining = true;
        self.post_all(|| Mail::Drain(self.drain_timeout));
    }
}

fn post_when_there_is_room(handle: &Handle, life: &Weak<()>, mut mail: Mail) {
    while let Err(back) = handle.post(mail) {
        if life.strong_count() == 0 || handle.is_closed() {
            return;
        }
        mail = back;
        thread::sleep(RETRY);
    }
}

impl Steering {
    /// No lcore yet.
    pub fn new(drain_timeout: Duration, segment: Arc<Segment>) -> Self {
        let lcores = Vec::new();
        let (draining, asked, changing, successor) = (false, false, false, None);
        let state = State { drain_timeout, lcores, draining, asked, changing, successor };
        Self { segment, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn add(&self, handle: Handle, life: Weak<()>) {
        self.lock().lcores.push(Steered { handle, life });
    }

    pub fn post_all(&self, mail: impl Fn() -> Mail) {
        self.lock().post_all(mail);
    }

    /// How long connections have to finish from here on.
    pub fn set_drain_timeout(&self, timeout: Duration) {
        self.lock().drain_timeout = timeout;
    }

    /// Posts to each lcore, by its index, unless they were told to drain: then it is `false`. What an lcore that hangs
    /// has no room for reaches it when it comes round.
    pub fn post_unless_draining(&self, mail: impl Fn(usize) -> Mail) -> bool {
        let state = self.lock();
        if state.draining {
            return false;
        }
        for (index, lcore) in state.lcores.iter().enumerate() {
            if let Err(mail) = lcore.handle.post(mail(index)) {
                let (handle, life) = (lcore.handle.clone(), lcore.life.clone());
                thread::spawn(move || post_when_there_is_room(&handle, &life, mail));
            }
        }
        true
    }

    pub fn drain(&self) {
        self.segment.set_state(Said::Draining);
        self.lock().drain();
    }

    /// Gives all listeners up, since process `pid` accepts in this one's place, and drains; returns when all lcores
    /// have done so, or one does not come round. `false`: they were told to drain before.
    pub fn hand_over(&self, pid: i32) -> bool {
        let mut state = self.lock();
        if state.draining {
            return false;
        }
        (state.draining, state.successor) = (true, Some(pid));
        self.segment.set_state(Said::Draining);
        let patience = state.drain_timeout;
        let spared = Duration::from_nanos(TAKEOVER_SPARED_NS).min(patience / 2);
        let (done, answers) = mpsc::channel();
        state.post_all(|| {
            let done = done.clone();
            Mail::Call(Box::new(move |lcore: &mut Lcore| {
                lcore.hand_over(patience, spared);
                let _ = done.send(());
            }))
        });
        drop(done);
        let lcores = state.lcores.len();
        drop(state);
        let until = Instant::now() + Duration::from_nanos(TAKEOVER_LCORES_NS);
        // Who has ended answers by that; one that hangs is not waited for.
        for _ in 0..lcores {
            let left = until.saturating_duration_since(Instant::now());
            if answers.recv_timeout(left).is_err() {
                break;
            }
        }
        true
    }

    /// Another instance builds on the lcores' sockets from here on, or this one does on another's, until
    /// [`end_takeover`](Self::end_takeover). A change that is under way is waited for. It is `false` where one did already,
    /// or has taken over, or that change takes too long.
    pub fn begin_takeover(&self) -> bool {
        let patience = Duration::from_nanos(LCORE_CHANGE_NS);
        let changes = |state: &mut State| state.changing;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, changes);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.changing || state.asked || state.successor.is_some() {
            return false;
        }
        state.asked = true;
        true
    }

    pub fn end_takeover(&self) {
        self.lock().asked = false;
    }

    /// The listeners are about to change, for as long as what this returns is there; `None`: the lcores were told to drain,
    /// or a takeover is under way. There is one such change at a time.
    pub fn begin_change(self: &Arc<Self>) -> Option<Changing> {
        let mut state = self.lock();
        if state.draining || state.asked {
            return None;
        }
        state.changing = true;
        Some(Changing(self.clone()))
    }

    /// The process that has taken over.
    pub fn successor(&self) -> Option<i32> {
        self.lock().successor
    }

    /// What who asks over the control socket gets: it [drains, or stops](Self::drain_or_stop), unless another
    /// process has taken over, which is meant then.
    pub fn stop_as_asked(&self) -> Stopping {
        let mut state = self.lock();
        match state.successor {
            Some(pid) => Stopping::TakenOver(pid),
            None => self.drain_or_stop_these(&mut state),
        }
    }

    /// Drains, or, where they were told that before, stops.
    pub fn drain_or_stop(&self) -> Stopping {
        self.drain_or_stop_these(&mut self.lock())
    }

    fn drain_or_stop_these(&self, state: &mut State) -> Stopping {
        if state.draining {
            state.post_all(|| Mail::Stop);
            return Stopping::AtOnce;
        }
        self.segment.set_state(Said::Draining);
        state.drain();
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
