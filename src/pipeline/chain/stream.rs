//! Multiplexed streams over any transport (D-1 to D-22): packets in, messages of channels out, and back.
//! What the packets mean, `proto::stream` knows; what is here finds them in bufs and puts them into some.
//!
//! Steps up, over each buf: deframe and decrypt where it lies, cut into messages, decompress. Down: compress,
//! cut into pieces, frame and encrypt.

mod dump;
mod egress;
mod guard;
mod held;
mod ingress;
mod lanes;
mod messages;
mod reasons;
mod session;
mod trace;
mod unpack;
mod upgrade;

pub use dump::{ChannelState, NoTrace, SessionDump, TraceDump};
pub use messages::{
    Agreed, CLOSING, CONNECTED, CONSUMED, ENDED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL,
    OPENED, OPENING, REFUSED, REKEY, SHUT, SHUT_CHANNEL, TORN, TRANSMIT, WRITABLE, alloc,
};
pub use trace::{Outcome, Trace, TraceLine, Traced};

use std::collections::VecDeque;

use egress::OpenBatch;
use guard::Guard;
use lanes::Assemblies;
use session::Session;

use super::pack::Pack;
use super::stash::{StashBounds, Stashes};
use crate::counters::Reason;
use crate::limits::{STREAM_BACKLOG_HIGH_BUFS, STREAM_BACKLOG_PART, STREAM_WAITING_BUFS};
use crate::mem::{Batch, Buf, BufStore, Burst, ConnId, Share, SlotCounts, kind};
use crate::pipeline::{Admission, Chain, Cx, SessionTable};
use crate::proto::stream::compress::Tables;
use crate::proto::stream::secure::handshake::{ENCRYPT, Secrets};
use crate::proto::stream::secure::identity::Identity;
use crate::proto::stream::{Code, Config, Connection, Mode, Role, SharedTrust};
use crate::time::{Clock, Instant, TimerWheel};

/// Bufs that one packet or marker makes for the handler at most.
const ROOM_UP: usize = 8;

/// Bufs that one message or marker makes for the transport at most, but for the pieces of a long message.
const ROOM_DOWN: usize = 4;

/// Sessions whose time has come that are looked at in a row.
const DUE_MAX: usize = 32;

/// Fresh randomness for each session: its secrets, and its name.
pub type Entropy = Box<dyn FnMut() -> (Secrets, [u8; 16]) + Send>;

/// What all sessions of a listener have in common.
pub struct Settings {
    /// Bounds and times; the mode is that of the transport.
    pub config: Config,
    /// Who we are.
    pub identity: Identity,
    /// Who may connect.
    pub trust: SharedTrust,
    /// Where their secrets come from.
    pub entropy: Entropy,
    /// By which it is told whether compressing pays.
    pub clock: Clock,
    /// What the cookies of datagrams are made with: randomness that is this listener's alone.
    pub cookie_secret: [u8; 32],
    /// Streams begin as HTTP, with a request for the protocol `ringway-stream`.
    pub upgrade: bool,
    /// How many packets may wait for their rest, each in a slot of the pool.
    pub stashes: StashBounds,
    /// Packets that peers may have under way on all channels together: so many have a place to wait in, should no handler,
    /// or no peer, take any of what they bring about. Each channel may have some however many there are.
    pub window_budget: u32,
    /// The peer gets credit for what was handed on when the handler says [`CONSUMED`], and not at once.
    pub handler_consumes: bool,
    /// Sessions on which no message has moved for so long expire, in nanoseconds (D-3); 0: none does.
    pub idle_ns: u64,
    /// What messages that wait for credit, and compressed ones that wait for their rest, may hold each while
    /// the pool is short of slots: who has more wait then is cut off.
    pub share: Share,
}

