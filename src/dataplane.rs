//! Builds a dataplane from a configuration, starts its lcores, stops them, and accounts for every
//! buf at the end.

mod attaching;
mod pools;
mod ports;
mod protocols;
mod report;
mod serve;
mod sockets;
mod steering;
mod streams;
mod worker;

use std::path::Path;
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;

pub use pools::NumaPools;
pub use ports::{Attached, Attachment, Port, Ports};
pub use protocols::{Protocol, ProtocolContext, Protocols};
pub use report::Report;
pub use serve::StopSignals;
pub use worker::Tuning;

use crate::config::{
    Address, Config, CoreMap, FilePrefix, IdleMode, ListenerConfig, MemoryOptions, TransportKind,
};
use crate::control::{self, Control, Instance};
use crate::counters::{LcoreCounters, Totals};
use crate::error::{Error, Result};
use crate::lcore::{Handle, Mail};
use crate::limits::{ADOPTED_MAX, PORT_CONNECTIONS_MAX};
use crate::sys::topology::Topology;
use crate::time::Clock;
use sockets::{Sockets, UnixFiles};
use steering::Steering;
use worker::{Job, Worker};

/// Everything that can be chosen before a dataplane starts.
pub struct Builder {
    config: Config,
    cores: CoreMap,
    memory: MemoryOptions,
    prefix: FilePrefix,
    idle: IdleMode,
    protocols: Protocols,
    tuning: Tuning,
    control: Option<Control>,
}

