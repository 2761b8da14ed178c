//! What a process links that attaches to a running dataplane: it connects to the control socket, gets
//! the memory of a port, and exchanges messages with the lcores through rings.
//!
//! ```no_run
//! use ringway::attach::{Attachment, Message, Options};
//! use ringway::mem::kind;
//!
//! # fn main() -> ringway::error::Result<()> {
//! // A listener of the dataplane says `handler = "port:app"`. Its connections come here.
//! let mut port = Attachment::connect("/run/ringway/ringway/control.sock", "app", Options::default())?;
//! loop {
//!     for queue in port.queues() {
//!         while let Some(message) = queue.receive() {
//!             if message.kind == kind::DATA {
//!                 queue.send(message); // the same bytes, from the same slot
//!             }
//!         }
//!         queue.flush();
//!     }
//!     port.wait(None)?; // spins for a while, then sleeps; an error when the dataplane is gone
//! }
//! # }
//! ```
//!
//! A program that is to outlive its dataplane, and to pass to the instance that takes over from it
//! (`ringway run --takeover`) without a lost request, does the same with [`Following`].
//!
//! At a port that is the address of a listener (`transport = "shm"`) the process is the peer: it opens
//! connections ([`Queue::connect`]), and the listener's handler answers.

mod flow;
mod following;
mod http;
mod message;
mod queue;
mod streams;

use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use following::Following;
pub use http::Request;
pub use message::Message;
pub use queue::Queue;
pub use streams::StreamWord;

use crate::error::{Error, Result};
use crate::mem::{PeerMemory, PortSegment, Side, Trust};
use crate::port::{Call, Grant, Offer, Role};
use crate::sync::{AtomicBool, Ordering, spin_loop};
use crate::sys::passed_fds::recv_with_fds;
use crate::sys::unix_stream;

/// Looks at the queues before a waiting process sleeps: some 50 µs, at the 28 ns that one took where it
/// was measured.
const SPINS: u32 = 1_800;

/// How long a process waits that has something to send for which the ring has no room.
const UNSENT_NAP: Duration = Duration::from_millis(1);

/// A port that this process is attached to. Dropping it detaches: what it was lent goes home. So does the
/// end of the process; a child that it has forked meanwhile holds memory that is others' then.
pub struct Attachment {
    queues: Vec<Queue>,
    segment: Arc<PortSegment>,
    /// Open as long as both sides live.
    lifeline: UnixStream,
    event: OwnedFd,
    grant: Grant,
    /// Another instance takes over.
    moved: AtomicBool,
    /// Of those of a [`Following`].
    number: u64,
}

/// How to attach.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How the bytes are to be shared; `None`: as the port's listener has it.
    pub trust: Option<Trust>,
    /// What this process is made to be; `None`: whatever the port is for.
    pub role: Option<Role>,
    /// How long the dataplane may take to answer.
    pub timeout: Duration,
    /// To be told when another instance takes over ([`Attachment::has_moved`]); [`Following`] is, and attaches to
    /// that one.
    pub follow: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { trust: None, role: None, timeout: Duration::from_secs(10), follow: false }
    }
}

