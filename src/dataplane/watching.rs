//! The commands that look at what passes the stages of a listener: `trace` and `capture`. Each is one connection of the
//! control socket that lasts: it brings memory to the lcores, reads what they put there, and takes all away again at
//! the end, whatever ended it.

mod captures;
mod flows;
pub mod request;
mod shown;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::asking::{Lcores, Silence};
use crate::config::{Address, CaptureAccess, Current, ListenerConfig, TransportKind};
use crate::control::{Answer, Commands, Table};
use crate::ipc::{Command, Error, Reply};
use crate::lcore::Lcore;
use crate::lcore::watch::{Looks, NoWatch, Watch, Watched};
use crate::limits::{WATCH_HEARD_NS, WATCH_LOOK_NS, WATCHES_MAX};
use crate::mem::ConnId;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::unix_stream::Peer;
use crate::time::Clock;
use request::{CAPTURE_USAGE, Request, TRACE_USAGE, Wanted};

const TRACE_HELP: &str =
    "the way of messages through a listener, stage by stage, until enough are seen";

const CAPTURE_HELP: &str =
    "bytes at stages of a listener (rx, ingress, handler, egress, tx), as a pcapng file";

/// Who looks.
pub(super) struct Desk {
    lcores: Lcores,
    /// Those there are, when asked.
    listeners: Listeners,
    clock: Clock,
    access: CaptureAccess,
    claims: Mutex<Vec<Claim>>,
}

/// Tells which listeners there are, in the order in which they are shown.
pub(super) type Listeners = Box<dyn Fn() -> Vec<Looked> + Send + Sync>;

/// A listener that may be looked at.
#[derive(Clone)]
pub(super) struct Looked {
    /// Its index on each lcore.
    pub index: u8,
    pub address: Address,
    pub transport: TransportKind,
    pub protocol: String,
}

impl Looked {
    /// The listeners of the configuration that is in force, with the addresses that they have.
    pub fn all(current: &Current) -> Vec<Self> {
        let current = current.get();
        let places = current.indices.iter().zip(&current.addresses);
        let looked = |((index, address), config): ((&u8, &Address), &ListenerConfig)| Self {
            index: *index,
            address: address.clone(),
            transport: config.transport,
            protocol: config.protocol.clone(),
        };
        places.zip(&current.config.listeners).map(looked).collect()
    }
}

/// A listener that is looked at.
struct Claim {
    listener: u8,
    address: String,
    looks: Looks,
    peer: Peer,
    since: Instant,
    stop: Arc<AtomicBool>,
}

/// `trace` and `capture`.
pub(super) fn add_commands(
    lcores: Lcores,
    clock: Clock,
    access: CaptureAccess,
    listeners: Listeners,
    commands: &mut Commands,
) {
    let desk = Arc::new(Desk { lcores, listeners, clock, access, claims: Mutex::default() });
    let here = desk.clone();
    commands.add(TRACE_USAGE, TRACE_HELP, move |command, reply| {
        here.answer(Looks::Trace, command, reply)
    });
    commands.add(CAPTURE_USAGE, CAPTURE_HELP, move |command, reply| {
        desk.answer(Looks::Capture, command, reply)
    });
}

