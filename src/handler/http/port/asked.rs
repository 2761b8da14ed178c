//! Requests that are with the process at a port, by connection and in order, and what it has said of
//! them.

use crate::limits::{HTTP_HELD_BUFS, PORT_AHEAD_ALL, PORT_AHEAD_MAX, PORT_WINDOW_BUFS};
use crate::mem::{Buf, BufList, BufStore, ConnId, SlotCounts};
use crate::time::Instant;

/// Parts of bodies that are told to the process together, once they are out.
const CREDIT_BUFS: u32 = 32;

const _: () = assert!(CREDIT_BUFS < PORT_WINDOW_BUFS);

/// Largest meta of a message.
const META_MAX: u32 = (1 << 24) - 1;

const NIL: u32 = u32::MAX;

const _: () = assert!(size_of::<Asked>() + size_of::<Line>() == 120, "as MEMORY.md says");

/// How far the response to a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing has come back.
    Awaited,
    /// Its head has, and more of the body is to come.
    Begun,
    /// All of it has.
    Whole,
    /// The process wants the connection cut off when its turn has come.
    Lost,
}

/// One request.
pub(super) struct Asked {
    pub conn: ConnId,
    pub number: u32,
    /// Which attachment it is with.
    pub attachment: u32,
    /// Its turn has come: those before it are answered.
    pub called: bool,
    /// It is HEAD, whose response has no body.
    pub is_head: bool,
    /// It has no body, and a method that may be done beside others (RFC 9112 §9.3.2).
    pub is_safe: bool,
    /// The end of its body has not come.
    pub body_open: bool,
    /// What has come of it waits for the process.
    pub is_behind: bool,
    /// Bytes of the part of its body that comes next which the process has: one that is larger than any
    /// slot of an isolated port goes in pieces.
    pub begun: u32,
    pub answer: Answer,
    /// Since when the process is waited for, once its turn has come.
    pub since: Instant,
    /// The response, or its beginning, where it came ahead of its turn.
    pub early: Option<Buf>,
    /// Parts of the response's body that have come, and are not sent yet.
    pub parts: BufList,
    /// The first part came with the head, and is not counted.
    pub has_first: bool,
    next: u32,
}

impl Asked {
    /// A request that was sent now.
    pub fn new(conn: ConnId, number: u32, attachment: u32, since: Instant) -> Self {
        Self {
            conn,
            number,
            attachment,
            called: false,
            is_head: false,
            is_safe: false,
            body_open: false,
            is_behind: false,
            begun: 0,
            answer: Answer::Awaited,
            since,
            early: None,
            parts: BufList::EMPTY,
            has_first: false,
            next: NIL,
        }
    }

    /// Whether the process has still something to say.
    pub fn is_open(&self) -> bool {
        matches!(self.answer, Answer::Awaited | Answer::Begun)
    }
}

/// The requests of one connection, oldest first, and its window: see MEMORY.md.
#[derive(Clone, Copy)]
struct Line {
    conn: ConnId,
    first: u32,
    last: u32,
    count: u16,
    /// Which attachment the window is of.
    attachment: u32,
    /// Parts that have come, and are not sent yet.
    waiting: u16,
    /// The word that tells of those that are not told is under way, or waits for room.
    telling: bool,
    /// Parts that were sent, or dropped, since the process was told.
    untold: u32,
}

impl Line {
    const fn new(conn: ConnId) -> Self {
        let (first, last, count, attachment) = (NIL, NIL, 0, 0);
        Self { conn, first, last, count, attachment, waiting: 0, telling: false, untold: 0 }
    }
}

/// All requests of a listener that are with the process.
pub(super) struct Requests {
    /// By connection slot.
    lines: Box<[Line]>,
    /// Places for requests: one for each connection, and some for those that are ahead of their turn.
    places: Vec<Asked>,
    free: u32,
    /// Requests whose turn has not come.
    ahead: usize,
    ahead_max: usize,
    parts: BufStore,
    /// Slots that early answers hold.
    early: SlotCounts,
}

