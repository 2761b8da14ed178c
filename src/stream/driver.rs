//! The thread of one stream: it owns the link and the connection, and moves what is between them and
//! the program.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Desk;
use super::error::{End, Error, Why};
use super::lane::Arrived;
use super::link::Link;
use super::outbox::Outbox;
use super::reader::Reader;
use super::state::Shared;
use super::trust::Asked;
use crate::limits::STREAM_LINGER_NS;
use crate::proto::stream::compress::Tables;
use crate::proto::stream::secure::identity::{Identity, NodeAddress};
use crate::proto::stream::{Cause, Code, Config, Connection, Mode, TRANSMIT_BYTES_MAX};
use crate::time::{Clock, Instant};

mod ends;
mod events;
mod exchange;
mod receive;
mod send;

use ends::Closing;

/// Times that a driver does what the program wants before it looks at the link again.
const EXCHANGES_PER_TURN: usize = 4;

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) link: Link,
    pub(super) connection: Connection,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    pub(super) trust: Arc<Asked>,
    /// Where the peer is, for people.
    pub(super) address: String,
    pub(super) idle_timeout: Option<Duration>,
}

pub(super) struct Driver {
    link: Link,
    connection: Connection,
    config: Config,
    clock: Clock,
    desk: Desk,
    own: NodeAddress,
    trust: Arc<Asked>,
    address: String,
    outbox: Outbox,
    tables: Tables,
    reader: Reader,
    /// Messages of the packet that is looked at, which are whole.
    arrived: Vec<Arrived>,
    closing: Option<Closing>,
    end: Option<Why>,
    /// Called once it is known whether there is a stream.
    on_decided: Option<Box<dyn FnOnce() + Send>>,
    idle_ns: Option<u64>,
    /// When a message or a piece of one last moved.
    active_at: Instant,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let mode = parts.link.mode();
        let now = parts.clock.now();
        let idle_ns = parts.idle_timeout.map(|time| time.as_nanos() as u64);
        Self {
            own: parts.identity.public().address(),
            link: parts.link,
            connection: parts.connection,
            config: parts.config,
            clock: parts.clock,
            desk: Desk::new(parts.shared),
            trust: parts.trust,
            address: parts.address,
            outbox: Outbox::new(mode),
            tables: Tables::new(),
            reader: Reader::new(mode),
            arrived: Vec::new(),
            closing: None,
            end: None,
            on_decided: None,
            idle_ns,
            active_at: now,
        }
    }

    /// Has `call` called when the handshake is whole or has failed.
    pub(super) fn on_decided(&mut self, call: impl FnOnce() + Send + 'static) {
        self.on_decided = Some(Box::new(call));
    }

    /// Drives the stream to its end. Once it is over the program is told first, and then the peer has
    /// some time to take the last words.
    pub(super) fn run(mut self) {
        let mut readable = true;
        while self.end.is_none() {
            if let Err(why) = self.turn(&mut readable) {
                self.end = Some(Why::Connection(why));
            }
        }
        self.say_the_last();
        self.exchange();
        self.linger();
        drop(self.link);
        self.desk.shared.lock().is_gone = true;
        self.desk.shared.announce();
    }

    /// One round: take what came, say what there is to say, and wait for more.
    fn turn(&mut self, readable: &mut bool) -> Result<(), String> {
        if *readable {
            self.receive()?;
        }
        let mut has_work = true;
        for _ in 0..EXCHANGES_PER_TURN {
            while self.pump() {
                self.flush()?;
                if self.outbox.is_full() {
                    break;
                }
            }
            self.flush()?;
            if self.end.is_some() {
                return Ok(());
            }
            has_work = self.exchange();
            if !has_work {
                break;
            }
        }
        let is_held = self.reader.has_packet() && self.connection.may_receive();
        let timeout = if has_work || is_held { Some(Duration::ZERO) } else { self.timeout() };
        let wants_room = !self.outbox.is_empty();
        let waited = self.link.wait(self.desk.shared.alarm.bell(), wants_room, timeout);
        *readable = waited.map_err(|why| why.to_string())?.readable || is_held;
        Ok(())
    }

    /// How long to wait.
    fn timeout(&self) -> Option<Duration> {
        if !self.desk.news.is_empty() {
            return Some(Duration::ZERO);
        }
        let times = [self.connection.poll_timeout(), self.closing_at(), self.idle_at()];
        let at = times.into_iter().flatten().min()?;
        Some(Duration::from_nanos(at.ns_since(self.clock.now())))
    }

    /// Lets the connection say and hear all it can; whether there would be more, had the outbox room.
    fn pump(&mut self) -> bool {
        let now = self.clock.now();
        self.connection.handle_timeout(now);
        self.look_at_idleness(now);
        self.look_at_closing(now);
        loop {
            self.hear_events(now);
            let said = self.transmit(now);
            let sent = self.send_messages(now);
            if !said && !sent {
                return self.outbox.is_full();
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> bool {
        let mut said = false;
        while self.connection.is_over() || !self.outbox.is_full() {
            let connection = &mut self.connection;
            if !self.outbox.write(TRANSMIT_BYTES_MAX, |room| connection.poll_transmit(now, room)) {
                break;
            }
            said = true;
        }
        said
    }

    fn flush(&mut self) -> Result<(), String> {
        let Self { outbox, link, connection, .. } = self;
        let flushed = outbox.flush(|bytes| link.send(bytes));
        match flushed {
            Err(why) if link.is_refusal(&why) && connection.peer().is_some() => Ok(()),
            Err(why) if link.is_refusal(&why) => Err("nobody listens there".to_owned()),
            Err(why) => Err(why.to_string()),
            Ok(()) => Ok(()),
        }
    }

    /// Whatever the connection still says, though it is over.
    fn say_the_last(&mut self) {
        let now = self.clock.now();
        while let Some(event) = self.connection.poll_event() {
            self.on_event(now, event);
        }
        self.transmit(now);
        let _ = self.flush();
    }

    /// Waits until the peer has taken all, and closed: a close over unread bytes would be a reset, and
    /// take away what the peer has not read.
    fn linger(&mut self) {
        if matches!(self.end, Some(Why::Connection(_))) {
            return;
        }
        let until = self.clock.now().after_ns(STREAM_LINGER_NS);
        let mut finished = false;
        loop {
            if self.flush().is_err() {
                return;
            }
            if self.outbox.is_empty() && !std::mem::replace(&mut finished, true) {
                self.link.finish();
            }
            let left = until.ns_since(self.clock.now());
            let is_done = finished && self.link.mode() == Mode::Datagram;
            if left == 0 || is_done || self.reader.discard(&mut self.link) {
                return;
            }
            let wants_room = !self.outbox.is_empty();
            let left = Some(Duration::from_nanos(left));
            if self.link.wait(self.desk.shared.alarm.bell(), wants_room, left).is_err() {
                return;
            }
        }
    }

    /// How it ended, for the program.
    fn end_of(&self, why: &Why) -> End {
        let proved = self.connection.peer().map(|peer| peer.address());
        End {
            address: self.address.clone(),
            peer: proved.or_else(|| self.trust.last()),
            own: self.own,
            was_connected: proved.is_some(),
            why: why.clone(),
            text: self.connection.peer_text().to_owned(),
        }
    }

    fn abort(&mut self) {
        let now = self.clock.now();
        self.connection.close(now, Code::None, "");
        self.end = Some(Why::Aborted);
    }
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

/// Tells the program that there never was a stream.
pub(super) fn fail(shared: &Shared, error: Error) {
    let mut state = shared.lock();
    state.failed = Some(error);
    state.is_gone = true;
    drop(state);
    shared.announce();
}

/// Whatever becomes of who drives a stream, nobody is to wait for it for ever.
pub(super) struct Guard(Arc<Shared>);

impl Guard {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// There is no stream, for this reason.
    pub(super) fn fail(self, error: Error) {
        fail(&self.0, error);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.0.lock().is_gone {
            let why = "a callback panicked";
            let error = crate::error::Error::new("go on with a stream", why, "mend the callback");
            fail(&self.0, error.into());
        }
    }
}
