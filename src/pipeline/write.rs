//! Writes from beside the handler: to one connection, from any thread ([`ConnHandle`]), and to groups of them
//! ([`Group`]).
//!
//! ```
//! use ringway::pipeline::Cx;
//! use ringway::mem::ConnId;
//! use ringway::pipeline::write::{ConnHandle, Message, SlowPolicy, WhenFull, Written};
//!
//! // A handler gives a connection away,
//! fn begin(cx: &Cx, conn: ConnId) -> std::thread::JoinHandle<()> {
//!     let peer: ConnHandle = cx.conn_handle(conn);
//!     std::thread::spawn(move || work(&peer))
//! }
//!
//! // and another thread writes to it.
//! fn work(peer: &ConnHandle) {
//!     let policy = SlowPolicy { when_full: WhenFull::Disconnect, ..SlowPolicy::default() };
//!     let _ = peer.set_policy(policy);
//!     if peer.backlog().messages < 100 && let Ok(sent) = peer.send(Message::Text("done")) {
//!         assert_ne!(sent.wait(), Written::Refused); // in async code: sent.await
//!     }
//! }
//! # let _ = begin;
//! ```
//!
//! What is written enters the listener behind the handler and before the chain, which frames it or says that it has
//! to wait: a message never comes between the fragments of another. What a peer does not take waits in a queue of its
//! own on the lcore, up to its [`SlowPolicy`]; nobody else waits for it.

mod backlog;
mod conn_handle;
mod group;
mod inlet;
mod members;
mod message;
mod policy;
mod written;

use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) use backlog::{Backlog, Kept};
pub use conn_handle::ConnHandle;
pub(crate) use group::Outcome;
pub use group::{Group, GroupCounters, Publish};
pub use inlet::{Backlogged, Inlet, Inlets, Letterbox, Refused, Word};
pub use message::{FRAME, Message};
pub use policy::{SlowPolicy, WhenFull};
pub use written::{Completion, WriteCallback, Written};

use members::Members;

use super::Cx;
use crate::limits::GROUP_PUBLISHES_MAX;
use crate::mem::{Batch, Buf, Burst, ConnId, Share, kind};

/// What an lcore keeps for those who write to its connections.
pub struct Writes {
    inlet: Option<Arc<Inlet>>,
    members: Members,
    pub(crate) backlog: Backlog,
    /// To be brought to members, oldest first.
    publishes: VecDeque<Publish>,
    /// What the message that is on its way has come to, since that was last counted.
    outcome: Outcome,
    /// Connections that are gone, and for which something waits.
    closed: Vec<ConnId>,
}

/// Connections whose end is among what a handler is about to hear, each with its place.
pub(crate) type Endings = Batch<(usize, ConnId)>;

impl Writes {
    /// Those of the lcore number `lcore` of `inlets`, which hears from others through `inlet`; all that is slow may
    /// hold `share` while the pool is short.
    pub fn new(lcore: u8, inlet: Arc<Inlet>, inlets: Arc<Inlets>, share: Share) -> Self {
        inlets.set(lcore, inlet.clone());
        Self {
            members: Members::new(lcore, inlets),
            backlog: Backlog::new(Some(inlet.clone()), share),
            inlet: Some(inlet),
            publishes: VecDeque::with_capacity(GROUP_PUBLISHES_MAX as usize),
            outcome: Outcome::default(),
            closed: Vec::new(),
        }
    }

    /// Those of a context that no lcore turns: handles refuse, and groups have members whom nothing reaches.
    pub fn detached() -> Self {
        Self {
            inlet: None,
            members: Members::new(0, Arc::new(Inlets::new())),
            backlog: Backlog::new(None, Share::WHOLE),
            publishes: VecDeque::new(),
            outcome: Outcome::default(),
            closed: Vec::new(),
        }
    }

    pub(crate) fn join(&mut self, group: &Group, conn: ConnId) -> bool {
        self.members.join(group, conn)
    }

    pub(crate) fn leave(&mut self, group: &Group, conn: ConnId) -> bool {
        self.members.leave(group, conn)
    }

    /// Brings a message to the members, in its turn.
    pub(crate) fn publish(&mut self, mut publish: Publish) {
        publish.joins = self.members.joins();
        self.publishes.push_back(publish);
    }

    /// Whether a message is on its way to members.
    #[inline]
    pub(crate) fn is_publishing(&self) -> bool {
        !self.publishes.is_empty()
    }

    /// Whether something can be moved on.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.is_publishing() || self.backlog.due() > 0 || !self.closed.is_empty()
    }

    /// What the next member is to be sent, of the message that is due; ends with each message once.
    pub(crate) fn next_frame(&mut self) -> Option<Buf> {
        while let Some(publish) = self.publishes.front() {
            if let Some(conn) = self.members.next(publish) {
                let mut buf = publish.buf.slice(0, publish.buf.len());
                buf.set_conn(conn);
                return Some(buf);
            }
            self.count_outcome();
            self.publishes.pop_front();
            if let Some(inlet) = &self.inlet {
                inlet.end_publish();
            }
        }
        None
    }

    /// Has the same member be given again: there was no room for it.
    pub(crate) fn same_frame_again(&mut self) {
        self.members.again();
    }

    /// What became of it for a member.
    pub(crate) fn outcome(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    /// Has its group know.
    pub(crate) fn count_outcome(&mut self) {
        if let Some(publish) = self.publishes.front() {
            publish.group.count(std::mem::take(&mut self.outcome));
        }
    }

    /// Connections whose end is in `messages`.
    #[inline]
    pub(crate) fn endings(messages: &Burst) -> Endings {
        let mut endings = Endings::new();
        for (place, buf) in messages.as_slice().iter().enumerate() {
            if buf.kind() == kind::CLOSED {
                let pushed = endings.push((place, buf.conn()));
                debug_assert!(pushed.is_ok(), "there are no more than messages");
            }
        }
        endings
    }

    /// The handler has heard the first `heard` of what they are the endings of: those connections are in nothing any
    /// more, whatever it has had them join before.
    pub(crate) fn end(&mut self, mut endings: Endings, heard: usize) {
        while let Some((place, conn)) = endings.pop() {
            if place < heard {
                self.members.closed(conn);
                if !self.backlog.is_empty() {
                    self.closed.push(conn);
                }
            }
        }
    }

    /// A connection that is gone, and whose backlog is to be dropped.
    pub(crate) fn next_closed(&mut self) -> Option<ConnId> {
        self.closed.pop()
    }

    /// A member that turned out to be gone.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.members.closed(conn);
    }
}

impl Cx {
    /// A handle of a connection of this lcore, for other threads. Where there is no lcore, what is written to it is
    /// refused.
    pub fn conn_handle(&self, conn: ConnId) -> ConnHandle {
        let nowhere = || Arc::new(Inlet::new(Box::new(Nowhere)));
        ConnHandle::new(conn, self.writes.inlet.clone().unwrap_or_else(nowhere))
    }

    /// Says what may wait for a connection of this lcore from here on, and what happens beyond.
    pub fn set_slow_policy(&mut self, conn: ConnId, policy: SlowPolicy) {
        self.writes.backlog.set_policy(conn, policy);
    }
}

/// Takes nothing.
struct Nowhere;

impl Letterbox for Nowhere {
    fn post(&self, word: Word) -> Result<(), Word> {
        Err(word)
    }

    fn is_closed(&self) -> bool {
        true
    }
}
