//! The listening sockets of a dataplane: bound before its lcores start, and, where they have a file
//! that somebody deletes, bound anew while they run.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Dataplane;
use crate::config::{Access, Address, ListenerConfig, TransportKind};
use crate::error::Result;
use crate::lcore::{Lcore, Mail};
use crate::sys::socket::{StreamListener, TcpListener};
use crate::sys::udp_socket::UdpSocket;
use crate::sys::unix_socket::UnixListener;

/// What a listener has on an lcore.
pub(super) enum Socket {
    /// Connections are accepted from it.
    Stream(StreamListener),
    /// Datagrams come and go over it.
    Datagram(UdpSocket),
    /// Its peer attaches.
    None,
}

/// A socket for each lcore, of each listener in the order of the configuration; none of one whose peer
/// attaches.
pub(super) struct Sockets {
    groups: Vec<Vec<Socket>>,
    addresses: Vec<Address>,
    unix: Vec<UnixFile>,
}

/// A listener on a Unix socket, as the control thread knows it.
struct UnixFile {
    /// Of the listener.
    index: u8,
    /// Gone once the lcores accept no more.
    listener: Weak<UnixListener>,
    access: Access,
    /// That it cannot be bound anew was said.
    complained: bool,
}

/// The listeners on Unix sockets.
pub(super) struct UnixFiles(Mutex<Vec<UnixFile>>);

impl Sockets {
    /// Binds them all, or none.
    pub fn bind(listeners: &[ListenerConfig], lcores: usize) -> Result<Self> {
        let mut sockets = Self { groups: Vec::new(), addresses: Vec::new(), unix: Vec::new() };
        for (index, listener) in listeners.iter().enumerate() {
            match &listener.address {
                Address::Ip(address) if listener.transport == TransportKind::Udp => {
                    let group = UdpSocket::bind_group(*address, lcores)?;
                    sockets.addresses.push(group[0].address().into());
                    sockets.groups.push(group.into_iter().map(Socket::Datagram).collect());
                }
                Address::Ip(address) => {
                    let group = TcpListener::bind_group(*address, lcores)?;
                    sockets.addresses.push(group[0].address().into());
                    let stream = |one| Socket::Stream(StreamListener::Tcp(one));
                    sockets.groups.push(group.into_iter().map(stream).collect());
                }
                Address::Unix(path) => {
                    let access = listener.access.clone();
                    let socket = Arc::new(UnixListener::bind(path, access.mode)?);
                    let (index, listener) = (index as u8, Arc::downgrade(&socket));
                    sockets.unix.push(UnixFile { index, listener, access, complained: false });
                    sockets.addresses.push(Address::Unix(socket.path().to_owned()));
                    let one = |_| Socket::Stream(StreamListener::Unix(socket.clone()));
                    sockets.groups.push((0..lcores).map(one).collect());
                }
                Address::Port(_) => {
                    sockets.addresses.push(listener.address.clone());
                    sockets.groups.push((0..lcores).map(|_| Socket::None).collect());
                }
            }
        }
        Ok(sockets)
    }

    pub fn addresses(&self) -> Vec<Address> {
        self.addresses.clone()
    }

    pub fn take_unix(&mut self) -> UnixFiles {
        UnixFiles(Mutex::new(std::mem::take(&mut self.unix)))
    }

    /// One of each listener, for an lcore.
    pub fn take_one_of_each(&mut self) -> Vec<Socket> {
        self.groups.iter_mut().filter_map(Vec::pop).collect()
    }
}

impl Dataplane {
    /// Makes the files of Unix listeners again that somebody deleted (I-7). Where somebody else
    /// listens there now, or the file cannot be made, that is logged once, and tried again with the
    /// next call. [`serve`](Self::serve) calls it several times a second; who waits otherwise calls
    /// it as often as he likes: it makes one system call for each such listener.
    pub fn renew_sockets(&self) {
        let mut files = self.unix.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files.iter_mut() {
            let Some(old) = file.listener.upgrade() else { continue };
            if old.is_still_there() {
                continue;
            }
            match UnixListener::bind(old.path(), file.access.mode) {
                Ok(new) => {
                    tracing::warn!("the file of {} was gone: made it again", new.path().display());
                    let new = Arc::new(new);
                    file.listener = Arc::downgrade(&new);
                    file.complained = false;
                    self.listen_on(file.index, &new);
                }
                Err(error) if !file.complained => {
                    tracing::error!("the file of {} was gone: {error}", old.path().display());
                    file.complained = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Has each lcore accept from `socket` on the listener at `index`.
    fn listen_on(&self, index: u8, socket: &Arc<UnixListener>) {
        self.post_all(|| {
            let socket = StreamListener::Unix(socket.clone());
            Mail::Call(Box::new(move |lcore: &mut Lcore| lcore.listen_on(index, socket)))
        });
    }
}
