//! Sessions of streams as the process at a port has them: the dataplane has greeted their peers, deciphers,
//! decompresses and puts in order; what comes here is what they say on their channels. Messages lie in the
//! slots that they came in, or are written into those that they go out of.

use std::collections::VecDeque;

use super::flow::Verdict;
use super::{Message, Queue};
use crate::limits::{PORT_CHANNEL_WINDOW_BUFS, PORT_SESSION_WINDOW_BUFS};
use crate::mem::{self, ConnId};
use crate::pipeline::chain::stream::{
    Agreed, CLOSING, CONNECTED, CONSUMED, ENDED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL,
    OPENED, OPENING, REFUSED, REKEY, SHUT, SHUT_CHANNEL, TORN,
};
use crate::port;
use crate::proto::stream::secure::identity::PublicKey;
use crate::proto::stream::{Code, HEADROOM_BYTES, TAILROOM_BYTES};

/// Most packets that one word says are done with.
const CONSUMED_MAX: u32 = 255;

/// What a message at a port before `protocol = "stream"` says of its connection, which is a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamWord {
    /// It has begun: the first that is heard of it.
    Connected {
        /// The key of the peer's node, which it has proved to own.
        peer: PublicKey,
        /// Its name.
        session_id: [u8; 16],
        /// Packets that the peer may send on a channel before [`Queue::consume`] lets it
        /// send more.
        window: u32,
        /// Whether packets are encrypted.
        encrypted: bool,
        /// Whether messages may be compressed.
        compressed: bool,
        /// Whether some may be lost.
        datagrams: bool,
    },
    /// The channel that the oldest [`Queue::open_channel`] not answered so is for; `None`: there can be none.
    Opening(Option<u16>),
    /// A channel is open: one that this process asked for, or the peer.
    Opened {
        /// Its number.
        channel: u16,
        /// What it is for.
        channel_type: u8,
    },
    /// The peer does not want a channel.
    Refused {
        /// Its number.
        channel: u16,
        /// Why.
        code: Code,
    },
    /// A message, or a piece of one, whose bytes are the [`Message`]'s. Once it is done with, the peer is
    /// to get credit for it: [`Queue::consume`].
    Message {
        /// The channel.
        channel: u16,
        /// The message begins with it.
        first: bool,
        /// It ends with it.
        last: bool,
        /// Packets of the peer that it stands for: 1, or, of messages that came in one packet, and of what comes in
        /// pieces because it fits no slot that this process may have, 0 of each but the last.
        packets: u32,
    },
    /// So many messages that were sent on a channel are out.
    Sent {
        /// The channel.
        channel: u16,
        /// How many.
        messages: u32,
    },
    /// The message that was coming in pieces on a channel never ends.
    Torn {
        /// The channel.
        channel: u16,
    },
    /// The peer says no more on a channel: shut it too when all is said.
    Shut {
        /// The channel.
        channel: u16,
    },
    /// A channel has ended both ways. Its number may be another's from now on.
    Ended {
        /// The channel.
        channel: u16,
    },
    /// The peer closes, and hears what is still to be said: close too when all is.
    Closing(Code),
    /// It is gone. The last that is heard of it.
    Closed,
}

