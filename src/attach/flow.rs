//! What a process has sent on one connection and is not out yet, and, for HTTP, which of its requests
//! are not answered.

use std::collections::VecDeque;

use super::Message;
use super::streams::Lanes;
use crate::limits::PORT_WINDOW_BUFS;
use crate::mem::{self, ConnId};
use crate::port::{ResponseMeta, kind};

/// Parts of a response whose turn has not come that [`Queue::alloc_for`](super::Queue::alloc_for) gives
/// slots for.
const EARLY_PARTS: usize = 16;

/// What is said of a request before its turn: a copy, so that it holds no slot.
struct Early {
    bytes: Vec<u8>,
    kind: u8,
    meta: u32,
}

/// A request that is not answered.
struct Turn {
    number: u32,
    /// Parts of its response, or the beginning of one that is not small, while requests before it are
    /// not answered.
    early: VecDeque<Early>,
}

/// One connection.
pub(super) struct Flow {
    conn: ConnId,
    /// Bufs that the dataplane has.
    in_flight: u32,
    /// Those that have to wait until it has fewer. Their slots bound them: what the dataplane has lent.
    backlog: VecDeque<Message>,
    /// The peer is not received from meanwhile.
    paused: bool,
    /// The program has asked for that itself.
    held: bool,
    /// Requests in the order in which the peer gets its responses.
    turns: VecDeque<Turn>,
    /// Early parts wait for a slot.
    pub starved: bool,
    /// Of a stream: what has gone on its channels.
    pub lanes: Lanes,
}

/// The connections of one queue, by slot; grows to the highest that was spoken of.
#[derive(Default)]
pub(super) struct Flows(Vec<Flow>);

impl Flows {
    /// The flow of a connection, if its slot is not another's.
    #[inline]
    pub fn get(&self, conn: ConnId) -> Option<&Flow> {
        self.0.get(conn.slot() as usize).filter(|flow| flow.conn == conn)
    }

    /// The same, to change.
    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Flow> {
        self.0.get_mut(conn.slot() as usize).filter(|flow| flow.conn == conn)
    }

    /// The flow of a connection, begun where there is none. `None`: its slot is a later one's, and
    /// nobody hears of it any more.
    #[inline]
    pub fn begin(&mut self, conn: ConnId) -> Option<&mut Flow> {
        let slot = conn.slot() as usize;
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || Flow::new(ConnId::NONE));
        }
        let flow = &mut self.0[slot];
        if flow.conn != conn {
            // Generations are given out one after the other, and come round.
            let age = flow.conn.generation().wrapping_sub(conn.generation());
            if flow.conn != ConnId::NONE && age < 1 << 31 {
                return None;
            }
            flow.reset(conn);
        }
        Some(flow)
    }
}

/// What becomes of a message that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go.
    Goes,
    /// The same, and the next request is the first then.
    EndsTurn,
    /// It has to wait for credit.
    Waits,
    /// Its turn has not come.
    Early,
    /// It is for nobody.
    Over,
}

impl Flow {
    const fn new(conn: ConnId) -> Self {
        Self {
            conn,
            in_flight: 0,
            backlog: VecDeque::new(),
            paused: false,
            held: false,
            turns: VecDeque::new(),
            starved: false,
            lanes: Lanes::new(),
        }
    }

    /// Begins anew for another connection.
    fn reset(&mut self, conn: ConnId) {
        self.backlog.clear();
        self.turns.clear();
        self.lanes.clear();
        (self.conn, self.in_flight) = (conn, 0);
        (self.paused, self.held, self.starved) = (false, false, false);
    }

    /// The connection is gone, and says nothing more.
    pub fn clear(&mut self) {
        self.reset(self.conn);
    }

    /// A request came.
    pub fn ask(&mut self, number: u32) {
        self.turns.push_back(Turn { number, early: VecDeque::new() });
    }

    fn turn_of(&self, number: u32) -> Option<usize> {
        self.turns.iter().position(|turn| turn.number == number)
    }

    /// Whether the request of this number is the first that is not answered.
    pub fn is_turn(&self, number: u32) -> bool {
        self.turn_of(number).is_none_or(|index| index == 0)
    }

    /// A request is answered, or given up. What there was to say of it is for nobody.
    pub fn end(&mut self, number: u32) {
        let Some(index) = self.turn_of(number) else { return };
        self.turns.remove(index);
        if index == 0 {
            self.backlog.clear();
        }
    }

    /// Messages that may be sent before one has to wait, of the response whose turn it is.
    pub fn room(&self) -> usize {
        if !self.backlog.is_empty() {
            return 0;
        }
        PORT_WINDOW_BUFS.saturating_sub(self.in_flight) as usize
    }

    /// The same of the response to the request of this number.
    pub fn room_of(&self, number: u32) -> usize {
        match self.turn_of(number).map(|index| (index, &self.turns[index])) {
            Some((0, turn)) if turn.early.is_empty() => self.room(),
            Some((_, turn)) => EARLY_PARTS.saturating_sub(turn.early.len()),
            None => PORT_WINDOW_BUFS as usize,
        }
    }

