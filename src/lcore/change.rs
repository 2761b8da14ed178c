//! Listeners that come, go and take each other's places while an lcore runs. A change is made in two steps: staged,
//! which may fail and touches nothing that runs; and committed between two passes, which does not fail.

use std::time::Duration;

use super::books::Standing;
use super::{Lcore, Listener, NEVER, Stage};
use crate::config::IdleMode;
use crate::error::{Error, Result};
use crate::limits::{LEAVE_LOOK_NS, LISTENERS_MAX};
use crate::pipeline::Cx;
use crate::sync::{Arc, AtomicU32, Ordering};
use crate::time::Instant;
use crate::transport::Io;

/// Where a listener that is new is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its index.
    pub index: u8,
    /// The listener whose sockets it takes over, which keeps the connections it has.
    pub replaces: Option<u8>,
}

/// What else a change does, once the listeners that are new were staged.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Listeners that accept no more, and whose connections have so long to finish.
    pub removed: Vec<Removed>,
    /// Listeners whose peers have other times from here on.
    pub timeouts: Vec<Timeouts>,
    /// What the lcore does from here on when there is nothing to do.
    pub idle: Option<IdleMode>,
}

/// A listener that goes.
#[derive(Debug, Clone)]
pub struct Removed {
    /// Its index.
    pub index: u8,
    /// How long its connections have.
    pub patience: Duration,
}

/// How long a listener's peers may take from here on.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Its index.
    pub index: u8,
    /// To take something.
    pub write: Duration,
    /// To say something, where they send datagrams.
    pub idle: Duration,
}

/// Keeps a listener on every lcore until all its connections have ended on all of them: the process at its port is
/// one for all, and its memory with it.
#[derive(Debug)]
pub struct Farewell(AtomicU32);