/// The chain of one listener: it accepts streams.
pub struct Stream {
    settings: Settings,
    sessions: SessionTable<Box<Session>>,
    guard: Guard,
    /// Packets whose end has not come.
    stashes: Stashes,
    /// Messages that wait for credit, and what has come of sessions that are held.
    waiting: BufStore,
    /// Compressed messages that wait for their rest.
    assemblies: Assemblies,
    /// Packets on their way out, several in one slot.
    pack: Pack,
    /// Messages behind them that are not a packet yet.
    open: Option<OpenBatch>,
    tables: Tables,
    /// Sessions with something to tell the handler, or the peer, that no buf of theirs brought about.
    news: VecDeque<ConnId>,
    /// Sessions that wait for a slot, and when they try again.
    held: VecDeque<ConnId>,
    retry_at: Instant,
    /// When to look at which session, one alarm for each.
    alarms: TimerWheel<ConnId>,
    /// Channels of all sessions.
    channels: usize,
    /// Slots below it have been asked to close.
    drained: u32,
    /// Sessions that are traced.
    traced: usize,
}

impl Settings {
    /// The end of a stream that begins, whose session is called so, or by chance.
    fn connection(&mut self, now: Instant, session_id: Option<[u8; 16]>) -> Connection {
        let (secrets, drawn) = (self.entropy)();
        let role = Role::Responder { session_id: session_id.unwrap_or(drawn) };
        Connection::new(now, role, self.config, &self.identity, self.trust.clone(), secrets)
    }
}

impl Stream {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, settings: Settings) -> Self {
        Self {
            guard: Guard::new(settings.cookie_secret),
            stashes: Stashes::new(settings.stashes),
            settings,
            sessions: SessionTable::new(slots),
            waiting: BufStore::new(STREAM_WAITING_BUFS),
            assemblies: Assemblies::new(),
            pack: Pack::default(),
            open: None,
            tables: Tables::new(),
            news: VecDeque::new(),
            held: VecDeque::new(),
            retry_at: Instant::from_ns(0),
            alarms: TimerWheel::new(slots as usize),
            channels: 0,
            drained: 0,
            traced: 0,
        }
    }

    fn is_datagram(&self) -> bool {
        self.settings.config.mode == Mode::Datagram
    }

    /// Says how much the peer of a session may have under way beside all others.
    fn set_budget(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let others = self.channels - session.channels;
        session.connection.set_window_budget(self.settings.window_budget, others);
        let part = session.connection.window_now() / STREAM_BACKLOG_PART;
        session.backlog_high = part.clamp(1, STREAM_BACKLOG_HIGH_BUFS);
    }

    /// Counts the channels of a session.
    fn count_channels(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let channels = session.connection.channel_count();
        self.channels = self.channels - session.channels + channels;
        session.channels = channels;
    }

    /// Begins the session of a connection.
    fn open(&mut self, cx: &Cx, conn: ConnId) {
        let connection = self.settings.connection(cx.now, None);
        let assemblies = (self.assemblies.clone(), self.settings.share);
        let mut session = Session::new(cx.now, conn, connection, assemblies);
        session.awaits_upgrade = self.settings.upgrade;
        session.handler_consumes = self.settings.handler_consumes;
        session.idle_ns = self.settings.idle_ns;
        session.set_alarm(cx.now, &mut self.alarms);
        self.sessions.open(conn, Box::new(session));
        self.guard.greeting += 1;
        if cx.draining {
            // It came between the order to drain and the end of accepting.
            self.drained = self.drained.min(conn.slot());
        }
    }

    /// Forgets the session of a connection, and what waits on it.
    fn close(&mut self, cx: &Cx, conn: ConnId) {
        let Some(mut session) = self.sessions.close(conn) else { return };
        self.guard.greeting -= usize::from(!session.greeted);
        self.traced -= usize::from(session.trace.is_some());
        self.channels -= session.channels;
        session.stop_alarm(&mut self.alarms);
        self.stashes.take(&mut session.stash);
        session.lanes.clear(&mut self.waiting, |buf| cx.drop_buf(buf, Reason::Unsent));
        session.clear_parked(&mut self.waiting, |buf| cx.drop_buf(buf, Reason::AfterClose));
        if self.sessions.is_empty() {
            self.pack.rest();
        }
    }

    /// What waits for a slot may wait for those of sessions whose end stands behind it: ends are heard, unless
    /// something of theirs is before them. Ends beyond the burst need not be: what sessions hold of the pool is a
    /// share of it, and one whose time is over drops its messages without its end.
    #[cold]
    fn hear_ends(&mut self, cx: &Cx, input: &mut Burst, output: &mut Burst) {
        for _ in 0..input.len() {
            let Some(buf) = input.pop() else { return };
            let conn = buf.conn();
            let passes = buf.kind() == kind::CLOSED && output.room() > ROOM_UP;
            // Those before it have gone behind the others.
            if passes && !input.iter().any(|other| other.conn() == conn) {
                self.close(cx, conn);
                push(output, buf);
            } else {
                let kept = input.push(buf);
                assert!(kept.is_ok(), "it was just popped");
            }
        }
    }

    /// Has a session looked at in the next turn.
    fn note_news(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && !std::mem::replace(&mut session.has_news, true)
        {
            self.news.push_back(conn);
        }
    }

    /// The same, if something came about that its handler is still to hear.
    fn note_events(&mut self, conn: ConnId) {
        if self.sessions.get_mut(conn).is_some_and(|session| session.has_something_to_tell()) {
            self.note_news(conn);
        }
    }

    /// Looks at some of the sessions whose time has come; whether there are more.
    fn take_due(&mut self, now: Instant) -> bool {
        let mut due = Batch::<ConnId, DUE_MAX>::new();
        self.alarms.expire(now, DUE_MAX, |conn| {
            let pushed = due.push(conn);
            debug_assert!(pushed.is_ok(), "no more fire than the budget");
        });
        while let Some(conn) = due.pop() {
            self.on_alarm(now, conn);
        }
        self.alarms.next_deadline().is_some_and(|at| at <= now)
    }

    fn on_alarm(&mut self, now: Instant, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.alarm = None;
        if session.closed {
            return;
        }
        // What seems late may be among what is kept.
        let is_due = !session.is_held() && session.next_at().is_some_and(|at| at <= now);
        if is_due {
            session.connection.handle_timeout(now);
            session.look_at_idleness(now);
        }
        session.set_alarm(now, &mut self.alarms);
        if is_due {
            self.note_news(conn);
        }
    }
}

