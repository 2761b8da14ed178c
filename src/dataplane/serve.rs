//! From a program's `main` to a dataplane that runs until a signal: [`Builder::router`], [`Builder::http`],
//! [`Builder::websocket`], [`Builder::listen`], [`Builder::run`].

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use super::{Builder, Dataplane, Protocol, Report};
use crate::config::{
    Config, CoreMap, DataplaneConfig, ListenerConfig, LogConfig, MempoolConfig, OffloadConfig,
    StatsConfig,
};
use crate::error::{Error, Result};
use crate::handler::http::{Router, Service};
use crate::handler::{ipc, websocket};
use crate::pipeline::{Extensions, Handler, Pipeline, chain};
use crate::sys::{affinity, signal};

/// How often a waiting thread looks whether the lcores still run.
const CHECK_EVERY: Duration = Duration::from_millis(200);

impl Builder {
    /// One lcore, on the lowest core that this process may use, and no listener yet.
    pub fn on_one_core() -> Result<Self> {
        let allowed = affinity::allowed()?;
        let cpu = allowed.first().copied().ok_or_else(|| {
            Error::new("choose a core", "this process may use none", "see taskset(1)")
        })?;
        let config = Config {
            listeners: Vec::new(),
            dataplane: DataplaneConfig::default(),
            mempool: MempoolConfig::default(),
            offload: OffloadConfig::default(),
            stats: StatsConfig::default(),
            log: LogConfig::default(),
            control: None,
            admin: None,
        };
        Ok(Self::new(config, CoreMap::single(cpu)))
    }

    /// Also serves HTTP/1.1 on `address`, with one service of `make` for each lcore.
    pub fn http<S: Service + 'static>(
        self,
        address: impl Into<SocketAddr>,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let (builder, name) = self.listener(address.into());
        builder.protocol(&name, move |context| Protocol::http(context, make()))
    }

    /// Also serves what the routers of `make` route, HTTP/1.1 and WebSockets, on `address`: one for each lcore, and
    /// one before the start, to be looked at. It gets the lcore's [`Extensions`], to register kinds of values that layers
    /// hang on requests and connections.
    pub fn router(
        self,
        address: impl Into<SocketAddr>,
        make: impl Fn(&mut Extensions) -> Router + Send + Sync + 'static,
    ) -> Self {
        let (builder, name) = self.listener(address.into());
        builder.protocol(&name, move |context| {
            let router = make(context.extensions);
            Protocol::router(context, router)
        })
    }

    /// Also serves WebSockets on `address`, with one service of `make` for each lcore.
    pub fn websocket<S: websocket::Service + 'static>(
        self,
        address: impl Into<SocketAddr>,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let (builder, name) = self.listener(address.into());
        builder.protocol(&name, move |context| Protocol::websocket(context, make()))
    }

    /// Also answers commands of the control line protocol on the Unix socket `path`, which everybody
    /// may connect to, with one service of `make` for each lcore.
    pub fn ipc<S: ipc::Service + 'static>(
        mut self,
        path: impl AsRef<Path>,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let path = path.as_ref();
        let protocol = format!("of {}", path.display());
        self.config.listeners.push(ListenerConfig::unix(path, &protocol, "the program"));
        self.protocol(&protocol, move |context| Protocol::ipc(context, make()))
    }

    /// Also serves bytes as they come on TCP `address`, with one handler of `make` for each lcore.
    pub fn listen<H: Handler + 'static>(
        self,
        address: impl Into<SocketAddr>,
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        let (builder, name) = self.listener(address.into());
        builder.protocol(&name, move |context| {
            let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
            Ok(Protocol { pipeline, handler: Box::new(make()) })
        })
    }

    /// A listener whose protocol has a name of its own.
    fn listener(mut self, address: SocketAddr) -> (Self, String) {
        let protocol = format!("of {address}");
        self.config.listeners.push(ListenerConfig::tcp(address, &protocol, "the program"));
        (self, protocol)
    }

    /// Serves until SIGINT or SIGTERM, which drains; a second one stops at once. With
    /// [`reload_from`](Self::reload_from), SIGHUP reloads. Returns what was counted; an lcore that panicked or a buf that is missing is an error. To be called before the
    /// program starts other threads, which would take the signals.
    pub fn run(self) -> Result<Report> {
        let signals = match self.source {
            Some(_) => StopSignals::block_with_reload()?,
            None => StopSignals::block()?,
        };
        let dataplane = self.start()?;
        dataplane.serve(&signals, || {});
        let report = dataplane.join();
        report.check()?;
        Ok(report)
    }
}

/// SIGINT and SIGTERM, and SIGHUP where that is to reload, kept for whoever waits for them.
pub struct StopSignals(SigSet);

impl StopSignals {
    /// Blocks SIGINT and SIGTERM in this thread and in those that it starts from here on.
    pub fn block() -> Result<Self> {
        Self::block_all(&[Signal::SIGINT, Signal::SIGTERM])
    }

    /// The same with SIGHUP, by which [`Dataplane::serve`] reloads.
    pub fn block_with_reload() -> Result<Self> {
        Self::block_all(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    fn block_all(signals: &[Signal]) -> Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_block().map_err(|e| {
            Error::new("block SIGINT and SIGTERM", e, "allow rt_sigprocmask in the seccomp profile")
        })?;
        Ok(Self(set))
    }

    /// Waits a little for one of them.
    fn came(&self) -> Option<Signal> {
        signal::wait(&self.0, CHECK_EVERY)
    }
}

impl Dataplane {
    /// Waits until a signal, or the control socket, has it drain, and then calls `on_drain`; a second
    /// signal stops at once. SIGHUP reloads, where it is among `signals`; what became of that is logged. Returns when the lcores have ended, or are about to.
    pub fn serve(&self, signals: &StopSignals, on_drain: impl FnOnce()) {
        while !self.is_finished() && !self.steering.is_draining() {
            match signals.came() {
                Some(Signal::SIGHUP) => self.reload_on_signal(),
                Some(_) => {
                    self.steering.drain_or_stop();
                    break;
                }
                None => self.renew_sockets(),
            }
        }
        if self.steering.is_draining() {
            on_drain();
            return self.wait_for_the_drain(signals);
        }
        // An lcore that ends before that panicked: take the rest down as well.
        self.stop();
    }

    /// Some lcores drain sooner than others: a second signal is heard until the last has.
    fn wait_for_the_drain(&self, signals: &StopSignals) {
        while !self.is_joinable() {
            if signals.came().is_some_and(|signal| signal != Signal::SIGHUP) {
                return self.stop();
            }
        }
    }

    fn reload_on_signal(&self) {
        match self.reload_again() {
            Ok(reloaded) if reloaded.is_unchanged() => tracing::info!("SIGHUP: nothing differs"),
            Ok(_) => {}
            Err(error) => tracing::error!("SIGHUP: {error}"),
        }
    }
}
