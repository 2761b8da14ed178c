//! A connection of a port: the peer is a listener of a dataplane on this machine.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::{Ready, poll_for};
use crate::attach::{self, Attachment, Message, Queue};
use crate::mem::{ConnId, kind};
use crate::port::Role;
use crate::stream::bell::Bell;
use crate::stream::{Address, Error};

/// How long to wait for slots or room in the ring: nobody rings for those.
const NAP: Duration = Duration::from_millis(1);

/// One connection at a port that this process is attached to.
pub(in crate::stream) struct PortLink {
    port: Attachment,
    conn: ConnId,
    /// What came and was not taken whole.
    rest: Option<Message>,
    ended: bool,
}

impl PortLink {
    /// Attaches and opens a connection.
    pub(in crate::stream) fn open(
        socket: &Path,
        name: &str,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let options = attach::Options { role: Some(Role::Peer), timeout, ..Default::default() };
        let port = Attachment::connect(socket, name, options)?;
        let mut link = Self { port, conn: ConnId::NONE, rest: None, ended: false };
        let number = link.queue().connect();
        let began = Instant::now();
        loop {
            match link.queue().receive() {
                Some(word) if word.number != number => {}
                Some(word) if word.kind == kind::OPEN => {
                    link.conn = word.conn;
                    return Ok(link);
                }
                Some(_) => return Err(refused(name, "its listener refused the connection")),
                None if began.elapsed() > timeout => {
                    return Err(refused(name, "its listener did not answer in time"));
                }
                None => link.port.wait(Some(Duration::from_millis(100)))?,
            }
        }
    }

    fn queue(&mut self) -> &mut Queue {
        &mut self.port.queues()[0]
    }

    pub(super) fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            if let Some(message) = &mut self.rest {
                let count = message.bytes().len().min(room.len());
                room[..count].copy_from_slice(&message.bytes()[..count]);
                message.advance(count);
                if message.bytes().is_empty() {
                    self.rest = None;
                }
                return Ok(Some(count));
            }
            if self.ended {
                return Ok(Some(0));
            }
            let Some(message) = self.queue().receive() else { break };
            match message.kind {
                _ if message.conn != self.conn => {}
                kind::DATA if !message.bytes().is_empty() => self.rest = Some(message),
                kind::EOF | kind::CLOSED => self.ended = true,
                _ => {}
            }
        }
        // What was taken goes home with the next flush.
        self.queue().flush();
        if self.port.is_alive() { Ok(None) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        let conn = self.conn;
        let queue = self.queue();
        let most = bytes.len().min(queue.slot_bytes_max());
        let message = queue.alloc(conn, most).or_else(|| queue.alloc(conn, 1));
        let sent = message.map(|mut message| {
            let count = message.spare_mut().len().min(bytes.len());
            message.append(&bytes[..count]);
            queue.send(message);
            count
        });
        queue.flush();
        sent
    }

    pub(super) fn wait(
        &mut self,
        bell: &Bell,
        wants_room: bool,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        self.queue().flush();
        let ready = Ready { readable: true, writable: true };
        if self.rest.is_some() || !self.port.prepare_sleep() {
            self.port.awake();
            return Ok(ready);
        }
        let timeout = if wants_room { Some(timeout.map_or(NAP, |t| t.min(NAP))) } else { timeout };
        let mut fds = [
            PollFd::new(self.port.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.port.lifeline(), PollFlags::POLLIN),
            PollFd::new(bell.as_fd(), PollFlags::POLLIN),
        ];
        let waited = poll_for(&mut fds, timeout);
        self.port.awake();
        waited.map(|()| ready)
    }

    pub(super) fn finish(&mut self) {
        let conn = self.conn;
        self.queue().send(Message::marker(conn, kind::EOF));
        self.queue().flush();
    }
}

fn refused(name: &str, why: &str) -> Error {
    let remedy = "see `ringway ctl ports`, and give its listener protocol = \"stream\"";
    Error::setup(&Address::Port(name.to_owned()), why, remedy)
}
