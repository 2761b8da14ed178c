//! Many streams over one socket of datagrams: whoever reads it hands each what is its own.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::STREAM_HUB_DATAGRAMS;
use crate::stream::state::Shared;

/// A socket, and who has a stream over it.
pub(in crate::stream) struct Hub {
    pub(in crate::stream) socket: UdpSocket,
    peers: Mutex<HashMap<SocketAddr, Arc<Inbox>>>,
}

/// Datagrams of one peer.
struct Inbox {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    stream: Arc<Shared>,
}

/// One peer's part of it. Dropping it makes the peer a stranger.
pub(in crate::stream) struct HubLink {
    hub: Arc<Hub>,
    peer: SocketAddr,
    inbox: Arc<Inbox>,
}

impl Hub {
    pub(in crate::stream) fn new(socket: UdpSocket) -> Arc<Self> {
        Arc::new(Self { socket, peers: Mutex::new(HashMap::new()) })
    }

    /// Hands a datagram to the stream of the peer that sent it; `false`: it is a stranger's.
    pub(in crate::stream) fn deliver(&self, peer: SocketAddr, datagram: &[u8]) -> bool {
        let Some(inbox) = lock(&self.peers).get(&peer).cloned() else { return false };
        let mut waiting = lock(&inbox.waiting);
        if waiting.len() < STREAM_HUB_DATAGRAMS {
            waiting.push_back(datagram.to_vec());
        }
        drop(waiting);
        inbox.stream.alarm.ring();
        true
    }

    /// Makes a stranger one of those who have a stream.
    pub(in crate::stream) fn join(
        self: &Arc<Self>,
        peer: SocketAddr,
        stream: Arc<Shared>,
    ) -> HubLink {
        let inbox = Arc::new(Inbox { waiting: Mutex::new(VecDeque::new()), stream });
        lock(&self.peers).insert(peer, inbox.clone());
        HubLink { hub: self.clone(), peer, inbox }
    }
}

impl HubLink {
    pub(super) fn receive(&mut self, room: &mut [u8]) -> Option<usize> {
        let datagram = lock(&self.inbox.waiting).pop_front()?;
        let count = datagram.len().min(room.len());
        room[..count].copy_from_slice(&datagram[..count]);
        Some(count)
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.hub.socket.send_to(bytes, self.peer)
    }
}

impl AsFd for HubLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hub.socket.as_fd()
    }
}

impl Drop for HubLink {
    fn drop(&mut self) {
        lock(&self.hub.peers).remove(&self.peer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
