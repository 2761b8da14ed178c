//! The command line of `ringway stream`.

use std::path::PathBuf;

use clap::Subcommand;
use ringway::stream::{Address, NodeAddress};

#[derive(Subcommand)]
pub enum StreamCommand {
    /// Connect to a node: what is typed goes there line by line, and what comes is printed
    ///
    /// Each line is one message on a channel. Ends with the input, once all was sent and the peer has
    /// said what it had. Who the peer is and what was agreed on is printed to standard error.
    #[command(after_long_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// Send one message to a node
    #[command(after_long_help = SEND_EXAMPLES)]
    Send(SendArgs),
    /// Accept streams: print the messages that come, and store and give files
    ///
    /// Messages go to standard output, a line each; who connects and what fails goes to standard error.
    /// Runs until it is interrupted.
    #[command(after_long_help = RECV_EXAMPLES)]
    Recv(RecvArgs),
    /// Send a file to a node, or fetch one from there
    ///
    /// The other end is `ringway stream recv --dir DIR`. A transfer that was interrupted goes on where it
    /// was when the same command is given again, and counts as done once the SHA-256 of all of it is
    /// right.
    #[command(subcommand)]
    File(FileCommand),
}

#[derive(Subcommand)]
pub enum FileCommand {
    /// Send a file
    #[command(after_long_help = FILE_EXAMPLES)]
    Put(PutArgs),
    /// Fetch a file
    #[command(after_long_help = FILE_EXAMPLES)]
    Get(GetArgs),
}

#[derive(clap::Args)]
pub struct ConnectArgs {
    /// Where: tcp:HOST:PORT, udp:HOST:PORT, unix:PATH, port:NAME or http://HOST:PORT/PATH
    #[arg(value_name = "ADDR")]
    pub address: Address,

    /// Print what was counted at the end, with round trips
    #[arg(long)]
    pub stats: bool,

    #[command(flatten)]
    pub channel: ChannelArgs,

    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(clap::Args)]
pub struct SendArgs {
    /// Where: tcp:HOST:PORT, udp:HOST:PORT, unix:PATH, port:NAME or http://HOST:PORT/PATH
    #[arg(value_name = "ADDR")]
    pub address: Address,

    /// The message, at most 1 MiB; `-`: all of standard input
    #[arg(value_name = "MESSAGE")]
    pub message: String,

    /// Wait for one message in answer, and print it
    #[arg(long)]
    pub answer: bool,

    #[command(flatten)]
    pub channel: ChannelArgs,

    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(clap::Args)]
pub struct RecvArgs {
    /// Where to listen: tcp:HOST:PORT, udp:HOST:PORT or unix:PATH, where port 0 picks one; or port:NAME
    ///
    /// At a port, the streams are those of a dataplane's listener, which has protocol = "stream" and
    /// handler = "port:NAME": it is the node that peers see, and its settings say who may connect and what is
    /// encrypted and compressed.
    #[arg(long, value_name = "ADDR")]
    pub listen: Address,

    /// Where files are stored that peers send, and taken from that they ask for; without it they get
    /// none
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// End with the first stream, with an error if that broke
    #[arg(long)]
    pub once: bool,

    /// Send each message back
    #[arg(long)]
    pub echo: bool,

    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(clap::Args)]
pub struct PutArgs {
    /// Where: tcp:HOST:PORT, udp:HOST:PORT, unix:PATH, port:NAME or http://HOST:PORT/PATH
    #[arg(value_name = "ADDR")]
    pub address: Address,

    /// The file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,

    /// What the other end calls it, with slashes for directories there [default: its own name]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(clap::Args)]
pub struct GetArgs {
    /// Where: tcp:HOST:PORT, udp:HOST:PORT, unix:PATH, port:NAME or http://HOST:PORT/PATH
    #[arg(value_name = "ADDR")]
    pub address: Address,

    /// What the other end calls the file
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Where it goes [default: the last part of NAME, here]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,

    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(clap::Args)]
pub struct ChannelArgs {
    /// The type of the channel: 0 control, 2 service, 3 security, 4 media, 16 to 255 an application's own
    #[arg(long = "type", value_name = "N", default_value_t = 2)]
    pub channel_type: u8,
}

/// Who this node is, whom it trusts, and how its streams are.
#[derive(clap::Args)]
pub struct NodeArgs {
    /// Who this node is: a file that `ringway keygen` made
    ///
    /// [default: ringway.identity where there is one here, else an identity for this run alone]
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    pub identity: Option<PathBuf>,

