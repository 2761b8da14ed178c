//! Which protocols a listener can name, and how one is made for an lcore.

use std::collections::BTreeMap;

use super::{streams, websockets};
use crate::config::{ListenerConfig, TransportKind};
use crate::counters::Totals;
use crate::error::{Error, Result};
use crate::handler::{Builtin, Echo, Http, Ipc, Manner, Remote, Unattended, http, ipc};
use crate::limits::{HTTP_TIMEOUT_MS_MAX, PORT_ANSWER_TIMEOUT_NS, PORT_STALL_NS};
use crate::mem::{Share, SlotCounts};
use crate::pipeline::chain::http1::Settings;
use crate::pipeline::chain::ipc as ipc_chain;
use crate::pipeline::{Extensions, Handler, Pipeline, chain};
use crate::port::{PortIndex, PortTable};

/// What a protocol knows when it is made for one listener on one lcore.
pub struct ProtocolContext<'a> {
    /// The listener's own settings, as they stand in the configuration.
    pub settings: &'a toml::Table,
    /// Connections have slots below this.
    pub slots: u32,
    /// The lcore's share of the pool's slots, by their sizes, small ones first.
    pub slots_by_size: SlotCounts,
    /// Bytes of the pool's largest slot.
    pub slot_bytes_max: u32,
    /// Its transport carries datagrams, each a message of its own.
    pub datagrams: bool,
    /// What may wait in one place for a port, or of it, while the pool is short of slots.
    pub share: Share,
    /// What the dataplane counts.
    pub status: &'a Totals,
    /// Where the protocol registers the kinds of values that it hangs on connections.
    pub extensions: &'a mut Extensions,
    /// The port whose process is to handle the messages, and whether connections wait while there is
    /// none; `None`: the protocol's own handler does.
    pub port: Option<(PortIndex, bool)>,
}

impl ProtocolContext<'_> {
    /// The lcore's share of the pool's small slots.
    pub fn small_slots(&self) -> u32 {
        self.slots_by_size[0]
    }

    /// The lcore's share of the pool's large slots.
    pub fn large_slots(&self) -> u32 {
        self.slots_by_size[1]
    }
}

/// One listener's protocol on one lcore.
pub struct Protocol {
    /// Bytes to messages and back.
    pub pipeline: Pipeline,
    /// What is done with the messages.
    pub handler: Box<dyn Handler>,
}

