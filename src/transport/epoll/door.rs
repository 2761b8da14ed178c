//! Listening sockets: the accepts that wait on each.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::key::Key;
use super::{Epoll, NONE, errno};
use crate::limits::ACCEPTS_IN_FLIGHT;
use crate::sys::epoll::Interest;
use crate::sys::stream_socket;
use crate::sys::uring::Cqe;
use crate::transport::Token;

/// Of one listener.
#[derive(Debug, Default)]
pub struct Door {
    /// Mostly one; each of the accepts may have its own.
    sockets: [Option<Socket>; ACCEPTS_IN_FLIGHT],
    /// Accepts in flight, by place.
    accepts: [Accept; ACCEPTS_IN_FLIGHT],
    /// Whom the last accept on each place brought.
    peers: [Option<IpAddr>; ACCEPTS_IN_FLIGHT],
    /// Sockets in the queue of those with an operation that may be made, a bit each.
    queued: u8,
}

/// A listening socket.
#[derive(Debug)]
struct Socket {
    /// A descriptor of our own of it, from its first accept until its owner lets go of it.
    own: OwnedFd,
    /// Its owner's, which stays open as long.
    owners: RawFd,
    /// Epoll said that there is somebody, and no accept has found nobody since.
    ready: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Accept {
    token: u64,
    /// The socket that it is on.
    socket: u8,
    wanted: Wanted,
}

/// What an accept completes with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One connection.
    #[default]
    One,
    /// Any number, one after the other.
    All,
    /// That there is somebody to accept, which the caller does by itself. We never learn that there is nobody, so
    /// that epoll is asked each time.
    Word,
}

impl Door {
    pub fn peer(&self, place: usize) -> Option<IpAddr> {
        self.peers[place]
    }

    /// Whether the operation was one of this door's.
    pub fn cancel(&mut self, target: u64) -> bool {
        let found = self.accepts.iter_mut().find(|accept| accept.token == target);
        found.map(|accept| accept.token = NONE).is_some()
    }

    /// The socket of that number, if its owner has not let go of it.
    fn socket(&mut self, number: u8) -> Option<&mut Socket> {
        self.sockets[usize::from(number)].as_mut()
    }

    /// Where somebody waits at that socket.
    fn waiting(&self, socket: u8) -> Option<usize> {
        self.accepts.iter().position(|one| one.token != NONE && one.socket == socket)
    }

    /// The number of a socket that there is already.
    fn known(&self, owners: RawFd) -> Option<u8> {
        let is_it = |socket: &Option<Socket>| socket.as_ref().is_some_and(|s| s.owners == owners);
        self.sockets.iter().position(is_it).map(|number| number as u8)
    }
}

impl Epoll {
    /// Waits for somebody to accept.
    pub(super) fn open_door(&mut self, listener: BorrowedFd<'_>, token: u64, wanted: Wanted) {
        let whose = Token::from_user_data(token);
        let (index, place) = (whose.listener(), whose.slot() as usize);
        match self.socket_of_door(listener, index, wanted) {
            Ok(socket) => {
                self.doors[usize::from(index)].accepts[place] = Accept { token, socket, wanted };
                self.queue_door(index, socket);
            }
            Err(why) => self.done.push_back(Cqe::last(token, errno(&why))),
        }
    }

