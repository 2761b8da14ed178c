//! An instance as a process of its own, and those who look at it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{Running, own, wait_until};

/// A listener on a port of its own.
pub fn listener(protocol: &str, config: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"{protocol}\"\n\
         config = {{ {config} }}\n"
    )
}

/// A running instance.
pub struct Instance {
    name: String,
    pub running: Running,
}

impl Instance {
    pub fn start(name: &str, listeners: &str) -> Self {
        let toml = format!("{listeners}\n[dataplane]\nmax_connections = 256\n");
        Self { name: own(name), running: Running::start(name, 1, &toml) }
    }

    pub fn http(name: &str) -> Self {
        Self::start(name, &listener("http", ""))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(arguments).args(["--file-prefix", &self.name]).stdin(Stdio::null());
        command
    }

    /// To its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command says that is refused.
    pub fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `ringway ctl --json`.
    pub fn ctl(&self, command: &[&str]) -> Value {
        let mut asked = Command::new(env!("CARGO_BIN_EXE_ringway"));
        asked.args(["ctl", "--json", "--file-prefix", &self.name]).args(command);
        let output = asked.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until nobody looks in this way any more.
    pub fn wait_for_nobody(&self, looks: &str) {
        wait_until(|| self.ctl(&[looks]).as_array().unwrap().is_empty());
    }

    /// `ringway trace --json`, which has begun.
    pub fn trace(&self, arguments: &[&str]) -> Trace {
        let arguments = [&["trace", "--json"], arguments].concat();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut trace = Trace { child, lines };
        let begins = trace.line().expect("it begins");
        assert!(begins["tracing"]["lcores"] == 1, "{begins}");
        trace
    }

    /// `ringway capture` to a file, which has begun.
    pub fn capture(&self, arguments: &[&str]) -> Capture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcapng");
        let file = path.display().to_string();
        let arguments = [&["capture", "-w", &file], arguments].concat();
        let child = self.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        // The header is written once the lcores look.
        wait_until(|| std::fs::metadata(&path).is_ok_and(|file| file.len() > 0));
        Capture { child, path, _directory: directory }
    }
}

/// A trace that goes on.
pub struct Trace {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Trace {
    /// The next line.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// The next message for which this is so.
    pub fn message(&mut self, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line().expect("the message that is waited for");
            if so(&line) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The rest of its lines, and its end, which has to be a good one.
    pub fn rest(mut self) -> Vec<Value> {
        let lines = std::iter::from_fn(|| self.line()).collect();
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bufs behind a stage, in a message of a trace.
pub fn bufs(message: &Value, stage: &str) -> Vec<Value> {
    let stages = message["stages"].as_array().into_iter().flatten();
    let of_it = stages.filter(|found| found["stage"] == stage);
    of_it.flat_map(|stage| stage["bufs"].as_array().cloned().unwrap_or_default()).collect()
}

/// A capture that goes on.
pub struct Capture {
    pub child: Child,
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Capture {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until this is so of what is in the file.
    pub fn wait_until(&self, so: impl Fn(&crate::reader::File) -> bool) {
        wait_until(|| {
            std::thread::sleep(Duration::from_millis(10));
            so(&crate::reader::read_so_far(&std::fs::read(&self.path).unwrap()))
        });
    }

    /// Waits until these bytes are in the file, as they passed at an interface.
    pub fn wait_for(&self, name: &str, bytes: &[u8]) {
        self.wait_until(|file| {
            file.interfaces.iter().any(|found| found == name) && file.has_at(name, bytes)
        });
    }

    /// Waits for the end, which has to be a good one; the whole file.
    pub fn ended(mut self) -> crate::reader::File {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "{said}");
        crate::reader::read(&std::fs::read(&self.path).unwrap())
    }

    /// Ends it with Ctrl-C.
    pub fn interrupted(self) -> crate::reader::File {
        self.signal(Signal::SIGINT);
        self.ended()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
