//! What the connection says has happened, and what follows from it.

use std::time::Instant as Wall;

use super::Driver;
use crate::proto::stream::{Code, Event};
use crate::stream::lane::Notice;
use crate::stream::news::News;
use crate::stream::session::{Session, SessionId};
use crate::time::Instant;

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
                self.desk.news.push(News::Closing);
                self.begin_to_close(Code::None, String::new());
                self.look_at_closing(now);
            }
            Event::Closed(cause) => self.end = self.end.take().or(Some(cause.into())),
            Event::ChannelOpened { channel, channel_type, by_peer: true } => {
                let dump = self.connection.channel(channel);
                let may_compress =
                    dump.is_some_and(|dump| dump.may_compress) && self.connection.may_compress();
                self.desk.offer(channel, channel_type, may_compress);
            }
            Event::ChannelOpened { channel, .. } => {
                if let Some(key) = self.desk.opened(channel) {
                    self.line_up(key);
                }
            }
            Event::ChannelRefused { channel, code } => {
                let key = self.desk.forget(channel);
                self.desk.news.extend(key.map(|key| News::Refused { key, code }));
            }
            Event::ChannelWritable { channel } => {
                if let Some(&key) = self.desk.keys.get(&channel) {
                    self.desk.notices.push((key, Notice::Writable));
                    self.line_up(key);
                }
            }
            Event::ChannelShut { channel } => self.desk.shut(channel),
            Event::ChannelClosed { channel } => {
                let key = self.desk.forget(channel);
                self.desk.news.extend(key.map(|key| News::Closed { key }));
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
        self.desk.news.push(News::Connected(Box::new(Session {
            id: SessionId(*id),
            peer: *peer,
            created,
            last_activity: created,
            is_active: true,
            is_encrypted: self.connection.is_encrypted(),
            may_compress: self.connection.may_compress(),
            is_datagram: self.connection.is_datagram(),
        })));
    }
}
