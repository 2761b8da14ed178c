//! The poll loop: a flat list of verbs, run to completion on one pinned thread. Everything that an
//! lcore owns, it alone touches; other threads post to its mailbox.

mod books;
pub mod capture;
mod change;
mod handover;
mod idle;
mod kernel;
mod latency;
mod listener;
mod mail;
mod measure;
mod ports;
pub mod trace;
mod wakes;
pub mod watch;
mod writes;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use change::{Farewell, Orders, Place, Removed, Timeouts};
pub use listener::Listener;
pub use mail::{Handle, Mail};

use self::books::{Books, Standing};
use self::change::{Leaving, Staged};
use self::idle::Idle;
use self::measure::{Measure, Measured, Meter, Unmeasured};
use self::writes::PendingWrites;
use crate::config::IdleMode;
use crate::counters::{Counter, Doing, Verb};
use crate::error::{Error, Result};
use crate::limits::{
    COMPLETIONS_PER_TURN, LEAVE_LOOK_NS, LISTENERS_MAX, MAILBOX_SLOTS, PROTOCOL_TICK_NS,
};
use crate::mailbox::Mailbox;
use crate::mem::Batch;
pub use crate::pipeline::write::Written;
use crate::pipeline::{Cx, Pipeline};
use crate::sync::Ordering;
use crate::sys::socket::StreamListener;
use crate::time::{Clock, Instant};
use crate::transport::{Epoll, Io, TimerEvent};

/// Timers that fire in one pass.
const TIMERS_PER_PASS: usize = 32;

/// Passes between two readings of the clock, while nothing begins or ends.
const CLOCK_PASSES: u32 = 8;

/// Later than anything.
const NEVER: Instant = Instant::from_ns(u64::MAX);

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
    pending: PendingWrites,
    clock: Clock,
    unix_base: (Instant, Duration),
    /// When all protocols look next for what has taken too long.
    protocols_tick: Instant,
    /// When the first of those that cannot wait until then does; the end of time where none is such.
    chains_tick: Instant,
    /// Since when some are to look, as soon as all that has arrived was taken.
    tick_due: Option<Instant>,
    stage: Stage,
    /// While it drains: until when connections are spared on which nothing is under way.
    spared_until: Instant,
    /// Listeners that are to be served when the others are told to be.
    staged: Option<Box<Staged>>,
    leaving: Leaving,
    idle: Idle,
    /// The ring completes once a look at epoll would find something, on an lcore that has both.
    epoll_watched: bool,
    books: Books,
    meter: Meter,
}

