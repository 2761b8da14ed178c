//! A server: one thread accepts and watches over the file, and each connection has a thread, of
//! which there is a bounded number. What is said on a connection is in `connection`.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::Error;
use super::reply::Reply;
use crate::error;
use crate::limits::{
    IPC_COMMAND_TIMEOUT_NS, IPC_CONNECTIONS_MAX, IPC_FILE_CHECK_NS, IPC_REPLY_TIMEOUT_NS,
    IPC_STOP_GRACE_NS, UNIX_MODE,
};
use crate::proto::ipc::Command;
use crate::sys::affinity;
use crate::sys::peer_credentials::AllowedPeers;
use crate::sys::unix_socket::{Staged, UnixListener};
use crate::sys::unix_stream::{self, Until, Waited};

const FILE_CHECK: Duration = Duration::from_nanos(IPC_FILE_CHECK_NS);

/// Answers commands, each on a thread of its own, many at the same time: writes the reply, or refuses
/// the command ([`Error::handler`]). A panic costs its connection alone.
pub type Handler = dyn Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), Error> + Send + Sync;

/// How a server serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Permissions of the socket's file; 0666 unless changed (I-2).
    pub mode: u32,
    /// Users and groups that are served, of those whom the permissions let in (I-10).
    pub allowed: AllowedPeers,
    /// Connections that are worked on at a time; further clients wait in the kernel's backlog, which
    /// has room for 4096 or `net.core.somaxconn`.
    pub connections_max: usize,
    /// How long a client may take to send its command.
    pub command_timeout: Duration,
    /// How long a client may take nothing of its reply.
    pub reply_timeout: Duration,
    /// CPUs that the server's threads run on; empty: those of the thread that starts it.
    pub cpus: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: UNIX_MODE,
            allowed: AllowedPeers::default(),
            connections_max: IPC_CONNECTIONS_MAX,
            command_timeout: Duration::from_nanos(IPC_COMMAND_TIMEOUT_NS),
            reply_timeout: Duration::from_nanos(IPC_REPLY_TIMEOUT_NS),
            cpus: Vec::new(),
        }
    }
}

/// A socket that clients can connect to, and that nobody answers yet: they wait. For who has to
/// own the path before there is anything to say.
pub struct Bound {
    listener: Seat,
    options: Options,
    upkeep: Upkeep,
}

/// A socket in its place, or one that takes it when it is served.
enum Seat {
    Taken(UnixListener),
    Next(Staged),
}

/// Whether a server makes its file again where somebody else's lies in its place. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct Upkeep(Arc<Mutex<bool>>);

impl Upkeep {
    /// It does not: the place may be another server's, with this one's leave.
    pub fn rest(&self) {
        *lock(&self.0) = true;
    }

    /// It does, as before.
    pub fn resume(&self) {
        *lock(&self.0) = false;
    }

    fn rests(&self) -> bool {
        *lock(&self.0)
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What the server's threads share.
struct Shared {
    options: Options,
    upkeep: Upkeep,
    /// `None` once the server has stopped.
    handler: Mutex<Option<Arc<Handler>>>,
    stop: Stop,
    /// Connections that are open.
    open: Mutex<usize>,
    /// Told when one is so no longer.
    closed: Condvar,
}

/// Whether the server stops, and a bell that rings from then on.
pub(super) struct Stop {
    asked: OnceLock<Instant>,
    ringer: UnixStream,
    bell: UnixStream,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        let (ringer, bell) = UnixStream::pair()?;
        Ok(Self { asked: OnceLock::new(), ringer, bell })
    }

    fn ask(&self) {
        self.asked.get_or_init(Instant::now);
        // It fails where somebody asked before.
        let _ = self.ringer.shutdown(std::net::Shutdown::Write);
    }

    pub fn is_asked(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Readable once the server stops.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// How long replies may still go on, where the server stops.
    pub fn grace_left(&self) -> Duration {
        let grace = Duration::from_nanos(IPC_STOP_GRACE_NS);
        self.asked.get().map_or(grace, |asked| grace.saturating_sub(asked.elapsed()))
    }
}

impl Bound {
    /// What has the server make its file again.
    pub fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    /// Serves from here on, those who wait first.
    pub fn serve<F>(self, handler: F) -> error::Result<Server>
    where
        F: Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), Error> + Send + Sync + 'static,
    {
        let listener = match self.listener {
            Seat::Taken(listener) => listener,
            Seat::Next(staged) => staged.take_place()?,
        };
        let path = listener.path().to_owned();
        let fail = |why: std::io::Error| {
            let what = format!("serve {}", path.display());
            error::Error::new(what, why, "raise the limits `ulimit -n` and `ulimit -u`")
        };
        let shared = Arc::new(Shared {
            options: self.options,
            upkeep: self.upkeep,
            handler: Mutex::new(Some(Arc::new(handler))),
            stop: Stop::new().map_err(fail)?,
            open: Mutex::new(0),
            closed: Condvar::new(),
        });
        let acceptor = Acceptor { listener, shared: shared.clone(), warned: false };
        let acceptor = thread::Builder::new()
            .name("ipc".to_owned())
            .spawn(move || acceptor.run())
            .map_err(fail)?;
        Ok(Server { path, shared, acceptor: Mutex::new(Some(acceptor)) })
    }
}

impl Server {
    /// Listens on `path` and answers with `handler` from threads of its own (I-1). The socket of a
    /// server that is gone is replaced; one that lives is an error (I-2). Where the file is deleted,
    /// it is made again (I-7). A path that begins with `@` is an abstract name.
    pub fn start<F>(path: &Path, options: Options, handler: F) -> error::Result<Self>
    where
        F: Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), Error> + Send + Sync + 'static,
    {
        Self::bind(path, options)?.serve(handler)
    }

