//! What passed on one session while somebody looked: its last packets and events (D-17).

use std::collections::VecDeque;

use crate::limits::STREAM_TRACE_LINES;
use crate::proto::stream::{Dropped, Event, Fault, HEADER_BYTES, Header, Received};
use crate::time::Instant;

/// The last lines of a session that is traced. Where there are as many as fit, the oldest goes.
pub struct Trace {
    lines: VecDeque<TraceLine>,
    forgotten: u64,
}

/// Something that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceLine {
    /// When.
    pub at: Instant,
    /// What.
    pub what: Traced,
}

/// What passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traced {
    /// A packet came; without a header where it had none that means anything.
    In(Option<Header>, Outcome),
    /// A packet was sent.
    Out(Header),
    /// The connection had something to tell.
    Event(Event),
}

/// What became of a packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// It was taken, and ends a message that had lost a piece.
    Torn,
    /// It was dropped and counted.
    Dropped(Dropped),
    /// It ends the stream.
    Fault(Fault),
}

impl Trace {
    /// An empty one, with all the room that it ever needs.
    pub fn new() -> Self {
        Self { lines: VecDeque::with_capacity(STREAM_TRACE_LINES), forgotten: 0 }
    }

    /// What passed, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &TraceLine> {
        self.lines.iter()
    }

    /// How much passed before the first of them.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    #[cold]
    pub(super) fn note_in(&mut self, at: Instant, packet: &[u8], what: &Result<Received, Fault>) {
        let outcome = match what {
            Ok(Received::Consumed | Received::Data(_)) => Outcome::Taken,
            Ok(Received::Torn { .. }) => Outcome::Torn,
            Ok(Received::Dropped(why)) => Outcome::Dropped(*why),
            Err(fault) => Outcome::Fault(*fault),
        };
        self.note(at, Traced::In(header(packet), outcome));
    }

    #[cold]
    pub(super) fn note_out(&mut self, at: Instant, packet: &[u8]) {
        self.note(at, Traced::Out(header(packet).expect("what is sent has a header")));
    }

    #[cold]
    pub(super) fn note_event(&mut self, at: Instant, event: Event) {
        self.note(at, Traced::Event(event));
    }

    fn note(&mut self, at: Instant, what: Traced) {
        if self.lines.len() == STREAM_TRACE_LINES {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(TraceLine { at, what });
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet's header, which is in the clear before and after its payload is opened.
fn header(packet: &[u8]) -> Option<Header> {
    let head = packet.first_chunk::<HEADER_BYTES>()?;
    Header::decode(head).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_those_before_are_counted() {
        let mut trace = Trace::new();
        let room = trace.lines.capacity();
        let more = 7;
        for n in 0..STREAM_TRACE_LINES as u64 + more {
            trace.note_event(Instant::from_ns(n), Event::Connected);
        }
        assert_eq!((trace.lines().count(), trace.forgotten()), (STREAM_TRACE_LINES, more));
        assert_eq!(trace.lines().next().map(|line| line.at.as_ns()), Some(more));
        assert_eq!(trace.lines.capacity(), room, "nothing was allocated");
    }

    #[test]
    fn a_packet_that_is_none_has_a_line_without_a_header() {
        let mut trace = Trace::new();
        trace.note_in(Instant::from_ns(1), b"GET / HTTP/1.1", &Err(Fault::PacketTooLarge));
        trace.note_in(Instant::from_ns(2), b"short", &Ok(Received::Dropped(Dropped::Malformed)));
        let what: Vec<_> = trace.lines().map(|line| line.what).collect();
        let fault = Outcome::Fault(Fault::PacketTooLarge);
        let dropped = Outcome::Dropped(Dropped::Malformed);
        assert_eq!(what, [Traced::In(None, fault), Traced::In(None, dropped)]);
    }
}