    /// What is to be done with a message that the program sends. One that may go is counted.
    #[inline]
    pub fn look_at(&mut self, message: &Message) -> Verdict {
        match message.kind {
            kind::MESSAGE..=kind::REKEY if message.number == 0 => {
                return self.lanes.look_at(message);
            }
            mem::kind::DATA if self.room() == 0 => return Verdict::Waits,
            mem::kind::DATA => self.in_flight += 1,
            kind::BODY => return self.look_at_part(message),
            kind::RESPONSE => return self.look_at_response(message),
            mem::kind::ABORT if self.turns.is_empty() => self.backlog.clear(),
            mem::kind::ABORT => self.end(message.number),
            mem::kind::CLOSE | mem::kind::EOF if !self.backlog.is_empty() => return Verdict::Waits,
            mem::kind::PAUSE | mem::kind::RESUME => {
                self.held = message.kind == mem::kind::PAUSE;
                if self.paused {
                    return Verdict::Over; // it is not received from, and will be when nothing waits
                }
            }
            _ => {}
        }
        Verdict::Goes
    }

    fn look_at_part(&mut self, part: &Message) -> Verdict {
        match self.turn_of(part.number) {
            None => Verdict::Over,
            Some(0) if self.turns[0].early.is_empty() => {
                if self.room() == 0 {
                    return Verdict::Waits;
                }
                self.count(part);
                if part.meta == 0 { Verdict::Goes } else { Verdict::EndsTurn }
            }
            Some(_) => Verdict::Early,
        }
    }

    fn look_at_response(&mut self, response: &Message) -> Verdict {
        let Some(index) = self.turn_of(response.number) else { return Verdict::Over };
        if !self.turns[index].early.is_empty() {
            return Verdict::Over; // there is a beginning
        }
        // The dataplane keeps what comes early on its slot, and has few large ones: those whose turn it is
        // need them.
        if index > 0 && response.lent.as_ref().is_some_and(|lent| lent.class() > 0) {
            return Verdict::Early;
        }
        if !ResponseMeta::of_meta(response.meta).whole {
            return Verdict::Goes;
        }
        self.turns.remove(index);
        if index == 0 { Verdict::EndsTurn } else { Verdict::Goes }
    }

    /// Notes a message that the dataplane gets now.
    fn count(&mut self, message: &Message) {
        let is_part = message.kind == kind::BODY;
        self.in_flight += u32::from(is_part || message.kind == mem::kind::DATA);
        let ends = match message.kind {
            kind::BODY => message.meta != 0,
            kind::RESPONSE => ResponseMeta::of_meta(message.meta).whole,
            _ => false,
        };
        if ends {
            self.end(message.number);
        }
    }

    /// Keeps a copy of a message for its turn.
    pub fn put_early(&mut self, message: &Message) {
        if let Some(index) = self.turn_of(message.number) {
            let (bytes, kind, meta) = (message.bytes().to_vec(), message.kind, message.meta);
            self.turns[index].early.push_back(Early { bytes, kind, meta });
        }
    }

    /// Bytes of the next early message whose turn has come, and which may go.
    pub fn next_early(&self) -> Option<usize> {
        let front = self.turns.front().filter(|_| self.room() > 0)?;
        front.early.front().map(|early| early.bytes.len())
    }

    /// Makes `message`, which has the room, that one, and counts it.
    pub fn take_early(&mut self, message: &mut Message) {
        let Some(front) = self.turns.front_mut() else { return };
        let Some(early) = front.early.pop_front() else { return };
        let fits = early.bytes.is_empty() || message.append(&early.bytes);
        debug_assert!(fits, "the slot was chosen for it");
        (message.kind, message.number, message.meta) = (early.kind, front.number, early.meta);
        self.count(message);
    }

    /// Keeps a message until there is credit; whether the peer is to be received from no more, where
    /// that may be.
    pub fn put_off(&mut self, message: Message, may_pause: bool) -> bool {
        if matches!(message.kind, kind::MESSAGE..=kind::REKEY) && message.number == 0 {
            self.lanes.put_off(message);
            return false;
        }
        let pauses = may_pause && message.kind == mem::kind::DATA && !self.paused;
        self.paused |= pauses;
        self.backlog.push_back(message);
        pauses
    }

    /// Whether the peer, which was not received from while something waited, is to be again.
    pub fn resumes(&mut self) -> bool {
        let over = self.paused && self.backlog.is_empty();
        self.paused &= !over;
        over && !self.held
    }

    /// So many bufs are out.
    pub fn credit(&mut self, bufs: u32) {
        self.in_flight = self.in_flight.saturating_sub(bufs);
    }