impl Attachment {
    /// Attaches to the port `name` of the dataplane whose control socket is at `socket`.
    ///
    /// # Errors
    /// When nobody listens there, there is no such port, another process is attached to it, or this
    /// one may not.
    pub fn connect(socket: impl AsRef<Path>, name: &str, options: Options) -> Result<Self> {
        let socket = socket.as_ref();
        let what = || format!("attach to port `{name}` at {}", socket.display());
        let failed = |e: std::io::Error, remedy: &str| Error::new(what(), e, remedy);
        let lifeline = unix_stream::connect(socket, options.timeout).map_err(|e| {
            failed(e, "start the dataplane, or name its control socket (`ringway ctl` finds it)")
        })?;
        let io = |e| failed(e, "look whether the dataplane still runs, and attach again");
        lifeline.set_nonblocking(false).map_err(io)?;
        lifeline.set_read_timeout(Some(options.timeout)).map_err(io)?;
        let trust = options.trust.map_or("", Trust::name);
        let follow = if options.follow { "follow" } else { "" };
        let asked = format!("attach {name} {trust} {follow}\n");
        (&lifeline).write_all(asked.as_bytes()).map_err(io)?;
        let (line, fds) = answer(&lifeline).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock => {
                failed(no_answer(options.timeout), "see whether it is busy, and ask again")
            }
            _ => io(e),
        })?;
        if let Some(error) = line.strip_prefix("error: ") {
            let cannot = format!("cannot attach to port `{name}`: ");
            let why = error.strip_prefix(&cannot).unwrap_or(error);
            return Err(Error::new(what(), why, "`ringway ctl ports` tells what there is"));
        }
        lifeline.set_read_timeout(None).map_err(io)?;
        let grant = Grant::of_line(&line)?;
        check_role(name, grant.role, options.role)?;
        Self::accept(Offer::of_parts(grant, fds)?, lifeline)
    }

    /// Maps what the dataplane has offered over `lifeline`.
    ///
    /// # Errors
    /// When the offer is not of this version, or cannot be mapped.
    pub fn accept(offer: Offer, lifeline: UnixStream) -> Result<Self> {
        let Offer { grant, segment, pools, event, bells } = offer;
        let segment = Arc::new(PortSegment::open(segment.as_fd())?);
        let refuse = |why: &str| {
            Error::new("attach to a port", why, "attach with a library of the dataplane's version")
        };
        if bells.len() != grant.queues.len()
            || grant.queues.len() != segment.header().queue_count as usize
        {
            return Err(refuse("it offers another number of queues than it names"));
        }
        let mut queues = Vec::new();
        for (index, bell) in bells.into_iter().enumerate() {
            let own = event.try_clone().map_err(|e| refuse(&e.to_string()))?;
            let ends = segment.ends(index, Side::Secondary, bell, own);
            let ends = ends.map_err(|e| refuse(&format!("its rings are not as it says: {e:?}")))?;
            let memory = match grant.queues[index] {
                Some(pool) => {
                    let pool = pools.get(pool).ok_or_else(|| refuse("it names a pool too many"))?;
                    PeerMemory::of_pool(pool.as_fd())?
                }
                None => PeerMemory::of_queue(&segment, index),
            };
            queues.push(Queue::new(ends, memory, grant.role));
        }
        let moved = AtomicBool::new(false);
        Ok(Self { queues, segment, lifeline, event, grant, moved, number: 0 })
    }

    /// The queues, one for each lcore.
    pub fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    /// What the dataplane has granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether the dataplane still serves the port. It costs a system call: a program that spins asks
    /// now and then.
    pub fn is_alive(&self) -> bool {
        self.is_held() && self.segment.is_open() && !self.queues.iter().any(Queue::is_broken)
    }

    /// Whether another instance has taken over, as far as [`is_alive`](Self::is_alive) or [`wait`](Self::wait) has
    /// heard: attach there as well, and go on here until this one ends. It is said where it was asked for
    /// ([`Options::follow`]).
    pub fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    /// Whether the other side still holds the connection; hears what it says there.
    fn is_held(&self) -> bool {
        let mut room = [0; 4096];
        loop {
            match unix_stream::take_now(&self.lifeline, &mut room) {
                Ok(0) => return false,
                // What is not known is of a later version.
                Ok(count) => {
                    if let Some(call) = Call::last_of(&room[..count]) {
                        self.moved.store(call == Call::Moved, Ordering::Relaxed);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Whether the dataplane has said nothing else: as [`is_alive`](Self::is_alive), without a system call.
    pub(crate) fn is_open(&self) -> bool {
        self.segment.is_open() && !self.queues.iter().any(Queue::is_broken)
    }

    /// Waits until a queue has something, or `timeout` is over: spins for some 50 µs, and then sleeps.
    ///
    /// # Errors
    /// When the dataplane is gone or has closed the port. The memory stays mapped until the attachment
    /// is dropped.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        wait_for_any(std::slice::from_mut(self), timeout);
        if self.has_input() || self.is_alive() { Ok(()) } else { Err(gone()) }
    }

    /// Moves on what is to be sent; whether all of it is.
    fn flush(&mut self) -> bool {
        self.queues.iter_mut().for_each(Queue::flush);
        !self.queues.iter().any(Queue::has_unsent)
    }

    /// Whether a queue has something.
    #[inline]
    pub fn has_input(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// Announces that this process is about to sleep until [`as_fd`](AsFd::as_fd) is readable, for
    /// those who wait in a loop of their own (epoll, asyncio). `false`: there is something already, or
    /// something to [`flush`](Queue::flush).
    /// After the wait, call [`awake`](Self::awake).
    #[must_use = "sleep only when this returns true"]
    pub fn prepare_sleep(&self) -> bool {
        self.queues.iter().all(Queue::sleep_unless_input)
    }

    /// Ends the announcement, however the wait ended.
    pub fn awake(&self) {
        self.queues.iter().for_each(Queue::awake);
    }

    /// Readable when the dataplane is gone, or, where that was asked for, has something to say about another
    /// instance: [`is_alive`](Self::is_alive) tells which.
    pub fn lifeline(&self) -> BorrowedFd<'_> {
        self.lifeline.as_fd()
    }
}

impl AsFd for Attachment {
    /// Readable when something came while this process had announced its sleep; to be waited for, not
    /// read: [`awake`](Self::awake) does that.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of them has something, or has news of its dataplane, or `timeout` is over: spins for some 50 µs,
/// and then sleeps.
fn wait_for_any(ports: &mut [Attachment], timeout: Option<Duration>) {
    ports.iter_mut().for_each(|port| _ = port.flush());
    for _ in 0..SPINS {
        if ports.iter().any(Attachment::has_input) {
            return;
        }
        spin_loop();
    }
    // The rings may have room since.
    let unsent = ports.iter_mut().filter_map(|port| (!port.flush()).then_some(())).count() > 0;
    if unsent || ports.iter().all(Attachment::prepare_sleep) {
        let timeout = if unsent { Some(UNSENT_NAP) } else { timeout };
        let timeout = timeout.and_then(|t| PollTimeout::try_from(t).ok());
        let fds = ports.iter().flat_map(|port| [port.event.as_fd(), port.lifeline.as_fd()]);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, timeout.unwrap_or(PollTimeout::NONE));
    }
    ports.iter().for_each(Attachment::awake);
}

/// The line that a dataplane answers with, and what came with it.
fn answer(lifeline: &UnixStream) -> std::io::Result<(String, Vec<OwnedFd>)> {
    let (mut line, mut all, mut room) = (Vec::new(), Vec::new(), [0; 4096]);
    while !line.ends_with(b"\n") {
        let (count, fds) = recv_with_fds(lifeline, &mut room, Offer::FDS_MAX)?;
        all.extend(fds);
        line.extend_from_slice(&room[..count]);
        if count == 0 || line.len() > room.len() {
            return Err(std::io::Error::other("the dataplane ended the connection"));
        }
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    Ok((line, all))
}

fn no_answer(timeout: Duration) -> std::io::Error {
    let why = format!("the dataplane did not answer for {} ms", timeout.as_millis());
    std::io::Error::new(ErrorKind::TimedOut, why)
}

/// Refuses a port that is not for what this process is.
fn check_role(name: &str, role: Role, wanted: Option<Role>) -> Result<()> {
    if wanted.is_none_or(|wanted| wanted == role) {
        return Ok(());
    }
    let (why, remedy) = match role {
        Role::Handler => (
            "its process handles the connections of others, and this one opens connections",
            "name a port that is the address of a listener with transport = \"shm\"",
        ),
        Role::Peer => (
            "its process opens connections, and this one handles those of others",
            "name a port that a listener has as `handler = \"port:NAME\"`",
        ),
    };
    Err(Error::new(format!("attach to port `{name}`"), why, remedy))
}

fn gone() -> Error {
    Error::new(
        "use a port",
        "the dataplane has ended, or has closed it",
        "attach again: the port's listener is served when it is there",
    )
}
