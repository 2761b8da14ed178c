//! Instances to look at, with or without load, and `ringway top` to look with.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::common::{Client, Running, own};

const TOML: &str = "\
    [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
    [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"echo\"\n\
    [dataplane]\nmax_connections = 256\n";

/// An instance with a listener of HTTP and one that echoes.
pub fn start(name: &str) -> Running {
    Running::start(name, 1, TOML)
}

/// `ringway top` of the instance of a test, to its end.
pub fn top(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["top", "--file-prefix", &own(name)]).args(arguments);
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command.output().unwrap()
}

/// What it prints, which has to end well.
pub fn page(name: &str, arguments: &[&str]) -> String {
    let output = top(name, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One look as JSON, over a short interval.
pub fn json(name: &str) -> Value {
    let text = page(name, &["--once", "--json", "--interval", "100"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Takes away what a killed instance has left in memory.
pub struct Leftovers(pub &'static str);

impl Drop for Leftovers {
    fn drop(&mut self) {
        let uid = nix::unistd::geteuid().as_raw();
        let path = ringway::counters::path(uid, &own(self.0));
        let _ = std::fs::remove_file(path);
    }
}

/// Requests without end, until it goes.
pub struct Load {
    goes_on: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn on(address: SocketAddr) -> Self {
        let (goes_on, until) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut client = Client::connect(address);
            while until.try_recv() == Err(TryRecvError::Empty) {
                assert_eq!(client.get("/").status(), 200);
            }
        });
        Self { goes_on: Some(goes_on), thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.goes_on.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|it| it.is_ok()));
    }
}
