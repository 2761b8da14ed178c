//! What every instance tells about itself, and how it is stopped. It reads counters that lcores write
//! anyway, and asks no lcore anything.

use std::io::Write;
use std::sync::Arc;

use serde_json::Value;

use super::answer::{Answer, Table, shown};
use super::commands::Commands;
use super::hooks::Hooks;
use crate::config::{CoreMap, Current, FilePrefix, format_cpus};
use crate::counters::{Counter, Counters, Reason, Totals};
use crate::ipc::{Command, Error, Reply};
use crate::mem::Mempool;

/// A running instance, as its control socket sees it.
pub struct Instance {
    /// Its name.
    pub prefix: FilePrefix,
    /// The configuration that is in force.
    pub current: Current,
    /// Its lcores, in the order of `status`.
    pub cores: CoreMap,
    /// What it counts.
    pub status: Totals,
    /// Its pools with their NUMA nodes.
    pub pools: Vec<(u32, Mempool)>,
    /// How the kernel serves its io_urings.
    pub uring_flags: String,
    /// Begins to stop it, and says how; does not wait.
    pub stop: Box<dyn Fn() -> Stopping + Send + Sync>,
}

/// How an instance that was told to stop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// Connections may finish, for the time that the configuration gives them.
    Draining,
    /// Connections are cut: it was told before.
    AtOnce,
    /// It does not: the process of this number has taken over, and who asked is to ask that one. It ends by itself.
    TakenOver(i32),
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Answer {
    Answer::Fields(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn table<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [Value; N]>) -> Answer {
    let columns = columns.map(str::to_owned).into();
    Answer::Table(Table { columns, rows: rows.map(Vec::from).collect(), upright: false })
}

impl Instance {
    pub(super) fn add_commands(self, hooks: &Hooks, commands: &mut Commands) {
        let instance = Arc::new(self);
        let with = |tell: fn(&Self) -> Answer| {
            let instance = instance.clone();
            move || tell(&instance)
        };
        commands.add_plain("version", "version, name, process and age", with(Self::version));
        let here = instance.clone();
        commands.add(
            "stats [lcores]",
            "all counters, summed or by lcore; times in nanoseconds",
            move |command, reply| here.stats(command, reply),
        );
        commands.add_plain("listeners", "where it listens, and with what", with(Self::listeners));
        commands.add_plain("pools", "memory: sizes, use, and how often none was left", {
            with(Self::pools)
        });
        commands.add_plain("lcores", "cores, load and connections of each lcore", {
            with(Self::lcores)
        });
        let probes = hooks.clone();
        let help = "values that the program lets be looked at, or one of them";
        commands.add("probe [NAME]", help, move |command, reply| probe(&probes, command, reply));
        let help = "drains and ends it, as SIGTERM does; the second one cuts what is left";
        commands.add("stop", help, move |command, reply| instance.stop(command, reply));
    }

    fn version(&self) -> Answer {
        fields([
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("instance", self.prefix.as_str().into()),
            ("pid", std::process::id().into()),
            ("uptime_seconds", self.status.uptime().as_secs().into()),
            ("io", self.current.get().config.dataplane.io.name().into()),
            ("io_uring", self.uring_flags.clone().into()),
        ])
    }

    fn stats(&self, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        let answer = match command.arguments {
            "" => self.sums(),
            "lcores" => self.by_lcore(),
            other => {
                return Err(Error::handler(
                    400,
                    format!("`stats` or `stats lcores`, not `{other}`"),
                ));
            }
        };
        answer.write(command.json, reply)
    }

    fn sums(&self) -> Answer {
        let status = &self.status;
        let mut fields = vec![
            ("uptime_seconds".to_owned(), Value::from(status.uptime().as_secs())),
            ("connections".to_owned(), status.connections().into()),
        ];
        let counters = Counter::ALL.into_iter().map(|(counter, _)| status.sum(counter));
        let dropped = Reason::ALL.into_iter().map(|(reason, _)| status.dropped(reason));
        fields.extend(names().zip(counters.chain(dropped).map(Value::from)));
        Answer::Fields(fields)
    }

    fn by_lcore(&self) -> Answer {
        let row = |(id, counters): (u32, &Counters)| {
            let values = Counter::ALL.into_iter().map(|(counter, _)| counters.get(counter));
            let dropped = Reason::ALL.into_iter().map(|(reason, _)| counters.dropped(reason));
            let values = values.chain(dropped).map(Value::from);
            std::iter::once(Value::from(id)).chain(values).collect()
        };
        let columns = std::iter::once("lcore".to_owned()).chain(names()).collect();
        let rows = self.ids().zip(self.status.iter()).map(row).collect();
        Answer::Table(Table { columns, rows, upright: true })
    }

    fn listeners(&self) -> Answer {
        let current = self.current.get();
        let serving = current.addresses.iter().zip(&current.config.listeners);
        let serving = serving.map(|(address, listener)| (address, listener, "serving"));
        let draining = current.draining.iter().filter(|draining| draining.is_there());
        let draining = draining.map(|gone| (&gone.address, &gone.listener, "draining"));
        let columns = [
            "address",
            "transport",
            "protocol",
            "write_timeout_ms",
            "max_connections_per_address",
            "state",
        ];
        table(
            columns,
            serving.chain(draining).map(|(address, listener, state)| {
                [
                    address.to_string().into(),
                    listener.transport.name().into(),
                    listener.protocol.clone().into(),
                    (listener.write_timeout.as_millis() as u64).into(),
                    listener.connections_per_address.into(),
                    state.into(),
                ]
            }),
        )
    }

    fn pools(&self) -> Answer {
        let columns = [
            "numa_node",
            "pages",
            "slot_bytes",
            "slots",
            "in_use",
            "allocated",
            "freed",
            "exhausted",
        ];
        let classes = self.pools.iter().flat_map(|(node, pool)| {
            pool.sizes().into_iter().enumerate().map(move |(index, size)| {
                let stats = pool.stats(index).expect("each size has its counts");
                let in_use = stats.allocated.saturating_sub(stats.freed);
                [
                    (*node).into(),
                    pool.pages().to_string().into(),
                    size.slot_bytes.into(),
                    size.slots.into(),
                    in_use.into(),
                    stats.allocated.into(),
                    stats.freed.into(),
                    stats.exhausted.into(),
                ]
            })
        });
        table(columns, classes)
    }

    fn lcores(&self) -> Answer {
        let columns = ["lcore", "cores", "connections", "busy_percent", "messages", "sleeps"];
        let specs = self.cores.lcores().iter().zip(self.status.iter());
        table(
            columns,
            specs.map(|(spec, counters)| {
                let open = counters.get(Counter::Accepted);
                [
                    spec.lcore_id.into(),
                    format_cpus(&spec.cpus).into(),
                    open.saturating_sub(counters.get(Counter::Closed)).into(),
                    busy_percent(counters).into(),
                    counters.get(Counter::Messages).into(),
                    counters.get(Counter::Sleeps).into(),
                ]
            }),
        )
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.cores.lcores().iter().map(|lcore| lcore.lcore_id)
    }

    fn stop(&self, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        if !command.arguments.is_empty() {
            return Err(Error::handler(400, "`stop` takes no arguments"));
        }
        let (word, line) = match (self.stop)() {
            Stopping::Draining => ("draining", "draining; stop again to cut what is left\n"),
            Stopping::AtOnce => ("at once", "stopping at once\n"),
            Stopping::TakenOver(pid) => {
                let why =
                    format!("process {pid} has taken over, and this one is ending: ask again");
                return Err(Error::handler(409, why));
            }
        };
        if command.json {
            return fields([("stopping", word.into())]).write(true, reply);
        }
        Ok(reply.write_all(line.as_bytes())?)
    }
}

/// Answers `probe [NAME]`.
fn probe(hooks: &Hooks, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let name = command.arguments;
    if let Some(probe) = hooks.probes().iter().find(|probe| probe.name == name) {
        let value = probe.value();
        let text = if command.json { value.to_string() } else { shown(&value) };
        return Ok(writeln!(reply, "{text}")?);
    }
    if !name.is_empty() {
        let why = format!("no probe `{name}`; `probe` lists those there are");
        return Err(Error::handler(404, why));
    }
    let rows = hooks.probes().iter();
    let rows =
        rows.map(|probe| [probe.name.clone().into(), probe.value(), probe.help.clone().into()]);
    table(["probe", "value", "about"], rows).write(command.json, reply)
}

/// The names of all counters, and of the reasons for which bufs are dropped.
fn names() -> impl Iterator<Item = String> {
    let counters = Counter::ALL.into_iter().map(|(_, name)| name.to_owned());
    counters.chain(Reason::ALL.into_iter().map(|(_, name)| format!("dropped.{name}")))
}

/// The part of its time in which an lcore found work, since its start.
fn busy_percent(counters: &Counters) -> u64 {
    let busy = counters.get(Counter::BusyNs);
    let all = busy + counters.get(Counter::IdleNs) + counters.get(Counter::SleepNs);
    (u128::from(busy) * 100 / u128::from(all.max(1))) as u64
}
