//! From bytes to messages and back: the chains of the protocols, and the table of their sessions.
//! It knows no socket and no system call.

pub mod chain;
mod extensions;
mod session;

use std::sync::Arc;

pub use extensions::{Extensions, Key, MessageKey};
pub use session::SessionTable;

use crate::counters::{Counter, LcoreCounters, Reason};
use crate::limits::CLASSES_MAX;
use crate::mem::{Buf, Burst, ConnId, Mempool, SlotCounts};
use crate::port::PortTable;
use crate::time::Instant;

/// What an lcore lends to stages and handlers for the length of a call.
pub struct Cx {
    /// Where new bufs come from.
    pub pool: Mempool,
    /// The start of this pass of the loop.
    pub now: Instant,
    /// Seconds since 1970 at that moment.
    pub unix_seconds: u64,
    /// The dataplane is stopping: say goodbye where the protocol can.
    pub draining: bool,
    /// What waits for the listener's peers is its share of a pool that is short of slots: take nothing
    /// from elsewhere that would come on top.
    pub backlogged: bool,
    /// Values that layers hang on connections and messages for each other.
    pub extensions: Extensions,
    /// The lcore's counters.
    pub counters: Arc<LcoreCounters>,
    /// What processes are attached.
    pub ports: PortTable,
}

impl Cx {
    /// An empty buf of at least `bytes` for `conn`. `None` when the pool has none, which is
    /// counted: leave the input where it is and return.
    #[inline]
    pub fn alloc(&self, bytes: usize, conn: ConnId) -> Option<Buf> {
        let Some(mut buf) = self.pool.alloc(bytes) else {
            self.counters.add(Counter::PoolEmpty, 1);
            return None;
        };
        buf.set_conn(conn);
        Some(buf)
    }

    /// Drops a buf that will not be passed on.
    #[inline]
    pub fn drop_buf(&self, buf: Buf, reason: Reason) {
        self.counters.drop_one(reason);
        drop(buf);
    }
}

/// The fixed, ordered steps of one protocol around its handler.
///
/// Both directions have one contract: *consume `input` until it is empty or `output` is full; every
/// buf that is taken is pushed on, or dropped with a counted [`Reason`]*. A call that returns with
/// `input` not empty is made again when there is room. Nothing blocks or allocates.
pub trait Chain {
    /// Bytes of connections, and markers of their life, in; messages for the handler out.
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst);

    /// Replies of the handler in; bytes for the transport out.
    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst);

    /// Asks idle connections to close, each once, as far as `output` has room. Called in each pass
    /// of a lcore that drains. Those that are busy close after their reply, since
    /// [`Cx::draining`] is set.
    fn drain(&mut self, cx: &mut Cx, output: &mut Burst);

    /// Called about once a second: says to the handler, as far as `messages` has room, what has taken
    /// too long. `true`: there is more, to be called for again in the next pass.
    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        let _ = (cx, messages);
        false
    }

    /// Slots that bytes hold which wait to be decoded, as [`Handler::waiting`] has it of messages.
    fn waiting(&self) -> SlotCounts {
        [0; CLASSES_MAX]
    }

    /// Whether it works where each `DATA` is a message of its own, of which none, some or all arrive: over
    /// datagrams. Most need a stream of bytes. Asked before the start.
    fn takes_datagrams(&self) -> bool {
        false
    }
}

