//! A listener that somebody looks at: the same steps as in `listener`, with a look at the bursts between them. What
//! a trace notes and what a capture copies is in `trace` and `capture`; who asked for it, in the dataplane.
//!
//! All memory is brought along by who asks, and taken back by them: an lcore that is looked at allocates nothing
//! and waits for nobody.

use super::Lcore;
use super::capture::Capturer;
use super::listener::{Listener, doing};
use super::measure::Measure;
use super::trace::Tracer;
use crate::counters::Stage;
use crate::mem::Burst;
use crate::pipeline::{Cx, Kinds};
use crate::sync::{AtomicBool, Ordering};
use crate::transport::{Io, Transport};

/// Where bufs pass from one stage of a listener to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Boundary {
    /// What the transport gave.
    Rx,
    /// The messages that the chain made of it: decrypted, decompressed.
    Ingress,
    /// The replies of the handler.
    Handler,
    /// What the chain made of those: compressed, encrypted.
    Egress,
    /// The same, as the transport took it.
    Tx,
}

impl Boundary {
    /// All of them in the order of a message's way, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Rx, "rx"),
        (Self::Ingress, "ingress"),
        (Self::Handler, "handler"),
        (Self::Egress, "egress"),
        (Self::Tx, "tx"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The stage of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(stage, _)| stage)
    }

    /// The one at this place in [`ALL`](Self::ALL).
    pub fn at(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).map(|(stage, _)| *stage)
    }

    /// Whether what passes here goes to the peer.
    pub fn is_outbound(self) -> bool {
        self >= Self::Handler
    }

    /// Whether bufs here lie between chain and handler: messages as the handler has them, and not what is on the
    /// wire.
    pub fn is_inside(self) -> bool {
        matches!(self, Self::Ingress | Self::Handler)
    }
}

/// Who looks at a listener on one lcore.
pub struct Watch {
    /// Bufs at the front of rx, messages, replies and tx that were looked at before, and had to wait.
    seen: [usize; 4],
    pub(super) trace: Option<Box<Tracer>>,
    pub(super) capture: Option<Box<Capturer>>,
}

/// Which of the two ways to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Looks {
    /// `ringway trace`.
    Trace,
    /// `ringway capture`.
    Capture,
}

/// What the lcore says of a listener that is looked at from now on. What was there before goes with it, to be
/// dropped where that takes no time from the lcore.
pub struct Watched {
    /// What its kinds of bufs are called.
    pub kinds: Kinds,
    /// Whether its chain decrypts what peers send.
    pub decrypts: bool,
    _before: Option<Box<Watch>>,
}

/// What was taken off a listener.
pub struct Unwatched {
    _trace: Option<Box<Tracer>>,
    _capture: Option<Box<Capturer>>,
    _watch: Option<Box<Watch>>,
}

/// Why a listener is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWatch {
    /// There is no such listener.
    NoListener,
    /// What was to be captured is decrypted, which was not allowed.
    Decrypted,
}

/// One step of a pass, for a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub stage: Boundary,
    /// Bufs that lay in front of it, that it left there, and that lie behind it now and were not there before.
    pub came: usize,
    pub left: usize,
    pub made: usize,
}

impl Watch {
    /// A trace.
    pub fn tracing(tracer: Box<Tracer>) -> Box<Self> {
        Box::new(Self { seen: [0; 4], trace: Some(tracer), capture: None })
    }

    /// A capture.
    pub fn capturing(capturer: Box<Capturer>) -> Box<Self> {
        Box::new(Self { seen: [0; 4], trace: None, capture: Some(capturer) })
    }

    /// Looks on for `other` as well; gives back what it did so far for who looked in the same way.
    fn join(&mut self, mut other: Box<Self>) -> Box<Self> {
        if other.trace.is_some() {
            std::mem::swap(&mut self.trace, &mut other.trace);
        }
        if other.capture.is_some() {
            std::mem::swap(&mut self.capture, &mut other.capture);
        }
        other
    }

    fn begin(&mut self, cx: &Cx) {
        let now = cx.exact_now();
        self.trace.iter_mut().for_each(|trace| trace.begin(now));
        self.capture.iter_mut().for_each(|capture| capture.begin(now));
    }

    /// Looks at what is new in `burst`, which lies behind `stage`.
    fn look(&mut self, stage: Boundary, burst: &Burst) {
        let seen = std::mem::replace(self.seen_at(stage), burst.len());
        let fresh = &burst.as_slice()[seen.min(burst.len())..];
        if fresh.is_empty() {
            return;
        }
        self.trace.iter_mut().for_each(|trace| trace.look(stage, fresh));
        self.capture.iter_mut().for_each(|capture| capture.look(stage, fresh));
    }

