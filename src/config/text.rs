//! A configuration as the file would say it, and changed in single keys: by the file's own rules, since it is written
//! out, edited and read again.

use toml::{Table, Value};

use super::{
    Address, AdminConfig, AdminToken, Config, ControlConfig, IoBackend, ListenerConfig,
    OffloadConfig, StatsConfig, TransportKind,
};
use crate::error::{Error, Result};

/// What is read again is called so in errors.
const ORIGIN: &str = "the settings";

/// The value that takes a key out, so that its default is in force.
const NOTHING: &str = "-";

impl Config {
    /// The same with these keys changed, all or none: each a key as `ringway ctl config get` shows it, such as
    /// `dataplane.idle` or `listener.0.config.max_headers`, and its value as in the file, where text needs no quotes. `-`
    /// takes the key out, so that its default is in force.
    ///
    /// # Errors
    /// As for a file that says so, and when a key names no table or listener.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Self> {
        let mut table = self.to_table();
        for (key, value) in changes {
            set(&mut table, key, value)?;
        }
        let text = toml::to_string(&table).map_err(|e| refuse(changes, e, "see the README"))?;
        let mut config = Self::from_toml(&text, ORIGIN)
            .map_err(|error| refuse(changes, error.why(), error.remedy()))?;
        for (new, old) in config.listeners.iter_mut().zip(&self.listeners) {
            new.origin.clone_from(&old.origin);
        }
        Ok(config)
    }

    /// All that it says, as the file's tables.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        let listeners = self.listeners.iter().map(|one| Value::Table(listener(one)));
        table.insert("listener".to_owned(), Value::Array(listeners.collect()));
        let mut dataplane = Table::new();
        put(&mut dataplane, "max_connections", i64::from(self.dataplane.max_connections));
        put(&mut dataplane, "idle", self.dataplane.idle.name());
        put(&mut dataplane, "io", self.dataplane.io.name());
        let drain_ms = self.dataplane.drain_timeout.as_millis();
        put(&mut dataplane, "drain_timeout_ms", i64::try_from(drain_ms).unwrap_or(i64::MAX));
        put(&mut table, "dataplane", dataplane);
        let mut mempool = Table::new();
        put_some(&mut mempool, "small_slots", self.mempool.small_slots.map(i64::from));
        put_some(&mut mempool, "large_slots", self.mempool.large_slots.map(i64::from));
        put(&mut mempool, "blocks", i64::from(self.mempool.blocks));
        put(&mut table, "mempool", mempool);
        put(&mut table, "offload", offload(&self.offload));
        put(&mut table, "stats", stats(&self.stats));
        let mut log = Table::new();
        put(&mut log, "level", self.log.level.as_str());
        put(&mut table, "log", log);
        put_some(&mut table, "control", self.control.as_ref().map(control));
        put_some(&mut table, "admin", self.admin.as_ref().map(admin));
        table
    }
}

fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

fn put_some(table: &mut Table, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(table, key, value);
    }
}

fn ids(ids: &[u32]) -> Option<Value> {
    let list = || ids.iter().map(|id| Value::from(i64::from(*id))).collect();
    (!ids.is_empty()).then(|| Value::Array(list()))
}

fn listener(listener: &ListenerConfig) -> Table {
    let mut table = Table::new();
    put(&mut table, "address", listener.address.to_string());
    put(&mut table, "transport", listener.transport.name());
    put(&mut table, "protocol", listener.protocol.as_str());
    let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match listener.transport {
        TransportKind::Udp => put(&mut table, "idle_timeout_ms", ms(listener.idle_timeout)),
        _ => put(&mut table, "write_timeout_ms", ms(listener.write_timeout)),
    }
    let most = listener.connections_per_address.map(i64::from);
    put_some(&mut table, "max_connections_per_address", most);
    put_some(&mut table, "io", listener.io.map(IoBackend::name));
    if let Address::Unix(_) = listener.address {
        if !listener.address.is_abstract() {
            put(&mut table, "mode", format!("{:04o}", listener.access.mode));
        }
        put_some(&mut table, "allow_uids", ids(&listener.access.uids));
        put_some(&mut table, "allow_gids", ids(&listener.access.gids));
    }
    if let Some(port) = &listener.port {
        put(&mut table, "handler", format!("port:{}", port.name));
        put(&mut table, "unattended", if port.park { "park" } else { "refuse" });
    }
    if listener.port.is_some() || listener.peer().is_some() {
        put(&mut table, "isolated", listener.isolated);
    }
    if !listener.config.is_empty() {
        put(&mut table, "config", listener.config.clone());
    }
    table
}

