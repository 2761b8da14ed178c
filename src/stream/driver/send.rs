//! From the program to the link: each channel a piece, in turn.

use super::Driver;
use crate::limits::{STREAM_BATCH_MESSAGES_MAX, STREAM_COMPRESS_BYTES_MIN, STREAM_PACK_BYTES_MAX};
use crate::proto::stream::compress::{Compressor, room_bytes};
use crate::proto::stream::{Batch, HEADER_BYTES, LENGTH_BYTES, Refused, TAILROOM_BYTES};
use crate::stream::lane::{Lane, Notice, Outgoing};
use crate::stream::state::Key;
use crate::time::Instant;

/// What became of a channel's turn.
enum Turn {
    /// A piece went, and there may be more.
    Goes,
    /// It has nothing to say, or no credit: something will say when that changes.
    Ends,
}

impl Driver {
    /// Gives a channel its turn among those that send, if it has something to say.
    pub(super) fn line_up(&mut self, key: Key) {
        let now = self.clock.now();
        self.credit(now, key);
        self.desk.line_up(key);
    }

    /// Sends pieces until there is no more to say, no credit, or enough waits for the link; whether
    /// anybody had a turn.
    pub(super) fn send_messages(&mut self, now: Instant) -> bool {
        let mut had_turns = false;
        while !self.outbox.is_full()
            && let Some(key) = self.desk.turns.pop_front()
        {
            had_turns = true;
            let sent = self.send_batch(now, key);
            match sent.unwrap_or_else(|| self.send_piece(now, key)) {
                Turn::Goes => self.desk.turns.push_back(key),
                Turn::Ends => {
                    self.desk.lanes.entry(key).and_modify(|lane| lane.is_in_turn = false);
                }
            }
        }
        had_turns
    }

    /// Sends short messages at the front of a channel's queue in one packet; `None`: there are no two.
    fn send_batch(&mut self, now: Instant, key: Key) -> Option<Turn> {
        if !self.connection.may_batch() {
            return None;
        }
        let lane = self.desk.lanes.get_mut(&key).filter(|lane| lane.current.is_none())?;
        let (messages, bytes) = lane.short_ones(self.connection.batch_bytes_max());
        if messages < 2 {
            return None;
        }
        let room = HEADER_BYTES + messages * LENGTH_BYTES + bytes + TAILROOM_BYTES;
        let (connection, mut refused) = (&mut self.connection, None);
        let sealed = self.outbox.write(room, |room| {
            let mut batch = Batch::new();
            lane.queue.iter().take(messages).for_each(|message| batch.put(room, message));
            let sealed = connection.seal_batch(now, lane.number, &batch, room);
            sealed.map(|packet| packet.end).map_err(|why| refused = Some(why)).ok()
        });
        if !sealed {
            if refused != Some(Refused::NoCredit) {
                self.desk.give_up(key);
            }
            return Some(Turn::Ends);
        }
        self.active_at = now;
        lane.queue.drain(..messages);
        let is_empty = lane.queue.is_empty();
        self.desk.note_sent(key, messages, bytes);
        if is_empty {
            self.desk.notices.push((key, Notice::Writable));
        }
        self.desk.note_active();
        Some(Turn::Goes)
    }

