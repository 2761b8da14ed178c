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
mod hooks;
mod instance;
mod place;
pub(crate) mod settings;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, Table};
pub(crate) use hooks::{Apply, Hooks};
pub use instance::{Instance, Stopping};
pub use place::{instances, socket_path};

use serde::Serialize;

use crate::config::{CaptureAccess, Config, ControlConfig, FilePrefix};
use crate::error::{Error, Result};
use crate::ipc::{self, Command, Options, Reply, Server, Upkeep};
use crate::limits::{BIND_PATIENCE_NS, CONTROL_CONNECTIONS_MAX, CONTROL_PLACE_TRIES_MAX};
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
    hooks: Hooks,
}

/// A control socket whose path is taken, and whose instance does not run yet: clients wait.
pub struct Bound {
    server: ipc::Bound,
    commands: Commands,
    hooks: Hooks,
    place: Place,
    capture: CaptureAccess,
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

    /// As a configuration says.
    pub fn with(config: ControlConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// At this path, whose directory has to be there.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.socket = Some(path.into());
        self
    }

    /// Where those who use it may see this of what passes.
    pub fn capture(mut self, access: CaptureAccess) -> Self {
        self.config.capture = access;
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

    /// With a setting beside those of the configuration, which `config get` shows and `config set` changes: `get` gives its
    /// value, and `set` looks at another one and gives what puts it in force, or refuses it. That is called once all
    /// else of the same change was found good. A `key` that the configuration has too is set when it changes there.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use ringway::control::Control;
    /// use ringway::error::Error;
    ///
    /// let depth = Arc::new(AtomicU32::new(8));
    /// let (read, write) = (depth.clone(), depth);
    /// let get = move || read.load(Ordering::Relaxed).to_string();
    /// let control = Control::new().setting("app.depth", get, move |text| {
    ///     let wrong = |e| Error::new("read a depth", e, "give a number");
    ///     let (value, depth) = (text.parse().map_err(wrong)?, write.clone());
    ///     Ok(move || depth.store(value, Ordering::Relaxed))
    /// }); // then: `ringway ctl config set app.depth 9`
    /// # drop(control);
    /// ```
    pub fn setting<A: FnOnce() + Send + 'static>(
        mut self,
        key: &str,
        get: impl Fn() -> String + Send + Sync + 'static,
        set: impl Fn(&str) -> Result<A> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.add_setting(key, get, set);
        self
    }

    /// With somebody who is asked before another configuration takes the place of the one in force: `ask` gets both, the
    /// old one first, and an error refuses the change whole. It is called by each reload, also where the file says what
    /// it said before. The change may still fall through: what comes of it, [`after_reload`](Self::after_reload) tells.
    pub fn on_reload(
        mut self,
        ask: impl Fn(&Config, &Config) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.add_before(ask);
        self
    }

    /// With somebody who is told of each configuration that has come into force, with its generation: 2 is the first after
    /// the start.
    pub fn after_reload(mut self, tell: impl Fn(u64, &Config) + Send + Sync + 'static) -> Self {
        self.hooks.add_after(tell);
        self
    }

    /// With a probe: a value to look at while the program runs, which `ringway ctl probe` shows. `look` is called when
    /// somebody does, on a thread of the control socket.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use ringway::control::Control;
    ///
    /// let hits = Arc::new(AtomicU64::new(0));
    /// let seen = hits.clone();
    /// let look = move || seen.load(Ordering::Relaxed);
    /// let control = Control::new().probe("cache.hits", "requests that the cache answered", look);
    /// # drop(control);
    /// ```
    pub fn probe<V: Serialize>(
        mut self,
        name: &str,
        help: &str,
        look: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        self.hooks.add_probe(name, help, look);
        self
    }

    /// Whether there is to be a socket.
    pub(crate) fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// What the program added.
    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Takes the path; `lcore_cpus` are those that its threads keep away from. An instance that has
    /// it is an error that names its process.
    pub fn bind(self, prefix: &FilePrefix, lcore_cpus: &[u32]) -> Result<Bound> {
        let options = self.options(lcore_cpus)?;
        let mut tries = CONTROL_PLACE_TRIES_MAX;
        let until = Instant::now() + Duration::from_nanos(BIND_PATIENCE_NS);
        loop {
            let place = self.place(prefix)?;
            match Server::bind(&place.path, options.clone()) {
                Ok(server) => {
                    let Self { config, commands, hooks, .. } = self;
                    return Ok(Bound { server, commands, hooks, place, capture: config.capture });
                }
                Err(_) if tries > 1 && place.is_gone() => tries -= 1,
                Err(error) => match already_running(prefix, &place.path) {
                    // One that was killed may need a moment to be gone.
                    Some(_) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                    refusal => return Err(refusal.unwrap_or(error)),
                },
            }
        }
    }

    /// Makes ready to take the path from the instance that has it, which keeps it until this one
    /// [serves](Bound::serve).
    pub fn stage(self, prefix: &FilePrefix, lcore_cpus: &[u32]) -> Result<Bound> {
        let place = self.place(prefix)?;
        let server = Server::stage(&place.path, self.options(lcore_cpus)?)?;
        let Self { config, commands, hooks, .. } = self;
        Ok(Bound { server, commands, hooks, place, capture: config.capture })
    }

    /// Where it will be.
    pub fn path(&self, prefix: &FilePrefix) -> PathBuf {
        self.config.socket.clone().unwrap_or_else(|| socket_path(prefix))
    }

    fn place(&self, prefix: &FilePrefix) -> Result<Place> {
        match &self.config.socket {
            Some(path) => Ok(Place::at(path)),
            None => Place::make(prefix),
        }
    }

    fn options(&self, lcore_cpus: &[u32]) -> Result<Options> {
        Ok(Options {
            mode: self.config.mode,
            allowed: allowed(&self.config.uids),
            connections_max: CONTROL_CONNECTIONS_MAX,
            cpus: away_from(lcore_cpus)?,
            ..Options::default()
        })
    }
}

impl Bound {
    /// What has it make its file again.
    pub(crate) fn upkeep(&self) -> Upkeep {
        self.server.upkeep()
    }

    /// Where it is to be.
    pub(crate) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Adds commands that need the running dataplane, before those of the program, which may replace them.
    pub(crate) fn add_commands(&mut self, mut commands: Commands) {
        commands.add_all(std::mem::take(&mut self.commands));
        self.commands = commands;
    }

    /// What of the traffic its users may see.
    pub(crate) fn capture(&self) -> &CaptureAccess {
        &self.capture
    }

    /// Answers from here on, for `instance`. Its own commands come first in `help`.
    pub fn serve(self, instance: Instance) -> Result<Serving> {
        let mut commands = Commands::default();
        instance.add_commands(&self.hooks, &mut commands);
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
pub(crate) fn away_from(lcore_cpus: &[u32]) -> Result<Vec<u32>> {
    let all = affinity::allowed()?;
    let others: Vec<u32> = all.iter().copied().filter(|cpu| !lcore_cpus.contains(cpu)).collect();
    Ok(if others.is_empty() { all } else { others })
}

/// The refusal of a second instance; `None` where nobody answers at `path`.
fn already_running(prefix: &FilePrefix, path: &Path) -> Option<Error> {
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
