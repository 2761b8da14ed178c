//! What is written from beside the handlers, on its way to the listeners: from other threads and to groups. What a
//! connection has no room for waits in its backlog (`pipeline/write/backlog.rs`); what happens then is here.

use super::{Lcore, Listener};
use crate::counters::{Counter, Reason, Verb};
use crate::limits::{GROUP_STEP_MEMBERS, PENDING_WRITES_MAX, WRITE_STEP_BACKLOGS};
use crate::mem::{Buf, ConnId, kind};
use crate::pipeline::write::{Kept, Word, WriteCallback, Written};
use crate::pipeline::{Admission, Cx};
use crate::transport::{Io, Notice};

/// Of the tickets of markers, those that say that a slow connection has room: the rest is its queue's index.
const ROOM: u32 = 1 << 23;

const _: () = assert!((PENDING_WRITES_MAX as u32) < ROOM);

/// Where a message went.
enum Offered {
    /// To its chain.
    Taken,
    /// Its peer has to take something first.
    Slow(Buf),
    /// It would come in the middle of another.
    Early(Buf),
    /// Its listener has to get rid of something first.
    Stuck(Buf),
    /// Nowhere: the protocol has no place for it.
    Refused(Buf),
}

/// Writes whose authors wait to hear of them, by ticket.
pub(super) struct PendingWrites {
    callbacks: Vec<Option<WriteCallback>>,
    free: Vec<u32>,
}

impl PendingWrites {
    pub fn new() -> Self {
        Self { callbacks: Vec::new(), free: Vec::new() }
    }

    /// A marker that tells `done`, or `done` back when too many wait.
    fn register(&mut self, conn: ConnId, done: WriteCallback) -> Result<Buf, WriteCallback> {
        let ticket = match self.free.pop() {
            Some(ticket) => ticket,
            None if self.callbacks.len() < PENDING_WRITES_MAX => {
                self.callbacks.push(None);
                self.callbacks.len() as u32 - 1
            }
            None => return Err(done),
        };
        self.callbacks[ticket as usize] = Some(done);
        Ok(marker(conn, ticket))
    }

    fn settle(&mut self, ticket: u32, written: Written) {
        let done = self.callbacks[ticket as usize].take();
        self.free.push(ticket);
        done.expect("a ticket is settled once")(written);
    }

    /// Tells all who still wait that their connections are gone.
    pub fn lose_all(&mut self) {
        self.callbacks.drain(..).flatten().for_each(|done| done(Written::Lost));
        self.free.clear();
    }
}

fn marker(conn: ConnId, ticket: u32) -> Buf {
    let mut marker = Buf::marker(conn, kind::NOTIFY);
    marker.set_kind(kind::NOTIFY, ticket);
    marker
}

/// The listener that `conn` is a connection of, with its index.
pub(super) fn owner(
    listeners: &mut [Option<Box<Listener>>],
    conn: ConnId,
) -> Option<(usize, &mut Listener)> {
    let mut present =
        listeners.iter_mut().enumerate().filter_map(|(index, l)| Some((index, l.as_deref_mut()?)));
    present.find(|(_, listener)| listener.transport.owns(conn))
}

/// Puts a message before the chain of its listener, if it may go out now.
fn offer(io: &mut Io, cx: &mut Cx, listener: &mut Listener, buf: Buf) -> Offered {
    let conn = buf.conn();
    if !listener.transport.has_room(conn) {
        return Offered::Slow(buf);
    }
    if !listener.makes_room(io, cx) {
        return Offered::Stuck(buf);
    }
    match listener.pipeline.admits(conn, buf.kind()) {
        Admission::Now => {
            let pushed = listener.replies.push(buf);
            debug_assert!(pushed.is_ok(), "room was made");
            Offered::Taken
        }
        Admission::Later => Offered::Early(buf),
        Admission::Never => Offered::Refused(buf),
    }
}

impl Lcore {
    /// Does what those beside the handlers ask.
    pub(super) fn hear(&mut self, word: Word) {
        match word {
            Word::Write(buf, done) => self.write(buf, done),
            Word::Publish(publish) => self.cx.writes.publish(publish),
            Word::Join(group, conn) => {
                if owner(&mut self.listeners, conn).is_some() {
                    self.cx.writes.join(&group, conn);
                }
            }
            Word::Leave(group, conn) => {
                self.cx.writes.leave(&group, conn);
            }
            Word::Policy(conn, policy) => {
                if owner(&mut self.listeners, conn).is_some() {
                    self.cx.writes.backlog.set_policy(conn, policy);
                }
            }
        }
    }

    /// Brings messages of groups to the next members, and looks at slow connections that there may be room for.
    #[inline(always)]
    pub(super) fn writes(&mut self) -> usize {
        if self.has_writes() { self.move_writes() } else { 0 }
    }

    /// Whether that would find something to do.
    #[inline]
    pub(super) fn has_writes(&self) -> bool {
        self.cx.writes.is_busy()
    }

