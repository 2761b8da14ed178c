//! The configuration: parsed, validated, immutable. No system call and no fact about this machine
//! lives here; what depends on the machine is checked against numbers the caller brings.

mod address;
mod admin;
mod control;
mod cores;
mod file;
mod in_force;
mod log;
mod offload;
mod options;
mod stats;
mod text;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::limits::{PEER_IDLE_TIMEOUT_NS, STALL_SWEEPS_MAX};

pub use address::{Access, Address};
pub use admin::{AdminConfig, AdminToken, check_admin_token};
pub use control::{CaptureAccess, ControlConfig};
pub use cores::{CoreMap, LcoreSpec, format_cpus, name_cores};
pub use in_force::{Current, Draining, InForce};
pub use log::LogConfig;
pub use offload::OffloadConfig;
pub use options::{FilePrefix, IdleMode, IoBackend, MemoryOptions};
pub use stats::StatsConfig;

/// The file `ringway run` uses when it is given none; also the example to copy from.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// What the dataplane serves and within which bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The endpoints to bind, in the order of the file; at least one, at most
    /// [`LISTENERS_MAX`](crate::limits::LISTENERS_MAX).
    pub listeners: Vec<ListenerConfig>,
    /// Bounds and behaviour of every lcore.
    pub dataplane: DataplaneConfig,
    /// Overrides of the pool sizes that are otherwise computed.
    pub mempool: MempoolConfig,
    /// The threads that work is offloaded to.
    pub offload: OffloadConfig,
    /// What is measured, and who may look at it.
    pub stats: StatsConfig,
    /// What is logged.
    pub log: LogConfig,
    /// The control socket; `None`: nothing is said of it, so the command has one and the library
    /// none.
    pub control: Option<ControlConfig>,
    /// Where it is looked at over HTTP; `None`: nowhere.
    pub admin: Option<AdminConfig>,
}

/// One bound endpoint with its fixed protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub address: Address,
    /// Who may connect, where it listens on a Unix socket.
    pub access: Access,
    /// Which of the kernel's interfaces carries its sockets; `None`: the dataplane's.
    pub io: Option<IoBackend>,
    /// What carries the bytes.
    pub transport: TransportKind,
    /// The protocol's registered name; whether it exists is the dataplane's to check.
    pub protocol: String,
    /// How long a peer may take nothing of what is sent to it; whole seconds.
    pub write_timeout: Duration,
    /// How long nothing may pass with a peer that sends datagrams before it is forgotten; whole seconds.
    pub idle_timeout: Duration,
    /// Most connections that one address may have open on one lcore; `None`: no bound of its own.
    pub connections_per_address: Option<u32>,
    /// The port whose process handles its messages; `None`: the protocol's own handler does.
    pub port: Option<PortConfig>,
    /// The processes at its ports never map the mempool, but memory of the port's own.
    pub isolated: bool,
    /// The protocol's own settings, handed to its factory as they stand.
    pub config: toml::Table,
    /// Where this listener was written, as `file:line`, for the errors of later checks.
    pub origin: String,
}

impl ListenerConfig {
    /// A TCP listener of `protocol` on `address`, without settings; `origin` names it in errors.
    pub fn tcp(address: SocketAddr, protocol: &str, origin: &str) -> Self {
        let address = Address::Ip(address);
        Self::on(address, TransportKind::Tcp, protocol, origin)
    }

    /// The same for datagrams.
    pub fn udp(address: SocketAddr, protocol: &str, origin: &str) -> Self {
        Self::on(Address::Ip(address), TransportKind::Udp, protocol, origin)
    }

    /// The same on the Unix socket `path`, for everybody.
    pub fn unix(path: impl Into<PathBuf>, protocol: &str, origin: &str) -> Self {
        let address = Address::Unix(path.into());
        Self::on(address, TransportKind::Unix, protocol, origin)
    }

    /// One whose peer is the process that attaches to the port `name`.
    pub fn shm(name: &str, protocol: &str, origin: &str) -> Self {
        Self::on(Address::Port(name.to_owned()), TransportKind::Shm, protocol, origin)
    }

    /// The name of the port whose process is its peer, where one is.
    pub fn peer(&self) -> Option<&str> {
        match &self.address {
            Address::Port(name) => Some(name),
            Address::Ip(_) | Address::Unix(_) => None,
        }
    }

    fn on(address: Address, transport: TransportKind, protocol: &str, origin: &str) -> Self {
        Self {
            address,
            access: Access::default(),
            io: None,
            transport,
            protocol: protocol.to_owned(),
            write_timeout: Duration::from_secs(STALL_SWEEPS_MAX.into()),
            idle_timeout: Duration::from_nanos(PEER_IDLE_TIMEOUT_NS),
            connections_per_address: None,
            port: None,
            isolated: false,
            config: toml::Table::new(),
            origin: origin.to_owned(),
        }
    }
}

/// Where a process attaches that handles a listener's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// What they ask for.
    pub name: String,
    /// Connections wait while no process is attached, where the protocol allows that; or else they
    /// are refused.
    pub park: bool,
}

/// The transports a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// TCP through the kernel's stack.
    Tcp,
    /// Unix-domain stream sockets.
    Unix,
    /// A process that attaches to a port, over rings in shared memory.
    Shm,
    /// Datagrams through the kernel's stack.
    Udp,
}

impl TransportKind {
    /// Its name, as written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Shm => "shm",
            Self::Udp => "udp",
        }
    }
}

/// Bounds and behaviour of every lcore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataplaneConfig {
    /// Most connections open at once on one lcore.
    pub max_connections: u32,
    /// What an lcore does when there is nothing to do.
    pub idle: IdleMode,
    /// Which of the kernel's interfaces carries the sockets.
    pub io: IoBackend,
    /// How long a stopping dataplane waits for its connections to finish.
    pub drain_timeout: Duration,
}

impl Default for DataplaneConfig {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            idle: IdleMode::default(),
            io: IoBackend::default(),
            drain_timeout: Duration::from_millis(10_000),
        }
    }
}

/// Overrides of the pool sizes; `None` leaves the computed size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Slots of the small size class, per lcore.
    pub small_slots: Option<u32>,
    /// Slots of the large size class, per lcore.
    pub large_slots: Option<u32>,
    /// Blocks of 4 MiB, per lcore.
    pub blocks: u32,
}

impl Config {
    /// Parses and validates a TOML text; `origin` names it in errors (a path, usually).
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        file::parse(text, origin)
    }

    /// Reads, parses and validates the file at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| {
            Error::new(
                format!("read the configuration {}", path.display()),
                e,
                "name an existing TOML file with --config, or leave it out to serve HTTP on \
                 port 8080 and TCP echo on port 7007",
            )
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// The configuration built into the library, [`DEFAULT_TOML`].
    pub fn default_embedded() -> Self {
        Self::from_toml(DEFAULT_TOML, "the built-in configuration")
            .expect("a test parses the built-in configuration")
    }
}

#[cfg(test)]
mod tests;
