//! Connecting: from an address to a link, in bounded time.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use super::upgrade::upgrade;
use super::{Link, PortLink};
use crate::stream::{Address, Error, Options};
use crate::sys::unix_stream;

const REMEDY: &str = "see whether a stream listener is there, and name its address";

/// Connects, all within the time that the options give.
pub(in crate::stream) fn connect(address: &Address, options: &Options) -> Result<Link, Error> {
    let fail = |why: io::Error| Error::setup(address, why, REMEDY);
    match address {
        Address::Tcp(at) => tcp(at, options.connect_timeout).and_then(Link::tcp).map_err(fail),
        Address::Http { at, target } => {
            let timeout = options.connect_timeout;
            let switched = tcp(at, timeout).and_then(|socket| upgrade(socket, at, target, timeout));
            switched.and_then(Link::tcp).map_err(fail)
        }
        Address::Udp(at) => udp(at).map(Link::Udp).map_err(fail),
        Address::Unix(path) => {
            let socket = unix_stream::connect(path, options.connect_timeout);
            socket.and_then(Link::unix).map_err(fail)
        }
        Address::Port(name) => {
            let Some(socket) = &options.control_socket else {
                let why = "no control socket was named";
                let remedy = "set Options::control_socket to that of the dataplane";
                return Err(Error::setup(address, why, remedy));
            };
            PortLink::open(socket, name, options.connect_timeout)
                .map(|link| Link::Port(Box::new(link)))
        }
    }
}

/// Tries each address that a name has.
fn tcp(at: &str, timeout: Duration) -> io::Result<TcpStream> {
    let began = Instant::now();
    let mut last = no_address();
    for address in at.to_socket_addrs()? {
        let left = timeout.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return Ok(socket),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn udp(at: &str) -> io::Result<UdpSocket> {
    let address = at.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let any: SocketAddr =
        if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}
