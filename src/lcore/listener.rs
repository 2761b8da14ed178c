//! One listener on one lcore: its transport, its pipeline, its handler, and the bursts between them.

use super::change::Farewell;
use super::latency::Latency;
use super::measure::Measure;
use super::wakes::Wakes;
use super::watch::Watch;
use crate::counters::{Doing, Reason, Stage};
use crate::limits::BURSTS_PER_TURN;
use crate::mem::{Buf, Burst, ConnId, Share, kind};
use crate::pipeline::write::Writes;
use crate::pipeline::{Cx, Handler, Pipeline};
use crate::sync::{Arc, KeepAlive, Ordering};
use crate::time::Instant;
use crate::transport::{Io, Transport};

/// A bound endpoint with its fixed protocol.
pub struct Listener {
    /// Where bytes come from and go to.
    pub transport: Box<dyn Transport>,
    /// What they mean.
    pub pipeline: Pipeline,
    /// What is done with them.
    pub handler: Box<dyn Handler>,
    pub(super) rx: Burst,
    pub(super) messages: Burst,
    pub(super) replies: Burst,
    pub(super) tx: Burst,
    /// All that is in `replies` was admitted by the chain since that was empty last.
    pub(super) admitted: bool,
    /// Its connections are being closed: what they still say is dropped.
    pub(super) aborting: bool,
    /// Nothing more is heard on its connections: another process has the socket that they share.
    deaf: bool,
    /// To be taken away once its last connection is closed.
    retired: bool,
    /// What keeps it until that is so on all lcores.
    farewell: Option<Arc<Farewell>>,
    /// Here it is so.
    said_farewell: bool,
    /// What who made it sees it by.
    _life: Option<KeepAlive>,
    /// The protocol is to look for what has taken too long, or in the middle of it.
    ticking: bool,
    /// That has waited for a quiet moment for long enough.
    tick_overdue: bool,
    /// The protocol says when it wants to look.
    timed: bool,
    /// The handler has messages from elsewhere too.
    pub(super) polls: bool,
    /// It has more of them than there was room for.
    pub(super) polled_again: bool,
    /// Connections that other threads have something for.
    wakes: Wakes,
    /// What its messages may hold in each place where they wait, while the pool is short of slots.
    pub(super) share: Share,
    /// They hold more, and nothing is received.
    held_back: bool,
    /// Messages whose answers are waited for.
    pub(super) latency: Latency,
    /// Somebody looks at what passes.
    pub(super) watch: Option<Box<Watch>>,
}

impl Listener {
    /// A listener; it does nothing before it is registered with an lcore.
    pub fn new(
        transport: Box<dyn Transport>,
        pipeline: Pipeline,
        handler: Box<dyn Handler>,
    ) -> Self {
        let polls = handler.is_polled();
        Self {
            timed: pipeline.is_timed(),
            polls,
            polled_again: false,
            transport,
            pipeline,
            handler,
            rx: Burst::new(),
            messages: Burst::new(),
            replies: Burst::new(),
            tx: Burst::new(),
            admitted: false,
            aborting: false,
            deaf: false,
            retired: false,
            farewell: None,
            said_farewell: false,
            _life: None,
            ticking: false,
            tick_overdue: false,
            wakes: Wakes::default(),
            share: Share::WHOLE,
            held_back: false,
            latency: Latency::default(),
            watch: None,
        }
    }

    /// The same, whose messages hold no more than this in each place where they wait, while the pool is
    /// short of slots.
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// The same, which goes with those of the other lcores that have the same `farewell`, and not before: where a process
    /// that all of them share is at its port.
    pub fn with_farewell(mut self, farewell: Option<Arc<Farewell>>) -> Self {
        self.farewell = farewell;
        self
    }

    /// The same, which drops `life` with itself.
    pub fn with_life(mut self, life: KeepAlive) -> Self {
        self._life = Some(life);
        self
    }

    pub(super) fn start(&mut self, io: &mut Io) {
        self.transport.start(io);
    }