impl Message {
    /// What it says of a session; `None`: nothing, as no message of another protocol does.
    pub fn stream_word(&self) -> Option<StreamWord> {
        let (low, high) = (self.meta as u16, self.meta >> 16);
        let channel = low;
        Some(match self.kind {
            _ if self.number != 0 => return None,
            MESSAGE => {
                let MessageMeta { channel, first, last } = MessageMeta::of_meta(self.meta);
                let packets = u32::from(self.meta & port::meta::GOES_ON == 0);
                StreamWord::Message { channel, first, last, packets }
            }
            CONNECTED => {
                let (peer, rest) = self.bytes().split_first_chunk()?;
                let (&session_id, rest) = rest.split_first_chunk()?;
                let (peer, window) = (PublicKey::from_bytes(*peer), *rest.first_chunk()?);
                let window = u32::from_le_bytes(window);
                let Agreed { encrypted, compressed, datagrams } = Agreed::of_meta(self.meta);
                StreamWord::Connected { peer, session_id, window, encrypted, compressed, datagrams }
            }
            OPENING => StreamWord::Opening((channel != 0).then_some(channel)),
            OPENED => StreamWord::Opened { channel, channel_type: high as u8 },
            REFUSED => StreamWord::Refused { channel, code: Code::from_wire(high as u16) },
            TORN => StreamWord::Torn { channel },
            SHUT => StreamWord::Shut { channel },
            ENDED => StreamWord::Ended { channel },
            CLOSING => StreamWord::Closing(Code::from_wire(low)),
            mem::kind::FLUSHED => StreamWord::Sent { channel, messages: high },
            mem::kind::CLOSED => StreamWord::Closed,
            _ => return None,
        })
    }
}

impl Queue {
    /// An empty message of a channel with room for `bytes`, which goes out from where it lies. `None` where
    /// so many messages of the channel, or of its session, are not out yet that another would wait
    /// ([`room_on`](Self::room_on)), or the dataplane has lent no such slot.
    pub fn alloc_message(&mut self, conn: ConnId, channel: u16, bytes: usize) -> Option<Message> {
        if self.room_on(conn, channel) == 0 {
            return None;
        }
        let mut message = self.alloc_any(conn, HEADROOM_BYTES + bytes + TAILROOM_BYTES)?;
        message.grow(HEADROOM_BYTES);
        message.advance(HEADROOM_BYTES);
        message.of_channel(channel);
        Some(message)
    }

    /// Bytes of the largest message that [`alloc_message`](Self::alloc_message) has room for.
    pub fn message_bytes_max(&self) -> usize {
        self.slot_bytes_max().saturating_sub(HEADROOM_BYTES + TAILROOM_BYTES)
    }

    /// Messages that may be sent on a channel before one has to wait for those before it to be out.
    pub fn room_on(&self, conn: ConnId, channel: u16) -> usize {
        self.flows.get(conn).map_or(PORT_CHANNEL_WINDOW_BUFS, |f| f.lanes.room(channel)) as usize
    }

    /// Opens a channel of a session. What comes of it is [`StreamWord::Opening`], which names it, and then
    /// [`StreamWord::Opened`] or [`StreamWord::Refused`].
    pub fn open_channel(&mut self, conn: ConnId, channel_type: u8, may_compress: bool) {
        self.say(conn, OPEN_CHANNEL, u32::from(channel_type) | u32::from(may_compress) << 8);
    }

    /// Says no more on a channel, once all before is said.
    pub fn shut_channel(&mut self, conn: ConnId, channel: u16) {
        self.say(conn, SHUT_CHANNEL, channel.into());
    }

    /// Lets the peer of a session send as many packets as the messages stood for that were taken off a channel.
    pub fn consume(&mut self, conn: ConnId, channel: u16, mut packets: u32) {
        while packets > 0 {
            let part = packets.min(CONSUMED_MAX);
            packets -= part;
            self.say(conn, CONSUMED, u32::from(channel) | part << 16);
        }
    }

    /// Has new keys taken for all channels of a session.
    pub fn rekey(&mut self, conn: ConnId) {
        self.say(conn, REKEY, 0);
    }

    /// Closes a session, once all before is said.
    pub fn goodbye(&mut self, conn: ConnId, code: Code) {
        self.say(conn, GOODBYE, code.to_wire().into());
    }

    fn say(&mut self, conn: ConnId, kind: u8, meta: u32) {
        let mut word = Message::marker(conn, kind);
        word.meta = meta;
        self.send(word);
    }

    /// So many messages of a channel are out: as many more may follow.
    pub(super) fn on_flushed(&mut self, conn: ConnId, meta: u32) {
        let Some(flow) = self.flows.get_mut(conn) else { return };
        flow.lanes.credit(meta as u16, meta >> 16);
        while let Some(message) = self.flows.get_mut(conn).and_then(|flow| flow.lanes.next_off()) {
            self.post(message);
        }
    }
}

