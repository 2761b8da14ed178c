//! `ringway run`: compares the options with the machine, says what it will do, does it until a
//! signal, and accounts for it at the end.

use std::io::{self, Write};

use ringway::config::name_cores;
use ringway::control::Control;
use ringway::dataplane::{Builder, Dataplane, StopSignals};
use ringway::error::Result;
use ringway::sys::affinity;
use ringway::sys::topology::Topology;
use tracing::{debug, warn};

use crate::options::RunOptions;
use crate::plan::Plan;

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
    let signals = StopSignals::block()?;
    let main_cpus = options.cores.get(options.main_lcore).map(|lcore| lcore.cpus.clone());
    let dataplane = start(options)?;
    if let Some(cpus) = main_cpus {
        affinity::pin(&cpus)?;
    }
    say("ready; SIGINT or SIGTERM drains and stops, a second one stops at once");
    dataplane.serve(&signals, || say("draining; signal again to stop at once"));
    let report = dataplane.join();
    say(&report.to_string());
    report.check()
}

fn start(options: RunOptions) -> Result<Dataplane> {
    let listeners = options.config.listeners.clone();
    let said_nothing = options.config.control.is_none();
    let mut builder = Builder::new(options.config, options.cores)
        .memory(options.memory)
        .file_prefix(options.file_prefix)
        .idle(options.idle);
    if said_nothing {
        builder = builder.control(Control::new());
    }
    let dataplane = builder.start()?;
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
    if let Some(path) = dataplane.control_socket() {
        say(&format!("control socket {}", path.display()));
    }
    Ok(dataplane)
}

/// Prints a line; nobody reading it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