    /// The node at the other end, by its address: nobody else is talked to
    #[arg(long, value_name = "NODE_ADDRESS", help_heading = "Nodes")]
    pub peer: Option<NodeAddress>,

    /// Trust the nodes of a list: an address or public key a line
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    #[arg(conflicts_with_all = ["first_use", "trust_anyone"])]
    pub known: Option<PathBuf>,

    /// Trust whoever is the first at an address, note it in a file, and nobody else there from then on
    #[arg(long, value_name = "FILE", help_heading = "Nodes", conflicts_with = "trust_anyone")]
    pub first_use: Option<PathBuf>,

    /// Trust every node: who it is, is printed, and not looked at
    #[arg(long, help_heading = "Nodes")]
    pub trust_anyone: bool,

    /// Encrypt, and talk to nobody who does not (the default)
    #[arg(long, help_heading = "Features", conflicts_with = "plain")]
    pub encrypt: bool,

    /// Encrypt nothing; the other end has to be told the same. Who it is, is still proved
    #[arg(long, help_heading = "Features")]
    pub plain: bool,

    /// Compress messages where that pays and the other end does too (the default)
    #[arg(long, help_heading = "Features", conflicts_with = "no_lz4")]
    pub lz4: bool,

    /// Compress nothing
    #[arg(long, help_heading = "Features")]
    pub no_lz4: bool,

    /// How long connecting may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = "Features")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,

    /// The instance whose port a `port:NAME` is
    #[arg(long, value_name = "NAME", default_value = "ringway", help_heading = "Ports")]
    #[arg(conflicts_with = "socket")]
    pub file_prefix: String,

    /// Its control socket, where it is elsewhere
    #[arg(long, value_name = "PATH", help_heading = "Ports")]
    pub socket: Option<PathBuf>,
}

const CONNECT_EXAMPLES: &str = "\
Examples:
  ringway stream connect tcp:example.org:7000 --peer 0f1e2d3c4b5a69788796a5b4c3d2e1f0
  ringway stream connect unix:/run/app/s --trust-anyone --stats < lines
  ringway stream connect port:feed --known nodes.txt      through a port of a running instance

Exit codes:
  0  the stream was closed in order
  1  it could not be had, or broke; why, and what mends it, is on standard error
  2  the command line was not understood";

const SEND_EXAMPLES: &str = "\
Examples:
  ringway stream send tcp:127.0.0.1:7000 hello --trust-anyone
  tar c . | ringway stream send tcp:127.0.0.1:7000 - --known nodes.txt
  ringway stream send udp:127.0.0.1:7000 ping --answer --first-use pins.txt

Exit codes:
  0  the message has gone, and the stream was closed in order
  1  it has not; why, and what mends it, is on standard error
  2  the command line was not understood";

const RECV_EXAMPLES: &str = "\
Examples:
  ringway keygen                                       once: who this node is
  ringway stream recv --listen tcp:0.0.0.0:7000 --known nodes.txt
  ringway stream recv --listen tcp:[::]:7000 --first-use pins.txt --dir incoming
  ringway stream recv --listen unix:/tmp/s --trust-anyone --once | sort
  ringway stream recv --listen port:files --trust-anyone --dir incoming     what a running instance greets

Exit codes:
  0  with --once: the stream was closed in order
  1  it cannot listen, or with --once the stream broke; why is on standard error
  2  the command line was not understood";

const FILE_EXAMPLES: &str = "\
Examples:
  ringway stream recv --listen tcp:0.0.0.0:7000 --dir files --known nodes.txt     at the other end
  ringway stream file put tcp:example.org:7000 disk.img --known nodes.txt
  ringway stream file put udp:10.0.0.2:7000 disk.img backup/today.img --known nodes.txt
  ringway stream file get tcp:example.org:7000 backup/today.img --known nodes.txt

A part that has come is kept beside the file as NAME.part until all of it has. Names are relative and
stay below DIR: no `..`, no symbolic links.

Exit codes:
  0  all of it is there, and its checksum is right
  1  it is not; why is on standard error, and the same command goes on where it was
  2  the command line was not understood";
