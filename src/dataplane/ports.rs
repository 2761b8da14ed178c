//! Attaching processes to the ports of a running dataplane, and taking ports away from those that are
//! gone. It runs on whatever thread asks; the lcores do their part between two passes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak, mpsc};
use std::time::Duration;

use crate::config::ListenerConfig;
use crate::error::{Error, Result};
use crate::lcore::{Handle, Lcore, Mail};
use crate::limits::{LARGE_SLOT_BYTES, PORT_LOANS};
use crate::mem::{ClassSize, Ledger, Mempool, PortSegment, Side, Trust};
use crate::port::{Call, Grant, Lifeline, Offer, Queue, Role};
use crate::ring::doorbell::Doorbell;

/// The ports of a dataplane, for whoever attaches processes to them. Clones name the same ports.
#[derive(Clone)]
pub struct Ports(Arc<Shared>);

struct Shared {
    prefix: String,
    known: RwLock<Arc<BTreeMap<String, Port>>>,
    lcores: Vec<(Handle, Mempool)>,
    attached: Mutex<BTreeMap<String, Kept>>,
}

/// A port, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What processes ask for.
    pub name: String,
    /// What the process is to the listener.
    pub role: Role,
    /// It maps memory of the port's own, and never the mempool.
    pub isolated: bool,
    /// Connections wait while no process is attached that would handle them.
    pub park: bool,
}

/// A process that has a port.
struct Kept {
    process: Attached,
    /// What ends when it does, once it is attached.
    lifeline: Option<Arc<Lifeline>>,
    /// Its rings, for as long as it is attached.
    segment: Weak<PortSegment>,
    /// All lcores know of it.
    is_known: bool,
    /// It attaches to the instance that takes over from this one, by itself.
    follows: bool,
}

/// What is known of a process that is attached.
#[derive(Debug, Clone, Copy)]
pub struct Attached {
    /// Its process id as this process sees it; 0 where that cannot be told.
    pub pid: i32,
    /// How it shares the bytes.
    pub trust: Trust,
}

/// A port that nobody else can have.
struct Seat {
    ports: Ports,
    name: String,
}

/// An attachment as the dataplane has it. Dropping it takes the port away from the process: all that it
/// was lent is home then.
pub struct Attachment {
    seat: Seat,
    segment: Arc<PortSegment>,
    lifeline: Arc<Lifeline>,
    /// The process's end of the pipe that wakes it: one that closed its own leaves a reader there.
    _event: OwnedFd,
}

impl Port {
    /// Those of a listener: of its peer, and of its handler.
    fn of(listener: &ListenerConfig) -> impl Iterator<Item = Self> {
        let isolated = listener.isolated;
        let peer = listener.peer().map(|name| {
            let name = name.to_owned();
            Self { name, role: Role::Peer, isolated, park: false }
        });
        let handler = listener.port.as_ref().map(|port| {
            let name = port.name.clone();
            Self { name, role: Role::Handler, isolated, park: port.park }
        });
        peer.into_iter().chain(handler)
    }
}

impl Ports {
    pub(super) fn new(
        prefix: &str,
        listeners: &[ListenerConfig],
        lcores: Vec<(Handle, Mempool)>,
    ) -> Self {
        let (prefix, known) = (prefix.to_owned(), RwLock::new(known_of(listeners)));
        Self(Arc::new(Shared { prefix, known, lcores, attached: Mutex::default() }))
    }

    /// From here on there are those of these listeners. A process stays attached to a port that is none any more until the
    /// lcores have given it up.
    pub(super) fn change(&self, listeners: &[ListenerConfig]) {
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known_of(listeners);
    }

