//! Sessions that wait for a slot, each alone: what comes of one meanwhile is kept as it came, and nothing more is
//! received. If their listener waited with them, what holds the slots might wait behind.

use super::ingress::{ask_to_transmit, give_up, hand_message};
use super::session::Session;
use super::unpack::try_again;
use super::{ROOM_UP, Stream, push};
use crate::counters::Reason;
use crate::limits::STREAM_SLOT_RETRY_NS;
use crate::mem::{Buf, BufList, BufStore, Burst, ConnId, kind};
use crate::pipeline::Cx;

impl Session {
    /// Whether what comes is kept and not looked at.
    pub fn is_held(&self) -> bool {
        self.stuck.is_some() || !self.parked.is_empty()
    }

    /// Drops what is kept.
    pub fn clear_parked(&mut self, store: &mut BufStore, mut drop: impl FnMut(Buf)) {
        self.stuck = None;
        while let Some(buf) = store.pop(&mut self.parked) {
            drop(buf);
        }
    }
}

impl Stream {
    /// Keeps what has come of a session that is held, or gives the session up where others need the slots.
    pub(super) fn park(&mut self, cx: &Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        self.keep(cx, buf, output, BufStore::push)
    }

    /// The same of what is left of what has come, before what came after it.
    pub(super) fn park_rest(&mut self, cx: &Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        if buf.is_empty() {
            return Ok(());
        }
        self.keep(cx, buf, output, BufStore::push_front)
    }

    fn keep(
        &mut self,
        cx: &Cx,
        buf: Buf,
        output: &mut Burst,
        put: impl FnOnce(&mut BufStore, &mut BufList, Buf) -> Result<(), Buf>,
    ) -> Result<(), Buf> {
        let session = self.sessions.get_mut(buf.conn()).expect("the caller saw it");
        let (share, held) = (self.settings.share, self.waiting.slots());
        let crowds = |class| share.is_exceeded_in(&cx.pool, held, class);
        if buf.size_class().is_some_and(crowds) {
            return give_up(cx, session, buf, output);
        }
        put(&mut self.waiting, &mut session.parked, buf)
            .or_else(|buf| give_up(cx, session, buf, output))
    }

    /// Receives nothing more of a session that has come to be held.
    pub(super) fn hold(&mut self, cx: &Cx, conn: ConnId, output: &mut Burst) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.stuck.is_some()
            && !session.closed
            && !std::mem::replace(&mut session.paused, true)
        {
            push(output, Buf::marker(conn, kind::PAUSE));
            self.held.push_back(conn);
            self.retry_at = cx.now.after_ns(STREAM_SLOT_RETRY_NS);
        }
    }

    /// Lets those that are held go on, as far as there are slots and room.
    pub(super) fn release(&mut self, cx: &mut Cx, output: &mut Burst) {
        for _ in 0..self.held.len() {
            let Some(conn) = self.held.pop_front() else { return };
            if !self.go_on(cx, conn, output) {
                self.held.push_back(conn);
            }
        }
        self.retry_at = cx.now.after_ns(STREAM_SLOT_RETRY_NS);
    }

    /// Whether a session is held no longer.
    fn go_on(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) -> bool {
        let Some(session) = self.sessions.get_mut(conn) else { return true };
        if output.room() < ROOM_UP {
            return false;
        }
        match try_again(cx, session) {
            Ok(Some(message)) => hand_message(cx, message, output),
            Ok(None) => {}
            Err(_) => return false,
        }
        if session.closed || session.connection.is_over() {
            session.clear_parked(&mut self.waiting, |buf| cx.drop_buf(buf, Reason::AfterClose));
            ask_to_transmit(session, conn, output);
            return true;
        }
        self.take_parked(cx, conn, output)
    }

    fn take_parked(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) -> bool {
        while let Some(session) = self.sessions.get_mut(conn) {
            if session.stuck.is_some() || output.room() < ROOM_UP {
                return false;
            }
            let Some(buf) = self.waiting.pop(&mut session.parked) else {
                session.paused = false;
                if !session.closed {
                    push(output, Buf::marker(conn, kind::RESUME));
                }
                return true;
            };
            let taken = match buf.kind() {
                kind::DATA => self.take(cx, buf, output),
                _ => self.on_marker(cx, buf, output),
            };
            self.note_events(conn);
            if let Err(left) = taken
                && let Some(session) = self.sessions.get_mut(conn)
            {
                let back = self.waiting.push_front(&mut session.parked, left);
                assert!(back.is_ok(), "it was just popped");
                return false;
            }
        }
        true
    }
}
