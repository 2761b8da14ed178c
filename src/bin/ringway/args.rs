//! The command line as clap sees it: options, help texts, examples. What the values mean is decided
//! in `options`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use ringway::config::{DEFAULT_TOML, IdleMode, IoBackend};

use crate::logs::{self, Format};
use crate::stream::args::StreamCommand;
use crate::top::args::{TOP_EXAMPLES, TopArgs};
use crate::watch::args::{CAPTURE_EXAMPLES, CaptureArgs, TRACE_EXAMPLES, TraceArgs};
use crate::ws::args::{WS_EXAMPLES, WsArgs};

/// A poll-mode userspace dataplane for Linux
///
/// Worker threads pinned to cores (lcores) poll io_uring and shared-memory rings, and move bursts
/// of zero-copy buffers between sockets, protocols and handlers. No special network card, no driver
/// binding, no root at run time.
#[derive(Parser)]
#[command(name = "ringway", version, after_long_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start a dataplane and serve the listeners of a configuration
    ///
    /// Without options: one lcore on the lowest core this process may use, HTTP on port 8080 and
    /// TCP echo on port 7007.
    #[command(after_long_help = run_epilogue())]
    Run(Box<RunArgs>),
    /// Ask a running instance what it does, or tell it to stop
    ///
    /// Sends one command to the control socket of the instance and prints the reply. `ringway ctl
    /// help` lists the commands that the instance has.
    #[command(after_long_help = CTL_EXAMPLES)]
    Ctl(CtlArgs),
    /// Show messages of a running instance on their way through its stages
    ///
    /// What came in, what each stage did with it and how long that took, for the next messages of a listener. It
    /// costs the instance nothing before it begins and after it has ended.
    #[command(after_long_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Write bytes that pass a stage of a running instance to a file for Wireshark
    ///
    /// At any boundary of a listener's stages: before or after decryption and decompression. It is bounded, drops
    /// packets and counts them rather than slow an lcore down, and may be begun and ended at any time.
    #[command(after_long_help = CAPTURE_EXAMPLES)]
    Capture(CaptureArgs),
    /// Show what an instance does: where the cycles go, what is dropped and why, how long answers take
    ///
    /// Reads the counters that the instance keeps in shared memory, which costs it nothing; of one that has died those
    /// that it left. In a terminal again and again, with keys; with --once as text or JSON.
    #[command(after_long_help = TOP_EXAMPLES)]
    Top(TopArgs),
    /// Be the process at a port of a running instance: echo what comes there, swallow it, or ping
    ///
    /// For --echo and --sink a listener of the instance says `handler = "port:NAME"`. Prints what comes,
    /// once a second, and ends when the instance does, or with Ctrl-C; the port is free again then. For
    /// --ping a listener says `transport = "shm"` and `address = "port:NAME"`.
    #[command(after_long_help = ATTACH_EXAMPLES)]
    Attach(AttachArgs),
    /// Make the identity that a node has towards others on encrypted streams, or show one
    ///
    /// Prints the node's address and its public key, which others write into their lists of nodes they
    /// trust. What is in the file is for this node alone.
    #[command(after_long_help = KEYGEN_EXAMPLES)]
    Keygen(KeygenArgs),
    /// Talk to other nodes over streams: messages and files, between ends that prove who they are
    ///
    /// A stream is many channels of messages over one connection, encrypted unless both ends are told
    /// otherwise. Nodes know each other by addresses, which `ringway keygen` prints.
    #[command(subcommand)]
    Stream(Box<StreamCommand>),
    /// Connect to a WebSocket: what is typed goes there line by line, and what comes is printed
    ///
    /// Or send some messages, ping, or see how long messages take there and back. For trying a server out, and for
    /// scripts.
    #[command(after_long_help = WS_EXAMPLES)]
    Ws(Box<WsArgs>),
    /// Say what this machine lacks for full speed, and the command that mends it
    ///
    /// One line per check: `ok`, `warn` (works, but loses speed or a feature) or `fail` (ringway
    /// cannot run), then what was found, what is lost, and the command that mends it.
    #[command(after_long_help = "Exit codes:\n  0  nothing fails\n  1  some check fails")]
    Doctor(DoctorArgs),
}

#[derive(clap::Args)]
pub struct CtlArgs {
    /// The instance, by the name it was started with
    ///
    /// Its socket is /run/ringway/NAME/control.sock as root, else
    /// $XDG_RUNTIME_DIR/ringway/NAME/control.sock, or without such a directory
    /// /tmp/ringway-UID/NAME/control.sock. `ringway run` prints it.
    #[arg(long, value_name = "NAME", default_value = "ringway", conflicts_with = "socket")]
    pub file_prefix: String,

