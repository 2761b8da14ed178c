//! A running instance with a stream listener on each transport, and clients of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ringway::stream::{Anyone, Channel, ChannelOptions, Client, Identity, Options, Stream};
use tempfile::TempDir;

use crate::common::{Running, own};

/// The type of the channels that tests open.
pub const TYPE: u8 = 2;

pub struct Bed {
    pub instance: Running,
    dir: TempDir,
    ports: Vec<u16>,
    prefix: String,
}

/// The identity of number `n`.
pub fn identity(n: u8) -> Identity {
    Identity::from_secret(&[n; 32])
}

/// A file with the identity of number `n`, for a listener.
pub fn identity_file(dir: &TempDir, n: u8) -> PathBuf {
    let path = dir.path().join(format!("{n}.identity"));
    fs::write(&path, &*identity(n).to_text()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Bed {
    /// With listeners that let node 2 in, and have these settings too.
    pub fn start(prefix: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity_path = identity_file(&dir, 1);
        let known = identity(2).public().address();
        let config = format!(
            "protocol = \"stream\"\nconfig = {{ identity = \"{}\", known_nodes = [\"{known}\"], \
             encrypt = \"offered\"{settings} }}\n",
            identity_path.display()
        );
        let socket = dir.path().join("s.sock");
        let places = [
            ("127.0.0.1:0".to_owned(), "tcp"),
            ("127.0.0.1:0".to_owned(), "udp"),
            (socket.display().to_string(), "unix"),
            ("port:feed".to_owned(), "shm"),
        ];
        let listener = |(address, transport): (String, &str)| {
            format!("[[listener]]\naddress = \"{address}\"\ntransport = \"{transport}\"\n{config}")
        };
        let toml: String = places.into_iter().map(listener).collect();
        let instance = Running::start(prefix, 1, &toml);
        let ports = instance.addresses.iter().map(|address| address.port()).collect();
        Self { instance, dir, ports, prefix: prefix.to_owned() }
    }

    /// Where the listeners are, as a client writes it.
    pub fn addresses(&self) -> [String; 4] {
        [
            format!("tcp:127.0.0.1:{}", self.ports[0]),
            format!("udp:127.0.0.1:{}", self.ports[1]),
            format!("unix:{}", self.dir.path().join("s.sock").display()),
            "port:feed".to_owned(),
        ]
    }

    pub fn tcp(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// A client with the identity of number `n`.
    pub fn client(&self, n: u8, encrypt: bool, compress: bool) -> Client {
        let control_socket = Some(control_socket(&self.prefix));
        let options = Options { encrypt, compress, control_socket, ..Options::default() };
        Client::new(identity(n), Anyone).options(options)
    }

    /// A stream of node 2, and a channel of it.
    pub fn connect(&self, address: &str, encrypt: bool, compress: bool) -> (Stream, Channel) {
        let client = self.client(2, encrypt, compress);
        let stream = loop {
            match client.connect(address) {
                Ok(stream) => break stream,
                // The one before is on its way out.
                Err(error) if error.to_string().contains("is attached to it") => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{address}: {error}"),
            }
        };
        let channel = stream.open(TYPE, ChannelOptions::default());
        let channel = channel.unwrap_or_else(|error| panic!("{address}: {error}"));
        (stream, channel)
    }
}

/// Where an instance of this user's has its control socket.
fn control_socket(prefix: &str) -> PathBuf {
    ringway::control::socket_path(&own(prefix).parse().expect("a prefix"))
}
