//! One end of a stream: packets in, packets, ranges and events out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{Config, Mode, Role};
use super::control::Word;
use super::epoch::{Incarnations, Keys};
use super::event::{Cause, Event};
use super::keepalive::Keepalive;
use super::rate::Pace;
use super::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Secrets};
use super::secure::identity::{Identity, PublicKey, Trust};
use super::secure::keys::{Direction, Traffic};
use super::secure::messages::SESSION_ID_BYTES;
use super::sequence::{ReceiveSequence, SendSequence};
use super::statistics::Statistics;
use super::table::{SlotSet, Table};
use crate::limits::STREAM_ANSWERS_MAX;
use crate::time::Instant;

mod channels;
mod dump;
mod ending;
mod greeting;
mod receive;
mod send;
mod timers;
mod transmit;
mod words;

pub use dump::{ChannelDump, Phase};
pub use send::{HEADROOM_BYTES, TAILROOM_BYTES};
pub use transmit::TRANSMIT_BYTES_MAX;

use ending::Ending;
use greeting::Greeting;

/// One end of a stream, over any connection: it is handed packets and the time, and asked what to do.
///
/// The order of calls:
///
/// 1. What has come goes to [`handle_packet`](Self::handle_packet), each packet once and alone:
///    [`deframe`](super::deframe) finds them in a byte stream, a datagram is one. While
///    [`may_receive`](Self::may_receive) is `false`, it stays where it is.
/// 2. At the time of [`poll_timeout`](Self::poll_timeout), or later, [`handle_timeout`](Self::handle_timeout).
/// 3. After either of these, and after anything that the application asked for,
///    [`poll_event`](Self::poll_event) and [`poll_transmit`](Self::poll_transmit) until they have no more. What is transmitted
///    goes out in the order in which it was made, sealed messages among it.
/// 4. After [`Event::Closed`] and the last of `poll_transmit`, the connection below is closed.
///
/// A message is cut by [`pieces`](Self::pieces), and each piece framed and sealed where it lies by
/// [`seal`](Self::seal); short ones of a channel may go together by [`seal_batch`](Self::seal_batch). A message that has come is consumed with [`consume`](Self::consume), or the peer's credit
/// runs out.
///
/// Nothing is allocated but for the handshake, for a channel where more are open than ever before, for a
/// change of keys, and for the end.
pub struct Connection {
    config: Config,
    /// Which end sends what we send.
    direction: Direction,
    state: State,
    session: Option<Session>,
    /// Packets that may be under way on all channels together, of other sessions too, which have so many.
    window_budget: u32,
    other_channels: usize,
    encrypted: bool,
    compressed: bool,
    batched: bool,

    /// Channel 0.
    send: SendSequence,
    receive: ReceiveSequence,
    keys: Option<Keys>,

    table: Table,
    /// Slots of channels with words to say.
    pending: SlotSet,
    /// The number that we open next.
    next_channel: u16,
    /// The last that we chose, for a channel of ours or one that we accepted.
    incarnation: u32,
    /// Where answers to what belongs to no channel wait.
    answers: VecDeque<Answer>,
    /// The token of a ping that is to be answered.
    pong: Option<u64>,
    events: VecDeque<Event>,

    keepalive: Keepalive,
    pace: Pace,
    /// No channel has anything to repeat before.
    repeat_at: Option<Instant>,
    /// No credit that waits for a bucket may be given before.
    pace_at: Option<Instant>,
    ending: Ending,
    statistics: Statistics,
}

enum State {
    /// Who is there?
    Greeting(Box<Greeting>),
    /// Connected. Over datagrams a responder may be asked for its READY again.
    Open(Option<Box<Greeting>>),
    Over,
}

/// What the handshake led to.
struct Session {
    peer: PublicKey,
    id: [u8; SESSION_ID_BYTES],
    traffic: Traffic,
}

/// What is said once, about no channel that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Word { ch: u16, incarnation: u32, word: Word },
    Unknown { ch: u16 },
}