    /// Looks at what is new in what the transport gets: made by the chain, and taken if its connection is there.
    fn look_out(&mut self, tx: &Burst, transport: &dyn Transport) {
        let seen = *self.seen_at(Boundary::Tx);
        self.look(Boundary::Egress, tx);
        let fresh = &tx.as_slice()[seen.min(tx.len())..];
        self.trace.iter_mut().for_each(|trace| trace.look(Boundary::Tx, fresh));
        if let Some(capture) = &mut self.capture {
            capture.look_if(Boundary::Tx, fresh, |buf| transport.owns(buf.conn()));
        }
    }

    /// So many of what was looked at are still there.
    fn left(&mut self, stage: Boundary, left: usize) {
        let seen = self.seen_at(stage);
        *seen = left.min(*seen);
    }

    fn seen_at(&mut self, stage: Boundary) -> &mut usize {
        &mut self.seen[(stage as usize).min(3)]
    }

    fn step_begins(&mut self, cx: &Cx) {
        self.trace.iter_mut().for_each(|trace| trace.step_begins(cx));
    }

    fn step_ends(&mut self, cx: &Cx, step: Step) {
        self.trace.iter_mut().for_each(|trace| trace.step_ends(cx, step));
    }

    fn end(&mut self) {
        self.trace.iter_mut().for_each(|trace| trace.end());
    }
}

/// Whether a look ends: it `is_due` to, or who asked does not want it any more. Says so to who asked.
pub(super) fn ends(is_due: bool, unwanted: &AtomicBool, over: &AtomicBool) -> bool {
    // Relaxed: these words order nothing, and each has one writer.
    let ends = is_due || unwanted.load(Ordering::Relaxed);
    if ends {
        over.store(true, Ordering::Relaxed);
    }
    ends
}

impl Listener {
    fn watch(&mut self, mut watch: Box<Watch>) -> Result<Watched, (NoWatch, Box<Watch>)> {
        let (kinds, decrypts) = (self.pipeline.kinds(), self.pipeline.decrypts());
        let refuses = |capture: &Capturer| decrypts && !capture.may_see_decrypted();
        if watch.capture.as_deref().is_some_and(refuses) {
            return Err((NoWatch::Decrypted, watch));
        }
        if let Some(trace) = &mut watch.trace {
            trace.hide_unless_allowed(decrypts);
        }
        let before = match &mut self.watch {
            Some(there) => Some(there.join(watch)),
            None => {
                // What lies there may be half decrypted, and no longer what the transport gave.
                watch.seen = self.waiting_in_bursts();
                self.watch = Some(watch);
                None
            }
        };
        Ok(Watched { kinds, decrypts, _before: before })
    }

    fn unwatch(&mut self, looks: Looks) -> Unwatched {
        let mut off = Unwatched { _trace: None, _capture: None, _watch: None };
        if let Some(watch) = &mut self.watch {
            match looks {
                Looks::Trace => off._trace = watch.trace.take(),
                Looks::Capture => off._capture = watch.capture.take(),
            }
            if watch.trace.is_none() && watch.capture.is_none() {
                off._watch = self.watch.take();
            }
        }
        off
    }

    /// [`move_through`](Self::move_through) with looks at what passes. `tests/sim` holds the two to the same effect.
    #[cold]
    #[inline(never)]
    pub(super) fn move_through_watched(
        &mut self,
        index: u8,
        io: &mut Io,
        cx: &mut Cx,
        measure: &mut impl Measure,
    ) -> usize {
        let Some(mut watch) = self.watch.take() else { return 0 };
        watch.begin(cx);
        if self.aborting {
            // What was dropped meanwhile may have been seen.
            watch.seen[..2].fill(0);
        }
        watch.look(Boundary::Rx, &self.rx);
        self.admitted = false;
        if !self.rx.is_empty() || self.pipeline.has_news() {
            doing(cx, Stage::Ingress);
            let passed = self.ingress_watched(&mut watch, cx);
            measure.passed(index, Stage::Ingress, passed);
        }
        watch.look(Boundary::Ingress, &self.messages);
        if let Some(heard) = self.handle_watched(&mut watch, cx) {
            measure.passed(index, Stage::Handler, heard);
        }
        watch.look(Boundary::Handler, &self.replies);
        doing(cx, Stage::Egress);
        if !self.replies.is_empty() {
            let passed = self.egress_watched(&mut watch, cx);
            measure.passed(index, Stage::Egress, passed);
        }
        let mut taken = 0;
        if !self.tx.is_empty() {
            if self.latency.is_waiting() {
                self.latency.see(self.tx.as_slice());
            }
            taken = self.send_watched(&mut watch, io, cx);
            measure.passed(index, Stage::Tx, taken);
        }
        watch.end();
        self.watch = Some(watch);
        taken
    }

