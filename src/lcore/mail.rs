//! What other threads can ask of an lcore, and how they hear what became of it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{Lcore, Listener};
use crate::error::{Error, Result};
use crate::limits::PENDING_WRITES_MAX;
use crate::mailbox::Sender;
use crate::mem::{Buf, ConnId, kind};
use crate::transport::Notice;

/// What became of a write from another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All its bytes were handed to the system, in order with those before.
    Sent,
    /// The connection was gone, or was lost before the bytes were out.
    Lost,
    /// Too much waits for that peer already, or [`PENDING_WRITES_MAX`] writes for that lcore.
    /// Nothing was sent; try again later, or give the peer up.
    Refused,
}

/// Told once, on the lcore's thread: keep it short.
pub type WriteCallback = Box<dyn FnOnce(Written) + Send>;

/// Told once, on the lcore's thread, what became of an adoption.
pub type AdoptCallback = Box<dyn FnOnce(Result<ConnId>) + Send>;

/// A request to an lcore.
pub enum Mail {
    /// Send these bytes on the connection that the buf names (G-8).
    Write {
        /// The bytes, from any mempool that outlives the dataplane.
        buf: Buf,
        /// Told when they are out or lost.
        done: Option<WriteCallback>,
    },
    /// Serve this connected socket on a listener (W-2).
    Adopt {
        /// Index of the listener.
        listener: u8,
        /// The socket.
        socket: OwnedFd,
        /// Told the connection's id, or why not.
        done: AdoptCallback,
    },
    /// Let the handler of this connection hear [`kind::WAKE`].
    Wake(ConnId),
    /// Accept no more and let connections finish, for at most so long.
    Drain(Duration),
    /// Close every connection now.
    Stop,
    /// Do this on the lcore's thread, between two passes.
    Call(Box<dyn FnOnce(&mut Lcore) + Send>),
}

/// An lcore as other threads see it. Clones name the same lcore; no call blocks.
#[derive(Clone)]
pub struct Handle {
    sender: Sender<Mail>,
}

impl Handle {
    /// The handle of the lcore that reads the mail of `sender`.
    pub fn new(sender: Sender<Mail>) -> Self {
        Self { sender }
    }

    /// Sends `buf` on its connection (see [`Buf::set_conn`]); `done` is told once, on the lcore's
    /// thread. Gives the mail back when the lcore's box is full.
    pub fn write(&self, buf: Buf, done: Option<WriteCallback>) -> std::result::Result<(), Mail> {
        self.sender.post(Mail::Write { buf, done })
    }

    /// Hands a connected socket to a listener of the lcore.
    pub fn adopt(
        &self,
        listener: u8,
        socket: OwnedFd,
        done: AdoptCallback,
    ) -> std::result::Result<(), Mail> {
        self.sender.post(Mail::Adopt { listener, socket, done })
    }

    /// Whether the lcore has ended, so that nothing reaches it any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Wakes a connection of the lcore: its handler hears [`kind::WAKE`], and a stream that had nothing
    /// to give ([`Pull::Wait`](crate::handler::http::Pull::Wait)) is asked again. Wakes that it has not
    /// heard yet are one, and one of a connection that is gone is none. Gives the mail back when the
    /// lcore's box is full: then nobody was woken.
    ///
    /// What the handler is to find has to be in its place before this call.
    pub fn wake(&self, conn: ConnId) -> std::result::Result<(), Mail> {
        self.sender.post(Mail::Wake(conn))
    }

    /// Posts any mail.
    pub fn post(&self, mail: Mail) -> std::result::Result<(), Mail> {
        self.sender.post(mail)
    }
}

/// The listener that `conn` is a connection of, with its index.
fn owner(listeners: &mut [Option<Box<Listener>>], conn: ConnId) -> Option<(usize, &mut Listener)> {
    let mut present =
        listeners.iter_mut().enumerate().filter_map(|(index, l)| Some((index, l.as_deref_mut()?)));
    present.find(|(_, listener)| listener.transport.owns(conn))
}

