//! Two ends of a stream in one process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ringway::control::Control;
use ringway::stream::{
    Address, Anyone, ChannelTypes, Client, Error, Identity, Listener, NodeAddress, Options, Stream,
};

use crate::common::{Server, Start, Watchdog};

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

/// What streams can go over. Behind a port, a dataplane greets their peers, which reach it over the rest of
/// the name.
pub const SCHEMES: [&str; 6] = ["tcp", "udp", "unix", "port tcp", "port udp", "port port"];

/// Whether messages may be lost on the way.
pub fn is_datagram(scheme: &str) -> bool {
    scheme.ends_with("udp")
}

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

/// Who listens, and where that is to whoever connects.
pub struct Reach {
    pub listener: Listener,
    pub address: Address,
    pub options: Options,
    server: Option<Server>,
}

impl Reach {
    /// A listener of identity 2, which is the dataplane's where there is one.
    pub fn over(scheme: &str, directory: &Path, options: &Options) -> Self {
        let Some(scheme) = scheme.strip_prefix("port ") else {
            let listener = listener(scheme, directory, options);
            let address = listener.address().clone();
            return Self { listener, address, options: options.clone(), server: None };
        };
        let server =
            Server::run(served(scheme, directory, options).builder().control(Control::new()));
        let control_socket = server.plane().control_socket().map(Path::to_owned);
        let options = Options { control_socket, ..options.clone() };
        let at = "port:app".parse().unwrap();
        let listener = Listener::with(&at, identity(2), Anyone, options.clone()).unwrap();
        let address = match scheme {
            "port" => "port:feed".to_owned(),
            _ => format!("{scheme}:{}", server.address(0)),
        };
        Self { listener, address: address.parse().unwrap(), options, server: Some(server) }
    }

    /// Connects to it.
    pub fn connect(&self) -> Stream {
        self.try_connect().unwrap()
    }

    /// The same, where it may not come to that.
    pub fn try_connect(&self) -> Result<Stream, Error> {
        let client = Client::new(identity(1), Anyone).options(self.options.clone());
        client.connect_to(&self.address, Some(node(2)))
    }

    /// Ends it; nothing of a dataplane is missing.
    pub fn end(self) {
        drop(self.listener);
        if let Some(server) = self.server {
            server.drain();
        }
    }
}

/// A dataplane whose streams a process serves, with room for messages of megabytes.
pub fn served(scheme: &str, directory: &Path, options: &Options) -> Start {
    served_in_small(scheme, directory, options).tables("[mempool]\nblocks = 8\n")
}

/// The same without that room.
pub fn served_in_small(scheme: &str, directory: &Path, options: &Options) -> Start {
    let path = directory.join("dataplane.identity");
    fs::write(&path, &*identity(2).to_text()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let encrypt = if options.encrypt { "required" } else { "off" };
    let config = format!(
        "identity = \"{}\", trust = \"anyone\", encrypt = \"{encrypt}\", compress = {}",
        path.display(),
        options.compress
    );
    let start = match scheme {
        "udp" => Start::new().datagrams("stream", "127.0.0.1:0"),
        "port" => Start::new().peer("feed", "stream"),
        _ => Start::new().listener("stream", &config),
    };
    let start =
        if scheme == "tcp" { start } else { start.limited(&format!("config = {{ {config} }}")) };
    start.limited("handler = \"port:app\"")
}

/// A listener and who has connected to it.
pub struct Pair {
    pub client: Stream,
    pub server: Stream,
    pub reach: Reach,
    _directory: tempfile::TempDir,
    _watchdog: Watchdog,
}

impl Pair {
    pub fn over(scheme: &str, options: &Options) -> Self {
        let watchdog = Watchdog::start();
        let directory = tempfile::tempdir().unwrap();
        let reach = Reach::over(scheme, directory.path(), options);
        let client = reach.connect();
        let server = reach.listener.accept().unwrap();
        Self { client, server, reach, _directory: directory, _watchdog: watchdog }
    }

    /// Ends all of it in order.
    pub fn end(self) {
        self.client.close().unwrap();
        self.server.wait_for_end().unwrap();
        self.reach.end();
    }
}

/// A listener of identity 2.
pub fn listener(scheme: &str, directory: &Path, options: &Options) -> Listener {
    let at = place(scheme, directory);
    Listener::with(&at, identity(2), Anyone, options.clone()).unwrap()
}
