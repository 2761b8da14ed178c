//! Sockets of datagrams: a receive on each, and whoever waits for room to send.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::key::Key;
use super::{Epoll, NONE, errno};
use crate::limits::{ACCEPTS_IN_FLIGHT, EPOLL_RX_DATAGRAM_BYTES, LISTENERS_MAX};
use crate::sys::epoll::{Interest, Ready};
use crate::sys::udp_socket;
use crate::sys::uring::Cqe;
use crate::transport::Token;

/// One socket of a listener.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// A descriptor of our own of the socket, while an operation is in flight on it.
    socket: Option<OwnedFd>,
    /// The receive in flight.
    recv: u64,
    /// What waits for room.
    room: u64,
    /// Epoll said that there is something, and no receive has found nothing since.
    readable: bool,
    /// In the queue of sockets with an operation that may be made.
    queued: bool,
}

/// Which of a listener's sockets it is.
#[derive(Debug, Clone, Copy)]
pub struct Which {
    listener: u8,
    socket: u8,
}

impl Which {
    /// `None`: there are not so many.
    pub fn new(listener: u8, socket: u32) -> Option<Self> {
        let is_one = usize::from(listener) < LISTENERS_MAX && (socket as usize) < ACCEPTS_IN_FLIGHT;
        is_one.then_some(Self { listener, socket: socket as u8 })
    }

    /// That of an operation.
    fn of(token: u64) -> Self {
        let token = Token::from_user_data(token);
        Self { listener: token.listener(), socket: token.slot() as u8 }
    }

    fn key(self) -> Key {
        Key::Datagrams { listener: self.listener, socket: self.socket }
    }

    /// Where it is among all.
    fn place(self) -> usize {
        usize::from(self.listener) * ACCEPTS_IN_FLIGHT + usize::from(self.socket)
    }
}

impl Epoll {
    pub(super) fn begin_datagrams(&mut self, socket: BorrowedFd<'_>, token: u64) {
        let which = Which::of(token);
        self.datagrams[which.place()].recv = token;
        self.watch_datagrams(which, socket);
    }

    pub(super) fn wait_for_room(&mut self, socket: BorrowedFd<'_>, token: u64) {
        let which = Which::of(token);
        self.datagrams[which.place()].room = token;
        self.watch_datagrams(which, socket);
    }

    /// Watches the socket for what is wanted of it now. What fails is told to all who wait.
    fn watch_datagrams(&mut self, which: Which, socket: BorrowedFd<'_>) {
        let datagrams = &mut self.datagrams[which.place()];
        let own = match datagrams.socket.take() {
            None => socket.try_clone_to_owned(),
            Some(own) => Ok(own),
        };
        let key = which.key().number();
        let interest = if datagrams.room == NONE { Interest::Read } else { Interest::ReadAndWrite };
        let watched = own.and_then(|own| {
            self.poller.watch(own.as_fd(), interest, key)?;
            Ok(own)
        });
        match watched {
            Ok(own) => datagrams.socket = Some(own),
            Err(why) => {
                for token in [&mut datagrams.recv, &mut datagrams.room] {
                    if *token != NONE {
                        self.done.push_back(Cqe::last(mem::replace(token, NONE), errno(&why)));
                    }
                }
            }
        }
    }

    pub(super) fn note_datagrams(&mut self, which: Which, found: &Ready) {
        let datagrams = &mut self.datagrams[which.place()];
        datagrams.readable |= found.readable;
        if found.writable && datagrams.room != NONE {
            let token = mem::replace(&mut datagrams.room, NONE);
            self.done.push_back(Cqe::last(token, libc::POLLOUT.into()));
            if let Some(socket) = &datagrams.socket {
                let key = which.key().number();
                // Who still has an interest in room hears of it too often, and that is all.
                let _ = self.poller.change(socket.as_fd(), Interest::Read, key);
            }
        }
        self.settle_datagrams(which);
    }

    /// Has the receive made if it may find something, and lets go of a socket that nobody waits for.
    fn settle_datagrams(&mut self, which: Which) {
        let datagrams = &mut self.datagrams[which.place()];
        if datagrams.recv == NONE && datagrams.room == NONE {
            datagrams.readable = false;
            if let Some(socket) = datagrams.socket.take() {
                // The socket lives on with its owner.
                self.poller.forget(socket.as_fd());
            }
        } else if datagrams.recv != NONE && datagrams.readable && !datagrams.queued {
            datagrams.queued = true;
            self.ready.push_back(which.key());
        }
    }

    /// Receives what there is of one peer.
    pub(super) fn receive_datagrams(&mut self, which: Which) -> Option<Cqe> {
        let datagrams = &mut self.datagrams[which.place()];
        datagrams.queued = false;
        let token = datagrams.recv;
        let socket = datagrams.socket.as_ref().filter(|_| token != NONE)?;
        let Some(mut buf) = self.pool.alloc_to_receive(self.train_class) else {
            return self.end_datagrams(which, -libc::ENOBUFS);
        };
        match udp_socket::receive(socket.as_fd(), buf.spare_mut().unwrap_or(&mut [])) {
            Ok(bytes) => {
                buf.grow(bytes);
                self.received = Some(buf);
                self.received_bytes += bytes.max(EPOLL_RX_DATAGRAM_BYTES);
                self.settle_datagrams(which);
                Some(Cqe::one_of_several(token, bytes as i32))
            }
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                datagrams.readable = false;
                None
            }
            // What the system says of a datagram that we sent: the next call tells of the next.
            Err(why) => self.end_datagrams(which, errno(&why)),
        }
    }

    fn end_datagrams(&mut self, which: Which, result: i32) -> Option<Cqe> {
        let datagrams = &mut self.datagrams[which.place()];
        let token = mem::replace(&mut datagrams.recv, NONE);
        self.settle_datagrams(which);
        Some(Cqe::last(token, result))
    }

    /// Whether the operation was one on this socket.
    pub(super) fn cancel_datagrams(&mut self, which: Which, target: u64) -> bool {
        let datagrams = &mut self.datagrams[which.place()];
        if datagrams.recv == target {
            datagrams.recv = NONE;
        } else if datagrams.room == target {
            datagrams.room = NONE;
        } else {
            return false;
        }
        self.settle_datagrams(which);
        true
    }
}