/// The middle of a pipeline: messages in, replies out, under the contract of [`Chain`].
///
/// A handler meets the markers of [`mem::kind`](crate::mem::kind) in order with the messages; those
/// it does not care for it drops. What it pushes names its connection
/// ([`Buf::set_conn`](crate::mem::Buf::set_conn)).
///
/// ```
/// use ringway::mem::{Burst, kind};
/// use ringway::pipeline::{Cx, Handler};
///
/// /// Greets each connection, and hears nothing.
/// struct Greeter;
///
/// impl Handler for Greeter {
///     fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
///         while !output.is_full()
///             && let Some(message) = input.pop()
///         {
///             if message.kind() != kind::OPEN {
///                 continue;
///             }
///             let Some(mut hello) = cx.alloc(16, message.conn()) else {
///                 let _ = input.unpop(message); // no slot is free: again in a later pass
///                 return;
///             };
///             hello.append(b"hello\n");
///             let _ = output.push(hello); // room was checked
///         }
///     }
/// }
/// ```
pub trait Handler {
    /// Consumes messages and pushes replies.
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst);

    /// Pushes what came from elsewhere: from the process at the port that the handler speaks for.
    /// Called after `process` in each turn of a handler that [`is_polled`](Self::is_polled), and before it
    /// too where it had no room the last time. `true`: there is more, for which `output` has no room.
    fn poll(&mut self, cx: &mut Cx, output: &mut Burst) -> bool {
        let _ = (cx, output);
        false
    }

    /// Slots that its messages hold while they wait, for the process at its port say. While that is more
    /// than its listener's share of a pool that is short of them, the listener receives nothing.
    fn waiting(&self) -> SlotCounts {
        [0; CLASSES_MAX]
    }

    /// Whether [`poll`](Self::poll) is to be called; asked once.
    fn is_polled(&self) -> bool {
        false
    }
}

/// A chain, told apart without a virtual call for those that ringway brings along.
pub enum Pipeline {
    /// Bytes as they come.
    Raw(chain::Raw),
    /// HTTP/1.1.
    Http1(Box<chain::Http1>),
    /// The control line protocol.
    Ipc(Box<chain::Ipc>),
    /// Multiplexed streams.
    Stream(Box<chain::Stream>),
    /// A protocol of the user's own: one virtual call per burst.
    Custom(Box<dyn Chain>),
}

impl Pipeline {
    /// See [`Chain::ingress`].
    #[inline]
    pub fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        match self {
            Self::Raw(chain) => chain.ingress(cx, input, output),
            Self::Http1(chain) => chain.ingress(cx, input, output),
            Self::Ipc(chain) => chain.ingress(cx, input, output),
            Self::Stream(chain) => chain.ingress(cx, input, output),
            Self::Custom(chain) => chain.ingress(cx, input, output),
        }
    }

    /// See [`Chain::egress`].
    #[inline]
    pub fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        match self {
            Self::Raw(chain) => chain.egress(cx, input, output),
            Self::Http1(chain) => chain.egress(cx, input, output),
            Self::Ipc(chain) => chain.egress(cx, input, output),
            Self::Stream(chain) => chain.egress(cx, input, output),
            Self::Custom(chain) => chain.egress(cx, input, output),
        }
    }

    /// See [`Chain::drain`].
    pub fn drain(&mut self, cx: &mut Cx, output: &mut Burst) {
        match self {
            Self::Raw(chain) => chain.drain(cx, output),
            Self::Http1(chain) => chain.drain(cx, output),
            Self::Ipc(chain) => chain.drain(cx, output),
            Self::Stream(chain) => chain.drain(cx, output),
            Self::Custom(chain) => chain.drain(cx, output),
        }
    }

    /// See [`Chain::waiting`].
    pub fn waiting(&self) -> SlotCounts {
        match self {
            Self::Raw(chain) => chain.waiting(),
            Self::Http1(chain) => chain.waiting(),
            Self::Ipc(chain) => chain.waiting(),
            Self::Stream(chain) => chain.waiting(),
            Self::Custom(chain) => chain.waiting(),
        }
    }

    /// See [`Chain::takes_datagrams`].
    pub fn takes_datagrams(&self) -> bool {
        match self {
            Self::Raw(chain) => chain.takes_datagrams(),
            Self::Http1(chain) => chain.takes_datagrams(),
            Self::Ipc(chain) => chain.takes_datagrams(),
            Self::Stream(chain) => chain.takes_datagrams(),
            Self::Custom(chain) => chain.takes_datagrams(),
        }
    }

    /// See [`Chain::tick`].
    pub fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        match self {
            Self::Raw(chain) => chain.tick(cx, messages),
            Self::Http1(chain) => chain.tick(cx, messages),
            Self::Ipc(chain) => chain.tick(cx, messages),
            Self::Stream(chain) => chain.tick(cx, messages),
            Self::Custom(chain) => chain.tick(cx, messages),
        }
    }
}