impl Builder {
    /// A dataplane that serves `config` on `cores`.
    pub fn new(config: Config, cores: CoreMap) -> Self {
        let control = config.control.clone().filter(|control| control.enabled);
        Self {
            idle: config.dataplane.idle,
            control: control.map(Control::with),
            config,
            cores,
            memory: MemoryOptions::default(),
            prefix: FilePrefix::default(),
            protocols: Protocols::builtin(),
            tuning: Tuning::default(),
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

    /// How the lcores use io_uring; for measurements.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// With a control socket, for `ringway ctl` and other programs. There is none otherwise, unless
    /// the configuration has a `[control]` table.
    pub fn control(mut self, control: Control) -> Self {
        self.control = Some(control);
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
        let control = self.control.take();
        let control = control.map(|control| control.bind(&self.prefix, &self.cores.cpus()));
        let control = control.transpose()?;
        let wanted = self.config.dataplane.max_connections;
        let has_peers = self.config.listeners.iter().any(|listener| listener.peer().is_some());
        let peers_max = if has_peers { wanted.min(PORT_CONNECTIONS_MAX) } else { 0 };
        let is_udp = |listener: &ListenerConfig| listener.transport == TransportKind::Udp;
        let has_datagrams = self.config.listeners.iter().any(is_udp);
        let connections_max = connections_limit(wanted, ADOPTED_MAX + peers_max)?;
        let mut sockets = Sockets::bind(&self.config.listeners, lcores)?;
        let topology = Topology::discover()?;
        let pools = NumaPools::create(
            &topology,
            &self.cores,
            &self.config.mempool,
            has_datagrams,
            &self.memory,
            &self.prefix,
        )?;
        let counters: Vec<_> = (0..lcores).map(|_| Arc::new(LcoreCounters::default())).collect();
        let status = Totals::new(counters.clone());
        self.config.dataplane.idle = self.idle;
        self.config.dataplane.max_connections = connections_max;
        let job = Arc::new(Job {
            config: self.config,
            protocols: self.protocols,
            status: status.clone(),
            clock: Clock::start(),
            idle: self.idle,
            tuning: self.tuning,
            connections_max,
            peers_max,
            datagram_peers_max: if has_datagrams { connections_max } else { 0 },
        });
        let mut dataplane = Dataplane {
            workers: Vec::new(),
            addresses: sockets.addresses(),
            unix: sockets.take_unix(),
            pools,
            status,
            steering: Arc::new(Steering::new(job.config.dataplane.drain_timeout)),
            uring_flags: String::new(),
            ports: Ports::none(),
            control: None,
        };
        let mut lcore_pools = Vec::new();
        let (ready, readiness) = mpsc::channel();
        for (index, spec) in self.cores.lcores().iter().enumerate() {
            let worker = Worker {
                index: index as u8,
                spec: spec.clone(),
                pool: dataplane.pools.for_cpus(&spec.cpus).clone(),
                slots_share: dataplane.pools.slots_per_lcore(lcores as u32),
                counters: counters[index].clone(),
                sockets: sockets.take_one_of_each(),
                job: job.clone(),
            };
            lcore_pools.push(worker.pool.clone());
            let worker = worker.spawn(ready.clone())?;
            dataplane.steering.add(worker.handle.clone(), worker.life.clone());
            dataplane.workers.push(worker);
        }
        drop(ready);
        dataplane.await_readiness(&readiness)?;
        let handles = dataplane.workers.iter().map(|worker| worker.handle.clone());
        let lcore_pools = handles.zip(lcore_pools).collect();
        dataplane.ports = Ports::new(self.prefix.as_str(), &job.config.listeners, lcore_pools);
        if let Some(control) = control {
            dataplane.serve_control(control, self.prefix, self.cores, &job.config)?;
        }
        Ok(dataplane)
    }
}

/// A running dataplane. Dropping it stops it at once.
pub struct Dataplane {
    workers: Vec<Running>,
    addresses: Vec<Address>,
    unix: UnixFiles,
    pools: NumaPools,
    status: Totals,
    steering: Arc<Steering>,
    uring_flags: String,
    ports: Ports,
    /// Goes last: who finds its socket gone finds the ports and the memory free.
    control: Option<control::Serving>,
}

/// A worker that was started.
struct Running {
    /// The operator's number of the lcore.
    lcore_id: u32,
    handle: Handle,
    /// Gone once the thread has ended.
    life: Weak<()>,
    thread: Option<JoinHandle<()>>,
}

impl Dataplane {
    /// Waits until each worker runs, or takes all of them down with the first that does not.
    fn await_readiness(&mut self, readiness: &mpsc::Receiver<Result<String>>) -> Result<()> {
        for _ in 0..self.workers.len() {
            let died = || Error::new("start an lcore", "its thread panicked", "report this bug");
            self.uring_flags = readiness.recv().map_err(|_| died())??;
        }
        Ok(())
    }

    /// The addresses that it listens on, in the order of the configuration, with the ports that the
    /// kernel picked.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Lcores that it runs.
    pub fn lcores(&self) -> usize {
        self.workers.len()
    }

    /// The lcore at `index`, for other threads.
    ///
    /// # Panics
    /// When there is none.
    pub fn handle(&self, index: usize) -> Handle {
        self.workers[index].handle.clone()
    }

    /// What it counts.
    pub fn status(&self) -> &Totals {
        &self.status
    }

    /// Its ports, to attach processes to.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Its pools.
    pub fn pools(&self) -> &NumaPools {
        &self.pools
    }

    /// Answers on the control socket from here on.
    fn serve_control(
        &mut self,
        mut control: control::Bound,
        prefix: FilePrefix,
        cores: CoreMap,
        config: &Config,
    ) -> Result<()> {
        attaching::add_commands(self.ports.clone(), control.commands());
        let steering = self.steering.clone();
        let instance = Instance {
            prefix,
            config: config.clone(),
            cores,
            addresses: self.addresses.clone(),
            status: self.status.clone(),
            pools: self.pools.iter().map(|(node, pool)| (node, pool.clone())).collect(),
            uring_flags: self.uring_flags.clone(),
            stop: Box::new(move || steering.drain_or_stop()),
        };
        self.control = Some(control.serve(instance)?);
        Ok(())
    }

    /// Where its control socket is, if it has one.
    pub fn control_socket(&self) -> Option<&Path> {
        self.control.as_ref().map(control::Serving::path)
    }

    /// The flags that the kernel accepted for its io_urings.
    pub fn uring_flags(&self) -> &str {
        &self.uring_flags
    }

    /// Accepts no more connections and lets those that are open finish, for at most the configured
    /// time. Returns at once; [`join`](Self::join) waits.
    pub fn drain(&self) {
        self.steering.drain();
    }

    /// Closes every connection. Returns at once; [`join`](Self::join) waits.
    pub fn stop(&self) {
        self.steering.post_all(|| Mail::Stop);
    }

    fn post_all(&self, mail: impl Fn() -> Mail) {
        self.steering.post_all(mail);
    }

    /// Whether an lcore has ended: after a drain or stop, or because it panicked.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().any(Running::is_finished)
    }

    /// Whether every lcore has ended, so that [`join`](Self::join) does not wait.
    pub fn is_joinable(&self) -> bool {
        self.workers.iter().all(Running::is_finished)
    }

    /// Waits for the lcores to end and accounts for everything. Call [`drain`](Self::drain) or
    /// [`stop`](Self::stop) first.
    pub fn join(mut self) -> Report {
        let panicked = self.join_workers();
        let ids = self.workers.iter().map(|worker| worker.lcore_id).collect();
        Report::new(&self.status, ids, self.pools.missing(), panicked)
    }

    fn join_workers(&mut self) -> usize {
        let threads = self.workers.iter_mut().filter_map(|worker| worker.thread.take());
        let panicked = threads.filter_map(|thread| thread.join().err()).count();
        self.ports.end();
        panicked
    }
}

impl Running {
    fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.stop();
        self.join_workers();
    }
}

/// Raises the soft limit on open files as far as it goes: a file table counts against it whole, with
/// the `reserved` places that are nobody's to accept into. Returns the connections per lcore that then
/// fit.
fn connections_limit(wanted: u32, reserved: u32) -> Result<u32> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let fail = |why: nix::Error| Error::new("read the limit on open files", why, "see `ulimit -n`");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(fail)?;
    let needed = u64::from(wanted) + u64::from(reserved);
    let reachable = hard.min(soft.max(needed));
    if reachable > soft {
        setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).map_err(fail)?;
    }
    if needed <= reachable {
        return Ok(wanted);
    }
    let fits = reachable.saturating_sub(reserved.into()) as u32;
    if fits == 0 {
        return Err(Error::new(
            format!("serve {wanted} connections per lcore"),
            format!("the limit on open files is {hard}"),
            format!("raise it to {needed} with `ulimit -n` (LimitNOFILE= in a unit)"),
        ));
    }
    tracing::warn!(
        "serving at most {fits} connections per lcore, not {wanted}: the limit on open files is \
         {hard}; raise it to {needed} with `ulimit -n` (LimitNOFILE= in a unit)"
    );
    Ok(fits)
}