type Make = Box<dyn Fn(&mut ProtocolContext<'_>) -> Result<Protocol> + Send + Sync>;

/// The protocols by name.
pub struct Protocols(BTreeMap<String, Make>);

impl Protocols {
    /// Those that ringway brings along: `http`, `echo`, `raw`, `ipc`, `websocket` and `stream`.
    pub fn builtin() -> Self {
        let mut protocols = Self(BTreeMap::new());
        protocols.register("http", make_http);
        protocols.register("echo", make_echo);
        protocols.register("raw", make_raw);
        protocols.register("ipc", make_ipc);
        protocols.register("websocket", websockets::make);
        protocols.register("stream", streams::make);
        protocols
    }

    /// Adds or replaces a protocol.
    pub fn register(
        &mut self,
        name: &str,
        make: impl Fn(&mut ProtocolContext<'_>) -> Result<Protocol> + Send + Sync + 'static,
    ) {
        self.0.insert(name.to_owned(), Box::new(make));
    }

    /// Refuses listeners of a protocol that nobody registered, or whose settings its maker refuses.
    pub(super) fn check(&self, listeners: &[ListenerConfig]) -> Result<()> {
        let (status, mut extensions) = (Totals::new(Vec::new()), Extensions::new(0));
        let mut ports = PortTable::default();
        for (index, listener) in listeners.iter().enumerate() {
            let mut context = ProtocolContext {
                settings: &listener.config,
                slots: 0,
                slots_by_size: SlotCounts::default(),
                slot_bytes_max: 0,
                datagrams: false,
                share: Share::WHOLE,
                status: &status,
                extensions: &mut extensions,
                port: port_of(listener, &mut ports, index)?,
            };
            let protocol = self.make(listener, &mut context)?;
            check_datagrams(listener, &protocol)?;
            // Peers and handlers have one space of names.
            peer_of(listener, &mut ports, index)?;
        }
        Ok(())
    }

    /// Makes the protocol of `listener`.
    pub(super) fn make(
        &self,
        listener: &ListenerConfig,
        context: &mut ProtocolContext<'_>,
    ) -> Result<Protocol> {
        let make = self.0.get(&listener.protocol).ok_or_else(|| {
            let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            Error::new(
                format!("serve protocol `{}` ({})", listener.protocol, listener.origin),
                "no such protocol is registered",
                format!("use one of: {}", names.join(", ")),
            )
        })?;
        make(context)
    }
}

/// Refuses a protocol over datagrams that needs a stream of bytes.
fn check_datagrams(listener: &ListenerConfig, protocol: &Protocol) -> Result<()> {
    if listener.transport != TransportKind::Udp || protocol.pipeline.takes_datagrams() {
        return Ok(());
    }
    Err(Error::new(
        format!("serve protocol `{}` over udp ({})", listener.protocol, listener.origin),
        "it needs a stream of bytes, and datagrams are none: they get lost and overtake each other",
        "say transport = \"tcp\" or \"unix\", or use protocol echo or raw",
    ))
}

/// The port of `listener`'s handler, added to the lcore's.
pub(super) fn port_of(
    listener: &ListenerConfig,
    ports: &mut PortTable,
    index: usize,
) -> Result<Option<(PortIndex, bool)>> {
    let Some(port) = &listener.port else { return Ok(None) };
    Ok(Some((add_port(listener, &port.name, ports, index)?, port.park)))
}

/// The port of `listener`'s peer, added to the lcore's.
pub(super) fn peer_of(
    listener: &ListenerConfig,
    ports: &mut PortTable,
    index: usize,
) -> Result<Option<PortIndex>> {
    listener.peer().map(|name| add_port(listener, name, ports, index)).transpose()
}

fn add_port(
    listener: &ListenerConfig,
    name: &str,
    ports: &mut PortTable,
    index: usize,
) -> Result<PortIndex> {
    ports.add(name, index as u8).map_err(|error| {
        let what = format!("{} ({})", error.what(), listener.origin);
        Error::new(what, error.why(), error.remedy())
    })
}

/// Refuses a port before a protocol that no process can handle.
pub(super) fn no_port(protocol: &str, context: &ProtocolContext<'_>) -> Result<()> {
    match context.port {
        None => Ok(()),
        Some(_) => Err(Error::new(
            format!("configure protocol {protocol}"),
            "its messages are not for a process at a port",
            "leave `handler` out, or use protocol http, stream or raw",
        )),
    }
}

/// Bytes as they come, for the process at a port.
fn make_raw(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    no_other_settings("raw", context.settings, &["stall_timeout_ms"])?;
    let Some(handler) = context.remote("raw", Manner::Bytes)? else {
        return Err(Error::new(
            "configure protocol raw",
            "nobody would handle its bytes",
            "add handler = \"port:NAME\", or use protocol echo",
        ));
    };
    Ok(Protocol {
        pipeline: Pipeline::Raw(chain::Raw::new(context.slots)),
        handler: Box::new(handler),
    })
}

/// Refuses settings that a protocol does not have.
pub(super) fn no_other_settings(
    protocol: &str,
    settings: &toml::Table,
    known: &[&str],
) -> Result<()> {
    match settings.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let remedy = match known {
                [] => format!("leave `config` out: {protocol} has no settings"),
                known => format!("use one of: {}", known.join(", ")),
            };
            Err(Error::new(
                format!("configure protocol {protocol}"),
                format!("it has no setting `{key}`"),
                remedy,
            ))
        }
    }
}

fn make_echo(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    no_other_settings("echo", context.settings, &[])?;
    no_port("echo", context)?;
    Ok(Protocol {
        pipeline: Pipeline::Raw(chain::Raw::new(context.slots)),
        handler: Box::new(Echo),
    })
}

impl Protocol {
    /// HTTP/1.1 before `service`, with the settings of the listener
    /// ([`http_settings`](ProtocolContext::http_settings)).
    pub fn http(
        context: &ProtocolContext<'_>,
        service: impl http::Service + 'static,
    ) -> Result<Self> {
        let mut settings = context.http_settings()?;
        if let Some(bytes) = service.body_bytes_max()
            && !context.settings.contains_key("max_body_bytes")
        {
            settings.limits.body_bytes = bytes;
        }
        let chain = chain::Http1::new(context.slots, settings);
        Ok(Self {
            pipeline: Pipeline::Http1(Box::new(chain)),
            handler: Box::new(Http::new(context.slots, service)),
        })
    }
}

impl Protocol {
    /// The control line protocol before `service`, with the settings of the listener.
    pub fn ipc(
        context: &ProtocolContext<'_>,
        service: impl ipc::Service + 'static,
    ) -> Result<Self> {
        no_port("ipc", context)?;
        no_other_settings("ipc", context.settings, &["command_timeout_ms"])?;
        let mut settings =
            ipc_chain::Settings::for_slots(context.small_slots(), context.large_slots());
        let timeout =
            bounded("ipc", context.settings, "command_timeout_ms", 1, HTTP_TIMEOUT_MS_MAX)?;
        if let Some(ms) = timeout {
            settings.command_timeout_ns = ms * 1_000_000;
        }
        let chain = chain::Ipc::new(context.slots, settings);
        Ok(Self {
            pipeline: Pipeline::Ipc(Box::new(chain)),
            handler: Box::new(Ipc::new(context.slots, service)),
        })
    }
}

