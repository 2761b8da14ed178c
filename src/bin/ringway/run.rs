//! `ringway run`: compares the options with the machine, says what it will do, and does it.

use std::io::{self, Write};

use ringway::config::name_cores;
use ringway::error::{Error, Result};
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
    // Nobody reading it is no reason to stop.
    let _ = writeln!(io::stdout(), "{plan}");
    Err(Error::new(
        "run the dataplane",
        "the dataplane is not linked yet",
        "use a build that has it",
    ))
}
