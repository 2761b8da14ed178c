//! What the tests have in common: configurations that are a little different from the one in force.

use std::net::SocketAddr;

use ringway::config::{Config, ListenerConfig};
use ringway::dataplane::{Dataplane, Reloaded};

use crate::common::{Server, wait_until};

/// The configuration in force, to be changed.
pub fn config(server: &Server) -> Config {
    (*server.plane().in_force().config).clone()
}

/// A listener at a port that the kernel picks.
pub fn tcp(protocol: &str) -> ListenerConfig {
    ListenerConfig::tcp("127.0.0.1:0".parse().unwrap(), protocol, "the test")
}

/// Puts the configuration in force with what `edit` does to it.
pub fn edit(server: &Server, edit: impl FnOnce(&mut Config)) -> Reloaded {
    try_edit(server, edit).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, which may be refused.
pub fn try_edit(
    server: &Server,
    edit: impl FnOnce(&mut Config),
) -> ringway::error::Result<Reloaded> {
    let mut config = config(server);
    edit(&mut config);
    server.plane().reload(config)
}

/// Why it is refused; nothing is other than before then.
pub fn refusal(server: &Server, edit: impl FnOnce(&mut Config)) -> String {
    let (before, addresses) = (config(server), server.plane().addresses());
    let generation = server.plane().in_force().generation;
    let error = try_edit(server, edit).unwrap_err().to_string();
    assert_eq!((config(server), server.plane().addresses()), (before, addresses));
    assert_eq!(server.plane().in_force().generation, generation);
    error
}

/// Waits until no listener of an earlier configuration is left.
pub fn wait_for_the_old(plane: &Dataplane) {
    wait_until(|| plane.in_force().draining.iter().all(|one| !one.is_there()));
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
