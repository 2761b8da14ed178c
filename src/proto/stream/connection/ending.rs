//! How a stream ends: orderly, when both ends have said all; or at once (D-11).

use std::fmt::Display;

use super::{Cause, Connection, Event, State};
use crate::limits::{STREAM_CLOSE_TRIES_MAX, STREAM_REPEAT_NS};
use crate::proto::stream::header::{HEADER_BYTES, PacketType};
use crate::proto::stream::notice::{self, Close, ERROR_BYTES, Error};
use crate::proto::stream::wire::Writer;
use crate::proto::stream::{Code, Fault};
use crate::time::Instant;

/// What was said and heard of the end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// What we say, a CLOSE or an ERROR.
    words: Option<Words>,
    /// It is to be said now.
    due: bool,
    /// The application has closed.
    asked: bool,
    /// Times that we said CLOSE.
    said: u32,
    /// The peer has.
    theirs: Option<Code>,
    repeat_at: Option<Instant>,
    deadline: Option<Instant>,
    /// What the peer gave as its reason.
    text: String,
    /// More than the name of the fault that ends it.
    explanation: Option<String>,
}

#[derive(Debug)]
struct Words {
    packet_type: PacketType,
    code: Code,
    text: String,
}

impl Ending {
    /// Whether we say no more messages.
    pub(super) const fn is_asked(&self) -> bool {
        self.asked
    }

    /// Whether the peer says no more.
    pub(super) const fn is_heard(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether something is to be said now.
    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    pub(super) fn hear(&mut self, text: &str) {
        if self.text.is_empty() {
            text.clone_into(&mut self.text);
        }
    }

    pub(super) fn explain(&mut self, fault: &dyn Display) {
        self.explanation = Some(fault.to_string());
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        [self.repeat_at, self.deadline].into_iter().flatten().min()
    }

    /// Time has passed: whether the peer has some left.
    pub(super) fn on_time(&mut self, now: Instant) -> Result<(), Fault> {
        if self.deadline.is_some_and(|at| at <= now) {
            return Err(Fault::CloseTimeout);
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            (self.repeat_at, self.due) = (None, true);
        }
        Ok(())
    }

    fn say(&mut self, packet_type: PacketType, code: Code, text: &str) {
        let text = notice::cut(text).to_owned();
        self.words = Some(Words { packet_type, code, text });
        self.due = true;
    }

    /// Writes what is to be said, if it is time.
    pub(super) fn write(&mut self, out: &mut [u8]) -> Option<(PacketType, usize)> {
        let words = self.words.as_ref().filter(|_| self.due)?;
        let (code, text) = (words.code, &*words.text);
        let mut writer = Writer::new(out);
        match words.packet_type {
            PacketType::Close => Close { code, text }.encode(&mut writer),
            _ => Error { code, ch: 0, text }.encode(&mut writer),
        }
        self.due = false;
        Some((words.packet_type, writer.len()))
    }
}

impl Connection {
    /// Ends the stream in order: what was sealed before still arrives, the peer says what it had, and closes
    /// as well. A text of more than 256 bytes is cut. A stream that is not connected yet is given up.
    pub fn close(&mut self, now: Instant, code: Code, text: &str) {
        match self.state {
            State::Over => {}
            State::Greeting(_) => {
                self.last_words(code, text);
                self.end(Cause::Abandoned);
            }
            State::Open(_) if self.ending.asked => {}
            State::Open(_) => {
                self.ending.asked = true;
                self.ending.deadline = Some(now.after_ns(self.config.close_timeout_ns));
                self.ending.say(PacketType::Close, code, text);
            }
        }
    }

    /// What the peer gave as its reason to close, or as its error: a line for a person.
    pub fn peer_text(&self) -> &str {
        &self.ending.text
    }

    /// Ends it at once: the peer has broken a rule. What the connection finds itself ends it already; this is
    /// for what its owner finds.
    pub fn fail(&mut self, fault: Fault) {
        if self.is_over() {
            return;
        }
        let explanation = self.ending.explanation.take();
        self.last_words(fault.code(), explanation.as_deref().unwrap_or(fault.name()));
        self.end(Cause::Fault(fault));
    }

    /// Says why it ends, where the peer may be told.
    fn last_words(&mut self, code: Code, text: &str) {
        let bytes = HEADER_BYTES + ERROR_BYTES + notice::cut(text).len();
        let may = match &self.state {
            State::Greeting(greeting) => greeting.may_answer(self.config.mode, bytes),
            _ => true,
        };
        if may {
            self.ending.say(PacketType::Error, code, text);
        } else {
            self.ending.due = false;
        }
    }

    /// A CLOSE was sent.
    pub(super) fn on_close_sent(&mut self, now: Instant) {
        let is_datagram = self.is_datagram();
        let ending = &mut self.ending;
        ending.said += 1;
        match ending.theirs {
            Some(code) => self.end(Cause::Closed(code)),
            None if is_datagram && ending.said < STREAM_CLOSE_TRIES_MAX => {
                ending.repeat_at = Some(now.after_ns(STREAM_REPEAT_NS));
            }
            None => {}
        }
    }

    pub(super) fn on_close(&mut self, close: Close<'_>) {
        let is_first = self.ending.theirs.is_none();
        self.ending.theirs.get_or_insert(close.code);
        self.ending.hear(close.text);
        if self.ending.said > 0 {
            self.ending.due = false;
            self.end(Cause::Closed(close.code));
        } else if is_first {
            self.events.push_back(Event::Closing { code: close.code });
        }
    }

    pub(super) fn on_error(&mut self, error: Error<'_>) {
        if error.ch == 0 {
            self.ending.hear(error.text);
            self.ending.due = false;
            self.end(Cause::Peer(error.code));
        } else {
            self.events.push_back(Event::ChannelError { channel: error.ch, code: error.code });
        }
    }
}
