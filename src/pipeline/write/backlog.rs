//! What waits for connections whose peers take less than is written to them, of one lcore. A connection that keeps
//! up is not in it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::inlet::Inlet;
use super::{SlowPolicy, WhenFull};
use crate::limits::WRITE_BACKLOG_BUFS_MAX;
use crate::mem::{Buf, BufList, BufStore, ConnId, Mempool, Share, kind};

const NIL: u32 = u32::MAX;

/// The queues of slow connections, each in order.
pub struct Backlog {
    inlet: Option<Arc<Inlet>>,
    /// Made with the first slow connection.
    store: Option<BufStore>,
    queues: Vec<Queue>,
    free: Vec<u32>,
    /// By connection slot, its queue; as long as the highest slot that was ever slow.
    by_slot: Vec<u32>,
    /// Queues that there may be room for.
    due: VecDeque<u32>,
    /// By connection slot, where one was set.
    policies: HashMap<u32, (ConnId, SlowPolicy)>,
    /// What all of it may hold while the pool is short.
    share: Share,
}

/// What waits for one connection: messages, and behind some of them the marker that tells of them.
struct Queue {
    conn: ConnId,
    bufs: BufList,
    bytes: u64,
    messages: u32,
    /// A marker is on its way that comes back when the transport has room.
    armed: bool,
    /// It is in `due`.
    due: bool,
    /// The chain says when there is room.
    held: bool,
}

/// What became of one more.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// It waits.
    Waits,
    /// It is dropped.
    Dropped,
    /// The connection is to be closed.
    Disconnect,
}

impl Backlog {
    pub fn new(inlet: Option<Arc<Inlet>>, share: Share) -> Self {
        Self {
            inlet,
            store: None,
            queues: Vec::new(),
            free: Vec::new(),
            by_slot: Vec::new(),
            due: VecDeque::new(),
            policies: HashMap::new(),
            share,
        }
    }

