//! From the program to the link: each channel a piece, in turn.

use super::{Driver, News};
use crate::limits::STREAM_READ_BYTES;
use crate::proto::stream::Refused;
use crate::proto::stream::compress::room_bytes;
use crate::stream::lane::{Notice, Outgoing};
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
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.has_wishes() && !std::mem::replace(&mut lane.is_in_turn, true) {
            self.turns.push_back(key);
        }
    }

    /// Sends pieces until there is no more to say, no credit, or enough waits for the link; whether
    /// anybody had a turn.
    pub(super) fn send_messages(&mut self, now: Instant) -> bool {
        let mut had_turns = false;
        while !self.outbox.is_full()
            && let Some(key) = self.turns.pop_front()
        {
            had_turns = true;
            match self.send_piece(now, key) {
                Turn::Goes => self.turns.push_back(key),
                Turn::Ends => {
                    self.lanes.entry(key).and_modify(|lane| lane.is_in_turn = false);
                }
            }
        }
        had_turns
    }

    fn send_piece(&mut self, now: Instant, key: Key) -> Turn {
        if !self.next_message(now, key) {
            return Turn::Ends;
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return Turn::Ends };
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
                self.give_up(key);
            }
            return Turn::Ends;
        }
        self.active_at = now;
        self.advance(key);
        Turn::Goes
    }

    /// A piece has gone.
    fn advance(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(outgoing) = &mut lane.current else { return };
        if let Some(piece) = outgoing.pieces.next() {
            outgoing.piece = piece;
            return;
        }
        let sent_bytes = outgoing.sent_bytes;
        lane.current = None;
        let is_empty = lane.queue.is_empty();
        if let Some(bytes) = sent_bytes {
            self.note_sent(key, 1, bytes);
        }
        if is_empty {
            self.notices.push((key, Notice::Writable));
        }
        if !matches!(self.news.last(), Some(News::Sent { .. })) {
            self.news.push(News::Active);
        }
    }

    fn note_sent(&mut self, key: Key, more: usize, more_bytes: usize) {
        if let Some(News::Sent { key: last, messages, bytes }) = self.news.last_mut()
            && *last == key
        {
            *messages += more;
            *bytes += more_bytes;
            return;
        }
        self.news.push(News::Sent { key, messages: more, bytes: more_bytes });
    }

    /// Sees to it that a channel has a message to cut; `false`: there is none now.
    fn next_message(&mut self, now: Instant, key: Key) -> bool {
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
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
        self.lanes.entry(key).and_modify(|lane| lane.current = Some(outgoing));
        true
    }

    /// The message as it goes: smaller, where that was agreed and pays (D-14).
    fn compress(&mut self, key: Key, bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let compressor = self.lanes.get_mut(&key).and_then(|lane| lane.compressor.as_mut());
        let Some(compressor) = compressor else { return (bytes, false) };
        let mut out = vec![0; room_bytes(bytes.len())];
        let clock = self.clock;
        match compressor.compress(&mut self.tables, &bytes, &mut out, || clock.now()) {
            Some(len) => {
                out.truncate(len);
                (out, true)
            }
            None => (bytes, false),
        }
    }

    /// Lets a callback write the next message, where there is credit for one.
    fn ask_for_message(&mut self, now: Instant, key: Key) -> Option<Vec<u8>> {
        let lane = self.lanes.get_mut(&key)?;
        let call = lane.callbacks.on_packet_out.as_mut()?;
        if self.connection.may_send(now, lane.number) == 0 {
            return None;
        }
        let mut bytes = vec![0; STREAM_READ_BYTES.min(self.config.message_bytes_max as usize)];
        let written = call(&mut bytes).min(bytes.len());
        bytes.truncate(written);
        Some(bytes).filter(|_| written > 0)
    }

    fn close_channel(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !std::mem::replace(&mut lane.is_closed, true) {
            // It fails where the stream has ended, which tells the same.
            let _ = self.connection.close_channel(lane.number);
        }
    }

    /// Nothing can be sent there any more.
    fn give_up(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let lost = lane.queue.drain(..).map(|bytes| bytes.len());
        let current = lane.current.take().and_then(|current| current.sent_bytes);
        let lost: Vec<usize> = lost.chain(current).collect();
        self.note_sent(key, lost.len(), lost.iter().sum());
    }
}
