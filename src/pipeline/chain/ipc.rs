//! The control line protocol on bursts: one command from each connection, as a sub-buf of the slot it
//! came in. What a command is, `proto::ipc` knows; what it does, the handler.

use super::stash::{NoRoom, StashBounds, StashId, Stashes, portion};
use crate::counters::{Counter, Reason};
use crate::limits::{
    HTTP_LARGE_STASHES_SHARE, HTTP_STASHES_SHARE, IPC_COMMAND_BYTES_MAX, IPC_COMMAND_TIMEOUT_NS,
};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::{Chain, Cx, SessionTable};
use crate::proto::ipc::{Fault, decode_command, wants_json};
use crate::time::Instant;

#[cfg(test)]
mod tests;

/// Kind of a whole command: the text of its line, which is UTF-8, without the line's end.
pub const COMMAND: u8 = kind::PROTOCOL;

/// Kind of the word that there will be no command; its meta is a [`FaultMeta`].
pub const FAULT: u8 = kind::PROTOCOL + 1;

/// Why there is no command, and how its peer wants to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultMeta {
    /// What was wrong.
    pub fault: Fault,
    /// Whether what has come of the command asks for JSON.
    pub json: bool,
}

impl FaultMeta {
    const JSON: u32 = 1 << 8;

    /// The number that a buf of kind [`FAULT`] carries: the fault's in bits 0 to 7, JSON in bit 8.
    fn encode(self) -> u32 {
        self.fault as u32 | if self.json { Self::JSON } else { 0 }
    }

    /// What a buf of kind [`FAULT`] says.
    pub fn of(buf: &Buf) -> Self {
        let fault = Fault::ALL.get(buf.meta() as usize & 0xff);
        let fault = *fault.expect("the chain wrote the number of a fault");
        Self { fault, json: buf.meta() & Self::JSON != 0 }
    }
}

/// What a listener allows its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a command may take, from the beginning of its connection, in nanoseconds; looked at
    /// once a second.
    pub command_timeout_ns: u64,
    /// How many commands may be unfinished at a time.
    pub stashes: StashBounds,
}

impl Settings {
    /// The usual, on an lcore with so many slots of each size.
    pub fn for_slots(small: u32, large: u32) -> Self {
        Self {
            command_timeout_ns: IPC_COMMAND_TIMEOUT_NS,
            stashes: StashBounds {
                all: small / HTTP_STASHES_SHARE,
                large: large / HTTP_LARGE_STASHES_SHARE,
            },
        }
    }
}

/// The chain. The handler gets, of each connection, one buf of kind [`COMMAND`] or [`FAULT`], or
/// neither where the peer ends without a word; and `FLUSHED` and `CLOSED`. What it pushes is sent as
/// it is; it has to close the connection, lingering.
pub struct Ipc {
    settings: Settings,
    sessions: SessionTable<Session>,
    stashes: Stashes,
    /// Slots below it have been asked to close.
    drained: u32,
    /// Slots below it have been looked at in this tick.
    ticked: u32,
}

struct Session {
    /// A command whose end has not come.
    stash: StashId,
    began: Instant,
    /// The one command, or the fault, was handed on, or there will be none: nothing more is read.
    over: bool,
}

