//! From the command line to the library's types: every check that needs nothing but the options and
//! the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use ringway::config::{
    AdminConfig, AdminToken, Config, CoreMap, FilePrefix, IdleMode, IoBackend, MemoryOptions,
    OffloadConfig,
};
use ringway::error::{Error, Result};
use ringway::sys::affinity;

use crate::args::RunArgs;
use crate::logs::Format;

/// The file, and what the command line says in place of it.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    choices: Choices,
}

impl Source {
    /// What the file says now.
    pub fn read(&self) -> Result<Config> {
        self.choices.over(Config::load(&self.path)?)
    }
}

/// What the command line says in place of the configuration.
#[derive(Debug)]
struct Choices {
    offload_lcores: Option<CoreMap>,
    idle: Option<IdleMode>,
    io: Option<IoBackend>,
    log_level: Option<String>,
    admin: Option<SocketAddr>,
    admin_token_file: Option<PathBuf>,
}

impl Choices {
    fn over(&self, mut config: Config) -> Result<Config> {
        if let Some(lcores) = &self.offload_lcores {
            let lcores = Some(lcores.clone());
            config.offload = OffloadConfig { lcores, threads: None, ..config.offload };
        }
        config.dataplane.idle = self.idle.unwrap_or(config.dataplane.idle);
        config.dataplane.io = self.io.unwrap_or(config.dataplane.io);
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
        }
        config.admin = admin(config.admin, self.admin, self.admin_token_file.clone())?;
        Ok(config)
    }
}

/// All that a run is told.
#[derive(Debug)]
pub struct RunOptions {
    /// The lcores and their CPUs; not yet compared with the machine.
    pub cores: CoreMap,
    /// The lcore whose core the control thread shares; one of `cores`.
    pub main_lcore: u32,
    pub memory: MemoryOptions,
    pub file_prefix: FilePrefix,
    /// Take over from the instance that runs.
    pub takeover: bool,
    pub config: Config,
    /// Reads the file again, as at the start; there where there is one.
    pub source: Option<Source>,
    /// The command line's choice, or else the configuration's.
    pub idle: IdleMode,
    /// How what is logged looks.
    pub log_format: Format,
}

impl RunOptions {
    pub fn from_args(args: RunArgs) -> Result<Self> {
        let cores = cores(&args)?;
        let main_lcore = main_lcore(&cores, args.main_lcore)?;
        let choices = Choices {
            offload_lcores: args.offload_lcores.as_deref().map(CoreMap::parse_list).transpose()?,
            idle: args.idle,
            io: args.io,
            log_level: args.log_level,
            admin: args.admin,
            admin_token_file: args.admin_token_file,
        };
        let (config, source) = match args.config {
            Some(path) => {
                let source = Source { path, choices };
                (source.read()?, Some(source))
            }
            None => (choices.over(Config::default_embedded())?, None),
        };
        Ok(Self {
            cores,
            main_lcore,
            file_prefix: args.file_prefix.parse()?,
            takeover: args.takeover,
            idle: config.dataplane.idle,
            config,
            source,
            log_format: args.log_format,
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

/// What the command line says goes before what the configuration does.
fn admin(
    configured: Option<AdminConfig>,
    address: Option<SocketAddr>,
    token_file: Option<PathBuf>,
) -> Result<Option<AdminConfig>> {
    let mut admin = match (configured, address) {
        (Some(configured), None) => configured,
        (Some(configured), Some(address)) => AdminConfig { address, ..configured },
        (None, Some(address)) => AdminConfig::new(address),
        (None, None) if token_file.is_none() => return Ok(None),
        (None, None) => {
            let what = "use --admin-token-file";
            return Err(Error::new(what, "there is no admin listener", "add --admin ADDRESS"));
        }
    };
    if let Some(path) = token_file {
        admin.token = Some(AdminToken::File(path));
    }
    admin.check()?;
    Ok(Some(admin))
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