impl Message {
    /// Makes it a message of a channel.
    pub fn of_channel(&mut self, channel: u16) {
        (self.number, self.kind) = (0, MESSAGE);
        self.meta = MessageMeta::whole(channel).to_meta();
    }
}

/// One channel of which something is not out.
struct Lane {
    channel: u16,
    /// Messages that the dataplane has.
    in_flight: u32,
    /// Those that wait, and what follows them.
    waiting: u32,
}

/// What a process has sent on the channels of one session, and is not out yet.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Over all of them.
    in_flight: u32,
    /// What has to wait until there is less, of all channels. Their slots bound them.
    backlog: VecDeque<Message>,
}

impl Lanes {
    pub const fn new() -> Self {
        Self { lanes: Vec::new(), in_flight: 0, backlog: VecDeque::new() }
    }

    pub fn clear(&mut self) {
        self.lanes.clear();
        self.backlog.clear();
        self.in_flight = 0;
    }

    fn lane(&mut self, channel: u16) -> &mut Lane {
        let at = self.lanes.binary_search_by_key(&channel, |lane| lane.channel);
        let at = at.unwrap_or_else(|at| {
            self.lanes.insert(at, Lane { channel, in_flight: 0, waiting: 0 });
            at
        });
        &mut self.lanes[at]
    }

    fn seen(&self, channel: u16) -> (u32, u32) {
        let at = self.lanes.binary_search_by_key(&channel, |lane| lane.channel);
        at.map_or((0, 0), |at| (self.lanes[at].in_flight, self.lanes[at].waiting))
    }

    /// Messages that may be sent on a channel before one has to wait.
    pub fn room(&self, channel: u16) -> u32 {
        let (in_flight, waiting) = self.seen(channel);
        if waiting > 0 {
            return 0;
        }
        let of_channel = PORT_CHANNEL_WINDOW_BUFS.saturating_sub(in_flight);
        of_channel.min(PORT_SESSION_WINDOW_BUFS.saturating_sub(self.in_flight))
    }

    /// What is to be done with what the program says. A message that may go is counted.
    pub fn look_at(&mut self, message: &Message) -> Verdict {
        let channel = message.meta as u16;
        match message.kind {
            MESSAGE if self.room(channel) == 0 => return Verdict::Waits,
            MESSAGE => self.count(channel),
            SHUT_CHANNEL if self.seen(channel).1 > 0 => return Verdict::Waits,
            GOODBYE if !self.backlog.is_empty() => return Verdict::Waits,
            _ => {}
        }
        Verdict::Goes
    }

    fn count(&mut self, channel: u16) {
        self.lane(channel).in_flight += 1;
        self.in_flight += 1;
    }

    /// Keeps what has to wait.
    pub fn put_off(&mut self, message: Message) {
        if message.kind != GOODBYE {
            self.lane(message.meta as u16).waiting += 1;
        }
        self.backlog.push_back(message);
    }

    /// So many messages of a channel are out.
    pub fn credit(&mut self, channel: u16, messages: u32) {
        self.in_flight = self.in_flight.saturating_sub(messages);
        let lane = self.lane(channel);
        lane.in_flight = lane.in_flight.saturating_sub(messages);
        if lane.in_flight == 0 && lane.waiting == 0 {
            self.lanes.retain(|lane| lane.channel != channel);
        }
    }

    /// The first of what had to wait that may go now.
    pub fn next_off(&mut self) -> Option<Message> {
        let at = (0..self.backlog.len()).find(|&at| self.may_go(at))?;
        let message = self.backlog.remove(at)?;
        if message.kind != GOODBYE {
            let channel = message.meta as u16;
            self.lane(channel).waiting -= 1;
            if message.kind == MESSAGE {
                self.count(channel);
            }
        }
        Some(message)
    }

