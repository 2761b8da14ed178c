//! What other threads can ask of an lcore, and how they hear what became of it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::Lcore;
use super::writes::owner;
use crate::error::{Error, Result};
use crate::mailbox::Sender;
use crate::mem::{Buf, ConnId, Mempool, Share};
use crate::pipeline::write::{
    ConnHandle, Inlet, Inlets, Letterbox, Word, WriteCallback, Writes, Written,
};

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
    /// What handles of connections and groups ask for.
    Word(Word),
    /// Serve this connected socket on a listener (W-2).
    Adopt {
        /// Index of the listener.
        listener: u8,
        /// The socket.
        socket: OwnedFd,
        /// Told the connection's id, or why not.
        done: AdoptCallback,
    },
    /// Let the handler of this connection hear [`kind::WAKE`](crate::mem::kind::WAKE).
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
    inlet: Arc<Inlet>,
}

impl Letterbox for Sender<Mail> {
    fn post(&self, word: Word) -> std::result::Result<(), Word> {
        Sender::post(self, Mail::Word(word)).map_err(|mail| match mail {
            Mail::Word(word) => word,
            _ => unreachable!("a mailbox gives back what it was given"),
        })
    }

    fn is_closed(&self) -> bool {
        Sender::is_closed(self)
    }
}

impl Handle {
    /// The handle of the lcore that reads the mail of `sender`.
    pub fn new(sender: Sender<Mail>) -> Self {
        let inlet = Arc::new(Inlet::new(Box::new(sender.clone())));
        Self { sender, inlet }
    }

    /// What the lcore of this handle has to have in its [`Cx`](crate::pipeline::Cx), so that handles of its connections
    /// and groups reach it: number `lcore` of `inlets`, with connections in slots below `slots`, and copies in `pool`.
    /// All that is slow may hold `share` of that while it is short.
    pub fn writes(
        &self,
        lcore: u8,
        inlets: Arc<Inlets>,
        pool: Mempool,
        slots: u32,
        share: Share,
    ) -> Writes {
        self.inlet.open(pool, slots);
        Writes::new(lcore, self.inlet.clone(), inlets, share)
    }

    /// A handle of one connection of the lcore.
    pub fn conn(&self, conn: ConnId) -> ConnHandle {
        ConnHandle::new(conn, self.inlet.clone())
    }

    /// Sends `buf` on its connection (see [`Buf::set_conn`]) as a [`ConnHandle`] would; `done` is told once, on the
    /// lcore's thread. Gives the mail back when the lcore's box is full.
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

    /// Wakes a connection of the lcore: its handler hears [`kind::WAKE`](crate::mem::kind::WAKE), and a stream that had nothing
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

impl Lcore {
    /// Does what a mail asks.
    pub(super) fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Write { buf, done } => {
                self.cx.writes.backlog.begin(buf.conn(), buf.len());
                self.write(buf, done);
            }
            Mail::Word(word) => self.hear(word),
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
        self.pending.lose_all();
        while let Some(mail) = self.mailbox.take() {
            match mail {
                Mail::Write { done: Some(done), .. } | Mail::Word(Word::Write(_, Some(done))) => {
                    done(Written::Lost);
                }
                Mail::Adopt { done, .. } => {
                    let why = "the lcore has ended";
                    done(Err(Error::new("adopt a socket", why, "adopt it before the stop")));
                }
                _ => {}
            }
        }
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
        self.books.count_for(index.into(), &mut self.io, &mut self.cx);
        listener.transport.adopt(&mut self.io, socket)
    }
}