impl Farewell {
    /// For a listener on so many lcores.
    pub fn new(lcores: usize) -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(lcores as u32)))
    }

    /// On one more lcore no connection is left.
    pub(super) fn say(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether no connection is left on any.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Listeners that are ready, of one change.
pub(super) struct Staged {
    change: u64,
    places: Vec<Place>,
    listeners: Vec<Box<Listener>>,
}

/// Listeners that were told to go.
pub(super) struct Leaving {
    /// One bit each.
    pub who: u32,
    until: [Instant; LISTENERS_MAX],
    /// When they are looked at next.
    look: Instant,
}

impl Leaving {
    pub fn nobody() -> Self {
        Self { who: 0, until: [NEVER; LISTENERS_MAX], look: NEVER }
    }
}

impl Lcore {
    /// The indices that have a listener, one bit each.
    pub fn taken(&self) -> u32 {
        let taken = self.listeners.iter().enumerate().filter(|(_, l)| l.is_some());
        taken.fold(0, |taken, (index, _)| taken | 1 << index)
    }

    /// Makes listeners ready for `places`, each by one call of `make` with its number among them, without serving
    /// them: for [`commit`](Self::commit) of the same number, or [`unstage`](Self::unstage). What was staged
    /// before is dropped.
    ///
    /// # Errors
    /// When an index is taken, the listener to be replaced is not there, the lcore stops, or `make` fails. Nothing is
    /// staged then.
    pub fn stage(
        &mut self,
        change: u64,
        places: &[Place],
        mut make: impl FnMut(usize, &mut Cx, &mut Io) -> Result<Box<Listener>>,
    ) -> Result<()> {
        self.drop_staged();
        self.check_places(places)?;
        let staged = Staged { change, places: places.to_vec(), listeners: Vec::new() };
        let staged = self.staged.insert(Box::new(staged));
        for (number, place) in places.iter().enumerate() {
            self.cx.extensions.register_for(place.index);
            match make(number, &mut self.cx, &mut self.io) {
                Ok(listener) => staged.listeners.push(listener),
                Err(error) => {
                    self.drop_staged();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn check_places(&self, places: &[Place]) -> Result<()> {
        let refuse = |why: String, mend: &str| Err(Error::new("change the listeners", why, mend));
        if self.stage != Stage::Running {
            return refuse("the lcore stops".to_owned(), "start the instance again");
        }
        for place in places {
            let there = |index: u8| self.listeners.get(usize::from(index)).map(Option::is_some);
            if there(place.index) != Some(false) {
                let why = format!("index {} is taken, or past the last", place.index);
                return refuse(why, "use one that is free");
            }
            if let Some(old) = place.replaces
                && there(old) != Some(true)
            {
                return refuse(format!("there is no listener {old}"), "name one that runs");
            }
        }
        Ok(())
    }

    /// Puts what was staged for the `change` of that number in force and carries out `orders`, all in this call. `false`: nothing of
    /// that change is staged, or the lcore stops; nothing has changed then.
    pub fn commit(&mut self, change: u64, orders: &Orders) -> bool {
        let is_it = self.staged.as_ref().is_some_and(|staged| staged.change == change);
        if !is_it || self.stage != Stage::Running {
            self.drop_staged();
            return false;
        }
        let Some(staged) = self.staged.take() else { return false };
        for (place, listener) in staged.places.into_iter().zip(staged.listeners) {
            if let Some(old) = place.replaces {
                self.retire(old);
            }
            self.put(place.index, listener);
        }
        orders.removed.iter().for_each(|removed| self.see_out(removed));
        for order in &orders.timeouts {
            if let Some(Some(listener)) = self.listeners.get_mut(usize::from(order.index)) {
                listener.transport.set_timeouts(order.write, order.idle);
            }
        }
        if let Some(mode) = orders.idle {
            self.idle.set_mode(mode);
        }
        true
    }

    /// Drops what was staged for the `change` of that number.
    pub fn unstage(&mut self, change: u64) {
        if self.staged.as_ref().is_some_and(|staged| staged.change == change) {
            self.drop_staged();
        }
    }

    fn drop_staged(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        let indices: Vec<u8> = staged.places.iter().map(|place| place.index).collect();
        drop(staged);
        indices.into_iter().for_each(|index| self.forget(index));
    }

    /// A successor has its sockets.
    fn retire(&mut self, old: u8) {
        if let Some(Some(listener)) = self.listeners.get_mut(usize::from(old)) {
            self.books.count_for(old.into(), &mut self.io, &mut self.cx);
            self.books.stand(old, Standing::Retired);
            listener.hand_over(&mut self.io);
            self.work |= 1 << old;
        }
    }

    /// Begins the end of a listener.
    fn see_out(&mut self, removed: &Removed) {
        let index = usize::from(removed.index);
        let Some(Some(listener)) = self.listeners.get_mut(index) else { return };
        self.books.count_for(index, &mut self.io, &mut self.cx);
        self.books.stand(removed.index, Standing::Retired);
        let patience_ns = removed.patience.as_nanos().min(u64::MAX.into()) as u64;
        listener.retire(&mut self.io);
        listener.pipeline.retire();
        let now = self.clock.now();
        self.leaving.who |= 1 << index;
        self.leaving.until[index] = now.after_ns(patience_ns);
        self.leaving.look = now;
        self.work |= 1 << index;
    }

    /// Asks idle connections of listeners that go to close, and closes all of those whose patience ends. Looked at now
    /// and then, not in each pass: others are served meanwhile.
    #[cold]
    pub(super) fn see_off(&mut self) {
        let now = self.io.now;
        if now < self.leaving.look {
            return;
        }
        self.leaving.look = now.after_ns(LEAVE_LOOK_NS);
        let mut who = self.leaving.who;
        while who != 0 {
            let index = who.trailing_zeros() as usize;
            who &= who - 1;
            let Some(listener) = &mut self.listeners[index] else { continue };
            self.books.count_for(index, &mut self.io, &mut self.cx);
            if now >= self.leaving.until[index] {
                listener.abort(&mut self.io);
                self.leaving.who &= !(1 << index);
                self.work |= 1 << index;
            } else if listener.drain(&mut self.cx) {
                self.work |= 1 << index;
            }
        }
    }

    /// Takes a listener away that is gone.
    #[cold]
    pub(super) fn take_away(&mut self, index: usize) {
        if let Some(mut listener) = self.listeners[index].take() {
            listener.transport.leave(&mut self.io);
        }
        self.leaving.who &= !(1 << index);
        self.books.close(index as u8, &mut self.io, &mut self.cx);
        self.forget(index as u8);
    }

    /// Ports and kinds of values that were registered for the listener at `index`.
    fn forget(&mut self, index: u8) {
        self.io.ports.remove(index);
        self.cx.ports.remove(index);
        self.cx.extensions.release(index);
    }
}
