//! The chain of any protocol whose messages lie one behind the other in the stream and fit a slot:
//! what tells where they end is given to it.

use super::stash::{NoRoom, StashBounds, StashId, Stashes, portion};
use crate::counters::{Counter, Reason};
use crate::limits::LARGE_SLOT_BYTES;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::{Chain, Cx, SessionTable};

/// Where a message lies in the bytes that begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes before it: its frame.
    pub skip: usize,
    /// Bytes of the message.
    pub len: usize,
    /// Bytes behind it that belong to its frame.
    pub tail: usize,
}

/// No message of the protocol begins like this: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Says where messages end in a stream.
pub trait Framing {
    /// The first message in `bytes`, which begin with its frame and may go on with more; `None`
    /// while its end has not come. To be answered by the first bytes of the frame alone where they
    /// say the length: with each piece of a long message it is asked anew.
    fn cut(&self, bytes: &[u8]) -> Result<Option<Cut>, Malformed>;
}

/// Cuts what connections receive into messages: sub-bufs of the slots they came in, but for those
/// that came in pieces, which are copied together.
///
/// The handler gets the markers, and each message as a buf of kind [`MESSAGE`](Framed::MESSAGE). It
/// also gets a `CLOSE` where the peer broke the framing, where its message comes in pieces and is larger than a large slot, or
/// where there is no slot to put its pieces together:
/// to be passed on like its own, behind what it has to say. What it pushes is sent as it is.
pub struct Framed<F> {
    framing: F,
    sessions: SessionTable<Session>,
    stashes: Stashes,
    /// Slots below it have been asked to close.
    drained: u32,
}

struct Session {
    /// A message whose end has not come.
    stash: StashId,
    /// The framing is broken: nothing more is read.
    broken: bool,
}

/// What became of a buf.
enum Step {
    /// Used up, or kept in the session.
    Done,
    /// These bytes are still to be looked at.
    Rest(Buf),
    /// There is no slot for it now: it must come back later.
    Stalled(Buf),
}

impl<F: Framing> Framed<F> {
    /// The kind of a whole message.
    pub const MESSAGE: u8 = kind::PROTOCOL;

    /// A chain for connections with slots below `slots`, of which so many may hold part of a
    /// message: each holds a slot of the pool.
    pub fn new(slots: u32, stashes: StashBounds, framing: F) -> Self {
        let (sessions, stashes) = (SessionTable::new(slots), Stashes::new(stashes));
        Self { framing, sessions, stashes, drained: 0 }
    }

    fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Step {
        let conn = buf.conn();
        let Some(session) = self.sessions.get_mut(conn).filter(|session| !session.broken) else {
            cx.drop_buf(buf, Reason::Protocol);
            return Step::Done;
        };
        if let Some(part) = self.stashes.take(&mut session.stash) {
            return self.go_on(cx, part, buf, output);
        }
        match self.framing.cut(&buf) {
            Ok(Some(cut)) => hand_on(cx, cut, buf, output),
            Ok(None) => self.keep(cx, buf, output),
            Err(Malformed) => self.give_up(cx, buf, output),
        }
    }

    /// The message goes on in `buf`.
    fn go_on(&mut self, cx: &mut Cx, mut part: Buf, mut buf: Buf, output: &mut Burst) -> Step {
        let seen = part.len();
        // Never in a block: peers that send in pieces would have them all.
        let most = cx.pool.slot_bytes_max().min(LARGE_SLOT_BYTES as usize);
        let wanted = portion(seen, buf.len(), most);
        if wanted == 0 {
            return self.give_up(cx, buf, output); // larger than a large slot
        }
        match self.stashes.join(cx, &mut part, &buf[..wanted]) {
            Ok(()) => {}
            Err(NoRoom::ForNow) => {
                let session = self.sessions.get_mut(part.conn()).expect("the caller saw it");
                session.stash = self.stashes.put(cx, part);
                return Step::Stalled(buf);
            }
            Err(NoRoom::ForGood) => return self.give_up(cx, buf, output),
        }
        match self.framing.cut(&part) {
            Ok(Some(cut)) => {
                let end = cut.skip + cut.len + cut.tail;
                buf.advance(end.saturating_sub(seen));
                part.truncate(end);
                hand_on(cx, cut, part, output);
                if buf.is_empty() { Step::Done } else { Step::Rest(buf) }
            }
            Ok(None) => {
                buf.advance(wanted);
                match self.keep(cx, part, output) {
                    Step::Done if !buf.is_empty() => Step::Rest(buf),
                    other => other,
                }
            }
            Err(Malformed) => self.give_up(cx, part, output),
        }
    }

    fn keep(&mut self, cx: &mut Cx, part: Buf, output: &mut Burst) -> Step {
        if !self.stashes.has_room() {
            return self.give_up(cx, part, output);
        }
        let session = self.sessions.get_mut(part.conn()).expect("the caller saw it");
        session.stash = self.stashes.put(cx, part);
        Step::Done
    }

