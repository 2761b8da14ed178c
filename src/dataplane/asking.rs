//! Questions to lcores: each is done on the lcore's thread between two passes, and answered over a channel. An
//! lcore that does not answer is not waited for.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::lcore::{Handle, Lcore, Mail};
use crate::limits::{CONTROL_CONNECTIONS_MAX, LCORE_ANSWER_NS};

/// How often somebody who waits looks whether the lcore still runs, or has room for mail.
const LOOK: Duration = Duration::from_millis(10);

/// All lcores, in the order of their indices.
pub(super) struct Lcores(Vec<Asked>);

/// One lcore, as who asks it sees it.
pub(super) struct Asked {
    /// The operator's number of it.
    id: u32,
    handle: Handle,
    /// Gone once its thread has ended.
    life: Weak<()>,
    /// Each question that it has not heard has a clone of it.
    unheard: Arc<()>,
}

/// Why an lcore does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    Busy,
    Ended,
}

impl Silence {
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Ended => "ended",
        }
    }
}

impl Lcores {
    pub fn new(lcores: impl Iterator<Item = Asked>) -> Self {
        Self(lcores.collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The operator's number of the lcore at `index`.
    pub fn id(&self, index: usize) -> u32 {
        self.0[index].id
    }

    /// Whether one has ended, for whatever reason.
    pub fn any_ended(&self) -> bool {
        self.0.iter().any(|lcore| lcore.life.strong_count() == 0)
    }

    /// What `work` comes to on the lcore at `index`. It brings the room for that along, so that the lcore
    /// allocates nothing.
    pub fn ask<T: Send + 'static>(
        &self,
        index: usize,
        work: impl FnOnce(&mut Lcore) -> T + Send + 'static,
    ) -> Result<T, Silence> {
        self.ask_within(Duration::from_nanos(LCORE_ANSWER_NS), index, work)
    }

    /// The same, of work that may take so long.
    pub fn ask_within<T: Send + 'static>(
        &self,
        most: Duration,
        index: usize,
        work: impl FnOnce(&mut Lcore) -> T + Send + 'static,
    ) -> Result<T, Silence> {
        self.0[index].ask(most, work)
    }

    /// What `ask` comes to for the index of each lcore. One that is silent does not hold up the others.
    pub fn each<T: Send>(&self, ask: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let ask = &ask;
        thread::scope(|scope| {
            let asked: Vec<_> =
                (0..self.len()).map(|index| scope.spawn(move || ask(index))).collect();
            asked.into_iter().map(|thread| thread.join().expect("asking does not panic")).collect()
        })
    }
}

impl Asked {
    pub fn new(id: u32, handle: Handle, life: Weak<()>) -> Self {
        Self { id, handle, life, unheard: Arc::default() }
    }

    fn ask<T: Send + 'static>(
        &self,
        most: Duration,
        work: impl FnOnce(&mut Lcore) -> T + Send + 'static,
    ) -> Result<T, Silence> {
        // What an lcore that hangs is asked over and over would fill its box, and nobody could stop it.
        if Arc::strong_count(&self.unheard) > CONTROL_CONNECTIONS_MAX {
            return Err(Silence::Busy);
        }
        let until = Instant::now() + most;
        let (unheard, (done, answer)) = (self.unheard.clone(), mpsc::sync_channel(1));
        let call = Mail::Call(Box::new(move |lcore| {
            drop(unheard);
            // Who asked may have given up.
            let _ = done.send(work(lcore));
        }));
        self.post(call, until)?;
        self.wait(&answer, until)
    }

    fn post(&self, mut mail: Mail, until: Instant) -> Result<(), Silence> {
        while let Err(back) = self.handle.post(mail) {
            mail = back;
            self.may_wait(until)?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn wait<T>(&self, answer: &mpsc::Receiver<T>, until: Instant) -> Result<T, Silence> {
        loop {
            // Looked at first: what an lcore said before its end is there.
            let may_wait = self.may_wait(until);
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Ended),
                Err(RecvTimeoutError::Timeout) => may_wait?,
            }
        }
    }

    fn may_wait(&self, until: Instant) -> Result<(), Silence> {
        if self.life.strong_count() == 0 || self.handle.is_closed() {
            return Err(Silence::Ended);
        }
        if Instant::now() >= until { Err(Silence::Busy) } else { Ok(()) }
    }
}