    /// The first half of [`start`](Self::start): from here on the path is ours, and clients wait.
    pub fn bind(path: &Path, options: Options) -> error::Result<Bound> {
        let listener = Seat::Taken(UnixListener::bind(path, options.mode)?);
        Ok(Bound { listener, options, upkeep: Upkeep::default() })
    }

    /// The same at the path of a server that lives: nobody reaches this one before it is served, which takes the
    /// path from the other, and whoever connects from then on is this one's.
    pub fn stage(path: &Path, options: Options) -> error::Result<Bound> {
        let listener = Seat::Next(UnixListener::stage(path, options.mode)?);
        Ok(Bound { listener, options, upkeep: Upkeep::default() })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Accepts no more, and ends the connections: those without a whole command at once, replies when
    /// they are whole, or after a second. A handler that is busy for longer than two is left to
    /// itself. Then the handler is dropped and the file removed. May be called many times and by many
    /// threads; each call returns when the server has stopped.
    pub fn stop(&self) {
        self.shared.stop.ask();
        let mut acceptor = lock(&self.acceptor);
        if let Some(acceptor) = acceptor.take() {
            // It does not panic; the handler, which may, runs elsewhere.
            let _ = acceptor.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that accepts.
struct Acceptor {
    listener: UnixListener,
    shared: Arc<Shared>,
    /// That the file cannot be made again was said.
    warned: bool,
}

impl Acceptor {
    fn run(mut self) {
        let cpus = &self.shared.options.cpus;
        if !cpus.is_empty()
            && let Err(error) = affinity::pin(cpus)
        {
            tracing::warn!("{error}");
        }
        while !self.shared.stop.is_asked() {
            self.turn();
        }
        self.shared.wait_for_the_end();
        // The file goes last, with `self`: who finds it gone finds what the handler held gone too.
        lock(&self.shared.handler).take();
    }

    /// Accepts one client, or looks after the file where none comes.
    fn turn(&mut self) {
        if !self.shared.has_room(FILE_CHECK) {
            return;
        }
        let bell = Some(self.shared.stop.bell());
        match unix_stream::wait(self.listener.as_fd(), Until::Readable, bell, FILE_CHECK) {
            Ok(Waited::Ready) => match self.listener.accept() {
                Ok(stream) => self.begin(stream),
                // Its client has gone, or there is no descriptor for it.
                Err(_) => self.pause(),
            },
            Ok(Waited::Rung) => {}
            // Nobody waits on the old socket when it is given up for a new one.
            Ok(Waited::TimedOut) => self.look_after_the_file(),
            Err(_) => self.pause(),
        }
    }

    /// Waits a little, or until the server stops.
    fn pause(&self) {
        let _ = unix_stream::wait(self.shared.stop.bell(), Until::Readable, None, FILE_CHECK);
    }

    fn begin(&self, stream: UnixStream) {
        let shared = self.shared.clone();
        let allowed = &shared.options.allowed;
        if !allowed.admits(stream.as_fd()).unwrap_or(false) {
            return Connection { stream, options: &shared.options, stop: &shared.stop }.deny();
        }
        let Some(handler) = lock(&shared.handler).clone() else { return };
        let place = Place::take(shared);
        let served = thread::Builder::new().name("ipc-client".to_owned()).spawn(move || {
            let Shared { options, stop, .. } = &*place.0;
            let left = Connection { stream, options, stop }.serve(&*handler);
            drop((handler, place));
            if let Some((stream, taker)) = left {
                taker(stream);
            }
        });
        if served.is_err() {
            // The client got a reset with the closure; the next one may have better luck.
            self.pause();
        }
    }

    fn look_after_the_file(&mut self) {
        if self.shared.upkeep.rests() || self.listener.is_still_there() {
            return;
        }
        let path = self.listener.path().to_owned();
        match UnixListener::bind(&path, self.shared.options.mode) {
            Ok(new) => {
                tracing::warn!("the file of {} was gone: made it again", path.display());
                self.listener = new;
                self.warned = false;
            }
            Err(error) if !self.warned => {
                tracing::error!("the file of {} was gone: {error}", path.display());
                self.warned = true;
            }
            Err(_) => {}
        }
    }
}

impl Shared {
    /// Whether one more connection may be open now, or within `timeout`.
    fn has_room(&self, timeout: Duration) -> bool {
        let full = |open: &mut usize| *open >= self.options.connections_max.max(1);
        let waited = self.closed.wait_timeout_while(lock(&self.open), timeout, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until no connection is open, or those that are have had their time twice over.
    fn wait_for_the_end(&self) {
        let most = 2 * Duration::from_nanos(IPC_STOP_GRACE_NS);
        let _ = self.closed.wait_timeout_while(lock(&self.open), most, |open| *open > 0);
    }
}

/// One of the connections that may be open.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: Arc<Shared>) -> Self {
        *lock(&shared.open) += 1;
        Self(shared)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&self.0.open) -= 1;
        self.0.closed.notify_all();
    }
}