    /// The next message that had to wait, and may go now.
    pub fn next_off(&mut self) -> Option<Message> {
        if self.in_flight >= PORT_WINDOW_BUFS {
            return None;
        }
        let message = self.backlog.pop_front()?;
        self.count(&message);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::new(0, 3, 7);

    fn part(number: u32, last: bool) -> Message {
        let mut part = Message::marker(CONN, kind::BODY);
        (part.number, part.meta) = (number, u32::from(last));
        part
    }

    fn response(number: u32, whole: bool) -> Message {
        let mut response = Message::marker(CONN, kind::RESPONSE);
        response.number = number;
        response.meta = ResponseMeta { status: 200, whole, fields_bytes: 0 }.to_meta();
        response
    }

    fn flow(numbers: impl IntoIterator<Item = u32>) -> Flow {
        let mut flow = Flow::new(CONN);
        numbers.into_iter().for_each(|number| flow.ask(number));
        flow
    }

    #[test]
    fn who_spoke_on_a_slot_before_is_nobody_and_does_not_disturb_the_next() {
        let mut flows = Flows::default();
        for age in [1, 2, 1 << 30] {
            let next = ConnId::new(0, 3, CONN.generation().wrapping_add(age));
            flows.begin(CONN).unwrap().ask(1);
            flows.begin(next).unwrap().ask(2);
            assert!(flows.begin(CONN).is_none() && flows.get(CONN).is_none());
            assert_eq!(flows.get(next).unwrap().turn_of(2), Some(0));
            flows = Flows::default();
        }
    }

    #[test]
    fn responses_go_in_any_order_and_each_once() {
        let mut flow = flow([1, 2, 3]);
        assert_eq!(flow.look_at(&response(3, true)), Verdict::Goes);
        assert_eq!(flow.look_at(&response(1, true)), Verdict::EndsTurn);
        assert_eq!(flow.look_at(&response(1, true)), Verdict::Over);
        assert_eq!(flow.look_at(&response(3, false)), Verdict::Over);
        assert_eq!(flow.look_at(&part(3, true)), Verdict::Over);
        assert_eq!(flow.look_at(&response(2, false)), Verdict::Goes);
        assert_eq!(flow.look_at(&part(2, false)), Verdict::Goes);
        assert_eq!(flow.look_at(&part(2, true)), Verdict::EndsTurn);
        assert_eq!(flow.look_at(&part(2, true)), Verdict::Over);
    }

    #[test]
    fn one_window_is_for_all_responses_of_a_connection_up_to_its_last_place() {
        let mut flow = flow([1, 2]);
        for n in 0..PORT_WINDOW_BUFS {
            assert_eq!(flow.room() as u32, PORT_WINDOW_BUFS - n);
            let number = if n < 5 { 1 } else { 2 };
            let verdict = flow.look_at(&part(number, n == 4));
            assert_eq!(verdict, if n == 4 { Verdict::EndsTurn } else { Verdict::Goes });
        }
        assert_eq!((flow.room(), flow.look_at(&part(2, false))), (0, Verdict::Waits));
        assert!(!flow.put_off(part(2, false), true), "no peer of HTTP is paused for it");
        assert!(flow.next_off().is_none());
        flow.credit(1);
        assert_eq!(flow.look_at(&part(2, false)), Verdict::Waits, "behind the one that waits");
        assert!(flow.next_off().is_some() && flow.next_off().is_none());
    }

    #[test]
    fn parts_ahead_of_their_turn_wait_for_it_and_room_ends_with_their_limit() {
        let mut flow = flow([1, 2]);
        for n in 0..EARLY_PARTS {
            assert_eq!(flow.room_of(2), EARLY_PARTS - n);
            assert_eq!(flow.look_at(&part(2, false)), Verdict::Early);
            flow.put_early(&part(2, false));
        }
        assert_eq!((flow.room_of(2), flow.next_early()), (0, None));
        assert_eq!(flow.room(), PORT_WINDOW_BUFS as usize, "of the one whose turn it is");
        assert_eq!(flow.look_at(&response(1, true)), Verdict::EndsTurn);
        // One more comes behind those that wait, though its turn has come.
        assert_eq!(flow.look_at(&part(2, true)), Verdict::Early);
        flow.put_early(&part(2, true));
        for n in 0..=EARLY_PARTS {
            assert_eq!(flow.next_early(), Some(0));
            let mut part = Message::marker(CONN, 0);
            flow.take_early(&mut part);
            assert_eq!((part.kind, part.number), (kind::BODY, 2));
            assert_eq!(part.meta, u32::from(n == EARLY_PARTS));
        }
        assert_eq!((flow.next_early(), flow.look_at(&part(2, false))), (None, Verdict::Over));
        assert_eq!(flow.room(), PORT_WINDOW_BUFS as usize - EARLY_PARTS - 1);
    }

    #[test]
    fn what_is_given_up_leaves_its_turn_to_the_next() {
        let mut flow = flow([1, 2, 3]);
        flow.put_early(&part(2, true));
        flow.put_early(&part(3, true));
        flow.end(2);
        assert_eq!(flow.next_early(), None);
        let mut abort = Message::marker(CONN, mem::kind::ABORT);
        abort.number = 1;
        assert_eq!(flow.look_at(&abort), Verdict::Goes);
        assert_eq!(flow.next_early(), Some(0), "that of 3");
        flow.clear();
        assert_eq!(flow.look_at(&part(3, true)), Verdict::Over);
    }
}
