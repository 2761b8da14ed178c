//! Streams to many nodes, each connected to once and used by all who need it (D-18).

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Address;
use super::client::Client;
use super::error::Error;
use super::handle::Stream;
use crate::limits::{STREAM_POOL_IDLE_NS, STREAM_POOL_STREAMS_MAX};
use crate::proto::stream::Code;
use crate::proto::stream::secure::identity::NodeAddress;

/// Streams to other nodes by their addresses. Threads share it.
pub struct Pool {
    client: Client,
    streams_max: usize,
    idle: Duration,
    inner: Mutex<Inner>,
    /// A node is no longer being connected to.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    nodes: HashMap<NodeAddress, Entry>,
    is_stopped: bool,
}

enum Entry {
    /// Somebody connects, and others wait for that.
    Connecting,
    Connected {
        stream: Arc<Stream>,
        used_at: Instant,
    },
}

impl Pool {
    /// A pool of streams as the client makes them. Nobody is connected to yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            streams_max: STREAM_POOL_STREAMS_MAX,
            idle: Duration::from_nanos(STREAM_POOL_IDLE_NS),
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Streams that there may be at a time. 64 unless changed.
    #[must_use]
    pub fn streams_max(mut self, streams: usize) -> Self {
        self.streams_max = streams.max(1);
        self
    }

    /// How long no message may move on a stream before it is closed. A minute unless changed.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The stream to `node`, which is at `address`: the one that is there, or a new one where there is
    /// none that goes on. Nobody else is connected to, whoever may be at the address.
    ///
    /// # Errors
    /// [`Error::Full`] when there are as many as there may be and each is in use; else what
    /// [`connect_to`](Client::connect_to) says.
    pub fn get(&self, node: NodeAddress, address: &Address) -> Result<Arc<Stream>, Error> {
        let mut inner = self.lock();
        loop {
            if inner.is_stopped {
                return Err(Error::Stopped);
            }
            match inner.nodes.get_mut(&node) {
                Some(Entry::Connected { stream, used_at }) if stream.is_active() => {
                    *used_at = Instant::now();
                    return Ok(stream.clone());
                }
                Some(Entry::Connecting) => {
                    inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
                // Broken, closed or expired.
                Some(Entry::Connected { .. }) | None => break,
            }
        }
        inner.nodes.remove(&node);
        inner.make_room(self.streams_max)?;
        inner.nodes.insert(node, Entry::Connecting);
        drop(inner);
        self.connect(node, address)
    }

    fn connect(&self, node: NodeAddress, address: &Address) -> Result<Arc<Stream>, Error> {
        let connected = self.client.connect_until_idle(address, node, self.idle);
        let mut inner = self.lock();
        inner.nodes.remove(&node);
        let outcome = match connected {
            Ok(_) if inner.is_stopped => Err(Error::Stopped),
            Ok(stream) => {
                let stream = Arc::new(stream);
                let entry = Entry::Connected { stream: stream.clone(), used_at: Instant::now() };
                inner.nodes.insert(node, entry);
                Ok(stream)
            }
            Err(error) => Err(error),
        };
        drop(inner);
        self.changed.notify_all();
        outcome
    }

    /// Streams that go on.
    pub fn len(&self) -> usize {
        let mut inner = self.lock();
        inner.drop_ended();
        inner.nodes.values().filter(|entry| matches!(entry, Entry::Connected { .. })).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes all of them in order, and gives no more. Whoever still has one can no longer send. May be
    /// called often and by many threads (D-1).
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.is_stopped = true;
        let nodes = std::mem::take(&mut inner.nodes);
        drop(inner);
        self.changed.notify_all();
        for entry in nodes.into_values() {
            if let Entry::Connected { stream, .. } = entry {
                stream.begin_to_close(Code::None, "");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn drop_ended(&mut self) {
        self.nodes.retain(|_, entry| match entry {
            Entry::Connecting => true,
            Entry::Connected { stream, .. } => stream.is_active(),
        });
    }

    /// Makes room for one more: where there is none, whichever was not used for longest goes, of those
    /// that nobody has.
    fn make_room(&mut self, streams_max: usize) -> Result<(), Error> {
        if self.nodes.len() < streams_max {
            return Ok(());
        }
        self.drop_ended();
        if self.nodes.len() < streams_max {
            return Ok(());
        }
        let unused = self.nodes.iter().filter_map(|(node, entry)| match entry {
            Entry::Connected { stream, used_at } if Arc::strong_count(stream) == 1 => {
                Some((*used_at, *node))
            }
            _ => None,
        });
        let (_, node) = unused.min().ok_or(Error::Full)?;
        self.nodes.remove(&node);
        Ok(())
    }
}
