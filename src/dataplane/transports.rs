//! Which transport serves a listener, with the limits that it has.

use std::ops::Range;
use std::sync::Arc;

use super::protocols::Protocol;
use super::sockets::Socket;
use crate::config::{IoBackend, ListenerConfig};
use crate::mem::Share;
use crate::port::PortIndex;
use crate::sys::peer_credentials::AllowedPeers;
use crate::sys::socket::StreamListener;
use crate::sys::udp_socket::UdpSocket;
use crate::transport::{Engine, Shm, Tcp, TcpLimits, Transport, Udp, UdpLimits};

/// Where a transport is to serve.
pub(super) struct Seat {
    /// The listener's index on its lcore.
    pub index: u8,
    /// The slots of its connections; with datagrams, of its peers.
    pub slots: Range<u32>,
    /// Its peer's port, where it has no socket.
    pub port: Option<PortIndex>,
    /// What may wait in one place for a port.
    pub share: Share,
    /// It accepts nobody before it is told to.
    pub waits: bool,
}

/// The transport of a listener over `socket`, which `io` carries: every listener's is made here, at the start and when it
/// is changed while it runs.
///
/// # Panics
/// When it has neither a socket nor a port.
pub(super) fn make(
    config: &ListenerConfig,
    io: IoBackend,
    socket: Socket,
    seat: Seat,
    protocol: &Protocol,
) -> Box<dyn Transport> {
    match (socket, io) {
        (Socket::Stream(socket, more), IoBackend::Epoll) => {
            stream(Tcp::over_epoll(socket, seat.index, seat.slots.end), config, more, seat.waits)
        }
        (Socket::Stream(socket, more), _) => {
            stream(Tcp::new(socket, seat.index, seat.slots.end), config, more, seat.waits)
        }
        (Socket::Datagram(socket, more), IoBackend::Epoll) => {
            let udp = Udp::over_epoll(socket, seat.index, seat.slots);
            datagrams(udp, config, more, seat.waits, protocol)
        }
        (Socket::Datagram(socket, more), _) => {
            let udp = Udp::new(socket, seat.index, seat.slots);
            datagrams(udp, config, more, seat.waits, protocol)
        }
        (Socket::None, _) => {
            let port = seat.port.expect("what has no socket has a port");
            let shm = Shm::new(port, seat.index, seat.slots.end);
            Box::new(shm.with_write_timeout(config.write_timeout).with_share(seat.share))
        }
    }
}

fn stream<E: Engine>(
    tcp: Tcp<E>,
    config: &ListenerConfig,
    more: Vec<StreamListener>,
    waits: bool,
) -> Box<dyn Transport> {
    let limits = TcpLimits {
        write_timeout: config.write_timeout,
        connections_per_address: config.connections_per_address,
    };
    let access = &config.access;
    let allowed = AllowedPeers { uids: access.uids.clone(), gids: access.gids.clone() };
    let tcp = tcp.with_limits(limits).with_allowed_peers(allowed);
    Box::new(tcp.with_more(more).waiting(waits))
}

fn datagrams<E: Engine>(
    udp: Udp<E>,
    config: &ListenerConfig,
    more: Vec<Arc<UdpSocket>>,
    waits: bool,
    protocol: &Protocol,
) -> Box<dyn Transport> {
    let limits = UdpLimits {
        idle_timeout: config.idle_timeout,
        connections_per_address: config.connections_per_address,
    };
    let ecn = protocol.pipeline.passes_ecn() && protocol.handler.reads_ecn();
    let udp = udp.with_limits(limits).with_ecn(ecn);
    Box::new(udp.with_more(more).waiting(waits))
}
