//! What is to be done to get from one configuration to another: which listeners stay as they are, and what becomes of the
//! others. What cannot change while the dataplane runs is refused here.

use serde_json::Value;

use super::Difference;
use crate::config::{
    Config, DataplaneConfig, IdleMode, InForce, IoBackend, ListenerConfig, PortConfig,
    TransportKind,
};
use crate::control::Hooks;
use crate::control::settings;
use crate::dataplane::backend;
use crate::error::{Error, Result};

/// Settings of the dataplane that may change.
const ADJUSTABLE: [&str; 5] = [
    "dataplane.idle",
    "dataplane.drain_timeout_ms",
    "stats.sampling",
    "stats.watchdog_ms",
    "stats.backtrace",
];

/// How a listener of the new configuration comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is that of this place in the old one, and is not touched.
    Keep(usize),
    /// The same, with other times for its peers, or another mode of its file.
    Tune(usize),
    /// It takes over the sockets of that one.
    Swap(usize),
    /// It is new.
    Add,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// For each listener of the new configuration.
    pub steps: Vec<Step>,
    /// Places in the old one of listeners that are in the new one no more.
    pub removed: Vec<usize>,
    /// What lcores do from here on when there is nothing to do.
    pub idle: Option<IdleMode>,
    /// Settings that the program added, which the configuration has too, with their values.
    pub settings: Vec<(String, String)>,
    /// What differs.
    pub changed: Vec<Difference>,
}

impl Plan {
    /// From `old` to `new`, in an instance with these `hooks`.
    ///
    /// # Errors
    /// When something differs that cannot change: all of it is named.
    pub fn new(old: &InForce, new: &Config, hooks: &Hooks) -> Result<Self> {
        let mut plan = Self {
            steps: Vec::new(),
            removed: Vec::new(),
            idle: None,
            settings: Vec::new(),
            changed: Vec::new(),
        };
        plan.compare_settings(&old.config, new, hooks)?;
        plan.match_listeners(&old.config.listeners, &new.listeners, new.dataplane.io)?;
        Ok(plan)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
            && self.removed.is_empty()
            && self.steps.iter().enumerate().all(|(place, step)| *step == Step::Keep(place))
    }

    fn compare_settings(&mut self, old: &Config, new: &Config, hooks: &Hooks) -> Result<()> {
        let of = |config: &Config| {
            let bare = Config { listeners: Vec::new(), ..config.clone() };
            settings::of(&bare)
        };
        let mut differences = differences("", &of(old), &of(new));
        let is_told = differences.iter().any(|one| one.key.starts_with("admin."));
        if old.admin != new.admin && !is_told {
            // A secret is not shown.
            let (of, key) = (String::new(), "admin.token".to_owned());
            differences.push(Difference { of, key, from: None, to: None });
        }
        let is_fixed = |one: &&Difference| {
            !ADJUSTABLE.contains(&one.key.as_str()) && !hooks.has_setting(&one.key)
        };
        let fixed: Vec<String> =
            differences.iter().filter(is_fixed).map(|one| one.to_string()).collect();
        if !fixed.is_empty() {
            return Err(Error::new(
                "change the configuration",
                format!("this cannot change while the instance runs: {}", fixed.join(", ")),
                "leave it as it is, or start the instance again (`ringway run --takeover` takes over from one that runs)",
            ));
        }
        let DataplaneConfig { idle, .. } = new.dataplane;
        self.idle = (idle != old.dataplane.idle).then_some(idle);
        let added = differences.iter().filter(|one| hooks.has_setting(&one.key));
        self.settings =
            added.map(|one| (one.key.clone(), one.to.clone().unwrap_or_default())).collect();
        self.changed = differences;
        Ok(())
    }

    /// A listener is the same if it listens at the same address over the same transport. Of several at port 0 the first is
    /// the first.
    fn match_listeners(
        &mut self,
        old: &[ListenerConfig],
        new: &[ListenerConfig],
        io: IoBackend,
    ) -> Result<()> {
        let mut left: Vec<usize> = (0..old.len()).collect();
        for listener in new {
            let is_it = |place: &usize| {
                let other = &old[*place];
                (&other.address, other.transport) == (&listener.address, listener.transport)
            };
            let Some(found) = left.iter().position(is_it) else {
                self.steps.push(Step::Add);
                continue;
            };
            let place = left.remove(found);
            self.steps.push(step(place, &old[place], listener, io)?);
            let of = format!("{} {}", listener.transport.name(), listener.address);
            let keys = settings::of_listener;
            self.changed.extend(differences(&of, &keys(&old[place]), &keys(listener)));
        }
        self.removed = left;
        Ok(())
    }
}

