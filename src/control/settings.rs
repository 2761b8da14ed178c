//! The configuration as `config get` shows it: keys with dots, and the values in force.

use std::io::Write;

use serde_json::Value;

use super::answer::{Answer, shown};
use crate::config::{Config, ControlConfig, ListenerConfig, TransportKind};
use crate::ipc::{Command, Error, Reply};

/// Keys in the order of the file. Entries of a list are numbered from 0.
pub(super) type Settings = Vec<(String, Value)>;

/// All settings, with their defaults where the file says nothing.
pub(super) fn of(config: &Config) -> Settings {
    let mut settings = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        of_listener(&format!("listener.{index}"), listener, &mut settings);
    }
    let dataplane = &config.dataplane;
    let mut put = |key: &str, value: Value| settings.push((key.to_owned(), value));
    put("dataplane.max_connections", dataplane.max_connections.into());
    put("dataplane.idle", dataplane.idle.name().into());
    put("dataplane.drain_timeout_ms", (dataplane.drain_timeout.as_millis() as u64).into());
    put("mempool.small_slots", config.mempool.small_slots.into());
    put("mempool.large_slots", config.mempool.large_slots.into());
    put("mempool.blocks", config.mempool.blocks.into());
    let default = ControlConfig::default();
    let control = config.control.as_ref().unwrap_or(&default);
    put("control.enabled", true.into());
    put("control.socket", control.socket.as_ref().map(|path| path.display().to_string()).into());
    put("control.mode", format!("{:04o}", control.mode).into());
    put("control.allow_uids", control.uids.clone().into());
    settings
}

fn of_listener(prefix: &str, listener: &ListenerConfig, settings: &mut Settings) {
    let mut put = |key: &str, value: Value| settings.push((format!("{prefix}.{key}"), value));
    put("address", listener.address.to_string().into());
    put("transport", listener.transport.name().into());
    put("protocol", listener.protocol.clone().into());
    if listener.transport == TransportKind::Udp {
        put("idle_timeout_ms", (listener.idle_timeout.as_millis() as u64).into());
    } else {
        put("write_timeout_ms", (listener.write_timeout.as_millis() as u64).into());
    }
    put("max_connections_per_address", listener.connections_per_address.unwrap_or(0).into());
    if listener.transport == TransportKind::Unix {
        let access = &listener.access;
        put("mode", format!("{:04o}", access.mode).into());
        put("allow_uids", access.uids.clone().into());
        put("allow_gids", access.gids.clone().into());
    }
    if let Some(port) = &listener.port {
        put("handler", format!("port:{}", port.name).into());
        if port.park {
            put("unattended", "park".into());
        }
    }
    if listener.port.is_some() || listener.peer().is_some() {
        put("isolated", listener.isolated.into());
    }
    for (key, value) in &listener.config {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        put(&format!("config.{key}"), value);
    }
}

/// Answers `config get [KEY]`: one value, or all below a key.
pub(super) fn get(
    settings: &Settings,
    command: &Command<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let words: Vec<&str> = command.arguments.split_ascii_whitespace().collect();
    let key = match words[..] {
        ["get"] => "",
        ["get", key] => key,
        _ => return Err(Error::handler(400, "it is `config get`, or `config get KEY`")),
    };
    if let Some((_, value)) = settings.iter().find(|(name, _)| name == key) {
        let text = if command.json { value.to_string() } else { shown(value) };
        return Ok(reply.write_all(format!("{text}\n").as_bytes())?);
    }
    let below = |name: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let some = settings.iter().filter(|(name, _)| key.is_empty() || below(name));
    let some: Vec<_> = some.cloned().collect();
    if some.is_empty() {
        let why = format!("no setting `{key}`; `config get` lists those there are");
        return Err(Error::handler(404, why));
    }
    Answer::Fields(some).write(command.json, reply)
}