impl Lcore {
    /// An lcore without listeners, run by the calling thread.
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let mut lcore = Self {
            books: Books::new(&parts.io),
            meter: Meter::new(),
            io: parts.io,
            cx: parts.cx,
            listeners: [const { None }; LISTENERS_MAX],
            work: 0,
            due: 0,
            mailbox: parts.mailbox,
            pending: PendingWrites::new(),
            clock: parts.clock,
            unix_base: (now, Duration::ZERO),
            protocols_tick: now.after_ns(PROTOCOL_TICK_NS),
            chains_tick: NEVER,
            tick_due: None,
            stage: Stage::Running,
            spared_until: now,
            staged: None,
            leaving: Leaving::nobody(),
            idle: Idle::new(parts.idle, now),
            epoll_watched: false,
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
    pub fn register(&mut self, index: u8, listener: Box<Listener>) -> Result<()> {
        if !matches!(self.listeners.get(usize::from(index)), Some(None)) {
            return Err(Error::new(
                format!("register listener {index}"),
                "the index is taken, or past the last",
                "use the index that free_index gave",
            ));
        }
        self.put(index, listener);
        Ok(())
    }

    /// Serves a listener under an index that is free.
    fn put(&mut self, index: u8, mut listener: Box<Listener>) {
        self.books.count_for(index.into(), &mut self.io, &mut self.cx);
        self.books.stand(index, Standing::Serving);
        listener.start(&mut self.io);
        self.listeners[usize::from(index)] = Some(listener);
        self.work |= 1 << index;
    }

    /// Stops accepting on a listener and closes its connections; it is gone once they are. `false`
    /// when there is none under this index.
    pub fn unregister(&mut self, index: u8) -> bool {
        let Some(Some(listener)) = self.listeners.get_mut(usize::from(index)) else { return false };
        self.books.count_for(index.into(), &mut self.io, &mut self.cx);
        self.books.stand(index, Standing::Retired);
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
            self.books.count_for(old.into(), &mut self.io, &mut self.cx);
            self.books.stand(old, Standing::Retired);
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
        if self.meter.is_due()
            && let Some(measured) = self.meter.begin(self.books.own())
        {
            return self.measured_pass(budget, measured);
        }
        self.pass(budget, &mut Unmeasured)
    }

    #[cold]
    fn measured_pass(&mut self, budget: usize, mut measured: Measured) -> usize {
        self.pass(budget, &mut measured)
    }

    #[inline(always)]
    fn pass(&mut self, budget: usize, measure: &mut impl Measure) -> usize {
        self.doing(Verb::Completions);
        self.tick();
        let completions = self.completions(budget);
        self.tick_protocols(completions);
        measure.did(Verb::Completions, completions)
            + measure.did(Verb::Timers, self.timers())
            + measure.did(Verb::Mail, self.mail())
            + measure.did(Verb::Writes, self.writes())
            + measure.did(Verb::Ports, self.ports())
            + self.turns(measure)
            + measure.did(Verb::Notices, self.notices())
            + measure.did(Verb::WindDown, self.wind_down())
    }

    /// Says what it does, for whoever wonders why it takes so long.
    #[inline]
    fn doing(&self, verb: Verb) {
        self.books.own().block().doing.store(Doing::verb(verb), Ordering::Relaxed);
    }

    /// Reads the clock, and books the time since the last reading as busy or idle.
    #[inline(always)]
    fn tick(&mut self) {
        if !self.idle.wants_clock(CLOCK_PASSES) {
            return;
        }
        let (now, own) = (self.clock.now(), self.books.own());
        own.add(Counter::Rounds, self.idle.take_passes());
        own.block().alive_ns.store(now.as_ns(), Ordering::Relaxed);
        self.idle.book(own, now);
        self.io.now = now;
        self.cx.now = now;
        self.tick_calendar(now);
        if now >= self.protocols_tick.min(self.chains_tick) {
            self.tick_due.get_or_insert(now);
        }
    }

    /// Lets protocols look for what has taken too long, where that is due and all that has arrived was
    /// reaped: after a long pass, what seems late may only not have been looked at. Under a load that
    /// leaves no such moment it waits for one period, and no longer.
    #[inline(always)]
    fn tick_protocols(&mut self, completions: usize) {
        let Some(since) = self.tick_due else { return };
        let behind = completions >= COMPLETIONS_PER_TURN
            || self.io.uring.as_mut().is_some_and(|uring| uring.ring().has_task_work())
            || self.io.epoll.as_ref().is_some_and(Epoll::is_behind);
        if behind && self.io.now.ns_since(since) < PROTOCOL_TICK_NS {
            return;
        }
        self.tick_due = None;
        self.tick_listeners();
    }

    /// Those whose time has come: all of them once a second.
    #[cold]
    fn tick_listeners(&mut self) {
        let now = self.io.now;
        let all = now >= self.protocols_tick;
        if all {
            self.protocols_tick = now.after_ns(PROTOCOL_TICK_NS);
        }
        self.chains_tick = NEVER;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            let at = listener.next_tick().unwrap_or(NEVER);
            if all || at <= now {
                listener.tick();
                self.work |= 1 << index;
            } else {
                self.chains_tick = self.chains_tick.min(at);
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

    /// Looks for what attached processes have sent.
    #[inline(always)]
    fn ports(&mut self) -> usize {
        self.due |= self.cx.ports.due() | self.io.ports.due();
        self.work |= self.due;
        0
    }

    /// Gives each listener that may have something to do its turn.
    #[inline(always)]
    fn turns(&mut self, measure: &mut impl Measure) -> usize {
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
                self.books.count_for(index, &mut self.io, &mut self.cx);
                moved += listener.turn(index as u8, &mut self.io, &mut self.cx, measure);
                while let Some(conn) = listener.pipeline.next_admitted() {
                    self.cx.writes.backlog.ready(conn);
                }
                if let Some(at) = listener.next_tick() {
                    self.chains_tick = self.chains_tick.min(at);
                }
            }
            if !listener.has_work() && !listener.transport.is_polled() {
                self.work &= !(1 << index);
            }
            if listener.is_gone() {
                self.take_away(index);
            }
        }
        self.doing(Verb::Notices);
        measure.did(Verb::Turns, moved)
    }

    /// Fires the timers that are due.
    #[inline(always)]
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
                self.books.count_for(index, &mut self.io, &mut self.cx);
                listener.transport.timer(&mut self.io, event);
                self.work |= 1 << index;
            }
        }
        count
    }

    /// Reads the mail.
    #[inline(always)]
    fn mail(&mut self) -> usize {
        let mut count = 0;
        while count < MAILBOX_SLOTS
            && let Some(mail) = self.mailbox.take()
        {
            self.doing(Verb::Mail);
            self.books.count_for_lcore(&mut self.io, &mut self.cx);
            self.deliver(mail);
            count += 1;
        }
        if count > 0 {
            self.books.own().add(Counter::Mails, count as u64);
        }
        count
    }

    /// While draining: asks idle connections to close, and all of them when patience ends.
    #[inline(always)]
    fn wind_down(&mut self) -> usize {
        if self.leaving.who != 0 {
            self.see_off();
        }
        let Stage::Draining { deadline } = self.stage else { return 0 };
        self.cx.spares_idle &= self.io.now < self.spared_until;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(listener) = listener
                && (!self.cx.spares_idle || listener.is_deaf())
            {
                self.books.count_for(index, &mut self.io, &mut self.cx);
                if !listener.drain(&mut self.cx) {
                    continue;
                }
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
        if self.drain_for(patience) {
            for (index, listener) in self.listeners.iter_mut().enumerate() {
                let Some(listener) = listener else { continue };
                self.books.count_for(index, &mut self.io, &mut self.cx);
                self.books.stand(index as u8, Standing::Retired);
                listener.transport.stop_accepting(&mut self.io);
            }
        }
    }

    /// Closes every connection now.
    fn stop(&mut self) {
        if self.stage == Stage::Stopping {
            return;
        }
        self.stage = Stage::Stopping;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            self.books.count_for(index, &mut self.io, &mut self.cx);
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
        self.books.own().set(Counter::Enters, self.enters());
        if let Some(most) = self.idle.after_pass(work, self.io.now) {
            self.sleep(most);
        }
    }

    /// Sleeps in the kernel: completions, the doorbell, a timer, the time of a chain, or `most` end it.
    #[cold]
    fn sleep(&mut self, most: Duration) {
        let now = self.clock.now();
        let timer = self.io.timers.next_deadline().unwrap_or(NEVER);
        let until = timer.min(self.chains_tick).ns_since(now);
        // Work that waits for room is looked at again soon, whatever happens.
        let most = if self.leaving.who == 0 { most } else { Duration::from_nanos(LEAVE_LOOK_NS) };
        let cap = if self.work == 0 && !self.has_writes() { most } else { idle::STALLED_NAP };
        let timeout = cap.min(Duration::from_nanos(until));
        if timeout.is_zero() || !self.mailbox.sleep_unless_mail() {
            return;
        }
        if !self.ports_may_sleep() {
            self.ports_are_awake();
            return self.mailbox.awake();
        }
        self.books.own().block().rests.store(1, Ordering::Relaxed);
        self.wait_for_the_kernel(timeout);
        self.ports_are_awake();
        self.mailbox.awake();
        let (own, awake) = (self.books.own(), self.clock.now());
        own.block().alive_ns.store(awake.as_ns(), Ordering::Relaxed);
        own.block().rests.store(0, Ordering::Relaxed);
        self.idle.slept(own, now, awake);
    }
}
