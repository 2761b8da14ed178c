//! Everything that can be chosen of a dataplane, and how it becomes one that runs: sockets, pools, statistics and lcores in
//! their order, or none of them.

use std::sync::{Arc, mpsc};

use super::backend::{self, Engines};
use super::descriptors::{self, Tables};
use super::making::Maker;
use super::reload::{self, Reloader, Source};
use super::sockets::Group;
use super::steering::Steering;
use super::takeover::{Inherited, Predecessor};
use super::worker::{Job, Worker};
use super::{Dataplane, NumaPools, Ports, Protocol, ProtocolContext, Protocols, Tuning};
use crate::admin::Admin;
use crate::config::{
    Config, CoreMap, Current, FilePrefix, IdleMode, InForce, IoBackend, ListenerConfig,
    MemoryOptions, OffloadConfig, TransportKind,
};
use crate::control::{Control, Hooks};
use crate::counters::{self, Segment, SegmentOptions, Totals};
use crate::error::{Error, Result};
use crate::limits::{
    ADOPTED_MAX, DESCRIPTORS_KEPT, PORT_CONNECTIONS_MAX, STREAM_LARGE_SLOTS, TAKEOVER_SOCKETS_MAX,
};
use crate::offload::{self, Place, Pool};
use crate::sys::affinity;
use crate::sys::host::Host;
use crate::sys::topology::Topology;
use crate::time::Clock;

/// Everything that can be chosen before a dataplane starts.
pub struct Builder {
    pub(super) config: Config,
    pub(super) cores: CoreMap,
    pub(super) memory: MemoryOptions,
    pub(super) prefix: FilePrefix,
    pub(super) idle: IdleMode,
    pub(super) protocols: Protocols,
    pub(super) tuning: Tuning,
    pub(super) control: Option<Control>,
    pub(super) takeover: bool,
    pub(super) source: Option<Source>,
    pub(super) admin: Option<Admin>,
}

impl Builder {
    /// A dataplane that serves `config` on `cores`.
    pub fn new(config: Config, cores: CoreMap) -> Self {
        let control = config.control.clone();
        Self {
            idle: config.dataplane.idle,
            control: control.map(Control::with),
            admin: config.admin.clone().map(Admin::with),
            config,
            cores,
            memory: MemoryOptions::default(),
            prefix: FilePrefix::default(),
            protocols: Protocols::builtin(),
            tuning: Tuning::default(),
            takeover: false,
            source: None,
        }
    }

    /// Where the pools' memory comes from.
    pub fn memory(mut self, memory: MemoryOptions) -> Self {
        self.memory = memory;
        self
    }

