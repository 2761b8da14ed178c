//! From the options to who this node is, whom it trusts, and a stream.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringway::config::FilePrefix;
use ringway::control;
use ringway::stream::{
    Address, Anyone, ChannelTypes, Client, Error, FirstUse, Identity, KnownNodes, Only, Options,
    Pin, Policy, Stream,
};
use zeroize::Zeroizing;

use super::args::NodeArgs;
use super::{failed, note};
use crate::keygen;

/// Where `ringway keygen` puts an identity unless it is told otherwise.
const IDENTITY_FILE: &str = "ringway.identity";

/// A node as its options have it.
pub struct Node {
    pub identity: Identity,
    pub policy: Policy,
    pub options: Options,
    pins: Option<(Arc<FirstUse>, PathBuf)>,
}

impl Node {
    pub fn new(args: &NodeArgs) -> Result<Self, Error> {
        let identity = identity(args.identity.as_deref())?;
        let (policy, pins) = policy(args)?;
        let control_socket = match &args.socket {
            Some(path) => path.clone(),
            None => control::socket_path(&args.file_prefix.parse::<FilePrefix>()?),
        };
        let options = Options {
            encrypt: !args.plain,
            compress: !args.no_lz4,
            connect_timeout: Duration::from_secs(args.timeout),
            control_socket: Some(control_socket),
            types: (0x10..=0xff).fold(ChannelTypes::WELL_KNOWN, ChannelTypes::with),
            ..Options::default()
        };
        Ok(Self { identity, policy, options, pins })
    }

    /// Connects, and says to whom.
    pub fn connect(self, address: &Address, args: &NodeArgs) -> Result<Stream, Error> {
        let client = Client::new(self.identity.clone(), self.policy.clone());
        let stream = client.options(self.options.clone()).connect_to(address, args.peer)?;
        self.keep_pins()?;
        note(describe(&stream));
        Ok(stream)
    }

    /// Notes whom it has met for the first time.
    pub fn keep_pins(&self) -> Result<(), Error> {
        let Some((pins, path)) = &self.pins else { return Ok(()) };
        let fresh = pins.take_fresh();
        if fresh.is_empty() {
            return Ok(());
        }
        let lines: String = fresh.iter().map(|pin| format!("{pin}\n")).collect();
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(lines.as_bytes()));
        written.map_err(|why| {
            let what = format!("note whom it met in {}", path.display());
            failed(what, why, "name a file that can be written to with --first-use")
        })
    }
}

/// Who is there, and what was agreed on.
pub fn describe(stream: &Stream) -> String {
    let session = stream.session();
    let encrypted = if session.is_encrypted { "encrypted" } else { "plain" };
    let compressed = if session.may_compress { ", lz4" } else { "" };
    let (node, address, id) = (session.node(), stream.address(), session.id);
    format!("connected to node {node} at {address} ({encrypted}{compressed}), session {id}")
}

fn identity(path: Option<&Path>) -> Result<Identity, Error> {
    if let Some(path) = path {
        return Ok(keygen::read(path)?);
    }
    let usual = Path::new(IDENTITY_FILE);
    if usual.exists() {
        return Ok(keygen::read(usual)?);
    }
    let mut secret = Zeroizing::new([0; 32]);
    ringway::sys::random::fill(&mut secret[..]).map_err(|why| {
        failed("make an identity", why, "see whether the kernel has getrandom(2)")
    })?;
    let identity = Identity::from_secret(&secret);
    let address = identity.public().address();
    note(format_args!(
        "this is node {address} for this run; `ringway keygen` makes one that stays"
    ));
    Ok(identity)
}

type Pins = Option<(Arc<FirstUse>, PathBuf)>;

fn policy(args: &NodeArgs) -> Result<(Policy, Pins), Error> {
    if let Some(path) = &args.known {
        let known =
            KnownNodes::parse(&read_list(path)?).map_err(|fault| not_a_list(path, fault))?;
        return Ok((known.into(), None));
    }
    if let Some(path) = &args.first_use {
        let text = if path.exists() { read_list(path)? } else { String::new() };
        let pins = Pin::parse_list(&text).map_err(|fault| not_a_list(path, fault))?;
        let pins = Arc::new(FirstUse::new(pins));
        return Ok((pins.clone().into(), Some((pins, path.clone()))));
    }
    match args.peer {
        Some(peer) => Ok((Only(peer).into(), None)),
        None if args.trust_anyone => Ok((Anyone.into(), None)),
        None => Err(failed(
            "tell whom to trust",
            "no option says",
            "name the node with --peer, a list with --known or --first-use, or give --trust-anyone",
        )),
    }
}

fn read_list(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|why| {
        failed(format!("read {}", path.display()), why, "name a list of nodes: an address a line")
    })
}

fn not_a_list(path: &Path, fault: impl std::fmt::Display) -> Error {
    let what = format!("read {}", path.display());
    failed(what, fault, "`ringway keygen --show FILE` prints the address of a node")
}
