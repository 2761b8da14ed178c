//! One listener on one lcore: its transport, its pipeline, its handler, and the bursts between them.

use super::wakes::Wakes;
use crate::counters::Reason;
use crate::limits::BURSTS_PER_TURN;
use crate::mem::{Buf, Burst, ConnId, Share, kind};
use crate::pipeline::{Cx, Handler, Pipeline};
use crate::transport::{Io, Transport};

/// A bound endpoint with its fixed protocol.
pub struct Listener {
    /// Where bytes come from and go to.
    pub transport: Box<dyn Transport>,
    /// What they mean.
    pub pipeline: Pipeline,
    /// What is done with them.
    pub handler: Box<dyn Handler>,
    rx: Burst,
    messages: Burst,
    replies: Burst,
    pub(super) tx: Burst,
    /// Its connections are being closed: what they still say is dropped.
    aborting: bool,
    /// To be taken away once its last connection is closed.
    retired: bool,
    /// The protocol is to look for what has taken too long, or in the middle of it.
    ticking: bool,
    /// That has waited for a quiet moment for long enough.
    tick_overdue: bool,
    /// The handler has messages from elsewhere too.
    polls: bool,
    /// It has more of them than there was room for.
    polled_again: bool,
    /// Connections that other threads have something for.
    wakes: Wakes,
    /// What its messages may hold in each place where they wait, while the pool is short of slots.
    share: Share,
    /// They hold more, and nothing is received.
    held_back: bool,
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
            polls,
            polled_again: false,
            transport,
            pipeline,
            handler,
            rx: Burst::new(),
            messages: Burst::new(),
            replies: Burst::new(),
            tx: Burst::new(),
            aborting: false,
            retired: false,
            ticking: false,
            tick_overdue: false,
            wakes: Wakes::default(),
            share: Share::WHOLE,
            held_back: false,
        }
    }

    /// The same, whose messages hold no more than this in each place where they wait, while the pool is
    /// short of slots.
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    pub(super) fn start(&mut self, io: &mut Io) {
        self.transport.start(io);
    }

    /// Moves a few bursts all the way through; returns how many bufs came in and went out.
    #[inline]
    pub(super) fn turn(&mut self, io: &mut Io, cx: &mut Cx) -> usize {
        let mut moved = 0;
        if !self.wakes.is_empty() {
            self.tell_woken();
        }
        for _ in 0..BURSTS_PER_TURN {
            let room = self.rx.room();
            let received = self.transport.rx_burst(io, &mut self.rx);
            if self.aborting {
                discard(cx, &mut self.rx);
                discard(cx, &mut self.messages);
            }
            // What has arrived may be what something seems to be late with.
            if self.ticking && (self.tick_overdue || received == 0 && self.rx.is_empty()) {
                self.ticking = self.pipeline.tick(cx, &mut self.messages);
                self.tick_overdue &= self.ticking;
            }
            let sent = self.move_through(io, cx);
            if self.polls {
                self.balance(io);
            }
            moved += received + sent;
            // A burst that was not filled was the last there is.
            let is_last = received < room && self.is_clear() && !self.ticking;
            if received + sent == 0 || is_last {
                break;
            }
        }
        self.transport.flush(io);
        moved
    }

    /// Receives nothing while what waits for its process is more than its share.
    #[inline]
    fn balance(&mut self, io: &mut Io) {
        let mut waiting = self.handler.waiting();
        waiting.iter_mut().zip(self.pipeline.waiting()).for_each(|(sum, slots)| *sum += slots);
        let exceeds = self.share.is_exceeded(&io.pool, &waiting);
        if exceeds != self.held_back {
            self.held_back = exceeds;
            self.transport.hold_back(io, exceeds);
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
    #[inline]
    fn move_through(&mut self, io: &mut Io, cx: &mut Cx) -> usize {
        if !self.rx.is_empty() {
            self.pipeline.ingress(cx, &mut self.rx, &mut self.messages);
        }
        if self.polls {
            cx.backlogged = self.share.is_exceeded(&cx.pool, &self.transport.unsent());
        }
        if self.polled_again {
            // Before what comes from peers, which may fill each burst: it had no room behind that.
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        if !self.messages.is_empty() {
            self.handler.process(cx, &mut self.messages, &mut self.replies);
        }
        if self.polls {
            self.polled_again = self.handler.poll(cx, &mut self.replies);
        }
        if !self.replies.is_empty() {
            self.pipeline.egress(cx, &mut self.replies, &mut self.tx);
        }
        if self.tx.is_empty() { 0 } else { self.transport.tx_burst(io, &mut self.tx) }
    }

    /// Whether a turn may find something to do.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.transport.has_work()
            || self.polled_again
            || self.ticking
            || !self.wakes.is_empty()
            || !self.is_clear()
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

    /// Accepts no more and closes every connection now.
    pub(super) fn abort(&mut self, io: &mut Io) {
        self.aborting = true;
        self.transport.stop_accepting(io);
        self.transport.abort_all(io);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.retired && self.transport.is_quiet() && !self.has_work()
    }
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