fn offload(offload: &OffloadConfig) -> Table {
    let mut table = Table::new();
    put_some(&mut table, "lcores", offload.lcores.as_ref().map(ToString::to_string));
    put_some(&mut table, "threads", offload.threads.map(i64::from));
    put(&mut table, "queue", i64::from(offload.queue));
    table
}

fn stats(stats: &StatsConfig) -> Table {
    let mut table = Table::new();
    put(&mut table, "sampling", i64::from(stats.sampling));
    put(&mut table, "mode", format!("{:04o}", stats.mode));
    let watchdog_ms = stats.watchdog.as_millis();
    put(&mut table, "watchdog_ms", i64::try_from(watchdog_ms).unwrap_or(i64::MAX));
    put(&mut table, "backtrace", stats.backtrace);
    table
}

fn control(control: &ControlConfig) -> Table {
    let mut table = Table::new();
    put(&mut table, "enabled", control.enabled);
    if let Some(socket) = &control.socket {
        put(&mut table, "socket", socket.display().to_string());
        put(&mut table, "mode", format!("{:04o}", control.mode));
        put_some(&mut table, "allow_uids", ids(&control.uids));
    }
    put(&mut table, "capture", control.capture.name());
    put_some(&mut table, "capture_decrypted_uids", ids(&control.capture.decrypted_uids));
    table
}

fn admin(admin: &AdminConfig) -> Table {
    let mut table = Table::new();
    put(&mut table, "address", admin.address.to_string());
    match &admin.token {
        Some(AdminToken::Text(token)) => put(&mut table, "token", token.as_str()),
        Some(AdminToken::File(path)) => put(&mut table, "token_file", path.display().to_string()),
        None => {}
    }
    table
}

/// The value as TOML has it; what is none is text.
fn value(text: &str) -> Value {
    let read = toml::from_str::<Table>(&format!("value = {text}"));
    let mut read = read.ok().filter(|table| table.len() == 1);
    let read = read.as_mut().and_then(|table| table.remove("value"));
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets one key below `table`.
fn set(table: &mut Table, key: &str, text: &str) -> Result<()> {
    let change = [(key.to_owned(), text.to_owned())];
    let no_such = |why: String| {
        Err(refuse(&change, why, "`ringway ctl config get` lists the keys there are"))
    };
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut at = table;
    let mut parts = path.split('.').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let below = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = match below {
            Value::Table(below) => below,
            Value::Array(list) => {
                let number = parts.next().unwrap_or_default();
                let count = list.len();
                let one = number.parse().ok().and_then(|number: usize| list.get_mut(number));
                let Some(Value::Table(below)) = one else {
                    return no_such(format!("there is no {part} {number}, but {count}, from 0 on"));
                };
                below
            }
            _ => return no_such(format!("{part} is a value, which has no keys")),
        };
    }
    if text == NOTHING {
        at.remove(last);
    } else {
        at.insert(last.to_owned(), value(text));
    }
    Ok(())
}

