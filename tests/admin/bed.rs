//! Something to look at, and clients that look.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ringway::admin::{Admin, Serving};
use ringway::counters::snapshot::{Snapshot, State};

use crate::common::{Client, Response, Watchdog};

/// A secret of tests.
pub const TOKEN: &str = "0123456789abcdef";

/// An admin listener without a dataplane.
pub struct Bed {
    pub serving: Serving,
    _watchdog: Watchdog,
}

impl Bed {
    /// On a loopback address, telling of an instance that runs.
    pub fn start() -> Self {
        Self::telling(|| Snapshot { state: State::Running, ..Snapshot::default() })
    }

    pub fn telling(tell: impl Fn() -> Snapshot + Send + Sync + 'static) -> Self {
        let watchdog = Watchdog::start();
        let bound = Admin::on(([127, 0, 0, 1], 0)).bind(&[]).unwrap();
        Self { serving: bound.serve(Arc::new(move || Ok(tell()))).unwrap(), _watchdog: watchdog }
    }

    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub fn get(&self, target: &str) -> Response {
        get(self.address(), target, "")
    }

    /// One that sends this and then nothing.
    pub fn stuck(&self, bytes: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        std::io::Write::write_all(&mut &stream, bytes.as_bytes()).unwrap();
        stream
    }
}

/// One request to an admin listener, with these field lines.
pub fn get(address: SocketAddr, target: &str, fields: &str) -> Response {
    let mut client = Client::connect(address);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let response = client.response();
    assert!(client.receive_all().is_empty(), "nothing comes behind an answer");
    response
}