    fn move_writes(&mut self) -> usize {
        self.doing(Verb::Writes);
        while let Some(conn) = self.cx.writes.next_closed() {
            self.drop_backlog(conn);
        }
        let due = self.cx.writes.backlog.due().min(WRITE_STEP_BACKLOGS);
        for _ in 0..due {
            if let Some(index) = self.cx.writes.backlog.next_due() {
                self.pump(index);
            }
        }
        let mut sent = 0;
        while sent < GROUP_STEP_MEMBERS
            && let Some(frame) = self.cx.writes.next_frame()
        {
            if !self.send_frame(frame) {
                break;
            }
            sent += 1;
        }
        self.cx.writes.count_outcome();
        due + sent
    }

    /// Sends a message of a group to one member; `false`: its listener is stuck, and it is to come again.
    #[inline]
    fn send_frame(&mut self, frame: Buf) -> bool {
        let conn = frame.conn();
        let Some((index, listener)) = owner(&mut self.listeners, conn) else {
            self.cx.writes.forget(conn);
            return true;
        };
        self.work |= 1 << index;
        self.books.count_for(index, &mut self.io, &mut self.cx);
        let offered = match self.cx.writes.backlog.find(conn) {
            None => offer(&mut self.io, &mut self.cx, listener, frame),
            Some(_) => Offered::Slow(frame),
        };
        match offered {
            Offered::Taken => {
                self.cx.writes.outcome().delivered += 1;
                self.io.count(Counter::GroupDeliveries, 1);
            }
            Offered::Slow(frame) | Offered::Early(frame) => self.keep_frame(frame),
            Offered::Stuck(_) => {
                self.cx.writes.same_frame_again();
                return false;
            }
            Offered::Refused(frame) => {
                self.cx.drop_buf(frame, Reason::NotAdmitted);
                self.cx.writes.outcome().dropped += 1;
            }
        }
        true
    }

    /// Has a message of a group wait for a member.
    #[cold]
    fn keep_frame(&mut self, frame: Buf) {
        self.cx.writes.backlog.begin(frame.conn(), frame.len());
        let (kept, dropped) = self.keep(frame, None);
        let outcome = self.cx.writes.outcome();
        outcome.dropped += dropped;
        match kept {
            Kept::Waits => {
                outcome.delivered += 1;
                self.io.count(Counter::GroupDeliveries, 1);
            }
            Kept::Dropped => outcome.dropped += 1,
            Kept::Disconnect => outcome.disconnected += 1,
        }
    }

    /// Writes to a connection. It was counted as begun.
    pub(super) fn write(&mut self, buf: Buf, done: Option<WriteCallback>) {
        let (conn, bytes) = (buf.conn(), buf.len());
        let Some((index, listener)) = owner(&mut self.listeners, conn) else {
            self.cx.writes.backlog.end(conn, bytes);
            self.cx.drop_buf(buf, Reason::StaleConnection);
            return tell(done, Written::Lost);
        };
        self.work |= 1 << index;
        self.books.count_for(index, &mut self.io, &mut self.cx);
        let marker = match done.map(|done| self.pending.register(conn, done)).transpose() {
            Ok(marker) => marker,
            Err(done) => {
                self.cx.writes.backlog.end(conn, bytes);
                self.cx.drop_buf(buf, Reason::SlowNewest);
                return done(Written::Refused);
            }
        };
        let offered = match self.cx.writes.backlog.find(conn) {
            None => offer(&mut self.io, &mut self.cx, listener, buf),
            Some(_) => Offered::Slow(buf),
        };
        match offered {
            Offered::Taken => {
                self.cx.writes.backlog.end(conn, bytes);
                if let Some(marker) = marker {
                    self.mark(conn, marker);
                }
            }
            Offered::Slow(buf) | Offered::Early(buf) | Offered::Stuck(buf) => {
                self.keep(buf, marker);
            }
            Offered::Refused(buf) => {
                self.cx.writes.backlog.end(conn, bytes);
                self.cx.drop_buf(buf, Reason::NotAdmitted);
                if let Some(marker) = marker {
                    self.pending.settle(marker.meta(), Written::Refused);
                }
            }
        }
    }

    /// Sends a marker behind what its connection was just written, or has it wait where that is stuck.
    fn mark(&mut self, conn: ConnId, marker: Buf) {
        let Some((_, listener)) = owner(&mut self.listeners, conn) else { return };
        let Err(marker) = listener.push_marker(&mut self.io, &mut self.cx, marker) else { return };
        let (pending, backlog) = (&mut self.pending, &mut self.cx.writes.backlog);
        let told = &mut |marker: Buf| pending.settle(marker.meta(), Written::Lost);
        let queue = backlog.open(conn, told);
        match backlog.push_marker(queue, marker) {
            Ok(()) => backlog.make_due(queue),
            // It goes out; there is no room to remember who wants to know.
            Err(marker) => pending.settle(marker.meta(), Written::Lost),
        }
    }

