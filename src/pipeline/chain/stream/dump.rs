//! How the sessions of a chain stand, for whoever looks into it (D-16, D-17). What is filled in here was
//! allocated by who asks, and a call looks at a bounded part.

use super::Stream;
use super::session::Session;
use super::trace::{Trace, TraceLine};
use crate::limits::{STREAM_CHANNELS_DUMPED_MAX, STREAM_TRACES_MAX};
use crate::mem::ConnId;
use crate::proto::stream::secure::identity::PublicKey;
use crate::proto::stream::{ChannelDump, Phase, Statistics};
use crate::time::Instant;

/// How a session stands.
#[derive(Debug, Clone, Copy)]
pub struct SessionDump {
    /// Its connection.
    pub conn: ConnId,
    /// Who the peer is, once connected.
    pub peer: Option<PublicKey>,
    /// The session's id, once connected.
    pub session_id: Option<[u8; 16]>,
    /// How far it is.
    pub phase: Phase,
    /// Whether packets are sealed.
    pub encrypted: bool,
    /// Whether messages may be compressed.
    pub compressed: bool,
    /// Since it was accepted, in nanoseconds.
    pub age_ns: u64,
    /// Since the peer was heard last, in nanoseconds.
    pub silent_ns: u64,
    /// Since anything was heard or said last, in nanoseconds.
    pub idle_ns: u64,
    /// Bufs that wait for credit of the peer.
    pub waiting: u32,
    /// How many keys have followed the first of channel 0: of what is sent, and of what comes.
    pub epochs: (u32, u32),
    /// Whether what passes is noted.
    pub is_traced: bool,
    /// What was counted.
    pub statistics: Statistics,
}

/// How a channel of a session stands.
#[derive(Debug, Clone, Copy)]
pub struct ChannelState {
    /// How the connection has it.
    pub dump: ChannelDump,
    /// Bufs that wait for credit of the peer.
    pub waiting: u32,
    /// Packets that were handed on, and that the peer gets credit for when less waits.
    pub owed: u32,
}

/// What was noted of a session.
#[derive(Debug, Clone, Default)]
pub struct TraceDump {
    /// The last of it, oldest first; times are since the session was accepted.
    pub lines: Vec<TraceLine>,
    /// How much passed before.
    pub forgotten: u64,
}

/// Why a session is not traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTrace {
    /// There is no such session.
    NoSession,
    /// As many are as may be.
    TooMany,
}

impl SessionDump {
    fn of(now: Instant, session: &Session) -> Self {
        let connection = &session.connection;
        let (heard, said) = connection.last_activity();
        let phase = match connection.phase() {
            Phase::Open if session.goodbye.is_some() => Phase::Closing,
            _ if session.closed => Phase::Over,
            phase => phase,
        };
        Self {
            conn: session.conn,
            peer: connection.peer().copied(),
            session_id: connection.session_id().copied(),
            phase,
            encrypted: connection.is_encrypted(),
            compressed: connection.may_compress(),
            age_ns: now.ns_since(session.created),
            silent_ns: now.ns_since(heard),
            idle_ns: now.ns_since(heard.max(said)),
            waiting: session.lanes.waiting(),
            epochs: connection.epochs(),
            is_traced: session.trace.is_some(),
            statistics: connection.statistics(),
        }
    }
}

impl Stream {
    /// Sessions that there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How the session of a connection stands, if it is there.
    pub fn dump(&mut self, now: Instant, conn: ConnId) -> Option<SessionDump> {
        self.sessions.get_mut(conn).map(|session| SessionDump::of(now, session))
    }

    /// Tells `into` how the sessions stand whose slots are at or above `from`, at most so many. Gives the slot to
    /// go on from, `None` where those were the last.
    pub fn dump_from(
        &mut self,
        now: Instant,
        from: u32,
        most: usize,
        mut into: impl FnMut(SessionDump),
    ) -> Option<u32> {
        let mut from = from;
        for _ in 0..most {
            let (conn, session) = self.sessions.next_from(from)?;
            into(SessionDump::of(now, session));
            from = conn.slot() + 1;
        }
        Some(from)
    }

    /// Appends how the channels of a session stand, in no order and at most
    /// [`STREAM_CHANNELS_DUMPED_MAX`] of them.
    pub fn dump_channels(&mut self, conn: ConnId, into: &mut Vec<ChannelState>) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let channels = session.connection.channels().take(STREAM_CHANNELS_DUMPED_MAX);
        into.extend(channels.map(|dump| {
            let (waiting, owed) = session.lanes.of_channel(dump.channel);
            ChannelState { dump, waiting, owed }
        }));
    }

    /// Appends what was noted of a session, if it is traced.
    pub fn dump_trace(&mut self, conn: ConnId, into: &mut TraceDump) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let Some(trace) = &session.trace else { return };
        let since = |at: Instant| Instant::from_ns(at.ns_since(session.created));
        into.lines.extend(trace.lines().map(|line| TraceLine { at: since(line.at), ..*line }));
        into.forgotten = trace.forgotten();
    }

    /// Notes what passes on a session from here on, until it ends or this is undone; where that is so
    /// already, nothing changes.
    pub fn trace(&mut self, conn: ConnId, trace: Box<Trace>) -> Result<(), NoTrace> {
        let session = self.sessions.get_mut(conn).ok_or(NoTrace::NoSession)?;
        if session.trace.is_some() {
            return Ok(());
        }
        if self.traced == STREAM_TRACES_MAX {
            return Err(NoTrace::TooMany);
        }
        session.trace = Some(trace);
        self.traced += 1;
        Ok(())
    }

    /// Notes no more of a session, and gives what was noted.
    pub fn untrace(&mut self, conn: ConnId) -> Result<Option<Box<Trace>>, NoTrace> {
        let session = self.sessions.get_mut(conn).ok_or(NoTrace::NoSession)?;
        let trace = session.trace.take();
        self.traced -= usize::from(trace.is_some());
        Ok(trace)
    }
}
