//! Which protocols a listener can name, and how one is made for an lcore.

use std::collections::BTreeMap;

use super::Status;
use crate::config::ListenerConfig;
use crate::error::{Error, Result};
use crate::handler::{Builtin, Echo, Http};
use crate::limits::{HTTP_STASHES_SHARE, RX_LARGE_SLOTS};
use crate::pipeline::chain::http1::StashBounds;
use crate::pipeline::{Extensions, Handler, Pipeline, chain};
use crate::proto::http1;

/// What a protocol knows when it is made for one listener on one lcore.
pub struct ProtocolContext<'a> {
    /// The listener's own settings, as they stand in the configuration.
    pub settings: &'a toml::Table,
    /// Connections have slots below this.
    pub slots: u32,
    /// The lcore's share of the pool's small slots.
    pub small_slots: u32,
    /// The lcore's share of the pool's large slots.
    pub large_slots: u32,
    /// What the dataplane counts.
    pub status: &'a Status,
    /// Where the protocol registers the kinds of values that it hangs on connections.
    pub extensions: &'a mut Extensions,
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
    /// Those that ringway brings along: `http` and `echo`.
    pub fn builtin() -> Self {
        let mut protocols = Self(BTreeMap::new());
        protocols.register("http", make_http);
        protocols.register("echo", make_echo);
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
        let (status, mut extensions) = (Status::new(Vec::new()), Extensions::new(0));
        for listener in listeners {
            let mut context = ProtocolContext {
                settings: &listener.config,
                slots: 0,
                small_slots: 0,
                large_slots: 0,
                status: &status,
                extensions: &mut extensions,
            };
            self.make(listener, &mut context)?;
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

/// Refuses settings that a protocol does not have.
fn no_other_settings(protocol: &str, settings: &toml::Table, known: &[&str]) -> Result<()> {
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
    Ok(Protocol {
        pipeline: Pipeline::Raw(chain::Raw::new(context.slots)),
        handler: Box::new(Echo),
    })
}

/// The settings of `http`.
const MAX_BODY_BYTES: &str = "max_body_bytes";
const MAX_HEAD_BYTES: &str = "max_head_bytes";
const MAX_HEADERS: &str = "max_headers";
const MAX_TARGET_BYTES: &str = "max_target_bytes";

fn make_http(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    let settings = context.settings;
    let known = [MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES];
    no_other_settings("http", settings, &known)?;
    let most = http1::Limits::default();
    let number = |name, least, most| bounded(settings, name, least, most);
    let limits = http1::Limits {
        body_bytes: number(MAX_BODY_BYTES, 0, i64::MAX as u64)?.unwrap_or(most.body_bytes),
        head_bytes: number(MAX_HEAD_BYTES, 64, most.head_bytes.into())?
            .map_or(most.head_bytes, |n| n as u32),
        headers: number(MAX_HEADERS, 1, most.headers.into())?.map_or(most.headers, |n| n as u32),
        target_bytes: number(MAX_TARGET_BYTES, 1, most.target_bytes.into())?
            .map_or(most.target_bytes, |n| n as u32),
    };
    let handler = Http::new(context.slots, Builtin::new(context.status.clone()));
    Ok(Protocol {
        pipeline: Pipeline::Http1(Box::new(chain::Http1::new(
            context.slots,
            limits,
            StashBounds {
                all: context.small_slots / HTTP_STASHES_SHARE,
                large: context.large_slots.saturating_sub(RX_LARGE_SLOTS.into()) / 2,
            },
        ))),
        handler: Box::new(handler),
    })
}

/// The setting `name` of protocol http, if it is there, within its bounds.
fn bounded(settings: &toml::Table, name: &str, least: u64, most: u64) -> Result<Option<u64>> {
    let Some(value) = settings.get(name) else { return Ok(None) };
    let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
    number.filter(|n| (least..=most).contains(n)).map(Some).ok_or_else(|| {
        Error::new(
            format!("configure protocol http with {name} = {value}"),
            "it is out of bounds",
            format!("give a number from {least} to {most}"),
        )
    })
}