    /// Moves a few bursts all the way through; returns how many bufs came in and went out.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        index: u8,
        io: &mut Io,
        cx: &mut Cx,
        measure: &mut impl Measure,
    ) -> usize {
        let (mut moved, mut all_sent) = (0, 0);
        measure.begin_turn();
        cx.counters.block().doing_listener.store(index.into(), Ordering::Relaxed);
        doing(cx, Stage::Rx);
        if !self.wakes.is_empty() {
            self.tell_woken();
        }
        for _ in 0..BURSTS_PER_TURN {
            let room = self.rx.room();
            let received = self.transport.rx_burst(io, &mut self.rx);
            measure.passed(index, Stage::Rx, received);
            if let Some((began, weight)) = measure.sample() {
                let came = &self.rx.as_slice()[self.rx.len() - received..];
                self.latency.sample(came, began, weight, |conn| self.transport.owns(conn));
            }
            if self.aborting {
                discard(cx, &mut self.rx);
                discard(cx, &mut self.messages);
            }
            // What has arrived may be what something seems to be late with.
            if self.ticking && (self.tick_overdue || received == 0 && self.rx.is_empty()) {
                self.ticking = self.pipeline.tick(cx, &mut self.messages);
                self.tick_overdue &= self.ticking;
            }
            let sent = self.move_through(index, io, cx, measure);
            if self.polls {
                self.balance(io);
            }
            (moved, all_sent) = (moved + received + sent, all_sent + sent);
            // A burst that was not filled was the last there is.
            let is_last = received < room && self.is_clear() && !self.ticking;
            if received + sent == 0 || is_last {
                break;
            }
        }
        self.transport.flush(io);
        measure.passed(index, Stage::Flush, all_sent);
        if self.latency.is_answered() {
            self.latency.settle(io.counters.block().listener(index), io.now);
        }
        moved
    }

    /// Whether something from beside the handler may be pushed to `replies`: there is room, and the chain knows of all
    /// that is in it. Moves what is there out where it has to.
    #[inline]
    pub(super) fn makes_room(&mut self, io: &mut Io, cx: &mut Cx) -> bool {
        self.admitted && !self.replies.is_full() || self.move_out(io, cx)
    }

    /// Moves all that was said to the transport; `false`: not all of it.
    pub(super) fn move_out(&mut self, io: &mut Io, cx: &mut Cx) -> bool {
        if self.watch.is_some() {
            return self.move_out_watched(io, cx);
        }
        self.admitted = false;
        while !self.replies.is_empty() {
            self.pipeline.egress(cx, &mut self.replies, &mut self.tx);
            let is_stuck = self.tx.is_empty() || self.transport.tx_burst(io, &mut self.tx) == 0;
            if is_stuck && !self.replies.is_empty() {
                return false;
            }
        }
        self.admitted = true;
        true
    }

    /// Whether a marker finds room behind all that was said.
    pub(super) fn has_room_for_marker(&mut self, io: &mut Io, cx: &mut Cx) -> bool {
        self.move_out(io, cx) && (!self.tx.is_full() || self.makes_room_in_tx(io))
    }

    #[cold]
    fn makes_room_in_tx(&mut self, io: &mut Io) -> bool {
        let taken = self.transport.tx_burst(io, &mut self.tx);
        self.sent_unwatched();
        taken > 0
    }

    /// Has a marker of the lcore's go to the transport behind all that was said; gives it back where there is no room.
    pub(super) fn push_marker(&mut self, io: &mut Io, cx: &mut Cx, marker: Buf) -> Result<(), Buf> {
        if self.has_room_for_marker(io, cx) { self.tx.push(marker) } else { Err(marker) }
    }

    /// Receives nothing while what waits for its process is more than its share.
    #[inline]
    fn balance(&mut self, io: &mut Io) {
        let mut waiting = self.handler.waiting();
        waiting.iter_mut().zip(self.pipeline.waiting()).for_each(|(sum, slots)| *sum += slots);
        let held_back = match self.held_back {
            false => self.share.is_exceeded(&io.pool, &waiting),
            true => !self.share.is_free(&io.pool, &waiting),
        };
        if held_back != self.held_back {
            self.held_back = held_back;
            self.transport.hold_back(io, held_back);
        }
    }

    /// Another thread has something for `conn`, which its handler hears in the next turn with room.
    pub(super) fn wake(&mut self, conn: ConnId) {
        self.wakes.push(conn);
    }

    #[cold]
    fn tell_woken(&mut self) {
        while !self.rx.is_full()
            && let Some(conn) = self.wakes.pop()
        {
            // Nothing follows the end of a connection.
            if self.transport.owns(conn) {
                let pushed = self.rx.push(Buf::marker(conn, kind::WAKE));
                debug_assert!(pushed.is_ok(), "room was checked");
            }
        }
    }

    /// Each step once, where it has something to do; returns how many bufs the transport took.
    #[inline(always)]
    fn move_through(
        &mut self,
        index: u8,
        io: &mut Io,
        cx: &mut Cx,
        measure: &mut impl Measure,
    ) -> usize {
        if self.watch.is_some() {
            return self.move_through_watched(index, io, cx, measure);
        }
        self.admitted = false;
        if !self.rx.is_empty() || self.pipeline.has_news() {
            doing(cx, Stage::Ingress);
            let before = self.rx.len();
            self.pipeline.ingress(cx, &mut self.rx, &mut self.messages);
            measure.passed(index, Stage::Ingress, before - self.rx.len());
        }
        if self.polls {
            cx.backlogged = self.share.is_exceeded(&cx.pool, &self.transport.unsent());
        }
        if self.polled_again {
            // Before what comes from peers, which may fill each burst: it had no room behind that.
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        if !self.messages.is_empty() {
            let heard = self.process(cx);
            measure.passed(index, Stage::Handler, heard);
        }
        if self.polls {
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        doing(cx, Stage::Egress);
        if !self.replies.is_empty() {
            let before = self.replies.len();
            self.pipeline.egress(cx, &mut self.replies, &mut self.tx);
            measure.passed(index, Stage::Egress, before - self.replies.len());
        }
        if self.tx.is_empty() {
            return 0;
        }
        if self.latency.is_waiting() {
            self.latency.see(self.tx.as_slice());
        }
        let taken = self.transport.tx_burst(io, &mut self.tx);
        measure.passed(index, Stage::Tx, taken);
        taken
    }

    /// Lets the handler hear what came; returns how many messages it took.
    #[inline(always)]
    pub(super) fn process(&mut self, cx: &mut Cx) -> usize {
        let (endings, count) = (Writes::endings(&self.messages), self.messages.len());
        let first = self.messages.as_slice().first().map_or(ConnId::NONE, Buf::conn);
        cx.counters.block().doing_conn.store(bytemuck::cast(first), Ordering::Relaxed);
        doing(cx, Stage::Handler);
        self.handler.process(cx, &mut self.messages, &mut self.replies);
        let heard = count.saturating_sub(self.messages.len());
        if !endings.is_empty() {
            cx.writes.end(endings, heard);
        }
        heard
    }

    /// Whether a turn may find something to do.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.transport.has_work()
            || self.polled_again
            || self.ticking
            || self.pipeline.has_news()
            || !self.wakes.is_empty()
            || !self.is_clear()
    }

    /// What lies in its bursts from one turn to the next: received, handed on, replied, and on its way out.
    pub(super) fn waiting_in_bursts(&self) -> [usize; 4] {
        [&self.rx, &self.messages, &self.replies, &self.tx].map(Burst::len)
    }

    fn is_clear(&self) -> bool {
        self.rx.is_empty()
            && self.messages.is_empty()
            && self.replies.is_empty()
            && self.tx.is_empty()
    }

    /// Asks idle sessions to close; returns whether that gave the transport something to do.
    pub(super) fn drain(&mut self, cx: &mut Cx) -> bool {
        // What has arrived is answered first: those sessions are not idle.
        if self.has_work() {
            return false;
        }
        self.pipeline.drain(cx, &mut self.tx);
        !self.tx.is_empty()
    }

    /// When the protocol wants to look, unless it is about to.
    #[inline]
    pub(super) fn next_tick(&self) -> Option<Instant> {
        if self.timed && !self.ticking { self.pipeline.next_tick() } else { None }
    }

    /// Lets the protocol look for what has taken too long, in the turns to come.
    pub(super) fn tick(&mut self) {
        self.tick_overdue = self.ticking;
        self.ticking = true;
    }

    /// Accepts no more; the listener is gone with its last connection.
    pub(super) fn retire(&mut self, io: &mut Io) {
        self.retired = true;
        self.transport.stop_accepting(io);
    }

    /// Accepts no more, since another process does; its connections go on as far as they can.
    pub(super) fn give_up(&mut self, io: &mut Io) {
        self.deaf = !self.transport.hand_over(io);
    }

    /// Whether nothing more is heard on its connections.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// The same, since a successor accepts from its sockets from here on.
    pub(super) fn hand_over(&mut self, io: &mut Io) {
        self.retired = true;
        self.transport.hand_over(io);
        self.pipeline.retire();
    }

    /// Accepts no more and closes every connection now.
    pub(super) fn abort(&mut self, io: &mut Io) {
        self.aborting = true;
        self.transport.stop_accepting(io);
        self.transport.abort_all(io);
    }

    #[inline]
    pub(super) fn is_gone(&mut self) -> bool {
        self.retired && self.transport.is_quiet() && !self.has_work() && self.has_farewell()
    }

    /// Whether nothing holds it on another lcore.
    #[cold]
    fn has_farewell(&mut self) -> bool {
        let Some(farewell) = &self.farewell else { return true };
        if !std::mem::replace(&mut self.said_farewell, true) {
            farewell.say();
        }
        farewell.is_over()
    }
}

/// Says what the lcore does, for whoever wonders why it takes so long.
#[inline]
pub(super) fn doing(cx: &Cx, stage: Stage) {
    cx.counters.block().doing.store(Doing::stage(stage), Ordering::Relaxed);
}

/// Drops what a handler could only answer for nobody, so that none of it waits for a slot while the
/// end of the sessions that hold the slots waits behind it.
fn discard(cx: &Cx, burst: &mut Burst) {
    for _ in 0..burst.len() {
        let Some(buf) = burst.pop() else { return };
        if matches!(buf.kind(), kind::OPEN | kind::CLOSED) {
            let kept = burst.push(buf);
            debug_assert!(kept.is_ok(), "it was just popped");
        } else {
            cx.drop_buf(buf, Reason::Shutdown);
        }
    }
}
