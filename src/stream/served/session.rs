//! One stream that a dataplane serves: what it says, and what the program wants of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant as Wall;

use crate::attach::{Message, Queue, StreamWord};
use crate::mem::{ConnId, kind};
use crate::proto::stream::secure::identity::NodeAddress;
use crate::proto::stream::{Cause, ChannelDump, Code, Fault, Statistics};
use crate::stream::Address;
use crate::stream::bell::{Alarm, Roster};
use crate::stream::desk::{Desk, Shown};
use crate::stream::driver::Guard;
use crate::stream::error::{End, Error, Why};
use crate::stream::handle::Stream;
use crate::stream::lane::{Notice, Part};
use crate::stream::listener::Inner;
use crate::stream::news::News;
use crate::stream::session::{Session, SessionId};
use crate::stream::state::{Key, Request, Shared};
use crate::time::Instant;

/// Times that a stream does what the program wants in one turn.
const EXCHANGES_PER_TURN: usize = 4;

/// A close that waits for what is still to be sent.
struct Closing {
    code: Code,
    /// It waits no longer; and then the connection is cut.
    until: Instant,
    said: bool,
}

pub(super) struct Served {
    conn: ConnId,
    /// The queue that it comes by.
    pub(super) queue: usize,
    address: String,
    own: NodeAddress,
    peer: NodeAddress,
    desk: Desk,
    /// Of what is sent, which has to fit a slot, and of what comes, which may come in several.
    message_bytes_max: usize,
    received_bytes_max: usize,
    /// Channels that were asked for, and have no number yet.
    opening: VecDeque<Key>,
    closing: Option<Closing>,
    close_timeout_ns: u64,
    /// What the peer closes it with.
    peer_code: Option<Code>,
    end: Option<Why>,
    idle_ns: Option<u64>,
    active_at: Instant,
    statistics: Statistics,
    /// For when a callback panics.
    _guard: Guard,
}

impl Served {
    /// A stream that begins, if there is a place for it and its peer is welcome; else why not, as the peer is
    /// told.
    pub(super) fn meet(
        inner: &Arc<Inner>,
        address: &Address,
        roster: &Arc<Roster>,
        conn: ConnId,
        word: &StreamWord,
    ) -> Result<Self, Code> {
        let StreamWord::Connected { peer, session_id, window, encrypted, compressed, datagrams } =
            *word
        else {
            return Err(Code::Protocol);
        };
        if inner.is_stopped() {
            return Err(Code::Refused);
        }
        let place = inner.place().ok_or(Code::Limit)?;
        let (options, address) = (inner.options(), address.to_string());
        let bytes_max = options.message_bytes_max as usize;
        let shared = Shared::with(Alarm::Shared(roster.clone(), conn), bytes_max, window);
        let now = Wall::now();
        let session = Session {
            id: SessionId(session_id),
            peer,
            created: now,
            last_activity: now,
            is_active: true,
            is_encrypted: encrypted,
            may_compress: compressed,
            is_datagram: datagrams,
        };
        let mut served = Self {
            conn,
            queue: 0,
            own: inner.node(),
            peer: peer.address(),
            desk: Desk::new(shared.clone()),
            message_bytes_max: bytes_max,
            received_bytes_max: bytes_max,
            opening: VecDeque::new(),
            closing: None,
            close_timeout_ns: options.close_timeout.as_nanos() as u64,
            peer_code: None,
            end: None,
            idle_ns: options.idle_timeout.map(|time| time.as_nanos() as u64),
            active_at: Instant::from_ns(0),
            statistics: Statistics::default(),
            address: address.clone(),
            _guard: Guard::of(shared.clone()),
        };
        if !inner.trusts(&address, &peer) {
            let end = served.end_of(&Why::Cause(Cause::Fault(Fault::NotTrusted)));
            place.decide(Err(Error::Ended(Box::new(end))));
            return Err(Code::Unauthorised);
        }
        served.desk.news.push(News::Connected(Box::new(session)));
        served.desk.exchange(Statistics::default(), None::<fn() -> End>);
        place.decide(Stream::connected(shared, address));
        Ok(served)
    }

    /// The same, which comes by this queue, whose messages have room for so many bytes.
    pub(super) fn on_queue(mut self, index: usize, bytes_max: usize) -> Self {
        self.queue = index;
        self.message_bytes_max = self.message_bytes_max.min(bytes_max);
        self.desk.shared.lock().message_bytes_max = self.message_bytes_max;
        self
    }

    /// Whether time alone may bring something about.
    pub(super) fn has_times(&self) -> bool {
        self.closing.is_some() || self.idle_ns.is_some()
    }

