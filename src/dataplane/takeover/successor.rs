//! The instance that takes over, as the old one sees it: the command `takeover`, by which it asks.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::offer::Offer;
use super::{BUILD, CONFIRM, GO, PLACED, READY, STEP, STOPPED, VERSION, hear, say};
use crate::control::Commands;
use crate::counters::Segment;
use crate::dataplane::AdminPlace;
use crate::dataplane::asking::{Lcores, Silence};
use crate::dataplane::ports::Ports;
use crate::dataplane::steering::Steering;
use crate::ipc::{Command, Error, Reply, Upkeep};
use crate::port::Call;
use crate::sys::listening::Listening;
use crate::sys::unix_socket::UnixListener;
use crate::sys::unix_stream::{self, Peer, Until, Waited};

/// How often who waits for the other instance looks whether this one still runs.
const LOOK: Duration = Duration::from_millis(50);

/// What becomes of an instance whose sockets another one asks for. Clones are of the same.
#[derive(Clone)]
pub(in crate::dataplane) struct Succession(Arc<Shared>);

struct Shared {
    parts: Parts,
    state: Mutex<State>,
}

/// What of the instance it is about.
pub(in crate::dataplane) struct Parts {
    pub steering: Arc<Steering>,
    pub lcores: Lcores,
    pub ports: Ports,
    pub admin: AdminPlace,
    pub segment: Arc<Segment>,
    /// Of the control socket's file.
    pub upkeep: Upkeep,
    /// Where that lies.
    pub control: PathBuf,
}

#[derive(Default)]
struct State {
    /// The instance that has taken over hears by its end that this one has ended.
    successor: Option<UnixStream>,
}

/// Nobody else takes over meanwhile.
struct Turn(Succession);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.parts.steering.end_takeover();
    }
}

