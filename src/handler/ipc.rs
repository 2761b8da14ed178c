//! From a function of a command to a handler of bursts: [`Service`], and the [`Ipc`] that calls it,
//! once for each connection, and sends what it replies. What a command is, `proto::ipc` knows.

mod builtin;
mod exchange;
mod reply;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use crate::proto::ipc::Command;
pub use builtin::Builtin;
pub use reply::{Pull, Reply};

use crate::limits::{
    IPC_PULL_BYTES, IPC_PULL_PARTS_MAX, IPC_REPLY_KEPT_BYTES, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES,
};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::chain::ipc::{COMMAND, FAULT, FaultMeta};
use crate::pipeline::{Cx, Handler};
use exchange::{Exchange, Source};

#[cfg(test)]
mod tests;

/// What answers commands. A function is one:
///
/// ```
/// use std::fmt::Write;
/// use ringway::handler::ipc::{Command, Reply};
/// use ringway::pipeline::Cx;
///
/// fn answer(_cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
///     match command.name {
///         "greet" => { let _ = writeln!(reply, "hello, {}", command.arguments); }
///         other => reply.fail(404, format_args!("no command `{other}`")),
///     }
/// }
/// ```
///
/// One that streams implements the trait. It runs on the lcore: what takes long holds up all the
/// others. A panic costs its connection, which gets an error, or, once bytes of the reply are out, is
/// cut off; the service lives on as the panic left it, so what it was changing may be changed by half.
pub trait Service {
    /// Answers a command, once. What is written to `reply` is sent as room comes, and the connection
    /// is closed behind it.
    fn call(&mut self, cx: &mut Cx, command: &Command<'_>, reply: &mut Reply);

    /// The next part of a reply that is a [`stream`](Reply::stream), as large as one slot at most.
    /// Asked when the peer has taken most of what came before.
    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let _ = (cx, conn);
        Pull::End
    }

    /// The connection is gone before its streamed reply came to its end.
    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let _ = (cx, conn);
    }
}

impl<F: FnMut(&mut Cx, &Command<'_>, &mut Reply)> Service for F {
    fn call(&mut self, cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        self(cx, command, reply);
    }
}

/// Times that the transport may owe us the word that all is out: the next part of a reply is made
/// while the one before it is being sent.
const FLUSHES_MAX: u8 = 2;

/// Bufs for which there has to be room before a message is looked at: a part, and the `FLUSH` or
/// `CLOSE` behind it.
const ROOM: usize = 2;

/// Calls a [`Service`] for each command and sends its replies. A peer that takes nothing holds no
/// more than twice [`IPC_PULL_BYTES`] in slots; what else its reply has waits on the heap.
pub struct Ipc<S> {
    service: S,
    /// By connection slot.
    exchanges: Box<[Exchange]>,
    /// Room for the next reply, used again and again.
    scratch: Vec<u8>,
}

/// Why nothing more is sent now.
enum Stop {
    /// The reply is whole.
    End,
    /// There is nothing to send, or no slot to send it in.
    Wait,
    /// It never will be whole.
    Cut,
}

impl<S: Service> Ipc<S> {
    /// A handler for connections with slots below `slots`.
    pub fn new(slots: u32, service: S) -> Self {
        let exchanges = (0..slots).map(|_| Exchange::NONE).collect();
        Self { service, exchanges, scratch: Vec::with_capacity(IPC_REPLY_KEPT_BYTES) }
    }

    fn exchange(&mut self, conn: ConnId) -> &mut Exchange {
        &mut self.exchanges[conn.slot() as usize]
    }

    fn on_message(&mut self, cx: &mut Cx, message: Buf, out: &mut Burst) {
        let conn = message.conn();
        match message.kind() {
            COMMAND => self.on_command(cx, &message, out),
            FAULT => {
                let FaultMeta { fault, json } = FaultMeta::of(&message);
                let mut reply = Reply::new(conn, json, std::mem::take(&mut self.scratch));
                reply.fail(fault.code(), fault.message());
                self.send(cx, reply, out);
            }
            // Where the chain has seen that there will be no command.
            kind::CLOSE => push(out, message),
            kind::FLUSHED => {
                let exchange = self.exchange(conn);
                exchange.flushes = exchange.flushes.saturating_sub(1);
                self.advance(cx, conn, out);
            }
            kind::CLOSED => self.abandon(cx, conn),
            _ => {}
        }
    }

