//! The dataplane's end of one queue, owned by one lcore. What the other end writes is looked at once
//! and believed only where the book of loans says so.

use std::sync::Arc;

use crate::limits::PORT_TURN_DESCRIPTORS;
use crate::mem::{Buf, ConnId, Descriptor, Ledger, LoanFault, QueueEnds, Taken, Terms};
use crate::port::lifeline::Lifeline;
use crate::port::{Inbox, Role, kind, meta};
use crate::ring::doorbell::Doorbell;
use crate::ring::spsc::Producer;

/// What the attached process did wrong. It is cut off with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its index of a ring ran further than the ring is long.
    Ring,
    /// It named a slot that it was not lent.
    Loan(LoanFault),
    /// It sent something of a kind that is not its to send.
    Kind,
    /// It took nothing of what it was sent for too long.
    Stalled,
}

impl Fault {
    /// In a word, for counters and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "its ring index is impossible",
            Self::Loan(LoanFault::NoSuchSlot) => "it named a slot that there is not",
            Self::Loan(LoanFault::NotLent) => {
                "it named a slot that it was not lent, or gave one back twice"
            }
            Self::Loan(LoanFault::Range) => "it named bytes outside of a slot",
            Self::Kind => "it sent something of a kind that is not its to send",
            Self::Stalled => "it took nothing for too long",
        }
    }
}

/// What the next descriptor of the process was.
#[derive(Debug)]
pub enum Received {
    /// There is none, no slot to copy its bytes to, or the turn is over.
    Nothing,
    /// What it says, and the number of the message that it speaks of. A marker where it has no slot.
    Message(Buf, u32),
    /// It broke a rule.
    Fault(Fault),
}

/// One lcore's end of a port.
pub struct Queue {
    out: Producer<Descriptor>,
    into: Inbox,
    /// Rung when something was sent.
    theirs: Doorbell,
    /// Slept on.
    ours: Doorbell,
    ledger: Ledger,
    /// Descriptors that may still be fetched in this turn.
    left: u32,
    lifeline: Arc<Lifeline>,
    /// Descriptors sent so far.
    sent: u64,
    /// Something was sent since the bell was rung.
    unrung: bool,
    /// Something was taken back: there may be room for supplies.
    unsupplied: bool,
    /// There was no slot for what the process sent last.
    lacks_slot: bool,
    /// What the process is, and so what it may say.
    role: Role,
    /// Turns that are due for what the ring had no room for, once it has some.
    retries: u8,
}

impl Queue {
    /// The end of a queue whose book is `ledger`.
    pub fn new(ends: QueueEnds, ledger: Ledger, lifeline: Arc<Lifeline>) -> Self {
        let QueueEnds { out, into, theirs, ours } = ends;
        Self {
            out,
            into: Inbox::new(into),
            theirs,
            ours,
            ledger,
            left: PORT_TURN_DESCRIPTORS,
            lifeline,
            sent: 0,
            unrung: false,
            unsupplied: true,
            lacks_slot: false,
            role: Role::Handler,
            retries: 0,
        }
    }

    /// The same of a process of this role; one that handles, unless it is said.
    pub fn of_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Sends a buf, which is the process's from then on, and says that it is of `message`; the process
    /// sees it after the next [`flush`](Self::flush). It comes back when the ring is full or too much is
    /// lent; of one that is larger than any slot that the process may have, which goes in pieces, what
    /// is left of it.
    #[inline]
    pub fn send(&mut self, mut buf: Buf, message: u32) -> Result<(), Buf> {
        if buf.len() > self.ledger.slot_bytes_max() && !self.send_front(&mut buf, message) {
            return Err(buf);
        }
        if self.out.is_full() {
            // The room may come between this look and the end of the turn: one turn more sees it.
            self.retries = 2;
            return Err(buf);
        }
        let (conn, tag) = (buf.conn(), buf.meta() << 8 | u32::from(buf.kind()));
        // In place: a buf that was just written to is slow to move (its bytes are still in the store buffer).
        let lent = if buf.is_empty() { Some(Terms::NONE) } else { self.ledger.lend(&mut buf) };
        let Some(terms) = lent else { return Err(buf) };
        self.push(conn, message, terms, tag);
        Ok(())
    }

    /// Sends all but the last piece of a buf, which stays, with the meta. `false`: there is no room for
    /// all of them now.
    #[cold]
    fn send_front(&mut self, buf: &mut Buf, message: u32) -> bool {
        let (conn, kind) = (buf.conn(), buf.kind());
        while buf.len() > self.ledger.slot_bytes_max() {
            if self.out.is_full() || !self.ledger.may_lend(buf) {
                return false;
            }
            let Some(terms) = self.ledger.lend(buf) else { return false };
            let (meta, rest) = split_meta(kind, buf.meta());
            self.push(conn, message, terms, meta << 8 | u32::from(kind));
            buf.set_kind(kind, rest);
        }
        true
    }

    #[inline]
    fn push(&mut self, conn: ConnId, message: u32, terms: Terms, tag: u32) {
        let sent = self.out.stage(terms.describe(conn, message, tag));
        assert!(sent.is_ok(), "room was checked");
        self.sent += 1;
        self.unrung = true;
    }

