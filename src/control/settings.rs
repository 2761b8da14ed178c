//! The configuration as `config get` shows it: keys with dots, and the values in force.

use std::io::Write;

use serde_json::Value;

use super::answer::{Answer, shown};
use super::hooks::Hooks;
use crate::config::{AdminToken, Config, ControlConfig, InForce, ListenerConfig, TransportKind};
use crate::ipc::{Command, Error, Reply};

/// Keys in the order of the file. Entries of a list are numbered from 0.
pub(crate) type Settings = Vec<(String, Value)>;

/// All that is in force: the generation, the configuration, and the settings that the program added.
pub(crate) fn in_force(current: &InForce, hooks: &Hooks) -> Settings {
    let mut settings = vec![("generation".to_owned(), current.generation.into())];
    settings.extend(of(&current.config));
    for (key, value) in hooks.settings() {
        let value = Value::from(value);
        match settings.iter_mut().find(|(there, _)| there == key) {
            Some((_, there)) => *there = value,
            None => settings.push((key.to_owned(), value)),
        }
    }
    settings
}

/// All settings, with their defaults where the file says nothing.
pub(crate) fn of(config: &Config) -> Settings {
    let mut settings = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let keys = of_listener(listener).into_iter();
        settings.extend(keys.map(|(key, value)| (format!("listener.{index}.{key}"), value)));
    }
    let dataplane = &config.dataplane;
    let mut put = |key: &str, value: Value| settings.push((key.to_owned(), value));
    put("dataplane.max_connections", dataplane.max_connections.into());
    put("dataplane.idle", dataplane.idle.name().into());
    put("dataplane.io", dataplane.io.name().into());
    put("dataplane.drain_timeout_ms", (dataplane.drain_timeout.as_millis() as u64).into());
    put("mempool.small_slots", config.mempool.small_slots.into());
    put("mempool.large_slots", config.mempool.large_slots.into());
    put("mempool.blocks", config.mempool.blocks.into());
    let offload = &config.offload;
    put("offload.lcores", offload.lcores.as_ref().map(ToString::to_string).into());
    put("offload.threads", offload.threads.into());
    put("offload.queue", offload.queue.into());
    put("stats.sampling", config.stats.sampling.into());
    put("stats.mode", format!("{:04o}", config.stats.mode).into());
    put("stats.watchdog_ms", (config.stats.watchdog.as_millis() as u64).into());
    put("stats.backtrace", config.stats.backtrace.into());
    put("log.level", config.log.level.clone().into());
    let default = ControlConfig::default();
    let control = config.control.as_ref().unwrap_or(&default);
    put("control.enabled", control.enabled.into());
    put("control.socket", control.socket.as_ref().map(|path| path.display().to_string()).into());
    put("control.mode", format!("{:04o}", control.mode).into());
    put("control.allow_uids", control.uids.clone().into());
    put("control.capture", control.capture.name().into());
    put("control.capture_decrypted_uids", control.capture.decrypted_uids.clone().into());
    if let Some(admin) = &config.admin {
        put("admin.address", admin.address.to_string().into());
        match &admin.token {
            // Who may ask this may not be whom the secret is for.
            Some(AdminToken::Text(_)) => put("admin.token", "…".into()),
            Some(AdminToken::File(path)) => {
                put("admin.token_file", path.display().to_string().into())
            }
            None => {}
        }
    }
    settings
}

/// Those of one listener, without its number.
pub(crate) fn of_listener(listener: &ListenerConfig) -> Settings {
    let mut settings = Vec::new();
    let mut put = |key: &str, value: Value| settings.push((key.to_owned(), value));
    put("address", listener.address.to_string().into());
    put("transport", listener.transport.name().into());
    put("protocol", listener.protocol.clone().into());
    if listener.transport == TransportKind::Udp {
        put("idle_timeout_ms", (listener.idle_timeout.as_millis() as u64).into());
    } else {
        put("write_timeout_ms", (listener.write_timeout.as_millis() as u64).into());
    }
    put("max_connections_per_address", listener.connections_per_address.unwrap_or(0).into());
    if let Some(io) = listener.io {
        put("io", io.name().into());
    }
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
    settings
}

/// Answers `config get [KEY]`: one value, or all below a key; all of them, where it is empty.
pub(crate) fn get(
    settings: &Settings,
    key: &str,
    command: &Command<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
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
