//! One connection, as others than its handler see it.

use std::fmt;
use std::sync::Arc;

use super::inlet::{Inlet, Word};
use super::written::completion;
use super::{Backlogged, Completion, Group, Message, Refused, SlowPolicy, WriteCallback};
use crate::mem::{Buf, ConnId};

/// Names one connection, for any thread. No call waits. It outlives its connection without harm: what is
/// written then is [`Lost`](super::Written::Lost), and never meets the next connection of the slot.
///
/// Each write goes out whole, in the order of the calls of one thread, before or behind what the handler says at
/// the time, never within a message of it. A [`Message`] that the connection's protocol has no place for is
/// [`Refused`](super::Written::Refused): texts where no WebSocket is open, bytes where one is, or where HTTP still is.
#[derive(Clone)]
pub struct ConnHandle {
    conn: ConnId,
    inlet: Arc<Inlet>,
}

impl ConnHandle {
    /// That of `conn`, a connection of the lcore behind `inlet`.
    pub fn new(conn: ConnId, inlet: Arc<Inlet>) -> Self {
        Self { conn, inlet }
    }

    /// Which connection it is.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Writes a copy of `message`.
    pub fn write(&self, message: Message<'_>) -> Result<(), Refused> {
        self.copy(message, None)
    }

    /// The same; `done` is told once what became of it, on the lcore's thread, unless this call refuses it.
    pub fn write_then(&self, message: Message<'_>, done: WriteCallback) -> Result<(), Refused> {
        self.copy(message, Some(done))
    }

    /// The same, for whoever waits for the outcome: an async task, or a thread.
    pub fn send(&self, message: Message<'_>) -> Result<Completion, Refused> {
        let (completion, done) = completion();
        self.copy(message, Some(done))?;
        Ok(completion)
    }

    fn copy(&self, message: Message<'_>, done: Option<WriteCallback>) -> Result<(), Refused> {
        let buf = message.encode(self.inlet.pool()?)?;
        self.write_buf(buf, done).map_err(|_| self.inlet.refusal())
    }

    /// Writes bytes that lie in a slot already, of any pool that outlives the dataplane: those of
    /// [`Message::encode`], or of kind `DATA`. Gives them back where there is no room now, or the lcore has ended.
    pub fn write_buf(
        &self,
        mut buf: Buf,
        done: Option<WriteCallback>,
    ) -> Result<(), (Buf, Option<WriteCallback>)> {
        buf.set_conn(self.conn);
        self.inlet.write(buf, done)
    }

    /// What was written to the connection, by handles and by groups, and has not reached its transport, which
    /// takes up to half of [`TX_HIGH_BYTES`](crate::limits::TX_HIGH_BYTES) ahead of the peer. When that is out too, only
    /// a write's completion tells.
    pub fn backlog(&self) -> Backlogged {
        self.inlet.waiting(self.conn)
    }

    /// Says what may wait for the connection from here on, and what happens beyond.
    pub fn set_policy(&self, policy: SlowPolicy) -> Result<(), Refused> {
        self.inlet.post(Word::Policy(self.conn, policy))
    }

    /// Has it join a group, behind what was written before this call. It is a member once its lcore has read that:
    /// what is published before does not reach it.
    pub fn join(&self, group: &Group) -> Result<(), Refused> {
        self.inlet.post(Word::Join(group.clone(), self.conn))
    }

    /// Has it leave one.
    pub fn leave(&self, group: &Group) -> Result<(), Refused> {
        self.inlet.post(Word::Leave(group.clone(), self.conn))
    }

    /// Whether its lcore has ended.
    pub fn is_ended(&self) -> bool {
        self.inlet.refusal() == Refused::Ended
    }
}

impl fmt::Debug for ConnHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnHandle({})", self.conn)
    }
}
