//! What the driver and the program tell each other, once a round and under their lock.

use std::sync::Arc;

use super::{Driver, News};
use crate::proto::stream::{Cause, Code, Fault};
use crate::stream::callbacks::Callbacks;
use crate::stream::lane::Notice;
use crate::stream::state::{Key, Request, State};

impl Driver {
    /// Hands over what is new and takes what the program wants; whether that was anything. Where it was
    /// not, whoever wants something next rings.
    pub(super) fn exchange(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let is_new = !self.news.is_empty() || self.end.is_some();
        self.news.drain(..).for_each(|news| news.tell(&mut state));
        state.statistics = self.connection.statistics();
        self.tell_the_end(&mut state);
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

    fn tell_the_end(&self, state: &mut State) {
        let Some(why) = &self.end else { return };
        state.end.get_or_insert_with(|| Arc::new(self.end_of(why)));
        state.session.iter_mut().for_each(|session| session.is_active = false);
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
            Request::Broken => self.end_for(Fault::Compression),
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

    /// The peer has sent what breaks a rule that the connection does not know of.
    pub(super) fn end_for(&mut self, fault: Fault) {
        let now = self.clock.now();
        self.connection.close(now, fault.code(), fault.name());
        self.end = Some(Cause::Fault(fault).into());
    }

    fn set_callbacks(&mut self, key: Key, callbacks: Callbacks) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.callbacks = callbacks;
            self.line_up(key);
        }
    }
}