    fn send_piece(&mut self, now: Instant, key: Key) -> Turn {
        if !self.next_message(now, key) {
            return Turn::Ends;
        }
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return Turn::Ends };
        let Some(outgoing) = &mut lane.current else { return Turn::Ends };
        let Outgoing { bytes, compressed, piece, .. } = outgoing;
        let (number, piece, compressed) = (lane.number, *piece, *compressed);
        let part = &bytes[piece.offset as usize..(piece.offset + piece.len) as usize];
        let (connection, mut refused) = (&mut self.connection, None);
        let sealed = self.outbox.seal(piece, part, |room, payload| {
            let sealed = connection.seal(now, number, piece, compressed, room, payload);
            sealed.map_err(|why| refused = Some(why)).ok()
        });
        if !sealed {
            if refused != Some(Refused::NoCredit) {
                self.desk.give_up(key);
            }
            return Turn::Ends;
        }
        self.active_at = now;
        self.advance(key);
        Turn::Goes
    }

    /// A piece has gone.
    fn advance(&mut self, key: Key) {
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return };
        let Some(outgoing) = &mut lane.current else { return };
        if let Some(piece) = outgoing.pieces.next() {
            outgoing.piece = piece;
            return;
        }
        let sent_bytes = outgoing.sent_bytes;
        lane.current = None;
        let is_empty = lane.queue.is_empty();
        if let Some(bytes) = sent_bytes {
            self.desk.note_sent(key, 1, bytes);
        }
        if is_empty {
            self.desk.notices.push((key, Notice::Writable));
        }
        self.desk.note_active();
    }

    /// Sees to it that a channel has a message to cut; `false`: there is none now.
    fn next_message(&mut self, now: Instant, key: Key) -> bool {
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return false };
        if lane.current.is_some() {
            return true;
        }
        let (bytes, sent_bytes) = match lane.queue.pop_front() {
            Some(bytes) => {
                let len = bytes.len();
                (bytes, Some(len))
            }
            None if lane.wants_close => {
                self.close_channel(key);
                return false;
            }
            None => match self.ask_for_message(now, key) {
                Some(bytes) => (bytes, None),
                None => return false,
            },
        };
        let (bytes, compressed) = self.compress(key, bytes);
        let mut pieces = self.connection.pieces(bytes.len() as u32);
        let piece = pieces.next().expect("a message has a piece, though it be empty");
        let outgoing = Outgoing { bytes, compressed, pieces, piece, sent_bytes };
        self.desk.lanes.entry(key).and_modify(|lane| lane.current = Some(outgoing));
        true
    }

    /// The message as it goes: smaller, where that was agreed and pays (D-14).
    fn compress(&mut self, key: Key, bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let compressor = self.desk.lanes.get_mut(&key).and_then(|lane| lane.compressor.as_mut());
        let tries = |one: &mut Compressor| one.tries(bytes.len());
        let Some(compressor) = compressor.and_then(|one| tries(one).then_some(one)) else {
            return (bytes, false);
        };
        let mut out = vec![0; room_bytes(bytes.len())];
        let clock = self.clock;
        match compressor.try_it(&mut self.tables, &bytes, &mut out, || clock.now()) {
            Some(len) => {
                out.truncate(len);
                (out, true)
            }
            None => (bytes, false),
        }
    }

    /// Lets a callback write the next message, where there is credit for one.
    fn ask_for_message(&mut self, now: Instant, key: Key) -> Option<Vec<u8>> {
        let lane = self.desk.lanes.get(&key)?;
        let (asks, number) = (lane.callbacks.on_packet_out.is_some(), lane.number);
        if !asks || self.connection.may_send(now, number) == 0 {
            return None;
        }
        self.desk.ask_for_message(key, self.config.message_bytes_max as usize)
    }

    fn close_channel(&mut self, key: Key) {
        let Some(lane) = self.desk.lanes.get_mut(&key) else { return };
        if !std::mem::replace(&mut lane.is_closed, true) {
            // It fails where the stream has ended, which tells the same.
            let _ = self.connection.close_channel(lane.number);
        }
    }
}

impl Lane {
    /// How many messages at the front of the queue may share a packet, and their bytes: short ones that go as they
    /// are, whose list has at most so many bytes.
    fn short_ones(&self, list_bytes_max: usize) -> (usize, usize) {
        let plain_bytes_max = match self.compressor {
            None => STREAM_PACK_BYTES_MAX,
            Some(_) => STREAM_PACK_BYTES_MAX.min(STREAM_COMPRESS_BYTES_MIN - 1),
        };
        let (mut messages, mut bytes) = (0, 0);
        for message in self.queue.iter().take(STREAM_BATCH_MESSAGES_MAX) {
            let list_bytes = (messages + 1) * LENGTH_BYTES + bytes + message.len();
            if message.len() > plain_bytes_max || list_bytes > list_bytes_max {
                break;
            }
            messages += 1;
            bytes += message.len();
        }
        (messages, bytes)
    }
}