impl Succession {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, state: Mutex::default() }))
    }

    /// `takeover`.
    pub fn add_commands(self, commands: &mut Commands) {
        let help = "hands the listening sockets to the instance that asks (ringway run --takeover)";
        commands.add("takeover version=N", help, move |command, reply| self.asked(command, reply));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        let version = command.arguments.split_ascii_whitespace().find_map(|word| {
            word.strip_prefix("version=").and_then(|version| version.parse::<u32>().ok())
        });
        let why = match version {
            Some(VERSION) => None,
            Some(other) => {
                Some((409, format!("this instance speaks version {VERSION}, not {other}")))
            }
            None => Some((400, "`ringway run --takeover` says this, with its version".to_owned())),
        };
        if let Some((code, why)) = why {
            return Err(Error::handler(code, why));
        }
        let peer = reply.peer();
        if !may_take_over(peer) {
            let why = format!("user {} may not take over an instance of another user", peer.uid);
            return Err(Error::handler(403, why));
        }
        let turn = self.take_turn().ok_or_else(|| {
            let why = "another instance is about to take over, or has done so; or this one has not taken over yet";
            Error::handler(409, why)
        })?;
        reply.take_over(move |stream| turn.0.clone().serve(turn, stream, peer));
        Ok(())
    }

    fn take_turn(&self) -> Option<Turn> {
        self.0.parts.steering.begin_takeover().then(|| Turn(self.clone()))
    }

    /// Speaks with the instance at the other end of `stream`.
    fn serve(self, turn: Turn, stream: UnixStream, peer: Peer) {
        match self.give_way(&stream, peer) {
            Ok(()) => {
                self.state().successor = Some(stream);
                tracing::info!(pid = peer.pid, "another instance has taken over");
            }
            Err(why) => {
                // It hears of it, or is gone.
                let _ = say(&stream, &format!("error: {why}"));
                self.go_on();
                tracing::warn!(pid = peer.pid, "another instance does not take over: {why}");
            }
        }
        drop(turn);
    }

    /// As if nobody had asked. What came while the other one was the first to hear of it is accepted here.
    fn go_on(&self) {
        self.0.parts.upkeep.resume();
        self.take_back();
        self.0.parts.ports.tell(Call::Stays);
        self.0.parts.lcores.each(|index| {
            let _ = self.0.parts.lcores.ask(index, |lcore| lcore.accept_again(true));
        });
    }

    /// Has the statistics in their place again, and removes what one that has ended left beside that and the control
    /// socket.
    fn take_back(&self) {
        let Parts { segment, control, .. } = &self.0.parts;
        if let Err(error) = segment.take_back() {
            tracing::warn!("nobody outside finds what is counted: {error}");
        }
        if !control.as_os_str().as_encoded_bytes().starts_with(b"@")
            && let Err(error) = UnixListener::clear_staged(control)
        {
            tracing::debug!("{error}");
        }
    }

    fn give_way(&self, stream: &UnixStream, peer: Peer) -> io::Result<()> {
        let offer = Offer { sockets: self.sockets()?, followed: self.0.parts.ports.followed() };
        offer.send(stream)?;
        tracing::info!(pid = peer.pid, "another instance is about to take over");
        self.await_word(stream, READY, BUILD)?;
        // From here on the file of the control socket may be the other's.
        self.0.parts.upkeep.rest();
        say(stream, GO)?;
        self.await_word(stream, PLACED, STEP)?;
        self.0.parts.ports.tell(Call::Moved);
        self.await_word(stream, CONFIRM, STEP)?;
        // The files are the other's; they stay when the lcores drop the sockets.
        offer.unix().for_each(|listener| listener.leave_file());
        if !self.0.parts.steering.hand_over(peer.pid) {
            offer.unix().for_each(|listener| listener.keep_file());
            return Err(io::Error::other("the instance is told to stop"));
        }
        // Its address is the other's from here on.
        drop(self.0.parts.admin.lock().unwrap_or_else(PoisonError::into_inner).take());
        // If it has ended meanwhile it is too late to go back.
        let _ = say(stream, STOPPED);
        Ok(())
    }

    /// All that this instance listens on, each once.
    fn sockets(&self) -> io::Result<Vec<Listening>> {
        let lcores = &self.0.parts.lcores;
        let mut all = Vec::new();
        for (index, sockets) in lcores
            .each(|index| lcores.ask(index, |lcore| lcore.listening()))
            .into_iter()
            .enumerate()
        {
            let silent = |silence: Silence| {
                let why = format!("lcore {} is {}", lcores.id(index), silence.name());
                io::Error::other(why)
            };
            all.extend(sockets.map_err(silent)??);
        }
        let mut paths = Vec::new();
        all.retain(|socket| match socket {
            Listening::Unix(listener) => {
                let is_new = !paths.contains(&listener.path().to_owned());
                paths.push(listener.path().to_owned());
                is_new
            }
            _ => true,
        });
        Ok(all)
    }

    /// Waits for this word, while the instance runs.
    fn await_word(&self, stream: &UnixStream, word: &str, patience: Duration) -> io::Result<()> {
        use std::os::fd::AsFd;
        let until = Instant::now() + patience;
        while unix_stream::wait(stream.as_fd(), Until::Readable, None, LOOK)? == Waited::TimedOut {
            if self.0.parts.steering.is_draining() || self.0.parts.lcores.any_ended() {
                return Err(io::Error::other("the instance is told to stop"));
            }
            if Instant::now() >= until {
                let why = format!("no `{word}` came within {} s", patience.as_secs());
                return Err(io::Error::other(why));
            }
        }
        match hear(stream, STEP)? {
            Some(heard) if heard == word => Ok(()),
            Some(heard) => Err(io::Error::other(format!("it said `{heard}`, not `{word}`"))),
            None => Err(io::Error::other("it has ended")),
        }
    }
}

/// Who runs the instance, and root: the sockets are theirs anyway.
fn may_take_over(peer: Peer) -> bool {
    peer.uid == nix::unistd::geteuid().as_raw() || peer.uid == 0
}