/// What becomes of a listener that is in both; `io` carries the sockets of one that does not say.
fn step(place: usize, old: &ListenerConfig, new: &ListenerConfig, io: IoBackend) -> Result<Step> {
    let mut tuned = ListenerConfig { origin: new.origin.clone(), ..old.clone() };
    // Whether it says so or not.
    if backend::of_listener(old, io) == backend::of_listener(new, io) {
        tuned.io = new.io;
    }
    if tuned == *new {
        return Ok(Step::Keep(place));
    }
    (tuned.write_timeout, tuned.idle_timeout) = (new.write_timeout, new.idle_timeout);
    tuned.access.mode = new.access.mode;
    if tuned == *new {
        return Ok(Step::Tune(place));
    }
    let name = |listener: &ListenerConfig| {
        let handler = listener.port.as_ref().map(|PortConfig { name, .. }| name.clone());
        handler.or_else(|| listener.peer().map(str::to_owned))
    };
    match name(old) {
        Some(port) if name(new).as_ref() == Some(&port) => Err(Error::new(
            format!("change the listener at {} ({})", new.address, new.origin),
            format!("the process at port `{port}` talks with one listener at a time"),
            "give the changed one a port of another name, or take the listener out, reload, and add it again; its \
             timeouts can change as they are",
        )),
        _ => Ok(Step::Swap(place)),
    }
}

/// The transport of a listener that an instance has no memory for, since none of its kind was there at the start.
pub(super) fn check_kinds(
    new: &[ListenerConfig],
    has_datagrams: bool,
    has_peers: bool,
) -> Result<()> {
    let lacks = |listener: &&ListenerConfig| match listener.transport {
        TransportKind::Udp => !has_datagrams,
        TransportKind::Shm => !has_peers,
        TransportKind::Tcp | TransportKind::Unix => false,
    };
    let Some(listener) = new.iter().find(lacks) else { return Ok(()) };
    let kind = listener.transport.name();
    Err(Error::new(
        format!("add the listener at {} ({})", listener.address, listener.origin),
        format!(
            "the instance was started without a listener over {kind}, and has no memory for its peers"
        ),
        "start the instance again with it; further ones can be added then",
    ))
}