impl ProtocolContext<'_> {
    /// How long the process at a port may take to begin an answer, or to go on with it.
    fn answer_timeout_ns(&self) -> Result<u64> {
        let ms = bounded("http", self.settings, "answer_timeout_ms", 1, HTTP_TIMEOUT_MS_MAX)?;
        Ok(ms.map_or(PORT_ANSWER_TIMEOUT_NS, |ms| ms * 1_000_000))
    }

    /// What passes a protocol's messages to the process at the listener's port; `None`: it has none.
    pub(super) fn remote(&self, protocol: &str, manner: Manner) -> Result<Option<Remote>> {
        let Some((port, park)) = self.port else { return Ok(None) };
        let unattended = if park { Unattended::Park } else { Unattended::Refuse };
        let stall_ns = self.stall_ns(protocol)?;
        Ok(Some(Remote::new(manner, self.slots, port, unattended, stall_ns)))
    }

    /// How long the process at a port may take nothing of what waits for it.
    fn stall_ns(&self, protocol: &str) -> Result<u64> {
        let ms = bounded(protocol, self.settings, "stall_timeout_ms", 1, HTTP_TIMEOUT_MS_MAX)?;
        Ok(ms.map_or(PORT_STALL_NS, |ms| ms * 1_000_000))
    }

    /// What the listener's settings say of HTTP/1.1, and the usual where they say nothing. Settings
    /// that it does not know are refused.
    pub fn http_settings(&self) -> Result<Settings> {
        self.http_settings_beside("http", &[])
    }

    /// The same of a protocol that begins as HTTP, and has settings of its own beside.
    pub(super) fn http_settings_beside(&self, protocol: &str, others: &[&str]) -> Result<Settings> {
        const KNOWN: [&str; 10] = [
            "answer_timeout_ms",
            "stall_timeout_ms",
            "max_body_bytes",
            "max_head_bytes",
            "max_headers",
            "max_target_bytes",
            "max_requests",
            "head_timeout_ms",
            "body_timeout_ms",
            "keep_alive_timeout_ms",
        ];
        // The first two are about a port.
        let known = if self.port.is_some() { &KNOWN[..] } else { &KNOWN[2..] };
        no_other_settings(protocol, self.settings, &[known, others].concat())?;
        let mut http = Settings::for_slots(self.small_slots(), self.large_slots());
        let number = |name, least, most| bounded(protocol, self.settings, name, least, most);
        let set = |place: &mut u32, name, least| {
            number(name, least, (*place).into()).map(|n| *place = n.map_or(*place, |n| n as u32))
        };
        let limits = &mut http.limits;
        set(&mut limits.head_bytes, "max_head_bytes", 64)?;
        set(&mut limits.headers, "max_headers", 1)?;
        set(&mut limits.target_bytes, "max_target_bytes", 1)?;
        set(&mut http.requests_max, "max_requests", 1)?;
        if let Some(bytes) = number("max_body_bytes", 0, i64::MAX as u64)? {
            limits.body_bytes = bytes;
        }
        for (place, name) in [
            (&mut http.head_timeout_ns, "head_timeout_ms"),
            (&mut http.body_timeout_ns, "body_timeout_ms"),
            (&mut http.keep_alive_timeout_ns, "keep_alive_timeout_ms"),
        ] {
            if let Some(ms) = number(name, 1, HTTP_TIMEOUT_MS_MAX)? {
                *place = ms * 1_000_000;
            }
        }
        Ok(http)
    }
}

fn make_http(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    if let Some((port, park)) = context.port {
        if park {
            return Err(Error::new(
                "configure protocol http",
                "its requests cannot wait for a process to attach",
                "leave `unattended` out: they are answered with 503",
            ));
        }
        let (timeout_ns, stall_ns) = (context.answer_timeout_ns()?, context.stall_ns("http")?);
        let service = http::PortService::new(context.slots, port, timeout_ns, stall_ns)
            .with_share(context.share);
        return Protocol::http(context, service);
    }
    Protocol::http(context, Builtin::new(context.status.clone()))
}

fn make_ipc(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    no_port("ipc", context)?;
    Protocol::ipc(context, ipc::Builtin::new(context.status.clone()))
}

/// The setting `name` of `protocol`, if it is there, within its bounds.
pub(super) fn bounded(
    protocol: &str,
    settings: &toml::Table,
    name: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>> {
    let Some(value) = settings.get(name) else { return Ok(None) };
    let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
    number.filter(|n| (least..=most).contains(n)).map(Some).ok_or_else(|| {
        Error::new(
            format!("configure protocol {protocol} with {name} = {value}"),
            "it is out of bounds",
            format!("give a number from {least} to {most}"),
        )
    })
}
