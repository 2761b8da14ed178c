//! An instance as a process of its own, and those who ask it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ringway::control;

use crate::common::{Running, own};

/// A configuration of one HTTP listener, and more of it.
pub fn toml(more: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
         config = {{ max_headers = 17 }}\n{more}\n[dataplane]\nmax_connections = 256\n"
    )
}

/// A running instance.
pub struct Instance {
    pub name: String,
    pub running: Running,
}

impl Instance {
    /// On one lcore, with nothing special.
    pub fn start(name: &str) -> Self {
        Self::with(name, 1, &toml(""))
    }

    /// Sure not to end while somebody asks something of it.
    pub fn patient(name: &str) -> Self {
        Self::with(name, 1, &(toml("") + "drain_timeout_ms = 3600000\n"))
    }

    pub fn with(name: &str, lcores: usize, toml: &str) -> Self {
        Self { name: own(name), running: Running::start(name, lcores, toml) }
    }

    /// Its usual socket.
    pub fn socket(&self) -> PathBuf {
        control::socket_path(&self.name.parse().unwrap())
    }

    /// `ringway ctl` of this instance.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        ctl(&[&["--file-prefix", &self.name], arguments].concat())
    }

    /// What it prints, which has to be a good reply.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.ctl(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.text(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// `ringway ctl` with these arguments, to its end.
pub fn ctl(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// The same, not yet begun.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("ctl").args(arguments).stdin(Stdio::null());
    command
}

/// What a command said on standard error, with this exit code.
pub fn complaint(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
