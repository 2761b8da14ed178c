//! From bytes to messages and back: the chains of the protocols, and the table of their sessions.
//! It knows no socket and no system call.

pub mod chain;
mod extensions;
mod kinds;
mod session;
pub mod write;

pub use extensions::{Extensions, Key, MessageKey};
pub use kinds::Kinds;
pub use session::SessionTable;

use crate::counters::{Counter, Counters, Reason};
use crate::limits::CLASSES_MAX;
use crate::mem::{Buf, Burst, ConnId, Mempool, SlotCounts};
use crate::offload::Offload;
use crate::port::PortTable;
use crate::time::{Clock, Instant};
use write::Writes;

/// What an lcore lends to stages and handlers for the length of a call.
pub struct Cx {
    /// Where new bufs come from.
    pub pool: Mempool,
    /// When the clock was last read: before this pass of the loop, or some passes before.
    pub now: Instant,
    /// What it is read from.
    pub clock: Clock,
    /// Seconds since 1970 at that moment.
    pub unix_seconds: u64,
    /// The dataplane is stopping: say goodbye where the protocol can.
    pub draining: bool,
    /// Meanwhile connections on which nothing is under way stay open for what is on its way on them: replies say
    /// that they are the last, and what was not told so is asked to close later.
    pub spares_idle: bool,
    /// What waits for the listener's peers is its share of a pool that is short of slots: take nothing
    /// from elsewhere that would come on top.
    pub backlogged: bool,
    /// Values that layers hang on connections and messages for each other.
    pub extensions: Extensions,
    /// The lcore's counters.
    pub counters: Counters,
    /// What processes are attached.
    pub ports: PortTable,
    /// Where work goes that would hold the lcore up.
    pub offload: Offload,
    /// What is written from beside the handler: see [`write`](mod@write).
    pub writes: Writes,
}

impl Cx {
    /// Reads the clock, for what is shorter than [`now`](Self::now) can tell.
    pub fn exact_now(&self) -> Instant {
        self.clock.now().max(self.now)
    }

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

    /// A successor has taken the listener's place and accepts from here on. Connections go on; those of protocols that
    /// can tell their peers without cutting anything, as HTTP can with its next response, ask them to come back.
    fn retire(&mut self) {}

    /// Called about once a second, and when [`next_tick`](Self::next_tick) says: tells the handler, as far as
    /// `messages` has room, what has taken too long. `true`: there is more, to be called for again in the next
    /// pass.
    fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        let _ = (cx, messages);
        false
    }

    /// Whether there is something to say to the handler that nothing which has arrived brought about:
    /// [`ingress`](Self::ingress) is called for it, with an empty `input` too.
    fn has_news(&self) -> bool {
        false
    }

    /// Whether something of `kind` that is written from beside the handler may be pushed to
    /// [`egress`](Self::egress) now, behind all that has passed it.
    fn admits(&mut self, conn: ConnId, kind: u8) -> Admission {
        let _ = conn;
        if kind == crate::mem::kind::DATA { Admission::Now } else { Admission::Never }
    }

    /// A connection for which [`admits`](Self::admits) has said `Later`, and would say something else now; each once.
    fn next_admitted(&mut self) -> Option<ConnId> {
        None
    }

    /// When [`tick`](Self::tick) is to be called, for a chain that [`is_timed`](Self::is_timed). Asked after each
    /// turn of the listener, so it has to cost next to nothing; it may be too early. The call still waits until
    /// all that has arrived was taken in.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Whether once a second is too seldom for it, so that [`next_tick`](Self::next_tick) is to be asked; asked
    /// itself once.
    fn is_timed(&self) -> bool {
        false
    }

    /// Slots that bytes hold which wait to be decoded, as [`Handler::waiting`] has it of messages.
    fn waiting(&self) -> SlotCounts {
        [0; CLASSES_MAX]
    }

    /// Whether what peers send is encrypted, and what it hands to the handler is not: to see that, somebody who captures
    /// needs a permission of its own.
    fn decrypts(&self) -> bool {
        false
    }

    /// Whether it works where each `DATA` is a message of its own, of which none, some or all arrive: over
    /// datagrams. Most need a stream of bytes. Asked before the start.
    fn takes_datagrams(&self) -> bool {
        false
    }
}

