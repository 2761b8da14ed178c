//! What stands between the program's threads and whoever drives a stream: its channels as the driver knows
//! them, what is new for the program, and what the program wants.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::callbacks::Callbacks;
use super::error::End;
use super::lane::{Arrived, Lane, Notice};
use super::news::News;
use super::state::{Key, Request, Shared, State};
use crate::limits::STREAM_READ_BYTES;
use crate::proto::stream::{ChannelDump, Statistics};

/// Where the keys of channels begin that the peer opened; the program counts its own from 1.
const PEERS: Key = 1 << 63;

pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: HashMap<Key, Lane>,
    pub(super) keys: HashMap<u16, Key>,
    /// Channels with something to send and credit for it, in turn.
    pub(super) turns: VecDeque<Key>,
    pub(super) news: Vec<News>,
    pub(super) notices: Vec<(Key, Notice)>,
    /// Channels that have ended, until their callbacks were told.
    parting: Vec<Lane>,
    /// Channels that the peer has opened.
    offered: u64,
}

/// What a callback has left of a message.
pub(super) enum Shown {
    /// All or some of it, which waits to be received.
    Rest(Arrived),
    /// Nothing: so many packets of a channel are done with.
    Done { number: u16, packets: u32 },
    /// It does not decompress.
    Broken,
    /// The channel is gone.
    Nobody,
}

/// What the program wants.
pub(super) struct Wishes {
    pub(super) requests: Vec<Request>,
    /// Channels with something to send, or to close, or with credit to give.
    pub(super) touched: Vec<Key>,
    /// There is a stream, or there will be none.
    pub(super) is_decided: bool,
}

