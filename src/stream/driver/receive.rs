//! From the link to the program.

use super::Driver;
use crate::limits::STREAM_READ_TURN_BYTES;
use crate::proto::stream::{Data, Fault, Received};
use crate::stream::desk::{Desk, Shown};
use crate::stream::lane::{Arrived, Part};
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
            let Self { reader, connection, arrived, desk: Desk { lanes, keys, .. }, .. } = self;
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
                    let Data { first, last, compressed, .. } = data;
                    let mut messages = data.messages(packet);
                    while let Some(at) = messages.next() {
                        // The packet is consumed with the last of them.
                        let packets = u32::from(messages.len() == 0);
                        let part = Part { bytes: &packet[at], first, last, compressed, packets };
                        arrived.extend(lanes.get_mut(&key).and_then(|lane| lane.add(&part)));
                    }
                    self.on_data(now, key);
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

    /// A packet has come on a channel, and with it perhaps the end of a message, or of several.
    fn on_data(&mut self, now: Instant, key: Key) {
        self.active_at = now;
        self.desk.note_active();
        self.credit(now, key);
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.drain(..).for_each(|message| self.deliver(now, key, message));
        self.arrived = arrived;
    }

    /// Gives the peer credit for what is done with, and notes where some waits for the program.
    pub(super) fn credit(&mut self, now: Instant, key: Key) {
        if let Some((number, packets)) = self.desk.take_credit(key) {
            self.connection.consume(now, number, packets);
        }
    }

    /// A message is whole.
    fn deliver(&mut self, now: Instant, key: Key, message: Arrived) {
        match self.desk.show(key, message, self.config.message_bytes_max as usize) {
            Shown::Rest(message) => self.desk.deliver(key, message),
            Shown::Done { number, packets } => self.connection.consume(now, number, packets),
            Shown::Broken => self.end_for(Fault::Compression),
            Shown::Nobody => {}
        }
    }
}
