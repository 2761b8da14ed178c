//! A dataplane that serves a Unix socket in a directory of its own, and a peer.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ringway::counters::Counter;
use ringway::dataplane::{Builder, Protocol};
use ringway::handler::ipc::{Builtin, Command, Reply, Service};
use ringway::mem::ConnId;
use ringway::pipeline::Cx;
use tempfile::TempDir;

use crate::common::{Server, Start, patience};

/// What else a test wants of its listener.
#[derive(Default)]
pub struct Wish {
    /// Keys of the listener.
    pub keys: String,
    /// Its `config` table.
    pub settings: String,
    pub lcores: usize,
}

/// A running dataplane and its socket.
pub struct Bed {
    pub server: Server,
    pub directory: TempDir,
}

/// The path of the socket in `directory`.
pub fn path_in(directory: &TempDir) -> PathBuf {
    directory.path().join("r.sock")
}

/// A dataplane to be, in that directory.
pub fn builder(directory: &TempDir, protocol: &str, wish: &Wish) -> Builder {
    let path = path_in(directory);
    let (path, Wish { keys, settings, .. }) = (path.display(), wish);
    let listener = format!(
        "[[listener]]\naddress = \"{path}\"\ntransport = \"unix\"\nprotocol = \"{protocol}\"\n\
         config = {{ {settings} }}\n{keys}\n"
    );
    Start::new().tables(&listener).lcores(wish.lcores.max(1)).builder()
}

impl Bed {
    /// With the commands of ringway.
    pub fn new() -> Self {
        Self::with(&Wish::default())
    }

    pub fn with(wish: &Wish) -> Self {
        Self::run(|directory| builder(directory, "ipc", wish))
    }

    /// With commands of the test's own.
    pub fn serving<S: Service + 'static>(
        wish: &Wish,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self::run(|directory| {
            builder(directory, "own", wish)
                .protocol("own", move |context| Protocol::ipc(context, make()))
        })
    }

    fn run(build: impl FnOnce(&TempDir) -> Builder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::run(build(&directory));
        Self { server, directory }
    }

    pub fn path(&self) -> PathBuf {
        path_in(&self.directory)
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(&self.path())
    }

    /// The reply to `bytes`, sent at once.
    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        String::from_utf8(self.connect().send(bytes).reply()).unwrap()
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.server.count(counter)
    }

    /// Stops, accounts, and looks whether the file went.
    pub fn stop(self) {
        self.server.stop();
        assert_eq!(fs::read_dir(self.directory.path()).unwrap().count(), 0, "the file is removed");
    }
}

/// One connection as its peer sees it.
pub struct Peer(UnixStream);

impl Peer {
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(patience()).unwrap();
        stream.set_write_timeout(patience()).unwrap();
        Self(stream)
    }

    /// By a name that begins with `@`.
    pub fn connect_abstract(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        Self(UnixStream::connect_addr(&address).unwrap())
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Says that no more will come.
    pub fn finish(&mut self) -> &mut Self {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
        self
    }

    /// All that comes until the server's end, which has to be an orderly one.
    pub fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        self.0.read_to_end(&mut reply).unwrap();
        reply
    }

    /// Whether the server has given the connection up: nobody is there to write to.
    pub fn is_cut_off(&mut self) -> bool {
        let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        self.0.write_all(b"-").is_err_and(|why| gone.contains(&why.kind()))
    }
}

/// Commands that try a server: `large N` bytes, `panic`, or those of ringway.
pub struct Trials;

impl Service for Trials {
    fn call(&mut self, cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        match command.name {
            "large" => reply.bytes(large(command.arguments.parse().unwrap())),
            "panic" => panic!("as it was asked to"),
            _ => {
                let status = ringway::counters::Totals::new(Vec::new());
                Builtin::new(status).call(cx, command, reply);
            }
        }
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        unreachable!("nothing is streamed");
    }
}

/// The reply to `large`, of at most 10 MB: made once, since a service that took its time over it would
/// hold up all others.
pub fn large(bytes: usize) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| crate::common::pattern(5, 10_000_000));
    &ALL[..bytes]
}