    fn known(&self) -> Arc<BTreeMap<String, Port>> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of a dataplane that has none.
    pub(super) fn none() -> Self {
        Self::new("", &[], Vec::new())
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each port with what is attached to it.
    pub fn list(&self) -> Vec<(Port, Option<Attached>)> {
        let attached = self.attached();
        let of = |port: &Port| (port.clone(), attached.get(&port.name).map(|kept| kept.process));
        self.known().values().map(of).collect()
    }

    /// What each process that is attached has been told and has not taken, and how much it has taken so far, by port.
    pub(super) fn waiting(&self) -> BTreeMap<String, (u64, u32)> {
        let attached = self.attached();
        let of = |(name, kept): (&String, &Kept)| {
            Some((name.clone(), kept.segment.upgrade()?.waiting()))
        };
        attached.iter().filter_map(of).collect()
    }

    /// Attaches the process `pid` at the other end of `lifeline` to the port `name`. What is offered
    /// has to be sent to it; the attachment has to be dropped when it is gone.
    ///
    /// # Errors
    /// When there is no such port, another process has it, the trust asked for is more than the
    /// configuration gives, or memory or descriptors run out.
    pub fn attach(
        &self,
        name: &str,
        trust: Option<Trust>,
        pid: i32,
        lifeline: UnixStream,
    ) -> Result<(Offer, Attachment)> {
        let trust = self.check(name, trust)?;
        let seat = self.reserve(name, Attached { pid, trust })?;
        self.attach_reserved(seat, trust, lifeline)
    }

    /// The trust that a process gets that asks for `asked`.
    ///
    /// # Errors
    /// When there is no such port, or it gives less.
    pub fn check(&self, name: &str, asked: Option<Trust>) -> Result<Trust> {
        let refuse = |why: String, remedy: String| {
            Err(Error::new(format!("attach to port `{name}`"), why, remedy))
        };
        let known = self.known();
        let Some(port) = known.get(name) else {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let remedy = match names[..] {
                [] => {
                    "give a listener `handler = \"port:NAME\"`, or `transport = \"shm\"`".to_owned()
                }
                _ => format!("name one of: {}", names.join(", ")),
            };
            return refuse("there is no such port".to_owned(), remedy);
        };
        match (port.isolated, asked) {
            (true, Some(Trust::Shared)) => refuse(
                "the port is isolated".to_owned(),
                "ask for isolated, or leave `isolated` of its listener out".to_owned(),
            ),
            (true, _) => Ok(Trust::Isolated),
            (false, asked) => Ok(asked.unwrap_or(Trust::Shared)),
        }
    }

    /// Takes the port for a process. One whose last process has just ended is given a moment to come
    /// home.
    fn reserve(&self, name: &str, process: Attached) -> Result<Seat> {
        const LOOKS: u32 = 2000;
        for look in 0.. {
            let mut attached = self.attached();
            let Some(kept) = attached.get(name) else {
                let (lifeline, segment) = (None, Weak::new());
                let kept = Kept { process, lifeline, segment, is_known: false, follows: false };
                attached.insert(name.to_owned(), kept);
                return Ok(Seat { ports: self.clone(), name: name.to_owned() });
            };
            let pid = kept.process.pid;
            let ended = kept.lifeline.as_ref().is_some_and(|lifeline| lifeline.has_ended());
            if !ended || look == LOOKS {
                return Err(Error::new(
                    format!("attach to port `{name}`"),
                    format!("process {pid} is attached to it"),
                    "end that process first, or give this one a port of its own",
                ));
            }
            drop(attached);
            std::thread::sleep(Duration::from_millis(1));
        }
        unreachable!("the loop ends by a return")
    }

    fn attach_reserved(
        &self,
        seat: Seat,
        trust: Trust,
        lifeline: UnixStream,
    ) -> Result<(Offer, Attachment)> {
        let (lcores, name) = (&self.0.lcores, seat.name.clone());
        let classes = match trust {
            Trust::Shared => Vec::new(),
            Trust::Isolated => own_classes(&lcores[0].1),
        };
        let memory = format!("{}-port-{name}", self.0.prefix);
        let segment = Arc::new(PortSegment::create(&memory, trust, lcores.len(), &classes)?);
        let lifeline = Arc::new(Lifeline::new(lifeline));
        let (event, ring) = Doorbell::pipe().map_err(no_descriptor)?;
        let mut bells = Vec::new();
        let mut queues = Vec::new();
        for (index, (_, pool)) in lcores.iter().enumerate() {
            let bell = Doorbell::event().map_err(no_descriptor)?;
            bells.push(bell.try_clone().map_err(no_descriptor)?);
            let theirs = ring.try_clone().map_err(no_descriptor)?;
            let ends = segment.ends(index, Side::Primary, theirs, bell);
            let ends = ends.expect("the segment was just laid out");
            let ledger = match trust {
                Trust::Shared => Ledger::of_pool(pool.clone(), self.queues_on(pool)),
                Trust::Isolated => Ledger::of_segment(pool.clone(), segment.clone(), index),
            };
            queues.push(Queue::new(ends, ledger, lifeline.clone()));
        }
        let (pools, numbers) = self.pools(trust)?;
        let role = self.known().get(&name).map_or(Role::Handler, |port| port.role);
        let grant = Grant { trust, role, queues: numbers };
        let fd = segment.try_clone_fd().map_err(no_descriptor)?;
        let kept = event.try_clone().map_err(no_descriptor)?;
        let offer = Offer { grant, segment: fd, pools, event, bells };
        if let Some(kept) = self.attached().get_mut(&name) {
            kept.lifeline = Some(lifeline.clone());
            kept.segment = Arc::downgrade(&segment);
        }
        let attachment = Attachment { seat, segment, lifeline, _event: kept };
        self.hand_over(&name, queues)?;
        if let Some(kept) = self.attached().get_mut(&name) {
            kept.is_known = true;
        }
        Ok((offer, attachment))
    }

    /// Queues of all ports that may lend slots of `pool`.
    fn queues_on(&self, pool: &Mempool) -> u32 {
        let lcores = self.0.lcores.iter().filter(|(_, other)| other.is_same(pool)).count();
        (lcores * self.known().len()) as u32
    }

    /// Those with a process that attaches to the next instance by itself.
    pub(super) fn followed(&self) -> Vec<String> {
        let attached = self.attached();
        let followed = attached.iter().filter(|(_, kept)| kept.follows);
        followed.map(|(name, _)| name.clone()).collect()
    }

    /// Tells those processes where they are wanted.
    pub(super) fn tell(&self, call: Call) {
        for kept in self.attached().values().filter(|kept| kept.follows) {
            kept.lifeline.iter().for_each(|lifeline| lifeline.tell(call));
        }
    }

    /// Whether a process is attached to the port `name`, or there is no such port.
    pub(super) fn is_attended(&self, name: &str) -> bool {
        !self.known().contains_key(name)
            || self.attached().get(name).is_some_and(|kept| kept.is_known)
    }

    /// Ends all attachments: the dataplane has ended. Who keeps them hears of it and drops them.
    pub(super) fn end(&self) {
        for kept in self.attached().values() {
            kept.lifeline.iter().for_each(|lifeline| lifeline.end());
        }
    }

    /// The pools that a process maps, each once, and which of them each lcore has.
    fn pools(&self, trust: Trust) -> Result<(Vec<OwnedFd>, Vec<Option<usize>>)> {
        if trust == Trust::Isolated {
            return Ok((Vec::new(), vec![None; self.0.lcores.len()]));
        }
        let mut different: Vec<&Mempool> = Vec::new();
        let mut numbers = Vec::new();
        for (_, pool) in &self.0.lcores {
            let known = different.iter().position(|other| other.is_same(pool));
            numbers.push(Some(known.unwrap_or_else(|| {
                different.push(pool);
                different.len() - 1
            })));
        }
        let fds = different.iter().map(|pool| pool.try_clone_fd()).collect::<std::io::Result<_>>();
        Ok((fds.map_err(no_descriptor)?, numbers))
    }

    /// Gives each lcore its queue, and waits until all have it.
    fn hand_over(&self, name: &str, queues: Vec<Queue>) -> Result<()> {
        let lcores = self.0.lcores.iter().zip(queues);
        let results: Vec<_> = lcores
            .map(|((handle, _), queue)| {
                let (name, (done, result)) = (name.to_owned(), mpsc::channel());
                call(handle, move |lcore| {
                    let _ = done.send(lcore.attach(&name, queue));
                });
                result
            })
            .collect();
        for ((handle, _), result) in self.0.lcores.iter().zip(results) {
            let ended = || Error::new("attach to a port", "the dataplane is stopping", "start it");
            answer(handle, &result).ok_or_else(ended)??;
        }
        Ok(())
    }

    /// Takes a port away on every lcore; how many slots came home.
    fn take_away(&self, name: &str) -> u32 {
        let results: Vec<_> = self
            .0
            .lcores
            .iter()
            .map(|(handle, _)| {
                let (name, (done, result)) = (name.to_owned(), mpsc::channel());
                call(handle, move |lcore| {
                    let _ = done.send(lcore.detach(&name));
                });
                result
            })
            .collect();
        // An lcore that has ended has dropped its queue.
        let lcores = self.0.lcores.iter().zip(results);
        lcores.map(|((handle, _), result)| answer(handle, &result).unwrap_or(0)).sum()
    }
}

fn known_of(listeners: &[ListenerConfig]) -> Arc<BTreeMap<String, Port>> {
    let ports = listeners.iter().flat_map(Port::of);
    Arc::new(ports.map(|port| (port.name.clone(), port)).collect())
}

/// Does something on an lcore's thread; waits for room in its mailbox. What an lcore that has ended
/// was to do is dropped.
fn call(handle: &Handle, work: impl FnOnce(&mut Lcore) + Send + 'static) {
    let mut mail = Mail::Call(Box::new(work));
    while let Err(back) = handle.post(mail) {
        if handle.is_closed() {
            return;
        }
        mail = back;
        std::thread::yield_now();
    }
}

/// What an lcore answers; `None`: it has ended. Mail that came too late lies in its box unread.
fn answer<T>(handle: &Handle, result: &mpsc::Receiver<T>) -> Option<T> {
    const LOOK: Duration = Duration::from_millis(20);
    loop {
        let closed = handle.is_closed();
        match result.recv_timeout(LOOK) {
            Ok(answer) => return Some(answer),
            Err(mpsc::RecvTimeoutError::Timeout) if !closed => {}
            Err(_) => return None,
        }
    }
}

/// The slots of an isolated queue: as many as it may be lent, in the pool's sizes. Blocks would be
/// megabytes for each lcore; what would need one goes in pieces.
fn own_classes(pool: &Mempool) -> Vec<ClassSize> {
    let sizes = pool.sizes().into_iter().zip(PORT_LOANS);
    let sizes = sizes.filter(|(size, _)| size.slot_bytes <= LARGE_SLOT_BYTES);
    sizes.map(|(size, slots)| ClassSize { slots, ..size }).collect()
}

fn no_descriptor(why: impl std::fmt::Display) -> Error {
    Error::new("attach to a port", why, "raise the limit on open files (`ulimit -n`)")
}

impl Attachment {
    /// What ends when the process does.
    pub fn lifeline(&self) -> &Lifeline {
        &self.lifeline
    }

    /// The process attaches to the instance that takes over from this one, by itself: it is told when.
    pub fn follow(&self) {
        if let Some(kept) = self.seat.ports.attached().get_mut(&self.seat.name) {
            kept.follows = true;
        }
    }

    /// The port's name.
    pub fn name(&self) -> &str {
        &self.seat.name
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ports.attached().remove(&self.name);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.segment.set_open(false);
        self.lifeline.end();
        let Seat { ports, name } = &self.seat;
        let slots = ports.take_away(name);
        tracing::debug!(port = name, slots, "a process was detached");
    }
}