fn tell(done: Option<WriteCallback>, written: Written) {
    if let Some(done) = done {
        done(written);
    }
}

/// Writes whose authors wait to hear of them, by ticket.
pub(super) struct PendingWrites {
    callbacks: Vec<Option<WriteCallback>>,
    free: Vec<u32>,
}

impl PendingWrites {
    pub fn new() -> Self {
        Self { callbacks: Vec::new(), free: Vec::new() }
    }

    /// A ticket for `done`, or `done` back when too many wait.
    fn register(&mut self, done: WriteCallback) -> std::result::Result<u32, WriteCallback> {
        let ticket = match self.free.pop() {
            Some(ticket) => ticket,
            None if self.callbacks.len() < PENDING_WRITES_MAX => {
                self.callbacks.push(None);
                self.callbacks.len() as u32 - 1
            }
            None => return Err(done),
        };
        self.callbacks[ticket as usize] = Some(done);
        Ok(ticket)
    }

    pub fn settle(&mut self, notice: Notice) {
        let done = self.callbacks[notice.ticket as usize].take();
        self.free.push(notice.ticket);
        let done = done.expect("a ticket is settled once");
        done(if notice.sent { Written::Sent } else { Written::Lost });
    }
}

impl Lcore {
    /// Does what a mail asks.
    pub(super) fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Write { buf, done } => self.write(buf, done),
            Mail::Adopt { listener, socket, done } => done(self.adopt(listener, socket)),
            Mail::Wake(conn) => self.wake(conn),
            Mail::Drain(patience) => self.begin_drain(patience),
            Mail::Stop => self.stop(),
            Mail::Call(call) => call(self),
        }
    }

    /// Tells the authors of mail that comes too late.
    pub(super) fn refuse_mail(&mut self) {
        self.mailbox.close();
        while let Some(mail) = self.mailbox.take() {
            match mail {
                Mail::Write { done: Some(done), .. } => done(Written::Lost),
                Mail::Adopt { done, .. } => {
                    let why = "the lcore has ended";
                    done(Err(Error::new("adopt a socket", why, "adopt it before the stop")));
                }
                _ => {}
            }
        }
    }

    /// Queues bytes on a connection, and behind them the marker that reports on them.
    fn write(&mut self, buf: Buf, done: Option<WriteCallback>) {
        let conn = buf.conn();
        let Some((index, listener)) = owner(&mut self.listeners, conn) else {
            return tell(done, Written::Lost);
        };
        if listener.tx.room() < 2 {
            listener.transport.tx_burst(&mut self.io, &mut listener.tx);
        }
        if listener.tx.room() < 2 || !listener.transport.has_room(conn) {
            return tell(done, Written::Refused);
        }
        let marker = match done.map(|done| self.writes.register(done)) {
            None => None,
            Some(Ok(ticket)) => {
                let mut marker = Buf::marker(conn, kind::NOTIFY);
                marker.set_kind(kind::NOTIFY, ticket);
                Some(marker)
            }
            Some(Err(done)) => {
                return done(Written::Refused);
            }
        };
        for buf in std::iter::once(buf).chain(marker) {
            let pushed = listener.tx.push(buf);
            debug_assert!(pushed.is_ok(), "room was checked");
        }
        self.work |= 1 << index;
    }

    fn wake(&mut self, conn: ConnId) {
        if let Some((index, listener)) = owner(&mut self.listeners, conn) {
            listener.wake(conn);
            self.work |= 1 << index;
        }
    }

    /// Serves a connected socket on the listener at `index` (W-2).
    pub fn adopt(&mut self, index: u8, socket: OwnedFd) -> Result<ConnId> {
        let listener = self.listeners.get_mut(usize::from(index)).and_then(Option::as_mut);
        let listener = listener.ok_or_else(|| {
            Error::new(
                "adopt a socket",
                format!("there is no listener {index}"),
                "name one that runs",
            )
        })?;
        self.work |= 1 << index;
        listener.transport.adopt(&mut self.io, socket)
    }
}