    #[cold]
    fn give_up(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Step {
        let conn = buf.conn();
        if let Some(session) = self.sessions.get_mut(conn) {
            session.broken = true;
        }
        push(output, Buf::linger(conn));
        cx.drop_buf(buf, Reason::Protocol);
        Step::Done
    }

    fn on_marker(&mut self, cx: &mut Cx, marker: Buf, output: &mut Burst) {
        let conn: ConnId = marker.conn();
        match marker.kind() {
            kind::OPEN => {
                self.sessions.open(conn, Session { stash: StashId::NONE, broken: false });
                if cx.draining {
                    // It came between the order to drain and the end of accepting.
                    self.drained = self.drained.min(conn.slot());
                }
            }
            kind::CLOSED => {
                if let Some(mut session) = self.sessions.close(conn) {
                    self.stashes.take(&mut session.stash);
                }
            }
            _ => {}
        }
        push(output, marker);
    }
}

/// Hands the message at the start of `buf` on.
fn hand_on(cx: &mut Cx, cut: Cut, mut buf: Buf, output: &mut Burst) -> Step {
    buf.advance(cut.skip);
    let mut message = buf.split_to(cut.len);
    buf.advance(cut.tail);
    message.set_kind(kind::PROTOCOL, 0);
    message.set_message(cx.extensions.begin_message());
    push(output, message);
    cx.counters.add(Counter::Messages, 1);
    if buf.is_empty() { Step::Done } else { Step::Rest(buf) }
}

fn push(output: &mut Burst, buf: Buf) {
    let pushed = output.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl<F: Framing> Chain for Framed<F> {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(mut buf) = input.pop()
        {
            if buf.kind() != kind::DATA {
                self.on_marker(cx, buf, output);
                continue;
            }
            loop {
                match self.receive(cx, buf, output) {
                    Step::Done => break,
                    Step::Rest(rest) if !output.is_full() => buf = rest,
                    Step::Rest(rest) | Step::Stalled(rest) => {
                        let back = input.unpop(rest);
                        assert!(back.is_ok(), "it was just popped");
                        return;
                    }
                }
            }
        }
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, _)) = self.sessions.next_from(self.drained) {
            if output.push(Buf::marker(conn, kind::CLOSE)).is_err() {
                return;
            }
            self.drained = conn.slot() + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::{Handler, Pipeline};
    use crate::testing::{End, Harness, SLOTS};

    /// A byte of length, so many bytes, a full stop.
    struct Short;

    impl Framing for Short {
        fn cut(&self, bytes: &[u8]) -> Result<Option<Cut>, Malformed> {
            let Some(&len) = bytes.first() else { return Ok(None) };
            let len = usize::from(len);
            match bytes.get(1 + len) {
                None => Ok(None),
                Some(b'.') => Ok(Some(Cut { skip: 1, len, tail: 1 })),
                Some(_) => Err(Malformed),
            }
        }
    }

    /// No message ever ends.
    struct Endless;

    impl Framing for Endless {
        fn cut(&self, _bytes: &[u8]) -> Result<Option<Cut>, Malformed> {
            Ok(None)
        }
    }

    /// Sends messages back, a comma behind each.
    struct List;

    impl Handler for List {
        fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
            while output.room() > 1
                && let Some(mut message) = input.pop()
            {
                let conn = message.conn();
                match message.kind() {
                    kind::CLOSE => push(output, message),
                    kind::EOF => push(output, Buf::marker(conn, kind::CLOSE)),
                    Framed::<Short>::MESSAGE => {
                        let Some(mut comma) = cx.alloc(1, conn) else {
                            return drop(input.unpop(message));
                        };
                        assert!(comma.append(b","));
                        message.set_kind(kind::DATA, 0);
                        push(output, message);
                        push(output, comma);
                    }
                    _ => {}
                }
            }
        }
    }

    fn harness<F: Framing + 'static>(framing: F) -> Harness<List> {
        let stashes = StashBounds { all: 8, large: 2 };
        let chain = Framed::new(SLOTS, stashes, framing);
        Harness::build(|_| (Pipeline::Custom(Box::new(chain)), List))
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_and_in_order_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..256), 0..40),
            most in 1usize..600,
        ) {
            let (mut stream, mut list) = (Vec::new(), Vec::new());
            for message in &messages {
                stream.extend([&[message.len() as u8], &message[..], b"."].concat());
                list.extend([&message[..], b","].concat());
            }
            let mut harness = harness(Short);
            let conn = harness.open();
            harness.receive_cut(conn, &stream, most);
            prop_assert_eq!(harness.sent(conn), &list[..]);
            harness.finish();
        }
    }

    #[test]
    fn a_broken_frame_closes_behind_the_replies_to_those_before_it() {
        let mut harness = harness(Short);
        let conn = harness.open();
        harness.receive(conn, b"\x01a.\x01b!\x01c.");
        assert_eq!(harness.sent(conn), b"a,");
        assert_eq!(harness.closed(conn), Some(End::Linger));
        harness.finish();
    }

    #[test]
    fn a_message_larger_than_every_slot_is_given_up_and_no_sooner() {
        let mut harness = harness(Endless);
        let (conn, most) = (harness.open(), harness.cx.pool.slot_bytes_max());
        harness.receive(conn, vec![b'x'; most]);
        assert_eq!(harness.closed(conn), None);
        harness.receive(conn, b"x");
        assert_eq!(harness.closed(conn), Some(End::Linger));
        harness.finish();
    }

    #[test]
    fn the_connection_past_the_bound_on_unfinished_messages_is_closed() {
        let mut harness = harness(Short);
        let conns: Vec<_> = (0..9).map(|_| harness.open()).collect();
        conns.iter().for_each(|&conn| harness.receive(conn, b"\x05abc"));
        let closed = conns.iter().filter(|&&conn| harness.closed(conn).is_some()).count();
        assert_eq!((closed, harness.closed(conns[8])), (1, Some(End::Linger)));
        harness.finish();
    }
}
