//! What the connection says has happened, and what follows from it.

use std::time::Instant as Wall;

use super::{Driver, News};
use crate::proto::stream::{Code, Event};
use crate::stream::lane::{Lane, Notice};
use crate::stream::session::{Session, SessionId};
use crate::stream::state::Key;
use crate::time::Instant;

/// Where the keys of channels begin that the peer opened; the program counts its own from 1.
const PEERS: Key = 1 << 63;

impl Driver {
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
            Event::ChannelOpened { channel, channel_type, by_peer: true } => {
                self.offer(channel, channel_type);
            }
            Event::ChannelOpened { channel, .. } => self.on_opened(channel),
            Event::ChannelRefused { channel, code } => {
                let key = self.forget(channel);
                self.news.extend(key.map(|key| News::Refused { key, code }));
            }
            Event::ChannelWritable { channel } => {
                if let Some(&key) = self.keys.get(&channel) {
                    self.notices.push((key, Notice::Writable));
                    self.line_up(key);
                }
            }
            Event::ChannelShut { channel } => self.on_shut(channel),
            Event::ChannelClosed { channel } => {
                let key = self.forget(channel);
                self.news.extend(key.map(|key| News::Closed { key }));
            }
            // It was closed while the packet was under way.
            Event::ChannelError { .. } => {}
        }
    }

    fn on_opened(&mut self, number: u16) {
        let Some(&key) = self.keys.get(&number) else { return };
        self.news.push(News::Opened { key, number });
        self.lanes.entry(key).and_modify(|lane| lane.is_open = true);
        self.line_up(key);
    }

    fn on_shut(&mut self, number: u16) {
        if let Some(&key) = self.keys.get(&number) {
            self.news.push(News::Shut { key });
            self.notices.push((key, Notice::Readable));
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

    pub(super) fn begin(&mut self, number: u16, key: Key, may_compress: bool) {
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
}
