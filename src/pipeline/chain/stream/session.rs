//! One stream of the chain: its connection, and what of it waits.

use super::lanes::Lanes;
use super::trace::Trace;
use crate::limits::{STREAM_BACKLOG_BUFS_MAX, STREAM_BACKLOG_HIGH_BUFS};
use crate::mem::ConnId;
use crate::pipeline::chain::stash::StashId;
use crate::proto::stream::secure::handshake::Secrets;
use crate::proto::stream::secure::identity::Identity;
use crate::proto::stream::{Code, Config, Connection, Role, SharedTrust};
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
    /// In the list of sessions with news.
    pub has_news: bool,
    /// A `TRANSMIT` is on its way through the handler.
    pub transmitting: bool,
    /// The transport was told to close.
    pub closed: bool,
    /// Channels that have ended, and of which something may wait.
    pub ended: Vec<u16>,
    /// To be closed, for this reason, once nothing waits.
    pub goodbye: Option<Code>,
}

impl Session {
    pub fn accept(
        now: Instant,
        conn: ConnId,
        config: Config,
        identity: &Identity,
        trust: SharedTrust,
        secrets: Secrets,
        session_id: [u8; 16],
    ) -> Self {
        let role = Role::Responder { session_id };
        Self {
            connection: Connection::new(now, role, config, identity, trust, secrets),
            conn,
            created: now,
            trace: None,
            stash: StashId::NONE,
            lanes: Lanes::default(),
            has_news: false,
            transmitting: false,
            closed: false,
            ended: Vec::new(),
            goodbye: None,
        }
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
