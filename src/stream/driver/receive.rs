//! From the link to the program.

use super::{Driver, News};
use crate::limits::STREAM_READ_TURN_BYTES;
use crate::proto::stream::compress::{decompress, original_bytes};
use crate::proto::stream::{Cause, Data, Fault, Received};
use crate::stream::lane::{Lane, Notice};
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
            let Self { reader, connection, lanes, keys, news, .. } = self;
            let packet = match reader.next() {
                Ok(Some(packet)) => packet,
                Ok(None) => return,
                Err(_) => {
                    // The connection says so itself when it is handed what there is.
                    let _ = connection.handle_packet(now, reader.rest());
                    return self.hear_events(now);
                }
            };
            match connection.handle_packet(now, packet) {
                Ok(Received::Data(data)) => {
                    self.active_at = now;
                    let Some(&key) = keys.get(&data.channel) else { continue };
                    let Some(lane) = lanes.get_mut(&key) else { continue };
                    if !matches!(news.last(), Some(News::Active)) {
                        news.push(News::Active);
                    }
                    let message = add(lane, &data, packet);
                    self.credit(now, key);
                    if let Some((bytes, packets)) = message {
                        self.deliver(now, key, (bytes, packets), data.compressed);
                    }
                }
                Ok(Received::Torn { channel }) => {
                    let Some(lane) = keys.get(&channel).and_then(|key| lanes.get_mut(key)) else {
                        continue;
                    };
                    let packets = lane.partial.tear();
                    connection.consume(now, channel, packets);
                }
                // Events tell the rest.
                Ok(Received::Consumed | Received::Dropped(_)) | Err(_) => self.hear_events(now),
            }
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

    fn decompress(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let cap = self.config.message_bytes_max as usize;
        let mut original = vec![0; original_bytes(bytes, cap).ok()?];
        decompress(bytes, cap, &mut original).ok()?;
        Some(original)
    }

    /// The peer has sent what does not decompress.
    fn end_for_compression(&mut self, now: Instant) {
        let fault = Fault::Compression;
        self.connection.close(now, fault.code(), fault.name());
        self.end = Some(Cause::Fault(fault).into());
    }

    /// A message is whole.
    fn deliver(&mut self, now: Instant, key: Key, message: (Vec<u8>, u32), compressed: bool) {
        let (mut bytes, packets) = message;
        if compressed {
            match self.decompress(&bytes) {
                Some(original) => bytes = original,
                None => return self.end_for_compression(now),
            }
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if let Some(call) = &mut lane.callbacks.on_packet_in {
            let done = call(&bytes).min(bytes.len());
            bytes.drain(..done);
            if bytes.is_empty() {
                self.connection.consume(now, lane.number, packets);
                return;
            }
        }
        lane.unread += 1;
        self.news.push(News::Message { key, bytes, packets });
        self.notices.push((key, Notice::Readable));
    }
}

/// Adds a piece to what a channel has; the message, once it is whole and somebody wants it.
fn add(lane: &mut Lane, data: &Data, packet: &[u8]) -> Option<(Vec<u8>, u32)> {
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
