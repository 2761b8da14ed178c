//! Two ends of a stream in one process.

use std::path::Path;

use ringway::stream::{
    Address, Anyone, ChannelTypes, Client, Identity, Listener, NodeAddress, Options, Stream,
};

use crate::common::Watchdog;

/// A channel type of these tests.
pub const TYPE: u8 = 0x10;

/// The identity of this number.
pub fn identity(number: u8) -> Identity {
    Identity::from_secret(&[number; 32])
}

/// Its address.
pub fn node(number: u8) -> NodeAddress {
    identity(number).public().address()
}

/// Options under which the peer may open channels of [`TYPE`].
pub fn options() -> Options {
    Options { types: ChannelTypes::WELL_KNOWN.with(TYPE), ..Options::default() }
}

/// What streams can go over.
pub const SCHEMES: [&str; 3] = ["tcp", "udp", "unix"];

/// Where to listen.
pub fn place(scheme: &str, directory: &Path) -> Address {
    let text = match scheme {
        "unix" => format!("unix:{}", directory.join("s").display()),
        _ => format!("{scheme}:127.0.0.1:0"),
    };
    text.parse().unwrap()
}

/// Features and how they are asked for.
pub fn features() -> Vec<(&'static str, Options)> {
    let of = |encrypt, compress| Options { encrypt, compress, ..options() };
    vec![
        ("plain", of(false, false)),
        ("lz4", of(false, true)),
        ("gcm", of(true, false)),
        ("both", of(true, true)),
    ]
}

/// A listener and who has connected to it.
pub struct Pair {
    pub listener: Listener,
    pub client: Stream,
    pub server: Stream,
    _directory: tempfile::TempDir,
    _watchdog: Watchdog,
}

impl Pair {
    pub fn over(scheme: &str, options: &Options) -> Self {
        let watchdog = Watchdog::start();
        let directory = tempfile::tempdir().unwrap();
        let listener = listener(scheme, directory.path(), options);
        let client = Client::new(identity(1), Anyone).options(options.clone());
        let client = client.connect_to(listener.address(), Some(node(2))).unwrap();
        let server = listener.accept().unwrap();
        Self { listener, client, server, _directory: directory, _watchdog: watchdog }
    }
}

/// A listener of identity 2.
pub fn listener(scheme: &str, directory: &Path, options: &Options) -> Listener {
    let at = place(scheme, directory);
    Listener::with(&at, identity(2), Anyone, options.clone()).unwrap()
}
