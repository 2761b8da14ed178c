//! A change that everything is ready for: sockets are bound, and each lcore has made its listeners. Dropped, it is as if
//! nothing had been; committed, it is in force.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::plan::{Plan, Step};
use super::{Reloaded, Reloader, Served, ServedListener};
use crate::config::{Address, Config, Draining, InForce, ListenerConfig};
use crate::dataplane::asking::Lcores;
use crate::dataplane::making::Order;
use crate::dataplane::sockets::Group;
use crate::dataplane::takeover::Inherited;
use crate::error::{Error, Result};
use crate::lcore::{Lcore, Mail, Orders, Place, Removed, Timeouts};
use crate::limits::{LCORE_CHANGE_NS, LISTENERS_MAX};

/// How long lcores have.
const PATIENCE: Duration = Duration::from_nanos(LCORE_CHANGE_NS);

/// What is ready.
pub(super) struct Ready<'a> {
    lcores: &'a Lcores,
    /// The number of the change on the lcores.
    change: u64,
    /// Listeners that are new: their places in the configuration, in order.
    new: Vec<usize>,
    places: Arc<[Place]>,
    groups: Vec<Group>,
    orders: Arc<[Order]>,
    /// Lcores that hear of it know by this that it was not given up.
    wanted: Option<Arc<()>>,
}

/// Files whose modes were changed, with what they had.
struct Modes(Vec<(std::path::PathBuf, u32)>);

impl<'a> Ready<'a> {
    /// Makes ready what `plan` says.
    pub fn make(
        reloader: &'a Reloader,
        served: &mut Served,
        old: &InForce,
        config: &Config,
        plan: &Plan,
    ) -> Result<Self> {
        served.attempts += 1;
        let is_new = |step: &Step| matches!(step, Step::Swap(_) | Step::Add);
        let new: Vec<usize> = (0..plan.steps.len()).filter(|at| is_new(&plan.steps[*at])).collect();
        let places = places(reloader, old, plan, &new)?;
        let groups = new.iter().map(|at| group(reloader, served, old, config, plan, *at));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        let listeners = new.iter().map(|at| &config.listeners[*at]);
        let listeners = listeners.zip(places.iter().map(|place| place.index));
        let lcores = &reloader.parts.lcores;
        let orders = reloader.parts.maker.orders(&config.listeners, listeners, lcores.len(), false);
        let (change, wanted) = (served.attempts, Some(Arc::new(())));
        let ready = Self { lcores, change, new, places: places.into(), groups, orders, wanted };
        ready.stage(reloader)?;
        Ok(ready)
    }

    /// Has each lcore make its listeners.
    fn stage(&self, reloader: &Reloader) -> Result<()> {
        let ask = |lcore: usize| {
            let (maker, orders, places) =
                (reloader.parts.maker.clone(), self.orders.clone(), self.places.clone());
            let wanted = self.wanted.as_ref().map(Arc::downgrade).unwrap_or_default();
            let sockets = self.groups.iter().map(|group| group.sockets[lcore].clone());
            let (mut sockets, change) = (sockets.collect::<Vec<_>>().into_iter(), self.change);
            self.lcores.ask_within(PATIENCE, lcore, move |lcore| {
                if wanted.strong_count() == 0 {
                    return Err(Error::new("change the listeners", "it was given up", "try again"));
                }
                lcore.stage(change, &places, |number, cx, io| {
                    let socket = sockets.next().expect("a socket for each place");
                    maker.make(&orders[number], socket, cx, io)
                })
            })
        };
        for (index, answer) in self.lcores.each(ask).into_iter().enumerate() {
            answer.map_err(|silence| {
                let id = self.lcores.id(index);
                Error::new(
                    "change the configuration",
                    format!("lcore {id} does not answer: {}", silence.name()),
                    "nothing was changed; see what holds it up, and try again",
                )
            })??;
        }
        Ok(())
    }

    /// What it comes to.
    pub fn describe(&self, old: &InForce, config: &Config, plan: &Plan) -> Reloaded {
        let line = |address: &Address, listener: &ListenerConfig| {
            format!("{} {address} {}", listener.transport.name(), listener.protocol)
        };
        let added = self.new.iter().zip(&self.groups);
        let added = added.filter(|(at, _)| plan.steps[**at] == Step::Add);
        let removed = plan.removed.iter();
        Reloaded {
            generation: old.generation + 1,
            added: added.map(|(at, group)| line(&group.address, &config.listeners[*at])).collect(),
            removed: removed
                .map(|at| line(&old.addresses[*at], &old.config.listeners[*at]))
                .collect(),
            changed: plan.changed.clone(),
            silent: Vec::new(),
        }
    }

