//! One stream of the chain: its connection, and what of it waits.

use super::guard::RETRY_PACKET_BYTES;
use super::lanes::{Assemblies, Lanes};
use super::trace::Trace;
use crate::limits::{STREAM_BACKLOG_BUFS_MAX, STREAM_BACKLOG_HIGH_BUFS};
use crate::mem::{ConnId, Share};
use crate::pipeline::chain::stash::StashId;
use crate::proto::stream::{Code, Connection};
use crate::time::Instant;

pub(super) struct Session {
    pub connection: Connection,
    pub conn: ConnId,
    pub created: Instant,
    /// Somebody looks: what passes is noted.
    pub trace: Option<Box<Trace>>,
    /// A packet whose end has not come.
    pub stash: StashId,
    /// Its channels, as far as something of theirs waits here.
    pub lanes: Lanes,
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
    /// Channels that have ended, and of which something may wait.
    pub ended: Vec<u16>,
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
            trace: None,
            stash: StashId::NONE,
            lanes: Lanes::default(),
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
            ended: Vec::new(),
            freed: Vec::new(),
            goodbye: None,
        }
    }

    /// Whether its handler is still to hear of something.
    pub fn has_something_to_tell(&self) -> bool {
        self.connection.has_events() || !self.freed.is_empty()
    }

    /// Whether so much waits for credit of the peer that it gets none itself meanwhile.
    pub fn is_behind(&self) -> bool {
        self.lanes.waiting() >= STREAM_BACKLOG_HIGH_BUFS
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

    /// A packet of a channel was handed on: the peer gets credit for it, now, or when less waits.
    pub fn consume(&mut self, now: Instant, channel: u16) {
        if self.is_behind() {
            self.lanes.owe(channel);
        } else {
            self.connection.consume(now, channel, 1);
        }
    }

    /// Gives the credit that was kept back, if little enough waits.
    pub fn pay(&mut self, now: Instant) {
        if !self.is_behind() {
            let connection = &mut self.connection;
            self.lanes.pay(|channel, packets| connection.consume(now, channel, packets));
        }
    }
}