    /// Has a message wait for its connection, as the policy says, and behind it what tells of it. Also how many older
    /// ones were dropped for it.
    fn keep(&mut self, buf: Buf, marker: Option<Buf>) -> (Kept, u64) {
        let conn = buf.conn();
        let (pending, backlog) = (&mut self.pending, &mut self.cx.writes.backlog);
        let queue = backlog.open(conn, &mut |m: Buf| pending.settle(m.meta(), Written::Lost));
        let refused = &mut |m: Buf| pending.settle(m.meta(), Written::Refused);
        let mut dropped = 0;
        let kept = backlog.push(&self.cx.pool, queue, buf, marker, refused, &mut dropped);
        self.io.counters.drop_many(Reason::SlowOldest, dropped);
        match kept {
            Kept::Waits => self.io.count(Counter::WritesBacklogged, 1),
            Kept::Dropped | Kept::Disconnect => self.io.counters.drop_one(Reason::SlowNewest),
        }
        if kept == Kept::Disconnect {
            self.disconnect(conn);
        } else if !self.cx.writes.backlog.waits(queue) {
            self.cx.writes.backlog.make_due(queue);
        }
        (kept, dropped)
    }

    /// Gives a slow connection up.
    #[cold]
    fn disconnect(&mut self, conn: ConnId) {
        self.io.count(Counter::SlowDisconnects, 1);
        self.drop_backlog(conn);
        self.cx.writes.forget(conn);
        if let Some((_, listener)) = owner(&mut self.listeners, conn) {
            listener.transport.close(&mut self.io, conn);
        }
    }

    /// Drops what waits for a connection that is gone.
    fn drop_backlog(&mut self, conn: ConnId) {
        let pending = &mut self.pending;
        let lost = &mut |marker: Buf| pending.settle(marker.meta(), Written::Lost);
        let dropped = self.cx.writes.backlog.closed(conn, lost);
        self.io.counters.drop_many(Reason::Unsent, dropped);
    }

    /// Moves what waits for a slow connection on, as far as there is room, and sees to it that it hears when there is
    /// room again.
    fn pump(&mut self, queue: u32) {
        let conn = self.cx.writes.backlog.conn(queue);
        let Some((index, listener)) = owner(&mut self.listeners, conn) else {
            if conn != ConnId::NONE {
                self.drop_backlog(conn);
            }
            return self.cx.writes.backlog.give_up_if_idle(queue);
        };
        self.work |= 1 << index;
        let (io, cx) = (&mut self.io, &mut self.cx);
        self.books.count_for(index, io, cx);
        while let Some(front) = cx.writes.backlog.front(queue) {
            if front.kind() == kind::NOTIFY {
                if !listener.has_room_for_marker(io, cx) {
                    return cx.writes.backlog.make_due(queue);
                }
                let marker = cx.writes.backlog.pop(queue).expect("it was just seen");
                let pushed = listener.push_marker(io, cx, marker);
                debug_assert!(pushed.is_ok(), "room was checked");
                continue;
            }
            let part = front.slice(0, front.len());
            match offer(io, cx, listener, part) {
                Offered::Taken => {
                    cx.writes.backlog.pop(queue);
                }
                Offered::Stuck(_) => return cx.writes.backlog.make_due(queue),
                Offered::Early(_) => return cx.writes.backlog.hold(queue),
                Offered::Slow(_) => {
                    let marker = marker(conn, ROOM | queue);
                    return match listener.push_marker(io, cx, marker) {
                        Ok(()) => cx.writes.backlog.arm(queue),
                        Err(_) => cx.writes.backlog.make_due(queue),
                    };
                }
                Offered::Refused(_) => {
                    cx.writes.backlog.pop(queue);
                    io.counters.drop_one(Reason::NotAdmitted);
                    let backlog = &mut cx.writes.backlog;
                    if backlog.front(queue).is_some_and(|next| next.kind() == kind::NOTIFY)
                        && let Some(marker) = backlog.pop(queue)
                    {
                        self.pending.settle(marker.meta(), Written::Refused);
                    }
                }
            }
        }
        cx.writes.backlog.give_up_if_idle(queue);
    }

    /// Tells the authors of writes what became of them, and slow connections that there is room.
    #[inline(always)]
    pub(super) fn notices(&mut self) -> usize {
        let count = self.io.notices.len();
        for Notice { ticket, sent } in self.io.notices.drain(..) {
            if ticket & ROOM != 0 {
                self.cx.writes.backlog.notified(ticket & !ROOM);
            } else {
                self.pending.settle(ticket, if sent { Written::Sent } else { Written::Lost });
            }
        }
        count
    }
}

fn tell(done: Option<WriteCallback>, written: Written) {
    if let Some(done) = done {
        done(written);
    }
}