    /// The control socket, where it is elsewhere: another user's, or one that `socket` in [control]
    /// names
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Print JSON in place of lines
    #[arg(long)]
    pub json: bool,

    /// The command and its arguments
    #[arg(required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["echo", "sink", "ping"]))]
pub struct AttachArgs {
    /// The port's name, as the listener's `handler` or `address` has it after `port:`
    #[arg(value_name = "PORT")]
    pub port: String,

    /// Send back what comes: bytes as they are, and of a request its target
    #[arg(long)]
    pub echo: bool,

    /// Take what comes and say nothing; requests are answered with 200 and no body
    #[arg(long)]
    pub sink: bool,

    /// Open a connection, send bytes, wait until as many are back, and print how long that took
    ///
    /// The listener has to echo: protocol "echo", or a handler that does. Spins on a core of its own, as
    /// does the instance with `--idle busy`.
    #[arg(long)]
    pub ping: bool,

    /// Bytes that --ping sends at a time, at most 64 MiB
    #[arg(long, value_name = "BYTES", default_value_t = 64, requires = "ping")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub size: u32,

    /// How often --ping does so, at most 10 million times
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "ping")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,

    /// Stay when the instance ends: attach to the one that takes over from it, or to the next that is started
    #[arg(long, conflicts_with = "ping")]
    pub follow: bool,

    /// Do not map the mempool, even where the listener allows it: each payload is copied once
    #[arg(long)]
    pub isolated: bool,

    /// The instance, by the name it was started with
    #[arg(long, value_name = "NAME", default_value = "ringway", conflicts_with = "socket")]
    pub file_prefix: String,

    /// The control socket, where it is elsewhere
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct KeygenArgs {
    /// Where the identity goes; a file that is there already is left alone, and nothing is made
    #[arg(long, value_name = "FILE", default_value = "ringway.identity")]
    pub out: PathBuf,

    /// Make nothing, and print the address and the public key of an identity that is there
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    pub show: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct DoctorArgs {
    /// Print one JSON object in place of lines
    ///
    /// Its `checks` have `name`, `status`, `found`, `lost` and `remedy`; `fit` is false when some
    /// check fails.
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args)]
pub struct RunArgs {
    /// Lcores to run, and the cores they run on
    ///
    /// `1-3` is three lcores on the cores of their numbers; `5@7` is lcore 5 on core 7; `5@(6,7)`
    /// lets lcore 5 float over cores 6 and 7; `(8-9)@(2,3)` lets two lcores float over cores 2 and
    /// 3. Entries are separated by commas: `1-3,5@7`. [default: one lcore on the lowest core this
    /// process may use]
    #[arg(short = 'l', long, value_name = "LIST", conflicts_with = "core_mask")]
    #[arg(help_heading = "Cores")]
    pub lcores: Option<String>,

    /// Lcores to run, as a hexadecimal mask of cores
    ///
    /// Bit n is lcore n on core n: `0x6` is lcores 1 and 2 on cores 1 and 2.
    #[arg(short = 'c', long, value_name = "MASK", help_heading = "Cores")]
    pub core_mask: Option<String>,

    /// The lcore whose core the control thread shares
    ///
    /// One of the lcores that run. [default: the one with the lowest number]
    #[arg(long, value_name = "ID", help_heading = "Cores")]
    pub main_lcore: Option<u32>,

    /// Threads for work that handlers offload, and the cores they run on
    ///
    /// Written as `--lcores`, with cores that no lcore uses. Goes before `lcores` and `threads` in [offload].
    /// [default: one thread that floats over the cores of no lcore, once there is work]
    #[arg(long, value_name = "LIST", help_heading = "Cores")]
    pub offload_lcores: Option<String>,

    /// What an lcore does when it has no work
    ///
    /// busy: spin; the shortest wake-up, for isolated cores. adaptive: spin, pause, then wait.
    /// sleep: wait at once; the least power, tens of microseconds to wake up.
    /// [default: the configuration's `dataplane.idle`, which is adaptive unless set]
    #[arg(long, value_name = "MODE", help_heading = "Cores", value_parser = idle_parser())]
    pub idle: Option<IdleMode>,

