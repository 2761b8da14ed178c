//! What a trace notes on the lcore: the bufs at each stage, by their first bytes, and what each stage did, in records of
//! one size on a ring that who asked has made. What they say to people is formatted there.

use super::watch::{Boundary, Step, ends};
use crate::counters::{Counter, Reason};
use crate::limits::{TRACE_BYTES, TRACE_REASONS, TRACE_RECORDS};
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::ring::spsc::{self, Consumer, Producer};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::sys::cycles;
use crate::time::Instant;

/// What is to be traced, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct TraceOptions {
    /// This connection alone.
    pub conn: Option<ConnId>,
    /// Passes that have something to show, at most.
    pub passes: u32,
    /// When it is over, whatever was seen.
    pub until: Instant,
    /// The bytes of bufs are shown where they are as the wire has them.
    pub shows_bytes: bool,
    /// They are shown where they were decrypted.
    pub shows_decrypted: bool,
}

/// One thing that a trace notes. Those of one pass follow each other.
#[derive(Debug, Clone, Copy)]
pub enum Record {
    /// A pass of the listener begins, in which there is something to show.
    Pass {
        /// When.
        at: Instant,
    },
    /// A buf that is new behind a stage.
    Seen(Seen),
    /// What a stage did.
    Did(Did),
    /// The pass ends.
    End,
}

/// A buf.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Behind which stage.
    pub stage: Boundary,
    /// Whose it is.
    pub conn: ConnId,
    /// [`Buf::kind`].
    pub kind: u8,
    /// [`Buf::meta`].
    pub meta: u32,
    /// How many bytes it has.
    pub bytes: u32,
    /// How many of them are in `start`; nothing, where they are not to be seen.
    pub shown: u8,
    /// The first of them.
    pub start: [u8; TRACE_BYTES],
}

/// A stage's work in one pass, on all bufs of the burst.
#[derive(Debug, Clone, Copy)]
pub struct Did {
    /// Which: what leads to the bufs seen at it.
    pub stage: Boundary,
    /// Bufs that lay in front of it.
    pub came: u16,
    /// Bufs that it left there.
    pub left: u16,
    /// Bufs that it handed on.
    pub made: u16,
    /// How long it took, as [`cycles`] counts.
    pub cycles: u64,
    /// Times that it found no free slot.
    pub pool_empty: u32,
    /// Bytes that it copied.
    pub copied_bytes: u32,
    /// Bufs that it dropped, by the place of the reason in [`Reason::ALL`]; unused places have none.
    pub dropped: [(u8, u16); TRACE_REASONS],
}

/// What who traces and the lcore both know.
#[derive(Debug, Default)]
pub struct TraceState {
    /// Who asked is gone, or has enough.
    pub unwanted: AtomicBool,
    /// It notes nothing any more: enough was seen, the time is over, or the listener is gone.
    pub over: AtomicBool,
    /// Records for which there was no room.
    pub lost: AtomicU64,
}

/// A trace on its lcore.
pub struct Tracer {
    options: TraceOptions,
    /// What is inside of the chain was decrypted, and is not to be seen.
    hides_inside: bool,
    records: Producer<Record>,
    state: Arc<TraceState>,
    left: u32,
    pass: Pass,
}

/// The pass that is looked at.
struct Pass {
    at: Instant,
    /// There is something to show.
    begun: bool,
    cycles: u64,
    before: Counted,
}

/// Counters that tell what a stage decided.
#[derive(Clone, Copy)]
struct Counted {
    pool_empty: u64,
    copied_bytes: u64,
    dropped: [u64; Reason::ALL.len()],
}

impl Counted {
    const NOTHING: Self = Self { pool_empty: 0, copied_bytes: 0, dropped: [0; Reason::ALL.len()] };

    fn of(cx: &Cx) -> Self {
        Self {
            pool_empty: cx.counters.own(Counter::PoolEmpty),
            copied_bytes: cx.counters.own(Counter::CopiedBytes),
            dropped: Reason::ALL.map(|(reason, _)| cx.counters.own_dropped(reason)),
        }
    }

