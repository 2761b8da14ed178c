//! What the connections of a router are in the middle of.

use super::super::Body;
use super::super::ctx::{Ctx, Pending};
use super::super::response::Reply;
use super::table::Params;
use crate::limits::{HTTP_COLLECTED_BYTES_MAX, PROTOCOL_TICK_NS};
use crate::mem::{Buf, ConnId};
use crate::time::Instant;

/// What a connection is in the middle of.
enum State {
    Idle,
    /// A request without an answer.
    Asked(Box<Asked>),
    /// A response that its route streams, or another protocol, on that connection; whether it is a WebSocket.
    Running(u32, ConnId, bool),
}

/// A request without an answer.
pub(super) struct Asked {
    pub conn: ConnId,
    pub route: u32,
    pub params: Params,
    pub entered: usize,
    /// Its head, for layers and handlers that look at it again.
    pub head: Buf,
    /// What has come of a body that is wanted whole.
    pub body: Vec<u8>,
    /// When it is late.
    pub deadline: Instant,
    pub id: u64,
    pub began: Instant,
    /// What its answer comes from.
    pub pending: Option<Box<dyn Pending>>,
    /// It is held before the service, which is asked again.
    pub waits: bool,
}

/// What each connection is in the middle of. Most are in nothing, and cost 16 bytes at most.
pub(super) struct States {
    /// By connection slot, as far as the highest that ever needed one.
    states: Vec<State>,
    /// When requests are looked at next that may be late, and the first of them.
    look: (Instant, usize),
    /// Bytes of all bodies that are not whole.
    collected: usize,
}

const _: () = assert!(size_of::<State>() <= 16);

impl Default for States {
    fn default() -> Self {
        Self { states: Vec::new(), look: (Instant::from_ns(0), 0), collected: 0 }
    }
}

impl States {
    fn state(&mut self, conn: ConnId) -> &mut State {
        let slot = conn.slot() as usize;
        if slot >= self.states.len() {
            self.states.resize_with(slot + 1, || State::Idle);
        }
        &mut self.states[slot]
    }

    /// A request has no answer yet.
    pub fn begin(&mut self, ctx: &mut Ctx<'_>, route: u32, waits: bool) {
        self.keep(Box::new(Asked {
            conn: ctx.conn(),
            route,
            params: *ctx.params,
            entered: ctx.entered,
            head: ctx.request.share(),
            body: Vec::new(),
            deadline: ctx.deadline,
            id: ctx.id,
            began: ctx.began,
            pending: ctx.pending.take(),
            waits,
        }));
    }

    /// It still has none.
    pub fn keep(&mut self, asked: Box<Asked>) {
        let conn = asked.conn;
        *self.state(conn) = State::Asked(asked);
    }

    /// More of a body. `false`: there are too many bytes of bodies, and it is dropped.
    pub fn collect(&mut self, asked: &mut Asked, part: &[u8]) -> bool {
        if self.collected + part.len() > HTTP_COLLECTED_BYTES_MAX {
            self.take_collected(asked);
            return false;
        }
        self.collected += part.len();
        asked.body.extend_from_slice(part);
        true
    }

    /// What has come of a body.
    pub fn take_collected(&mut self, asked: &mut Asked) -> Vec<u8> {
        self.collected -= asked.body.len();
        std::mem::take(&mut asked.body)
    }

    /// The same, put back.
    pub fn give_back(&mut self, asked: &mut Asked, body: Vec<u8>) {
        self.collected += body.len();
        asked.body = body;
    }

    /// A reply is on its way: its route may go on to have to do with the connection.
    #[inline]
    pub fn note(&mut self, conn: ConnId, route: u32, reply: &Reply) {
        if let Reply::Response(response) = reply
            && response.is_service()
        {
            let is_websocket = matches!(response.body, Body::WebSocket(_));
            *self.state(conn) = State::Running(route, conn, is_websocket);
        }
    }

    /// A request comes to its turn: whatever went on before is over, unless it is one that waited.
    #[inline]
    pub fn turn(&mut self, conn: ConnId) -> Option<Box<Asked>> {
        let state = self.states.get_mut(conn.slot() as usize)?;
        if matches!(state, State::Running(..)) {
            *state = State::Idle;
        }
        self.take_asked(conn)
    }

    /// The request of a connection that has no answer yet.
    #[inline]
    pub fn take_asked(&mut self, conn: ConnId) -> Option<Box<Asked>> {
        let state = self.states.get_mut(conn.slot() as usize)?;
        if !matches!(state, State::Asked(asked) if asked.conn == conn) {
            return None;
        }
        match std::mem::replace(state, State::Idle) {
            State::Asked(asked) => Some(asked),
            _ => unreachable!("it was just seen"),
        }
    }

    /// A request that should have been answered by now. They are looked at once a second.
    pub fn take_late(&mut self, now: Instant) -> Option<Box<Asked>> {
        let (at, from) = self.look;
        if now < at {
            return None;
        }
        let is_late = |state: &State| match state {
            State::Asked(asked) => !asked.waits && asked.deadline <= now,
            _ => false,
        };
        let waiting = self.states.get_mut(from..).unwrap_or_default();
        let Some(index) = waiting.iter().position(is_late) else {
            self.look = (now.after_ns(PROTOCOL_TICK_NS), 0);
            return None;
        };
        self.look.1 = from + index + 1;
        match std::mem::replace(&mut waiting[index], State::Idle) {
            State::Asked(asked) => Some(asked),
            _ => unreachable!("it was just seen"),
        }
    }

    /// The route that has to do with a connection now.
    pub fn route(&self, conn: ConnId) -> Option<u32> {
        match self.states.get(conn.slot() as usize)? {
            State::Idle => None,
            State::Asked(asked) => (asked.conn == conn).then_some(asked.route),
            State::Running(route, of, _) => (*of == conn).then_some(*route),
        }
    }

    /// Whether a WebSocket is open on a connection.
    pub fn is_websocket(&self, conn: ConnId) -> bool {
        let state = self.states.get(conn.slot() as usize);
        matches!(state, Some(State::Running(_, of, true)) if *of == conn)
    }

    /// It has no more to do with it.
    pub fn end(&mut self, conn: ConnId) {
        if let State::Asked(mut asked) = std::mem::replace(self.state(conn), State::Idle) {
            self.take_collected(&mut asked);
        }
    }
}
