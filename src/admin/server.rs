//! The thread that serves all clients: it waits for whichever is ready first. There is a bounded number of them; where all
//! places are taken, one for which nothing has been done for longest makes room.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::connection::{Connection, Then};
use super::site::Site;
use crate::limits::{
    ADMIN_ACCEPT_PAUSE_NS, ADMIN_ACCEPTS_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_GRACE_NS,
};
use crate::sys::affinity;
use crate::sys::many::Waiting;
use crate::sys::unix_stream::Until;

/// The longest wait. Nothing needs looking at more often, but a clock that is wrong shall not stop it.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the thread has.
pub struct Server {
    listener: TcpListener,
    site: Site,
    /// Readable once it is to stop.
    bell: UnixStream,
    clients: Vec<Connection>,
    /// Nothing is accepted before then.
    accept_from: Instant,
}

/// What a wait found.
struct Found {
    rung: bool,
    newcomers: bool,
    ready: Vec<bool>,
}

impl Server {
    /// Answers what comes to `listener` with `site`, until `bell` rings.
    pub fn new(listener: TcpListener, site: Site, bell: UnixStream) -> Self {
        Self { listener, site, bell, clients: Vec::new(), accept_from: Instant::now() }
    }

    /// Serves. Returns when it is to stop: clients that are under way are cut off.
    pub fn run(mut self, cpus: &[u32]) {
        if !cpus.is_empty()
            && let Err(error) = affinity::pin(cpus)
        {
            tracing::warn!("{error}");
        }
        loop {
            let found = match self.wait() {
                Ok(found) if found.rung => return,
                Ok(found) => found,
                Err(error) => {
                    tracing::error!("the admin listener ends: {error}");
                    return;
                }
            };
            self.serve(&found.ready);
            if found.newcomers {
                self.accept();
            }
        }
    }

    fn wait(&self) -> io::Result<Found> {
        let now = Instant::now();
        let mut until = now + LOOK_EVERY;
        let mut waiting = Waiting::default();
        let bell = waiting.add(self.bell.as_fd(), Until::Readable);
        let listener = if now < self.accept_from {
            until = until.min(self.accept_from);
            None
        } else if self.has_room(now) {
            Some(waiting.add(self.listener.as_fd(), Until::Readable))
        } else {
            until = until.min(now + Duration::from_nanos(ADMIN_GRACE_NS));
            None
        };
        let mut numbers = Vec::with_capacity(self.clients.len());
        for client in &self.clients {
            let (socket, wanted) = client.wants();
            numbers.push(waiting.add(socket, wanted));
            until = until.min(client.deadline());
        }
        waiting.wait(until.saturating_duration_since(now))?;
        Ok(Found {
            rung: waiting.is_ready(bell),
            newcomers: listener.is_some_and(|number| waiting.is_ready(number)),
            ready: numbers.into_iter().map(|number| waiting.is_ready(number)).collect(),
        })
    }

    /// Goes on with those that are ready, and gives up those whose time is over.
    fn serve(&mut self, ready: &[bool]) {
        let mut ready = ready.iter();
        let site = &self.site;
        self.clients.retain_mut(|client| {
            let now = Instant::now();
            if *ready.next().expect("one for each") && client.advance(site, now) == Then::Close {
                return false;
            }
            now < client.deadline()
        });
    }

    fn has_room(&self, now: Instant) -> bool {
        self.clients.len() < ADMIN_CONNECTIONS_MAX
            || self.clients.iter().any(|client| client.idle_since(now).is_some())
    }

    fn accept(&mut self) {
        for _ in 0..ADMIN_ACCEPTS_MAX {
            let now = Instant::now();
            if !self.has_room(now) {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.make_room(now);
                    let Ok(mut client) = Connection::new(stream, now) else { continue };
                    // Most have sent their request by now.
                    if client.advance(&self.site, now) == Then::Wait {
                        self.clients.push(client);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                // No descriptors, mostly: others may close some.
                Err(_) => {
                    self.accept_from = now + Duration::from_nanos(ADMIN_ACCEPT_PAUSE_NS);
                    return;
                }
            }
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.clients.len() < ADMIN_CONNECTIONS_MAX {
            return;
        }
        let idle = self.clients.iter().enumerate();
        let idle = idle.filter_map(|(at, client)| Some((client.idle_since(now)?, at)));
        if let Some((_, at)) = idle.min() {
            self.clients.swap_remove(at);
        }
    }
}
