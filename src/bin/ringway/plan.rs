//! What a run will do on this machine: the options compared with the topology, and printed once.

use std::collections::BTreeSet;
use std::fmt;

use ringway::config::{IdleMode, LcoreSpec, MemoryOptions, OffloadConfig, format_cpus, name_cores};
use ringway::error::{Error, Result};
use ringway::sys::host;
use ringway::sys::topology::Topology;

use crate::options::RunOptions;

/// Options that fit the machine.
#[derive(Debug)]
pub struct Plan<'a> {
    options: &'a RunOptions,
    topology: &'a Topology,
}

impl<'a> Plan<'a> {
    /// Refuses options that ask for cores, nodes or mounts this machine lacks, or for cores outside
    /// `allowed`.
    pub fn new(options: &'a RunOptions, topology: &'a Topology, allowed: &[u32]) -> Result<Self> {
        options.cores.check(topology.cpus(), allowed)?;
        options.config.offload.check(&options.cores, topology.cpus(), allowed)?;
        check_nodes(&options.memory, topology)?;
        if let Some(dir) = &options.memory.huge_dir {
            host::check_hugetlbfs(dir)?;
        }
        Ok(Self { options, topology })
    }

    /// The cores that more than one lcore may run on: there, each holds the others up.
    pub fn shared_cpus(&self) -> Vec<u32> {
        let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
        let lcores = self.options.cores.lcores();
        for &cpu in lcores.iter().flat_map(|lcore| &lcore.cpus) {
            if !seen.insert(cpu) {
                shared.insert(cpu);
            }
        }
        shared.into_iter().collect()
    }

    fn nodes_of(&self, lcore: &LcoreSpec) -> String {
        let nodes: BTreeSet<u32> =
            lcore.cpus.iter().filter_map(|&cpu| self.topology.node_of_cpu(cpu)).collect();
        format_cpus(&nodes.into_iter().collect::<Vec<u32>>())
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(f, "ringway {}, instance {}", env!("CARGO_PKG_VERSION"), options.file_prefix)?;
        for lcore in options.cores.lcores() {
            let main = if lcore.lcore_id == options.main_lcore { ", main" } else { "" };
            let (id, cores) = (lcore.lcore_id, name_cores(&lcore.cpus));
            writeln!(f, "  lcore {id} on {cores}, NUMA node {}{main}", self.nodes_of(lcore))?;
        }
        for listener in &options.config.listeners {
            let transport = listener.transport.name();
            writeln!(f, "  listener {transport} {} {}", listener.address, listener.protocol)?;
        }
        writeln!(f, "  offload {}", offload(&options.config.offload))?;
        writeln!(f, "  memory {}", memory(&options.memory, self.topology))?;
        writeln!(f, "  idle {}", idle(options.idle))?;
        let dataplane = &options.config.dataplane;
        let (most, drain) = (dataplane.max_connections, dataplane.drain_timeout.as_millis());
        write!(f, "  connections {most} per lcore, drained for up to {drain} ms")
    }
}

fn check_nodes(memory: &MemoryOptions, topology: &Topology) -> Result<()> {
    let (asked, nodes) = (memory.numa_mem_mb.len(), topology.nodes().len());
    if asked <= nodes {
        return Ok(());
    }
    let plural = if nodes == 1 { "" } else { "s" };
    Err(Error::new(
        format!("take memory on {asked} NUMA nodes"),
        format!("this machine has {nodes} NUMA node{plural}"),
        format!("give --numa-mem at most {nodes} value{plural}"),
    ))
}

fn memory(memory: &MemoryOptions, topology: &Topology) -> String {
    let mut parts: Vec<String> = memory
        .numa_mem_mb
        .iter()
        .zip(topology.nodes())
        .map(|(mb, node)| format!("{mb} MiB on NUMA node {}", node.id))
        .collect();
    if parts.is_empty() {
        parts.push("as the pools need".to_owned());
    }
    parts.push(match (&memory.huge_dir, memory.no_huge) {
        (Some(dir), _) => format!("hugepages of {}", dir.display()),
        (None, true) => "no hugepages".to_owned(),
        (None, false) => "hugepages where there are any".to_owned(),
    });
    let chosen = [(memory.mlock, "locked"), (memory.in_memory, "nothing in the file system")];
    parts.extend(chosen.into_iter().filter(|(on, _)| *on).map(|(_, text)| text.to_owned()));
    parts.join(", ")
}

fn offload(config: &OffloadConfig) -> String {
    match (&config.lcores, config.threads) {
        (Some(lcores), _) => format!("on threads {lcores}"),
        (None, Some(1)) => "on 1 thread that floats".to_owned(),
        (None, Some(n)) => format!("on {n} threads that float"),
        (None, None) => "on 1 thread that floats, once there is work".to_owned(),
    }
}

fn idle(mode: IdleMode) -> &'static str {
    match mode {
        IdleMode::Busy => "busy: every lcore spins",
        IdleMode::Adaptive => "adaptive: spin, pause, wait",
        IdleMode::Sleep => "sleep: wait at once",
    }
}