impl Wishes {
    /// Whether there are none: whoever has one next rings.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.touched.is_empty()
    }
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lanes: HashMap::new(),
            keys: HashMap::new(),
            turns: VecDeque::new(),
            news: Vec::new(),
            notices: Vec::new(),
            parting: Vec::new(),
            offered: 0,
        }
    }

    /// Hands over what is new, and takes what the program wants.
    pub(super) fn exchange(
        &mut self,
        statistics: Statistics,
        end: Option<impl FnOnce() -> End>,
    ) -> Wishes {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let is_new = !self.news.is_empty() || end.is_some();
        self.news.drain(..).for_each(|news| news.tell(&mut state));
        state.statistics = statistics;
        if let Some(end) = end {
            state.end.get_or_insert_with(|| Arc::new(end()));
            state.session.iter_mut().for_each(|session| session.is_active = false);
        }
        let requests = std::mem::take(&mut state.requests);
        let touched = std::mem::take(&mut state.touched);
        touched.iter().for_each(|&key| self.take(&mut state, key));
        let is_decided = state.session.is_some() || state.end.is_some();
        let wishes = Wishes { requests, touched, is_decided };
        state.is_sleeping = wishes.is_empty();
        drop(state);
        if is_new {
            shared.announce();
        }
        wishes
    }

    /// Takes what a channel of the program has for us.
    fn take(&mut self, state: &mut State, key: Key) {
        let Some(channel) = state.channels.get_mut(&key) else { return };
        channel.untouch();
        let Some(lane) = self.lanes.get_mut(&key) else {
            // Gone, or refused before it was open.
            if channel.is_dropped {
                state.channels.remove(&key);
            }
            return;
        };
        lane.queue.append(&mut channel.outgoing);
        lane.to_consume += std::mem::take(&mut channel.consumed);
        lane.unread = channel.inbox.len();
        lane.wants_close |= channel.is_closed;
        if channel.is_dropped && !lane.is_dropped {
            lane.is_dropped = true;
            lane.to_consume += channel.inbox.drain(..).map(|arrived| arrived.packets).sum::<u32>();
            lane.unread = 0;
        }
    }

    /// Calls those who want to be called, now that what they are told of is there.
    pub(super) fn notify(&mut self) {
        for (key, notice) in std::mem::take(&mut self.notices) {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.notify(notice);
            }
        }
        for mut lane in std::mem::take(&mut self.parting) {
            lane.notify(Notice::Readable);
        }
    }

    /// Answers who waits for how the channels stand.
    pub(super) fn tell_dumps(&self, dumps: Vec<ChannelDump>) {
        let mut state = self.shared.lock();
        state.dumps = dumps;
        state.dumped += 1;
        drop(state);
        self.shared.announce();
    }

    /// A channel has a number now.
    pub(super) fn begin(&mut self, number: u16, key: Key, may_compress: bool) {
        self.keys.insert(number, key);
        self.lanes.insert(key, Lane::new(number, may_compress));
    }

    /// The peer opened a channel.
    pub(super) fn offer(&mut self, number: u16, channel_type: u8, may_compress: bool) {
        self.offered += 1;
        let key = PEERS + self.offered;
        self.begin(number, key, may_compress);
        self.lanes.entry(key).and_modify(|lane| lane.is_open = true);
        self.news.push(News::Offered { key, number, channel_type });
    }

    /// A channel that was asked for is open.
    pub(super) fn opened(&mut self, number: u16) -> Option<Key> {
        let key = *self.keys.get(&number)?;
        self.news.push(News::Opened { key, number });
        self.lanes.entry(key).and_modify(|lane| lane.is_open = true);
        Some(key)
    }

    /// The peer says no more on a channel.
    pub(super) fn shut(&mut self, number: u16) {
        if let Some(&key) = self.keys.get(&number) {
            self.news.push(News::Shut { key });
            self.notices.push((key, Notice::Readable));
        }
    }

    /// A channel is no more; its key.
    pub(super) fn forget(&mut self, number: u16) -> Option<Key> {
        let key = self.keys.remove(&number)?;
        self.parting.extend(self.lanes.remove(&key));
        Some(key)
    }

    /// Gives a channel its turn among those that send, if it has something to say.
    pub(super) fn line_up(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.has_wishes() && !std::mem::replace(&mut lane.is_in_turn, true) {
            self.turns.push_back(key);
        }
    }

    /// Whether nothing of the program waits to be sent.
    pub(super) fn is_sent(&self) -> bool {
        self.lanes.values().all(|lane| !lane.has_messages())
    }

    /// A message is whole, and for the program.
    pub(super) fn deliver(&mut self, key: Key, message: Arrived) {
        self.lanes.entry(key).and_modify(|lane| lane.unread += 1);
        self.news.push(News::Message { key, message });
        self.notices.push((key, Notice::Readable));
    }

    /// Shows a message to a callback, if the channel has one.
    pub(super) fn show(&mut self, key: Key, message: Arrived, bytes_max: usize) -> Shown {
        let Some(lane) = self.lanes.get_mut(&key) else { return Shown::Nobody };
        let Some(call) = &mut lane.callbacks.on_packet_in else { return Shown::Rest(message) };
        let packets = message.packets;
        let Some(mut bytes) = message.open(bytes_max) else { return Shown::Broken };
        let done = call(&bytes).min(bytes.len());
        bytes.drain(..done);
        if bytes.is_empty() {
            return Shown::Done { number: lane.number, packets };
        }
        Shown::Rest(Arrived { bytes, compressed: false, packets })
    }

    /// What is called for a channel from here on. What came before is shown too; how many packets of it are done
    /// with, and the channel's number. `Err`: something of it does not decompress.
    pub(super) fn set_callbacks(
        &mut self,
        key: Key,
        callbacks: Callbacks,
        bytes_max: usize,
    ) -> Result<Option<(u16, u32)>, ()> {
        let Some(lane) = self.lanes.get_mut(&key) else { return Ok(None) };
        let number = lane.number;
        lane.callbacks = callbacks;
        self.line_up(key);
        let waiting = std::mem::take(&mut self.shared.lock().channel(key).inbox);
        let (mut rest, mut done) = (VecDeque::new(), 0);
        for message in waiting {
            match self.show(key, message, bytes_max) {
                Shown::Rest(message) => rest.push_back(message),
                Shown::Done { packets, .. } => done += packets,
                Shown::Broken => return Err(()),
                Shown::Nobody => {}
            }
        }
        if !rest.is_empty() {
            self.notices.push((key, Notice::Readable));
        }
        self.lanes.entry(key).and_modify(|lane| lane.unread = rest.len());
        self.shared.lock().channel(key).inbox = rest;
        Ok((done > 0).then_some((number, done)))
    }

    /// Packets that the peer of a channel may be given credit for, with its number; notes where some of it
    /// waits for the program.
    pub(super) fn take_credit(&mut self, key: Key) -> Option<(u16, u32)> {
        let lane = self.lanes.get_mut(&key)?;
        let consumed = lane.take_consumed();
        let (number, withheld) = (lane.number, lane.partial.packets > 0);
        if std::mem::replace(&mut lane.is_withheld, withheld) != withheld {
            self.news.push(News::Withheld { key, withheld });
        }
        (consumed > 0).then_some((number, consumed))
    }

    /// Lets a callback write the next message of a channel, where there is credit for one.
    pub(super) fn ask_for_message(&mut self, key: Key, bytes_max: usize) -> Option<Vec<u8>> {
        let call = self.lanes.get_mut(&key)?.callbacks.on_packet_out.as_mut()?;
        let mut bytes = vec![0; STREAM_READ_BYTES.min(bytes_max)];
        let written = call(&mut bytes).min(bytes.len());
        bytes.truncate(written);
        Some(bytes).filter(|_| written > 0)
    }

    /// A message, or a piece of one, has moved.
    pub(super) fn note_active(&mut self) {
        if !matches!(self.news.last(), Some(News::Active | News::Sent { .. })) {
            self.news.push(News::Active);
        }
    }

    /// Messages of so many bytes have gone.
    pub(super) fn note_sent(&mut self, key: Key, more: usize, more_bytes: usize) {
        if let Some(News::Sent { key: last, messages, bytes }) = self.news.last_mut()
            && *last == key
        {
            *messages += more;
            *bytes += more_bytes;
            return;
        }
        self.news.push(News::Sent { key, messages: more, bytes: more_bytes });
    }

    /// Nothing can be sent on a channel any more.
    pub(super) fn give_up(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let lost = lane.queue.drain(..).map(|bytes| bytes.len());
        let current = lane.current.take().and_then(|current| current.sent_bytes);
        let lost: Vec<usize> = lost.chain(current).collect();
        self.note_sent(key, lost.len(), lost.iter().sum());
    }
}
