//! One stream of the chain: its connection, and what of it waits.

use std::collections::VecDeque;

use super::guard::RETRY_PACKET_BYTES;
use super::lanes::{Assemblies, Lanes};
use super::trace::Trace;
use super::unpack::Stuck;
use crate::limits::{STREAM_BACKLOG_BUFS_MAX, STREAM_BACKLOG_HIGH_BUFS};
use crate::mem::{BufList, ConnId, Share};
use crate::pipeline::chain::stash::StashId;
use crate::proto::stream::{Code, Connection};
use crate::time::{Instant, TimerId, TimerWheel};

/// A timer of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarm {
    id: TimerId,
    at: Instant,
}

pub(super) struct Session {
    pub connection: Connection,
    pub conn: ConnId,
    pub created: Instant,
    /// When a message moved last, or it was made.
    pub active_at: Instant,
    /// It expires when none has for so long, in nanoseconds; 0: it does not.
    pub idle_ns: u64,
    /// When it is looked at next, whatever happens before.
    pub alarm: Option<Alarm>,
    /// Somebody looks: what passes is noted.
    pub trace: Option<Box<Trace>>,
    /// Its peer gets credit when the handler says so.
    pub handler_consumes: bool,
    /// Channels that its handler has asked for, and not heard the number of; 0: there is none.
    pub opening: VecDeque<u16>,
    /// A packet whose end has not come.
    pub stash: StashId,
    /// Its channels, as far as something of theirs waits here.
    pub lanes: Lanes,
    /// A compressed message for which there was no slot.
    pub stuck: Option<Stuck>,
    /// What has come since.
    pub parked: BufList,
    /// Nothing more is received meanwhile.
    pub paused: bool,
    /// It begins as HTTP, and the request has not come whole.
    pub awaits_upgrade: bool,
    /// It was no request for a stream: with the answer the connection ends.
    pub refused: bool,
    /// What is answered to that.
    pub answer: Option<&'static [u8]>,
    /// What compressed messages that come in pieces hold, here and in other sessions, and may hold.
    pub assemblies: (Assemblies, Share),
    /// The handshake is whole.
    pub greeted: bool,
    /// The peer has shown that it is where it says, or there was no need to.
    pub vouched: bool,
    /// What it is asked to show that with.
    pub retry: Option<[u8; RETRY_PACKET_BYTES]>,
    /// In the list of sessions with news.
    pub has_news: bool,
    /// A `TRANSMIT` is on its way through the handler.
    pub transmitting: bool,
    /// The transport was told to close.
    pub closed: bool,
    /// Messages of a channel that wait from which on the peer gets no credit on it.
    pub backlog_high: u32,
    /// Channels that it was counted with.
    pub channels: usize,
    /// Channels that have ended, and of which something may wait.
    pub ended: Vec<u16>,
    /// What was asked of channels that have ended, and is so now: the metas of `FLUSH`es.
    pub flushed: Vec<u32>,
    /// Channels of which nothing waits any more, and whose handler has not heard so.
    pub freed: Vec<u16>,
    /// To be closed, for this reason and with this text, once nothing waits.
    pub goodbye: Option<(Code, &'static str)>,
}

impl Session {
    /// One whose peer begins.
    pub fn new(
        now: Instant,
        conn: ConnId,
        connection: Connection,
        assemblies: (Assemblies, Share),
    ) -> Self {
        Self {
            connection,
            conn,
            created: now,
            active_at: now,
            idle_ns: 0,
            alarm: None,
            trace: None,
            handler_consumes: false,
            opening: VecDeque::new(),
            stash: StashId::NONE,
            lanes: Lanes::default(),
            stuck: None,
            parked: BufList::EMPTY,
            paused: false,
            awaits_upgrade: false,
            refused: false,
            answer: None,
            assemblies,
            greeted: false,
            vouched: false,
            retry: None,
            has_news: false,
            transmitting: false,
            closed: false,
            backlog_high: STREAM_BACKLOG_HIGH_BUFS,
            channels: 0,
            ended: Vec::new(),
            flushed: Vec::new(),
            freed: Vec::new(),
            goodbye: None,
        }
    }

    /// Has it looked at when its time comes. One that goes off too early is set anew then: what happens mostly
    /// puts the time off.
    #[inline]
    pub fn set_alarm(&mut self, now: Instant, alarms: &mut TimerWheel<ConnId>) {
        let Some(at) = self.next_at() else { return };
        if self.alarm.is_none_or(|alarm| at < alarm.at) {
            self.move_alarm(now, at, alarms);
        }
    }

    /// When time alone brings something about.
    pub fn next_at(&self) -> Option<Instant> {
        let times = [self.connection.poll_timeout(), self.idle_at()];
        times.into_iter().flatten().min()
    }

    fn idle_at(&self) -> Option<Instant> {
        let expires = self.idle_ns > 0 && self.goodbye.is_none() && self.connection.is_open();
        expires.then(|| self.active_at.after_ns(self.idle_ns))
    }

    /// Ends it in good order if no message has moved for too long.
    pub fn look_at_idleness(&mut self, now: Instant) {
        if self.idle_at().is_some_and(|at| at <= now) {
            self.goodbye = Some((Code::Timeout, "idle"));
        }
    }

    #[cold]
    fn move_alarm(&mut self, now: Instant, at: Instant, alarms: &mut TimerWheel<ConnId>) {
        self.stop_alarm(alarms);
        // Never at once: who is looked at and does nothing would be looked at for ever.
        let id = alarms.schedule(now, at.ns_since(now).max(1), self.conn);
        self.alarm = id.map(|id| Alarm { id, at });
        debug_assert!(self.alarm.is_some(), "there is one for each slot");
    }

    /// It needs none any more.
    pub fn stop_alarm(&mut self, alarms: &mut TimerWheel<ConnId>) {
        if let Some(alarm) = self.alarm.take() {
            alarms.cancel(alarm.id);
        }
    }

    /// Whether its handler is still to hear of something.
    pub fn has_something_to_tell(&self) -> bool {
        let asked = !self.opening.is_empty() || !self.flushed.is_empty();
        self.connection.has_events() || !self.freed.is_empty() || asked
    }

    /// Whether so much of a channel waits for credit of the peer, or of all channels, that the peer gets none on it
    /// meanwhile. One that it does not read holds up no other.
    fn is_behind(&self, channel: u16) -> bool {
        self.lanes.waiting() > 0
            && (self.lanes.of_channel(channel).0 >= self.backlog_high
                || self.lanes.waiting() >= STREAM_BACKLOG_BUFS_MAX / 2)
    }

    /// Whether no more may wait.
    pub fn is_full(&self) -> bool {
        self.lanes.waiting() >= STREAM_BACKLOG_BUFS_MAX
    }

    /// A packet was sent.
    #[inline]
    pub fn note_out(&mut self, now: Instant, packet: &[u8]) {
        if let Some(trace) = &mut self.trace {
            trace.note_out(now, packet);
        }
    }

    /// Packets of a channel are done with: the peer gets credit for them, now, or when less waits.
    pub fn consume(&mut self, now: Instant, channel: u16, packets: u32) {
        if self.is_behind(channel) {
            self.lanes.owe(channel, packets);
        } else {
            self.connection.consume(now, channel, packets);
        }
    }

    /// Gives the credit that was kept back, where little enough waits.
    pub fn pay(&mut self, now: Instant) {
        if self.lanes.waiting() < STREAM_BACKLOG_BUFS_MAX / 2 {
            let connection = &mut self.connection;
            let give = |channel, packets| connection.consume(now, channel, packets);
            self.lanes.pay(self.backlog_high, give);
        }
    }
}
