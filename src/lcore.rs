//! The poll loop: a flat list of verbs, run to completion on one pinned thread. Everything that an
//! lcore owns, it alone touches; other threads post to its mailbox.

mod idle;
mod listener;
mod mail;
mod ports;
mod wakes;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use listener::Listener;
pub use mail::{Handle, Mail, Written};

use self::idle::Idle;
use self::mail::PendingWrites;
use crate::config::IdleMode;
use crate::counters::Counter;
use crate::error::{Error, Result};
use crate::limits::{COMPLETIONS_PER_TURN, LISTENERS_MAX, MAILBOX_SLOTS, PROTOCOL_TICK_NS};
use crate::mailbox::Mailbox;
use crate::mem::Batch;
use crate::pipeline::{Cx, Pipeline};
use crate::sys::socket::StreamListener;
use crate::sys::uring::Cqe;
use crate::time::{Clock, Instant};
use crate::transport::{Io, TimerEvent, Token};

/// Operation of the lcore's own token: its doorbell rang.
const OP_BELL: u8 = 1;

/// Timers that fire in one pass.
const TIMERS_PER_PASS: usize = 32;

/// Completions taken from the ring at a time.
const REAP: usize = 16;

/// Passes between two readings of the clock, while nothing begins or ends.
const CLOCK_PASSES: u32 = 8;

/// Where an lcore stands between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Accepts no more; connections have until the deadline to finish.
    Draining {
        deadline: Instant,
    },
    /// Every connection is being closed.
    Stopping,
}

/// What an lcore needs beside its listeners.
pub struct Parts {
    /// What it lends to transports.
    pub io: Io,
    /// What it lends to stages.
    pub cx: Cx,
    /// Where other threads post to.
    pub mailbox: Mailbox<Mail>,
    /// The clock of the dataplane.
    pub clock: Clock,
    /// What to do when there is nothing to do.
    pub idle: IdleMode,
}

/// One poll loop with its listeners.
pub struct Lcore {
    io: Io,
    cx: Cx,
    /// By index; a listener's index is part of its completions' tokens.
    listeners: [Option<Box<Listener>>; LISTENERS_MAX],
    /// One bit for each listener that may have something to do.
    work: u32,
    /// One for each whose port has something to say, or whose process came or went.
    due: u32,
    mailbox: Mailbox<Mail>,
    writes: PendingWrites,
    clock: Clock,
    unix_base: (Instant, Duration),
    /// When the protocols last looked for what has taken too long.
    protocols_ticked: Instant,
    /// Since when they are to look again, as soon as all that has arrived was taken.
    tick_due: Option<Instant>,
    stage: Stage,
    idle: Idle,
}