    /// Takes the next descriptor of the process; returns what it says, after whatever only gives
    /// slots back.
    #[inline]
    pub fn receive(&mut self) -> Received {
        loop {
            let Some(descriptor) = self.fetch() else {
                let faulted = self.into.peer_fault() || self.out.peer_fault();
                return if faulted { Received::Fault(Fault::Ring) } else { Received::Nothing };
            };
            let (kind, meta) = (descriptor.tag as u8, descriptor.tag >> 8);
            if kind != kind::RETURN && !kind::is_word(kind, self.role) {
                return Received::Fault(Fault::Kind);
            }
            let taken = match Terms::of(&descriptor) {
                None if kind == kind::RETURN => continue,
                None => Ok(Taken::Buf(Buf::marker(descriptor.conn, kind))),
                Some(terms) if kind == kind::RETURN => {
                    self.unsupplied = true;
                    match self.ledger.give_back(&terms) {
                        Ok(()) => continue,
                        Err(fault) => Err(fault),
                    }
                }
                Some(terms) => self.ledger.take(&terms),
            };
            return match taken {
                Ok(Taken::Buf(mut buf)) => {
                    self.unsupplied = true;
                    self.lacks_slot = false;
                    buf.set_conn(descriptor.conn);
                    buf.set_kind(kind, meta);
                    Received::Message(buf, descriptor.message)
                }
                Ok(Taken::Later) => {
                    self.into.put_back();
                    self.lacks_slot = true;
                    Received::Nothing
                }
                Err(fault) => Received::Fault(Fault::Loan(fault)),
            };
        }
    }

    /// Whether its connection leaves enough to others for this buf to be sent: see
    /// [`Ledger::may_lend`].
    #[inline]
    pub fn may_send(&self, buf: &Buf) -> bool {
        self.ledger.may_lend(buf)
    }

    /// Descriptors that the process has taken so far; `None`: there is none that it has not.
    pub fn taken(&self) -> Option<u64> {
        let left = self.out.len() as u64;
        // The process writes the index that says so, and may write anything.
        (left > 0).then(|| self.sent.saturating_sub(left))
    }

    #[inline]
    fn fetch(&mut self) -> Option<Descriptor> {
        let left = self.left.checked_sub(1)?;
        let ledger = &self.ledger;
        let fetched = self.into.next(|descriptor| ledger.foresee(descriptor))?;
        self.left = left;
        Some(fetched)
    }

    /// Ends a turn: gives the process empty slots in place of those that it used, shows it what was
    /// sent, and wakes it if it sleeps. Returns the payload bytes that were copied in the turn.
    #[inline]
    pub fn flush(&mut self) -> u64 {
        self.left = PORT_TURN_DESCRIPTORS;
        if self.retries > 0 && self.out.free() > 0 {
            self.retries -= 1;
        }
        if self.unsupplied {
            self.supply();
        }
        if self.unrung {
            self.unrung = false;
            self.out.publish();
            self.theirs.ring();
        }
        self.ledger.take_copied_bytes()
    }

    fn supply(&mut self) {
        for class in 0..self.ledger.classes() {
            // Supplies never fill the ring: messages have to find room.
            // Room is asked for last: the process may move its index between the two looks.
            while self.out.free() > self.out.capacity() / 2
                && !self.out.is_full()
                && let Some(terms) = self.ledger.supply(class)
            {
                self.push(ConnId::NONE, 0, terms, u32::from(kind::SUPPLY));
            }
        }
        self.unsupplied = self.ledger.lacks_supplies();
    }

    /// Whether the process lacks empty slots that the mempool did not have, or there was none for what it
    /// sent.
    pub fn is_starved(&self) -> bool {
        self.lacks_slot || self.unsupplied && self.out.free() > self.out.capacity() / 2
    }

    /// Whether the bytes are shared, and not copied.
    pub fn is_shared(&self) -> bool {
        self.ledger.is_shared()
    }

    /// Whether the process has sent something, by the ring's own word, or made room in a full ring.
    #[inline]
    pub fn has_input(&self) -> bool {
        self.into.has_some() || self.out.peer_fault() || self.retries > 0 && self.out.free() > 0
    }

    /// Announces sleep; `false` when there is input after all. After `true`, wait for the bell.
    #[must_use = "sleep only when this returns true"]
    pub fn sleep_unless_input(&self) -> bool {
        self.ours.sleep_unless(|| self.has_input())
    }

    /// Ends the announcement of sleep.
    pub fn awake(&self) {
        self.ours.awake();
    }

    /// What wakes this side.
    pub fn bell(&self) -> &Doorbell {
        &self.ours
    }

    /// What ends when either side does.
    pub fn lifeline(&self) -> &Lifeline {
        &self.lifeline
    }

    /// Slots that are with the process.
    pub fn lent(&self) -> u32 {
        self.ledger.lent()
    }
}

/// The metas of a piece of something, and of what is left of it.
fn split_meta(kind: u8, meta: u32) -> (u32, u32) {
    match kind {
        kind::MESSAGE => (meta & !meta::LAST | meta::GOES_ON, meta & !meta::FIRST),
        _ => (0, meta),
    }
}