    /// Says in the segment what the numbers of the listeners that are new will belong to.
    fn describe_listeners(&self, reloader: &Reloader, config: &Config) {
        for ((at, place), group) in self.new.iter().zip(self.places.iter()).zip(&self.groups) {
            let listener = &config.listeners[*at];
            let (transport, protocol) = (listener.transport.name(), &listener.protocol);
            let address = group.address.to_string();
            let segment = &reloader.parts.segment;
            segment.describe_listener(place.index, &address, transport, protocol);
        }
    }

    /// Has all lcores change over, and says what is in force then.
    pub fn commit(
        mut self,
        reloader: &Reloader,
        served: &mut Served,
        old: &InForce,
        config: Config,
        plan: &Plan,
        reloaded: &mut Reloaded,
    ) -> Result<InForce> {
        let modes = Modes::change(old, &config, plan)?;
        self.describe_listeners(reloader, &config);
        let orders = Arc::new(orders(old, &config, plan));
        let (done, answers) = mpsc::channel();
        let change = self.change;
        let posted = reloader.parts.steering.post_unless_draining(|index| {
            let (orders, done) = (orders.clone(), done.clone());
            Mail::Call(Box::new(move |lcore: &mut Lcore| {
                // Who asked may have given up waiting.
                let _ = done.send((index, lcore.commit(change, &orders)));
            }))
        });
        drop(done);
        let answered = if posted { self.answers(&answers) } else { Vec::new() };
        if !posted || answered.iter().any(|(_, changed)| !changed) {
            modes.undo();
            return Err(not_now());
        }
        modes.keep();
        self.wanted = None;
        let silent = (0..self.lcores.len()).filter(|i| !answered.iter().any(|(one, _)| one == i));
        reloaded.silent = silent.map(|index| self.lcores.id(index)).collect();
        Ok(self.next(served, old, config, plan))
    }

    /// What the lcores say, of those that say something in time.
    fn answers(&self, answers: &mpsc::Receiver<(usize, bool)>) -> Vec<(usize, bool)> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while heard.len() < self.lcores.len() {
            match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) => heard.push(answer),
                Err(_) => break,
            }
        }
        heard
    }

    /// What is in force from here on.
    fn next(&self, served: &mut Served, old: &InForce, config: Config, plan: &Plan) -> InForce {
        let mut next = InForce {
            generation: old.generation + 1,
            addresses: Vec::new(),
            indices: Vec::new(),
            draining: old.draining.iter().filter(|one| one.is_there()).cloned().collect(),
            by_index: old.by_index.clone(),
            config: Arc::new(config),
        };
        let mut listeners = Vec::new();
        let mut made = self.groups.iter().zip(self.orders.iter());
        for step in &plan.steps {
            match step {
                Step::Keep(place) | Step::Tune(place) => {
                    listeners.push(served.listeners[*place].clone());
                    next.indices.push(old.indices[*place]);
                }
                Step::Swap(_) | Step::Add => {
                    let (group, order) = made.next().expect("each new listener was made");
                    let (sockets, life) = (group.known(), order.close());
                    listeners.push(ServedListener { sockets, life, complained: false });
                    next.indices.push(order.index);
                }
            }
        }
        let swapped = plan.steps.iter().filter_map(|step| match step {
            Step::Swap(place) => Some(*place),
            _ => None,
        });
        let gone = |place: usize| Draining {
            listener: old.config.listeners[place].clone(),
            address: old.addresses[place].clone(),
            life: served.listeners[place].life.clone(),
        };
        next.draining.extend(swapped.chain(plan.removed.iter().copied()).map(gone));
        served.listeners = listeners;
        for (listener, index) in served.listeners.iter().zip(&next.indices) {
            next.addresses.push(listener.sockets.address().clone());
            next.by_index[usize::from(*index)] = next.addresses.last().cloned();
        }
        next
    }
}

/// Why there is to be no change.
pub(super) fn not_now() -> Error {
    Error::new(
        "change the configuration",
        "the instance stops, or a takeover is under way",
        "try again; one that stops, start with the new configuration",
    )
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if self.wanted.take().is_none() {
            return;
        }
        let change = self.change;
        // One that hangs finds by `wanted` that it is to make nothing, or drops it with the next change.
        self.lcores.each(|index| {
            let _ = self.lcores.ask(index, move |lcore| lcore.unstage(change));
        });
    }
}

