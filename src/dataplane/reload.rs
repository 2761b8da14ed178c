//! Changing what a running dataplane serves: another configuration takes the place of the one in force, whole or not at
//! all. First everything is made ready: the configuration is looked at, sockets are bound, and each lcore makes the
//! listeners that are new without serving them. Only then all lcores change over, each between two passes.

mod commands;
mod plan;
mod ready;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) use commands::add_commands;

use self::plan::{Plan, check_kinds};
use self::ready::Ready;
use super::Dataplane;
use super::asking::Lcores;
use super::making::Maker;
use super::ports::Ports;
use super::sockets::{Group, Known};
use super::steering::Steering;
use crate::config::{Config, Current, InForce, IoBackend};
use crate::control::settings::{self, Settings};
use crate::control::{Apply, Hooks};
use crate::counters::Segment;
use crate::error::{Error, Result};
use crate::lcore::{Lcore, Mail};
use crate::sys::socket::StreamListener;
use crate::sys::unix_socket::UnixListener;

/// Gives the configuration that a reload puts in force.
pub(super) type Source = Box<dyn Fn() -> Result<Config> + Send + Sync>;

/// What a change came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Which configuration is in force: that of before, where nothing differed.
    pub generation: u64,
    /// Listeners that are new, as transport, address and protocol.
    pub added: Vec<String>,
    /// Listeners that accept no more.
    pub removed: Vec<String>,
    /// What has other values than before: of the dataplane, and of listeners that were there.
    pub changed: Vec<Difference>,
    /// Lcores that were ready for it, and have not said yet that they changed over: they hang, and do so as soon as they
    /// come round. By the operator's numbers; usually none.
    pub silent: Vec<u32>,
}

/// A setting that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The listener, as transport and address; empty where it is none's.
    pub of: String,
    /// The setting.
    pub key: String,
    /// What it was; `None`: not there.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.of.is_empty() { "" } else { " " };
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        write!(f, "{}{gap}{}: {} -> {}", self.of, self.key, shown(&self.from), shown(&self.to))
    }
}

impl Reloaded {
    /// Whether nothing differed.
    pub fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A line for each thing that changed.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.generation)?;
        if self.is_unchanged() {
            return write!(f, ": nothing differs");
        }
        self.added.iter().try_for_each(|listener| write!(f, "\nadded {listener}"))?;
        self.removed.iter().try_for_each(|listener| write!(f, "\nremoved {listener}"))?;
        self.changed.iter().try_for_each(|one| write!(f, "\nchanged {one}"))?;
        self.silent
            .iter()
            .try_for_each(|id| write!(f, "\nlcore {id} hangs, and has not changed over yet"))
    }
}

/// Changes the configuration in force. There is one change at a time.
pub(super) struct Reloader {
    parts: Parts,
    served: Mutex<Served>,
}

/// The listeners that are served, in the order of the configuration.
struct Served {
    /// Changes that were begun.
    attempts: u64,
    listeners: Vec<ServedListener>,
}

#[derive(Clone)]
struct ServedListener {
    sockets: Known,
    /// Gone with the listener.
    life: std::sync::Weak<()>,
    /// That its file cannot be made again was said.
    complained: bool,
}

/// What a change works with.
pub(super) struct Parts {
    pub lcores: Lcores,
    pub steering: Arc<Steering>,
    pub segment: Arc<Segment>,
    pub maker: Arc<Maker>,
    pub ports: Ports,
    pub current: Current,
    pub hooks: Hooks,
    pub source: Option<Source>,
    /// Connections per lcore that the configuration asked for at the start, where this machine allows fewer.
    pub asked_connections: u32,
    /// What was to carry the sockets at the start; in force is what that came to.
    pub asked_io: IoBackend,
}