    /// What the dataplane says of it.
    pub(super) fn hear(&mut self, queue: &mut Queue, now: Instant, word: StreamWord, bytes: &[u8]) {
        let desk = &mut self.desk;
        match word {
            StreamWord::Message { channel, first, last, packets } => {
                let part = Part { bytes, first, last, compressed: false, packets };
                self.on_message(queue, now, channel, &part);
            }
            StreamWord::Opening(number) => {
                let Some(key) = self.opening.pop_front() else { return };
                match number {
                    Some(number) => desk.begin(number, key, false),
                    None => desk.news.push(News::Refused { key, code: Code::Limit }),
                }
            }
            StreamWord::Opened { channel, channel_type } => match desk.opened(channel) {
                Some(key) => desk.line_up(key),
                None => desk.offer(channel, channel_type, false),
            },
            StreamWord::Refused { channel, code } => {
                let key = desk.forget(channel);
                desk.news.extend(key.map(|key| News::Refused { key, code }));
            }
            StreamWord::Sent { channel, .. } => {
                if let Some(&key) = desk.keys.get(&channel) {
                    desk.notices.push((key, Notice::Writable));
                    desk.line_up(key);
                }
            }
            StreamWord::Torn { channel } => {
                let Some(&key) = desk.keys.get(&channel) else { return };
                if let Some(lane) = desk.lanes.get_mut(&key) {
                    lane.to_consume += lane.partial.tear();
                }
                self.credit(queue, key);
            }
            StreamWord::Shut { channel } => desk.shut(channel),
            StreamWord::Ended { channel } => {
                let key = desk.forget(channel);
                desk.news.extend(key.map(|key| News::Closed { key }));
            }
            StreamWord::Closing(code) => {
                self.peer_code = Some(code);
                desk.news.push(News::Closing);
                self.begin_to_close(now, Code::None);
            }
            StreamWord::Connected { .. } | StreamWord::Closed => {}
        }
    }