/// Indices that are free on all lcores, for listeners that are new.
fn places(reloader: &Reloader, old: &InForce, plan: &Plan, new: &[usize]) -> Result<Vec<Place>> {
    let lcores = &reloader.parts.lcores;
    let asked = lcores.each(|index| lcores.ask_within(PATIENCE, index, |lcore| lcore.taken()));
    let mut taken = 0;
    for (index, answer) in asked.into_iter().enumerate() {
        taken |= answer.map_err(|silence| {
            let id = lcores.id(index);
            Error::new(
                "change the configuration",
                format!("lcore {id} does not answer: {}", silence.name()),
                "nothing was changed; see what holds it up, and try again",
            )
        })?;
    }
    let free: Vec<u8> = (0..LISTENERS_MAX as u8).filter(|index| taken & 1 << index == 0).collect();
    if free.len() < new.len() {
        return Err(Error::new(
            "change the configuration",
            format!(
                "{} listeners are new or changed, and {} of {LISTENERS_MAX} places are free: a listener that was changed \
                 or removed keeps its place until its connections have ended",
                new.len(),
                free.len(),
            ),
            "wait until `ringway ctl listeners` shows fewer that drain, or change fewer at a time",
        ));
    }
    let place = |(at, index): (&usize, u8)| {
        let replaces = match plan.steps[*at] {
            Step::Swap(place) => Some(old.indices[place]),
            _ => None,
        };
        Place { index, replaces }
    };
    Ok(new.iter().zip(free).map(place).collect())
}

/// The sockets of a listener that is new: its own, or those of the one whose place it takes.
fn group(
    reloader: &Reloader,
    served: &Served,
    old: &InForce,
    config: &Config,
    plan: &Plan,
    at: usize,
) -> Result<Group> {
    let listener = &config.listeners[at];
    if let Step::Swap(place) = plan.steps[at] {
        return served.listeners[place].sockets.share().ok_or_else(|| {
            Error::new(
                format!("take over the sockets of the listener at {}", listener.address),
                "an lcore accepts from them no more",
                "start the instance again",
            )
        });
    }
    let (lcores, mut none) = (reloader.parts.lcores.len(), Inherited::default());
    Group::bind(listener, lcores, &mut none).map_err(|error| {
        let own = |address: &&Address| {
            let port = |address: &Address| address.ip().map(|ip| ip.port());
            port(address).is_some() && port(address) == port(&listener.address)
        };
        match old.addresses.iter().find(own) {
            Some(own) => Error::new(
                error.what(),
                format!("{}, and this instance itself listens on {own}", error.why()),
                "where that one goes, take it out first, and add the other with a second reload",
            ),
            None => error,
        }
    })
}

/// What lcores do beside serving what is new.
fn orders(old: &InForce, config: &Config, plan: &Plan) -> Orders {
    let patience = config.dataplane.drain_timeout;
    let removed = plan.removed.iter().map(|at| Removed { index: old.indices[*at], patience });
    let tuned =
        plan.steps.iter().zip(&config.listeners).filter_map(|(step, listener)| match step {
            Step::Tune(place) => Some((old.indices[*place], listener)),
            _ => None,
        });
    let timeouts = tuned.map(|(index, listener)| {
        let (write, idle) = (listener.write_timeout, listener.idle_timeout);
        Timeouts { index, write, idle }
    });
    Orders { removed: removed.collect(), timeouts: timeouts.collect(), idle: plan.idle }
}

impl Modes {
    /// Gives the files of Unix listeners that stay the modes that the new configuration says; all, or none.
    fn change(old: &InForce, config: &Config, plan: &Plan) -> Result<Self> {
        let mut changed = Self(Vec::new());
        for (step, new) in plan.steps.iter().zip(&config.listeners) {
            let (Step::Swap(place) | Step::Tune(place)) = step else { continue };
            let was = old.config.listeners[*place].access.mode;
            let Address::Unix(path) = &old.addresses[*place] else { continue };
            if was == new.access.mode || new.address.is_abstract() {
                continue;
            }
            chmod(path, new.access.mode)?;
            changed.0.push((path.clone(), was));
        }
        Ok(changed)
    }

    fn keep(mut self) {
        self.0.clear();
    }

    fn undo(self) {}
}

impl Drop for Modes {
    fn drop(&mut self) {
        for (path, mode) in self.0.drain(..) {
            if let Err(error) = chmod(&path, mode) {
                tracing::error!("{error}");
            }
        }
    }
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| {
        let what = format!("give {} the mode {mode:04o}", path.display());
        Error::new(what, e, "see whether the file is there, and whose it is")
    })
}
