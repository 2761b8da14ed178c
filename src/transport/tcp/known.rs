//! Accepting where only some users may connect: who a peer is can be asked of an ordinary
//! descriptor alone, so its connection is taken into one, looked at, and made a connection's.

use std::os::fd::{AsFd, OwnedFd};

use super::Tcp;
use crate::counters::Counter;
use crate::limits::ACCEPTS_IN_FLIGHT;
use crate::sys::socket::StreamListener;
use crate::transport::{Engine, Io};

impl<E: Engine> Tcp<E> {
    /// Takes some of the connections that wait; the others are still there when it is asked again.
    pub(super) fn accept_known(&mut self, io: &mut Io) {
        for _ in 0..ACCEPTS_IN_FLIGHT {
            let Some(StreamListener::Unix(listener)) = &self.listener else { return };
            if self.is_at_its_limit(io) {
                return;
            }
            match listener.accept() {
                Ok(socket) => self.admit(io, socket.into()),
                Err(why) => {
                    let errno = why.raw_os_error().unwrap_or(libc::EIO);
                    return self.on_accept_failure(io, errno);
                }
            }
        }
    }

    /// Serves the connection if its peer may connect. Else it is closed by being dropped, and nobody
    /// has heard of it.
    fn admit(&mut self, io: &mut Io, socket: OwnedFd) {
        // One that cannot be asked any more has gone, or is nobody we know.
        if !self.allowed.admits(socket.as_fd()).unwrap_or(false) {
            return io.count(Counter::PeersRefused, 1);
        }
        let slot = io.adoptable.pop().expect("its limit was looked at");
        match E::of(io).install(slot, socket) {
            Ok(()) => {
                self.take_slot(io, slot);
                self.opened(io, slot);
            }
            Err(_) => {
                io.adoptable.push(slot);
                io.count(Counter::AcceptFailures, 1);
            }
        }
    }
}
