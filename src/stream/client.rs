//! Who connects.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Address;
use super::driver::{Driver, Guard, Parts};
use super::error::Error;
use super::handle::Stream;
use super::link::{Link, connect};
use super::options::Options;
use super::policy::Policy;
use super::state::Shared;
use super::trust::{Asked, Both, Only};
use crate::proto::stream::secure::handshake::Secrets;
use crate::proto::stream::secure::identity::{Identity, NodeAddress};
use crate::proto::stream::{Connection, Role};
use crate::sys::random;
use crate::time::Clock;

/// A node that connects to others: who it is, whom it trusts, and how its streams are to be.
#[derive(Clone)]
pub struct Client {
    node: Node,
}

/// What both ends of streams are made with.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) policy: Policy,
    pub(super) options: Options,
}

impl Client {
    /// A client of this identity. Connects to nobody yet.
    pub fn new(identity: Identity, policy: impl Into<Policy>) -> Self {
        let options = Options::default();
        Self { node: Node { identity, policy: policy.into(), options } }
    }

    /// The same with these options.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.node.options = options;
        self
    }

    /// The address of this node.
    pub fn address(&self) -> NodeAddress {
        self.node.identity.public().address()
    }

    /// Connects to whoever is there, if the policy accepts them. The text is an [`Address`].
    pub fn connect(&self, address: &str) -> Result<Stream, Error> {
        self.connect_to(&address.parse()?, None)
    }

    /// Connects to a node of which the address is known, and to no other that may be there.
    pub fn connect_to(
        &self,
        address: &Address,
        peer: Option<NodeAddress>,
    ) -> Result<Stream, Error> {
        self.node.options.check()?;
        let mut node = self.node.clone();
        if let Some(peer) = peer {
            node.policy = Both(Only(peer), node.policy.of(&address.to_string())).into();
        }
        let shared = node.shared(address)?;
        let (address, there) = (address.to_string(), address.clone());
        let told = address.clone();
        let open = shared.clone();
        start(shared.clone(), move || {
            let link = connect::connect(&there, &node.options)?;
            node.driver(open, link, Role::Initiator, told.clone(), &told)
        })?;
        Stream::connected(shared, address)
    }

    /// Connects to a node, with a stream that is closed when no message moves for too long.
    pub(super) fn connect_until_idle(
        &self,
        address: &Address,
        peer: NodeAddress,
        idle: Duration,
    ) -> Result<Stream, Error> {
        let mut client = self.clone();
        client.node.options.idle_timeout = Some(idle);
        client.connect_to(address, Some(peer))
    }
}

impl Node {
    pub(super) fn shared(&self, address: &Address) -> Result<Arc<Shared>, Error> {
        let options = &self.options;
        let shared = Shared::new(options.message_bytes_max as usize, options.window_packets);
        shared
            .map_err(|why| Error::setup(address, why, "raise the limit on open files: `ulimit -n`"))
    }

    /// A driver whose handshake begins.
    pub(super) fn driver(
        self,
        shared: Arc<Shared>,
        link: Link,
        role: Role,
        address: String,
        place: &str,
    ) -> Result<Driver, Error> {
        let config = self.options.config(link.mode());
        let trust = Asked::new(self.policy.of(place));
        let clock = Clock::start();
        let secrets = Secrets { nonce: draw()?, ephemeral: draw()? };
        let connection =
            Connection::new(clock.now(), role, config, &self.identity, trust.clone(), secrets);
        Ok(Driver::new(Parts {
            link,
            connection,
            config,
            clock,
            shared,
            identity: self.identity,
            trust,
            address,
            idle_timeout: self.options.idle_timeout,
        }))
    }
}

pub(super) fn draw<const BYTES: usize>() -> Result<[u8; BYTES], Error> {
    let mut bytes = [0; BYTES];
    random::fill(&mut bytes).map(|()| bytes).map_err(|why| {
        let remedy = "see whether this machine lets processes use getrandom(2)";
        crate::error::Error::new("draw random numbers", why, remedy).into()
    })
}

/// Starts the thread of a stream.
pub(super) fn start(
    shared: Arc<Shared>,
    make: impl FnOnce() -> Result<Driver, Error> + Send + 'static,
) -> Result<(), Error> {
    let run = move || {
        let guard = Guard::of(shared);
        match make() {
            Ok(driver) => driver.run(),
            Err(error) => guard.fail(error),
        }
    };
    let thread = thread::Builder::new().name("stream".to_owned()).spawn(run);
    thread.map(drop).map_err(|why| {
        let remedy = "raise the limit on threads: `ulimit -u`";
        crate::error::Error::new("start a stream's thread", why, remedy).into()
    })
}
