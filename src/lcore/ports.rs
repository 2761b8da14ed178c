//! Attached processes, as an lcore sees them: their queues come and go between two passes, and their
//! bells are listened to like any other.

use std::os::fd::AsFd;

use super::Lcore;
use crate::error::{Error, Result};
use crate::limits::PORTS_MAX;
use crate::port::{PortIndex, PortTable, Queue, Role};
use crate::transport::Token;

/// Operation of the lcore's own token: an attached process rang. The token's slot is its seat, its
/// generation counts those that were attached there.
pub(super) const OP_PORT: u8 = 2;

/// The same: nobody listens any more to the bell of a process that is gone.
const OP_PORT_CANCEL: u8 = 3;

/// A port, and which side of its listener it is on.
#[derive(Clone, Copy)]
struct Seat {
    role: Role,
    port: PortIndex,
}

impl Seat {
    /// As a number, for a token.
    fn number(self) -> u32 {
        let above = if self.role == Role::Peer { PORTS_MAX as u32 } else { 0 };
        above + self.port.number()
    }

    fn of_number(number: u32) -> Option<Self> {
        let (role, number) = match number.checked_sub(PORTS_MAX as u32) {
            Some(number) => (Role::Peer, number),
            None => (Role::Handler, number),
        };
        Some(Self { role, port: PortIndex::of_number(number)? })
    }
}

impl Lcore {
    fn table(&mut self, role: Role) -> &mut PortTable {
        match role {
            Role::Handler => &mut self.cx.ports,
            Role::Peer => &mut self.io.ports,
        }
    }

    /// Announces sleep to all that are attached; `false` when one has something to say after all.
    pub(super) fn ports_may_sleep(&self) -> bool {
        self.cx.ports.sleep_unless_input() && self.io.ports.sleep_unless_input()
    }

    pub(super) fn ports_are_awake(&self) {
        self.cx.ports.awake();
        self.io.ports.awake();
    }

    fn seat_named(&self, name: &str) -> Option<Seat> {
        let seat = |role| move |port| Seat { role, port };
        let handler = self.cx.ports.named(name).map(seat(Role::Handler));
        handler.or_else(|| self.io.ports.named(name).map(seat(Role::Peer)))
    }

    /// Begins to serve a process that has attached to a port.
    ///
    /// # Errors
    /// When there is no port of this name; the queue is dropped.
    pub fn attach(&mut self, name: &str, queue: Queue) -> Result<()> {
        let Some(seat) = self.seat_named(name) else {
            let what = format!("attach to port `{name}`");
            return Err(Error::new(what, "there is none", "name a port of a listener"));
        };
        let mut queue = queue.of_role(seat.role);
        // Its first empty slots come before anything that it could answer.
        queue.flush();
        self.table(seat.role).attach(seat.port, queue);
        self.watch_port(seat);
        self.due |= 1 << self.table(seat.role).listener(seat.port);
        Ok(())
    }

    /// Takes a port away from its process, which is gone or to be cut off. All that it was lent is
    /// home when this returns; how many slots those were.
    pub fn detach(&mut self, name: &str) -> u32 {
        let Some(seat) = self.seat_named(name) else { return 0 };
        let token = self.port_token(OP_PORT, seat).user_data();
        if let Some(uring) = &mut self.io.uring {
            let own = Token::new(OP_PORT_CANCEL, Token::LCORE, 0, 0).user_data();
            uring.ring().cancel(token, own);
        } else if let Some(epoll) = &self.io.epoll
            && let Some(queue) = self.port_queue(seat)
        {
            // The process may live on, and ring.
            epoll.forget_bell(queue.bell().as_fd());
        }
        self.due |= 1 << self.table(seat.role).listener(seat.port);
        self.table(seat.role).detach(seat.port).map_or(0, |queue| queue.lent())
    }

    fn port_token(&mut self, op: u8, seat: Seat) -> Token {
        let attachments = self.table(seat.role).attachments(seat.port);
        Token::new(op, Token::LCORE, seat.number(), attachments)
    }

    /// Wakes up for the process at a port.
    fn watch_port(&mut self, seat: Seat) {
        let token = self.port_token(OP_PORT, seat).user_data();
        let ports = match seat.role {
            Role::Handler => &self.cx.ports,
            Role::Peer => &self.io.ports,
        };
        let Some(queue) = ports.peek(seat.port) else { return };
        let bell = queue.bell().as_fd();
        if let Some(uring) = &mut self.io.uring {
            uring.ring().poll_readable_multi(bell, token);
        } else if let Some(epoll) = &self.io.epoll
            && let Err(why) = epoll.watch_bell(bell)
        {
            tracing::error!("an attached process waits for the end of the lcore's naps: {why}");
        }
    }

    fn port_queue(&self, seat: Seat) -> Option<&Queue> {
        match seat.role {
            Role::Handler => self.cx.ports.peek(seat.port),
            Role::Peer => self.io.ports.peek(seat.port),
        }
    }

    /// The kernel has stopped watching a bell: begins anew, if it is still that of a process there.
    pub(super) fn port_unwatched(&mut self, token: Token) {
        if let Some(seat) = Seat::of_number(token.slot())
            && self.port_token(OP_PORT, seat).user_data() == token.user_data()
        {
            self.watch_port(seat);
        }
    }
}
