//! The sockets of a dataplane's listeners: bound before they are served, and found again by who has them accepted from
//! by another listener. The lcores own them: with the last of them that accepts, a socket is gone.

use std::sync::{Arc, Weak};

use super::takeover::Inherited;
use crate::config::{Address, ListenerConfig, TransportKind};
use crate::error::Result;
use crate::sys::socket::{StreamListener, TcpListener};
use crate::sys::udp_socket::UdpSocket;
use crate::sys::unix_socket::UnixListener;

/// What a listener has on an lcore.
#[derive(Clone)]
pub(super) enum Socket {
    /// Connections are accepted from it, and from more of the same address where the instance before this one had
    /// more lcores.
    Stream(StreamListener, Vec<StreamListener>),
    /// Datagrams come and go over it, and come over more.
    Datagram(Arc<UdpSocket>, Vec<Arc<UdpSocket>>),
    /// Its peer attaches.
    None,
}

/// The sockets of one listener: one for each lcore.
pub(super) struct Group {
    pub address: Address,
    pub sockets: Vec<Socket>,
}

/// The same, as who does not own them knows them.
#[derive(Clone)]
pub(super) struct Known {
    address: Address,
    sockets: Vec<KnownSocket>,
}

#[derive(Clone)]
enum KnownSocket {
    /// The one that it accepts from, and more of the same address.
    Tcp(Vec<Weak<TcpListener>>),
    Unix(Weak<UnixListener>),
    Udp(Vec<Weak<UdpSocket>>),
    None,
}

impl Group {
    /// Binds what `listener` asks for; what is among `inherited` is taken from there.
    pub fn bind(
        listener: &ListenerConfig,
        lcores: usize,
        inherited: &mut Inherited,
    ) -> Result<Self> {
        match &listener.address {
            Address::Ip(address) if listener.transport == TransportKind::Udp => {
                let group = match inherited.take_udp(*address, lcores)? {
                    Some(group) => group,
                    None => alone(UdpSocket::bind_group(*address, lcores)?),
                };
                let address = group[0].0.address().into();
                let datagram = |(one, more): (_, Vec<_>)| {
                    Socket::Datagram(Arc::new(one), more.into_iter().map(Arc::new).collect())
                };
                Ok(Self { address, sockets: group.into_iter().map(datagram).collect() })
            }
            Address::Ip(address) => {
                let group = match inherited.take_tcp(*address, lcores)? {
                    Some(group) => group,
                    None => alone(TcpListener::bind_group(*address, lcores)?),
                };
                let address = group[0].0.address().into();
                let stream = |(one, more): (TcpListener, Vec<TcpListener>)| {
                    Socket::Stream(one.into(), more.into_iter().map(Into::into).collect())
                };
                Ok(Self { address, sockets: group.into_iter().map(stream).collect() })
            }
            Address::Unix(path) => {
                let socket = match inherited.take_unix(path)? {
                    Some(socket) => socket,
                    None => Arc::new(UnixListener::bind(path, listener.access.mode)?),
                };
                Ok(Self::of_unix(&socket, lcores))
            }
            Address::Port(_) => {
                let sockets = (0..lcores).map(|_| Socket::None).collect();
                Ok(Self { address: listener.address.clone(), sockets })
            }
        }
    }

    /// The one socket that all lcores share.
    pub fn of_unix(socket: &Arc<UnixListener>, lcores: usize) -> Self {
        let one = |_| Socket::Stream(StreamListener::Unix(socket.clone()), Vec::new());
        let address = Address::Unix(socket.path().to_owned());
        Self { address, sockets: (0..lcores).map(one).collect() }
    }

    /// What finds them again.
    pub fn known(&self) -> Known {
        let tcp = |one: &StreamListener| match one {
            StreamListener::Tcp(one) => Some(Arc::downgrade(one)),
            StreamListener::Unix(_) => None,
        };
        let known = |socket: &Socket| match socket {
            Socket::Stream(StreamListener::Unix(one), _) => KnownSocket::Unix(Arc::downgrade(one)),
            Socket::Stream(one, more) => {
                KnownSocket::Tcp(std::iter::once(one).chain(more).filter_map(tcp).collect())
            }
            Socket::Datagram(one, more) => {
                KnownSocket::Udp(std::iter::once(one).chain(more).map(Arc::downgrade).collect())
            }
            Socket::None => KnownSocket::None,
        };
        let sockets = self.sockets.iter().map(known).collect();
        Known { address: self.address.clone(), sockets }
    }
}

impl Known {
    /// Where they are bound.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The same sockets once more, with the connections that wait in them; `None`: some lcore accepts no more.
    pub fn share(&self) -> Option<Group> {
        let share = |known: &KnownSocket| match known {
            KnownSocket::Tcp(all) => {
                let mut all = all.iter().map(|one| one.upgrade().map(StreamListener::from));
                Some(Socket::Stream(all.next()??, all.collect::<Option<_>>()?))
            }
            KnownSocket::Unix(one) => Some(Socket::Stream(one.upgrade()?.into(), Vec::new())),
            KnownSocket::Udp(all) => {
                let mut all = all.iter().map(Weak::upgrade);
                Some(Socket::Datagram(all.next()??, all.collect::<Option<_>>()?))
            }
            KnownSocket::None => Some(Socket::None),
        };
        let sockets = self.sockets.iter().map(share).collect::<Option<_>>()?;
        Some(Group { address: self.address.clone(), sockets })
    }

    /// The Unix socket, where it is one and some lcore accepts from it.
    pub fn unix(&self) -> Option<Arc<UnixListener>> {
        match self.sockets.first() {
            Some(KnownSocket::Unix(one)) => one.upgrade(),
            _ => None,
        }
    }
}

/// Sockets with no more behind them.
fn alone<T>(group: Vec<T>) -> Vec<(T, Vec<T>)> {
    group.into_iter().map(|one| (one, Vec::new())).collect()
}
