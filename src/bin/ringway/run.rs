//! `ringway run`: compares the options with the machine, says what it will do, does it until a
//! signal, and accounts for it at the end.

use std::io::{self, Write};

use ringway::config::{IoBackend, name_cores};
use ringway::control::Control;
use ringway::dataplane::{Builder, Dataplane, StopSignals};
use ringway::error::Result;
use ringway::ipc;
use ringway::sys::affinity;
use ringway::sys::topology::Topology;
use tracing::{debug, warn};

use crate::logs::Logs;
use crate::options::RunOptions;
use crate::plan::Plan;

/// Runs a dataplane until it is told to stop.
pub fn run(options: RunOptions, logs: &Logs, signals: &StopSignals) -> Result<()> {
    let topology = Topology::discover()?;
    debug!(source = ?topology.source(), nodes = ?topology.nodes(), "topology");
    let plan = Plan::new(&options, &topology, &affinity::allowed()?)?;
    let shared = plan.shared_cpus();
    if !shared.is_empty() {
        warn!("several lcores may run on {}, where each holds the others up", name_cores(&shared));
    }
    say(&plan.to_string());
    let main_cpus = options.cores.get(options.main_lcore).map(|lcore| lcore.cpus.clone());
    let dataplane = start(options, logs)?;
    if let Some(cpus) = main_cpus {
        affinity::pin(&cpus)?;
    }
    say("ready; SIGINT or SIGTERM drains and stops, a second one stops at once; SIGHUP reloads");
    dataplane.serve(signals, || {
        say(&match dataplane.successor() {
            Some(pid) => format!("process {pid} has taken over: draining; signal to stop at once"),
            None => "draining; signal again to stop at once".to_owned(),
        });
    });
    let report = dataplane.join();
    say(&report.to_string());
    report.check()
}

fn start(options: RunOptions, logs: &Logs) -> Result<Dataplane> {
    let listeners = options.config.listeners.clone();
    let takeover = options.takeover;
    let control = options.config.control.clone().map_or_else(Control::new, Control::with);
    let mut builder = Builder::new(options.config, options.cores)
        .memory(options.memory)
        .file_prefix(options.file_prefix)
        .takeover(takeover)
        .idle(options.idle);
    if let Some(source) = options.source {
        builder = builder.reload_from(move || source.read());
    }
    builder = builder.control(with_log(control, logs.clone()));
    let dataplane = builder.start()?;
    match dataplane.predecessor() {
        Some(pid) => say(&format!("took over from process {pid}, which drains and ends")),
        None if takeover => say("no instance of this name runs: nothing to take over"),
        None => {}
    }
    for (node, pool) in dataplane.pools().iter() {
        let mib = pool.bytes() >> 20;
        say(&format!("pool on NUMA node {node}: {mib} MiB on {}", pool.pages()));
        if let Some(better) = pool.pages().better(pool.bytes()) {
            warn!("{better}");
        }
    }
    say(&match dataplane.io() {
        IoBackend::Epoll => "epoll: it carries the sockets, without an io_uring".to_owned(),
        _ => format!("io_uring: {}", dataplane.uring_flags()),
    });
    for (address, listener) in dataplane.addresses().iter().zip(&listeners) {
        say(&format!("listening on {address} ({})", listener.protocol));
    }
    dataplane.admin(|admin| {
        let how =
            if admin.has_token() { "with the token" } else { "to whoever is on this machine" };
        say(&format!("dashboard and metrics on http://{}/ ({how})", admin.address()));
    });
    if let Some(path) = dataplane.control_socket() {
        say(&format!("control socket {}", path.display()));
    }
    Ok(dataplane)
}

/// With a setting and a command that tell what is logged, and change it.
fn with_log(control: Control, logs: Logs) -> Control {
    let (read, write) = (logs.clone(), logs.clone());
    let control =
        control.setting("log.level", move || read.get(), move |levels| write.prepare(levels));
    control.command(
        "log [LEVELS]",
        "what is logged, or is to be from here on",
        move |command, reply| {
            if !command.arguments.is_empty() {
                logs.set(command.arguments).map_err(|e| ipc::Error::handler(400, e.to_string()))?;
            }
            let levels = logs.get();
            let line = if command.json {
                serde_json::json!({ "log": levels }).to_string()
            } else {
                levels
            };
            Ok(writeln!(reply, "{line}")?)
        },
    )
}

/// Prints a line; nobody reading it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