/// Who decides whether a peer may go on.
pub type SharedTrust = Arc<dyn Trust + Send + Sync>;

impl Connection {
    /// A stream whose handshake begins now; `secrets` is fresh randomness.
    ///
    /// # Panics
    /// When the configuration [is not valid](Config::is_valid).
    pub fn new(
        now: Instant,
        role: Role,
        config: Config,
        identity: &Identity,
        trust: SharedTrust,
        secrets: Secrets,
    ) -> Self {
        assert!(config.is_valid(), "{config:?}");
        let (direction, next_channel) = match role {
            Role::Initiator => (Direction::Initiator, 1),
            Role::Responder { .. } => (Direction::Responder, 2),
        };
        let greeting = Greeting::new(now, role, &config, identity, trust, secrets);
        Self {
            config,
            direction,
            state: State::Greeting(Box::new(greeting)),
            session: None,
            window_budget: u32::MAX,
            other_channels: 0,
            encrypted: false,
            compressed: false,
            batched: false,
            send: SendSequence::default(),
            receive: ReceiveSequence::default(),
            keys: None,
            table: Table::new(config.channels_max),
            pending: SlotSet::new(config.channels_max),
            next_channel,
            incarnation: 0,
            answers: VecDeque::with_capacity(STREAM_ANSWERS_MAX),
            pong: None,
            events: VecDeque::with_capacity(STREAM_ANSWERS_MAX),
            keepalive: Keepalive::new(config.keepalive_ns, now),
            pace: Pace::new(config.session_rate, now),
            repeat_at: None,
            pace_at: None,
            ending: Ending::default(),
            statistics: Statistics::default(),
        }
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether [`poll_event`](Self::poll_event) has any.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether messages may be sent and channels opened: connected, and not about to end.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_)) && !self.ending.is_asked()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether another packet may be handled: answers to those before have room. It is `true` again once
    /// `poll_transmit` has been asked.
    pub fn may_receive(&self) -> bool {
        self.answers.len() < STREAM_ANSWERS_MAX
    }

    /// Who the peer is, once connected.
    pub fn peer(&self) -> Option<&PublicKey> {
        self.session.as_ref().map(|session| &session.peer)
    }

    /// The session's name, once connected.
    pub fn session_id(&self) -> Option<&[u8; SESSION_ID_BYTES]> {
        self.session.as_ref().map(|session| &session.id)
    }

    /// Whether packets are sealed.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether messages of channels that allow it may be compressed.
    pub fn may_compress(&self) -> bool {
        self.compressed
    }

    /// Whether short messages may share a packet: [`seal_batch`](Self::seal_batch).
    #[inline]
    pub fn may_batch(&self) -> bool {
        self.batched
    }

    /// Packets that may be under way or wait for the application on one channel.
    pub fn window_packets(&self) -> u32 {
        self.config.window_packets
    }

    /// Whether packets are datagrams, of which some may be lost.
    pub fn is_datagram(&self) -> bool {
        self.config.mode == Mode::Datagram
    }

    /// The handshake is whole.
    fn connect(&mut self, now: Instant, agreed: super::secure::handshake::Agreed) {
        self.encrypted = agreed.features & ENCRYPT != 0;
        self.compressed = agreed.features & COMPRESS != 0;
        self.batched = agreed.features & BATCH != 0;
        if self.encrypted {
            self.keys = Some(Keys::new(&agreed.traffic, self.direction, 0, Incarnations::NONE));
        }
        if self.is_datagram() {
            // How many parts of the handshake were lost or repeated is nothing to count.
            self.receive = ReceiveSequence::anywhere();
        }
        self.session =
            Some(Session { peer: agreed.peer, id: agreed.session_id, traffic: agreed.traffic });
        self.keepalive = Keepalive::new(self.config.keepalive_ns, now);
        self.events.push_back(Event::Connected);
    }

    /// Ends it: what the peer is told is already waiting.
    fn end(&mut self, cause: Cause) {
        self.state = State::Over;
        self.events.push_back(Event::Closed(cause));
    }
}

#[cfg(test)]
mod tests;
