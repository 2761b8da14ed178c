//! The command lines of `ringway trace` and `ringway capture`.

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Instance {
    /// The instance, by the name it was started with
    #[arg(long, value_name = "NAME", default_value = "ringway", conflicts_with = "socket")]
    pub file_prefix: String,

    /// The control socket, where it is elsewhere
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct TraceArgs {
    /// The listener, by its place in `ringway ctl listeners` from 0 on, or by its address there
    #[arg(short = 'L', long, value_name = "LISTENER", default_value = "0")]
    pub listener: String,

    /// This connection alone, as a trace names it: 0:256.1 is slot 256 of lcore 0, generation 1
    #[arg(long, value_name = "ID")]
    pub conn: Option<String>,

    /// Messages to show, at most 10,000
    #[arg(short = 'c', long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,

    /// End after so many seconds, whatever was seen [default: a day]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,

    /// Print a JSON object a message in place of lines
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub instance: Instance,
}

#[derive(clap::Args)]
pub struct CaptureArgs {
    /// The listener, by its place in `ringway ctl listeners` from 0 on, or by its address there
    #[arg(short = 'L', long, value_name = "LISTENER", default_value = "0")]
    pub listener: String,

    /// Where: rx and tx (the wire), ingress (messages that the chain made), handler (replies), egress (what
    /// the chain made of those)
    ///
    /// Several, with commas or as several options, are interfaces of one file.
    #[arg(short = 's', long, value_name = "STAGE", default_value = "rx,tx", value_delimiter = ',')]
    #[arg(value_parser = ["rx", "ingress", "handler", "egress", "tx"])]
    pub stage: Vec<String>,

    /// This connection alone, as `ringway trace` and the comments of a capture name it
    #[arg(long, value_name = "ID")]
    pub conn: Option<String>,

    /// Bytes of each message to keep [default: 262144, which is the most]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=262_144))]
    pub snaplen: Option<u32>,

    /// Messages to capture [default: until Ctrl-C]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// End after so many seconds [default: a day]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,

    /// The file; `-` for standard output
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub instance: Instance,
}

pub const TRACE_EXAMPLES: &str = "\
Each message is shown with what every stage did for it in one pass of its lcore:
  rx        what the transport gave
  ingress   the messages that the chain made of it: decrypted, decompressed
  handler   its replies
  egress    what the chain made of those: compressed, encrypted
  tx        what the transport took
and how long that took for the whole burst. Where what peers send is encrypted, the bytes at
ingress and handler are shown to those only whom `capture_decrypted_uids` in [control] names, or
with `capture = \"all\"`.

Examples:
  ringway trace                                the next 50 messages of the first listener
  ringway trace -L 127.0.0.1:8443 -c 5         5 of this one
  ringway trace -L 1 --conn 0:256.1            of one connection
  ringway trace --json | jq -c '.stages[]? | {stage, ns: .burst.ns}'
  ringway ctl trace                            who traces; `ringway ctl trace stop 0` ends it

It ends with the count, the time, or Ctrl-C; nothing of it stays on the lcores.

Exit codes:
  0  the trace is on standard output
  1  the instance refused it; why is on standard error
  2  the command line was not understood
  3  no such instance runs";

pub const CAPTURE_EXAMPLES: &str = "\
The file is pcapng, for Wireshark and tshark. Headers of IP and TCP or UDP are made up around what
passes: the listener has its own address, a peer one that stands for its connection (100.64.0.0/10
or fd72:696e:6777:6179::/64). Comments name connections, kinds and channels. What found no room, or
would have taken more than a tenth of an lcore's time, is dropped and counted in the file's
statistics (`capinfos`, or Statistics > Capture File Properties).

Examples:
  ringway capture -w http.pcapng               the wire of the first listener, until Ctrl-C
  ringway capture -L 1 -s ingress,handler -w - | tshark -r -
                                               messages in plain, as they pass
  ringway capture -s rx,ingress -c 1000 -w both.pcapng
                                               before and after decryption or decompression, in one file
  ringway capture --conn 0:256.1 --snaplen 64 --seconds 10 -w heads.pcapng
  ringway ctl capture                          who captures; `ringway ctl capture stop 0` ends it

Where what peers send is encrypted, ingress and handler need a permission:
`capture_decrypted_uids` or `capture = \"all\"` in [control].

Exit codes:
  0  the file is whole
  1  the instance refused it, or the file could not be written; why is on standard error
  2  the command line was not understood
  3  no such instance runs";
