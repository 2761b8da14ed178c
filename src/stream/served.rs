//! Streams that a dataplane serves: it greets their peers, deciphers and decompresses, and what they say
//! comes through a port. One thread has the port, and all the streams of it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use super::Address;
use super::bell::Roster;
use super::error::{Error, Why};
use super::link::poll_for;
use super::listener::Inner;
use crate::attach::{self, Attachment, Message, Queue, StreamWord};
use crate::limits::ACCEPT_RETRY_NS;
use crate::mem::{ConnId, kind};
use crate::port::Role;
use crate::proto::stream::Code;
use crate::time::Clock;
use session::{Served, Turn};

mod session;

/// How long to wait for a dataplane to come back.
const NAP: Duration = Duration::from_nanos(ACCEPT_RETRY_NS);

/// How often those are looked at that close, or may have been idle for too long.
const SWEEP: Duration = Duration::from_millis(100);

/// How long to wait for room in a ring.
const FULL_NAP: Duration = Duration::from_millis(1);

/// Messages that are taken from a queue before the program is told of them.
const MESSAGES_PER_TURN: usize = 256;

/// A port, and how to attach to it.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) control_socket: PathBuf,
}

impl Port {
    fn attach(&self, timeout: Duration) -> crate::error::Result<Attachment> {
        let options =
            attach::Options { role: Some(Role::Handler), timeout, ..attach::Options::default() };
        Attachment::connect(&self.control_socket, &self.name, options)
    }
}

/// Starts the thread; attached when this returns.
pub(super) fn start(inner: Arc<Inner>, port: Port) -> Result<(), Error> {
    let (told, outcome) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        // What is mapped stays with the thread that mapped it.
        let attached = port.attach(inner.options().connect_timeout);
        let (attached, first) = match attached {
            Ok(attached) => (Some(attached), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = told.send(first);
        if let Some(attached) = attached {
            serve(&inner, &port, attached);
        }
    };
    let thread = thread::Builder::new().name("streams".to_owned()).spawn(run);
    thread.map_err(|why| {
        let remedy = "raise the limit on threads: `ulimit -u`";
        crate::error::Error::new("start the thread of a port", why, remedy)
    })?;
    let attached = outcome.recv().unwrap_or(Ok(()));
    attached.map_err(Error::from)
}

/// Serves streams until it is stopped and the last of them is over. Where the dataplane goes, its streams
/// end, and the next one is waited for.
fn serve(inner: &Arc<Inner>, port: &Port, attached: Attachment) {
    let mut attached = Some(attached);
    while let Some(port_end) = attached.take() {
        Desks::new(inner, port, port_end).run();
        while attached.is_none() && !inner.is_stopped() {
            inner.nap(NAP);
            attached = port.attach(inner.options().connect_timeout).ok();
        }
    }
}

/// The streams of one attachment.
struct Desks<'a> {
    inner: &'a Arc<Inner>,
    address: Address,
    port: Attachment,
    roster: Arc<Roster>,
    clock: Clock,
    sessions: HashMap<ConnId, Served>,
    /// Those that something is to be done for.
    due: HashSet<ConnId>,
    /// Those that lack a slot.
    starved: Vec<ConnId>,
}

impl<'a> Desks<'a> {
    fn new(inner: &'a Arc<Inner>, port: &Port, attached: Attachment) -> Self {
        Self {
            inner,
            address: Address::Port(port.name.clone()),
            port: attached,
            roster: inner.roster(),
            clock: Clock::start(),
            sessions: HashMap::new(),
            due: HashSet::new(),
            starved: Vec::new(),
        }
    }

    /// Until the port is gone, or nobody is to be served any more.
    fn run(mut self) {
        let mut swept = self.clock.now();
        while !(self.inner.is_stopped() && self.sessions.is_empty()) {
            self.receive();
            self.due.extend(self.roster.take());
            self.due.extend(self.starved.drain(..));
            let now = self.clock.now();
            if now.ns_since(swept) >= SWEEP.as_nanos() as u64 {
                swept = now;
                let timed = self.sessions.iter().filter(|(_, served)| served.has_times());
                self.due.extend(timed.map(|(conn, _)| *conn));
            }
            self.take_turns();
            if !self.port.is_open() || self.wait().is_err() {
                break;
            }
        }
        for (_, served) in self.sessions {
            let why = Why::Connection("the dataplane is gone, or has closed the port".to_owned());
            calls(|| served.end(why));
        }
    }