impl Requests {
    /// Room for the requests of connections with slots below `slots`.
    pub fn new(slots: u32) -> Self {
        let count = slots as usize + PORT_AHEAD_ALL;
        let nothing = |index: usize| {
            let next = if index + 1 == count { NIL } else { index as u32 + 1 };
            Asked { next, ..Asked::new(ConnId::NONE, 0, 0, Instant::from_ns(0)) }
        };
        Self {
            lines: (0..slots).map(|_| Line::new(ConnId::NONE)).collect(),
            places: (0..count).map(nothing).collect(),
            free: 0,
            ahead: 0,
            ahead_max: PORT_AHEAD_ALL,
            parts: BufStore::new(HTTP_HELD_BUFS),
            early: SlotCounts::default(),
        }
    }

    /// Lets no more requests than this go ahead of their turn, over all connections.
    pub fn bound_ahead(&mut self, most: usize) {
        self.ahead_max = most.min(PORT_AHEAD_ALL);
    }

    /// Slots that answers hold which have come and are not sent yet.
    pub fn slots(&self) -> SlotCounts {
        let mut slots = *self.parts.slots();
        slots.iter_mut().zip(self.early).for_each(|(parts, early)| *parts += early);
        slots
    }

    /// Keeps the response, or its beginning, to a request until its turn has come.
    pub fn keep_early(&mut self, conn: ConnId, number: u32, word: Buf) {
        let class = word.size_class();
        let index = self.index_of(conn, number);
        if let Some(asked) = self.places.get_mut(index as usize) {
            class.into_iter().for_each(|class| self.early[class] += 1);
            asked.early = Some(word);
        }
    }

    /// Takes that of the oldest request of a connection.
    pub fn take_early(&mut self, conn: ConnId) -> Option<Buf> {
        let word = self.front(conn)?.early.take()?;
        self.forget_early(&word);
        Some(word)
    }

    fn forget_early(&mut self, word: &Buf) {
        word.size_class().into_iter().for_each(|class| self.early[class] -= 1);
    }

    /// Of the connections in `slots`, the first that holds what the process was to keep back: parts of a
    /// response, or one in a larger slot, before one that it has not answered.
    pub fn hoarder(&self, slots: std::ops::Range<usize>) -> Option<ConnId> {
        let lines = self.lines.get(slots.start..slots.end.min(self.lines.len()))?;
        lines.iter().find(|line| self.hoards(line)).map(|line| line.conn)
    }

    fn hoards(&self, line: &Line) -> bool {
        let (mut at, mut waits) = (line.first, false);
        while let Some(asked) = self.places.get(at as usize) {
            let is_large = asked.early.as_ref().and_then(Buf::size_class).is_some_and(|c| c > 0);
            if waits && (is_large || !asked.parts.is_empty()) {
                return true;
            }
            waits |= asked.is_open();
            at = asked.next;
        }
        false
    }

