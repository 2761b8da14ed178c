//! What the driver and the program tell each other, once a round and under their lock.

use std::sync::Arc;
use std::time::Instant as Wall;

use super::Driver;
use crate::proto::stream::{Code, Event};
use crate::stream::callbacks::Callbacks;
use crate::stream::lane::{Lane, Notice};
use crate::stream::session::{Session, SessionId};
use crate::stream::state::{Key, Request, State};
use crate::time::Instant;

/// Where the keys of channels begin that the peer opened; the program counts its own from 1.
const PEERS: Key = 1 << 63;

/// What the program is to be told.
pub(in crate::stream) enum News {
    Opened {
        key: Key,
        number: u16,
    },
    Refused {
        key: Key,
        code: Code,
    },
    /// The peer opened one.
    Offered {
        key: Key,
        number: u16,
        channel_type: u8,
    },
    Message {
        key: Key,
        bytes: Vec<u8>,
        packets: u32,
    },
    Withheld {
        key: Key,
        withheld: bool,
    },
    /// Messages of so many bytes are sealed.
    Sent {
        key: Key,
        messages: usize,
        bytes: usize,
    },
    Shut {
        key: Key,
    },
    Closed {
        key: Key,
    },
    Closing,
    Connected(Box<Session>),
    Active,
}

impl Driver {
    /// Hands over what is new and takes what the program wants; whether that was anything. Where it was
    /// not, whoever wants something next rings.
    pub(super) fn exchange(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let is_new = !self.news.is_empty() || self.end.is_some();
        let news = std::mem::take(&mut self.news);
        for news in news {
            self.tell(&mut state, news);
        }
        state.statistics = self.connection.statistics();
        if let Some(why) = &self.end {
            let end = self.end_of(why);
            state.end.get_or_insert_with(|| Arc::new(end));
            state.session.iter_mut().for_each(|session| session.is_active = false);
        }
        let requests = std::mem::take(&mut state.requests);
        let has_work = !requests.is_empty() || !state.touched.is_empty();
        for key in std::mem::take(&mut state.touched) {
            self.take(&mut state, key);
        }
        state.is_sleeping = !has_work;
        let is_decided = state.session.is_some() || state.end.is_some();
        let mut dumped = false;
        for request in requests {
            dumped |= self.serve(&mut state, request);
        }
        drop(state);
        if is_new || dumped {
            shared.announce();
        }
        if is_decided && let Some(call) = self.on_decided.take() {
            call();
        }
        self.notify();
        has_work
    }

