//! From the link to the program.

use super::{Driver, News};
use crate::limits::STREAM_READ_TURN_BYTES;
use crate::proto::stream::{Data, Fault, Received};
use crate::stream::lane::{Arrived, Lane, Notice};
use crate::stream::reader::Filled;
use crate::stream::state::Key;
use crate::time::Instant;

impl Driver {
    /// Takes what has come, as far as its turn goes.
    pub(super) fn receive(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        let mut budget = STREAM_READ_TURN_BYTES;
        loop {
            self.handle_packets(now);
            if budget == 0 || self.connection.is_over() || !self.connection.may_receive() {
                return Ok(());
            }
            match self.reader.fill(&mut self.link) {
                Ok(Filled::Bytes(count)) => budget = budget.saturating_sub(count.max(64)),
                Ok(Filled::Nothing) => return Ok(()),
                Ok(Filled::End) => return Err("the peer ended it without a goodbye".to_owned()),
                Err(why) if !self.link.is_refusal(&why) => return Err(why.to_string()),
                Err(_) if self.connection.peer().is_none() => {
                    return Err("nobody listens there".to_owned());
                }
                // Whoever was there may come back.
                Err(_) => return Ok(()),
            }
        }
    }

    fn handle_packets(&mut self, now: Instant) {
        while self.connection.may_receive() && !self.connection.is_over() {
            let Self { reader, connection, lanes, keys, .. } = self;
            let (received, packet) = match reader.next() {
                Ok(Some(packet)) => (connection.handle_packet(now, packet), packet),
                Ok(None) => return,
                Err(_) => {
                    // The connection says so itself when it is handed what there is.
                    let _ = connection.handle_packet(now, reader.rest());
                    return self.hear_events(now);
                }
            };
            match received {
                Ok(Received::Data(data)) => {
                    let Some(&key) = keys.get(&data.channel) else { continue };
                    let message = lanes.get_mut(&key).and_then(|lane| add(lane, &data, packet));
                    self.on_data(now, key, message);
                }
                Ok(Received::Torn { channel }) => {
                    let lane = keys.get(&channel).and_then(|key| lanes.get_mut(key));
                    let packets = lane.map_or(0, |lane| lane.partial.tear());
                    connection.consume(now, channel, packets);
                }
                // Events tell the rest.
                Ok(Received::Consumed | Received::Dropped(_)) | Err(_) => self.hear_events(now),
            }
        }
    }

    /// A piece has come on a channel, and with it perhaps the end of a message.
    fn on_data(&mut self, now: Instant, key: Key, message: Option<Arrived>) {
        self.active_at = now;
        if !matches!(self.news.last(), Some(News::Active)) {
            self.news.push(News::Active);
        }
        self.credit(now, key);
        if let Some(message) = message {
            self.deliver(now, key, message);
        }
    }

    /// Gives the peer credit for what is done with, and notes where some waits for the program.
    pub(super) fn credit(&mut self, now: Instant, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let consumed = lane.take_consumed();
        if consumed > 0 {
            self.connection.consume(now, lane.number, consumed);
        }
        let withheld = lane.partial.packets > 0;
        if std::mem::replace(&mut lane.is_withheld, withheld) != withheld {
            self.news.push(News::Withheld { key, withheld });
        }
    }

    /// A message is whole.
    fn deliver(&mut self, now: Instant, key: Key, message: Arrived) {
        let Some(lane) = self.lanes.get(&key) else { return };
        let message = match lane.callbacks.on_packet_in {
            None => message,
            Some(_) => match self.show(now, key, message) {
                Some(rest) => rest,
                None => return,
            },
        };
        self.lanes.entry(key).and_modify(|lane| lane.unread += 1);
        self.news.push(News::Message { key, message });
        self.notices.push((key, Notice::Readable));
    }

    /// Shows a message to a callback; what that leaves of it.
    fn show(&mut self, now: Instant, key: Key, message: Arrived) -> Option<Arrived> {
        let packets = message.packets;
        let Some(mut bytes) = message.open(self.config.message_bytes_max as usize) else {
            self.end_for(Fault::Compression);
            return None;
        };
        let lane = self.lanes.get_mut(&key)?;
        let call = lane.callbacks.on_packet_in.as_mut()?;
        let done = call(&bytes).min(bytes.len());
        bytes.drain(..done);
        if bytes.is_empty() {
            self.connection.consume(now, lane.number, packets);
            return None;
        }
        Some(Arrived { bytes, compressed: false, packets })
    }
}

/// Adds a piece to what a channel has; the message, once it is whole and somebody wants it.
fn add(lane: &mut Lane, data: &Data, packet: &[u8]) -> Option<Arrived> {
    if lane.is_dropped {
        lane.to_consume += 1 + lane.partial.tear();
        return None;
    }
    if data.first {
        // One that had begun before it never ends.
        lane.to_consume += lane.partial.tear();
    }
    lane.partial.add(data, packet)
}
