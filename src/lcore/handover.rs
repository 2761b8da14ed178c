//! What an lcore does when another process takes its listeners over: it shows its sockets, and later gives them up
//! while its connections go on; and what one of the other process does, which waits for the word to accept.

use std::io;
use std::time::Duration;

use super::books::Standing;
use super::{Lcore, Stage};
use crate::sys::listening::Listening;

impl Lcore {
    /// The sockets that it listens on, for another process.
    pub fn listening(&self) -> io::Result<Vec<Listening>> {
        let sockets =
            self.listeners.iter().flatten().map(|listener| listener.transport.listening());
        Ok(sockets.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Accepts what waits on its sockets, and, where it was made to wait for this, from here on; on those that other
    /// processes have as well, or, `alone`, on all.
    pub fn accept_again(&mut self, alone: bool) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            self.books.count_for(index, &mut self.io, &mut self.cx);
            listener.transport.accept_again(&mut self.io, alone);
        }
        self.work = u32::MAX;
    }

    /// Accepts no more, since another process does, and gives connections until `patience` is over to finish. Those
    /// on which nothing is under way are asked to close once `spared` is over: what is on its way on them is
    /// answered, and with the answer they close.
    pub fn hand_over(&mut self, patience: Duration, spared: Duration) {
        if !self.drain_for(patience) {
            return;
        }
        self.spared_until = self.clock.now().after_ns(ns(spared));
        self.cx.spares_idle = true;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            self.books.count_for(index, &mut self.io, &mut self.cx);
            self.books.stand(index as u8, Standing::Retired);
            listener.give_up(&mut self.io);
        }
    }

    /// Begins to drain, unless it does; its listeners have yet to hear of it.
    pub(super) fn drain_for(&mut self, patience: Duration) -> bool {
        if self.stage != Stage::Running {
            return false;
        }
        self.stage = Stage::Draining { deadline: self.clock.now().after_ns(ns(patience)) };
        self.cx.draining = true;
        self.work = u32::MAX;
        true
    }
}

fn ns(time: Duration) -> u64 {
    time.as_nanos().min(u64::MAX.into()) as u64
}
