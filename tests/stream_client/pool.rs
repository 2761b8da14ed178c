//! Streams that many share (D-18).

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringway::stream::{Anyone, ChannelOptions, Client, Error, Listener, NodeAddress, Pool, Stream};

use super::rig::{TYPE, identity, node, options, place};
use crate::common::{Watchdog, wait_until};

/// Listeners of the nodes 10, 11 and so on, and who connected to them.
struct Nodes {
    listeners: Vec<Listener>,
    _directory: tempfile::TempDir,
    _watchdog: Watchdog,
}

impl Nodes {
    fn new(count: u8) -> Self {
        let (watchdog, directory) = (Watchdog::start(), tempfile::tempdir().unwrap());
        let listeners = (10..10 + count)
            .map(|number| {
                let at = place("tcp", directory.path());
                Listener::with(&at, identity(number), Anyone, options()).unwrap()
            })
            .collect();
        Self { listeners, _directory: directory, _watchdog: watchdog }
    }

    fn get(&self, pool: &Pool, index: usize) -> Result<Arc<Stream>, Error> {
        pool.get(self.node(index), self.listeners[index].address())
    }

    fn node(&self, index: usize) -> NodeAddress {
        node(10 + index as u8)
    }
}

fn pool() -> Pool {
    Pool::new(Client::new(identity(1), Anyone).options(options()))
}

#[test]
fn all_who_want_a_node_get_the_same_stream() {
    let nodes = Nodes::new(1);
    let pool = pool();
    let sessions: Vec<_> = thread::scope(|scope| {
        let get = || nodes.get(&pool, 0).unwrap().session().id;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(sessions.iter().all(|id| *id == sessions[0]));
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_broken_stream_is_replaced() {
    let nodes = Nodes::new(1);
    let pool = pool();
    let first = nodes.get(&pool, 0).unwrap().session().id;
    nodes.listeners[0].accept().unwrap().abort();
    wait_until(|| pool.is_empty());
    let second = nodes.get(&pool, 0).unwrap();
    assert_ne!(second.session().id, first);
    let channel = second.open(TYPE, ChannelOptions::default()).unwrap();
    channel.send("it works").unwrap();
}

#[test]
fn where_there_is_no_room_the_longest_unused_goes_and_none_that_somebody_has() {
    let nodes = Nodes::new(3);
    let pool = pool().streams_max(2);
    let held = nodes.get(&pool, 0).unwrap();
    nodes.get(&pool, 1).unwrap();
    nodes.get(&pool, 2).unwrap();
    assert!(held.is_active() && pool.len() == 2);
    let both = (nodes.get(&pool, 0).unwrap(), nodes.get(&pool, 2).unwrap());
    assert_eq!(nodes.get(&pool, 1).unwrap_err(), Error::Full);
    drop(both);
}

#[test]
fn a_stream_that_nobody_uses_expires() {
    let nodes = Nodes::new(1);
    let pool = pool().idle(Duration::from_millis(100));
    nodes.get(&pool, 0).unwrap();
    wait_until(|| pool.is_empty());
}

#[test]
fn another_node_at_the_address_is_refused() {
    let nodes = Nodes::new(1);
    let error = pool().get(node(99), nodes.listeners[0].address()).unwrap_err();
    assert!(error.to_string().contains(&nodes.node(0).to_string()), "{error}");
}

#[test]
fn a_pool_that_was_stopped_gives_nothing_more_however_often_it_is_stopped_d_1() {
    let nodes = Nodes::new(1);
    let pool = pool();
    let stream = nodes.get(&pool, 0).unwrap();
    pool.stop();
    pool.stop();
    stream.wait_for_end().unwrap();
    assert_eq!(nodes.get(&pool, 0).unwrap_err(), Error::Stopped);
}