    /// What keeps this instance's files apart from another's.
    pub fn file_prefix(mut self, prefix: FilePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// What an lcore does when there is nothing to do.
    pub fn idle(mut self, idle: IdleMode) -> Self {
        self.idle = idle;
        self
    }

    /// Which of the kernel's interfaces carries the sockets, in place of what the configuration says. Fixed from the start
    /// on: a configuration that a reload puts in force has to say the same.
    pub fn io(mut self, io: IoBackend) -> Self {
        self.config.dataplane.io = io;
        self
    }

    /// How the lcores use io_uring; for measurements.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Who does the work that handlers offload ([`Cx::offload`](crate::pipeline::Cx::offload)), in place of what
    /// the configuration says. Without either it is one thread that floats, and starts with the first
    /// work.
    pub fn offload(mut self, offload: OffloadConfig) -> Self {
        self.config.offload = offload;
        self
    }

    /// With a control socket, for `ringway ctl` and other programs. There is none otherwise, unless
    /// the configuration has a `[control]` table. Of a `control` that is not enabled, what the program added to it is
    /// heard all the same when the configuration changes.
    pub fn control(mut self, control: Control) -> Self {
        self.control = Some(control);
        self
    }

    /// Takes over from the instance of the same name, where one runs: its listening sockets pass to this one, which
    /// accepts as soon as it is built, and the other drains and ends. No connection is refused or reset meanwhile,
    /// and where this one cannot start, the other goes on as if nothing had been asked. It is found by its control
    /// socket, so this one has to have one in the same place ([`control`](Self::control)).
    ///
    /// Listeners are the same where transport and address are; how they are served, and by how many lcores, may
    /// differ. Those that this one does not have end with the other.
    pub fn takeover(mut self, wanted: bool) -> Self {
        self.takeover = wanted;
        self
    }

    /// Where a reload gets the configuration from that it puts in force: `ringway ctl reload`, SIGHUP, and
    /// [`Dataplane::reload_again`]. Called by each of them; what it refuses is refused.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use ringway::config::Config;
    /// use ringway::dataplane::Builder;
    ///
    /// # fn main() -> ringway::error::Result<()> {
    /// let builder = Builder::on_one_core()?.reload_from(|| Config::load(Path::new("/etc/edge.toml")));
    /// # drop(builder);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reload_from(
        mut self,
        source: impl Fn() -> Result<Config> + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// With metrics, health and a dashboard over HTTP: see [`admin`](crate::admin). There are none otherwise, unless
    /// the configuration has an `[admin]` table.
    pub fn admin(mut self, admin: Admin) -> Self {
        self.admin = Some(admin);
        self
    }

    /// Serves listeners whose `protocol` is `name` with what `make` makes: one pipeline and
    /// handler for each lcore (G-12). A name that is registered already is replaced.
    pub fn protocol(
        mut self,
        name: &str,
        make: impl Fn(&mut ProtocolContext<'_>) -> Result<Protocol> + Send + Sync + 'static,
    ) -> Self {
        self.protocols.register(name, make);
        self
    }

    /// Binds the listeners, maps the pools and starts the lcores. All of them run when this
    /// returns; if one cannot, none does.
    pub fn start(mut self) -> Result<Dataplane> {
        let lcores = self.cores.lcores().len();
        self.protocols.check(&self.config.listeners)?;
        // First of all, so that a second instance hears of the first one and not of its ports.
        let (predecessor, mut inherited) = self.ask_predecessor()?;
        let cpus = self.cores.cpus();
        let control = self.control.take();
        let hooks = control.as_ref().map_or_else(Hooks::default, |control| control.hooks().clone());
        let control = control.filter(Control::is_enabled).map(|control| match &predecessor {
            Some(_) => control.stage(&self.prefix, &cpus),
            None => control.bind(&self.prefix, &cpus),
        });
        let control = control.transpose()?;
        // The other has its address for as long as it serves.
        let mut late = if predecessor.is_some() { self.admin.take() } else { None };
        let admin = self.admin.take().map(|admin| admin.bind(&cpus)).transpose()?;
        let topology = Topology::discover()?;
        let offload = Arc::new(offload_pool(&self.config.offload, &self.cores, &topology)?);
        let wanted = self.config.dataplane.max_connections;
        let has_peers = self.config.listeners.iter().any(|listener| listener.peer().is_some());
        let peers_max = if has_peers { wanted.min(PORT_CONNECTIONS_MAX) } else { 0 };
        let is_udp = |listener: &ListenerConfig| listener.transport == TransportKind::Udp;
        let mut sizes = self.config.mempool.clone();
        if self.config.listeners.iter().any(|listener| listener.protocol == "stream") {
            sizes.large_slots = sizes.large_slots.or(Some(STREAM_LARGE_SLOTS));
        }
        let has_datagrams = self.config.listeners.iter().any(is_udp);
        let asked_io = self.config.dataplane.io;
        let io = backend::resolve(asked_io, &Host::default());
        let engines = Engines::needed(&self.config.listeners, io);
        let (reserved, tables) = if engines.epoll {
            (ADOPTED_MAX, Tables { shared: lcores as u64, kept: DESCRIPTORS_KEPT })
        } else {
            (ADOPTED_MAX + peers_max, Tables { shared: 1, kept: 0 })
        };
        let connections_max = descriptors::connections_limit(wanted, reserved, tables)?;
        let bind = |listener| Group::bind(listener, lcores, &mut inherited);
        let groups = self.config.listeners.iter().map(bind).collect::<Result<Vec<_>>>()?;
        let left = inherited.into_unix();
        let pools = NumaPools::create(
            &topology,
            &self.cores,
            &sizes,
            has_datagrams,
            &self.memory,
            &self.prefix,
        )?;
        let segment = Arc::new(self.segment(control.is_some(), predecessor.is_some())?);
        let counters: Vec<_> = (0..lcores).map(|index| segment.lcore(index)).collect();
        let status = Totals::new(counters.clone());
        self.config.dataplane.idle = self.idle;
        self.config.dataplane.io = io;
        self.config.dataplane.max_connections = connections_max;
        let streams = engines.streams(connections_max, ADOPTED_MAX + peers_max);
        let maker = Arc::new(Maker {
            protocols: self.protocols,
            status: status.clone(),
            slots_share: pools.slots_per_lcore(lcores as u32),
            peers_max,
            io,
            engines,
            datagrams: streams..streams + if has_datagrams { connections_max } else { 0 },
        });
        let listeners = self.config.listeners.iter().zip(0..);
        let orders = maker.orders(&self.config.listeners, listeners, lcores, predecessor.is_some());
        let job = Arc::new(Job {
            maker: maker.clone(),
            orders: orders.clone(),
            offload: offload.clone(),
            clock: Clock::start(),
            idle: self.idle,
            tuning: self.tuning,
            connections_max,
            inlets: Arc::default(),
        });
        let addresses = groups.iter().map(|group| group.address.clone()).collect();
        let current = Current::new(InForce::first(self.config, addresses));
        let config = current.get().config.clone();
        let mut dataplane = Dataplane {
            workers: Vec::new(),
            current: current.clone(),
            pools,
            status,
            steering: Arc::new(Steering::new(config.dataplane.drain_timeout, segment.clone())),
            segment: segment.clone(),
            keeper: None,
            offload,
            io,
            uring_flags: String::new(),
            ports: Ports::none(),
            predecessor: predecessor.as_ref().map(Predecessor::pid),
            reloader: None,
            control: None,
            admin: Arc::default(),
        };
        let mut lcore_pools = Vec::new();
        let (ready, readiness) = mpsc::channel();
        for (index, spec) in self.cores.lcores().iter().enumerate() {
            let worker = Worker {
                index: index as u8,
                spec: spec.clone(),
                pool: dataplane.pools.for_cpus(&spec.cpus).clone(),
                counters: counters[index].clone(),
                sockets: groups.iter().map(|group| group.sockets[index].clone()).collect(),
                job: job.clone(),
            };
            lcore_pools.push(worker.pool.clone());
            let worker = worker.spawn(ready.clone())?;
            dataplane.steering.add(worker.handle.clone(), worker.life.clone());
            dataplane.workers.push(worker);
        }
        drop(ready);
        let sockets = groups.iter().map(Group::known).collect::<Vec<_>>();
        // The lcores own them.
        drop(groups);
        dataplane.await_readiness(&readiness)?;
        let lives = orders.iter().map(|order| order.close());
        let served = sockets.into_iter().zip(lives).collect();
        let handles = dataplane.workers.iter().map(|worker| worker.handle.clone());
        let lcore_pools = handles.zip(lcore_pools).collect();
        dataplane.ports = Ports::new(self.prefix.as_str(), &config.listeners, lcore_pools);
        dataplane.describe(&self.cores, &config.listeners);
        dataplane.keep_statistics(job.clock, &self.cores.cpus())?;
        if let Some(predecessor) = &predecessor {
            // Neither does its configuration change, nor does a third one take over, before this one has.
            dataplane.steering.begin_takeover();
            predecessor.announce()?;
            dataplane.place_statistics(self.prefix.as_str());
        }
        if let Some(admin) = admin {
            dataplane.serve_admin(admin)?;
        }
        let parts = reload::Parts {
            lcores: dataplane.lcores_to_ask(),
            steering: dataplane.steering.clone(),
            segment,
            maker,
            ports: dataplane.ports.clone(),
            current,
            hooks,
            source: self.source,
            asked_connections: wanted,
            asked_io,
        };
        dataplane.reloader = Some(Arc::new(Reloader::new(parts, served)));
        if let Some(control) = control {
            dataplane.serve_control(control, self.prefix, self.cores, job.clock)?;
        }
        match predecessor {
            Some(predecessor) => {
                let dataplane = dataplane.take_over(&predecessor, left)?;
                dataplane.steering.end_takeover();
                let admin = late.take().map(|admin| dataplane.serve_admin(admin.bind(&cpus)?));
                if let Some(Err(error)) = admin {
                    tracing::error!("there is no admin listener: {error}");
                }
                Ok(dataplane)
            }
            None => Ok(dataplane),
        }
    }

    /// The instance that is to be taken over from, where that is wanted and there is one, with its sockets.
    fn ask_predecessor(&self) -> Result<(Option<Predecessor>, Inherited)> {
        if !self.takeover {
            return Ok((None, Inherited::default()));
        }
        let Some(control) = self.control.as_ref().filter(|control| control.is_enabled()) else {
            return Err(Error::new(
                "take over from another instance",
                "this one has no control socket, by which the other is found",
                "leave `enabled = false` out of [control]",
            ));
        };
        // What it passes is held beside what is there already.
        descriptors::raise_limit(2 * TAKEOVER_SOCKETS_MAX as u64)?;
        Ok(match Predecessor::ask(&control.path(&self.prefix))? {
            Some((predecessor, inherited)) => (Some(predecessor), inherited),
            None => (None, Inherited::default()),
        })
    }
}

impl Builder {
    /// Where all is counted: in a file that others find where they find the control socket too; else, or where that
    /// cannot be, in memory of this process's own.
    ///
    /// One that `follows` another instance leaves that one's file in its place for now.
    fn segment(&self, is_found: bool, follows: bool) -> Result<Segment> {
        let prefix = self.prefix.as_str();
        let uid = nix::unistd::geteuid().as_raw();
        let mut options = SegmentOptions {
            instance: prefix.to_owned(),
            lcores: self.cores.lcores().len(),
            path: is_found.then(|| {
                let path = counters::path(uid, prefix);
                if follows { counters::next_path(&path) } else { path }
            }),
            mode: self.config.stats.mode,
            // It may have been left by one that ended within a takeover.
            replace: follows,
            sampling: self.config.stats.sampling,
        };
        match Segment::create(&options) {
            Err(error) if is_found => {
                tracing::warn!("nobody outside sees what is counted: {error}");
                options.path = None;
                Segment::create(&options)
            }
            made => made,
        }
    }
}

/// The pool that `config` asks for. It has its threads if anything was said of them.
fn offload_pool(config: &OffloadConfig, cores: &CoreMap, topology: &Topology) -> Result<Pool> {
    let allowed = affinity::allowed()?;
    config.check(cores, topology.cpus(), &allowed)?;
    let places = config.places(cores, &allowed).into_iter();
    let pool = Pool::new(offload::Options {
        threads: places.map(|(name, cpus)| Place { name, cpus }).collect(),
        queue: config.queue,
        lcores: cores.lcores().len(),
    });
    if config.is_asked_for() {
        pool.start()?;
    }
    Ok(pool)
}