    /// Whether what waits at this place is the first of its channel, and there is room for it.
    fn may_go(&self, at: usize) -> bool {
        let message = &self.backlog[at];
        let channel = message.meta as u16;
        if message.kind == GOODBYE {
            return at == 0;
        }
        let is_first = !self.backlog.iter().take(at).any(|before| before.meta as u16 == channel);
        let full = self.seen(channel).0 >= PORT_CHANNEL_WINDOW_BUFS
            || self.in_flight >= PORT_SESSION_WINDOW_BUFS;
        is_first && (message.kind != MESSAGE || !full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::new(0, 3, 7);

    fn message(channel: u16) -> Message {
        let mut message = Message::marker(CONN, MESSAGE);
        message.of_channel(channel);
        message
    }

    fn word(kind: u8, channel: u16) -> Message {
        let mut word = Message::marker(CONN, kind);
        word.meta = channel.into();
        word
    }

    fn send(lanes: &mut Lanes, message: Message) -> bool {
        let goes = lanes.look_at(&message) == Verdict::Goes;
        if !goes {
            lanes.put_off(message);
        }
        goes
    }

    #[test]
    fn a_channel_waits_at_its_window_and_leaves_the_others_theirs_d_21() {
        let mut lanes = Lanes::new();
        for n in 0..PORT_CHANNEL_WINDOW_BUFS {
            assert_eq!(lanes.room(1), PORT_CHANNEL_WINDOW_BUFS - n);
            assert!(send(&mut lanes, message(1)));
        }
        assert!(!send(&mut lanes, message(1)) && !send(&mut lanes, word(SHUT_CHANNEL, 1)));
        assert_eq!((lanes.room(1), lanes.room(2)), (0, PORT_CHANNEL_WINDOW_BUFS));
        assert!(send(&mut lanes, message(2)));
        assert!(lanes.next_off().is_none());
        lanes.credit(1, 1);
        assert_eq!(lanes.room(1), 0, "behind the one that waits");
        assert_eq!(lanes.next_off().unwrap().kind, MESSAGE);
        assert_eq!(lanes.next_off().unwrap().kind, SHUT_CHANNEL);
        assert!(lanes.next_off().is_none());
    }

    #[test]
    fn a_session_has_a_window_over_all_its_channels() {
        let mut lanes = Lanes::new();
        for n in 0..PORT_SESSION_WINDOW_BUFS {
            assert!(send(&mut lanes, message(n as u16)));
        }
        assert!(!send(&mut lanes, message(5000)) && !send(&mut lanes, message(5001)));
        assert!(!send(&mut lanes, word(GOODBYE, 0)), "all before it is said first");
        lanes.credit(0, 1);
        assert_eq!(lanes.next_off().unwrap().meta as u16, 5000);
        assert!(lanes.next_off().is_none());
        lanes.credit(5000, 1);
        assert_eq!(lanes.next_off().unwrap().meta as u16, 5001);
        assert_eq!(lanes.next_off().unwrap().kind, GOODBYE);
    }

    #[test]
    fn every_word_of_the_dataplane_is_understood_and_no_other() {
        let mut heard = message(7);
        assert_eq!(
            heard.stream_word(),
            Some(StreamWord::Message { channel: 7, first: true, last: true, packets: 1 })
        );
        heard.number = 1;
        assert_eq!(heard.stream_word(), None, "the head of a request");
        let said = |kind, meta| {
            let mut word = Message::marker(CONN, kind);
            word.meta = meta;
            word.stream_word()
        };
        assert_eq!(said(OPENING, 0), Some(StreamWord::Opening(None)));
        assert_eq!(said(OPENING, 4), Some(StreamWord::Opening(Some(4))));
        let opened = StreamWord::Opened { channel: 4, channel_type: 9 };
        assert_eq!(said(OPENED, 9 << 16 | 4), Some(opened));
        let sent = StreamWord::Sent { channel: 4, messages: 32 };
        assert_eq!(said(mem::kind::FLUSHED, 32 << 16 | 4), Some(sent));
        assert_eq!(said(CONNECTED, 0), None, "it has no card");
        assert_eq!(said(mem::kind::DATA, 0), None);
    }
}
