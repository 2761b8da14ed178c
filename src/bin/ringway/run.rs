//! `ringway run`: compares the options with the machine, says what it will do, does it until a
//! signal, and accounts for it at the end.

use std::io::{self, Write};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use ringway::config::name_cores;
use ringway::dataplane::{Builder, Dataplane};
use ringway::error::{Error, Result};
use ringway::sys::affinity;
use ringway::sys::topology::Topology;
use tracing::{debug, warn};

use crate::options::RunOptions;
use crate::plan::Plan;

/// How often the control thread looks whether the lcores still run.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// Runs a dataplane until it is told to stop.
pub fn run(options: RunOptions) -> Result<()> {
    let topology = Topology::discover()?;
    debug!(source = ?topology.source(), nodes = ?topology.nodes(), "topology");
    let plan = Plan::new(&options, &topology, &affinity::allowed()?)?;
    let shared = plan.shared_cpus();
    if !shared.is_empty() {
        warn!("several lcores may run on {}, where each holds the others up", name_cores(&shared));
    }
    say(&plan.to_string());
    let signals = block_signals()?;
    let main_cpus = options.cores.get(options.main_lcore).map(|lcore| lcore.cpus.clone());
    let dataplane = start(options)?;
    if let Some(cpus) = main_cpus {
        affinity::pin(&cpus)?;
    }
    say("ready; SIGINT or SIGTERM drains and stops, a second one stops at once");
    stop_on_signals(&dataplane, &signals);
    let report = dataplane.join();
    say(&report.to_string());
    match (report.panicked(), report.missing()) {
        (0, 0) => Ok(()),
        (0, missing) => Err(Error::new(
            "account for every buf",
            format!("{missing} did not come back to their pool"),
            "report this as a bug, with the counters above",
        )),
        (panicked, _) => Err(Error::new(
            "keep all lcores running",
            format!("{panicked} panicked"),
            "report this as a bug, with the message above",
        )),
    }
}

fn start(options: RunOptions) -> Result<Dataplane> {
    let listeners = options.config.listeners.clone();
    let dataplane = Builder::new(options.config, options.cores)
        .memory(options.memory)
        .file_prefix(options.file_prefix)
        .idle(options.idle)
        .start()?;
    for (node, pool) in dataplane.pools().iter() {
        let mib = pool.bytes() >> 20;
        say(&format!("pool on NUMA node {node}: {mib} MiB on {}", pool.pages()));
        if let Some(better) = pool.pages().better(pool.bytes()) {
            warn!("{better}");
        }
    }
    say(&format!("io_uring: {}", dataplane.uring_flags()));
    for (address, listener) in dataplane.addresses().iter().zip(&listeners) {
        say(&format!("listening on {address} ({})", listener.protocol));
    }
    Ok(dataplane)
}

/// Keeps the signals for [`stop_on_signals`]; threads started later inherit that.
fn block_signals() -> Result<SigSet> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|e| {
        Error::new("block SIGINT and SIGTERM", e, "allow rt_sigprocmask in the seccomp profile")
    })?;
    Ok(signals)
}

/// Returns when the lcores are about to end: drained after one signal, at once after two.
fn stop_on_signals(dataplane: &Dataplane, signals: &SigSet) {
    // An lcore that ends before the first signal panicked: take the rest down as well.
    while !dataplane.is_finished() {
        if signalled(signals) {
            return drain_until_signalled(dataplane, signals);
        }
    }
    dataplane.stop();
}

/// Some lcores drain sooner than others: a second signal is heard until the last has.
fn drain_until_signalled(dataplane: &Dataplane, signals: &SigSet) {
    say("draining; signal again to stop at once");
    dataplane.drain();
    while !dataplane.is_joinable() {
        if signalled(signals) {
            return dataplane.stop();
        }
    }
}

/// Waits a little for one of `signals`.
fn signalled(signals: &SigSet) -> bool {
    ringway::sys::signal::wait(signals, CHECK_EVERY)
}

/// Prints a line; nobody reading it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
