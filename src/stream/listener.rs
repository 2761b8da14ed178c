//! Who is connected to. One thread takes connections, and each has its driver from its first byte on, so
//! that no peer's handshake holds up another's.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::Address;
use super::bell::Roster;
use super::client::{Node, draw, start};
use super::error::Error;
use super::handle::Stream;
use super::link::hub::Hub;
use super::link::{Link, poll_for};
use super::options::Options;
use super::policy::Policy;
use super::served;
use super::state::Shared;
use crate::limits::{ACCEPT_RETRY_NS, STREAM_UNACCEPTED_MAX, UNIX_MODE};
use crate::proto::stream::Role;
use crate::proto::stream::secure::identity::{Identity, NodeAddress, PublicKey};
use crate::sys::unix_socket::UnixListener;

mod datagrams;

/// How long a listener has nowhere to put a peer before it looks again.
const NAP: Duration = Duration::from_nanos(ACCEPT_RETRY_NS);

/// A node that others connect to. Dropping it stops it; streams that were accepted go on.
pub struct Listener {
    inner: Arc<Inner>,
    address: Address,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(super) struct Inner {
    node: Node,
    queue: Mutex<Queue>,
    changed: Condvar,
    roster: Arc<Roster>,
}

/// Peers that wait to be accepted.
#[derive(Default)]
struct Queue {
    /// Those with whom it is decided, one way or the other.
    decided: VecDeque<Result<Stream, Error>>,
    /// Those whose handshake is under way.
    greeting: usize,
    is_stopped: bool,
}

/// A place of a peer whose handshake is under way.
pub(super) struct Place(Arc<Inner>);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
    Datagrams(Arc<Hub>),
}

impl Listener {
    /// Listens at `address`; port 0 picks one, which [`address`](Self::address) names.
    pub fn bind(
        address: &str,
        identity: Identity,
        policy: impl Into<Policy>,
    ) -> Result<Self, Error> {
        Self::with(&address.parse()?, identity, policy, Options::default())
    }

    /// The same with options.
    pub fn with(
        address: &Address,
        identity: Identity,
        policy: impl Into<Policy>,
        options: Options,
    ) -> Result<Self, Error> {
        options.check()?;
        if let Address::Port(name) = address {
            return Self::at_port(address, name, Node { identity, policy: policy.into(), options });
        }
        let (socket, address) = bind(address)?;
        let fail = |why: io::Error| failed(&address, why);
        let node = Node { identity, policy: policy.into(), options };
        let inner = Inner::new(node).map_err(fail)?;
        let takes = inner.clone();
        let run = move || match socket {
            Socket::Datagrams(hub) => datagrams::serve(&takes, &hub),
            _ => serve(&takes, &socket),
        };
        let thread = thread::Builder::new().name("streams".to_owned()).spawn(run);
        let thread = Mutex::new(Some(thread.map_err(fail)?));
        Ok(Self { inner, address, thread })
    }

