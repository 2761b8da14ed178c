//! Looking at a running instance over HTTP: metrics for Prometheus, JSON, health, and a dashboard for people.
//!
//! | path | what |
//! |---|---|
//! | `/` | the dashboard: one page, with all that it needs in it |
//! | `/metrics` | everything that is counted, for Prometheus (text format 0.0.4), or as OpenMetrics where that is accepted |
//! | `/stats.json` | the same as JSON, a [`Snapshot`]; `?buckets=1` adds the buckets of the latencies |
//! | `/words.json` | what the counters, and the reasons for drops, mean |
//! | `/healthz` | 200 while the lcores run; 503 and why when one does not |
//! | `/readyz` | 200 while new clients are taken; 503 and why when it drains |
//!
//! It has one thread, on no lcore's core where there is another, and reads what is counted anyway: an lcore does not
//! notice that it is looked at. It only ever reads: there is nothing to be done over it. Without a token it listens on
//! loopback addresses alone, and answers requests that mean this machine by a name that nobody else's page can have.
//!
//! ```no_run
//! use ringway::admin::Admin;
//! use ringway::dataplane::Builder;
//! use ringway::handler::Echo;
//!
//! # fn main() -> ringway::error::Result<()> {
//! let echo = Builder::on_one_core()?.listen(([127, 0, 0, 1], 7000), || Echo);
//! echo.admin(Admin::on(([127, 0, 0, 1], 9090))).run()?; // meanwhile: http://localhost:9090/
//! # Ok(())
//! # }
//! ```

mod access;
mod answer;
mod connection;
mod exposition;
mod health;
mod metrics;
mod request;
mod server;
mod site;
mod telemetry;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::config::{AdminConfig, AdminToken};
use crate::control::away_from;
use crate::counters::snapshot::Snapshot;
use crate::error::{Error, Result};
use access::Access;
use server::Server;
use site::Site;

/// Tells what is counted at the moment, or why that cannot be told. It is called for each request that shows it, from one
/// thread.
pub type Source = Arc<dyn Fn() -> Result<Snapshot> + Send + Sync>;

/// An admin listener that is to be.
#[derive(Debug, Clone)]
pub struct Admin {
    config: AdminConfig,
}

/// An admin listener whose address is taken, and whose instance does not run yet: clients wait.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
    cpus: Vec<u32>,
}

/// An admin listener that answers, until it is dropped.
pub struct Serving {
    address: SocketAddr,
    socket: TcpListener,
    has_token: bool,
    /// Its other end hears of it when it is gone.
    bell: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// On `address`; on one that is no loopback address, with a token.
    pub fn on(address: impl Into<SocketAddr>) -> Self {
        Self::with(AdminConfig::new(address.into()))
    }

    /// As a configuration says.
    pub fn with(config: AdminConfig) -> Self {
        Self { config }
    }

    /// Answers those who show this secret, of 16 to 256 visible characters: as `Authorization: Bearer SECRET`, or in a browser
    /// by `/?token=SECRET`.
    pub fn token(mut self, secret: impl Into<String>) -> Self {
        self.config.token = Some(AdminToken::Text(secret.into()));
        self
    }

    /// The same with the secret in a file of its owner alone.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.token = Some(AdminToken::File(path.into()));
        self
    }

    /// Where it is to listen.
    pub fn address(&self) -> SocketAddr {
        self.config.address
    }

    /// Takes the address; `lcore_cpus` are the CPUs that its thread keeps away from.
    ///
    /// # Errors
    /// When the address is taken or not this machine's, other machines reach it and there is no token, or the token is no
    /// good.
    pub fn bind(self, lcore_cpus: &[u32]) -> Result<Bound> {
        self.config.check()?;
        let listener = TcpListener::bind(self.config.address);
        let listener = listener.map_err(|why| self.cannot_serve(why))?;
        self.over(listener, lcore_cpus)
    }

    /// The same with a socket that listens there already: of an instance that is taken over from.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind), and where it is no such socket.
    pub fn inherit(self, socket: OwnedFd, lcore_cpus: &[u32]) -> Result<Bound> {
        self.config.check()?;
        self.over(TcpListener::from(socket), lcore_cpus)
    }

    fn over(self, listener: TcpListener, lcore_cpus: &[u32]) -> Result<Bound> {
        let fail = |why| self.cannot_serve(why);
        listener.set_nonblocking(true).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let access = Access::new(&self.config, address)?;
        Ok(Bound { listener, address, access, cpus: away_from(lcore_cpus)? })
    }

    fn cannot_serve(&self, why: std::io::Error) -> Error {
        let mend = "give [admin] (or --admin) another address, or end what listens there: ss -ltnp";
        Error::new(format!("serve the admin pages on {}", self.config.address), why, mend)
    }
}

impl Bound {
    /// Where it listens, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from here on with what `source` tells.
    pub fn serve(self, source: Source) -> Result<Serving> {
        let fail = |why: std::io::Error| {
            let what = format!("serve the admin pages on {}", self.address);
            Error::new(what, why, "raise the limits `ulimit -n` and `ulimit -u`")
        };
        let (ringer, bell) = UnixStream::pair().map_err(fail)?;
        let socket = self.listener.try_clone().map_err(fail)?;
        let has_token = self.access.has_token();
        let server = Server::new(self.listener, Site::new(self.access, source), bell);
        let cpus = self.cpus;
        let thread = thread::Builder::new().name("admin".to_owned());
        let thread = thread.spawn(move || server.run(&cpus)).map_err(fail)?;
        let (bell, thread) = (Some(ringer), Some(thread));
        Ok(Serving { address: self.address, socket, has_token, bell, thread })
    }
}

impl Serving {
    /// Where it listens, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket that it listens on, for an instance that takes over ([`Admin::inherit`]), which goes on with those that
    /// wait when this one is dropped.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether clients have to show a token.
    pub fn has_token(&self) -> bool {
        self.has_token
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.bell.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; the source, which may, is caught.
            let _ = thread.join();
        }
    }
}