/// Whether something may be said on a connection from beside its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Now,
    /// Not in the middle of what is being said; [`Chain::next_admitted`] tells of the end of that.
    Later,
    /// Its protocol has no place for it: it is not open, closes, or is another.
    Never,
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

    /// Whether it looks at the ECN field of datagrams (the meta of their `DATA`): where it does not, the kernel
    /// is not asked for it, which is work for each, and the meta is 0. Asked before the start.
    fn reads_ecn(&self) -> bool {
        true
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
    /// HTTP/1.1, and WebSockets that begin so.
    WebSocket(Box<chain::WebSocket>),
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
            Self::WebSocket(chain) => chain.ingress(cx, input, output),
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
            Self::WebSocket(chain) => chain.egress(cx, input, output),
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
            Self::WebSocket(chain) => chain.drain(cx, output),
            Self::Custom(chain) => chain.drain(cx, output),
        }
    }

    /// See [`Chain::retire`].
    pub fn retire(&mut self) {
        match self {
            Self::Raw(chain) => chain.retire(),
            Self::Http1(chain) => chain.retire(),
            Self::Ipc(chain) => chain.retire(),
            Self::Stream(chain) => chain.retire(),
            Self::WebSocket(chain) => chain.retire(),
            Self::Custom(chain) => chain.retire(),
        }
    }

    /// See [`Chain::waiting`].
    pub fn waiting(&self) -> SlotCounts {
        match self {
            Self::Raw(chain) => chain.waiting(),
            Self::Http1(chain) => chain.waiting(),
            Self::Ipc(chain) => chain.waiting(),
            Self::Stream(chain) => chain.waiting(),
            Self::WebSocket(chain) => chain.waiting(),
            Self::Custom(chain) => chain.waiting(),
        }
    }

    /// See [`Chain::admits`].
    #[inline]
    pub fn admits(&mut self, conn: ConnId, kind: u8) -> Admission {
        match self {
            Self::Raw(chain) => chain.admits(conn, kind),
            Self::Http1(chain) => chain.admits(conn, kind),
            Self::Ipc(chain) => chain.admits(conn, kind),
            Self::Stream(chain) => chain.admits(conn, kind),
            Self::WebSocket(chain) => chain.admits(conn, kind),
            Self::Custom(chain) => chain.admits(conn, kind),
        }
    }

    /// See [`Chain::next_admitted`].
    #[inline]
    pub fn next_admitted(&mut self) -> Option<ConnId> {
        match self {
            Self::WebSocket(chain) => chain.next_admitted(),
            Self::Custom(chain) => chain.next_admitted(),
            Self::Raw(_) | Self::Http1(_) | Self::Ipc(_) | Self::Stream(_) => None,
        }
    }

    /// See [`Chain::has_news`].
    #[inline]
    pub fn has_news(&self) -> bool {
        match self {
            Self::Raw(_) | Self::Http1(_) | Self::Ipc(_) => false,
            Self::Stream(chain) => chain.has_news(),
            Self::WebSocket(chain) => chain.has_news(),
            Self::Custom(chain) => chain.has_news(),
        }
    }

    /// See [`Chain::takes_datagrams`].
    pub fn takes_datagrams(&self) -> bool {
        match self {
            Self::Raw(chain) => chain.takes_datagrams(),
            Self::Http1(chain) => chain.takes_datagrams(),
            Self::Ipc(chain) => chain.takes_datagrams(),
            Self::Stream(chain) => chain.takes_datagrams(),
            Self::WebSocket(chain) => chain.takes_datagrams(),
            Self::Custom(chain) => chain.takes_datagrams(),
        }
    }

    /// See [`Chain::decrypts`].
    pub fn decrypts(&self) -> bool {
        match self {
            Self::Raw(_) | Self::Http1(_) | Self::Ipc(_) | Self::WebSocket(_) => false,
            Self::Stream(chain) => chain.decrypts(),
            Self::Custom(chain) => chain.decrypts(),
        }
    }

    /// What the kinds of its bufs are called.
    pub fn kinds(&self) -> Kinds {
        match self {
            Self::Raw(_) => Kinds::Raw,
            Self::Http1(_) => Kinds::Http1,
            Self::Ipc(_) => Kinds::Ipc,
            Self::Stream(_) => Kinds::Stream,
            Self::WebSocket(_) => Kinds::WebSocket,
            Self::Custom(_) => Kinds::Custom,
        }
    }

    /// See [`Chain::next_tick`].
    #[inline]
    pub fn next_tick(&self) -> Option<Instant> {
        match self {
            Self::Raw(_) | Self::Http1(_) | Self::Ipc(_) => None,
            Self::Stream(chain) => chain.next_tick(),
            Self::WebSocket(chain) => chain.next_tick(),
            Self::Custom(chain) => chain.next_tick(),
        }
    }

    /// See [`Chain::is_timed`].
    pub fn is_timed(&self) -> bool {
        match self {
            Self::Raw(_) | Self::Http1(_) | Self::Ipc(_) => false,
            Self::Stream(chain) => chain.is_timed(),
            Self::WebSocket(chain) => chain.is_timed(),
            Self::Custom(chain) => chain.is_timed(),
        }
    }

    /// Whether the meta of datagrams goes on to the handler: a stream's messages are its own.
    pub fn passes_ecn(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// See [`Chain::tick`].
    pub fn tick(&mut self, cx: &mut Cx, messages: &mut Burst) -> bool {
        match self {
            Self::Raw(chain) => chain.tick(cx, messages),
            Self::Http1(chain) => chain.tick(cx, messages),
            Self::Ipc(chain) => chain.tick(cx, messages),
            Self::Stream(chain) => chain.tick(cx, messages),
            Self::WebSocket(chain) => chain.tick(cx, messages),
            Self::Custom(chain) => chain.tick(cx, messages),
        }
    }
}