    /// Calls those who want to be called, now that what they are told of is there.
    fn notify(&mut self) {
        for (key, notice) in std::mem::take(&mut self.notices) {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.notify(notice);
            }
        }
        for mut lane in std::mem::take(&mut self.parting) {
            lane.notify(Notice::Readable);
        }
    }

    fn tell(&self, state: &mut State, news: News) {
        match news {
            News::Opened { key, number } => {
                let channel = state.channel(key);
                (channel.is_open, channel.number) = (true, number);
            }
            News::Refused { key, code } => {
                let channel = state.channel(key);
                channel.refused = Some(code);
                if channel.is_dropped {
                    state.channels.remove(&key);
                }
            }
            News::Offered { key, number, channel_type } => {
                let channel = state.channel(key);
                (channel.is_open, channel.number) = (true, number);
                channel.channel_type = channel_type;
                state.unaccepted.push_back(key);
            }
            News::Message { key, bytes, packets } => {
                if let Some(channel) = state.channels.get_mut(&key) {
                    channel.inbox.push_back((bytes, packets));
                }
            }
            News::Withheld { key, withheld } => {
                if let Some(channel) = state.channels.get_mut(&key) {
                    channel.is_withheld = withheld;
                }
            }
            News::Sent { key, messages, bytes } => {
                if let Some(channel) = state.channels.get_mut(&key) {
                    channel.unsent -= messages;
                    channel.unsent_bytes -= bytes;
                }
            }
            News::Shut { key } => {
                state.channels.entry(key).and_modify(|channel| channel.is_shut = true);
            }
            News::Closed { key } => {
                let Some(channel) = state.channels.get_mut(&key) else { return };
                (channel.is_shut, channel.is_over) = (true, true);
                // One that was never accepted has ended because its peer is done with it.
                let is_unaccepted = state.unaccepted.iter().position(|other| *other == key);
                if channel.is_dropped || is_unaccepted.is_some() {
                    state.channels.remove(&key);
                }
                is_unaccepted.and_then(|at| state.unaccepted.remove(at));
            }
            News::Closing => state.closing = true,
            News::Connected(session) => state.session = Some(*session),
            News::Active => {
                state.session.iter_mut().for_each(|session| session.last_activity = Wall::now());
            }
        }
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
            lane.to_consume += channel.inbox.drain(..).map(|(_, packets)| packets).sum::<u32>();
            lane.unread = 0;
        }
        self.line_up(key);
    }

    /// Does what was asked for; whether the program waits for it right now.
    fn serve(&mut self, state: &mut State, request: Request) -> bool {
        match request {
            Request::Open { key, channel_type, may_compress } => {
                self.open(key, channel_type, may_compress);
            }
            Request::Callbacks { key, callbacks } => self.set_callbacks(key, callbacks),
            Request::Rekey => {
                let numbers: Vec<u16> = self.keys.keys().copied().collect();
                for number in numbers.into_iter().chain([0]) {
                    // What is not encrypted has no key.
                    let _ = self.connection.rekey(number);
                }
            }
            Request::Dump => {
                state.dumps = self.connection.channels().collect();
                state.dumped += 1;
                return true;
            }
            Request::Close { code, text } => self.begin_to_close(code, text),
            Request::Abort => self.abort(),
        }
        false
    }

    fn open(&mut self, key: Key, channel_type: u8, may_compress: bool) {
        let now = self.clock.now();
        match self.connection.open_channel(now, channel_type, may_compress) {
            Ok(number) => self.begin(number, key, may_compress),
            Err(_) => self.news.push(News::Refused { key, code: Code::Limit }),
        }
    }

    fn begin(&mut self, number: u16, key: Key, may_compress: bool) {
        let may_compress = may_compress && self.connection.may_compress();
        self.keys.insert(number, key);
        self.lanes.insert(key, Lane::new(number, may_compress));
    }

    /// The peer opened a channel.
    fn offer(&mut self, number: u16, channel_type: u8) {
        self.offered += 1;
        let key = PEERS + self.offered;
        let may_compress = self.connection.channel(number).is_some_and(|dump| dump.may_compress);
        self.begin(number, key, may_compress);
        self.lanes.entry(key).and_modify(|lane| lane.is_open = true);
        self.news.push(News::Offered { key, number, channel_type });
    }

    fn set_callbacks(&mut self, key: Key, callbacks: Callbacks) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.callbacks = callbacks;
            self.line_up(key);
        }
    }

    pub(super) fn hear_events(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            self.on_event(now, event);
        }
    }

    pub(super) fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => self.on_connected(now),
            Event::Closing { .. } => {
                self.news.push(News::Closing);
                self.begin_to_close(Code::None, String::new());
                self.look_at_closing(now);
            }
            Event::Closed(cause) => self.end = self.end.take().or(Some(cause.into())),
            Event::ChannelOpened { channel: number, channel_type, by_peer: true } => {
                self.offer(number, channel_type);
            }
            Event::ChannelOpened { channel: number, .. } => {
                let Some(&key) = self.keys.get(&number) else { return };
                self.news.push(News::Opened { key, number });
                self.lanes.entry(key).and_modify(|lane| lane.is_open = true);
                self.line_up(key);
            }
            Event::ChannelRefused { channel, code } => {
                if let Some(key) = self.forget(channel) {
                    self.news.push(News::Refused { key, code });
                }
            }
            Event::ChannelWritable { channel } => {
                if let Some(&key) = self.keys.get(&channel) {
                    self.notices.push((key, Notice::Writable));
                    self.line_up(key);
                }
            }
            Event::ChannelShut { channel } => {
                if let Some(&key) = self.keys.get(&channel) {
                    self.news.push(News::Shut { key });
                    self.notices.push((key, Notice::Readable));
                }
            }
            Event::ChannelClosed { channel } => {
                if let Some(key) = self.forget(channel) {
                    self.news.push(News::Closed { key });
                }
            }
            // It was closed while the packet was under way.
            Event::ChannelError { .. } => {}
        }
    }

    fn on_connected(&mut self, now: Instant) {
        self.active_at = now;
        let (Some(peer), Some(id)) = (self.connection.peer(), self.connection.session_id()) else {
            return;
        };
        let created = Wall::now();
        self.news.push(News::Connected(Box::new(Session {
            id: SessionId(*id),
            peer: *peer,
            created,
            last_activity: created,
            is_active: true,
            is_encrypted: self.connection.is_encrypted(),
            may_compress: self.connection.may_compress(),
        })));
    }

    /// A channel is no more; its key.
    fn forget(&mut self, number: u16) -> Option<Key> {
        let key = self.keys.remove(&number)?;
        self.parting.extend(self.lanes.remove(&key));
        Some(key)
    }
}