impl Ipc {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32, settings: Settings) -> Self {
        Self {
            sessions: SessionTable::new(slots),
            stashes: Stashes::new(settings.stashes),
            settings,
            drained: 0,
            ticked: 0,
        }
    }

    /// Looks for the end of the command in what came. Gives bytes back that have no room now.
    fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let session = self.sessions.get_mut(buf.conn()).filter(|session| !session.over);
        let Some(session) = session else {
            cx.drop_buf(buf, Reason::Protocol);
            return Ok(());
        };
        let Some(mut part) = self.stashes.take(&mut session.stash) else {
            self.look(cx, buf, output);
            return Ok(());
        };
        // One byte past the limit says that it was passed.
        let wanted = portion(part.len(), buf.len(), IPC_COMMAND_BYTES_MAX + 1);
        match self.stashes.join(cx, &mut part, &buf[..wanted]) {
            Ok(()) if wanted < buf.len() => {
                let mut rest = buf;
                rest.advance(wanted);
                self.look(cx, part, output);
                // As deep as there are sizes of slots that a command can fill.
                self.receive(cx, rest, output)
            }
            Ok(()) => {
                self.look(cx, part, output);
                Ok(())
            }
            Err(NoRoom::ForNow) => {
                session.stash = self.stashes.put(cx, part);
                Err(buf)
            }
            Err(NoRoom::ForGood) => {
                cx.drop_buf(buf, Reason::Protocol);
                self.fault(cx, part.conn(), Fault::Busy, Some(part), output);
                Ok(())
            }
        }
    }

    /// Hands on the command that `bytes` begin with, or keeps them until it is whole.
    fn look(&mut self, cx: &mut Cx, mut bytes: Buf, output: &mut Burst) {
        let conn = bytes.conn();
        match decode_command(&bytes) {
            Ok(Some(line)) => {
                if line.consumed < bytes.len() {
                    // A second command, which is never run.
                    cx.counters.drop_one(Reason::Protocol);
                }
                bytes.truncate(line.text.end);
                bytes.set_kind(COMMAND, 0);
                cx.counters.add(Counter::Messages, 1);
                self.end(conn);
                push(output, bytes);
            }
            Ok(None) if self.stashes.has_room() => {
                let session = self.sessions.get_mut(conn).expect("the caller saw it");
                session.stash = self.stashes.put(cx, bytes);
            }
            Ok(None) => self.fault(cx, conn, Fault::Busy, Some(bytes), output),
            Err(fault) => self.fault(cx, conn, fault, Some(bytes), output),
        }
    }

    /// Nothing more is read from `conn`. Returns what there was of its command.
    fn end(&mut self, conn: ConnId) -> Option<Buf> {
        let session = self.sessions.get_mut(conn)?;
        session.over = true;
        self.stashes.take(&mut session.stash)
    }

    /// There will be no command but `seen`, which is none.
    #[cold]
    fn fault(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        fault: Fault,
        seen: Option<Buf>,
        output: &mut Burst,
    ) {
        self.end(conn);
        let json = seen.as_deref().is_some_and(wants_json);
        if let Some(seen) = seen {
            cx.drop_buf(seen, Reason::Protocol);
        }
        let mut marker = Buf::marker(conn, FAULT);
        marker.set_kind(FAULT, FaultMeta { fault, json }.encode());
        push(output, marker);
    }

    fn on_marker(&mut self, cx: &Cx, marker: Buf, output: &mut Burst) {
        let conn = marker.conn();
        match marker.kind() {
            kind::OPEN => {
                let session = Session { stash: StashId::NONE, began: cx.now, over: false };
                self.sessions.open(conn, session);
                if cx.draining {
                    // It came between the order to drain and the end of accepting.
                    self.drained = self.drained.min(conn.slot());
                }
            }
            kind::CLOSED => {
                self.end(conn);
                self.sessions.close(conn);
                push(output, marker);
            }
            kind::EOF => self.on_eof(cx, conn, output),
            _ => push(output, marker),
        }
    }

    /// A command that is not whole by now never will be. Whoever says nothing wants no answer.
    fn on_eof(&mut self, cx: &Cx, conn: ConnId, output: &mut Burst) {
        if self.sessions.get_mut(conn).is_none_or(|session| session.over) {
            return;
        }
        match self.end(conn) {
            Some(part) => self.fault(cx, conn, Fault::Unended, Some(part), output),
            None => push(output, Buf::marker(conn, kind::CLOSE)),
        }
    }
}

fn push(output: &mut Burst, buf: Buf) {
    let pushed = output.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}

impl Chain for Ipc {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(buf) = input.pop()
        {
            if buf.kind() != kind::DATA {
                self.on_marker(cx, buf, output);
            } else if let Err(buf) = self.receive(cx, buf, output) {
                let back = input.unpop(buf);
                assert!(back.is_ok(), "it was just popped");
                return;
            }
        }
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, session)) = self.sessions.next_from(self.drained) {
            // A command that is whole is answered, which closes.
            if !session.over {
                if output.push(Buf::marker(conn, kind::CLOSE)).is_err() {
                    return;
                }
                self.end(conn);
            }
            self.drained = conn.slot() + 1;
        }
    }

    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        while let Some((conn, session)) = self.sessions.next_from(self.ticked) {
            if !session.over && cx.now.ns_since(session.began) >= self.settings.command_timeout_ns {
                if messages.is_full() {
                    return true;
                }
                cx.counters.add(Counter::Timeouts, 1);
                let part = self.end(conn);
                self.fault(cx, conn, Fault::Timeout, part, messages);
            }
            self.ticked = conn.slot() + 1;
        }
        self.ticked = 0;
        false
    }
}
