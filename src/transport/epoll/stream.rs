//! Connections: at most one receive and one send at a time on each.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::key::Key;
use super::{Epoll, NONE, errno};
use crate::limits::GATHER_MAX;
use crate::mem::Buf;
use crate::sys::epoll::{Interest, Ready};
use crate::sys::stream_socket;
use crate::sys::uring::Cqe;

/// One connection, or a slot for one.
#[derive(Debug)]
pub struct Stream {
    socket: Option<OwnedFd>,
    /// What tells the connection from those that had the slot before it.
    epoch: u32,
    /// The receive in flight.
    recv: u64,
    /// The send that waits for room.
    send: u64,
    /// It receives into large slots.
    large: bool,
    /// It has received before.
    began: bool,
    /// Epoll said that there is something to read, and no receive has found the end of it since.
    readable: bool,
    /// Epoll said that what there is to read ends.
    ended: bool,
    /// In the queue of sockets with an operation that may be made.
    queued: bool,
}

impl Stream {
    /// A slot without a connection.
    pub fn free() -> Self {
        Self {
            socket: None,
            epoch: 0,
            recv: NONE,
            send: NONE,
            large: false,
            began: false,
            readable: false,
            ended: false,
            queued: false,
        }
    }

    #[inline]
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().expect("operations are begun on open connections").as_fd()
    }
}

impl Epoll {
    /// A connection is in `slot` from here on, if it can be watched.
    pub(super) fn put(&mut self, slot: u32, socket: OwnedFd) -> io::Result<()> {
        let stream = &mut self.streams[slot as usize];
        debug_assert!(stream.socket.is_none(), "the slot is free");
        let key = Key::Stream { slot, epoch: stream.epoch };
        self.poller.watch(socket.as_fd(), Interest::Read, key.number())?;
        stream.socket = Some(socket);
        Ok(())
    }

    /// A slot for a connection that is accepted.
    pub(super) fn free_slot(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// It was not needed, or is not any more.
    pub(super) fn give_slot_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    #[inline]
    pub(super) fn note_stream(&mut self, slot: u32, epoch: u32, found: &Ready) {
        let stream = &mut self.streams[slot as usize];
        if stream.epoch != epoch || stream.socket.is_none() {
            // Of a socket that lives on in another process.
            return;
        }
        stream.readable |= found.readable;
        stream.ended |= found.ended;
        if found.writable && stream.send != NONE {
            self.send_again(slot);
        }
        self.queue_stream(slot);
    }

    /// Has its receive made, if there is one and it may find something.
    #[inline]
    fn queue_stream(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        if stream.readable && stream.recv != NONE && !stream.queued {
            stream.queued = true;
            self.ready.push_back(Key::Stream { slot, epoch: stream.epoch });
        }
    }

    #[inline]
    pub(super) fn begin_receive(&mut self, slot: u32, large: bool, token: u64) {
        let stream = &mut self.streams[slot as usize];
        debug_assert!(stream.recv == NONE, "one receive at a time");
        (stream.recv, stream.large) = (token, large);
        // A receive that is begun again looks for itself. One that brought less than there was room for is
        // taken to have left nothing, and there are two ways for that to be wrong: the peer sent urgent data
        // (tcp(7)), or descriptors (unix(7)), each of which ends a receive before its time.
        stream.readable |= stream.began;
        stream.began = true;
        self.queue_stream(slot);
    }

    /// Receives once.
    #[inline]
    pub(super) fn receive(&mut self, slot: u32) -> Option<Cqe> {
        let stream = &mut self.streams[slot as usize];
        stream.queued = false;
        if stream.recv == NONE || !stream.readable {
            return None;
        }
        let token = stream.recv;
        let Some(mut buf) = self.pool.alloc_to_receive(stream.large.into()) else {
            stream.recv = NONE;
            return Some(Cqe::last(token, -libc::ENOBUFS));
        };
        let room = buf.spare_mut().unwrap_or(&mut []);
        let room_bytes = room.len();
        match stream_socket::receive(stream.fd(), room) {
            Ok(0) => {
                stream.recv = NONE;
                Some(Cqe::last(token, 0))
            }
            Ok(bytes) => {
                stream.readable = bytes == room_bytes || stream.ended;
                buf.grow(bytes);
                self.received = Some(buf);
                self.received_bytes += bytes;
                self.queue_stream(slot);
                Some(Cqe::one_of_several(token, bytes as i32))
            }
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                stream.readable = false;
                None
            }
            Err(why) => {
                stream.recv = NONE;
                Some(Cqe::last(token, errno(&why)))
            }
        }
    }