    fn on_command(&mut self, cx: &mut Cx, message: &Buf, out: &mut Burst) {
        let text = std::str::from_utf8(message).expect("the chain hands on UTF-8");
        let command = Command::parse(text);
        let conn = message.conn();
        let mut reply = Reply::new(conn, command.json, std::mem::take(&mut self.scratch));
        let call = || self.service.call(cx, &command, &mut reply);
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            reply.fail(500, format_args!("the command `{}` failed: it panicked", command.name));
        }
        self.send(cx, reply, out);
    }

    fn send(&mut self, cx: &mut Cx, reply: Reply, out: &mut Burst) {
        let conn = reply.conn();
        *self.exchange(conn) = reply.into_exchange();
        self.advance(cx, conn, out);
    }

    /// Sends what there is room for. Where there is more, the transport says when it is out.
    fn advance(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) {
        while self.exchange(conn).is_open() && self.exchange(conn).flushes < FLUSHES_MAX {
            let stop = self.send_window(cx, conn, out);
            match stop {
                Some(Stop::End) => return self.end(conn, Buf::linger(conn), out),
                Some(Stop::Cut) => return self.end(conn, Buf::marker(conn, kind::ABORT), out),
                Some(Stop::Wait) if self.exchange(conn).flushes > 0 => return,
                Some(Stop::Wait) | None => {}
            }
            self.exchange(conn).flushes += 1;
            push(out, Buf::marker(conn, kind::FLUSH));
            if stop.is_some() || out.room() < ROOM {
                return;
            }
        }
    }

    /// Sends parts until a window is full (`None`), or says why not. Leaves room for one marker.
    fn send_window(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) -> Option<Stop> {
        let (mut bytes, mut parts) = (0, 0);
        while bytes < IPC_PULL_BYTES && parts < IPC_PULL_PARTS_MAX && out.room() >= ROOM {
            let part = match self.next_part(cx, conn) {
                Ok(part) => part,
                Err(stop) => return Some(stop),
            };
            parts += 1;
            bytes += part.len();
            if !part.is_empty() {
                push(out, part);
            }
        }
        None
    }

    fn next_part(&mut self, cx: &mut Cx, conn: ConnId) -> Result<Buf, Stop> {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if exchange.sent < exchange.text.len() {
            let part = slotful(cx, conn, &exchange.text[exchange.sent..]).ok_or(Stop::Wait)?;
            exchange.sent += part.len();
            return Ok(part);
        }
        if exchange.source != Source::Service {
            return Err(Stop::End);
        }
        match catch_unwind(AssertUnwindSafe(|| self.service.pull(cx, conn))) {
            Ok(Pull::Part(mut part)) => {
                part.set_conn(conn);
                part.set_kind(kind::DATA, 0);
                Ok(part)
            }
            Ok(Pull::Wait) => Err(Stop::Wait),
            Ok(Pull::End) => Err(Stop::End),
            Ok(Pull::Cut) | Err(_) => Err(Stop::Cut),
        }
    }

    fn end(&mut self, conn: ConnId, last: Buf, out: &mut Burst) {
        push(out, last);
        self.forget(conn);
    }

    fn abandon(&mut self, cx: &mut Cx, conn: ConnId) {
        if self.exchange(conn).source == Source::Service {
            // The connection is gone in any case.
            let _ = catch_unwind(AssertUnwindSafe(|| self.service.closed(cx, conn)));
        }
        self.forget(conn);
    }

    /// Keeps the room of its reply for the next one, unless it is a waste of memory.
    fn forget(&mut self, conn: ConnId) {
        let exchange = std::mem::replace(self.exchange(conn), Exchange::NONE);
        let room = exchange.text.capacity();
        if room > self.scratch.capacity() && room <= IPC_REPLY_KEPT_BYTES {
            self.scratch = exchange.text;
            self.scratch.clear();
        }
    }
}

impl<S: Service> Handler for Ipc<S> {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM
            && let Some(message) = input.pop()
        {
            self.on_message(cx, message, output);
        }
    }
}

/// As much of `bytes` as a slot takes; a small one where no large one is free.
fn slotful(cx: &Cx, conn: ConnId, bytes: &[u8]) -> Option<Buf> {
    let wanted = bytes.len().min(LARGE_SLOT_BYTES as usize);
    let part = cx.alloc(wanted, conn);
    let small = || cx.alloc(SMALL_SLOT_BYTES as usize, conn);
    let mut part = if wanted > SMALL_SLOT_BYTES as usize { part.or_else(small) } else { part }?;
    let fits = part.append(&bytes[..wanted.min(part.tailroom())]);
    debug_assert!(fits, "no more than there is room");
    Some(part)
}

fn push(out: &mut Burst, buf: Buf) {
    let pushed = out.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}