fn push(burst: &mut Burst, buf: Buf) {
    let pushed = burst.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Chain for Stream {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        if !self.sessions.is_empty() {
            self.pack.prepare(cx);
        }
        if !self.held.is_empty() {
            self.release(cx, output);
        }
        self.tell_news(cx, output);
        while output.room() >= ROOM_UP
            && let Some(buf) = input.pop()
        {
            let left = match buf.kind() {
                kind::DATA => {
                    let conn = buf.conn();
                    let left = self.receive(cx, buf, output);
                    self.note_events(conn);
                    left
                }
                _ => self.on_marker(cx, buf, output),
            };
            if let Err(left) = left {
                let back = input.unpop(left);
                assert!(back.is_ok(), "it was just popped");
                return self.hear_ends(cx, input, output);
            }
        }
    }

    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM_DOWN
            && let Some(buf) = input.pop()
        {
            if let Err(left) = self.send(cx, buf, output) {
                let back = input.unpop(left);
                assert!(back.is_ok(), "it was just popped");
                break;
            }
        }
        self.flush(cx, output);
    }

    fn drain(&mut self, cx: &mut Cx, output: &mut Burst) {
        while output.room() >= ROOM_DOWN
            && let Some((conn, session)) = self.sessions.next_from(self.drained)
        {
            // What waits for credit goes before.
            session.goodbye.get_or_insert((Code::None, "the dataplane stops"));
            self.drained = conn.slot() + 1;
            if self.transmit(cx, conn, output).is_err() {
                self.note_news(conn);
            }
            self.flush(cx, output);
        }
    }

    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        if !self.held.is_empty() {
            self.release(cx, messages);
        }
        self.tell_news(cx, messages);
        let mut more = true;
        while more && self.news.is_empty() {
            more = self.take_due(cx.now);
            self.tell_news(cx, messages);
        }
        more || !self.news.is_empty()
    }

    fn next_tick(&self) -> Option<Instant> {
        let retry = (!self.held.is_empty()).then_some(self.retry_at);
        [self.alarms.next_deadline(), retry].into_iter().flatten().min()
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    fn waiting(&self) -> SlotCounts {
        *self.waiting.slots()
    }

    /// Messages have credit and order of their own, which the handler knows.
    fn admits(&mut self, _conn: ConnId, _kind: u8) -> Admission {
        Admission::Never
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn decrypts(&self) -> bool {
        self.settings.config.offer.offers & ENCRYPT != 0
    }
}

#[cfg(test)]
mod tests;
