//! Instances with a stream listener, and how they are asked.

use std::sync::mpsc;
use std::time::Duration;

use ringway::control::Control;
use ringway::ipc;
use ringway::lcore::{Lcore, Mail};
use serde_json::Value;

use crate::bed::Instance;
use crate::common::stream_peer::Listener;
use crate::common::{Server, Start};

/// An instance of one stream listener.
pub fn instance(name: &str, lcores: usize, listener: &Listener) -> Instance {
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"stream\"\n\
         config = {{ {}, keepalive_ms = 3600000 }}\n[mempool]\nblocks = 4\n\
         [dataplane]\nmax_connections = 256\n",
        listener.settings()
    );
    Instance::with(name, lcores, &toml)
}

/// A dataplane in this process, and how to ask it.
pub struct Asked {
    pub server: Server,
    _directory: tempfile::TempDir,
}

impl Asked {
    pub fn start(lcores: usize, listener: &Listener, more: &str) -> Self {
        let settings = format!("{}, {more}", listener.settings());
        let settings = settings.trim_end_matches(", ");
        Self::run(Start::new().lcores(lcores).listener("stream", settings))
    }

    pub fn run(start: Start) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let control = Control::new().socket(directory.path().join("c.sock"));
        let builder = start.tables("[dataplane]\nmax_connections = 2000\n").builder();
        Self { server: Server::run(builder.control(control)), _directory: directory }
    }

    pub fn text(&self, command: &str) -> Result<String, ipc::Error> {
        let socket = self.server.plane().control_socket().unwrap();
        let reply = ipc::send(socket, command, Duration::from_secs(50))?;
        Ok(String::from_utf8(reply).unwrap())
    }

    pub fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.text(&format!("j/{command}")).unwrap()).unwrap()
    }

    /// Keeps an lcore from everything for as long as what is returned is there.
    pub fn hold_up(&self, lcore: usize) -> mpsc::Sender<()> {
        let (holder, held) = mpsc::channel::<()>();
        let (busy, is_busy) = mpsc::channel();
        let work = move |_: &mut Lcore| {
            busy.send(()).unwrap();
            let _ = held.recv();
        };
        assert!(self.server.plane().handle(lcore).post(Mail::Call(Box::new(work))).is_ok());
        is_busy.recv().unwrap();
        holder
    }
}