impl Desk {
    fn answer(
        &self,
        looks: Looks,
        command: &Command<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Error> {
        match request::parse(looks, command.arguments)? {
            Wanted::List => self.list(looks).write(command.json, reply),
            Wanted::Stop(name) => self.stop(looks, name)?.write(command.json, reply),
            Wanted::Begin(request) => {
                let looked = self.find(request.listener)?;
                self.may(looks, &request, reply.peer())?;
                let session = self.claim(looks, looked, reply.peer())?;
                match looks {
                    Looks::Trace => traces::run(&session, &request, command.json, reply),
                    Looks::Capture => captures::run(&session, &request, reply),
                }
            }
        }
    }

    /// Whether that may be captured at all. Whether what was decrypted may be, the lcore asks once it knows that it was.
    fn may(&self, looks: Looks, request: &Request<'_>, peer: Peer) -> Result<(), Error> {
        if looks == Looks::Trace || self.access.admits() {
            return Ok(());
        }
        let at: Vec<_> = request.stages.iter().map(|stage| stage.name()).collect();
        let why = format!(
            "user {} may not capture {}: this instance has `capture = \"none\"`; say `capture = \
             \"encrypted\"` in [control], or leave it out",
            peer.uid,
            at.join(",")
        );
        Err(Error::handler(403, why))
    }

    /// A listener by its place among those there are, or by its address.
    fn find(&self, name: &str) -> Result<Looked, Error> {
        let listeners = (self.listeners)();
        let by_place = name.parse::<usize>().ok().and_then(|place| listeners.get(place));
        let named = |looked: &&Looked| looked.address.to_string() == name;
        let by_address = || listeners.iter().find(named);
        by_place.or_else(by_address).cloned().ok_or_else(|| {
            let known: Vec<_> = listeners.iter().map(|l| l.address.to_string()).collect();
            let why = format!(
                "no listener `{name}`; name one by its place from 0 on, or by its address: {}",
                known.join(", ")
            );
            Error::handler(404, why)
        })
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Vec<Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, looks: Looks, looked: Looked, peer: Peer) -> Result<Session<'_>, Error> {
        let (mut claims, listener) = (self.claims(), looked.index);
        let same = |claim: &&Claim| claim.listener == listener && claim.looks == looks;
        if let Some(claim) = claims.iter().find(same) {
            let (verb, word) = words(looks);
            let why = format!(
                "process {} of user {} has {verb} listener {listener} for {} s; `{word} stop \
                 {listener}` ends that",
                claim.peer.pid,
                claim.peer.uid,
                claim.since.elapsed().as_secs()
            );
            return Err(Error::handler(409, why));
        }
        if claims.len() >= WATCHES_MAX {
            let why =
                format!("{WATCHES_MAX} listeners are looked at, and no more may be at a time");
            return Err(Error::handler(409, why));
        }
        let (stop, since) = (Arc::<AtomicBool>::default(), Instant::now());
        let address = looked.address.to_string();
        claims.push(Claim { listener, address, looks, peer, since, stop: stop.clone() });
        Ok(Session { desk: self, listener, looked, looks, peer, stop })
    }

    fn list(&self, looks: Looks) -> Answer {
        let columns = ["listener", "address", "pid", "uid", "seconds"].map(str::to_owned).into();
        let claims = self.claims();
        let rows = claims.iter().filter(|claim| claim.looks == looks).map(|claim| {
            vec![
                Value::from(claim.listener),
                claim.address.clone().into(),
                claim.peer.pid.into(),
                claim.peer.uid.into(),
                claim.since.elapsed().as_secs().into(),
            ]
        });
        Answer::Table(Table { columns, rows: rows.collect(), upright: false })
    }

    fn stop(&self, looks: Looks, name: &str) -> Result<Answer, Error> {
        let (listener, claims) = (self.find(name)?.index, self.claims());
        let same = |claim: &&Claim| claim.listener == listener && claim.looks == looks;
        let Some(claim) = claims.iter().find(same) else {
            let (verb, _) = words(looks);
            return Err(Error::handler(404, format!("nobody has {verb} listener {listener}")));
        };
        // Relaxed: it orders nothing.
        claim.stop.store(true, Ordering::Relaxed);
        let field = |name: &str, value: Value| (name.to_owned(), value);
        Ok(Answer::Fields(vec![
            field("listener", listener.into()),
            field("stopped_pid", claim.peer.pid.into()),
        ]))
    }
}

fn words(looks: Looks) -> (&'static str, &'static str) {
    match looks {
        Looks::Trace => ("traced", "trace"),
        Looks::Capture => ("captured", "capture"),
    }
}

/// One who looks, until it is dropped.
pub(super) struct Session<'a> {
    desk: &'a Desk,
    listener: u8,
    looked: Looked,
    looks: Looks,
    peer: Peer,
    stop: Arc<AtomicBool>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// As many were seen as were asked for.
    Count,
    /// Its time is over.
    Time,
    /// Somebody else ended it.
    Stopped,
    /// Who asked is gone.
    Unheard,
    /// The listener is gone, or the instance stops.
    Gone,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Time => "time",
            Self::Stopped => "stopped",
            Self::Unheard => "unheard",
            Self::Gone => "gone",
        }
    }
}

/// When a session ends by itself.
struct Term {
    until: Instant,
    heard: Instant,
}

