//! Messages that wait for their turn on a connection, in the order they came in; with some of them the
//! service has begun already.

use super::exchange::{Answer, Exchange};
use super::output::{Stalled, push};
use super::{Http, Request, Service};
use crate::counters::Reason;
use crate::limits::HTTP_HELD_BUFS_MAX;
use crate::mem::{Buf, BufList, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::{BODY, FAULT, HEAD, HeadMeta, TRAILERS};

/// Messages of a connection with which the service has begun, ahead of their turn.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// How many they are. They alone are in the exchange's list then.
    count: u32,
    /// What is held behind them.
    behind: BufList,
}

impl Ahead {
    pub const NONE: Self = Self { count: 0, behind: BufList::EMPTY };

    /// With nothing ahead, all that is held is in one list.
    fn close_up(&mut self, exchange: &mut Exchange) {
        if self.count == 0 {
            exchange.held = std::mem::replace(&mut self.behind, BufList::EMPTY);
        }
    }
}

impl<S: Service> Http<S> {
    /// Keeps a message for later, behind those that are kept. What nobody has room for costs its
    /// connection.
    pub(super) fn hold(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        let (ends, upgrades) = (is_end(&message), is_upgrade(&message));
        let exchange = &mut self.exchanges[conn.slot() as usize];
        let ahead = &mut self.ahead[conn.slot() as usize];
        let list = if ahead.count == 0 { &mut exchange.held } else { &mut ahead.behind };
        if let Err(message) = self.held.push(list, message) {
            return self.cut_off(cx, message, out);
        }
        exchange.held_bufs += 1;
        exchange.held_ends += u16::from(ends);
        if exchange.held_bufs == 1 {
            self.go_ahead(cx, conn);
        }
        self.pause_if_full(conn, upgrades, out);
    }

    /// Puts a message back whose turn has come, but which found no slot.
    pub(super) fn hold_first(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        let (ends, upgrades) = (is_end(&message), is_upgrade(&message));
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if let Err(message) = self.held.push_front(&mut exchange.held, message) {
            return self.cut_off(cx, message, out);
        }
        let ahead = &mut self.ahead[conn.slot() as usize];
        if ahead.count > 0 {
            ahead.count += 1;
            return;
        }
        exchange.held_bufs += 1;
        exchange.held_ends += u16::from(ends);
        self.pause_if_full(conn, upgrades, out);
    }

    #[cold]
    fn cut_off(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        cx.extensions.end_message(message.message());
        cx.drop_buf(message, Reason::Protocol);
        self.hang_up(cx, Buf::marker(conn, kind::ABORT), out);
    }

    /// Receives no more while too much waits. What comes behind a wish to upgrade waits as it came, so
    /// that its number tells nothing: of that, no more is to come.
    fn pause_if_full(&mut self, conn: ConnId, upgrades: bool, out: &mut Burst) {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        let full = u32::from(exchange.held_bufs) > HTTP_HELD_BUFS_MAX;
        if (full || upgrades) && !exchange.paused {
            exchange.paused = true;
            push(out, Buf::marker(conn, kind::PAUSE));
        }
    }

    /// Lets the service begin with requests that wait, one after the other, as far as it will.
    fn go_ahead(&mut self, cx: &mut Cx, conn: ConnId) {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if !matches!(exchange.answer, Answer::Owed | Answer::Streaming) || exchange.body_open {
            return;
        }
        let ahead = &mut self.ahead[conn.slot() as usize];
        if ahead.count == 0 {
            std::mem::swap(&mut exchange.held, &mut ahead.behind);
        }
        while let Some(next) = self.held.front(&ahead.behind)
            && may_go_ahead(next)
            && self.service.ahead(cx, &Request::new(next))
            && let Some(next) = self.held.pop(&mut ahead.behind)
        {
            let moved = self.held.push(&mut exchange.held, next);
            assert!(moved.is_ok(), "it was just popped");
            ahead.count += 1;
            exchange.held_bufs -= 1;
        }
        ahead.close_up(exchange);
    }

    /// Whether the first of the messages that are held has nothing to wait for any more.
    pub(super) fn front_may_go(&self, conn: ConnId) -> bool {
        let exchange = &self.exchanges[conn.slot() as usize];
        let done = exchange.answer == Answer::Done;
        match self.held.front(&exchange.held).map(Buf::kind) {
            None => false,
            Some(BODY | TRAILERS) => !exchange.holds_body(),
            Some(HEAD) => done,
            Some(_) => done || exchange.may_be_cut(),
        }
    }

    /// Whether a fault waits for a slot that is answered in the place of a response which waits too.
    pub(super) fn fault_is_first(&self, conn: ConnId) -> bool {
        let exchange = &self.exchanges[conn.slot() as usize];
        let front = self.held.front(&exchange.held).map(Buf::kind);
        front == Some(FAULT) && exchange.is_at_fault()
    }

    /// Handles the next message that was held.
    pub(super) fn release(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        let message = self.held.pop(&mut exchange.held).expect("the caller saw it");
        let ahead = &mut self.ahead[conn.slot() as usize];
        if ahead.count > 0 {
            ahead.count -= 1;
            ahead.close_up(exchange);
        } else {
            exchange.held_bufs -= 1;
            exchange.held_ends -= u16::from(is_end(&message));
        }
        if let Err(message) = self.handle(cx, message, out) {
            self.hold_first(cx, message, out);
            return Err(Stalled);
        }
        self.go_ahead(cx, conn);
        Ok(())
    }

    pub(super) fn resume(&mut self, conn: ConnId, out: &mut Burst) {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if exchange.paused && exchange.held_bufs == 0 {
            exchange.paused = false;
            push(out, Buf::marker(conn, kind::RESUME));
        }
    }

    /// Whether the service has begun with something that is held.
    pub(super) fn is_ahead(&self, conn: ConnId) -> bool {
        self.ahead[conn.slot() as usize].count > 0
    }

    /// Drops all that is held of a connection.
    pub(super) fn drop_held(&mut self, cx: &mut Cx, conn: ConnId) {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        let mut ahead = std::mem::replace(&mut self.ahead[conn.slot() as usize], Ahead::NONE);
        for list in [&mut exchange.held, &mut ahead.behind] {
            while let Some(message) = self.held.pop(list) {
                cx.extensions.end_message(message.message());
                cx.drop_buf(message, Reason::NotWanted);
            }
        }
    }
}

/// Whether a service may begin with it while those before it are not answered: a request that is whole,
/// and after which the connection speaks HTTP.
fn may_go_ahead(message: &Buf) -> bool {
    message.kind() == HEAD && !HeadMeta::of(message).has_body() && !HeadMeta::of(message).upgrade()
}

/// Whether a body ends with this message.
pub(super) fn is_end(message: &Buf) -> bool {
    message.kind() == BODY && message.meta() != 0
}

/// Whether it is a request for another protocol.
fn is_upgrade(message: &Buf) -> bool {
    message.kind() == HEAD && HeadMeta::of(message).upgrade()
}