/// Keys that have other values, or are in one of the two alone.
fn differences(of: &str, old: &[(String, Value)], new: &[(String, Value)]) -> Vec<Difference> {
    let value = |list: &[(String, Value)], key: &str| {
        list.iter().find(|(name, _)| name == key).map(|(_, value)| shown(value))
    };
    let gone = old.iter().filter(|(key, _)| value(new, key).is_none());
    let keys = new.iter().chain(gone).map(|(key, _)| key);
    let differ = keys.filter_map(|key| {
        let (from, to) = (value(old, key), value(new, key));
        let (of, key) = (of.to_owned(), key.clone());
        (from != to).then_some(Difference { of, key, from, to })
    });
    differ.collect()
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    const TWO: &str = r#"
        [[listener]]
        address = "127.0.0.1:8080"
        transport = "tcp"
        protocol = "http"
        [[listener]]
        address = "127.0.0.1:7007"
        transport = "tcp"
        protocol = "raw"
        handler = "port:app"
    "#;

    fn in_force(text: &str) -> InForce {
        let config = Config::from_toml(text, "old").unwrap();
        let addresses: Vec<Address> = config.listeners.iter().map(|l| l.address.clone()).collect();
        InForce::first(config, addresses)
    }

    fn plan(old: &str, new: &str) -> Result<Plan> {
        Plan::new(&in_force(old), &Config::from_toml(new, "new").unwrap(), &Hooks::default())
    }

    #[test]
    fn what_did_not_change_is_not_touched_wherever_it_stands_in_the_file() {
        let plan = plan(TWO, &format!("# a comment moves the lines\n\n{TWO}")).unwrap();
        assert_eq!(plan.steps, [Step::Keep(0), Step::Keep(1)]);
        assert!(plan.is_empty());
        let moved = TWO.replace("8080", "1").replace("7007", "2");
        let (first, second) = moved.split_at(moved.rfind("[[").unwrap());
        let plan = super::Plan::new(
            &in_force(&moved),
            &Config::from_toml(&format!("{second}\n{first}"), "new").unwrap(),
            &Hooks::default(),
        )
        .unwrap();
        assert_eq!(plan.steps, [Step::Keep(1), Step::Keep(0)]);
        assert!(plan.removed.is_empty() && plan.changed.is_empty());
    }

    #[test]
    fn listeners_are_added_removed_swapped_and_tuned_by_their_address_and_transport() {
        let steps = |from: &str, to: &str| {
            let plan = plan(TWO, &TWO.replace(from, to)).unwrap();
            (plan.steps, plan.removed)
        };
        let (keep, tune) = (Step::Keep, Step::Tune);
        assert_eq!(steps(":8080", ":8081"), (vec![Step::Add, keep(1)], vec![0]));
        assert_eq!(steps("\"http\"", "\"echo\""), (vec![Step::Swap(0), keep(1)], vec![]));
        let slow = "\"raw\"\nwrite_timeout_ms = 9000";
        assert_eq!(steps("\"raw\"", slow), (vec![keep(0), tune(1)], vec![]));
        assert_eq!(steps("port:app", "port:two"), (vec![keep(0), Step::Swap(1)], vec![]));
        let epoll = "\"raw\"\nio = \"epoll\"";
        assert_eq!(steps("\"raw\"\n        handler = \"port:app\"", epoll).0[1], Step::Swap(1));
        assert_eq!(steps("handler = \"port:app\"", ""), (vec![keep(0), Step::Swap(1)], vec![]));
        let udp = "\"127.0.0.1:8080\"\ntransport = \"udp\"\nprotocol = \"echo\"";
        let tcp = "\"127.0.0.1:8080\"\n        transport = \"tcp\"\n        protocol = \"http\"";
        assert_eq!(steps(tcp, udp), (vec![Step::Add, keep(1)], vec![0]), "another transport");
    }

    #[test]
    fn differences_say_what_it_was_and_what_it_is() {
        let new = TWO.replace("\"http\"", "\"http\"\nconfig = { max_headers = 3 }");
        let changed = plan(TWO, &format!("{new}\n[dataplane]\nidle = \"busy\"\n")).unwrap().changed;
        let text: Vec<String> = changed.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            ["dataplane.idle: adaptive -> busy", "tcp 127.0.0.1:8080 config.max_headers: - -> 3"]
        );
    }

    #[test]
    fn all_that_cannot_change_is_named_at_once_a_12() {
        let more = "[dataplane]\nmax_connections = 9\nio = \"epoll\"\nidle = \"busy\"\n[mempool]\nblocks = 1\n";
        let error = plan(TWO, &format!("{TWO}\n{more}")).unwrap_err().to_string();
        for part in [
            "max_connections: 16384 -> 9",
            "dataplane.io: auto -> epoll",
            "mempool.blocks: 0 -> 1",
            "--takeover",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        assert!(!error.contains("idle"), "{error}");
    }

    #[test]
    fn a_listener_that_keeps_its_port_changes_in_its_times_alone() {
        let error = plan(TWO, &TWO.replace("handler", "unattended = \"park\"\nhandler"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("port `app`") && error.contains("another name"), "{error}");
    }

    #[test]
    fn a_kind_of_listener_that_there_was_none_of_is_refused() {
        let udp = Config::from_toml(
            "[[listener]]\naddress = \"127.0.0.1:1\"\ntransport = \"udp\"\nprotocol = \"echo\"",
            "new",
        );
        let listeners = udp.unwrap().listeners;
        let error = check_kinds(&listeners, false, true).unwrap_err();
        assert!(error.to_string().contains("over udp") && error.what().contains("new:1"));
        assert!(check_kinds(&listeners, true, false).is_ok());
    }
}