    /// Slots of connections.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    fn line(&self, conn: ConnId) -> Option<&Line> {
        self.lines.get(conn.slot() as usize).filter(|line| line.conn == conn)
    }

    fn line_mut(&mut self, conn: ConnId) -> Option<&mut Line> {
        self.lines.get_mut(conn.slot() as usize).filter(|line| line.conn == conn)
    }

    /// The oldest request of a connection.
    pub fn front(&mut self, conn: ConnId) -> Option<&mut Asked> {
        let first = self.line(conn)?.first;
        self.places.get_mut(first as usize)
    }

    /// The same of whatever connection has this slot; `Err`: there is no such slot.
    pub fn front_at(&self, slot: usize) -> Result<Option<&Asked>, ()> {
        let line = self.lines.get(slot).ok_or(())?;
        Ok(self.places.get(line.first as usize))
    }

    /// The request of this number on a connection.
    pub fn find(&mut self, conn: ConnId, number: u32) -> Option<&mut Asked> {
        let index = self.index_of(conn, number);
        self.places.get_mut(index as usize)
    }

    fn index_of(&self, conn: ConnId, number: u32) -> u32 {
        let mut at = self.line(conn).map_or(NIL, |line| line.first);
        while at != NIL && self.places[at as usize].number != number {
            at = self.places[at as usize].next;
        }
        at
    }

    /// Whether another request of a connection may be with the process: beside others only what does
    /// not mind them.
    pub fn may_go_ahead(&self, conn: ConnId) -> bool {
        let Some(line) = self.line(conn) else { return false };
        // Of those before the last, each was behind one that is safe, and is itself.
        let last = self.places.get(line.last as usize);
        let fits = self.ahead < self.ahead_max && u32::from(line.count) <= PORT_AHEAD_MAX;
        fits && last.is_some_and(|last| last.is_safe)
    }

    /// Adds the newest request of its connection: whoever is not called was allowed to go ahead.
    pub fn push(&mut self, asked: Asked) {
        let (conn, attachment) = (asked.conn, asked.attachment);
        self.ahead += usize::from(!asked.called);
        let index = self.free;
        let place = &mut self.places[index as usize];
        self.free = place.next;
        *place = asked;
        let line = &mut self.lines[conn.slot() as usize];
        if line.conn != conn {
            *line = Line::new(conn);
        }
        if line.attachment != attachment {
            (line.attachment, line.waiting) = (attachment, 0);
            (line.telling, line.untold) = (false, 0);
        }
        match line.last {
            NIL => line.first = index,
            last => self.places[last as usize].next = index,
        }
        line.last = index;
        line.count += 1;
    }

    /// Notes that the turn of the oldest request of a connection has come.
    pub fn call_front(&mut self, conn: ConnId, now: Instant) -> Option<&mut Asked> {
        let first = self.line(conn)?.first;
        let front = self.places.get_mut(first as usize)?;
        self.ahead -= usize::from(!front.called);
        (front.called, front.since) = (true, now);
        Some(front)
    }

    /// Forgets the oldest request of a connection, and gives back what had come ahead of its turn.
    pub fn pop(&mut self, conn: ConnId) -> Option<Buf> {
        let line = self.lines.get_mut(conn.slot() as usize).filter(|line| line.conn == conn)?;
        let index = line.first;
        let place = self.places.get_mut(index as usize)?;
        line.first = place.next;
        line.count -= 1;
        if line.first == NIL {
            line.last = NIL;
        }
        let mut dropped: u16 = 0;
        while self.parts.pop(&mut place.parts).is_some() {
            dropped += 1;
        }
        if place.attachment == line.attachment {
            dropped -= u16::from(place.has_first && dropped > 0);
            line.waiting -= dropped;
            line.untold = line.untold.saturating_add(dropped.into());
        }
        self.ahead -= usize::from(!place.called);
        (place.conn, place.next) = (ConnId::NONE, self.free);
        self.free = index;
        let early = place.early.take();
        early.iter().for_each(|word| self.forget_early(word));
        early
    }

    /// Forgets a connection of which no request is left.
    pub fn forget(&mut self, conn: ConnId) {
        if let Some(line) = self.line_mut(conn) {
            debug_assert!(line.first == NIL, "requests are popped first");
            *line = Line::new(ConnId::NONE);
        }
    }

    /// Keeps a part of the response to the request of this number; `false`: it is more than may wait.
    pub fn push_part(&mut self, part: Buf, number: u32) -> bool {
        let conn = part.conn();
        let index = self.index_of(conn, number);
        let Some(line) = self.line_mut(conn) else { return false };
        line.waiting += 1;
        if u32::from(line.waiting) > PORT_WINDOW_BUFS {
            return false;
        }
        let place = self.places.get_mut(index as usize);
        place.is_some_and(|place| self.parts.push(&mut place.parts, part).is_ok())
    }

    /// Keeps what came with the head of the response to the oldest request of a connection.
    pub fn push_first(&mut self, part: Buf) -> bool {
        let first = self.line(part.conn()).map_or(NIL, |line| line.first);
        let Some(place) = self.places.get_mut(first as usize) else { return false };
        place.has_first = true;
        self.parts.push_front(&mut place.parts, part).is_ok()
    }

    /// The next part of the response to the oldest request of a connection, and whether it was counted.
    pub fn pop_part(&mut self, conn: ConnId) -> Option<(Buf, bool)> {
        let line = self.lines.get_mut(conn.slot() as usize).filter(|line| line.conn == conn)?;
        let place = self.places.get_mut(line.first as usize)?;
        let part = self.parts.pop(&mut place.parts)?;
        let counted = !std::mem::replace(&mut place.has_first, false);
        if counted && place.attachment == line.attachment {
            line.waiting -= 1;
        }
        Some((part, counted && place.attachment == line.attachment))
    }

    /// Counts so many more parts that are sent, or dropped: whether the process of this attachment is to
    /// be told now. It is not while an earlier word to it waits, so that there is one at a time.
    pub fn credit(&mut self, conn: ConnId, attachment: u32, parts: u32) -> bool {
        let line = self.line_mut(conn).filter(|line| line.attachment == attachment);
        let Some(line) = line else { return false };
        line.untold = line.untold.saturating_add(parts);
        let is_due = line.untold >= CREDIT_BUFS && !line.telling;
        line.telling |= is_due;
        is_due
    }

    /// How many parts of a connection the process is told of now, at most what a meta holds.
    pub fn untold(&self, conn: ConnId) -> u32 {
        self.line(conn).map_or(0, |line| line.untold.min(META_MAX))
    }

    /// It was told of so many.
    pub fn told(&mut self, conn: ConnId, parts: u32) {
        if let Some(line) = self.line_mut(conn) {
            (line.telling, line.untold) = (false, line.untold - parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::kind;

    const CONN: ConnId = ConnId::new(0, 0, 5);

    fn asked(number: u32, called: bool, is_safe: bool) -> Asked {
        let mut asked = Asked::new(CONN, number, 1, Instant::from_ns(0));
        (asked.called, asked.is_safe) = (called, is_safe);
        asked
    }

    fn part() -> Buf {
        Buf::marker(CONN, kind::DATA)
    }

    #[test]
    fn so_many_safe_requests_go_ahead_on_a_connection_and_no_more() {
        let mut requests = Requests::new(2);
        assert!(!requests.may_go_ahead(CONN), "behind nothing, it is called");
        requests.push(asked(1, true, true));
        for number in 2..PORT_AHEAD_MAX + 2 {
            assert!(requests.may_go_ahead(CONN));
            requests.push(asked(number, false, true));
        }
        assert!(!requests.may_go_ahead(CONN));
        requests.pop(CONN);
        assert!(requests.may_go_ahead(CONN));
        while requests.front(CONN).is_some() {
            requests.pop(CONN);
        }
        requests.push(asked(99, true, false));
        assert!(!requests.may_go_ahead(CONN), "what is not safe is alone");
    }

    #[test]
    fn so_many_go_ahead_on_all_connections_and_each_still_has_the_one_that_is_called() {
        let slots = PORT_AHEAD_ALL as u32 + 1;
        let mut requests = Requests::new(slots);
        let conn = |slot| ConnId::new(0, slot, 5);
        for slot in 0..slots {
            requests.push(Asked { conn: conn(slot), ..asked(1, true, true) });
            assert_eq!(requests.may_go_ahead(conn(slot)), slot + 1 < slots);
            if slot + 1 < slots {
                requests.push(Asked { conn: conn(slot), ..asked(2, false, true) });
            }
        }
        // A turn that comes makes room for another.
        requests.pop(conn(0));
        requests.call_front(conn(0), Instant::from_ns(0));
        assert!(requests.may_go_ahead(conn(slots - 1)));
    }

    #[test]
    fn parts_of_all_responses_share_the_window_and_are_told_when_sent_or_dropped() {
        let mut requests = Requests::new(1);
        requests.push(asked(1, true, true));
        requests.push(asked(2, false, true));
        for n in 0..PORT_WINDOW_BUFS {
            assert!(requests.push_part(part(), 1 + n % 2));
        }
        assert!(!requests.push_part(part(), 2), "one more than the window");
        let mut requests = Requests::new(1);
        requests.push(asked(1, true, true));
        requests.push(asked(2, false, true));
        for n in 0..PORT_WINDOW_BUFS {
            assert!(requests.push_part(part(), 1 + n % 2));
        }
        for n in 1..=PORT_WINDOW_BUFS / 2 {
            assert!(requests.pop_part(CONN).is_some_and(|(_, counted)| counted));
            assert_eq!(requests.credit(CONN, 1, 1), n % CREDIT_BUFS == 0);
            if n % CREDIT_BUFS == 0 {
                assert_eq!(requests.untold(CONN), CREDIT_BUFS);
                requests.told(CONN, CREDIT_BUFS);
            }
        }
        requests.pop(CONN);
        requests.pop(CONN);
        assert!(!requests.credit(CONN, 2, 0), "another process's");
        assert!(requests.credit(CONN, 1, 0));
        assert_eq!(requests.untold(CONN), PORT_WINDOW_BUFS / 2, "dropped at once");
        requests.push(asked(3, true, true));
        (0..PORT_WINDOW_BUFS).for_each(|_| assert!(requests.push_part(part(), 3)));
    }

    #[test]
    fn what_came_with_the_head_is_first_and_not_counted() {
        let mut requests = Requests::new(1);
        requests.push(asked(1, true, true));
        (0..PORT_WINDOW_BUFS).for_each(|_| assert!(requests.push_part(part(), 1)));
        assert!(requests.push_first(part()));
        assert!(requests.pop_part(CONN).is_some_and(|(_, counted)| !counted));
        assert!(requests.pop_part(CONN).is_some_and(|(_, counted)| counted));
        assert!(requests.push_part(part(), 1), "one was sent");
        assert!(!requests.push_part(part(), 1));
    }

    #[test]
    fn a_connection_in_the_slot_of_another_has_none_of_its_requests() {
        let mut requests = Requests::new(1);
        requests.push(asked(1, true, true));
        let next = ConnId::new(0, 0, 6);
        assert!(requests.front(next).is_none() && requests.find(next, 1).is_none());
        assert!(!requests.push_part(Buf::marker(next, kind::DATA), 1));
        requests.pop(CONN);
        requests.forget(CONN);
        assert!(requests.front(CONN).is_none() && !requests.credit(CONN, 1, 99));
    }

    #[test]
    fn one_word_at_a_time_tells_of_parts_however_many_they_are() {
        let mut requests = Requests::new(1);
        requests.push(asked(1, true, true));
        assert!(!requests.credit(CONN, 1, CREDIT_BUFS - 1));
        assert!(requests.credit(CONN, 1, 1));
        for _ in 0..3 {
            assert!(!requests.credit(CONN, 1, META_MAX), "one waits");
        }
        assert_eq!(requests.untold(CONN), META_MAX);
        requests.told(CONN, META_MAX);
        assert!(requests.credit(CONN, 1, 0), "the rest is told with the next");
        assert!(!requests.credit(CONN, 1, u32::MAX));
        assert_eq!(requests.untold(CONN), META_MAX);
        // Another process has its own count.
        requests.pop(CONN);
        requests.push(Asked { attachment: 2, ..asked(2, true, true) });
        assert_eq!(requests.untold(CONN), 0);
        assert!(requests.credit(CONN, 2, CREDIT_BUFS));
    }
}