    fn on_message(&mut self, queue: &mut Queue, now: Instant, channel: u16, part: &Part<'_>) {
        self.active_at = now;
        self.desk.note_active();
        self.statistics.received.packets += u64::from(part.packets);
        self.statistics.received.bytes += part.bytes.len() as u64;
        let Some(&key) = self.desk.keys.get(&channel) else { return };
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return };
        let message = lane.add(part);
        if lane.partial.len() > self.received_bytes_max {
            return self.begin_to_close(now, Code::TooLarge);
        }
        self.credit(queue, key);
        let Some(message) = message else { return };
        match self.desk.show(key, message, self.received_bytes_max) {
            Shown::Rest(message) => self.desk.deliver(key, message),
            Shown::Done { number, packets } => queue.consume(self.conn, number, packets),
            Shown::Broken | Shown::Nobody => {}
        }
    }

    fn credit(&mut self, queue: &mut Queue, key: Key) {
        if let Some((number, packets)) = self.desk.take_credit(key) {
            queue.consume(self.conn, number, packets);
        }
    }

    /// Does what there is to do.
    pub(super) fn turn(&mut self, queue: &mut Queue, now: Instant) -> Turn {
        for _ in 0..EXCHANGES_PER_TURN {
            let starves = self.send(queue, now);
            self.look_at_times(queue, now);
            let end = self.end.as_ref().map(|why| self.end_of(why));
            let wishes = self.desk.exchange(self.statistics, end.map(|end| || end));
            let is_done = wishes.is_empty();
            for key in wishes.touched {
                self.credit(queue, key);
                self.desk.line_up(key);
            }
            for request in wishes.requests {
                self.serve(queue, now, request);
            }
            self.desk.notify();
            if is_done {
                return if starves { Turn::Starves } else { Turn::Rests };
            }
        }
        Turn::GoesOn
    }

    /// Sends messages until there is no more to say, or no room; whether a slot is lacking.
    fn send(&mut self, queue: &mut Queue, now: Instant) -> bool {
        while let Some(key) = self.desk.turns.pop_front() {
            match self.send_one(queue, now, key) {
                Sent::One => self.desk.turns.push_back(key),
                Sent::Nothing => {
                    self.desk.lanes.entry(key).and_modify(|lane| lane.is_in_turn = false);
                }
                Sent::NoSlot => {
                    self.desk.turns.push_front(key);
                    return true;
                }
            }
        }
        false
    }

    fn send_one(&mut self, queue: &mut Queue, now: Instant, key: Key) -> Sent {
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return Sent::Nothing };
        let number = lane.number;
        let Some(next) = lane.queue.front() else {
            if lane.wants_close {
                if !std::mem::replace(&mut lane.is_closed, true) {
                    queue.shut_channel(self.conn, number);
                }
                return Sent::Nothing;
            }
            return self.ask_for_one(queue, key, number);
        };
        let Some(mut message) = queue.alloc_message(self.conn, number, next.len()) else {
            // Of the room it is told when there is some.
            let is_full = queue.room_on(self.conn, number) == 0;
            return if is_full { Sent::Nothing } else { Sent::NoSlot };
        };
        let fits = message.append(next);
        assert!(fits, "it was allocated for it");
        let bytes = next.len();
        lane.queue.pop_front();
        if lane.queue.is_empty() {
            self.desk.notices.push((key, Notice::Writable));
        }
        self.active_at = now;
        self.statistics.sent.packets += 1;
        self.statistics.sent.bytes += bytes as u64;
        self.desk.note_sent(key, 1, bytes);
        queue.send(message);
        Sent::One
    }

    /// Lets a callback write a message, where it can go.
    fn ask_for_one(&mut self, queue: &mut Queue, key: Key, number: u16) -> Sent {
        if queue.room_on(self.conn, number) == 0 {
            return Sent::Nothing;
        }
        let Some(bytes) = self.desk.ask_for_message(key, self.message_bytes_max) else {
            return Sent::Nothing;
        };
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return Sent::Nothing };
        // It counts as one of the program's own.
        let len = bytes.len();
        lane.queue.push_back(bytes);
        let mut state = self.desk.shared.lock();
        let channel = state.channel(key);
        (channel.unsent, channel.unsent_bytes) = (channel.unsent + 1, channel.unsent_bytes + len);
        Sent::One
    }

    fn serve(&mut self, queue: &mut Queue, now: Instant, request: Request) {
        match request {
            Request::Open { key, channel_type, may_compress } => {
                self.opening.push_back(key);
                queue.open_channel(self.conn, channel_type, may_compress);
            }
            Request::Callbacks { key, callbacks } => {
                let shown = self.desk.set_callbacks(key, callbacks, self.received_bytes_max);
                if let Ok(Some((number, packets))) = shown {
                    queue.consume(self.conn, number, packets);
                }
            }
            Request::Rekey => queue.rekey(self.conn),
            Request::Dump => self.desk.tell_dumps(self.dumps()),
            Request::Close { code, .. } => self.begin_to_close(now, code),
            Request::Abort => {
                self.end = Some(Why::Aborted);
                queue.send(Message::marker(self.conn, kind::ABORT));
            }
            // Nothing comes compressed.
            Request::Broken => {}
        }
    }

    /// What is known of channels here; the rest the dataplane tells (`ringway ctl streams`).
    fn dumps(&self) -> Vec<ChannelDump> {
        let dump = |lane: &crate::stream::lane::Lane| ChannelDump {
            channel: lane.number,
            is_open: lane.is_open,
            is_shut: lane.is_closed,
            unconsumed: lane.partial.packets + lane.to_consume,
            ..ChannelDump::default()
        };
        self.desk.lanes.values().map(dump).collect()
    }

    fn begin_to_close(&mut self, now: Instant, code: Code) {
        let until = now.after_ns(self.close_timeout_ns);
        self.closing.get_or_insert(Closing { code, until, said: false });
    }

    /// Says goodbye once all has been sent, or it takes too long; and no longer waits for the peer's when that
    /// does.
    fn look_at_times(&mut self, queue: &mut Queue, now: Instant) {
        let idle = self.idle_ns.is_some_and(|idle| now.ns_since(self.active_at) >= idle);
        if idle && self.closing.is_none() {
            self.begin_to_close(now, Code::Timeout);
        }
        let is_sent = self.desk.is_sent();
        let Some(closing) = &mut self.closing else { return };
        let is_late = now >= closing.until;
        if !closing.said && (is_sent || is_late) {
            closing.said = true;
            closing.until = now.after_ns(self.close_timeout_ns);
            queue.goodbye(self.conn, closing.code);
        } else if closing.said && is_late && self.end.is_none() {
            self.end = Some(Why::Connection("the peer took too long to close".to_owned()));
            queue.send(Message::marker(self.conn, kind::ABORT));
        }
    }

    /// The connection is gone.
    pub(super) fn close(mut self) {
        let why = match (self.end.take(), self.peer_code, &self.closing) {
            (Some(why), ..) => why,
            (None, Some(code), _) => Why::Cause(Cause::Closed(code)),
            (None, None, Some(closing)) if closing.said => Why::Cause(Cause::Closed(closing.code)),
            _ => Why::Connection("the peer ended it without a goodbye".to_owned()),
        };
        self.end(why);
    }

    /// It is over, for this reason.
    pub(super) fn end(mut self, why: Why) {
        let end = self.end_of(&why);
        self.desk.exchange(self.statistics, Some(|| end));
        self.desk.notify();
        self.desk.shared.lock().is_gone = true;
        self.desk.shared.announce();
    }

    fn end_of(&self, why: &Why) -> End {
        End {
            address: self.address.clone(),
            peer: Some(self.peer),
            own: self.own,
            was_connected: true,
            why: why.clone(),
            text: String::new(),
        }
    }
}

/// How a stream's turn ended.
pub(super) enum Turn {
    /// Whoever wants something next says so.
    Rests,
    /// It needs a slot.
    Starves,
    /// There is more to do.
    GoesOn,
}

/// What became of a channel's turn.
enum Sent {
    /// A message went, or waits to, and there may be more.
    One,
    /// It has nothing to say, or no room.
    Nothing,
    /// There is no slot now.
    NoSlot,
}
