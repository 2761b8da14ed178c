//! The TOML file: its tables as written, and the checks that turn them into a [`Config`].
//! Every refusal names the file and the line.

mod admin;
mod control;
mod log;
mod offload;
mod port;
mod stats;
mod udp;
mod unix;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Address, Config, DataplaneConfig, IdleMode, IoBackend, ListenerConfig, MempoolConfig,
    TransportKind,
};
use crate::error::{Error, Result};
use crate::limits::{
    BLOCKS_MAX, CONNECTIONS_MAX, LISTENERS_MAX, STALL_SWEEPS_LIMIT, STALL_SWEEPS_MAX,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    listener: Vec<Spanned<RawListener>>,
    #[serde(default)]
    dataplane: RawDataplane,
    #[serde(default)]
    mempool: RawMempool,
    #[serde(default)]
    offload: offload::RawOffload,
    #[serde(default)]
    stats: stats::RawStats,
    #[serde(default)]
    log: log::RawLog,
    control: Option<control::RawControl>,
    admin: Option<Spanned<admin::RawAdmin>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListener {
    address: Spanned<String>,
    transport: TransportKind,
    protocol: Spanned<String>,
    write_timeout_ms: Option<Spanned<u64>>,
    idle_timeout_ms: Option<Spanned<u64>>,
    max_connections_per_address: Option<Spanned<u32>>,
    io: Option<Spanned<IoBackend>>,
    mode: Option<Spanned<String>>,
    allow_uids: Option<Spanned<Vec<u32>>>,
    allow_gids: Option<Spanned<Vec<u32>>>,
    handler: Option<Spanned<String>>,
    isolated: Option<Spanned<bool>>,
    unattended: Option<Spanned<String>>,
    #[serde(default)]
    config: toml::Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDataplane {
    max_connections: Option<Spanned<u32>>,
    idle: Option<IdleMode>,
    io: Option<IoBackend>,
    drain_timeout_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawMempool {
    small_slots: Option<Spanned<u32>>,
    large_slots: Option<Spanned<u32>>,
    blocks: Option<Spanned<u32>>,
}

/// The text under its name: what turns a byte range into `file:line`.
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Source<'_> {
    fn line(&self, at: usize) -> String {
        let line = self.text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
        format!("{}:{line}", self.origin)
    }

    /// `file:line:column`; the column counts characters from 1.
    fn line_and_column(&self, at: usize) -> String {
        let before = &self.text.as_bytes()[..at];
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        format!("{}:{column}", self.line(at))
    }

    fn refuse(&self, span: Range<usize>, why: String, remedy: impl Into<String>) -> Error {
        Error::new(format!("use {}", self.line_and_column(span.start)), why, remedy)
    }

    fn syntax(&self, error: &toml::de::Error) -> Error {
        let place = match error.span() {
            Some(span) => self.line_and_column(span.start),
            None => self.origin.to_owned(),
        };
        let why = error.message().trim_end().replace('\n', ", ");
        Error::new(
            format!("use {place}"),
            why,
            "correct that line; `ringway run --help` shows a whole file",
        )
    }
}

pub(super) fn parse(text: &str, origin: &str) -> Result<Config> {
    let source = Source { text, origin };
    let raw: RawConfig = toml::from_str(text).map_err(|e| source.syntax(&e))?;
    Ok(Config {
        listeners: listeners(&source, raw.listener)?,
        dataplane: dataplane(&source, raw.dataplane)?,
        mempool: MempoolConfig {
            small_slots: slots(&source, "small_slots", raw.mempool.small_slots)?,
            large_slots: slots(&source, "large_slots", raw.mempool.large_slots)?,
            blocks: blocks(&source, raw.mempool.blocks)?,
        },
        offload: offload::offload(&source, raw.offload)?,
        stats: stats::stats(&source, raw.stats)?,
        log: log::log(raw.log),
        control: raw.control.map(|raw| control::control(&source, raw)).transpose()?,
        admin: raw.admin.map(|raw| admin::admin(&source, raw)).transpose()?,
    })
}

fn listeners(source: &Source, raw: Vec<Spanned<RawListener>>) -> Result<Vec<ListenerConfig>> {
    if raw.is_empty() {
        return Err(Error::new(
            format!("use {}", source.origin),
            "it names no listener, so nothing would be served",
            "add a [[listener]] table with address, transport and protocol",
        ));
    }
    if let Some(extra) = raw.get(LISTENERS_MAX) {
        return Err(source.refuse(
            extra.span(),
            format!("{} listeners, and {LISTENERS_MAX} is the most", raw.len()),
            "remove listeners, or run a second instance with another --file-prefix",
        ));
    }
    let mut lines = HashMap::new();
    raw.into_iter().map(|listener| one_listener(source, listener, &mut lines)).collect()
}

fn one_listener(
    source: &Source,
    raw: Spanned<RawListener>,
    lines: &mut HashMap<(Address, bool), String>,
) -> Result<ListenerConfig> {
    let origin = source.line(raw.span().start);
    let raw = raw.into_inner();
    let address = match raw.transport {
        TransportKind::Tcp | TransportKind::Udp => Address::Ip(ip_address(source, &raw.address)?),
        TransportKind::Unix => unix::address(source, &raw.address)?,
        TransportKind::Shm => port::address(source, &raw.address)?,
    };
    // Port 0 asks the kernel for any free port, so two of them are two ports.
    // And those of UDP are others than those of TCP.
    let key = (address.clone(), raw.transport == TransportKind::Udp);
    if let Some(first) = lines.insert(key, source.line(raw.address.span().start))
        && address.ip().is_none_or(|ip| ip.port() != 0)
    {
        return Err(source.refuse(
            raw.address.span(),
            format!("{address} is already the address of the listener at {first}"),
            "give each listener an address of its own",
        ));
    }
    if raw.protocol.get_ref().is_empty() {
        return Err(source.refuse(
            raw.protocol.span(),
            "the protocol's name is empty".to_owned(),
            "name a protocol, such as \"http\" or \"echo\"",
        ));
    }
    let access = unix::RawAccess { mode: raw.mode, uids: raw.allow_uids, gids: raw.allow_gids };
    Ok(ListenerConfig {
        access: unix::access(source, &address, access)?,
        connections_per_address: per_address(source, &address, raw.max_connections_per_address)?,
        io: io(source, raw.transport, raw.io)?,
        address,
        transport: raw.transport,
        protocol: raw.protocol.into_inner(),
        write_timeout: write_timeout(
            source,
            udp::no_write_timeout(source, raw.transport, raw.write_timeout_ms)?,
        )?,
        idle_timeout: udp::idle_timeout(source, raw.transport, raw.idle_timeout_ms)?,
        isolated: port::isolated(source, raw.transport, &raw.handler, raw.isolated)?,
        port: port::handler(source, raw.handler, raw.unattended)?,
        config: raw.config,
        origin,
    })
}

fn io(
    source: &Source,
    transport: TransportKind,
    written: Option<Spanned<IoBackend>>,
) -> Result<Option<IoBackend>> {
    match written {
        Some(io) if transport == TransportKind::Shm => Err(source.refuse(
            io.span(),
            "io is of sockets, and its peer is a process".to_owned(),
            "leave io out",
        )),
        other => Ok(other.map(Spanned::into_inner)),
    }
}

/// In whole seconds, rounded up: peers are looked at once a second.
fn write_timeout(source: &Source, written: Option<Spanned<u64>>) -> Result<Duration> {
    let most_ms = u64::from(STALL_SWEEPS_LIMIT) * 1000;
    match written {
        None => Ok(Duration::from_secs(STALL_SWEEPS_MAX.into())),
        Some(ms) if (1000..=most_ms).contains(ms.get_ref()) => {
            Ok(Duration::from_secs(ms.get_ref().div_ceil(1000)))
        }
        Some(ms) => Err(source.refuse(
            ms.span(),
            format!("write_timeout_ms is {}", ms.get_ref()),
            format!("give peers 1000 to {most_ms} ms to take something"),
        )),
    }
}

fn per_address(
    source: &Source,
    address: &Address,
    written: Option<Spanned<u32>>,
) -> Result<Option<u32>> {
    match written {
        Some(n) if address.ip().is_none() => Err(source.refuse(
            n.span(),
            format!("the peers of {address} have no addresses to count by"),
            "leave max_connections_per_address out",
        )),
        Some(n) if *n.get_ref() > CONNECTIONS_MAX => Err(source.refuse(
            n.span(),
            format!("max_connections_per_address is {}", n.get_ref()),
            format!("give each address 1 to {CONNECTIONS_MAX} connections, or 0 for no bound"),
        )),
        written => Ok(written.map(Spanned::into_inner).filter(|most| *most > 0)),
    }
}

fn ip_address(source: &Source, written: &Spanned<String>) -> Result<SocketAddr> {
    written.get_ref().parse().map_err(|_| {
        source.refuse(
            written.span(),
            format!("`{}` is not an IP address and port", written.get_ref()),
            "write it as \"0.0.0.0:8080\" or \"[::]:8080\"; for a path say transport = \"unix\",
             and for a port transport = \"shm\"",
        )
    })
}

fn dataplane(source: &Source, raw: RawDataplane) -> Result<DataplaneConfig> {
    let default = DataplaneConfig::default();
    let max_connections = match raw.max_connections {
        None => default.max_connections,
        Some(n) if (1..=CONNECTIONS_MAX).contains(n.get_ref()) => n.into_inner(),
        Some(n) => {
            return Err(source.refuse(
                n.span(),
                format!("max_connections is {}", n.get_ref()),
                format!("give each lcore 1 to {CONNECTIONS_MAX} connections"),
            ));
        }
    };
    Ok(DataplaneConfig {
        max_connections,
        idle: raw.idle.unwrap_or(default.idle),
        io: raw.io.unwrap_or(default.io),
        drain_timeout: raw.drain_timeout_ms.map_or(default.drain_timeout, Duration::from_millis),
    })
}

fn slots(source: &Source, key: &str, raw: Option<Spanned<u32>>) -> Result<Option<u32>> {
    match raw {
        Some(n) if *n.get_ref() == 0 => Err(source.refuse(
            n.span(),
            format!("{key} is 0, and a pool without slots carries nothing"),
            "give it at least 1, or leave it out to have it computed",
        )),
        other => Ok(other.map(Spanned::into_inner)),
    }
}

fn blocks(source: &Source, raw: Option<Spanned<u32>>) -> Result<u32> {
    match raw {
        Some(n) if *n.get_ref() > BLOCKS_MAX => Err(source.refuse(
            n.span(),
            format!("blocks is {}", n.get_ref()),
            format!("give each lcore 0 to {BLOCKS_MAX} blocks of 4 MiB"),
        )),
        other => Ok(other.map_or(0, Spanned::into_inner)),
    }
}