    /// Whether nobody is slow, and nobody has a policy of their own.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.len() == self.free.len() && self.policies.is_empty()
    }

    pub fn set_policy(&mut self, conn: ConnId, policy: SlowPolicy) {
        self.policies.insert(conn.slot(), (conn, policy));
    }

    fn policy(&self, conn: ConnId) -> SlowPolicy {
        let set = self.policies.get(&conn.slot()).filter(|(of, _)| *of == conn);
        set.map_or(SlowPolicy::DEFAULT, |(_, policy)| *policy)
    }

    /// The queue of a connection that is slow.
    #[inline]
    pub fn find(&self, conn: ConnId) -> Option<u32> {
        let index = *self.by_slot.get(conn.slot() as usize)?;
        self.queues.get(index as usize).filter(|queue| queue.conn == conn).map(|_| index)
    }

    /// The queue of a connection, which is slow from here on.
    pub fn open(&mut self, conn: ConnId, told: &mut impl FnMut(Buf)) -> u32 {
        if let Some(index) = self.find(conn) {
            return index;
        }
        let slot = conn.slot() as usize;
        if slot >= self.by_slot.len() {
            self.by_slot.resize(slot + 1, NIL);
        }
        if let Some(queue) = self.queues.get(self.by_slot[slot] as usize) {
            // The slot's last connection, whose end was not heard.
            let gone = queue.conn;
            self.closed(gone, told);
        }
        let index = self.free.pop().unwrap_or(self.queues.len() as u32);
        let queue = Queue {
            conn,
            bufs: BufList::EMPTY,
            bytes: 0,
            messages: 0,
            armed: false,
            due: false,
            held: false,
        };
        match self.queues.get_mut(index as usize) {
            Some(place) => *place = queue,
            None => self.queues.push(queue),
        }
        self.by_slot[slot] = index;
        index
    }

    /// Has a message wait in a queue, as its connection's policy says, and behind it `marker`, which tells of it.
    /// What is dropped for it is counted in `dropped`, and its markers given to `told`; so is its own where it does
    /// not wait. It counts as begun ([`Inlet::begin`]).
    pub fn push(
        &mut self,
        pool: &Mempool,
        index: u32,
        buf: Buf,
        marker: Option<Buf>,
        told: &mut impl FnMut(Buf),
        dropped: &mut u64,
    ) -> Kept {
        let policy = self.policy(self.queues[index as usize].conn);
        let bytes = buf.len();
        while self.is_too_much(pool, index, bytes as u64, policy) {
            let keeps = policy.when_full == WhenFull::DropOldest;
            if !(keeps && self.drop_oldest(index, told)) {
                self.end(buf.conn(), bytes);
                marker.into_iter().for_each(told);
                return match policy.when_full {
                    WhenFull::Disconnect => Kept::Disconnect,
                    _ => Kept::Dropped,
                };
            }
            *dropped += 1;
        }
        let queue = &mut self.queues[index as usize];
        queue.bytes += bytes as u64;
        queue.messages += 1;
        for buf in std::iter::once(buf).chain(marker) {
            self.append(index, buf);
        }
        Kept::Waits
    }

    /// Appends what the store has room for, as was checked.
    fn append(&mut self, index: u32, buf: Buf) {
        let store = self.store.get_or_insert_with(|| BufStore::new(WRITE_BACKLOG_BUFS_MAX));
        let pushed = store.push(&mut self.queues[index as usize].bufs, buf);
        assert!(pushed.is_ok(), "room was checked");
    }

    /// Has a marker alone wait; gives it back where there is no room.
    pub fn push_marker(&mut self, index: u32, marker: Buf) -> Result<(), Buf> {
        if !self.has_room(1) {
            return Err(marker);
        }
        self.append(index, marker);
        Ok(())
    }

    fn has_room(&self, bufs: usize) -> bool {
        self.store.as_ref().is_none_or(|store| store.room() >= bufs)
    }

    fn is_too_much(&self, pool: &Mempool, index: u32, bytes: u64, policy: SlowPolicy) -> bool {
        let queue = &self.queues[index as usize];
        let slots = self.store.as_ref().map(|store| store.slots());
        policy.is_exceeded(queue.messages + 1, queue.bytes + bytes)
            || !self.has_room(2)
            || slots.is_some_and(|slots| self.share.is_exceeded(pool, slots))
    }

    /// Drops the message that waits longest; `false`: none waits.
    fn drop_oldest(&mut self, index: u32, told: &mut impl FnMut(Buf)) -> bool {
        let is_marker = |buf: &Buf| buf.kind() == kind::NOTIFY;
        // That of a message which is with the transport keeps its place.
        let first = if self.front(index).is_some_and(is_marker) { self.pop(index) } else { None };
        let dropped = self.pop(index).is_some();
        if dropped && self.front(index).is_some_and(is_marker) {
            self.pop(index).into_iter().for_each(told);
        }
        if let (Some(first), Some(store)) = (first, &mut self.store) {
            let back = store.push_front(&mut self.queues[index as usize].bufs, first);
            assert!(back.is_ok(), "it was just popped");
        }
        dropped
    }

    /// What is next in a queue.
    pub fn front(&self, index: u32) -> Option<&Buf> {
        self.store.as_ref()?.front(&self.queues[index as usize].bufs)
    }

    /// Takes it; it waits no longer.
    pub fn pop(&mut self, index: u32) -> Option<Buf> {
        let queue = &mut self.queues[index as usize];
        let buf = self.store.as_mut()?.pop(&mut queue.bufs)?;
        if buf.kind() != kind::NOTIFY {
            queue.messages -= 1;
            queue.bytes -= buf.len() as u64;
            self.end(buf.conn(), buf.len());
        }
        Some(buf)
    }

    /// A write waits no longer.
    pub fn end(&self, conn: ConnId, bytes: usize) {
        if let Some(inlet) = &self.inlet {
            inlet.end(conn, bytes);
        }
    }

    /// One begins to.
    pub fn begin(&self, conn: ConnId, bytes: usize) {
        if let Some(inlet) = &self.inlet {
            inlet.begin(conn, bytes);
        }
    }

    /// Whose queue it is.
    pub fn conn(&self, index: u32) -> ConnId {
        self.queues[index as usize].conn
    }

    /// There may be room for what is in a queue.
    pub fn make_due(&mut self, index: u32) {
        let queue = &mut self.queues[index as usize];
        if !std::mem::replace(&mut queue.due, true) {
            self.due.push_back(index);
        }
    }

    /// How many queues are due.
    #[inline]
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// The next queue that is due.
    pub fn next_due(&mut self) -> Option<u32> {
        let index = self.due.pop_front()?;
        self.queues[index as usize].due = false;
        Some(index)
    }

    /// Whether nothing has to happen for a queue until it is told to: the marker is out, or the chain has it.
    pub fn waits(&self, index: u32) -> bool {
        let queue = &self.queues[index as usize];
        queue.armed || queue.held
    }

    /// The marker is on its way.
    pub fn arm(&mut self, index: u32) {
        self.queues[index as usize].armed = true;
    }

    /// It has come back.
    pub fn notified(&mut self, index: u32) {
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        queue.armed = false;
        self.make_due(index);
    }

    /// The chain will say when there is room.
    pub fn hold(&mut self, index: u32) {
        self.queues[index as usize].held = true;
    }

    /// It has said so.
    pub fn ready(&mut self, conn: ConnId) {
        if let Some(index) = self.find(conn) {
            self.queues[index as usize].held = false;
            self.make_due(index);
        }
    }

    /// Forgets a queue in which nothing waits and for which nothing is on its way.
    pub fn give_up_if_idle(&mut self, index: u32) {
        let queue = &mut self.queues[index as usize];
        if !queue.bufs.is_empty() || queue.armed || queue.due {
            return;
        }
        let conn = std::mem::replace(&mut queue.conn, ConnId::NONE);
        if conn != ConnId::NONE {
            self.by_slot[conn.slot() as usize] = NIL;
        }
        self.free.push(index);
    }

    /// A connection is gone: what waits for it is dropped, and the markers given to `told`. How many messages.
    pub fn closed(&mut self, conn: ConnId, told: &mut impl FnMut(Buf)) -> u64 {
        if self.policies.get(&conn.slot()).is_some_and(|(of, _)| *of == conn) {
            self.policies.remove(&conn.slot());
        }
        let Some(index) = self.find(conn) else { return 0 };
        let mut dropped = 0;
        while let Some(buf) = self.pop(index) {
            match buf.kind() {
                kind::NOTIFY => told(buf),
                _ => dropped += 1,
            }
        }
        self.by_slot[conn.slot() as usize] = NIL;
        let queue = &mut self.queues[index as usize];
        (queue.conn, queue.held) = (ConnId::NONE, false);
        self.give_up_if_idle(index);
        dropped
    }
}

#[cfg(test)]
mod tests;
