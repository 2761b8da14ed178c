//! From the command line to the library's types: every check that needs nothing but the options and
//! the configuration file.

use ringway::config::{Config, CoreMap, FilePrefix, IdleMode, MemoryOptions};
use ringway::error::{Error, Result};
use ringway::sys::affinity;
use tracing::Level;

use crate::args::RunArgs;

/// All that a run is told.
#[derive(Debug)]
pub struct RunOptions {
    /// The lcores and their CPUs; not yet compared with the machine.
    pub cores: CoreMap,
    /// The lcore whose core the control thread shares; one of `cores`.
    pub main_lcore: u32,
    pub memory: MemoryOptions,
    pub file_prefix: FilePrefix,
    pub config: Config,
    /// The command line's choice, or else the configuration's.
    pub idle: IdleMode,
    pub log_level: Level,
}

impl RunOptions {
    pub fn from_args(args: RunArgs) -> Result<Self> {
        let cores = cores(&args)?;
        let main_lcore = main_lcore(&cores, args.main_lcore)?;
        let config = match &args.config {
            Some(path) => Config::load(path)?,
            None => Config::default_embedded(),
        };
        Ok(Self {
            cores,
            main_lcore,
            file_prefix: args.file_prefix.parse()?,
            idle: args.idle.unwrap_or(config.dataplane.idle),
            config,
            log_level: args.log_level,
            memory: MemoryOptions {
                numa_mem_mb: args.numa_mem,
                huge_dir: args.huge_dir,
                no_huge: args.no_huge,
                in_memory: args.in_memory,
                mlock: args.mlock,
            },
        })
    }
}

fn cores(args: &RunArgs) -> Result<CoreMap> {
    match (&args.lcores, &args.core_mask) {
        (Some(list), _) => CoreMap::parse_list(list),
        (None, Some(mask)) => CoreMap::parse_mask(mask),
        (None, None) => {
            let allowed = affinity::allowed()?;
            Ok(CoreMap::single(*allowed.first().expect("a running process has a core")))
        }
    }
}

fn main_lcore(cores: &CoreMap, asked: Option<u32>) -> Result<u32> {
    let Some(id) = asked else {
        return Ok(cores.lcores()[0].lcore_id);
    };
    if cores.get(id).is_some() {
        return Ok(id);
    }
    Err(Error::new(
        format!("make lcore {id} the main lcore"),
        format!("the lcores of this run are {cores}"),
        "name one of them, or add it to the list",
    ))
}