impl Lcore {
    /// An lcore without listeners, run by the calling thread.
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let mut lcore = Self {
            io: parts.io,
            cx: parts.cx,
            listeners: [const { None }; LISTENERS_MAX],
            work: 0,
            due: 0,
            mailbox: parts.mailbox,
            writes: PendingWrites::new(),
            clock: parts.clock,
            unix_base: (now, Duration::ZERO),
            protocols_ticked: now,
            tick_due: None,
            stage: Stage::Running,
            idle: Idle::new(parts.idle, now),
        };
        lcore.tick();
        lcore.watch_bell();
        lcore
    }

    /// The first free listener index. A listener's transport has to know it.
    pub fn free_index(&self) -> Option<u8> {
        self.listeners.iter().position(Option::is_none).map(|index| index as u8)
    }

    /// Lends itself to a transport that is being built.
    pub fn io(&mut self) -> &mut Io {
        &mut self.io
    }

    /// What its listeners' bytes mean, each with the listener's index: for a call from another thread that looks
    /// into their sessions.
    pub fn pipelines(&mut self) -> impl Iterator<Item = (u8, &mut Pipeline)> {
        let listeners = self.listeners.iter_mut().enumerate();
        listeners.filter_map(|(index, l)| Some((index as u8, &mut l.as_deref_mut()?.pipeline)))
    }

    /// When its present pass began.
    pub fn now(&self) -> Instant {
        self.io.now
    }

    /// Begins to serve a listener under `index`.
    pub fn register(&mut self, index: u8, mut listener: Box<Listener>) -> Result<()> {
        match self.listeners.get_mut(usize::from(index)) {
            Some(slot @ None) => {
                listener.start(&mut self.io);
                *slot = Some(listener);
            }
            _ => {
                return Err(Error::new(
                    format!("register listener {index}"),
                    "the index is taken, or past the last",
                    "use the index that free_index gave",
                ));
            }
        }
        self.work |= 1 << index;
        Ok(())
    }

    /// Stops accepting on a listener and closes its connections; it is gone once they are. `false`
    /// when there is none under this index.
    pub fn unregister(&mut self, index: u8) -> bool {
        let Some(Some(listener)) = self.listeners.get_mut(usize::from(index)) else { return false };
        listener.retire(&mut self.io);
        listener.abort(&mut self.io);
        self.work |= 1 << index;
        true
    }

    /// Swaps the listener `old` for `listener`, which is served under `new`, while both run: from
    /// here on `listener` accepts, and the connections of `old` go on over its own transport until
    /// they close. Nothing is lost; `old` is gone with the last of them.
    pub fn replace(&mut self, old: u8, new: u8, listener: Box<Listener>) -> Result<()> {
        if !matches!(self.listeners.get(usize::from(old)), Some(Some(_))) {
            let what = format!("replace listener {old}");
            return Err(Error::new(what, "there is none", "name a listener that runs"));
        }
        self.register(new, listener)?;
        if let Some(listener) = &mut self.listeners[usize::from(old)] {
            listener.retire(&mut self.io);
        }
        self.work |= 1 << old;
        Ok(())
    }

    /// Has the listener under `index` accept from `socket` in place of its own; nothing where there is
    /// none, or where it accepts no more.
    pub fn listen_on(&mut self, index: u8, socket: StreamListener) {
        if let Some(Some(listener)) = self.listeners.get_mut(usize::from(index)) {
            listener.transport.listen_on(&mut self.io, socket);
        }
    }

    /// Runs until it was told to stop and every connection is closed.
    pub fn run(&mut self) {
        while !self.finished() {
            let work = self.poll_once(usize::MAX);
            self.rest(work);
        }
        self.refuse_mail();
    }

    /// One bounded pass over what is due; handles at most about `budget` completions, and returns
    /// how much was done. Never waits.
    #[inline]
    pub fn poll_once(&mut self, budget: usize) -> usize {
        self.tick();
        let completions = self.completions(budget);
        self.tick_protocols(completions);
        completions
            + self.timers()
            + self.mail()
            + self.ports()
            + self.turns()
            + self.notices()
            + self.wind_down()
    }

    /// Reads the clock, and books the time since the last reading as busy or idle.
    #[inline]
    fn tick(&mut self) {
        if !self.idle.wants_clock(CLOCK_PASSES) {
            return;
        }
        let now = self.clock.now();
        self.io.count(Counter::Rounds, self.idle.take_passes());
        self.idle.book(&self.io.counters, now);
        self.io.now = now;
        self.cx.now = now;
        self.tick_calendar(now);
        if now.ns_since(self.protocols_ticked) >= PROTOCOL_TICK_NS {
            self.protocols_ticked = now;
            self.tick_due.get_or_insert(now);
        }
    }

    /// Lets each protocol look for what has taken too long, where that is due and all that has arrived was
    /// reaped: after a long pass, what seems late may only not have been looked at. Under a load that
    /// leaves no such moment it waits for one period, and no longer.
    #[inline]
    fn tick_protocols(&mut self, completions: usize) {
        let Some(since) = self.tick_due else { return };
        let behind = completions >= COMPLETIONS_PER_TURN
            || self.io.uring.as_mut().is_some_and(|uring| uring.ring().has_task_work());
        if behind && self.io.now.ns_since(since) < PROTOCOL_TICK_NS {
            return;
        }
        self.tick_due = None;
        self.tick_listeners();
    }

    #[cold]
    fn tick_listeners(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(listener) = listener {
                listener.tick();
                self.work |= 1 << index;
            }
        }
    }

    /// The calendar is asked once a second; in between it follows the monotonic clock.
    #[inline]
    fn tick_calendar(&mut self, now: Instant) {
        let since = now.ns_since(self.unix_base.0);
        if since > 1_000_000_000 || self.unix_base.1 == Duration::ZERO {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.unix_base = (now, unix);
            self.cx.unix_seconds = unix.as_secs();
        } else {
            self.cx.unix_seconds = (self.unix_base.1 + Duration::from_nanos(since)).as_secs();
        }
    }

    /// Enters the kernel where that achieves something, and hands completions to their listeners.
    #[inline]
    fn completions(&mut self, budget: usize) -> usize {
        let Some(uring) = &mut self.io.uring else { return 0 };
        if uring.ring().needs_enter() {
            if uring.ring().overflowed() {
                self.io.counters.add(Counter::CqOverflows, 1);
            }
            uring.replenish();
            let entered = uring.ring().enter();
            uring.after_submit();
            entered.unwrap_or_else(|e| panic!("io_uring_enter failed: {e}"));
        }
        let mut batch = [Cqe::default(); REAP];
        let mut done = 0;
        loop {
            let wanted = batch.len().min(budget - done);
            let count = self.io.uring().ring().reap(&mut batch[..wanted]);
            batch[..count].iter().for_each(|cqe| self.complete(cqe));
            done += count;
            if count < REAP || done >= COMPLETIONS_PER_TURN {
                break;
            }
        }
        self.io.counters.add(Counter::Completions, done as u64);
        done
    }

    #[inline]
    fn complete(&mut self, cqe: &Cqe) {
        let token = Token::from_user_data(cqe.user_data);
        let index = usize::from(token.listener());
        match self.listeners.get_mut(index) {
            Some(Some(listener)) => {
                listener.transport.complete(&mut self.io, token, cqe);
                self.work |= 1 << index;
            }
            Some(None) => self.io.uring().take_received(cqe, drop),
            None if token.op() == OP_BELL && !cqe.more() => self.watch_bell(),
            None if token.op() == ports::OP_PORT && !cqe.more() => self.port_unwatched(token),
            None => {}
        }
    }

    /// Looks for what attached processes have sent.
    #[inline]
    fn ports(&mut self) -> usize {
        self.due |= self.cx.ports.due() | self.io.ports.due();
        self.work |= self.due;
        0
    }

    /// Gives each listener that may have something to do its turn.
    #[inline]
    fn turns(&mut self) -> usize {
        let mut moved = 0;
        let mut due = self.work;
        while due != 0 {
            let index = due.trailing_zeros() as usize;
            due &= due - 1;
            let Some(listener) = &mut self.listeners[index] else {
                self.work &= !(1 << index);
                continue;
            };
            // A completion that only gave bufs back, as that of a send does, leaves nothing to do.
            let is_due = self.due & 1 << index != 0;
            self.due &= !(1 << index);
            if is_due || listener.has_work() || listener.transport.is_polled() {
                moved += listener.turn(&mut self.io, &mut self.cx);
            }
            if !listener.has_work() && !listener.transport.is_polled() {
                self.work &= !(1 << index);
            }
            if listener.is_gone() {
                self.listeners[index] = None;
                self.io.ports.close(index as u8);
                self.cx.ports.close(index as u8);
            }
        }
        moved
    }

    /// Fires the timers that are due.
    #[inline]
    fn timers(&mut self) -> usize {
        let mut due: Batch<TimerEvent, TIMERS_PER_PASS> = Batch::new();
        let now = self.io.now;
        self.io.timers.expire(now, TIMERS_PER_PASS, |event| {
            let pushed = due.push(event);
            debug_assert!(pushed.is_ok(), "no more fire than the budget");
        });
        let count = due.len();
        while let Some(event) = due.pop() {
            let index = usize::from(event.listener);
            if let Some(Some(listener)) = self.listeners.get_mut(index) {
                listener.transport.timer(&mut self.io, event);
                self.work |= 1 << index;
            }
        }
        count
    }

    /// Reads the mail.
    #[inline]
    fn mail(&mut self) -> usize {
        let mut count = 0;
        while count < MAILBOX_SLOTS
            && let Some(mail) = self.mailbox.take()
        {
            self.deliver(mail);
            count += 1;
        }
        if count > 0 {
            self.io.count(Counter::Mails, count as u64);
        }
        count
    }

    /// Tells the authors of writes what became of them.
    #[inline]
    fn notices(&mut self) -> usize {
        let count = self.io.notices.len();
        for notice in self.io.notices.drain(..) {
            self.writes.settle(notice);
        }
        count
    }

    /// While draining: asks idle connections to close, and all of them when patience ends.
    #[inline]
    fn wind_down(&mut self) -> usize {
        let Stage::Draining { deadline } = self.stage else { return 0 };
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(listener) = listener
                && listener.drain(&mut self.cx)
            {
                self.work |= 1 << index;
            }
        }
        if self.io.now >= deadline {
            self.stop();
        }
        0
    }

    /// Accepts no more, and gives connections until `patience` is over to finish.
    fn begin_drain(&mut self, patience: Duration) {
        if self.stage != Stage::Running {
            return;
        }
        let patience_ns = patience.as_nanos().min(u64::MAX.into()) as u64;
        self.stage = Stage::Draining { deadline: self.clock.now().after_ns(patience_ns) };
        self.cx.draining = true;
        for listener in self.listeners.iter_mut().flatten() {
            listener.transport.stop_accepting(&mut self.io);
        }
        self.work = u32::MAX;
    }

    /// Closes every connection now.
    fn stop(&mut self) {
        if self.stage == Stage::Stopping {
            return;
        }
        self.stage = Stage::Stopping;
        for listener in self.listeners.iter_mut().flatten() {
            listener.abort(&mut self.io);
        }
        self.work = u32::MAX;
    }

    fn finished(&self) -> bool {
        let closed = || self.listeners.iter().flatten().all(|l| l.transport.is_quiet());
        match self.stage {
            Stage::Running => false,
            Stage::Draining { .. } => self.work == 0 && closed(),
            // What has no connection to go to any more is dropped with the lcore.
            Stage::Stopping => closed(),
        }
    }

    /// What to do after a pass: nothing, pause, or sleep until something happens.
    #[inline]
    fn rest(&mut self, work: usize) {
        let entered = self.io.uring.as_ref().map_or(0, |uring| uring.ring_ref().enters());
        self.io.counters.set(Counter::Enters, entered);
        if let Some(most) = self.idle.after_pass(work, self.io.now) {
            self.sleep(most);
        }
    }

    /// Sleeps in the ring: completions, the doorbell, a timer or `most` end it.
    #[cold]
    fn sleep(&mut self, most: Duration) {
        let now = self.clock.now();
        let until = self.io.timers.next_deadline().map_or(u64::MAX, |at| at.ns_since(now));
        // Work that waits for room is looked at again soon, whatever happens.
        let cap = if self.work == 0 { most } else { idle::STALLED_NAP };
        let timeout = cap.min(Duration::from_nanos(until));
        if timeout.is_zero() || !self.mailbox.sleep_unless_mail() {
            return;
        }
        if !self.ports_may_sleep() {
            self.ports_are_awake();
            return self.mailbox.awake();
        }
        if let Some(uring) = &mut self.io.uring {
            uring.replenish();
            let waited = uring.ring().enter_and_wait(timeout);
            uring.after_submit();
            waited.unwrap_or_else(|e| panic!("io_uring_enter failed: {e}"));
        } else {
            idle::nap_on(self.mailbox.bell(), timeout);
        }
        self.ports_are_awake();
        self.mailbox.awake();
        self.idle.slept(&self.io.counters, now, self.clock.now());
    }

    fn watch_bell(&mut self) {
        if let Some(uring) = &mut self.io.uring {
            let token = Token::new(OP_BELL, Token::LCORE, 0, 0).user_data();
            uring.ring().poll_readable_multi(self.mailbox.bell(), token);
        }
    }
}