    /// Which of the kernel's interfaces carries the sockets
    ///
    /// auto: io_uring, or epoll where io_uring is forbidden (a container's seccomp filter,
    /// kernel.io_uring_disabled). io_uring, epoll: that one, or an error.
    /// [default: the configuration's `dataplane.io`, which is auto unless set]
    #[arg(long, value_name = "NAME", help_heading = "Cores", value_parser = io_parser())]
    pub io: Option<IoBackend>,

    /// Memory to take at start, in MiB per NUMA node
    ///
    /// `512` takes 512 MiB on the first node, `512,1024` as much on the first and 1 GiB on the
    /// second; 0, or no entry, takes what the pools need. Nodes without lcores get no pool.
    /// [default: what the pools need, on the nodes of their lcores]
    #[arg(long, value_name = "MB[,MB…]", value_delimiter = ',', help_heading = "Memory")]
    pub numa_mem: Vec<u64>,

    /// Take hugepages from a hugetlbfs mount in place of anonymous ones
    #[arg(long, value_name = "DIR", help_heading = "Memory")]
    #[arg(conflicts_with = "no_huge")]
    pub huge_dir: Option<PathBuf>,

    /// Use pages of the ordinary size even where hugepages are reserved
    #[arg(long, help_heading = "Memory")]
    pub no_huge: bool,

    /// Leave nothing in the file system: a file in --huge-dir is removed once it is mapped
    #[arg(long, help_heading = "Memory")]
    pub in_memory: bool,

    /// Lock the pools in memory, and fail where that is refused
    #[arg(long, help_heading = "Memory")]
    pub mlock: bool,

    /// The name of this instance, which keeps its files apart from another's
    ///
    /// Letters, digits, `-`, `_` and `.`, at most 32.
    #[arg(long, value_name = "NAME", default_value = "ringway", help_heading = "Instance")]
    pub file_prefix: String,

    /// Take over from the running instance of this name, without a lost request
    ///
    /// Its listening sockets pass to this process, which accepts as soon as everything is built; the other
    /// drains and ends. Configuration, lcores and the binary may be others. If this one cannot start, the
    /// other goes on. Starts as usual where none runs.
    #[arg(long, help_heading = "Instance")]
    pub takeover: bool,

    /// The configuration: listeners and bounds, as TOML
    ///
    /// [default: the built-in configuration printed below]
    #[arg(long, value_name = "FILE", help_heading = "Instance")]
    pub config: Option<PathBuf>,

    /// Serve a dashboard, metrics and health over HTTP on this address
    ///
    /// `127.0.0.1:9090`, then <http://localhost:9090/>. Prometheus reads /metrics. An address that other machines reach needs
    /// a token. Goes before `address` in [admin]. [default: nowhere, unless the configuration has [admin]]
    #[arg(long, value_name = "ADDRESS", help_heading = "Instance")]
    pub admin: Option<SocketAddr>,

    /// The file with the token that clients of the admin listener have to show
    ///
    /// Its owner's alone (mode 0600), with 16 to 256 visible characters in it. Goes before the token in [admin].
    #[arg(long, value_name = "FILE", help_heading = "Instance")]
    pub admin_token_file: Option<PathBuf>,

    /// What to log to standard error: error, warn, info, debug, trace or off, for all or for modules
    ///
    /// As `info,ringway::dataplane=debug`. `ringway ctl log LEVELS` changes it while the instance runs. Of lines of
    /// one kind that are no debug or trace, ten are written a second, and the others counted. [default: the
    /// configuration's `log.level`, which is info unless set]
    #[arg(long, value_name = "LEVELS", help_heading = "Instance")]
    #[arg(value_parser = levels_parser)]
    pub log_level: Option<String>,

