//! What the connection itself has to say, a packet a call.

use super::{Answer, Connection, State};
use crate::limits::{STREAM_BLOCKED_REPEAT_NS, STREAM_TEXT_BYTES_MAX};
use crate::proto::stream::Code;
use crate::proto::stream::channel::Shut;
use crate::proto::stream::control::{Control, Word};
use crate::proto::stream::header::{Flags, HEADER_BYTES, Header, PacketType};
use crate::proto::stream::notice::{ERROR_BYTES, Error, Probe};
use crate::proto::stream::secure::aead::TAG_BYTES;
use crate::proto::stream::secure::messages::HELLO_BYTES;
use crate::proto::stream::table::Slot;
use crate::proto::stream::wire::Writer;
use crate::time::Instant;

/// Most bytes of a packet that the connection itself has to say: an ERROR with the longest text.
pub const TRANSMIT_BYTES_MAX: usize =
    HEADER_BYTES + ERROR_BYTES + STREAM_TEXT_BYTES_MAX + TAG_BYTES;

const _: () = assert!(HEADER_BYTES + HELLO_BYTES <= TRANSMIT_BYTES_MAX);
const _: () = assert!(TRANSMIT_BYTES_MAX <= crate::limits::STREAM_PACKET_BYTES_MIN);

impl Connection {
    /// Writes the next packet that the connection itself has to say to the front of `out`, and gives its
    /// length; `None` when it has no more.
    ///
    /// # Panics
    /// When `out` has less than [`TRANSMIT_BYTES_MAX`] bytes.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let (head, body) = out.split_first_chunk_mut::<HEADER_BYTES>()?;
        assert!(HEADER_BYTES + body.len() >= TRANSMIT_BYTES_MAX, "{} bytes", body.len());
        if let Some(len) = self.write_greeting(now, body) {
            return Some(self.finish(now, PacketType::Control, head, body, len, false));
        }
        let is_open = matches!(self.state, State::Open(_));
        if is_open && let Some((packet_type, len)) = self.write_words(now, body) {
            return Some(self.finish(now, packet_type, head, body, len, true));
        }
        let (packet_type, len) = self.ending.write(body)?;
        let len = self.finish(now, packet_type, head, body, len, true);
        if packet_type == PacketType::Close {
            self.on_close_sent(now);
        }
        Some(len)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something: without it there is no need to look for
    /// room.
    pub fn may_transmit(&self) -> bool {
        let greets = match &self.state {
            State::Greeting(greeting) | State::Open(Some(greeting)) => greeting.is_due(),
            State::Open(None) | State::Over => false,
        };
        greets
            || self.pong.is_some()
            || !self.answers.is_empty()
            || !self.pending.is_empty()
            || self.keepalive.is_due()
            || self.ending.is_due()
    }

    /// A part of the handshake, if one is due.
    fn write_greeting(&mut self, now: Instant, body: &mut [u8]) -> Option<usize> {
        let mode = self.config.mode;
        let (State::Greeting(greeting) | State::Open(Some(greeting))) = &mut self.state else {
            return None;
        };
        let len = greeting.write(now, mode, body)?;
        greeting.on_sent(HEADER_BYTES + len);
        Some(len)
    }

    /// What is to be said of a stream that is open.
    fn write_words(&mut self, now: Instant, body: &mut [u8]) -> Option<(PacketType, usize)> {
        let mut out = Writer::new(body);
        let epoch = self.keys.as_ref().map_or(0, |keys| keys.receive.epoch());
        if let Some(token) = self.pong.take() {
            Probe { pong: true, token, epoch }.encode(&mut out);
            return Some((PacketType::Keepalive, out.len()));
        }
        match self.answers.pop_front() {
            Some(Answer::Word { ch, incarnation, word }) => {
                Control { ch, incarnation, word }.encode(&mut out);
                return Some((PacketType::Control, out.len()));
            }
            Some(Answer::Unknown { ch }) => {
                Error { code: Code::UnknownChannel, ch, text: "" }.encode(&mut out);
                return Some((PacketType::Error, out.len()));
            }
            None => {}
        }
        if let Some(control) = self.next_control(now) {
            control.encode(&mut out);
            return Some((PacketType::Control, out.len()));
        }
        if self.keepalive.is_due() {
            let token = self.keepalive.ping(now);
            Probe { pong: false, token, epoch }.encode(&mut out);
            return Some((PacketType::Keepalive, out.len()));
        }
        None
    }

    /// The next word of a channel.
    fn next_control(&mut self, now: Instant) -> Option<Control> {
        while let Some(slot) = self.pending.pop() {
            let channel = self.table.at(slot);
            let Some(word) = channel.next_word() else { continue };
            let control = Control { ch: channel.id, incarnation: channel.incarnation, word };
            if channel.has_words() {
                self.pending.insert(slot);
            }
            self.on_said(now, slot, word);
            return Some(control);
        }
        None
    }

    /// A channel's word goes out: what follows from it, and when it is said again.
    fn on_said(&mut self, now: Instant, slot: Slot, word: Word) {
        let is_datagram = self.is_datagram();
        let channel = self.table.at(slot);
        match word {
            Word::Shut { .. } if channel.peer_last.is_some() => self.close_slot(slot),
            Word::Shut { .. } | Word::Open { .. } => {
                if matches!(word, Word::Shut { .. }) {
                    channel.shut = Shut::Sent;
                }
                if is_datagram {
                    let at = channel.repeat.back_off(now);
                    self.repeat(slot, at);
                }
            }
            Word::Blocked { .. } if is_datagram => {
                self.repeat(slot, now.after_ns(STREAM_BLOCKED_REPEAT_NS));
            }
            _ => {}
        }
    }

    /// Puts the header before a body of so many bytes, and seals it where that was agreed on.
    fn finish(
        &mut self,
        now: Instant,
        packet_type: PacketType,
        head: &mut [u8; HEADER_BYTES],
        body: &mut [u8],
        len: usize,
        sealed: bool,
    ) -> usize {
        let number = self.send.take();
        let keys = self.keys.as_mut().filter(|_| sealed);
        let (mut flags, mut size) = (Flags::NONE, len);
        if let Some(keys) = &keys {
            flags = keys.send.flags();
            size += TAG_BYTES;
        }
        let header =
            Header { size: size as u32, packet_type, seq_id: number as u32, ch_id: 0, flags };
        *head = header.encode();
        if let Some(keys) = keys {
            let tag = keys.send.seal(number, head, &mut body[..len]);
            body[len..size].copy_from_slice(&tag);
            let rekey_packets = self.config.rekey_packets;
            let turned = keys.send.turn(number + 1, rekey_packets);
            let waits = keys.send.waits(number + 1, rekey_packets);
            if turned || waits && packet_type != PacketType::Keepalive {
                // Its answer shows that the peer has the new key; it may have been lost.
                self.keepalive.ask();
            }
        }
        self.statistics.sent.add(len);
        self.keepalive.on_sent(now);
        HEADER_BYTES + size
    }
}