    /// Returns how many bufs the chain took.
    fn ingress_watched(&mut self, watch: &mut Watch, cx: &mut Cx) -> usize {
        let (came, before) = (self.rx.len(), self.messages.len());
        watch.step_begins(cx);
        self.pipeline.ingress(cx, &mut self.rx, &mut self.messages);
        let (left, made) = (self.rx.len(), self.messages.len().saturating_sub(before));
        watch.step_ends(cx, Step { stage: Boundary::Ingress, came, left, made });
        watch.left(Boundary::Rx, left);
        came - left
    }

    /// Returns how many messages the handler took, if there were some.
    fn handle_watched(&mut self, watch: &mut Watch, cx: &mut Cx) -> Option<usize> {
        let (came, before) = (self.messages.len(), self.replies.len());
        let mut heard = None;
        if self.polls {
            cx.backlogged = self.share.is_exceeded(&cx.pool, &self.transport.unsent());
        }
        if came == 0 && !self.polls && !self.polled_again {
            return None;
        }
        watch.step_begins(cx);
        if self.polled_again {
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        if came > 0 {
            heard = Some(self.process(cx));
        }
        if self.polls {
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        let (left, made) = (self.messages.len(), self.replies.len().saturating_sub(before));
        watch.step_ends(cx, Step { stage: Boundary::Handler, came, left, made });
        watch.left(Boundary::Ingress, left);
        heard
    }

    /// Returns how many bufs the chain took.
    fn egress_watched(&mut self, watch: &mut Watch, cx: &mut Cx) -> usize {
        let (came, before) = (self.replies.len(), self.tx.len());
        watch.step_begins(cx);
        self.pipeline.egress(cx, &mut self.replies, &mut self.tx);
        let (left, made) = (self.replies.len(), self.tx.len().saturating_sub(before));
        watch.step_ends(cx, Step { stage: Boundary::Egress, came, left, made });
        watch.left(Boundary::Handler, left);
        came - left
    }

    /// Returns how many bufs the transport took.
    fn send_watched(&mut self, watch: &mut Watch, io: &mut Io, cx: &mut Cx) -> usize {
        watch.look_out(&self.tx, &*self.transport);
        let came = self.tx.len();
        watch.step_begins(cx);
        let made = self.transport.tx_burst(io, &mut self.tx);
        let left = self.tx.len();
        watch.step_ends(cx, Step { stage: Boundary::Tx, came, left, made });
        watch.left(Boundary::Tx, left);
        made
    }

    /// [`move_out`](Self::move_out) with looks.
    #[cold]
    #[inline(never)]
    pub(super) fn move_out_watched(&mut self, io: &mut Io, cx: &mut Cx) -> bool {
        let Some(mut watch) = self.watch.take() else { return false };
        watch.begin(cx);
        watch.look(Boundary::Handler, &self.replies);
        self.admitted = false;
        let mut all = true;
        while all && !self.replies.is_empty() {
            self.egress_watched(&mut watch, cx);
            let is_stuck = self.tx.is_empty() || self.send_watched(&mut watch, io, cx) == 0;
            all = !is_stuck || self.replies.is_empty();
        }
        self.admitted = all;
        watch.end();
        self.watch = Some(watch);
        all
    }

    /// The transport has taken something beside these.
    #[cold]
    pub(super) fn sent_unwatched(&mut self) {
        let left = self.tx.len();
        self.watch.iter_mut().for_each(|watch| watch.left(Boundary::Tx, left));
    }
}

impl Lcore {
    /// Has the listener under `index` looked at from its next turn on, in place of who looked at it in the same way.
    /// `watch` comes back where that is refused, since freeing memory is not for an lcore.
    pub fn watch(
        &mut self,
        index: u8,
        watch: Box<Watch>,
    ) -> Result<Watched, (NoWatch, Box<Watch>)> {
        match self.listeners.get_mut(usize::from(index)) {
            Some(Some(listener)) => listener.watch(watch),
            _ => Err((NoWatch::NoListener, watch)),
        }
    }

    /// Has it looked at no more in that way, by nobody.
    pub fn unwatch(&mut self, index: u8, looks: Looks) -> Option<Unwatched> {
        let listener = self.listeners.get_mut(usize::from(index))?.as_mut()?;
        Some(listener.unwatch(looks))
    }
}