    /// Takes what has come, as far as its turn goes.
    fn receive(&mut self) {
        for index in 0..self.port.queues().len() {
            for _ in 0..MESSAGES_PER_TURN {
                let Some(message) = self.port.queues()[index].receive() else { break };
                let Some(word) = message.stream_word() else { continue };
                self.hear(index, message.conn, word, message.bytes());
            }
        }
    }

    fn hear(&mut self, index: usize, conn: ConnId, word: StreamWord, bytes: &[u8]) {
        let now = self.clock.now();
        if matches!(word, StreamWord::Connected { .. }) {
            self.meet(index, conn, &word);
        } else if word == StreamWord::Closed {
            if let Some(served) = self.sessions.remove(&conn) {
                calls(|| served.close());
            }
        } else if self.sessions.contains_key(&conn) {
            self.with(conn, |served, queue| served.hear(queue, now, word, bytes));
            self.due.insert(conn);
        } else if matches!(word, StreamWord::Closing(_)) {
            // Of one that was turned away.
            self.port.queues()[index].goodbye(conn, Code::None);
        }
    }

    /// Takes a stream in, or tells its peer why not.
    fn meet(&mut self, index: usize, conn: ConnId, word: &StreamWord) {
        let met = calls(|| Served::meet(self.inner, &self.address, &self.roster, conn, word));
        let queue = &mut self.port.queues()[index];
        match met.unwrap_or(Err(Code::Internal)) {
            Ok(served) => {
                self.sessions.insert(conn, served.on_queue(index, queue.message_bytes_max()));
                self.due.insert(conn);
            }
            Err(code) => queue.goodbye(conn, code),
        }
    }

    /// Has a stream do something. Where one of its callbacks panics it is over, and no other is.
    fn with<T>(
        &mut self,
        conn: ConnId,
        act: impl FnOnce(&mut Served, &mut Queue) -> T,
    ) -> Option<T> {
        let served = self.sessions.get_mut(&conn)?;
        let queue = &mut self.port.queues()[served.queue];
        let done = calls(|| act(served, queue));
        if done.is_none() {
            queue.send(Message::marker(conn, kind::ABORT));
            self.sessions.remove(&conn);
        }
        done
    }

    fn take_turns(&mut self) {
        let now = self.clock.now();
        for conn in std::mem::take(&mut self.due) {
            match self.with(conn, |served, queue| served.turn(queue, now)) {
                None | Some(Turn::Rests) => {}
                Some(Turn::Starves) => self.starved.push(conn),
                Some(Turn::GoesOn) => {
                    self.due.insert(conn);
                }
            }
        }
    }

    /// Waits for the dataplane, the program, or a time.
    fn wait(&mut self) -> io::Result<()> {
        for queue in self.port.queues() {
            queue.flush();
        }
        let may_sleep = self.port.prepare_sleep();
        let is_idle = self.due.is_empty() && !self.port.has_input();
        let timed = self.sessions.values().any(Served::has_times);
        let timeout = match (may_sleep, is_idle) {
            (_, false) => Some(Duration::ZERO),
            // The ring has no room, and nobody tells of it.
            (false, true) => Some(FULL_NAP),
            (true, true) => timed.then_some(SWEEP),
        };
        let waited = self.sleep(timeout);
        self.port.awake();
        waited
    }

    fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        let mut fds = [
            PollFd::new(self.port.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.port.lifeline(), PollFlags::POLLIN),
            PollFd::new(self.roster.bell.as_fd(), PollFlags::POLLIN),
        ];
        poll_for(&mut fds, timeout)?;
        let has_ended = fds[1].revents().is_some_and(|seen| !seen.is_empty());
        if has_ended { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

/// Calls what may call back into the program, and outlives its panic. Of that the stream's [`Guard`] tells
/// whoever waits, and what it has left half done goes with the stream.
///
/// [`Guard`]: super::driver::Guard
fn calls<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
