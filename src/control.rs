//! The control socket of a running instance: where it lies, who may use it, which commands there
//! are and what they tell. What they tell about is handed in; how lines travel is `ipc`'s.
//!
//! It runs on threads of its own, on no lcore's core where there is another, and reads numbers that
//! are counted anyway: an lcore does not notice that it is looked at. The commands about what only an
//! lcore knows are the dataplane's, and ask it by mail.
//!
//! `ringway run` has one unless its configuration says otherwise, a program where it asks:
//!
//! ```no_run
//! use std::io::Write;
//!
//! use ringway::control::Control;
//! use ringway::dataplane::Builder;
//! use ringway::handler::Echo;
//!
//! # fn main() -> ringway::error::Result<()> {
//! let control = Control::new().command("greet [NAME]", "a greeting", |command, reply| {
//!     Ok(writeln!(reply, "hello, {}", command.arguments)?)
//! });
//! let echo = Builder::on_one_core()?.listen(([127, 0, 0, 1], 7000), || Echo);
//! echo.control(control).run()?; // meanwhile: `ringway ctl greet you`, or `ringway ctl stop`
//! # Ok(())
//! # }
//! ```

mod answer;
mod commands;
mod instance;
mod place;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use answer::{Answer, Table};
pub use instance::{Instance, Stopping};
pub use place::{instances, socket_path};

use crate::config::{ControlConfig, FilePrefix};
use crate::error::{Error, Result};
use crate::ipc::{self, Command, Options, Reply, Server};
use crate::limits::{CONTROL_CONNECTIONS_MAX, CONTROL_PLACE_TRIES_MAX};
use crate::sys::affinity;
use crate::sys::peer_credentials::AllowedPeers;
use crate::sys::unix_stream;
pub(crate) use commands::Commands;
use place::Place;

/// A control socket that is to be: its place, its users, and commands beside those of every
/// instance.
#[derive(Default)]
pub struct Control {
    config: ControlConfig,
    commands: Commands,
}

/// A control socket whose path is taken, and whose instance does not run yet: clients wait.
pub struct Bound {
    server: ipc::Bound,
    commands: Commands,
    place: Place,
}

/// A control socket that answers, until it is dropped.
pub struct Serving {
    server: Server,
    /// Goes behind the server, which has its file in it.
    _place: Place,
}

impl Control {
    /// In the place that the instance's prefix gives it, for this user alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// As a configuration says. Its `enabled` is its reader's business.
    pub fn with(config: ControlConfig) -> Self {
        Self { config, commands: Commands::default() }
    }

    /// At this path, whose directory has to be there.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.socket = Some(path.into());
        self
    }

    /// With a command: `usage` is its name and then what may follow it, `help` one line about it. A
    /// command of that name that is there already is replaced.
    ///
    /// `run` writes the reply, in JSON where `command.json` says so, or refuses with
    /// [`ipc::Error::handler`]. It is called from many threads, and may take the connection over
    /// ([`Reply::take_over`]).
    pub fn command<F>(mut self, usage: &str, help: &str, run: F) -> Self
    where
        F: Fn(&Command<'_>, &mut Reply<'_>) -> Result<(), ipc::Error> + Send + Sync + 'static,
    {
        self.commands.add(usage, help, run);
        self
    }

    /// Takes the path; `lcore_cpus` are those that its threads keep away from. An instance that has
    /// it is an error that names its process.
    pub fn bind(self, prefix: &FilePrefix, lcore_cpus: &[u32]) -> Result<Bound> {
        let options = Options {
            mode: self.config.mode,
            allowed: allowed(&self.config.uids),
            connections_max: CONTROL_CONNECTIONS_MAX,
            cpus: away_from(lcore_cpus)?,
            ..Options::default()
        };
        let mut tries = CONTROL_PLACE_TRIES_MAX;
        loop {
            let place = match &self.config.socket {
                Some(path) => Place::at(path),
                None => Place::make(prefix)?,
            };
            tries -= 1;
            match Server::bind(&place.path, options.clone()) {
                Ok(server) => return Ok(Bound { server, commands: self.commands, place }),
                Err(_) if tries > 0 && place.is_gone() => {}
                Err(error) => return Err(already_running(prefix, &place.path).unwrap_or(error)),
            }
        }
    }
}

impl Bound {
    /// Its commands, to add those that need the running dataplane.
    pub(crate) fn commands(&mut self) -> &mut Commands {
        &mut self.commands
    }

    /// Answers from here on, for `instance`. Its own commands come first in `help`.
    pub fn serve(self, instance: Instance) -> Result<Serving> {
        let mut commands = Commands::default();
        instance.add_commands(&mut commands);
        commands.add_all(self.commands);
        let server = self.server.serve(move |command, reply| commands.run(command, reply))?;
        Ok(Serving { server, _place: self.place })
    }
}

impl Serving {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.server.path()
    }
}

/// Those who are listed, and who runs the instance: he could kill it as well.
fn allowed(uids: &[u32]) -> AllowedPeers {
    let mut uids = uids.to_vec();
    if !uids.is_empty() {
        uids.push(nix::unistd::geteuid().as_raw());
    }
    AllowedPeers { uids, gids: Vec::new() }
}

/// The CPUs of this process that are not among these; all of them where none is left.
fn away_from(lcore_cpus: &[u32]) -> Result<Vec<u32>> {
    let all = affinity::allowed()?;
    let others: Vec<u32> = all.iter().copied().filter(|cpu| !lcore_cpus.contains(cpu)).collect();
    Ok(if others.is_empty() { all } else { others })
}

/// The refusal of a second instance; `None` where nobody answers at `path`.
fn already_running(prefix: &FilePrefix, path: &Path) -> Option<Error> {
    use std::os::fd::AsFd;
    let socket = unix_stream::connect(path, Duration::from_secs(1)).ok()?;
    let pid = unix_stream::peer(socket.as_fd()).ok()?.pid;
    Some(Error::new(
        format!("start instance {prefix}"),
        format!("process {pid} runs with its control socket, {}", path.display()),
        format!(
            "give this one another --file-prefix (and another `socket` in [control], if there is \
             one), or stop the other with `ringway ctl --socket {} stop`",
            path.display()
        ),
    ))
}