impl Reloader {
    /// Of listeners with these sockets and lives, in the order of the configuration.
    pub fn new(parts: Parts, listeners: Vec<(Known, std::sync::Weak<()>)>) -> Self {
        let served = |(sockets, life)| ServedListener { sockets, life, complained: false };
        let listeners = listeners.into_iter().map(served).collect();
        Self { parts, served: Mutex::new(Served { attempts: 0, listeners }) }
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `config` in force.
    pub fn reload(&self, config: Config) -> Result<Reloaded> {
        self.change(&mut self.served(), config, &[])
    }

    /// The same with what the source gives.
    pub fn reload_again(&self) -> Result<Reloaded> {
        let mut served = self.served();
        let Some(source) = &self.parts.source else {
            return Err(Error::new(
                "reload the configuration",
                "the instance was started without a file to read again",
                "start it with `ringway run --config FILE` (a program: Builder::reload_from), or change single \
                 settings with `config set`",
            ));
        };
        self.change(&mut served, source()?, &[])
    }

    /// Puts the configuration in force with these settings changed.
    pub fn set(&self, changes: &[(String, String)]) -> Result<Reloaded> {
        let mut served = self.served();
        let config = &self.parts.current.get().config;
        let hooks = &self.parts.hooks;
        let (mut added, own): (Vec<_>, Vec<_>) = changes.iter().cloned().partition(|(key, _)| {
            hooks.has_setting(key) && value_of(&settings::of(config), key).is_none()
        });
        let config = config.with(&own)?;
        // What the program may have changed by itself is set, though the configuration says so already.
        let all = settings::of(&config);
        let both = own.iter().filter(|(key, _)| hooks.has_setting(key));
        added.extend(both.filter_map(|(key, _)| Some((key.clone(), value_of(&all, key)?))));
        self.change(&mut served, config, &added)
    }

    fn change(
        &self,
        served: &mut Served,
        mut config: Config,
        added: &[(String, String)],
    ) -> Result<Reloaded> {
        let old = self.parts.current.get();
        let most = &mut config.dataplane.max_connections;
        if *most == self.parts.asked_connections {
            *most = old.config.dataplane.max_connections;
        }
        if config.dataplane.io == self.parts.asked_io {
            config.dataplane.io = old.config.dataplane.io;
        }
        let plan = Plan::new(&old, &config, &self.parts.hooks)?;
        let peers = self.parts.maker.peers_max > 0;
        check_kinds(&config.listeners, !self.parts.maker.datagrams.is_empty(), peers)?;
        self.parts.maker.engines.check(&config.listeners, self.parts.maker.io)?;
        self.parts.maker.protocols.check(&config.listeners)?;
        let (changed, applies) = self.prepare_settings(&plan, added)?;
        let is_empty = plan.is_empty() && applies.is_empty();
        let begin = || self.parts.steering.begin_change().ok_or_else(ready::not_now);
        let _changing = (!is_empty).then(begin).transpose()?;
        let ready =
            (!is_empty).then(|| Ready::make(self, served, &old, &config, &plan)).transpose()?;
        self.parts.hooks.ask(&old.config, &config)?;
        let Some(ready) = ready else {
            return Ok(Reloaded { generation: old.generation, ..Reloaded::default() });
        };
        let mut reloaded = ready.describe(&old, &config, &plan);
        reloaded.changed.extend(changed);
        let next = ready.commit(self, served, &old, config, &plan, &mut reloaded)?;
        applies.into_iter().for_each(|apply| apply());
        self.put_in_force(next);
        tracing::info!("the configuration changed: {}", reloaded.to_string().replace('\n', "; "));
        let now = self.parts.current.get();
        self.parts.hooks.tell(now.generation, &now.config);
        Ok(reloaded)
    }

    /// What settings that the program added are to change to, with what does it.
    fn prepare_settings(
        &self,
        plan: &Plan,
        added: &[(String, String)],
    ) -> Result<(Vec<Difference>, Vec<Apply>)> {
        let (mut changed, mut applies) = (Vec::new(), Vec::new());
        for (key, value) in &plan.settings {
            applies.push(self.parts.hooks.prepare(key, value)?.1);
        }
        for (key, value) in added {
            if plan.settings.iter().any(|(known, _)| known == key) {
                continue;
            }
            let (from, apply) = self.parts.hooks.prepare(key, value)?;
            let (from, to) = (Some(from), Some(value.clone()));
            changed.push(Difference { of: String::new(), key: key.clone(), from, to });
            applies.push(apply);
        }
        Ok((changed, applies))
    }

    /// What everybody but the lcores goes by.
    fn put_in_force(&self, next: InForce) {
        self.parts.segment.set_generation(next.generation);
        self.parts.segment.set_sampling(next.config.stats.sampling);
        self.parts.steering.set_drain_timeout(next.config.dataplane.drain_timeout);
        self.parts.ports.change(&next.config.listeners);
        self.parts.current.put(next);
    }

    /// Makes the files of Unix listeners again that somebody deleted. While a change is being made it leaves that to the
    /// next call.
    pub fn renew_sockets(&self) {
        let mut served = match self.served.try_lock() {
            Ok(served) => served,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let current = self.parts.current.get();
        for (place, listener) in served.listeners.iter_mut().enumerate() {
            let Some(old) = listener.sockets.unix().filter(|old| !old.is_still_there()) else {
                continue;
            };
            match UnixListener::bind(old.path(), current.config.listeners[place].access.mode) {
                Ok(new) => {
                    tracing::warn!("the file of {} was gone: made it again", new.path().display());
                    let new = Arc::new(new);
                    listener.sockets = Group::of_unix(&new, self.parts.lcores.len()).known();
                    listener.complained = false;
                    self.listen_on(current.indices[place], &new);
                }
                Err(error) if !listener.complained => {
                    tracing::error!("the file of {} was gone: {error}", old.path().display());
                    listener.complained = true;
                }
                Err(_) => {}
            }
        }
    }

    /// The files of sockets that were another instance's go with this one from here on, whose they are now, and have the
    /// modes that it gives them.
    pub fn keep_files(&self) {
        let (served, current) = (self.served(), self.parts.current.get());
        for (listener, config) in served.listeners.iter().zip(&current.config.listeners) {
            let Some(socket) = listener.sockets.unix() else { continue };
            socket.keep_file();
            if let Err(error) = socket.set_mode(config.access.mode) {
                tracing::error!("{error}");
            }
        }
    }

    /// Has each lcore accept from `socket` on the listener at `index`.
    fn listen_on(&self, index: u8, socket: &Arc<UnixListener>) {
        self.parts.steering.post_all(|| {
            let socket = StreamListener::Unix(socket.clone());
            Mail::Call(Box::new(move |lcore: &mut Lcore| lcore.listen_on(index, socket)))
        });
    }
}

/// The value of a key, as text.
fn value_of(settings: &Settings, key: &str) -> Option<String> {
    settings.iter().find(|(known, _)| known == key).map(|(_, value)| plan::shown(value))
}

impl Dataplane {
    /// The configuration in force, with where its listeners listen.
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.get()
    }

    /// Puts `config` in force, whole or not at all: on an error the dataplane is as it was. Listeners are told apart by
    /// transport and address. Those that did not change are not touched. What is new is bound and served, what is gone
    /// accepts no more and its connections have [`drain_timeout`](crate::config::DataplaneConfig::drain_timeout) to
    /// finish. A listener that changed is taken over by a new one that accepts from the same sockets, so that nobody who
    /// wants to connect is turned away; the connections that it has go on with the old protocol and handler until they
    /// close, which HTTP brings about by saying `Connection: close` in its next response. Peers that send datagrams begin
    /// anew. Where times alone changed (`write_timeout`, `idle_timeout`), they are for all connections at once.
    ///
    /// It waits for the lcores, and for another change that is under way.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use ringway::config::ListenerConfig;
    /// use ringway::dataplane::Builder;
    /// use ringway::handler::Echo;
    ///
    /// # fn main() -> ringway::error::Result<()> {
    /// let dataplane = Builder::on_one_core()?.listen(([127, 0, 0, 1], 0), || Echo).start()?;
    /// let mut config = (*dataplane.in_force().config).clone();
    /// config.listeners[0].write_timeout = Duration::from_secs(5);
    /// config.listeners.push(ListenerConfig::tcp(([127, 0, 0, 1], 0).into(), "http", "the program"));
    /// let reloaded = dataplane.reload(config)?;
    /// assert_eq!((reloaded.generation, reloaded.added.len()), (2, 1));
    /// assert_eq!(dataplane.addresses().len(), 2);
    /// # dataplane.stop();
    /// # dataplane.join();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When something differs that was fixed at the start (which is named), a listener is refused or cannot be bound, an
    /// [`on_reload`](crate::control::Control::on_reload) hook says no, no index is free for a listener (those that drain
    /// keep theirs), an lcore does not answer, or the dataplane stops.
    pub fn reload(&self, config: Config) -> Result<Reloaded> {
        self.reloader()?.reload(config)
    }

    /// The same with what [`Builder::reload_from`](super::Builder::reload_from) gives: what `ringway ctl reload` and
    /// SIGHUP do.
    pub fn reload_again(&self) -> Result<Reloaded> {
        self.reloader()?.reload_again()
    }

    /// The same with the configuration in force, in which these keys have these values: what `ringway ctl config set` does
    /// ([`Config::with`]).
    pub fn set(&self, settings: &[(String, String)]) -> Result<Reloaded> {
        self.reloader()?.set(settings)
    }

    fn reloader(&self) -> Result<&Reloader> {
        let starting = || Error::new("change the configuration", "it starts", "wait for that");
        self.reloader.as_deref().ok_or_else(starting)
    }

    /// Makes the files of Unix listeners again that somebody deleted (I-7). Where somebody else
    /// listens there now, or the file cannot be made, that is logged once, and tried again with the
    /// next call. [`serve`](Self::serve) calls it several times a second; who waits otherwise calls
    /// it as often as he likes: it makes one system call for each such listener.
    pub fn renew_sockets(&self) {
        if let Some(reloader) = &self.reloader {
            reloader.renew_sockets();
        }
    }
}