    /// The number of a socket that is watched.
    fn socket_of_door(
        &mut self,
        listener: BorrowedFd<'_>,
        index: u8,
        wanted: Wanted,
    ) -> io::Result<u8> {
        let door = &mut self.doors[usize::from(index)];
        let owners = listener.as_raw_fd();
        let known = door.known(owners);
        if let Some(number) = known.filter(|_| wanted != Wanted::Word) {
            return Ok(number);
        }
        let number = match known {
            Some(number) => number,
            None => {
                let free = door.sockets.iter().position(Option::is_none);
                let free = free.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOBUFS))?;
                let own = listener.try_clone_to_owned()?;
                door.sockets[free] = Some(Socket { own, owners, ready: false });
                free as u8
            }
        };
        let own = door.socket(number).expect("it was looked for").own.as_fd();
        let key = Key::Door { listener: index, socket: number };
        let watched = self.poller.watch(own, Interest::Read, key.number());
        if watched.is_err() && known.is_none() {
            self.doors[usize::from(index)].sockets[usize::from(number)] = None;
        }
        watched.map(|()| number)
    }

    /// Lets go of the socket, if it is that of a door.
    pub(super) fn forget_door(&mut self, listener: BorrowedFd<'_>) {
        let owners = listener.as_raw_fd();
        for door in &mut self.doors {
            if let Some(number) = door.known(owners)
                && let Some(socket) = door.sockets[usize::from(number)].take()
            {
                // The socket lives on, with its owner or on other lcores.
                return self.poller.forget(socket.own.as_fd());
            }
        }
    }

    pub(super) fn note_door(&mut self, listener: u8, socket: u8) {
        if let Some(found) = self.doors[usize::from(listener)].socket(socket) {
            found.ready = true;
            self.queue_door(listener, socket);
        }
    }

    fn queue_door(&mut self, listener: u8, socket: u8) {
        let door = &mut self.doors[usize::from(listener)];
        let is_ready = door.socket(socket).is_some_and(|found| found.ready);
        if is_ready && door.queued & 1 << socket == 0 && door.waiting(socket).is_some() {
            door.queued |= 1 << socket;
            self.ready.push_back(Key::Door { listener, socket });
        }
    }

    /// Accepts one connection, or tells who waits that there is one.
    pub(super) fn answer_door(&mut self, listener: u8, socket: u8) -> Option<Cqe> {
        let door = &mut self.doors[usize::from(listener)];
        door.queued &= !(1 << socket);
        let place = door.waiting(socket)?;
        let found = door.sockets[usize::from(socket)].as_mut().filter(|found| found.ready)?;
        let accept = &mut door.accepts[place];
        if accept.wanted == Wanted::Word {
            found.ready = false;
            return Some(Cqe::last(mem::replace(&mut accept.token, NONE), libc::POLLIN.into()));
        }
        let completion = self.accept_on(listener, place);
        self.queue_door(listener, socket);
        completion
    }

    /// Accepts on a place where somebody waits.
    fn accept_on(&mut self, listener: u8, place: usize) -> Option<Cqe> {
        let outcome = self.accept_one(listener, place);
        let door = &mut self.doors[usize::from(listener)];
        let accept = &mut door.accepts[place];
        let Accept { token, socket, wanted } = *accept;
        match outcome {
            Ok(slot) if wanted == Wanted::All => Some(Cqe::one_of_several(token, slot as i32)),
            Ok(slot) => {
                accept.token = NONE;
                Some(Cqe::last(token, slot as i32))
            }
            Err(why) => match why.raw_os_error() {
                Some(libc::EAGAIN) => {
                    if let Some(found) = door.socket(socket) {
                        found.ready = false;
                    }
                    None
                }
                // Who came has gone again.
                Some(libc::ECONNABORTED | libc::EINTR) => None,
                _ => {
                    accept.token = NONE;
                    Some(Cqe::last(token, errno(&why)))
                }
            },
        }
    }

    fn accept_one(&mut self, listener: u8, place: usize) -> io::Result<u32> {
        let slot = self.free_slot().ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))?;
        let door = &self.doors[usize::from(listener)];
        let socket = usize::from(door.accepts[place].socket);
        let socket = door.sockets[socket].as_ref().expect("it was looked for").own.as_fd();
        let accepted = stream_socket::accept(socket);
        let accepted = accepted.and_then(|(socket, peer)| {
            self.doors[usize::from(listener)].peers[place] = peer;
            self.put(slot, socket)
        });
        if accepted.is_err() {
            self.give_slot_back(slot);
        }
        accepted.map(|()| slot)
    }
}