    /// How lines of the log look: text, or json, an object a line
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Instance")]
    #[arg(value_parser = format_parser())]
    pub log_format: Format,
}

const ATTACH_EXAMPLES: &str = "\
Examples:
  ringway run --config examples/ports.toml     listeners with the ports app, echo and feed
  ringway attach echo --echo                   then: nc localhost 7008
  ringway attach app --sink --isolated         then: curl -i localhost:8081/
  ringway attach app --sink --follow           passes to each instance that takes over
  ringway attach feed --ping --size 4096       round trips to the echo behind the port feed

Exit codes:
  1  it could not attach, or the instance has ended; the reason is on standard error
  2  the command line was not understood";

const KEYGEN_EXAMPLES: &str = "\
Examples:
  ringway keygen                               makes ringway.identity, for its owner alone (0600)
  ringway keygen --out /etc/ringway/identity   somewhere else
  ringway keygen --show ringway.identity       whose it is

Exit codes:
  0  the address and the public key are on standard output
  1  the file could not be written or read, or is there already; the reason is on standard error
  2  the command line was not understood";

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  ringway could not start, or `doctor` found something that keeps it from running
  2  the command line was not understood

`ringway ctl` has one more: 3, no such instance runs; so has `ringway ws`: 3, the server closed.

See `ringway run --help` for options, units, defaults and examples.";

const CTL_EXAMPLES: &str = "\
Commands of every instance:
  help              all of them, with those that a program added
  version           version, name, process and age
  stats [lcores]    all counters, summed or by lcore; times in nanoseconds
  listeners         where it listens, and with what
  pools             memory: sizes, use, and how often none was left
  lcores            cores, load and connections of each lcore
  config get [KEY]  the configuration in force
  config set KEY VALUE ...
                    change it, all or nothing, until the file is reloaded or the instance ends; keys
                    as `config get` shows them, values as in the file; `-`: back to the default
  reload            read the file again and put it in force, all or nothing, as SIGHUP does: what
                    did not change goes on undisturbed
  probe [NAME]      values that a program lets be looked at
  ports             ports, and the processes at them
  streams           sessions of streams: peers, traffic, losses, what waits, round trips
  streams CONN      one of them, by its connection (as 0:256.1) or the 32 digits of its session:
                    channels, histogram of round trips, and what was traced
  streams trace CONN on|off
                    note the last 256 packets and events of a session, until it ends
  trace, capture    who traces and captures; `trace stop LISTENER` ends it (see `ringway trace
                    --help` and `ringway capture --help`)
  log [LEVELS]      what is logged, or what is to be from here on
  stop              drain and end, as SIGTERM does, and wait until it is gone; given twice, what
                    is left is cut

Examples:
  ringway ctl stats
  ringway ctl --file-prefix blue lcores        another instance
  ringway ctl --json pools | jq '.[].in_use'
  ringway ctl config get dataplane.idle
  ringway ctl config set listener.0.config.max_headers 32 dataplane.idle busy
  ringway ctl reload                           after an edit of the file; says what differs
  ringway ctl streams | less -S                wide: a line a session
  ringway ctl --json streams | jq '.sessions[] | select(.waiting_bufs > 0) | .conn'
  ringway ctl stop && ringway run              the ports and the memory are free by then
  echo stats | socat - UNIX-CONNECT:/run/ringway/ringway/control.sock
                                               the same from any program; j/stats gives JSON

Exit codes:
  0  the reply is on standard output
  1  the instance refused the command, or the reply did not come whole; why is on standard error
  2  the command line was not understood
  3  nobody listens there: no such instance runs, or it has no control socket";

const EXAMPLES: &str = "\
Examples:
  ringway run                                  one lcore, built-in configuration
  ringway run -c 0x6 --config edge.toml        lcores 1 and 2 on cores 1 and 2
  ringway run -l 1-3,5@7 --main-lcore 5        four lcores, lcore 5 on core 7
  ringway run -l 2-3 --idle busy --mlock --numa-mem 1024
                                               isolated cores 2 and 3, 1 GiB locked on node 0
  ringway run -l 1-2 --offload-lcores 3-4      heavy work of handlers on cores 3 and 4
  ringway run -l 1 --file-prefix blue          a second instance beside another one
  ringway run -l 1-4 --takeover                takes over from the one that runs: an upgrade
  ringway run --admin 127.0.0.1:9090           with a dashboard: http://localhost:9090/

Exit codes:
  0  stopped as asked
  1  could not start, or an lcore failed, or a buf was lost; the reason and the remedy are on
     standard error
  2  the command line was not understood

The built-in configuration, with every key but the protocols' own:
";

fn run_epilogue() -> String {
    let indented: Vec<String> = DEFAULT_TOML.lines().map(|l| format!("  {l}")).collect();
    format!("{EXAMPLES}\n{}", indented.join("\n"))
}

fn idle_parser() -> impl TypedValueParser<Value = IdleMode> {
    PossibleValuesParser::new(IdleMode::NAMES).try_map(|name| name.parse::<IdleMode>())
}

fn io_parser() -> impl TypedValueParser<Value = IoBackend> {
    PossibleValuesParser::new(IoBackend::NAMES).try_map(|name| name.parse::<IoBackend>())
}

fn levels_parser(levels: &str) -> ringway::error::Result<String> {
    logs::parse(levels).map(|_| levels.to_owned())
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["text", "json"])
        .map(|name| if name == "json" { Format::Json } else { Format::Text })
}