    fn reasons_since(&self, before: &Self) -> [(u8, u16); TRACE_REASONS] {
        let mut found = [(0, 0); TRACE_REASONS];
        let counts = self.dropped.iter().zip(&before.dropped).enumerate();
        let fresh = counts.filter(|(_, (now, before))| now > before);
        for (place, (index, (now, before))) in found.iter_mut().zip(fresh) {
            *place = (index as u8, (now - before).min(u16::MAX.into()) as u16);
        }
        found
    }
}

impl Tracer {
    /// A trace, where its records come out, and what is known of it. All memory that it needs is made here.
    pub fn new(options: TraceOptions) -> (Box<Self>, Consumer<Record>, Arc<TraceState>) {
        let (mut records, mut out) = spsc::ring(TRACE_RECORDS);
        // The pages are there before an lcore writes to them.
        while records.enqueue(Record::End).is_ok() {}
        while out.dequeue().is_some() {}
        let state = Arc::<TraceState>::default();
        let pass =
            Pass { at: Instant::from_ns(0), begun: false, cycles: 0, before: Counted::NOTHING };
        let (hides_inside, left) = (false, options.passes);
        let tracer = Self { options, hides_inside, records, state: state.clone(), left, pass };
        (Box::new(tracer), out, state)
    }

    pub(super) fn hide_unless_allowed(&mut self, decrypts: bool) {
        self.hides_inside = decrypts && !self.options.shows_decrypted;
    }

    pub(super) fn begin(&mut self, now: Instant) {
        let is_due = self.left == 0 || now >= self.options.until;
        if ends(is_due, &self.state.unwanted, &self.state.over) {
            self.left = 0;
        }
        self.pass.at = now;
        self.pass.begun = false;
    }

    pub(super) fn look(&mut self, stage: Boundary, bufs: &[Buf]) {
        if self.left == 0 {
            return;
        }
        let only = self.options.conn;
        for buf in bufs.iter().filter(|buf| only.is_none_or(|conn| conn == buf.conn())) {
            if !std::mem::replace(&mut self.pass.begun, true) {
                self.note(Record::Pass { at: self.pass.at });
            }
            let seen = self.seen(stage, buf);
            self.note(Record::Seen(seen));
        }
    }

    fn seen(&self, stage: Boundary, buf: &Buf) -> Seen {
        let mut start = [0; TRACE_BYTES];
        let hidden = stage.is_inside() && self.hides_inside || !self.options.shows_bytes;
        let shown = if hidden { 0 } else { buf.len().min(TRACE_BYTES) };
        start[..shown].copy_from_slice(&buf.bytes()[..shown]);
        Seen {
            stage,
            conn: buf.conn(),
            kind: buf.kind(),
            meta: buf.meta(),
            bytes: buf.len() as u32,
            shown: shown as u8,
            start,
        }
    }

    pub(super) fn step_begins(&mut self, cx: &Cx) {
        if self.left > 0 {
            self.pass.before = Counted::of(cx);
            self.pass.cycles = cycles::now();
        }
    }

    pub(super) fn step_ends(&mut self, cx: &Cx, step: Step) {
        if self.left == 0 {
            return;
        }
        let cycles = cycles::now().wrapping_sub(self.pass.cycles);
        let (now, before) = (Counted::of(cx), self.pass.before);
        let did = Did {
            stage: step.stage,
            came: step.came as u16,
            left: step.left as u16,
            made: step.made as u16,
            cycles,
            pool_empty: now.pool_empty.wrapping_sub(before.pool_empty) as u32,
            copied_bytes: now.copied_bytes.wrapping_sub(before.copied_bytes) as u32,
            dropped: now.reasons_since(&before),
        };
        // What it made is seen only now, and may be the first that there is to show.
        if self.pass.begun || step.made > 0 {
            self.note(Record::Did(did));
        }
    }

    pub(super) fn end(&mut self) {
        if self.left > 0 && self.pass.begun {
            self.note(Record::End);
            self.left -= 1;
            if self.left == 0 {
                self.state.over.store(true, Ordering::Relaxed);
            }
        }
    }

    fn note(&mut self, record: Record) {
        if self.records.enqueue(record).is_err() {
            let lost = self.state.lost.load(Ordering::Relaxed);
            self.state.lost.store(lost + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
    }
}