    /// Sends what the system takes now.
    #[inline]
    pub(super) fn begin_send<'a>(
        &mut self,
        slot: u32,
        bufs: impl Iterator<Item = &'a Buf>,
        token: u64,
    ) {
        let mut pieces = [IoSlice::new(&[]); GATHER_MAX];
        let mut count = 0;
        for (piece, buf) in pieces.iter_mut().zip(bufs) {
            *piece = IoSlice::new(buf.bytes());
            count += 1;
        }
        let stream = &mut self.streams[slot as usize];
        debug_assert!(stream.send == NONE, "one send at a time");
        match stream_socket::send(stream.fd(), &pieces[..count]) {
            Ok(bytes) => self.done.push_back(Cqe::last(token, bytes as i32)),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => self.wait_to_send(slot, token),
            Err(why) => self.done.push_back(Cqe::last(token, errno(&why))),
        }
    }

    /// The system takes nothing more of this connection for now: its send completes when that has changed,
    /// with nothing sent.
    #[cold]
    fn wait_to_send(&mut self, slot: u32, token: u64) {
        self.streams[slot as usize].send = token;
        if let Err(why) = self.watch_stream(slot, Interest::ReadAndWrite) {
            self.streams[slot as usize].send = NONE;
            self.done.push_back(Cqe::last(token, errno(&why)));
        }
    }

    #[cold]
    fn send_again(&mut self, slot: u32) {
        let token = std::mem::replace(&mut self.streams[slot as usize].send, NONE);
        // Who still has an interest in room hears of it too often, and that is all.
        let _ = self.watch_stream(slot, Interest::Read);
        self.done.push_back(Cqe::last(token, -libc::EAGAIN));
    }

    fn watch_stream(&self, slot: u32, interest: Interest) -> io::Result<()> {
        let stream = &self.streams[slot as usize];
        let key = Key::Stream { slot, epoch: stream.epoch };
        self.poller.change(stream.fd(), interest, key.number())
    }

    pub(super) fn shut(&mut self, slot: u32, token: u64) {
        let result = match stream_socket::shutdown_write(self.streams[slot as usize].fd()) {
            Ok(()) => 0,
            Err(why) => errno(&why),
        };
        self.done.push_back(Cqe::last(token, result));
    }

    pub(super) fn close_stream(&mut self, slot: u32, token: u64) {
        let stream = &mut self.streams[slot as usize];
        debug_assert!(stream.recv == NONE && stream.send == NONE, "nothing is in flight on it");
        if let Some(socket) = stream.socket.take()
            && slot < self.reserved
        {
            // It may live on with whoever handed it over.
            self.poller.forget(socket.as_fd());
        }
        // Its place in the queue of those that are ready stays: who is there finds nothing to do.
        let (epoch, queued) = (stream.epoch.wrapping_add(1), stream.queued);
        *stream = Stream { epoch, queued, ..Stream::free() };
        if slot >= self.reserved {
            self.give_slot_back(slot);
        }
        self.done.push_back(Cqe::last(token, 0));
    }

    /// Whether the operation was one of this connection's.
    pub(super) fn cancel_stream(&mut self, slot: u32, target: u64) -> bool {
        let Some(stream) = self.streams.get_mut(slot as usize) else { return false };
        if stream.recv == target {
            stream.recv = NONE;
        } else if stream.send == target {
            stream.send = NONE;
        } else {
            return false;
        }
        true
    }
}