impl Session<'_> {
    /// Whether who asked may see what was decrypted.
    fn may_see_decrypted(&self) -> bool {
        self.desk.access.admits_decrypted(self.peer.uid)
    }

    /// When an lcore is to look no longer, on its clock, should nobody have told it: a second after the end.
    fn until(&self, request: &Request<'_>) -> crate::time::Instant {
        self.desk.clock.now().after_ns((u64::from(request.seconds) + 1) * 1_000_000_000)
    }

    /// What has to be added to a time of that clock for nanoseconds of Unix time.
    fn unix_base_ns(&self) -> u64 {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (unix.as_nanos() as u64).saturating_sub(self.desk.clock.now().as_ns())
    }

    /// The lcores that are to look: that of the connection, or all.
    fn lcores(&self, conn: Option<ConnId>) -> Result<Vec<usize>, Error> {
        let all = self.desk.lcores.len();
        match conn.map(|conn| usize::from(conn.lcore())) {
            None => Ok((0..all).collect()),
            Some(lcore) if lcore < all => Ok(vec![lcore]),
            Some(_) => {
                let why = format!(
                    "no connection `{}`: there is no such lcore",
                    conn.expect("it is there")
                );
                Err(Error::handler(404, why))
            }
        }
    }

    fn lcore_id(&self, index: usize) -> u32 {
        self.desk.lcores.id(index)
    }

    /// Has an lcore look; `unwanted` says that nobody waits for that any more.
    fn begin<S: Send + Sync + 'static>(
        &self,
        lcore: usize,
        watch: Box<Watch>,
        state: Arc<S>,
        unwanted: fn(&S) -> &AtomicBool,
    ) -> Result<Watched, Error> {
        let (listener, theirs) = (self.listener, state.clone());
        let asked = self.desk.lcores.ask(lcore, move |lcore: &mut Lcore| {
            // An lcore that was busy may come to it late.
            match unwanted(&theirs).load(Ordering::Relaxed) {
                true => Err((NoWatch::NoListener, watch)),
                false => lcore.watch(listener, watch),
            }
        });
        match asked {
            Ok(Ok(watched)) => Ok(watched),
            Ok(Err((NoWatch::NoListener, _))) => {
                Err(Error::handler(404, format!("listener {listener} is gone")))
            }
            Ok(Err((NoWatch::Decrypted, _))) => Err(self.refuse_decrypted()),
            Err(silence) => {
                unwanted(&state).store(true, Ordering::Relaxed);
                Err(self.is_silent(lcore, silence))
            }
        }
    }

    fn refuse_decrypted(&self) -> Error {
        let uid = self.peer.uid;
        let why = format!(
            "user {uid} may not capture at ingress and handler of listener {}: what peers send is \
             encrypted, and lies decrypted there. rx, egress and tx may be captured; or say \
             `capture_decrypted_uids = [{uid}]` or `capture = \"all\"` in [control]",
            self.listener
        );
        Error::handler(403, why)
    }

    fn is_silent(&self, index: usize, silence: Silence) -> Error {
        let (id, why) = (self.lcore_id(index), silence.name());
        Error::handler(503, format!("lcore {id} does not answer: {why}"))
    }

    fn term(&self, request: &Request<'_>) -> Term {
        let now = Instant::now();
        Term { until: now + Duration::from_secs(request.seconds.into()), heard: now }
    }

    /// Whether it is to end.
    fn ended(&self, term: &mut Term, reply: &Reply<'_>) -> Option<Ended> {
        let now = Instant::now();
        if self.stop.load(Ordering::Relaxed) {
            return Some(Ended::Stopped);
        }
        if reply.is_stopping() {
            return Some(Ended::Gone);
        }
        if now >= term.until {
            return Some(Ended::Time);
        }
        if now.duration_since(term.heard) >= Duration::from_nanos(WATCH_HEARD_NS) {
            term.heard = now;
            if !reply.is_heard() {
                return Some(Ended::Unheard);
            }
        }
        None
    }

    /// Why no lcore looks any more.
    fn why_over(&self, term: &Term) -> Ended {
        if Instant::now() >= term.until { Ended::Time } else { Ended::Gone }
    }

    /// Lets some more come.
    fn rest(&self) {
        std::thread::sleep(Duration::from_nanos(WATCH_LOOK_NS));
    }
}

/// The lcores that look, if one does. One that does not answer is left out.
fn those_that_look<S>(begun: impl Iterator<Item = Result<S, Error>>) -> Result<Vec<S>, Error> {
    let (mut looking, mut why) = (Vec::new(), None);
    for begun in begun {
        match begun {
            Ok(source) => looking.push(source),
            Err(error) => why = Some(error),
        }
    }
    match why {
        Some(why) if looking.is_empty() => Err(why),
        _ => Ok(looking),
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let (listener, looks) = (self.listener, self.looks);
        // Whatever an lcore has is dropped here, and not there. One that is silent has been told not to look.
        self.desk.lcores.each(|index| {
            let _ = self.desk.lcores.ask(index, move |lcore| lcore.unwatch(listener, looks));
        });
        let mut claims = self.desk.claims();
        claims.retain(|claim| claim.listener != listener || claim.looks != looks);
    }
}
