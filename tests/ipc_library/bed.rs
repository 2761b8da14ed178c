//! A server with commands that do what tests need, and a raw client beside the library's.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ringway::ipc::{self, Command, Error, Options, Reply, Server};
use tempfile::TempDir;

use crate::common::{Watchdog, pattern};

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(50);

/// A door that handlers wait at until a test opens it.
#[derive(Default)]
pub struct Door {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Door {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    /// Waits until so many have come to it, those that passed included.
    pub fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.0 < count).unwrap());
    }

    /// How many have come to it.
    pub fn came(&self) -> usize {
        self.state.lock().unwrap().0
    }

    pub fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

pub struct Bed {
    pub path: PathBuf,
    pub server: Server,
    pub door: Arc<Door>,
    pub directory: TempDir,
    _watchdog: Watchdog,
}

impl Bed {
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let watchdog = Watchdog::start();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.sock");
        let door = Arc::new(Door::default());
        let held = door.clone();
        let server =
            Server::start(&path, options, move |command, reply| answer(&held, command, reply));
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        Self { path, server, door, directory, _watchdog: watchdog }
    }

    pub fn send(&self, command: &str) -> Result<Vec<u8>, Error> {
        ipc::send(&self.path, command, PATIENCE)
    }

    /// A reply in text, which has to be a good one.
    pub fn text(&self, command: &str) -> String {
        let reply = self.send(command).unwrap_or_else(|error| panic!("{command}: {error}"));
        String::from_utf8(reply).unwrap()
    }

    /// What a handler refused a command with.
    pub fn refusal(&self, command: &str) -> (String, Option<u16>) {
        match self.send(command) {
            Err(Error::Handler { message, code }) => (message, code),
            other => panic!("{command}: {other:?}"),
        }
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Writes these parts and reads to the end, as any program would. A server that has its command
    /// need not take the rest.
    pub fn raw(&self, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect();
        for part in parts {
            match stream.write_all(part) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
                _ => {}
            }
        }
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).map(|_| reply)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.door.open();
    }
}

fn answer(door: &Door, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let number = || command.arguments.parse().unwrap_or(0);
    match command.name {
        "echo" => Ok(writeln!(reply, "{}", command.arguments)?),
        "format" => Ok(write!(reply, "{}", if command.json { "json" } else { "text" })?),
        "nothing" => Ok(()),
        "bytes" => Ok(reply.write_all(&pattern(7, number()))?),
        "peer" => {
            let peer = reply.peer();
            Ok(write!(reply, "{} {} {}", peer.pid, peer.uid, peer.gid)?)
        }
        "wait" => {
            door.pass();
            Ok(write!(reply, "through")?)
        }
        "part-wait" => {
            write!(reply, "part ")?;
            door.pass();
            Ok(write!(reply, "whole")?)
        }
        "until-stop" => {
            door.pass();
            while !reply.is_stopping() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(write!(reply, "stopping")?)
        }
        "panic" => panic!("as asked: this message belongs to the test"),
        "part-panic" => {
            write!(reply, "part")?;
            panic!("as asked: this message belongs to the test")
        }
        "part-refuse" => {
            write!(reply, "part")?;
            Err(Error::handler(500, "too late"))
        }
        "for-ever" => loop {
            if reply.is_stopping() {
                return Ok(());
            }
            reply.write_all(&[b'x'; 1000])?;
        },
        "refuse" => Err(Error::handler(400, "two\nlines \"quoted\"")),
        name => Err(Error::handler(404, format!("no command `{name}`"))),
    }
}
