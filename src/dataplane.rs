//! A dataplane that runs: what others ask it, how its lcores stop, and the account of every buf at the end. How it is
//! built is in `builder`.

mod asking;
mod attaching;
mod backend;
mod builder;
mod descriptors;
mod keeper;
mod making;
mod pools;
mod ports;
mod protocols;
mod reload;
mod report;
mod serve;
mod sessions;
mod shown;
mod sockets;
mod steering;
mod streams;
mod takeover;
mod transports;
mod watchdog;
pub mod watching;
mod websockets;
mod worker;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;

pub use builder::Builder;
pub use pools::NumaPools;
pub use ports::{Attached, Attachment, Port, Ports};
pub use protocols::{Protocol, ProtocolContext, Protocols};
pub use reload::{Difference, Reloaded};
pub use report::Report;
pub use serve::StopSignals;
pub use worker::Tuning;

use crate::admin;
use crate::config::{
    Address, CoreMap, Current, FilePrefix, IoBackend, ListenerConfig, format_cpus,
};
use crate::control::{self, Commands, Instance};
use crate::counters::snapshot::State;
use crate::counters::{self, Observer, Segment, Totals};
use crate::error::{Error, Result};
use crate::lcore::{Handle, Lcore, Mail};
use crate::offload::Pool;
use crate::sys::unix_socket::UnixListener;
use crate::time::Clock;
use asking::{Asked, Lcores};
use keeper::{Keeper, Looks};
use reload::Reloader;
use steering::Steering;
use takeover::{Predecessor, Stand, Succession, SuccessionParts};
use watching::Looked;

/// A running dataplane. Dropping it stops it at once.
pub struct Dataplane {
    workers: Vec<Running>,
    current: Current,
    pools: NumaPools,
    status: Totals,
    steering: Arc<Steering>,
    offload: Arc<Pool>,
    io: IoBackend,
    uring_flags: String,
    ports: Ports,
    /// There once all lcores run.
    reloader: Option<Arc<Reloader>>,
    /// The process that this one has taken over from.
    predecessor: Option<i32>,
    /// Another thread takes it away where another instance takes over.
    admin: AdminPlace,
    keeper: Option<Keeper>,
    segment: Arc<Segment>,
    /// Goes last: who finds its socket gone finds the ports and the memory free.
    control: Option<control::Serving>,
}