fn refuse(changes: &[(String, String)], why: impl std::fmt::Display, mend: &str) -> Error {
    let said: Vec<String> =
        changes.iter().map(|(key, value)| format!("{key} to {value}")).collect();
    Error::new(format!("set {}", said.join(", ")), why, mend)
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_TOML;
    use super::*;

    const WHOLE: &str = r#"
        [[listener]]
        address = "127.0.0.1:0"
        transport = "tcp"
        protocol = "http"
        write_timeout_ms = 5000
        max_connections_per_address = 7
        io = "epoll"
        handler = "port:app"
        config = { max_headers = 17, name = "a b", list = [1, "x", 1.5], deep = { at = 1979-05-27 } }
        [[listener]]
        address = "127.0.0.1:0"
        transport = "udp"
        protocol = "echo"
        idle_timeout_ms = 2000
        [[listener]]
        address = "/tmp/a \"quoted\" path.sock"
        transport = "unix"
        protocol = "ipc"
        mode = "0600"
        allow_uids = [0, 1000]
        allow_gids = [5]
        [[listener]]
        address = "@abstract"
        transport = "unix"
        protocol = "raw"
        handler = "port:raw"
        unattended = "park"
        isolated = true
        [[listener]]
        address = "port:feed"
        transport = "shm"
        protocol = "echo"
        [dataplane]
        max_connections = 77
        idle = "busy"
        io = "io_uring"
        drain_timeout_ms = 123
        [mempool]
        small_slots = 4096
        blocks = 3
        [offload]
        lcores = "4,(5-6)@(7,8)"
        queue = 9
        [stats]
        sampling = 4
        mode = "0640"
        watchdog_ms = 2500
        backtrace = true
        [log]
        level = "warn,ringway::lcore=trace"
        [control]
        socket = "/run/edge.sock"
        mode = "0660"
        allow_uids = [1]
        capture = "all"
        capture_decrypted_uids = [7]
        [admin]
        address = "127.0.0.1:9090"
        token = "0123456789abcdef0123456789abcdef"
    "#;

    fn change(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn with(config: &Config, key: &str, value: &str) -> Result<Config> {
        config.with(&[change(key, value)])
    }

    #[test]
    fn what_is_written_out_reads_as_the_same() {
        for text in [DEFAULT_TOML, WHOLE] {
            let config = Config::from_toml(text, "file").unwrap();
            assert_eq!(config.with(&[]).unwrap(), config, "{text}");
        }
        let mut made = Config::default_embedded();
        made.listeners = vec![ListenerConfig::unix("/tmp/x", "of /tmp/x", "the program")];
        assert_eq!(made.with(&[]).unwrap(), made);
    }

    #[test]
    fn keys_are_changed_by_the_rules_of_the_file_a_12() {
        let config = Config::from_toml(WHOLE, "file").unwrap();
        let busy = with(&config, "dataplane.idle", "sleep").unwrap();
        assert_eq!(busy.dataplane.idle.name(), "sleep");
        let http = with(&config, "listener.0.config.max_headers", "18").unwrap();
        assert_eq!(http.listeners[0].config["max_headers"], Value::from(18));
        assert_eq!(http.listeners[1..], config.listeners[1..]);
        let mode = with(&config, "listener.2.mode", "0666").unwrap();
        assert_eq!(mode.listeners[2].access.mode, 0o666);
        let text = with(&config, "listener.0.config.name", "\"17\"").unwrap();
        assert_eq!(text.listeners[0].config["name"], Value::from("17"));
        let default = with(&config, "listener.0.write_timeout_ms", "-").unwrap();
        assert_eq!(default.listeners[0].write_timeout.as_secs(), 30);
        let ids = with(&config, "listener.2.allow_uids", "[1, 2]").unwrap();
        assert_eq!(ids.listeners[2].access.uids, [1, 2]);
    }

    #[test]
    fn a_key_or_value_that_the_file_could_not_have_is_refused_with_its_mend_a_12() {
        let config = Config::from_toml(WHOLE, "file").unwrap();
        let why = |key: &str, value: &str| with(&config, key, value).unwrap_err().to_string();
        for (key, value, parts) in [
            ("dataplane.idle", "lazy", ["dataplane.idle to lazy", "busy"]),
            ("dataplane.max_connections", "0", ["max_connections is 0", "1 to"]),
            ("dataplane.frobnicate", "1", ["frobnicate", "unknown field"]),
            ("listener.9.protocol", "http", ["no listener 9", "5, from 0"]),
            ("listener.x.protocol", "http", ["no listener x", "config get"]),
            ("listener.0.protocol.deep", "1", ["protocol is a value", "config get"]),
            ("listener.0.address", "8080", ["set listener.0.address", "string"]),
            ("listener.1.write_timeout_ms", "5000", ["wait for no peer", "idle_timeout_ms"]),
            ("", "1", ["set ", "unknown field"]),
        ] {
            let error = why(key, value);
            assert!(parts.iter().all(|part| error.contains(part)), "{key}: {error}");
        }
        let both = [change("dataplane.idle", "busy"), change("mempool.small_slots", "0")];
        assert!(config.with(&both).unwrap_err().what().contains("dataplane.idle to busy, mem"));
    }

    #[test]
    fn a_value_cannot_bring_other_keys_along() {
        let config = Config::from_toml(WHOLE, "file").unwrap();
        let smuggled = "\"x\"\n[dataplane]\nidle = \"busy\"";
        let set = with(&config, "listener.0.config.name", smuggled).unwrap();
        assert_eq!(set.listeners[0].config["name"], Value::from(smuggled));
        assert_eq!(set.dataplane, config.dataplane);
    }
}