    /// Takes the streams of a dataplane's listener, which says `protocol = "stream"` and `handler =
    /// "port:NAME"`, and whose identity is the one that peers see.
    fn at_port(address: &Address, name: &str, node: Node) -> Result<Self, Error> {
        let control_socket = node.options.control_socket.clone().ok_or_else(|| {
            let remedy = "give Options::control_socket: `ringway ctl` says where it is";
            crate::error::Error::new(
                format!("listen at {address}"),
                "the control socket of its dataplane is not known",
                remedy,
            )
        })?;
        let inner = Inner::new(node).map_err(|why| failed(address, why))?;
        served::start(inner.clone(), served::Port { name: name.to_owned(), control_socket })?;
        Ok(Self { inner, address: address.clone(), thread: Mutex::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address of this node.
    pub fn node(&self) -> NodeAddress {
        self.inner.node()
    }

    /// The next peer that has proved who it is and is trusted; waits for it. A peer of which that is not
    /// so is an error that leaves the listener as it is; after [`Error::Stopped`] nobody comes any more.
    pub fn accept(&self) -> Result<Stream, Error> {
        self.accept_within(None)
    }

    /// The same for at most `timeout`; zero never waits.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Stream, Error> {
        self.accept_within(Some(timeout))
    }

    fn accept_within(&self, timeout: Option<Duration>) -> Result<Stream, Error> {
        let began = Instant::now();
        let mut queue = self.inner.lock();
        loop {
            if let Some(decided) = queue.decided.pop_front() {
                return decided;
            }
            if queue.is_stopped {
                return Err(Error::Stopped);
            }
            let changed = &self.inner.changed;
            let Some(timeout) = timeout else {
                queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Error::TimedOut(timeout));
            }
            queue = changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more peers, and ends the waiting of whoever waits for one. May be called often and by
    /// many threads (D-1).
    pub fn stop(&self) {
        self.inner.lock().is_stopped = true;
        self.inner.changed.notify_all();
        self.inner.roster.ring();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn new(node: Node) -> io::Result<Arc<Self>> {
        let (queue, changed, roster) = (Mutex::default(), Condvar::new(), Roster::new()?);
        Ok(Arc::new(Self { node, queue, changed, roster }))
    }

    pub(super) fn options(&self) -> &Options {
        &self.node.options
    }

    /// The address of this node.
    pub(super) fn node(&self) -> NodeAddress {
        self.node.identity.public().address()
    }

    /// Whether a peer that comes from there is welcome.
    pub(super) fn trusts(&self, place: &str, peer: &PublicKey) -> bool {
        self.node.policy.of(place).accepts(peer)
    }

    /// What wakes the thread.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.clone()
    }

    /// Waits, unless it is stopped.
    pub(super) fn nap(&self, time: Duration) {
        let _ = self.wait(None, Some(time));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// A place for another peer, if there is one.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        let mut queue = self.lock();
        if queue.greeting + queue.decided.len() >= STREAM_UNACCEPTED_MAX {
            return None;
        }
        queue.greeting += 1;
        Some(Place(self.clone()))
    }

    fn greeting(&self) -> usize {
        self.lock().greeting
    }

    /// Waits for the socket or the bell.
    fn wait(&self, socket: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> io::Result<()> {
        let bell = PollFd::new(self.roster.bell.as_fd(), PollFlags::POLLIN);
        let socket = socket.map(|socket| PollFd::new(socket, PollFlags::POLLIN));
        let mut fds: Vec<_> = [Some(bell), socket].into_iter().flatten().collect();
        poll_for(&mut fds, timeout)
    }

    /// Has a peer greeted on a thread of its own; `join` gives what its link is made of.
    fn greet<S: Send + 'static>(
        self: &Arc<Self>,
        place: Place,
        (address, place_name): (String, String),
        join: impl FnOnce(&Arc<Shared>) -> S,
        link: fn(S) -> io::Result<Link>,
    ) -> Result<(), Error> {
        let node = self.node.clone();
        let at = Address::Tcp(address.clone());
        let shared = node.shared(&at)?;
        let role = Role::Responder { session_id: draw()? };
        let socket = join(&shared);
        let (told, decides) = (address.clone(), shared.clone());
        start(shared.clone(), move || {
            let link = link(socket).map_err(|why| failed(&at, why))?;
            let mut driver = node.driver(shared, link, role, told, &place_name)?;
            driver.on_decided(move || place.decide(Stream::connected(decides, address)));
            Ok(driver)
        })
    }
}

impl Place {
    /// The handshake is whole, or has failed.
    pub(super) fn decide(self, outcome: Result<Stream, Error>) {
        let mut queue = self.0.lock();
        if !queue.is_stopped {
            queue.decided.push_back(outcome);
        }
        drop(queue);
        drop(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().greeting -= 1;
        self.0.changed.notify_all();
    }
}

fn bind(address: &Address) -> Result<(Socket, Address), Error> {
    let fail = |why: io::Error| failed(address, why);
    match address {
        Address::Tcp(at) => {
            let socket = TcpListener::bind(at).map_err(fail)?;
            socket.set_nonblocking(true).map_err(fail)?;
            let bound = Address::Tcp(socket.local_addr().map_err(fail)?.to_string());
            Ok((Socket::Tcp(socket), bound))
        }
        Address::Udp(at) => {
            let socket = std::net::UdpSocket::bind(at).map_err(fail)?;
            socket.set_nonblocking(true).map_err(fail)?;
            let bound = Address::Udp(socket.local_addr().map_err(fail)?.to_string());
            Ok((Socket::Datagrams(Hub::new(socket)), bound))
        }
        Address::Unix(path) => {
            let socket = UnixListener::bind(path, UNIX_MODE)?;
            Ok((Socket::Unix(socket), address.clone()))
        }
        Address::Http { .. } => Err(crate::error::Error::new(
            format!("listen at {address}"),
            "what answers HTTP is a dataplane",
            "listen at tcp:, udp: or unix:, or give a listener of the dataplane upgrade = true",
        )
        .into()),
        Address::Port(_) => unreachable!("a port is no socket"),
    }
}

fn failed(address: &Address, why: impl std::fmt::Display) -> Error {
    crate::error::Error::new(
        format!("listen at {address}"),
        why,
        "see who has the address with `ss -lnp`, or name another",
    )
    .into()
}

/// Takes connections until it is stopped.
fn serve(inner: &Arc<Inner>, socket: &Socket) {
    while !inner.is_stopped() {
        let Some(place) = inner.place() else {
            let _ = inner.wait(None, Some(NAP));
            continue;
        };
        let outcome = match socket {
            Socket::Tcp(socket) => accept_tcp(inner, place, socket),
            Socket::Unix(socket) => accept_unix(inner, place, socket),
            Socket::Datagrams(_) => return,
        };
        let fd = match socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Datagrams(_) => return,
        };
        match outcome {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                let _ = inner.wait(Some(fd), None);
            }
            Err(_) => {
                let _ = inner.wait(None, Some(NAP));
            }
        }
    }
}

fn accept_tcp(inner: &Arc<Inner>, place: Place, socket: &TcpListener) -> io::Result<()> {
    let (peer, address) = socket.accept()?;
    let greeted = inner.greet(place, names("tcp", address), |_| peer, Link::tcp);
    greeted.map_err(io::Error::other)
}

/// What a peer is called, and its place: its host, for it comes from another port each time.
fn names(scheme: &str, address: SocketAddr) -> (String, String) {
    (format!("{scheme}:{address}"), address.ip().to_string())
}

fn accept_unix(inner: &Arc<Inner>, place: Place, socket: &UnixListener) -> io::Result<()> {
    let peer = socket.accept()?;
    let address = format!("unix:{}", socket.path().display());
    inner.greet(place, (address.clone(), address), |_| peer, Link::unix).map_err(io::Error::other)
}