type AdminPlace = Arc<Mutex<Option<admin::Serving>>>;

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

    /// The addresses that it listens on, in the order of the configuration in force, with the ports that
    /// the kernel picked.
    pub fn addresses(&self) -> Vec<Address> {
        self.current.get().addresses.clone()
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

    /// Accepts from the sockets that were the predecessor's, and has it stop to. The files of those that are `left` go
    /// with that.
    fn take_over(self, predecessor: &Predecessor, left: Vec<Arc<UnixListener>>) -> Result<Self> {
        predecessor.call_processes(&self.ports);
        self.accept_again(false);
        match predecessor.confirm() {
            Ok(stand) => {
                if stand == Stand::Gone {
                    tracing::warn!("process {} ended as it was taken over from", predecessor.pid());
                }
                self.reloader.iter().for_each(|reloader| reloader.keep_files());
                left.iter().for_each(|one| one.keep_file());
                drop(left);
                self.remove_former_statistics();
                // It may have been woken for what came last, and have left it there.
                self.accept_again(true);
                Ok(self)
            }
            Err(error) => {
                // What was accepted is answered; the other goes on, and has the sockets to itself.
                self.steering.hand_over(predecessor.pid());
                self.join();
                Err(error)
            }
        }
    }

    /// Puts the statistics where others look for them, in place of the predecessor's.
    fn place_statistics(&self, prefix: &str) {
        let path = counters::path(nix::unistd::geteuid().as_raw(), prefix);
        if let Err(error) = self.segment.move_to(&path) {
            tracing::warn!("nobody outside finds what is counted at {}: {error}", path.display());
        }
    }

    /// The predecessor's are not wanted any more.
    fn remove_former_statistics(&self) {
        if let Some(path) = self.segment.path() {
            let _ = std::fs::remove_file(counters::next_path(&path));
        }
    }

    fn accept_again(&self, alone: bool) {
        let again = move |lcore: &mut Lcore| lcore.accept_again(alone);
        self.steering.post_all(|| Mail::Call(Box::new(again)));
    }

    /// The process that it took over from ([`Builder::takeover`]); `None`: there was none.
    pub fn predecessor(&self) -> Option<i32> {
        self.predecessor
    }

    /// The process that has taken over from this one, which drains.
    pub fn successor(&self) -> Option<i32> {
        self.steering.successor()
    }

    /// Who looks at what it counts, in more detail than [`status`](Self::status) and as a process beside it would.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn observer(&self) -> Result<Observer> {
        let fd = self.segment.try_clone_fd();
        let fd = fd.map_err(|e| Error::new("look at the statistics", e, "raise `ulimit -n`"))?;
        Ok(Observer::of(fd))
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
        clock: Clock,
    ) -> Result<()> {
        let mut commands = Commands::default();
        attaching::add_commands(self.ports.clone(), &mut commands);
        watchdog::add_commands(self.segment.clone(), &mut commands);
        sessions::add_commands(self.lcores_to_ask(), self.current.clone(), &mut commands);
        if let Some(reloader) = &self.reloader {
            reload::add_commands(reloader, &mut commands);
        }
        let (access, current) = (control.capture().clone(), self.current.clone());
        let listeners = Box::new(move || Looked::all(&current));
        watching::add_commands(self.lcores_to_ask(), clock, access, listeners, &mut commands);
        let succession = Succession::new(SuccessionParts {
            steering: self.steering.clone(),
            lcores: self.lcores_to_ask(),
            ports: self.ports.clone(),
            admin: self.admin.clone(),
            segment: self.segment.clone(),
            upkeep: control.upkeep(),
            control: control.path().to_owned(),
        });
        succession.add_commands(&mut commands);
        control.add_commands(commands);
        let steering = self.steering.clone();
        let instance = Instance {
            prefix,
            current: self.current.clone(),
            cores,
            status: self.status.clone(),
            pools: self.pools.iter().map(|(node, pool)| (node, pool.clone())).collect(),
            uring_flags: self.uring_flags.clone(),
            stop: Box::new(move || steering.stop_as_asked()),
        };
        self.control = Some(control.serve(instance)?);
        Ok(())
    }

    /// Looks at its admin listener, if it has one: not once another instance has taken over.
    pub fn admin<T>(&self, look: impl FnOnce(&admin::Serving) -> T) -> Option<T> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn serve_admin(&self, admin: admin::Bound) -> Result<()> {
        let serving = admin.serve(self.to_watch()?)?;
        *self.admin.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }

    fn lcores_to_ask(&self) -> Lcores {
        let of = |worker: &Running| {
            Asked::new(worker.lcore_id, worker.handle.clone(), worker.life.clone())
        };
        Lcores::new(self.workers.iter().map(of))
    }

    /// Where its control socket is, if it has one.
    pub fn control_socket(&self) -> Option<&Path> {
        self.control.as_ref().map(control::Serving::path)
    }

    /// Which of the kernel's interfaces carries its sockets: not [`IoBackend::Auto`].
    pub fn io(&self) -> IoBackend {
        self.io
    }

    /// The flags that the kernel accepted for its io_urings; empty where it has none.
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

    /// Says in the segment what its numbers belong to.
    fn describe(&self, cores: &CoreMap, listeners: &[ListenerConfig]) {
        for (index, spec) in cores.lcores().iter().enumerate() {
            self.segment.describe_lcore(index, spec.lcore_id, &format_cpus(&spec.cpus));
        }
        for (index, (address, listener)) in self.addresses().iter().zip(listeners).enumerate() {
            let (transport, protocol) = (listener.transport.name(), &listener.protocol);
            self.segment.describe_listener(index as u8, &address.to_string(), transport, protocol);
        }
        self.segment.set_state(State::Running);
    }

    fn keep_statistics(&mut self, clock: Clock, lcore_cpus: &[u32]) -> Result<()> {
        let looks = Looks {
            segment: self.segment.clone(),
            clock,
            pools: self.pools.iter().map(|(node, pool)| (node, pool.clone())).collect(),
            ports: self.ports.clone(),
            current: self.current.clone(),
            cpus: control::away_from(lcore_cpus)?,
        };
        self.keeper = Some(Keeper::start(looks)?);
        Ok(())
    }

    fn join_workers(&mut self) -> usize {
        let threads = self.workers.iter_mut().filter_map(|worker| worker.thread.take());
        let panicked = threads.filter_map(|thread| thread.join().err()).count();
        let left = self.offload.stop();
        if left > 0 {
            tracing::error!("{left} offload threads are left behind in work that does not end");
        }
        self.ports.end();
        self.keeper = None;
        self.segment.set_state(State::Ended);
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
